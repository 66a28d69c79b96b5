"""WARC files of other programs as a stream: nothing that can be read is lost to damage, and nothing in them ends the reading."""

from __future__ import annotations

import gzip
import io
import json
import os
import random
import tracemalloc
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, BinaryIO, cast

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st
from warc_records import make_record, record

from newsmill.archive import warc, warc_responses, warc_writer
from newsmill.archive.captures import read_captures
from newsmill.archive.warc_records import MAX_BLOCK_BYTES
from newsmill.model import Capture, Hint, Page, Skipped

SITE = "https://paper.example"
BODIES = [f"<html><p>{number}".encode() + random.Random(number).randbytes(2000) for number in range(6)]
RECORDS = [record(f"{SITE}/{number}", body) for number, body in enumerate(BODIES)]
PACKERS: dict[str, Callable[[bytes], bytes]] = {"plain": bytes, "gzip": gzip.compress, "zstd": zstandard.compress}


def read(data: bytes) -> list[Capture]:
    return list(read_captures(io.BytesIO(data)))


def urls(captures: list[Capture]) -> list[str]:
    return [capture.page.url.removeprefix(f"{SITE}/") for capture in captures if capture.page is not None]


def damages(captures: list[Capture]) -> list[int]:
    return [capture.offset for capture in captures if capture.skipped is Skipped.DAMAGED]


@pytest.mark.parametrize("packer", PACKERS)
def test_every_page_with_its_offset(packer: str) -> None:
    packed = [PACKERS[packer](one) for one in RECORDS]
    found = read(b"".join(packed))
    assert [capture.page and capture.page.body for capture in found] == BODIES
    assert [capture.offset for capture in found] == [sum(map(len, packed[:number])) for number in range(6)]


def test_a_file_that_was_compressed_as_a_whole() -> None:
    assert urls(read(gzip.compress(b"".join(RECORDS)))) == ["0", "1", "2", "3", "4", "5"]


@pytest.mark.parametrize("packer", ["plain", "gzip"])
@pytest.mark.parametrize(
    "damage",
    [
        lambda one: one[:1000],
        lambda one: one[:10] + bytes(40) + one[50:],
        lambda one: bytes(20) + one[20:],
        lambda one: b"no record\r\n" * 50,
        lambda one: one + b"rubbish " * 50,
    ],
)
def test_reading_resumes_behind_damage(packer: str, damage: Callable[[bytes], bytes]) -> None:
    packed = [PACKERS[packer](one) for one in RECORDS]
    packed[2] = damage(packed[2])
    found = read(b"".join(packed))
    start = sum(map(len, packed[:2]))
    assert {"0", "1", "4", "5"} <= set(urls(found))
    assert len(urls(found)) == len(set(urls(found)))
    assert damages(found)
    assert all(start - len(packed[1]) <= offset <= start + len(packed[2]) for offset in damages(found))


def test_a_wrong_length_costs_its_record_only() -> None:
    longer = [one.replace(b"Content-Length: 2", b"Content-Length: 9") if number == 2 else one for number, one in enumerate(RECORDS)]
    for pack in (PACKERS["plain"], PACKERS["gzip"]):
        found = read(b"".join(map(pack, longer)))
        assert urls(found) == ["0", "1", "3", "4", "5"]
        assert damages(found) == [sum(len(pack(one)) for one in RECORDS[:2])]


@pytest.mark.parametrize("missing", [300, -300])
@pytest.mark.parametrize("packer", ["plain", "gzip", "zstd", "whole", "pipe"])
def test_a_record_of_another_length_holds_nothing_of_the_next(packer: str, missing: int) -> None:
    """Its text would contain the headers of the next record. A block that is only too short is seen where the file can be searched."""
    damaged = RECORDS[2][:-4][:-missing] if missing > 0 else RECORDS[2][:-4] + bytes(-missing)
    records = [*RECORDS[:2], damaged + b"\r\n\r\n", *RECORDS[3:]]
    if packer == "pipe":
        end, start = os.pipe()
        with os.fdopen(end, "rb") as out, os.fdopen(start, "wb") as into:
            into.write(b"".join(records))
            into.close()
            found = list(read_captures(out))
    else:
        found = read(gzip.compress(b"".join(records)) if packer == "whole" else b"".join(map(PACKERS[packer], records)))
    assert urls(found)[:2] == ["0", "1"] and damages(found)
    assert "2" not in urls(found) or (missing < 0 and packer not in ("plain", "gzip"))
    assert not any(b"WARC/" in capture.page.body for capture in found if capture.page is not None)
    if packer in ("plain", "gzip"):
        assert (urls(found), len(damages(found))) == (["0", "1", "3", "4", "5"], 1)


