"""The archive: what goes in comes out byte for byte, other programs can read it, and no damage passes unseen."""

from __future__ import annotations

import gzip
import io
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from urllib.request import Request, urlopen

import pytest
from fastwarc.warc import ArchiveIterator as FastwarcIterator
from fastwarc.warc import WarcRecordType
from hypothesis import given
from hypothesis import strategies as st
from rows import NOON, SITE, after, page_of
from services import object_store
from warcio.archiveiterator import ArchiveIterator as WarcioIterator

from newsmill.archive import warc, warc_writer
from newsmill.archive.archive import Archive
from newsmill.exceptions import ArchiveDamaged, ConfigError, ServiceError
from newsmill.model import Hint, Page, Segment
from newsmill.text.sentences import MARK

ZIPPED = gzip.compress("<p>Zwölf Boxkämpfer</p>".encode() * 500, mtime=0)
PAGES = [
    page_of(f"{SITE}/plain", b"<html>" + b"x" * 5000),
    page_of(f"{SITE}/zipped", ZIPPED, headers=(("Content-Type", "text/html"), ("Content-Encoding", "gzip"))),
    page_of(f"{SITE}/empty", b""),
    page_of(f"{SITE}/odd", b"\x00\r\n\r\nHTTP/1.1 500 No\r\n\r\n\x1f\x8b", status=599),
    Page(
        requested_url=f"{SITE}/old?utm_source=x",
        url=f"{SITE}/new?q=%C3%BC",
        fetched_at=after(microseconds=123456),
        status=203,
        headers=(("Set-Cookie", "a=1"), ("Set-Cookie", ""), ("X-Caf\xe9", " two  spaces "), ("Server", "\xfe")),
        body=b"body",
        ip="2001:db8::1",
        redirects=(f"{SITE}/old?utm_source=x", f"{SITE}/middle"),
        request_headers=(("User-Agent", "Newsmill (+mailto:a@b.example)"), ("Accept-Encoding", "gzip")),
        source="paper \u2603",
        hint=Hint(title="T\u2603", authors=("A",), published_at=NOON, language="en", tags=("x",)),
    ),
    page_of(f"{SITE}/rendered", b"<div id=app></div>", rendered="<div id=app><p>Zwölf</p></div>".encode()),
    page_of(f"{SITE}/not-rendered", b"<div id=app></div>", rendering_failure="no DOM after 30 s"),
    page_of(
        f"{SITE}/story",
        b"<p>one</p>",
        parts=(page_of(f"{SITE}/story/2", ZIPPED, rendered=b"<p>two</p>"), page_of(f"{SITE}/story/3", b"<p>three</p>")),
    ),
    page_of(f"{SITE}/behind-it", b"<p>another story</p>"),
]
ALL_PAGES = [one for page in PAGES for one in (page, *page.parts)]
RECORDS = 1 + 3 * len(ALL_PAGES) + 2  # with the warcinfo record and the conversion records of the rendered pages


@pytest.fixture
def archive(tmp_path: Path) -> Archive:
    return Archive(str(tmp_path / "archive"))


def file_of(tmp_path: Path) -> Path:
    (path,) = (tmp_path / "archive").rglob("*.warc.gz")
    return path


def test_pages_come_back_as_they_went_in(archive: Archive) -> None:
    segment = archive.write(PAGES, now=after(seconds=0.5))
    assert segment.pages == len(PAGES)
    assert segment.id.startswith("20261125T120000Z-")
    assert segment.created_at == after(seconds=0.5)
    read = list(archive.read(segment.id, segment.offsets, length=segment.length))
    assert [offset for offset, _ in read] == list(segment.offsets)
    assert [page for _, page in read] == PAGES
    assert [archive.read_page(segment.id, offset) for offset in reversed(segment.offsets)] == PAGES[::-1]


header_text = st.text(st.characters(max_codepoint=255, exclude_characters="\r\n"), max_size=20)
pages = st.builds(
    Page,
    requested_url=st.text(max_size=30),
    url=st.text(max_size=30),
    fetched_at=st.just(NOON),
    status=st.integers(100, 599),
    headers=st.lists(st.tuples(st.text(max_size=9), st.text(max_size=20)) | st.tuples(header_text, header_text), max_size=5).map(tuple),
    body=st.binary(max_size=300),
    ip=st.none() | st.just("192.0.2.1"),
    redirects=st.lists(st.text(max_size=9), max_size=3).map(tuple),
    request_headers=st.lists(st.tuples(header_text, header_text), max_size=3).map(tuple),
    source=st.none() | st.text(max_size=9),
    rendered=st.none() | st.binary(max_size=300),
    rendering_failure=st.none() | st.text(st.characters(exclude_characters=MARK), max_size=9),
)


