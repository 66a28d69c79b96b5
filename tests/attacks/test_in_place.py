"""WARC files that stay in their place: who changes one later changes no document, and a takedown holds for a file that is not ours."""

from __future__ import annotations

import gzip
import io
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from command_result import Newsmill, make_runner
from rows import page_of
from warc_records import SITE, WORDS, record

from newsmill import settings
from newsmill.archive import captures, warc_writer
from newsmill.archive.captures import read_capture, read_captures
from newsmill.context import AppContext, open_context
from newsmill.exceptions import ArchiveDamaged
from newsmill.model import Outcome
from newsmill.sandbox.pages import Sandbox
from newsmill.storage.doctor import Doctor
from workers.jobs import extract_claimed_pages
from workers.process import WorkerContext

TOPICS = ("council", "harbour", "station")
HONEST = "The harbour decided on Tuesday after a long debate that the bridge"
FORGED = "The harbour decided to hand the whole treasury over to the villain"
NOW = datetime(2026, 11, 25, tzinfo=UTC)


def pack_plain(content: bytes) -> bytes:
    return content


def pack_gzip(content: bytes) -> bytes:
    """Not compressed, so that a forged record is as long as the honest one; the checksum is right."""
    return gzip.compress(content, 0, mtime=0)


def make_record(topic: str) -> bytes:
    """An article with so much else that nothing of it is near the beginning or the end of the file."""
    paragraphs = "".join(f"<p>{number}. {WORDS.format(topic)}</p>" for number in range(1, 9))
    html = f"<html><head><title>The {topic}</title><!--{'x' * 100_000}--></head><body><article><h1>The {topic}</h1>{paragraphs}"
    return record(f"{SITE}/{topic}", f"{html}</article><!--{'y' * 100_000}-->".encode())


def write_file(path: Path, pack: Callable[[bytes], bytes], *, forged: bool = False) -> None:
    records = [make_record(topic) for topic in TOPICS]
    path.write_bytes(b"".join(pack(one.replace(HONEST.encode(), FORGED.encode()) if forged else one) for one in records))


@pytest.fixture
def newsmill(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, url: str) -> Newsmill:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NEWSMILL_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("DATABASE_URL", url)
    return make_runner(capsys, monkeypatch)


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with Sandbox() as sandbox:
        yield sandbox


def extract(sandbox: Sandbox) -> None:
    """The work of a worker for all pages that wait."""
    with open_context(settings.load()) as store:
        for segment in store.ledger.segments.list_pending(now=store.now(), limit=99):
            extract_claimed_pages(WorkerContext(store, sandbox, "worker"), segment)


def find_text(store: AppContext, topic: str) -> str:
    document = store.documents.get(f"{SITE}/{topic}")
    assert document is not None
    return document.text


def find_reference(topic: str) -> tuple[str, int]:
    with open_context(settings.load()) as store:
        trace = store.ledger.traces.get(f"{SITE}/{topic}")
        assert trace is not None and trace.segment is not None and trace.offset is not None
        return trace.segment, trace.offset