@pytest.mark.parametrize("packer", PACKERS)
def test_a_truncated_file_gives_its_whole_records(packer: str) -> None:
    data = b"".join(map(PACKERS[packer], RECORDS))
    found = read(data[:-500])
    assert (urls(found), len(damages(found))) == (["0", "1", "2", "3", "4"], 1)


def test_a_pipe_is_read_up_to_its_first_damage() -> None:
    for cut, expected in ((b"", ["0", "1", "2", "3", "4", "5"]), (bytes(100), ["0", "1"])):
        end, start = os.pipe()
        with os.fdopen(end, "rb") as out, os.fdopen(start, "wb") as into:
            packed = [gzip.compress(one) for one in RECORDS]
            into.write(b"".join([*packed[:2], cut, *packed[2:]]))
            into.close()
            found = list(read_captures(out))
        assert (urls(found), bool(damages(found))) == (expected, bool(cut))


@given(
    st.sampled_from(["plain", "gzip", "zstd"]),
    st.lists(st.tuples(st.integers(0, 20_000), st.binary(max_size=8), st.integers(0, 8)), min_size=1, max_size=4),
)
def test_any_damage_ends_in_captures(packer: str, changes: list[tuple[int, bytes, int]]) -> None:
    data = b"".join(map(PACKERS[packer], RECORDS[:3]))
    for at, new, length in changes:
        at %= len(data)
        data = data[:at] + new + data[at + length :]
    assert len(read(data)) < 50