pages |= st.builds(replace, pages, parts=st.lists(pages, max_size=2).map(tuple))


@given(st.lists(pages, min_size=1, max_size=4))
def test_any_page_comes_back(written: list[Page]) -> None:
    file = io.BytesIO()
    offsets = [warc_writer.write_page(file, page) for page in written]
    for offset, page in zip(offsets, written, strict=True):
        assert warc.read_page(file, offset) == without_transfer_encoding(page)


def without_transfer_encoding(page: Page) -> Page:
    kept = tuple((name, value) for name, value in page.headers if name.lower() != "transfer-encoding")
    return replace(page, headers=kept, parts=tuple(map(without_transfer_encoding, page.parts)))


def test_transfer_encoding_is_dropped_because_it_is_undone(archive: Archive) -> None:
    page = page_of(SITE, headers=(("Transfer-Encoding", "chunked"), ("Content-Type", "text/html")))
    segment = archive.write([page], now=NOON)
    assert archive.read_page(segment.id, segment.offsets[0]).headers == (("Content-Type", "text/html"),)


def test_compressed_bodies_are_not_compressed_again(archive: Archive, tmp_path: Path) -> None:
    segment = archive.write(PAGES, now=NOON)
    data = file_of(tmp_path).read_bytes()
    assert ZIPPED in data  # level 0 stores it as it is
    assert PAGES[0].body not in data
    assert segment.length == len(data)


# ---- other programs


def test_fastwarc_and_warcio_read_it(archive: Archive, tmp_path: Path) -> None:
    segment = archive.write(PAGES, now=NOON)
    path = file_of(tmp_path)
    with path.open("rb") as file:
        fast = [(record.stream_pos, record.record_type, record.reader.read()) for record in FastwarcIterator(file, parse_http=True)]
    responses = [(position, body) for position, kind, body in fast if kind is WarcRecordType.response]
    assert [body for _, body in responses] == [page.body for page in ALL_PAGES]
    assert {*zip(segment.offsets, (page.body for page in PAGES), strict=True)} <= {*responses}
    with path.open("rb") as file:
        slow = [(record.rec_type, record.rec_headers["WARC-Target-URI"], record.raw_stream.read()) for record in WarcioIterator(file)]
    assert [kind for kind, _, _ in slow] == _kinds_of_records()
    assert [(url, body) for kind, url, body in slow if kind == "response"] == [(page.url, page.body) for page in ALL_PAGES]


def _kinds_of_records() -> list[str]:
    of_pages = [("response", "request", "metadata", *(("conversion",) if page.rendered is not None else ())) for page in ALL_PAGES]
    return ["warcinfo", *(kind for kinds in of_pages for kind in kinds)]


def test_a_rendered_dom_is_a_conversion_record_of_its_response(archive: Archive, tmp_path: Path) -> None:
    archive.write(PAGES, now=NOON)
    with file_of(tmp_path).open("rb") as file:
        records = [(record.rec_type, record.rec_headers, record.raw_stream.read()) for record in WarcioIterator(file)]
    headers, body = next((headers, body) for kind, headers, body in records if kind == "conversion")
    page = next(page for page in PAGES if page.rendered is not None)
    (response,) = [headers for kind, headers, _ in records if kind == "response" and headers["WARC-Target-URI"] == page.url]
    assert headers["WARC-Refers-To"] == response["WARC-Record-ID"] and headers["WARC-Target-URI"] == page.url
    assert headers["Content-Type"] == "text/html; charset=utf-8" and body == page.rendered
    concurrent = [headers["WARC-Concurrent-To"] for kind, headers, _ in records if kind == "request"]
    assert concurrent == [headers["WARC-Record-ID"] for kind, headers, _ in records if kind == "response"]


