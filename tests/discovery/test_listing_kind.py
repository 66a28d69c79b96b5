"""Bodies are told by their content, and declarations about text and data mining are quoted."""

from __future__ import annotations

import gzip

import pytest

from newsmill.discovery.declarations import (
    find_header_declarations,
    find_meta_declarations,
    find_robots_declarations,
    read_ai_txt,
    read_tdmrep,
)
from newsmill.discovery.listing_kind import BodyKind, tell_body_kind

URLSET = b'<?xml version="1.0"?>\n<?xml-stylesheet href="x.xsl"?><!-- made - by -- hand -->\n<urlset xmlns="x">'


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b"<rss version='2.0'>", BodyKind.FEED),
        (b'<?xml version="1.0"?><!DOCTYPE rss [<!ENTITY a "b">]><rss>', BodyKind.FEED),
        (b'<rdf:RDF xmlns="x">', BodyKind.FEED),
        (b'<atom:feed xmlns:atom="x">', BodyKind.FEED),
        ("<?xml version='1.0'?><feed>".encode("utf-16"), BodyKind.FEED),
        (b'{"version": "https://jsonfeed.org/version/1.1", "items": []}', BodyKind.FEED),
        (b'{"error": 404}', BodyKind.OTHER),
        (URLSET, BodyKind.SITEMAP),
        (gzip.compress(URLSET), BodyKind.SITEMAP),
        (b"https://a.example/1\r\nhttps://a.example/2\r\n", BodyKind.SITEMAP),
        (b"<?xml version='1.0'?><opml>", BodyKind.OPML),
        (b"<!DOCTYPE html>\n<html>", BodyKind.HTML),
        (b"<?xml version='1.0'?><html xmlns='x'>", BodyKind.HTML),
        (b"  text <p>of a page", BodyKind.HTML),
        (b"<svg>", BodyKind.HTML),
        (b"<?xml version='1.0'?><svg>", BodyKind.OTHER),
        (b"\x1f\x8bbroken", BodyKind.OTHER),
        (b"", BodyKind.OTHER),
        (b"<!--" + b"-" * 100_000, BodyKind.HTML),
        (b"body { color: red }", BodyKind.OTHER),
    ],
)
def test_kinds(body: bytes, kind: BodyKind) -> None:
    assert tell_body_kind(body) is kind


def test_declarations_are_quoted() -> None:
    headers = [("TDM-Reservation", "1"), ("Content-Type", "text/html"), ("x-robots-tag", "noai")]
    assert [(one.name, one.value) for one in find_header_declarations(headers)] == [("tdm-reservation", "1"), ("x-robots-tag", "noai")]
    html = b'<html><head><META NAME="robots" content="noai,  noimageai"><meta name=viewport content=x><meta name="tdm-policy" content="https://a/p">'
    assert [one.value for one in find_meta_declarations(html)] == ["noai, noimageai", "https://a/p"]
    robots = b"User-agent: *\nContent-Signal: ai-train=no, search=yes # comment\nDisallow:\nContent-Usage: train-ai=n\n"
    assert [one.value for one in find_robots_declarations(robots, "u")] == ["ai-train=no, search=yes", "train-ai=n"]
    (rule,) = read_tdmrep(b'[{"location": "/*", "tdm-reservation": 1, "tdm-policy": "https://a/p", "x": [1]}, 7, {"location": "/"}]', "u")
    assert rule.value == '{"location": "/*", "tdm-reservation": 1, "tdm-policy": "https://a/p"}'
    assert [one.value for one in read_ai_txt(b"# ai\nUser-Agent: *\nDisallow: *\n", "text/plain", "u")] == ["User-Agent: *", "Disallow: *"]


def test_hostile_declarations_give_nothing_or_are_cut() -> None:
    assert read_tdmrep(b"[" * 100_000, "u") == read_tdmrep(b'{"a": 1}', "u") == read_tdmrep(b"<html>", "u") == []
    assert read_ai_txt(b"<!doctype html><html>", "text/plain", "u") == []
    assert len(find_header_declarations([("X-Robots-Tag", "x" * 5000)] * 100)) == 20
    assert len(find_meta_declarations(b'<meta name="robots" content="' + b"x" * 1500 + b'">')[0].value) == 300
    assert find_meta_declarations(b"<meta " * 100_000) == []
