"""`newsmill submit --warc` and `newsmill.submit_warc`: files of several kinds, filters, damage, messages and exit codes."""

from __future__ import annotations

import gzip
import io
import os
import resource
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fsspec
import pytest
import zstandard
from command_result import Newsmill
from services import object_store
from warc_records import article, record

import newsmill as package
from newsmill import settings
from newsmill.archive import external_files
from newsmill.archive.external_files import ExternalFile
from newsmill.context import AppContext, open_context
from newsmill.exceptions import ArchiveDamaged, ConfigError, ServiceError
from newsmill.model import ExtractionResult, Outcome, OutcomeRecord, Page
from newsmill.storage.doctor import Doctor
from newsmill.storage.ledger import Result
from workers import jobs

SITE = "https://paper.example"
NONE: dict[str, int] = dict.fromkeys(
    ("queued", "known", "not_html", "http_error", "revisit", "filtered", "rejected", "damaged", "other"), 0
)


def page(name: str, **options: Any) -> bytes:
    return record(f"{SITE}/{name}", f"<html><p>{name}".encode() * 50, **options)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NEWSMILL_DATA", str(tmp_path / "data"))
    with zipfile.ZipFile("d.wacz", "w") as wacz:
        wacz.writestr("archive/data.warc.gz", gzip.compress(page("d")))
        wacz.writestr("pages/pages.jsonl", "{}")
    Path("a.warc").write_bytes(page("a") + page("old", date="2019-12-31T23:59:59Z"))
    Path("b.warc.gz").write_bytes(gzip.compress(page("b")))
    Path("c.warc.zst").write_bytes(zstandard.compress(page("c")))
    return tmp_path


def test_every_kind_of_file_and_a_second_run(newsmill: Newsmill, monkeypatch: pytest.MonkeyPatch) -> None:
    files = ("a.warc", "b.warc.gz", "c.warc.zst", "d.wacz", "-")
    for expected in ({"queued": 6}, {"known": 6}):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(gzip.compress(page("e")))))
        assert newsmill("submit", "--warc", *files, "--json").json == NONE | expected
    done = newsmill("submit", "--warc", "a.warc", "--again")
    assert (done.code, done.out, done.err) == (0, "", "0 pages queued, 2 already known\n")  # the same pages are in the archive
    assert newsmill("trace", f"{SITE}/d").code == 0


def test_more_files_than_may_be_open_at_once(newsmill: Newsmill) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (100, hard))
    try:
        assert newsmill("submit", "--warc", *["b.warc.gz", "d.wacz"] * 80, "--json").json == NONE | {"queued": 2, "known": 158}
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_filters(newsmill: Newsmill) -> None:
    cases = ((["--since", "2020"], 1), (["--until", "2020-02"], 1), (["--host", "paper.example"], 2), (["--host", "x.example"], 0))
    for options, read in cases:
        counts = newsmill("submit", "--warc", "a.warc", "--json", *options).json
        assert (counts["queued"] + counts["known"], counts["filtered"]) == (read, 2 - read)


def test_damage_is_named_and_ends_nothing(newsmill: Newsmill) -> None:
    damaged = gzip.compress(page("b"))[:-30]
    Path("b.warc.gz").write_bytes(damaged * 30 + gzip.compress(page("b")))
    Path("e.warc").write_text("<html>")
    done = newsmill("submit", "--warc", "b.warc.gz", "e.warc", "a.warc", "--json")
    assert done.json == NONE | {"queued": 3, "damaged": 31}
    assert "b.warc.gz, offset 0: damaged: " in done.err
    assert done.err.splitlines()[-1] == "11 further messages left out"
    none = newsmill("submit", "--warc", "e.warc")
    assert (none.code, "e.warc, offset 0: damaged: no WARC record begins here" in none.err) == (1, True)


