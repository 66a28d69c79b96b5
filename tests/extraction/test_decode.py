"""Decompression: every coding, nested, bare, broken, and never beyond the cap."""

from __future__ import annotations

import codecs
import gzip
import json
import zlib
from pathlib import Path

import brotli
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from newsmill.exceptions import DecodeError
from newsmill.extraction.decode import decode_body
from newsmill.extraction.non_html import detect_non_html

TEXT = b"<html><body>" + b"some words " * 500 + b"</body></html>"
RAW = zlib.compressobj(wbits=-15)
CODED = {
    "gzip": gzip.compress(TEXT),
    "x-gzip": gzip.compress(TEXT),
    "deflate": zlib.compress(TEXT),
    "br": brotli.compress(TEXT),
    "zstd": zstandard.compress(TEXT),
}


@pytest.mark.parametrize("coding", CODED)
def test_every_coding(coding: str) -> None:
    assert decode_body(coding, CODED[coding]) == TEXT
    assert decode_body(coding.upper(), CODED[coding]) == TEXT


def test_raw_deflate_several_members_layers_and_no_header() -> None:
    assert decode_body("deflate", RAW.compress(TEXT) + RAW.flush()) == TEXT
    assert decode_body("gzip", gzip.compress(TEXT[:100]) + gzip.compress(TEXT[100:]) + b"\0\0") == TEXT
    assert decode_body("deflate, gzip", gzip.compress(zlib.compress(TEXT))) == TEXT
    assert decode_body(None, gzip.compress(TEXT)) == TEXT
    assert decode_body("identity", TEXT) == TEXT
    assert decode_body("", b"") == b""


def test_many_members_of_gzip_are_read_up_to_a_limit() -> None:
    blocks = [TEXT[at : at + 7] for at in range(0, len(TEXT), 7)]
    assert decode_body("gzip", b"".join(map(gzip.compress, blocks))) == TEXT
    long = bytes(300_000) + b"end"
    assert decode_body("gzip", gzip.compress(long, 0) + gzip.compress(b"x")) == long + b"x"
    with pytest.raises(DecodeError, match="more than 10,000 members"):
        decode_body("gzip", gzip.compress(b"") * 230_000)


@pytest.mark.parametrize("coding", ["gzip", "deflate", "br", "zstd", "utf-8"])
def test_a_body_that_is_plainly_not_compressed_is_taken_as_it_is(coding: str) -> None:
    for body in (TEXT, codecs.BOM_UTF8 + TEXT, *(mark + b"\n" + TEXT for mark in (codecs.BOM_UTF8, codecs.BOM_UTF16_LE))):
        assert decode_body(coding, body) == body


@pytest.mark.parametrize("coding", ["gzip", "deflate", "br", "zstd"])
def test_a_bomb_is_refused_at_the_cap(coding: str) -> None:
    bomb = {"gzip": gzip.compress, "deflate": zlib.compress, "br": brotli.compress, "zstd": zstandard.compress}[coding](bytes(3_000_000))
    with pytest.raises(DecodeError) as error:
        decode_body(coding, bomb, cap=1_000_000)
    assert error.value.outcome == "too_large"


def test_cut_short_before_the_end_of_the_page_is_a_loss_after_it_is_none() -> None:
    with pytest.raises(DecodeError) as error:
        decode_body("gzip", CODED["gzip"][:40])
    assert error.value.outcome == "data_loss"
    assert decode_body("gzip", CODED["gzip"][:-8]) == TEXT  # only checksum and length are missing


@pytest.mark.parametrize(
    ("coding", "body"),
    [("gzip", b"nonsense"), ("deflate", b"\x78\x9cnonsense"), ("br", b"\xff\xff\xff"), ("zstd", b"nonsense"), ("zip", b"PK")],
)
def test_broken_or_unknown(coding: str, body: bytes) -> None:
    with pytest.raises(DecodeError) as error:
        decode_body(coding, body)
    assert error.value.outcome == "bad_encoding"


def test_more_layers_than_any_honest_server_uses() -> None:
    with pytest.raises(DecodeError):
        decode_body("gzip, gzip, gzip, gzip", TEXT)


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(["gzip", "deflate", "br", "zstd", "gzip, br"]), st.binary(max_size=300), st.integers(0, 200))
def test_damage_gives_bytes_or_a_named_error(coding: str, noise: bytes, at: int) -> None:
    body = CODED.get(coding, b"")
    for damaged in (noise, body[:at] + noise + body[at:], body[:at]):
        try:
            assert isinstance(decode_body(coding, damaged, cap=100_000), bytes)
        except DecodeError as error:
            assert error.outcome in ("bad_encoding", "too_large", "data_loss")


def test_measured_bodies(shared: Path) -> None:
    folder = shared / "cases" / "compressed_bodies"
    for line in (folder / "cases.jsonl").read_text("utf-8").splitlines():
        case = json.loads(line)
        body = (folder / next(iter(case["files"].values()))).read_bytes()
        if case["expect"] == "refuse":
            with pytest.raises(DecodeError):
                decode_body(case["encoding"], body)
        else:
            assert isinstance(decode_body(case["encoding"], body), bytes)


@pytest.mark.parametrize(
    ("body", "name"),
    [
        (b"WARC/1.1\r\nWARC-Type: response\r\n\r\nHTTP/1.1 200 OK\r\n\r\n<html><p>text", "a WARC file"),
        (zstandard.compress(b"WARC/1.0"), "a zstd file"),
        (
            b'From: <Saved by Blink>\r\nMIME-Version: 1.0\r\nContent-Type: multipart/related;\r\n\ttype="text/html"\r\n\r\n<html><p>text',
            "MHTML",
        ),
        (b'{"log": {"entries": []}}', "JSON"),
        (b"one.html\ntwo.html\n", "no markup"),
    ],
)
def test_archives_and_lists_are_not_read_as_pages(body: bytes, name: str) -> None:
    found = detect_non_html(body, "text/html")
    assert found is not None
    assert found.outcome == "not_html"
    assert name in str(found.detail)