@pytest.mark.parametrize(("name", "pack"), [("a.warc", pack_plain), ("a.warc.gz", pack_gzip)])
def test_a_record_that_is_forged_later_is_not_read(name: str, pack: Callable[[bytes], bytes], newsmill: Newsmill, sandbox: Sandbox) -> None:
    file = Path(name)
    write_file(file, pack)
    before = file.stat()
    assert newsmill("submit", "--warc", "--in-place", name, "--json").json["queued"] == 3
    extract(sandbox)
    write_file(file, pack, forged=True)
    assert file.stat().st_size == before.st_size
    with open_context(settings.load()) as store:
        findings = {one.check: one for one in Doctor(store.engine, store.ledger, store.archive).examine(now=store.now(), deep=True)}
    (example,) = findings["page_unreadable"].examples
    assert f"{SITE}/harbour" in example and "was changed after it was submitted" in example

    assert newsmill("reextract").code == 0
    assert newsmill("explain", f"{SITE}/harbour").code == 1
    assert newsmill("explain", f"{SITE}/council").code == 0
    done = newsmill("export", "--format", "warc", "--to", "exported")
    assert (FORGED in done.out, "was changed" in Path("exported/manifest.json").read_text()) == (False, True)
    assert FORGED.encode() not in b"".join(gzip.decompress(path.read_bytes()) for path in Path("exported").rglob("*.warc.gz"))
    assert newsmill("retry", f"{SITE}/harbour").code == 0
    extract(sandbox)
    with open_context(settings.load()) as store:
        assert HONEST in find_text(store, "harbour") and HONEST.replace("harbour", "council") in find_text(store, "council")

    write_file(file, pack)
    assert newsmill("submit", "--warc", "--in-place", name).code == 0  # the file is restored
    extract(sandbox)
    assert newsmill("doctor", "--deep").code == 0


def test_a_record_that_is_forged_before_it_is_extracted_is_not_read(newsmill: Newsmill, sandbox: Sandbox) -> None:
    write_file(Path("a.warc"), pack_plain)
    assert newsmill("submit", "--warc", "--in-place", "a.warc", "--json").json["queued"] == 3
    write_file(Path("a.warc"), pack_plain, forged=True)
    extract(sandbox)
    with open_context(settings.load()) as store:
        trace = store.ledger.traces.get(f"{SITE}/harbour")
        assert trace is not None and trace.outcome is Outcome.ARCHIVE_DAMAGED
        assert store.documents.get(f"{SITE}/harbour") is None and store.documents.count() == 2


def test_a_file_that_an_older_version_submitted_is_read_without_digests(newsmill: Newsmill, sandbox: Sandbox, tmp_path: Path) -> None:
    write_file(Path("a.warc"), pack_plain)
    newsmill("submit", "--warc", "--in-place", "a.warc")
    for noted in tmp_path.glob("data/archive/file_pages/*/*.json"):
        noted.unlink()
    extract(sandbox)
    assert newsmill("doctor", "--deep").code == 0 and newsmill("explain", f"{SITE}/harbour").code == 0


def test_pages_of_newsmill_have_a_digest_of_all_their_records() -> None:
    part = page_of(f"{SITE}/b?page=2")
    pages = [page_of(f"{SITE}/a"), replace(page_of(f"{SITE}/b"), rendered=b"<p>rendered", parts=(part, replace(part, rendered=b"<p>")))]

    def write(body: bytes) -> io.BytesIO:
        file = io.BytesIO()
        warc_writer.write_warcinfo(file, NOW)
        for page in pages:
            warc_writer.write_page(file, replace(page, parts=tuple(replace(one, body=body) for one in page.parts)))
        return file

    file = write(b"<p>honest")
    file.seek(0)
    found = [one for one in read_captures(file, with_digests=True) if one.page is not None]
    assert [read_capture(file, one.offset, one.digest) for one in found] == [one.page for one in found]
    assert len({one.digest for one in found}) == 2
    forged = write(b"<p>forged")
    forged.seek(0)
    offset = [one.offset for one in read_captures(forged) if one.page is not None][1]
    with pytest.raises(ArchiveDamaged, match="was changed"):
        read_capture(forged, offset, found[1].digest)


def test_the_digest_of_a_record_stays_the_same_in_all_versions() -> None:
    """Archives have such digests: with others, their pages could not be read any more."""
    file = io.BytesIO(record(f"{SITE}/a", b"<p>text"))
    (capture,) = captures.read_captures(file, with_digests=True)
    assert capture.digest == "604745c82e147be1a80c70e7ea66ce9f"


def take_down(newsmill: Newsmill, file: Path) -> None:
    done = newsmill("takedowns", "add", f"{SITE}/harbour", "--reason", "letter 23", "--yes")
    assert done.code == 0 and f"{file.absolute()} was submitted with --in-place" in done.err
    assert "Newsmill does not change the file, and does not read the barred pages in it again" in done.err


