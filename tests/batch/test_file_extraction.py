"""`newsmill.batch.extract_file` and `newsmill.read_warc`: documents, outcomes, filters, damage, and the same bytes again."""

from __future__ import annotations

import gzip
import io
import multiprocessing
import os
import pickle
import zipfile
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

import pyarrow
import pyarrow.parquet
import pytest
from services import object_store
from warc_records import SITE, article, list_bytes, make_record, record

import newsmill
from newsmill.archive.buckets import open_buckets
from newsmill.archive.remote_files import is_url, read_version
from newsmill.batch import BatchOptions, FileCounts, collect_profile_pages, extract_file, file_extraction, profile_learning
from newsmill.batch.processes import process_files
from newsmill.engines.job import prepare
from newsmill.exceptions import ConfigError
from newsmill.intake.warc_files import read_warc
from newsmill.sandbox import parent
from newsmill.sandbox.child import Limits
from newsmill.sandbox.pages import Sandbox

RECORDS = (
    record("dns:paper.example", kind="request"),
    article("council"),
    record(f"{SITE}/gone", b"<p>gone", status=404),
    record(f"{SITE}/a.png", b"\x89PNG", content_type="image/png"),
    article("port", language="de", sentence="Der {} hat am Dienstag nach langer Debatte entschieden, dass die Brücke wieder gebaut wird."),
    make_record(f"{SITE}/again", b"", kind="revisit"),
    article("old", date="2019-12-31T23:59:59Z"),
    article("nowhere", url=""),
    article("mayor", url="https://amp.paper.example/mayor"),
)
ALL = {"bad_url": 1, "http_error": 1, "not_html": 1, "other": 1, "revisit": 1}


@pytest.fixture
def crawl(tmp_path: Path) -> Path:
    path = tmp_path / "crawl.warc.gz"
    path.write_bytes(b"".join(map(gzip.compress, RECORDS)))
    return path


def make_zip(members: dict[str, bytes]) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as file:
        for name, content in members.items():
            file.writestr(name, content)
    return made.getvalue()


def read(folder: Path, kind: str) -> list[dict[str, Any]]:
    return pyarrow.parquet.read_table(folder / kind).to_pylist()  # type: ignore[no-any-return]


def test_documents_and_outcomes(crawl: Path, tmp_path: Path) -> None:
    counts = extract_file(crawl, tmp_path / "out")
    assert counts == FileCounts(str(crawl), 4, ALL)
    documents, outcomes = read(tmp_path / "out", "documents"), read(tmp_path / "out", "outcomes")
    assert [row["title"] for row in documents] == ["The council", "The port", "The old", "The mayor"]
    assert documents[0]["archive_ref"] == f"{crawl}@{len(gzip.compress(RECORDS[0]))}"
    assert {row["url"]: (row["outcome"], row["detail"]) for row in outcomes}[f"{SITE}/gone"] == ("http_error", "HTTP 404")
    assert all(row["file"] == str(crawl) and row["offset"] is not None and row["at"] is not None for row in outcomes)
    captures = [pickle.loads(pickle.dumps(capture)) for capture in newsmill.read_warc(crawl)]
    refs = {f"{one.file}@{one.offset}" for one in captures if one.page is not None}
    assert len(captures) == len(RECORDS) and {row["archive_ref"] for row in documents} < refs
    rows = [newsmill.extract(one.page.body, url=one.url).to_dict() for one in captures if one.page and one.url.endswith("council")]
    table = pyarrow.Table.from_pylist(rows, schema=newsmill.arrow_schema())
    assert table.schema == pyarrow.parquet.read_schema(next((tmp_path / "out" / "documents").iterdir())).remove_metadata()
    assert table.column("text").to_pylist() == [documents[0]["text"]]
    with pytest.raises(ConfigError, match="other options"):
        extract_file(crawl, tmp_path / "out", BatchOptions(languages=("de",)))


def is_recent(url: str, at: datetime) -> bool:
    return at.year > 2019


@pytest.mark.parametrize(
    ("options", "titles"),
    [
        (BatchOptions(hosts=("amp.paper.example",)), ["The mayor"]),
        (BatchOptions(languages=("DE",)), ["The port"]),
        (BatchOptions(statuses=(404,)), []),
        (BatchOptions(until=datetime(2020, 1, 1, tzinfo=UTC)), ["The old"]),
        (BatchOptions(urls=[f"{SITE}/council"]), ["The council"]),
        (BatchOptions(is_wanted=is_recent, hosts=("paper.example",)), ["The council", "The port", "The mayor"]),
    ],
)
def test_filters(options: BatchOptions, titles: list[str], crawl: Path, tmp_path: Path) -> None:
    counts = extract_file(crawl, tmp_path / "out", pickle.loads(pickle.dumps(options)))
    assert [row["title"] for row in read(tmp_path / "out", "documents")] == titles
    assert counts.outcomes["filtered"] >= 1
    assert counts.documents + sum(counts.outcomes.values()) == len(RECORDS)


