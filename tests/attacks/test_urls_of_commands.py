"""Every option and setting that takes a path or URL, with every URL that fsspec knows and with garbage: each ends in one sentence."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
from command_result import Newsmill, make_runner
from fsspec.registry import known_implementations
from s3fs import S3FileSystem
from warc_records import article

import newsmill as package
from newsmill.exceptions import NewsmillError

OTHERS = sorted(set(known_implementations) - {"file", "local", "s3", "http", "https"})
UNKNOWN = [f"{name}://x/a.parquet" for name in OTHERS] + [
    *("zip::file:///a.zip", "reference::s3://x/a", "filecache::https://127.0.0.1:1/a", "simplecache::s3://x/a"),
    *(
        "zip://a::http://127.0.0.1:1/",
        "://",
        "://x",
        "http://",
        "s3://",
        "s3:///a",
        "file://host/a",
        "file://",
        "%00://",
        "x" * 5000 + "://a",
    ),
]
UNREACHABLE = [
    *("http://127.0.0.1:1/a.parquet", "HTTPS://127.0.0.1:1/a", "https://[", "http://127.0.0.1:99999/a", "http://x y/"),
    *("s3://x/a.parquet", "s3://a:b@c/d", "s3://x y/\u2028", "s3://x"),
]
# Commands that take a URL or a path, the word "URL" standing for it; and whether such a URL as `s3://bucket/prefix` may be a target.
READERS: dict[str, Sequence[str]] = {
    "extract": ("extract", "URL", "--format", "parquet", "-o", "out", "-p", "1"),
    "extract --profiles": ("extract", "a.warc", "--format", "parquet", "-o", "out", "-p", "1", "--profiles", "URL"),
    "import": ("import", "URL", "-p", "1"),
    "profiles import": ("profiles", "import", "URL"),
    "submit --warc": ("submit", "--warc", "--", "URL"),
    "submit --in-place": ("submit", "--warc", "--in-place", "--", "URL"),
}
WRITERS: dict[str, Sequence[str]] = {
    "extract -o": ("extract", "a.warc", "--format", "parquet", "-o", "URL", "-p", "1"),
    "export --to": ("export", "--to", "URL"),
}
PATHS: dict[str, Sequence[str]] = {
    "extract --urls": ("extract", "a.warc", "--format", "parquet", "-o", "out", "-p", "1", "--urls", "URL"),
    "profiles export": ("profiles", "export", "URL"),
    "submit --file": ("submit", "--file", "URL"),
    "export -o": ("export", "-o", "URL"),
    "backup": ("backup", "--", "URL"),
    "add --file": ("add", "--file", "URL"),
}
SETTINGS: dict[str, Sequence[str]] = {"DATABASE_URL": ("db", "copy"), "ARCHIVE_URL": ("doctor",), "NEWSMILL_DATA": ("db", "upgrade")}


@pytest.fixture
def newsmill(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Newsmill:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NEWSMILL_DATA", str(tmp_path / "data"))
    for name, value in {"AWS_ENDPOINT_URL": "http://127.0.0.1:1", "AWS_ACCESS_KEY_ID": "k", "AWS_SECRET_ACCESS_KEY": "s"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    S3FileSystem.clear_instance_cache()  # a client keeps the URL of its server
    Path("a.warc").write_bytes(article("bridge"))
    runner = make_runner(capsys, monkeypatch)
    assert runner("submit", "https://paper.example/a").code == 0  # the data folder has a database
    return runner


@pytest.mark.parametrize("name", [*READERS, *WRITERS, *PATHS])
def test_every_url_of_an_argument_ends_in_a_sentence(name: str, newsmill: Newsmill) -> None:
    before = {path.name for path in Path.cwd().iterdir()} | {"out"}
    for url in (*UNKNOWN, *UNREACHABLE):
        words = (READERS | WRITERS | PATHS)[name]
        done = newsmill(*(url if word == "URL" else word for word in words))
        last = done.err.rstrip("\n").splitlines()[-1]
        assert done.code in (1, 2) and "Traceback" not in done.err, (url, done)
        if name in READERS and url in UNKNOWN and "://" in url.partition("::")[0]:
            assert last.endswith(("expected file:///path, s3://bucket/path or http(s)://host/path", "path of the file")), (url, last)
    assert {path.name for path in Path.cwd().iterdir()} <= before, "a URL makes no folder"


@pytest.mark.parametrize("name", SETTINGS)
def test_every_url_of_a_setting_ends_in_a_sentence(name: str, newsmill: Newsmill, monkeypatch: pytest.MonkeyPatch) -> None:
    before = {path.name for path in Path.cwd().iterdir()}
    for url in (*UNKNOWN, *UNREACHABLE):
        monkeypatch.setenv(name, url)
        done = newsmill(*SETTINGS[name])
        assert done.code in (1, 2) and done.err.startswith("newsmill: ") and done.err.count("\n") == 1, (url, done)
    assert {path.name for path in Path.cwd().iterdir()} == before, "a URL makes no folder"


def test_every_url_of_a_python_function_ends_in_an_error_of_newsmill(newsmill: Newsmill) -> None:
    for url in (*UNKNOWN, *UNREACHABLE[:4]):
        with pytest.raises((NewsmillError, OSError)):
            list(package.read_warc(url))
        if not url.lower().startswith("http"):
            with pytest.raises(NewsmillError):
                package.open(url)