def test_a_damaged_wacz_file(newsmill: Newsmill) -> None:
    Path("d.wacz").unlink()
    with zipfile.ZipFile("d.wacz", "w") as wacz:
        wacz.writestr("archive/data.warc.gz", b"".join(gzip.compress(page(name)) for name in "abc"))
    data = bytearray(Path("d.wacz").read_bytes())
    at = data.index(gzip.compress(page("b"))[10:]) + 60
    data[at : at + 8] = bytes(8)
    Path("d.wacz").write_bytes(data)
    done = newsmill("submit", "--warc", "d.wacz", "--json")
    assert (done.json, "d.wacz/archive/data.warc.gz, offset" in done.err) == (NONE | {"queued": 2, "damaged": 1}, True)
    directory = data.rindex(b"PK\x01\x02")  # of the central directory; 42 bytes later it says where the member begins
    data[directory + 42 : directory + 46] = (1 << 30).to_bytes(4, "little")
    Path("d.wacz").write_bytes(data)
    done = newsmill("submit", "--warc", "d.wacz")
    assert (done.code, "a whole WACZ file" in done.err, "Traceback" in done.err) == (2, True, False)
    with zipfile.ZipFile("e.wacz", "w", zipfile.ZIP_DEFLATED) as wacz:
        wacz.writestr("archive/data.warc", page("a"))
    assert newsmill("submit", "--warc", "e.wacz").code == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--warc"], "give WARC files"),
        (["--warc", "missing.warc"], "missing.warc: cannot be read"),
        (["--warc", "file:///none.warc"], "file:///none.warc cannot be read"),
        (["--warc", "--in-place", "file:///none.warc"], "file:///none.warc cannot be read"),
        (["--warc", "old.warc"], "old.warc is an ARC file"),
        (["--warc", "data.wacz"], "data.wacz: not a whole WACZ file"),
        (["--warc", "a.warc", "--source", "nobody"], "nobody"),
        (["--warc", "a.warc", "--since", "May"], "expected a day, month or year"),
        (["--warc", "a.warc", "--since", "2021", "--until", "2020"], "--since is the older one"),
        (["--warc", "--file", "urls.txt"], "--file"),
        (["a.warc"], "--warc"),
        (["https://paper.example/a", "--host", "paper.example"], "--warc"),
        (["https://paper.example/a", "--own"], "--own"),
    ],
)
def test_what_is_refused(arguments: list[str], message: str, newsmill: Newsmill) -> None:
    Path("data.wacz").write_text("no zip")
    Path("old.warc").write_text("filedesc://old.arc 0.0.0.0 20100101000000 text/plain 76")
    done = newsmill("submit", *arguments)
    assert (done.code, message in done.err) == (2, True), done.err