@pytest.mark.parametrize(
    ("one", "expected"),
    [
        (record(f"<{SITE}/0>", b"x"), None),  # as wget writes it
        (make_record(f"{SITE}/0", b"HTTP/1.0 200 OK\nContent-Type: text/html\n\nx"), None),
        (make_record(f"{SITE}/0", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n"), None),
        (record(f"{SITE}/0", b"x", http_headers=("Transfer-Encoding: chunked",)), None),  # the body was decoded, the header was kept
        (record(f"{SITE}/0", b"", kind="revisit"), Skipped.REVISIT),
        (make_record("dns:paper.example", b"paper.example. 1 IN A 192.0.2.1"), Skipped.OTHER),
        (make_record("urn:view:https://paper.example/", b"png", kind="resource"), Skipped.OTHER),
        (make_record(f"{SITE}/0", b"GET / HTTP/1.1\r\n\r\n", kind="request"), Skipped.OTHER),
        (make_record(f"{SITE}/0", b"", kind="of-the-future"), Skipped.OTHER),
        (make_record(f"{SITE}/0", b"paper"), Skipped.DAMAGED),
        (record(f"{SITE}/0", b"x", date="yesterday"), Skipped.DAMAGED),
        (record(f"{SITE}/0", b"x", date="2019-12-31T23:59:59Z"), Skipped.FILTERED),
        (record(f"{SITE}/0", bytes(MAX_BLOCK_BYTES)), Skipped.TOO_LARGE),
    ],
)
def test_kinds_of_records(one: bytes, expected: Skipped | None) -> None:
    found = list(read_captures(io.BytesIO(one + RECORDS[1]), lambda url, at: at.year >= 2020))
    assert [capture.skipped for capture in found] == [expected, None]
    if expected is None:
        assert found[0].page is not None
        assert (found[0].page.url, found[0].page.body) == (f"{SITE}/0", b"x")


class EndlessZeros(io.RawIOBase):
    """A record of 300 MB between two pages, which is made while it is read."""

    def __init__(self) -> None:
        size = 300_000_000
        self._parts: list[Any] = [RECORDS[0] + make_record("ftp://x", b"").replace(b"Length: 0", b"Length: %d" % size)[:-4], size]
        self._parts.append(b"\r\n\r\n" + RECORDS[1])

    def seekable(self) -> bool:
        return False

    def read(self, size: int = -1, /) -> bytes:
        while self._parts and not self._parts[0]:
            del self._parts[0]
        if not self._parts:
            return b""
        if isinstance(self._parts[0], int):
            count = min(size, self._parts[0])
            self._parts[0] -= count
            return bytes(count)
        data, self._parts[0] = self._parts[0][:size], self._parts[0][size:]
        return cast(bytes, data)


def test_a_large_record_is_skipped_in_constant_memory() -> None:
    tracemalloc.start()
    try:
        assert urls(list(read_captures(cast(BinaryIO, EndlessZeros())))) == ["0", "1"]
        assert tracemalloc.get_traced_memory()[1] < 5_000_000
    finally:
        tracemalloc.stop()


def test_pages_of_newsmill_keep_what_only_its_archive_has(tmp_path: Path) -> None:
    at = warc_responses.read_warc_date("2020-03-01T09:30:00.123456Z")
    html = (("Content-Type", "text/html"),)
    parts = tuple(Page(f"{SITE}/1/{number}", f"{SITE}/1/{number}", at, 200, html, b"<p>") for number in (2, 3))
    pages = [
        Page(f"{SITE}/old", f"{SITE}/0", at, 200, html, b"<p>", redirects=(f"{SITE}/old",), source="paper", hint=Hint(title="T")),
        Page(f"{SITE}/1", f"{SITE}/1", at, 200, html, b"<div>", rendered=b"<p>rendered", parts=parts),
        Page(f"{SITE}/2", f"{SITE}/2", at, 200, warc.ITEM_HEADERS, b"{}", is_item=True),
    ]
    file = io.BytesIO()
    warc_writer.write_warcinfo(file, at)
    offsets = [warc_writer.write_page(file, page) for page in pages]
    warc_writer.write_warcinfo(file, at)  # as in several segments behind each other
    warc_writer.write_page(file, replace(pages[0], url=f"{SITE}/3"))
    file.seek(0)
    found = [capture for capture in read_captures(file) if capture.page is not None]
    assert [capture.page for capture in found] == [*pages, replace(pages[0], url=f"{SITE}/3")]
    assert [capture.offset for capture in found[:3]] == offsets
    file.seek(0)
    assert not [capture for capture in read_captures(file, lambda url, at: False) if capture.page is not None]
    cut = read(file.getvalue()[: offsets[2] - 40])
    assert (urls(cut), len(damages(cut))) == (["0"], 2)  # the last record of a further page, and the page that misses it


@pytest.mark.parametrize(
    "forged",
    [
        {"metadata": b"[]"},
        {"metadata": b"{" * 100_000},
        {"metadata": b'{"requested_url": 1}'},
        {"metadata": None},
        {"request": None},
        {"response": b"HTTP/1.1"},
        {"response": b"HTTP/1.1 many OK"},
        {"fetched_at": "2020-03-01T09:30:00"},
        {"redirects": 3},
        {"hint": {"published_at": []}},
        {"headers": [["one"]]},
        {"rendered": True},
    ],
)
def test_any_program_can_write_what_looks_like_newsmill(forged: dict[str, Any]) -> None:
    values: dict[str, Any] = {"requested_url": f"{SITE}/0", "url": f"{SITE}/0", "fetched_at": "2020-03-01T09:30:00+00:00", "ip": None}
    values |= {"redirects": [], "source": None, "hint": {}}
    blocks: dict[str, Any] = {"response": b"HTTP/1.1 200 OK\r\n\r\nx", "request": b"GET / HTTP/1.1\r\n\r\n"}
    blocks["metadata"] = json.dumps(
        values | {key: value for key, value in forged.items() if key in (*values, "headers", "rendered")}
    ).encode()
    blocks |= {key: value for key, value in forged.items() if key in blocks}
    records = [make_record(f"{SITE}/0", block, kind=kind) for kind, block in blocks.items() if block is not None]
    found = read(make_record("", warc_writer.SOFTWARE + b"0", kind="warcinfo") + b"".join(records))
    assert [capture.skipped for capture in found] == [Skipped.OTHER, Skipped.DAMAGED]
