"""The kind of a body, by its first bytes and not by its URL or media type."""

from __future__ import annotations

import re
import zlib
from enum import StrEnum

from newsmill.text.charset import to_text

HEAD_BYTES = 32 * 1024  # a prolog with comments and style sheets ends before
GZIP_MAGIC = b"\x1f\x8b"

_PROLOG = re.compile(r"(?:\s++|<\?(?:[^?]|\?(?!>))*+\?>|<!--(?:[^-]|-(?!->))*+-->|<!DOCTYPE[^>\[]*+(?:\[[^\]]*+\]\s*+)?>)*+", re.I)
_ROOT = re.compile(r"<(?:[\w.-]+:)?([A-Za-z][\w.-]*)")
_JSON_FEED = re.compile(r'"version"\s*+:\s*+"https?:\\?/\\?/jsonfeed\.org|"items"\s*+:\s*+\[|"home_page_url"\s*+:')
_FEED_ROOTS = frozenset({"rss", "rdf", "feed", "channel"})
_SITEMAP_ROOTS = frozenset({"urlset", "sitemapindex"})


class BodyKind(StrEnum):
    """What a body is."""

    FEED = "feed"
    SITEMAP = "sitemap"
    OPML = "opml"  # a list of feeds, as feed readers export it
    HTML = "html"
    OTHER = "other"


def tell_body_kind(body: bytes, content_type: str | None = None) -> BodyKind:
    """The kind of a body without its Content-Encoding. Reads the first 32 KB. Never raises.

    >>> tell_body_kind(b'<?xml version="1.0"?><!-- made by hand --><opml version="2.0">').value
    'opml'
    """
    text = to_text(_unpack(body)[:HEAD_BYTES], content_type, is_xml=True)[0].lstrip("\ufeff \t\r\n")
    if text[:1] in ("{", "["):
        return BodyKind.FEED if _JSON_FEED.search(text) else BodyKind.OTHER
    prolog = _PROLOG.match(text)
    root = _ROOT.match(text, prolog.end() if prolog else 0)
    if root is None:
        return _tell_text_kind(text)
    name = root[1].lower()
    if name in _FEED_ROOTS:
        return BodyKind.FEED
    if name in _SITEMAP_ROOTS:
        return BodyKind.SITEMAP
    if name == "opml":
        return BodyKind.OPML
    return BodyKind.OTHER if text.startswith("<?xml") and name not in ("html", "body") else BodyKind.HTML


def _tell_text_kind(text: str) -> BodyKind:
    """A sitemap may be a text file with one URL per line (sitemaps.org)."""
    lines = [line.strip() for line in text.splitlines()[:20] if line.strip()]
    if lines and all(line.startswith(("http://", "https://")) and " " not in line for line in lines[:-1] or lines):
        return BodyKind.SITEMAP
    return BodyKind.HTML if "<" in text and "\0" not in text else BodyKind.OTHER


def _unpack(body: bytes) -> bytes:
    """The first bytes of a gzip file, such as sitemap.xml.gz; other bytes as they are."""
    if not body.startswith(GZIP_MAGIC):
        return body
    try:
        return zlib.decompressobj(zlib.MAX_WBITS | 16).decompress(body, HEAD_BYTES)
    except zlib.error:
        return b""