def test_the_python_function(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    Path("b.warc.gz").write_bytes(b"rubbish")
    counts = package.submit_warc([Path("a.warc"), "b.warc.gz"], own=True, is_wanted=lambda url, at: at.year == 2020, where=folder / "other")
    assert counts == package.WarcCounts(queued=1, filtered=1, damaged=1)
    assert "b.warc.gz, offset 0: damaged" in caplog.text
    for files, options in (("a.warc", {}), (["a.warc"], {"source": "nobody"}), (["missing.warc"], {})):
        with pytest.raises(ConfigError):
            package.submit_warc(files, where=folder / "other", **options)  # type: ignore[arg-type]


def find_segment(store: AppContext, name: str) -> str:
    trace = store.ledger.traces.get(f"{SITE}/{name}")
    assert trace is not None and trace.segment is not None
    return trace.segment


def test_files_that_move_grow_or_change_after_they_were_submitted_in_place(
    newsmill: Newsmill, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(external_files, "DIGEST_BYTES", 100)  # so that records lie between the beginning and the end of the file
    names = ["a0", "a1", "a2", "a3", "a4"]
    Path("c.warc").write_bytes(b"".join(map(page, names)))
    Path("d.warc.gz").write_bytes(b"".join(gzip.compress(page(name)) for name in "xyz"))
    assert newsmill("submit", "--warc", "--in-place", "c.warc", "d.warc.gz", "--json").json == NONE | {"queued": 8}
    Path("moved").mkdir()
    files = [str(Path(name).rename(f"moved/{name}")) for name in ("c.warc", "d.warc.gz")]
    with open_context(settings.load()) as store:
        doctor = Doctor(store.engine, store.ledger, store.archive)
        lost = doctor.examine(now=store.now())[0]
        assert (lost.check, lost.count) == ("warc_file", 2)
        packed, plain = (find_segment(store, name) for name in ("x", "a1"))
        claim = store.ledger.claims.claim(packed, "worker", seconds=60, now=store.now())[0]
        ended = Result(claim, ExtractionResult(OutcomeRecord(Outcome.ARCHIVE_DAMAGED, "missing")))
        store.ledger.results.store([ended], now=store.now(), owner="worker", seconds=60)
        store.ledger.claims.release(packed, "worker", now=store.now())
        for again in (1, 0):
            counts = newsmill("submit", "--warc", "--in-place", *files, "--json").json
            assert counts == NONE | {"queued": again, "known": 8 - again}
        with Path("moved/d.warc.gz").open("ab") as file:
            file.write(gzip.compress(page("later")))
        assert doctor.examine(now=store.now(), deep=True) == []
        assert not [*tmp_path.glob("data/archive/segments/**/*.gz")]

        before = Path("moved/c.warc").stat()
        found: dict[str, Page | ArchiveDamaged] = {}
        for changed in (["a0", "a3", "a2", "a1", "a4"], ["a4", "a1", "a2", "a3", "a0"]):  # other files of the same length and time
            Path("moved/c.warc").write_bytes(b"".join(map(page, changed)))
            os.utime("moved/c.warc", ns=(before.st_atime_ns, before.st_mtime_ns))
            claims = store.ledger.claims.claim(plain, "worker", seconds=60, now=store.now())
            found |= {f"{claim.url} {changed[0]}": read for claim, read in jobs.read_archived_pages(store, plain, claims)}
            store.ledger.claims.release(plain, "worker", now=store.now())
    damaged = {name.removeprefix(f"{SITE}/"): str(read) for name, read in found.items() if isinstance(read, ArchiveDamaged)}
    assert damaged.keys() == {"a1 a0", "a3 a0", *(f"{name} a4" for name in names)}
    assert "c.warc: the page at offset 729 was changed after it was submitted" in damaged["a1 a0"]
    assert "is not the one that was submitted; put" in damaged["a1 a4"]


def test_a_file_that_grew_is_read_on_wherever_it_is(newsmill: Newsmill) -> None:
    """As crawlers do it that rename a file when it is complete."""
    Path("crawl.open").write_bytes(b"".join(gzip.compress(page(name)) for name in "xy"))
    assert newsmill("submit", "--warc", "--in-place", "crawl.open", "--json").json == NONE | {"queued": 2}
    with open_context(settings.load()) as store:
        segment = find_segment(store, "x")
        for number, (name, place) in enumerate((("z", "crawl.warc.gz"), ("later", "crawl.warc.gz"), ("last", "moved.warc.gz"))):
            claim = store.ledger.claims.claim(segment, "worker", seconds=60, now=store.now())[number % 2]
            ended = Result(claim, ExtractionResult(OutcomeRecord(Outcome.ARCHIVE_DAMAGED, "missing")))
            store.ledger.results.store([ended], now=store.now(), owner="worker", seconds=60)
            store.ledger.claims.release(segment, "worker", now=store.now())
            file = next(Path(path) for path in ("crawl.open", "crawl.warc.gz") if Path(path).exists()).rename(place)
            with file.open("ab") as out:
                out.write(gzip.compress(page(name)))
            counts = newsmill("submit", "--warc", "--in-place", place, "--json").json
            assert counts == NONE | {"queued": 2, "known": number + 1}  # the new page, and the one that could not be read
        assert Doctor(store.engine, store.ledger, store.archive).examine(now=store.now(), deep=True) == []
        for name in ("x", "y", "z", "later", "last"):
            trace = store.ledger.traces.get(f"{SITE}/{name}")
            assert trace is not None and trace.segment is not None and trace.offset is not None
            assert store.archive.read_page(trace.segment, trace.offset, trace.url).body == f"<html><p>{name}".encode() * 50
        Path("other.warc.gz").write_bytes(gzip.compress(page("x")) + Path("moved.warc.gz").read_bytes())
        Path("moved.warc.gz").unlink()
        newsmill("submit", "--warc", "--in-place", "other.warc.gz", "--json")  # does not begin as the file that is gone
        with pytest.raises(ArchiveDamaged, match=r"moved.warc.gz is missing"):
            store.archive.read_page(trace.segment, trace.offset)


def test_files_in_a_bucket(newsmill: Newsmill, monkeypatch: pytest.MonkeyPatch) -> None:
    url = "s3://bucket/crawl/a.warc.gz"
    data = b"".join(gzip.compress(article(topic)) for topic in ("council", "port"))
    with object_store() as endpoint:
        for name, value in {"AWS_ENDPOINT_URL": endpoint, "AWS_ACCESS_KEY_ID": "k", "AWS_SECRET_ACCESS_KEY": "s"}.items():
            monkeypatch.setenv(name, value)
        files = fsspec.filesystem("s3")
        files.mkdir("bucket")
        files.pipe_file(url, data)
        assert newsmill("extract", url, "--format", "parquet", "-o", "s3://bucket/corpus", "-p", "1").code == 0
        assert newsmill("import", "s3://bucket/corpus", "-p", "1", "--json").json["stored"] == 2
        assert newsmill("import", "s3://bucket/none.parquet").code == 2
        for expected in ({"queued": 2}, {"known": 2}):
            again = ["--again"] if "queued" in expected else []
            assert newsmill("submit", "--warc", "--in-place", url, "--json", *again).json == NONE | expected
        with open_context(settings.load()) as store:
            trace = store.ledger.traces.get(f"{SITE}/port")
            assert trace is not None and trace.segment is not None and trace.offset is not None
            assert b"The port" in store.archive.read_page(trace.segment, trace.offset, trace.url).body
            files.pipe_file(url, bytes(len(data)))
            with pytest.raises(ArchiveDamaged, match="is not the one that was submitted"):
                store.archive.read_page(trace.segment, trace.offset)
            files.rm_file(url)
            with pytest.raises(ArchiveDamaged, match=f"{url} is missing"):
                store.archive.read_page(trace.segment, trace.offset)


def test_in_place_from_python(tmp_path: Path) -> None:
    for is_wanted, known in ((None, 2), (lambda url, at: at.year == 2020, 1)):
        counts = [package.submit_warc(["a.warc"], in_place=True, is_wanted=is_wanted, where=tmp_path / "data") for _ in range(2)]
        assert counts[1].known == known
    assert not [*tmp_path.glob("data/archive/segments/**/*.gz")]


def test_pages_that_stay_in_their_files(newsmill: Newsmill, tmp_path: Path) -> None:
    files = ("a.warc", "b.warc.gz", "c.warc")
    Path("c.warc").write_bytes(page("future", date="2999-01-01T00:00:00Z") + page("e"))
    for _ in range(2):
        counts = newsmill("submit", "--warc", "--in-place", *files, "--json").json
        assert counts["queued"] + counts["known"] == 4
    assert not [*tmp_path.glob("data/archive/segments/**/*.gz")]
    with open_context(settings.load()) as store:
        for name in ("a", "old", "b", "e"):
            trace = store.ledger.traces.get(f"{SITE}/{name}")
            assert trace is not None and trace.segment is not None and trace.offset is not None
            assert store.archive.read_page(trace.segment, trace.offset).body == f"<html><p>{name}".encode() * 50
        doctor = Doctor(store.engine, store.ledger, store.archive)
        assert doctor.examine(now=store.now(), deep=True) == []
        Path("c.warc").rename("moved.warc")
        Path("c.warc").mkdir()  # as a file system that does not answer
        with pytest.raises(ServiceError, match=r"c.warc cannot be read"):
            store.archive.read_page(trace.segment, trace.offset)
        Path("c.warc").rmdir()
        lost, waiting = doctor.examine(now=store.now())
        assert (lost.check, lost.count, waiting.check) == ("warc_file", 1, "page_missing")
        with pytest.raises(ArchiveDamaged, match=r"c.warc is missing; put the submitted file there again"):
            store.archive.read_page(trace.segment, trace.offset)
    assert newsmill("submit", "--warc", "--in-place", "a.warc", "--until", "2019", "--json").json["known"] == 1  # other filters
    assert ExternalFile("/a.warc", 1).id != ExternalFile("/a.warc", 1, "paper").id  # pages of the first keep having no source
    Path("whole.warc.gz").write_bytes(gzip.compress(page("x") + page("y")))
    for name, code in (("whole.warc.gz", 0), ("d.wacz", 2), ("-", 2)):
        done = newsmill("submit", "--warc", "--in-place", name)
        assert (done.code, "cannot be read in place" in done.err) == (code, True), done.err