def test_a_missing_conversion_record_is_damage() -> None:
    file = io.BytesIO()
    rendered = page_of(f"{SITE}/rendered", rendered=b"<p>text</p>")
    offset = warc_writer.write_page(file, rendered)
    copied = warc.copy_page(file, offset)
    assert warc.read_page(io.BytesIO(copied), 0) == rendered
    file.seek(0)
    last = [record.stream_pos for record in FastwarcIterator(file)][-1]
    for rest in (b"", copied):  # the file ends, or another page follows
        with pytest.raises(ArchiveDamaged, match="no conversion record"):
            warc.read_page(io.BytesIO(copied[:last] + rest), 0)


def test_the_further_pages_of_an_article_are_part_of_its_page(archive: Archive) -> None:
    segment = archive.write(PAGES, now=NOON)
    page, offset = PAGES[-2], segment.offsets[-2]
    with archive.open(segment.id) as file:
        copied = file.records(offset)
    assert warc.read_page(io.BytesIO(copied), 0) == page
    (path,) = archive.list_files()
    erased = archive.erase_pages(path, lambda found: f"{SITE}/story/3" in found, now=NOON)
    assert erased == 1 and archive.count_pages(path, lambda found: any("/story" in url for url in found)) == 0
    assert archive.read_page(segment.id, segment.offsets[-1]) == PAGES[-1]
    with pytest.raises(ArchiveDamaged):
        archive.read_page(segment.id, offset)


def test_warcio_decodes_what_the_server_encoded(archive: Archive, tmp_path: Path) -> None:
    archive.write([PAGES[1]], now=NOON)
    with file_of(tmp_path).open("rb") as file:
        (body,) = (record.content_stream().read() for record in WarcioIterator(file) if record.rec_type == "response")
    assert body == gzip.decompress(ZIPPED)


def test_warcio_check_passes(archive: Archive, tmp_path: Path) -> None:
    archive.write(PAGES, now=NOON)
    check = [sys.executable, "-m", "warcio.cli", "check", "-v", str(file_of(tmp_path))]
    output = subprocess.run(check, capture_output=True, text=True, check=True).stdout
    assert output.count("digest pass") == RECORDS
    assert "fail" not in output
    assert "not present" not in output


def test_every_record_is_a_gzip_member_of_its_own(archive: Archive, tmp_path: Path) -> None:
    segment = archive.write(PAGES, now=NOON)
    data = file_of(tmp_path).read_bytes()
    for offset in segment.offsets:
        assert data[offset : offset + 3] == b"\x1f\x8b\x08"
        assert gzip.decompress(data[offset:]).startswith(b"WARC/1.1\r\nWARC-Type: response\r\n")


# ---- damage


def test_every_truncation_is_noticed(archive: Archive, tmp_path: Path) -> None:
    segment = archive.write(PAGES[:2], now=NOON)
    path = file_of(tmp_path)
    whole = path.read_bytes()
    assert segment.length == len(whole)
    last_bytes = 20  # of the last gzip member: its checksum and the blank lines after the record; the page itself is whole before
    for cut in [*range(0, len(whole) - last_bytes, 37), len(whole) - last_bytes - 1]:
        path.write_bytes(whole[:cut])
        with pytest.raises(ArchiveDamaged):
            list(archive.read(segment.id, segment.offsets))
    for cut in (0, 1, len(whole) - 1):
        path.write_bytes(whole[:cut])
        with pytest.raises(ArchiveDamaged, match=f"has {cut} bytes, but the ledger recorded {len(whole)}"):
            list(archive.read(segment.id, segment.offsets, length=segment.length))


def test_one_damaged_page_leaves_the_others_readable(archive: Archive, tmp_path: Path) -> None:
    segment = archive.write(PAGES, now=NOON)
    path = file_of(tmp_path)
    data = bytearray(path.read_bytes())
    data[data.index(ZIPPED) + 100] ^= 1
    path.write_bytes(data)
    with archive.open(segment.id, length=segment.length) as opened:
        assert opened.page(segment.offsets[0]) == PAGES[0]
        with pytest.raises(ArchiveDamaged, match=f"segment {segment.id}"):
            opened.page(segment.offsets[1])
        assert opened.page(segment.offsets[4]) == PAGES[4]