def test_a_second_run_has_the_same_bytes_in_any_process(crawl: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    extract_file(crawl, tmp_path / "first")
    monkeypatch.setattr(parent, "_spawn", None)  # a new interpreter after each crash would cost 0.6 s of CPU
    with multiprocessing.Pool(2) as pool:  # multiprocessing permits its processes no children
        pool.map(partial(extract_file, crawl), [tmp_path / "second"] * 2)
    assert list_bytes(tmp_path / "first") == list_bytes(tmp_path / "second")
    before = list_bytes(tmp_path / "first")
    crawl.unlink()
    assert extract_file(crawl, tmp_path / "first").documents == 4  # a finished source is not read again
    assert list_bytes(tmp_path / "first") == before


def test_a_task_loads_no_pandas(tmp_path: Path) -> None:
    arguments = {"processes": 1, "on_progress": lambda progress: None, "is_stopped": lambda: False}
    assert list(process_files("poison:write_row", ["a.warc"], str(tmp_path), BatchOptions(), **arguments)) == [
        FileCounts("a.warc", 1, {"pandas": 0})
    ]


def test_names_and_urls(crawl: Path, tmp_path: Path) -> None:
    other = tmp_path / "other" / crawl.name
    other.parent.mkdir()
    other.write_bytes(crawl.read_bytes())
    for source in (crawl, other, other.as_uri()):
        assert extract_file(source, tmp_path / "out").documents == 4
    assert len(read(tmp_path / "out", "documents")) == 12
    for source, message in (("s4://bucket/a.warc.gz", "s4"), ("file:///none.warc", None)):
        if message is None:
            assert extract_file(source, tmp_path / "out").outcomes == {"unreadable": 1}
        else:
            with pytest.raises(ConfigError, match=message):
                extract_file(source, tmp_path / "out")
    missing = tmp_path / "missing.warc"
    assert not extract_file(missing, tmp_path / "out").is_readable
    assert [row["detail"] for row in read(tmp_path / "out", "outcomes") if row["file"] == str(missing)] == [
        f"{missing}: cannot be read (No such file or directory)"
    ]
    missing.write_bytes(article("late"))
    assert extract_file(missing, tmp_path / "out").documents == 1  # it is read again
    odd = crawl.rename(os.fsdecode(bytes(tmp_path / "caf") + b"\xe9.warc.gz"))
    assert extract_file(odd, tmp_path / "out").source == f"{tmp_path}/caf\\udce9.warc.gz"


def make_job(source: str, folder: Path) -> FileCounts:
    """As a task of datatrove, Ray or Spark."""
    job = prepare([source], folder, None)
    counts, tables = job.extract(job.sources[0])
    assert sum(table.num_rows for table in tables) == counts.documents
    return counts


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """fsspec's file system of a bucket `files`, of a server as the settings name it."""
    with object_store() as endpoint:
        names = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_DEFAULT_REGION", "AWS_ENDPOINT_URL")
        for name, value in zip(names, ("test", "test", "us-east-1", endpoint), strict=True):
            monkeypatch.setenv(name, value)
        files = open_buckets()
        files.makedirs("files", exist_ok=True)  # a server keeps the buckets of the one before
        yield files


@pytest.mark.parametrize("work", [extract_file, make_job, collect_profile_pages])
@pytest.mark.parametrize("source", ["crawl.warc.gz", "s3://files/crawl.warc.gz"])
def test_a_file_that_changed_is_read_again_and_its_rows_are_replaced(
    work: Callable[..., FileCounts], source: str, tmp_path: Path, bucket: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A download that was cut off, then complete; then another file of the same size."""
    monkeypatch.chdir(tmp_path)
    whole = b"".join(gzip.compress(article(name)) for name in ("council", "port", "mayor"))

    def write(content: bytes) -> None:
        bucket.pipe(source, content) if is_url(source) else Path(source).write_bytes(content)

    def run() -> int:
        counts = work(source, tmp_path / "out")
        rows = read(tmp_path / "out", "pages" if work is collect_profile_pages else "documents")
        assert len(rows) == counts.documents and len(list((tmp_path / "out" / "_finished").iterdir())) == 1
        return counts.documents

    write(whole[: len(whole) * 5 // 6])
    assert run() == 2
    before = list_bytes(tmp_path / "out")
    assert run() == 2 and list_bytes(tmp_path / "out") == before
    write(whole)
    assert run() == 3
    write(whole[:100] + bytes(len(whole) - 100))
    assert run() == 0
    bucket.rm(source) if is_url(source) else Path(source).unlink()
    assert run() == 0  # it is finished, and cannot be compared any more


def test_the_version_of_an_object_in_a_bucket(bucket: Any) -> None:
    versions = list[str | None]()
    for content in (b"a", None, b"b"):
        if content is not None:
            bucket.pipe("files/a.warc", content)
        versions.append(read_version("s3://files/a.warc"))
    assert versions[0] is not None and versions[0] == versions[1] != versions[2]
    assert read_version("s3://files/none.warc") is None


WITHOUT_RECORD = {
    "a.warc": b"",
    "a.warc.gz": b"",
    "b.warc.gz": gzip.compress(b""),
    "c.wacz": b"",
    "d.wacz": make_zip({}),
}


@pytest.mark.parametrize("name", WITHOUT_RECORD)
def test_a_file_without_a_record_has_an_outcome(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_bytes(WITHOUT_RECORD[name])
    counts = extract_file(path, tmp_path / "out")
    assert (counts.documents, sum(counts.outcomes.values())) == (0, 1)
    (row,) = read(tmp_path / "out", "outcomes")
    expected = ("unreadable", "WACZ file") if name.endswith(".wacz") else ("damaged", "the file has no WARC record")
    assert (row["file"], row["outcome"], expected[1] in row["detail"]) == (str(path), expected[0], True)
    assert counts.outcomes == {expected[0]: 1}
    path.write_bytes(article("late") if not name.endswith(".wacz") else make_zip({"archive/a.warc": article("late")}))
    assert extract_file(path, tmp_path / "out").documents == 1


@pytest.mark.parametrize(("module", "work"), [(file_extraction, extract_file), (profile_learning, collect_profile_pages)])
def test_a_run_that_cannot_read_its_source_leaves_the_files_of_another(
    module: ModuleType, work: Callable[..., FileCounts], crawl: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = list[object]()

    def list_whole() -> dict[str, bytes]:
        return {name: data for name, data in list_bytes(tmp_path / "out").items() if not name.endswith(".tmp")}

    def fail_late(*arguments: Any) -> Iterator[Any]:
        yield next(newsmill.read_warc(crawl))
        with monkeypatch.context() as other:
            other.setattr(module, "read_warc", read_warc)
            first.extend((work(crawl, tmp_path / "out"), list_whole()))
        raise OSError("the connection was lost")

    monkeypatch.setattr(module, "read_warc", fail_late)
    found = work(crawl, tmp_path / "out")
    assert [found, list_whole()] == first


def write_damaged(path: Path) -> Iterator[tuple[str, int]]:
    """A file with every kind of damage; yields the outcomes that it must have."""
    whole, cut = gzip.compress(article("council")), gzip.compress(article("port"))
    with path.open("wb") as file:
        file.write(whole + cut[: len(cut) // 2] + whole)
        head = f"WARC/1.0\r\nWARC-Type: response\r\nWARC-Target-URI: {SITE}/large\r\nWARC-Date: 2020-01-01T00:00:00Z\r\n"
        with gzip.GzipFile(fileobj=file, mode="wb", compresslevel=1) as member:
            member.write(f"{head}Content-Length: {64 << 20}\r\n\r\n".encode())
            for _ in range(64):
                member.write(bytes(1 << 20))
            member.write(b"\r\n\r\n")
        file.write(whole[:-30])
    yield from (("damaged", 2), ("too_large", 1))


def test_damage_is_counted_and_ends_nothing(tmp_path: Path) -> None:
    expected = dict(write_damaged(tmp_path / "bad.warc.gz"))
    counts = extract_file(tmp_path / "bad.warc.gz", tmp_path / "out")
    assert (counts.documents, counts.outcomes) == (2, expected)
    assert all(row["offset"] > 0 for row in read(tmp_path / "out", "outcomes"))


def test_a_page_that_crashes_its_reader_costs_its_neighbours_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(file_extraction, "Sandbox", partial(Sandbox, Limits(cpu=0.5), "poison:obey"))
    bodies = ("article one", "segv", "article two", "loop", "raise it", f"kill-once {tmp_path / 'mark'}", "article three")
    path = tmp_path / "crash.warc"
    path.write_bytes(b"".join(record(f"{SITE}/{number}", body.encode()) for number, body in enumerate(bodies)))
    counts = extract_file(path, tmp_path / "out")
    assert [row["text"] for row in read(tmp_path / "out", "documents")] == ["one", "two", "three"]
    outcomes = {row["url"].rpartition("/")[2]: (row["outcome"], row["detail"]) for row in read(tmp_path / "out", "outcomes")}
    assert outcomes["1"] == ("died", "read: signal 11 (SIGSEGV)")
    assert outcomes["3"] == ("deadline", "read: deadline 0.5 s of CPU")
    assert outcomes["4"][0] == "died" and "ValueError: it" in outcomes["4"][1]
    assert outcomes["5"][0] != "died"  # the system killed its first reader
    assert counts.documents + sum(counts.outcomes.values()) == len(bodies)