def test_a_takedown_bars_the_page_and_names_the_file(newsmill: Newsmill, sandbox: Sandbox) -> None:
    file = Path("a.warc.gz")
    write_file(file, pack_gzip)
    before = file.read_bytes()
    newsmill("submit", "--warc", "--in-place", "a.warc.gz")
    extract(sandbox)
    reference = find_reference("harbour")
    take_down(newsmill, file)
    assert file.read_bytes() == before
    (listed,) = newsmill("takedowns", "list", "--json").json
    assert (listed["files"], listed["erase_after"]) == ([str(file.absolute())], None)
    assert f"{file.absolute()} was submitted with --in-place" in newsmill("takedowns", "list").err
    with open_context(settings.load()) as store, pytest.raises(ArchiveDamaged, match="is barred by a takedown"):
        store.archive.read_page(*reference)

    newsmill("submit", "https://paper.example/other")
    moved = file.rename("moved.warc.gz")
    for options in ([], ["--again"], ["--until", "2021"]):
        counts = newsmill("submit", "--warc", "--in-place", str(moved), *options, "--json").json
        assert counts["queued"] + counts["known"] + counts["rejected"] == 3
        extract(sandbox)
    with open_context(settings.load()) as store, pytest.raises(ArchiveDamaged, match="is barred by a takedown"):
        store.archive.read_page(*reference)
    assert newsmill("show", f"{SITE}/harbour").code == 1 and newsmill("explain", f"{SITE}/harbour").code == 1
    assert newsmill("explain", f"{SITE}/council").code == 0
    (listed,) = newsmill("takedowns", "list", "--json").json
    assert listed["files"] == [str(moved.absolute())]

    assert newsmill("takedowns", "remove", f"{SITE}/harbour").code == 0
    newsmill("submit", "--warc", "--in-place", str(moved), "--again")
    extract(sandbox)
    assert newsmill("show", f"{SITE}/harbour").code == 0


def test_a_takedown_before_the_file_is_submitted(newsmill: Newsmill, sandbox: Sandbox) -> None:
    write_file(Path("a.warc"), pack_plain)
    newsmill("submit", f"{SITE}/harbour")
    newsmill("takedowns", "add", f"{SITE}/harbour", "--reason", "letter 23", "--yes")
    assert newsmill("submit", "--warc", "--in-place", "a.warc", "--json").json["rejected"] == 1
    extract(sandbox)
    assert newsmill("show", f"{SITE}/harbour").code == 1 and newsmill("show", f"{SITE}/council").code == 0


def test_a_takedown_of_a_page_that_was_submitted_twice(newsmill: Newsmill, sandbox: Sandbox, tmp_path: Path) -> None:
    """The files have different contents and sources, and one page of the same URL."""
    newsmill("add", "https://paper.example/", "--name", "paper", "--no-check")
    write_file(Path("a.warc"), pack_plain)
    newsmill("submit", "--warc", "--in-place", "a.warc")
    extract(sandbox)
    first = find_reference("harbour")
    Path("b.warc").write_bytes(make_record("harbour").replace(b"2020-03-01", b"2020-03-02").replace(b"three", b"seven"))
    assert newsmill("submit", "--warc", "--in-place", "--source", "paper", "b.warc", "--json").json["queued"] == 1
    extract(sandbox)
    references = (first, find_reference("harbour"))
    assert first != references[1]
    take_down(newsmill, Path("b.warc"))
    (listed,) = newsmill("takedowns", "list", "--json").json
    assert listed["files"] == [str(tmp_path / name) for name in ("a.warc", "b.warc")]
    with open_context(settings.load()) as store:
        for reference in references:
            with pytest.raises(ArchiveDamaged, match="is barred by a takedown"):
                store.archive.read_page(*reference)