def test_a_missing_segment_and_a_wrong_offset_are_damage(archive: Archive) -> None:
    segment = archive.write(PAGES, now=NOON)
    with pytest.raises(ArchiveDamaged, match="is missing from the archive"):
        archive.read_page("20261125T120000Z-ffffffff", 0)
    for offset in (0, segment.offsets[0] + 1, segment.length, 10**9):
        with pytest.raises(ArchiveDamaged):
            archive.read_page(segment.id, offset)


@pytest.mark.parametrize("name", ["", "../../etc/passwd", "20261125T120000Z-0000000g", "20261125T120000Z-00000000/../x", "x" * 5000, "\0"])
def test_a_segment_s_name_never_leaves_the_archive(archive: Archive, name: str) -> None:
    """Ids come from Redis. A user who can write there must not choose file names in the archive."""
    with pytest.raises(ArchiveDamaged, match="is not a segment id"):
        archive.read_page(name, 0)


# ---- the folder


def test_nothing_half_written_is_visible(archive: Archive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = warc_writer.write_page

    def fails(file: io.BufferedWriter, page: Page) -> int:
        if page.url.endswith("empty"):
            raise KeyboardInterrupt
        return real(file, page)

    monkeypatch.setattr(warc_writer, "write_page", fails)
    with pytest.raises(KeyboardInterrupt):
        archive.write(PAGES, now=NOON)
    assert [path for path in (tmp_path / "archive").rglob("*") if path.is_file()] == []


def test_a_full_disk_is_a_sentence_and_leaves_nothing(tmp_path: Path) -> None:
    finished = subprocess.run(
        [sys.executable, "-c", FILL, str(tmp_path / "archive")],
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[1] / "storage",
        check=False,
    )
    assert finished.returncode == 0, finished.stderr
    assert "ServiceError archive" in finished.stdout
    assert "nothing was written" in finished.stdout
    files = [path for path in (tmp_path / "archive").rglob("*") if path.is_file()]
    assert [path.name for path in files] == [finished.stdout.split()[-1] + ".warc.gz"]


FILL = """
import os, resource, sys
from newsmill.exceptions import ServiceError
from newsmill.archive.archive import Archive
from rows import NOON, page_of
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
archive = Archive(sys.argv[1])
try:
    archive.write([page_of("https://a.example/", os.urandom(50_000)) for _ in range(4)], now=NOON)
except ServiceError as error:
    print("ServiceError", error)
segment = archive.write([page_of("https://a.example/", os.urandom(50_000))], now=NOON)
assert len(list(archive.read(segment.id, segment.offsets))) == 1
print(segment.id)
"""


def test_a_folder_that_cannot_be_written_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "archive").write_text("a file where the folder should be")
    with pytest.raises(ServiceError, match="nothing was written"):
        Archive(str(tmp_path / "archive")).write(PAGES, now=NOON)


@pytest.mark.parametrize("url", ["nonsense://x/y", "s4://bucket"])
def test_an_unknown_scheme_is_refused(url: str) -> None:
    with pytest.raises(ConfigError, match=f"ARCHIVE_URL '{url}' cannot be used; expected a folder, file:///path or s3://bucket/prefix"):
        Archive(url)


def test_a_file_url_names_a_folder_of_this_machine(tmp_path: Path) -> None:
    for url in (f"file://{tmp_path}/a", f"file://localhost{tmp_path}/a", f"file:{tmp_path}/a"):
        Archive(url).write(PAGES, now=NOON)
    assert len(list(Archive(str(tmp_path / "a")).segment_lengths())) == 3
    for url in ("file://server/archive", "file://archive"):
        with pytest.raises(ConfigError, match=f"ARCHIVE_URL '{url}' is not the path of a folder; expected a folder, file:///path"):
            Archive(url)


def test_a_segment_of_nothing_is_a_bug(archive: Archive) -> None:
    with pytest.raises(ValueError, match="at least one page"):
        archive.write([], now=NOON)


# ---- folders and stores alike


@pytest.fixture(scope="session")
def s3() -> Iterator[str]:
    """The URL of an S3 server that runs as long as the tests."""
    with object_store() as url:
        yield url


@pytest.fixture(params=["path", "file", "s3"])
def anywhere(request: pytest.FixtureRequest, tmp_path: Path) -> Archive:
    if request.param == "path":
        return Archive(str(tmp_path / "a b"))
    if request.param == "file":
        return Archive(f"file://{tmp_path}/archive")
    options = {"endpoint_url": request.getfixturevalue("s3"), "key": "k", "secret": "s"}
    bucket = f"bucket-{abs(hash(tmp_path))}"
    urlopen(Request(f"{options['endpoint_url']}/{bucket}", method="PUT")).close()
    return Archive(f"s3://{bucket}/some/prefix", options)


def test_every_place_keeps_pages(anywhere: Archive) -> None:
    assert anywhere.total_bytes() == 0
    segments = [anywhere.write(PAGES[:number], now=NOON) for number in (1, 5)]
    for segment in segments:
        assert [page for _, page in anywhere.read(segment.id, segment.offsets, length=segment.length)] == PAGES[: segment.pages]
    assert anywhere.total_bytes() == sum(segment.length for segment in segments)
    assert anywhere.read_page(segments[1].id, segments[1].offsets[3]) == PAGES[3]
    with pytest.raises(ArchiveDamaged, match="missing"):
        anywhere.read_page("20261125T120000Z-ffffffff", 0)


def test_the_sweep_takes_only_what_is_old_and_unknown(anywhere: Archive) -> None:
    known, orphan = (anywhere.write(PAGES[:1], now=NOON) for _ in range(2))
    requested: list[str] = []

    def known_segments(ids: list[str]) -> set[str]:
        requested.extend(ids)
        return {known.id}

    far = after(days=10_000)
    assert anywhere.remove_orphans(known_segments, older_than=NOON - timedelta(days=10_000)) == []
    assert requested == []
    assert [path.rpartition("/")[2] for path in anywhere.remove_orphans(known_segments, older_than=far)] == [f"{orphan.id}.warc.gz"]
    assert sorted(requested) == sorted([known.id, orphan.id])
    assert anywhere.read_page(known.id, known.offsets[0]) == PAGES[0]
    assert anywhere.remove_orphans(known_segments, older_than=far) == []
    (moved,) = anywhere._store.list_objects("unknown")
    assert (moved.path, moved.length) == (f"unknown/2026/11/25/{orphan.id}.warc.gz", orphan.length), "it may be newer than the database"


def test_an_archive_is_recognized_by_segments(anywhere: Archive) -> None:
    with pytest.raises(ServiceError, match="is empty, but the database names segments"):
        anywhere.require_files([])
    known = anywhere.write(PAGES[:1], now=NOON).id
    anywhere.require_files([])
    anywhere.require_files(["20261125T120000Z-ffffffff", known])
    with pytest.raises(ServiceError, match="has none of the older segments, but"):
        anywhere.require_files(["20261125T120000Z-ffffffff"])


def test_the_sweep_takes_unfinished_files_and_no_others(archive: Archive, tmp_path: Path) -> None:
    segment: Segment = archive.write(PAGES[:1], now=NOON)
    folder = file_of(tmp_path).parent
    (folder / "20261125T120000Z-00000000.warc.gz.tmp").write_bytes(b"half")
    (folder / "README").write_bytes(b"somebody's notes")
    assert [path.rpartition("/")[2] for path in archive.remove_orphans(lambda ids: {segment.id}, older_than=after(days=10_000))] == [
        "20261125T120000Z-00000000.warc.gz.tmp"
    ]
    assert sorted(path.name for path in folder.iterdir()) == sorted(["README", f"{segment.id}.warc.gz"])


def test_a_store_that_is_away_is_a_sentence() -> None:
    options = {"endpoint_url": "http://127.0.0.1:1", "key": "k", "secret": "s", "config_kwargs": {"retries": {"max_attempts": 0}}}
    archive = Archive("s3://bucket/prefix", options)
    with pytest.raises(ServiceError, match="archive s3://bucket/prefix"):
        archive.write(PAGES[:1], now=NOON)
    with pytest.raises(ServiceError, match="archive s3://bucket/prefix"):
        archive.read_page("20261125T120000Z-ffffffff", 0)


def test_an_archive_that_cannot_be_listed_is_not_empty(tmp_path: Path) -> None:
    """Such as one that was restored by another user. (A file in place of the folder: tests may run as root.)"""
    (tmp_path / "segments").write_text("")
    archive = Archive(str(tmp_path))
    for call in (archive.total_bytes, archive.is_empty, lambda: list(archive.segment_lengths())):
        with pytest.raises(ServiceError, match=rf"archive {tmp_path}: .*Not a directory"):
            call()
