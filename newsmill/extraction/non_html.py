"""Bodies that are not HTML, by their first bytes."""

from __future__ import annotations

import re

from newsmill.model import Outcome, OutcomeRecord

# First bytes of files that servers send under .html URLs.
_SIGNATURES = (
    (b"%PDF-", "a PDF"),
    (b"\x89PNG\r\n", "a PNG image"),
    (b"\xff\xd8\xff", "a JPEG image"),
    (b"GIF87a", "a GIF image"),
    (b"GIF89a", "a GIF image"),
    (b"PK\x03\x04", "a ZIP archive"),
    (b"\x1f\x8b\x08", "a gzip file"),
    (b"Rar!\x1a", "a RAR archive"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive"),
    (b"ID3\x03", "an MP3 file"),
    (b"ID3\x04", "an MP3 file"),
    (b"OggS\x00", "an Ogg file"),
    (b"\x00\x00\x01\x00", "an icon"),
    (b"wOFF", "a font"),
    (b"wOF2", "a font"),
    (b"\x7fELF", "a program"),
    (b"MZ\x90\x00", "a program"),
    (b"\xd0\xcf\x11\xe0", "an Office file"),
    (b"{\\rtf", "an RTF file"),
    (b"WARC/", "a WARC file"),
    (b"\x28\xb5\x2f\xfd", "a zstd file"),
)
_CONTAINERS = ((b"WEBP", 8, "a WebP image"), (b"ftyp", 4, "a video or AVIF image"), (b"WAVE", 8, "a WAV file"))
# Content types that servers send with HTML. A body with another type must contain markup.
HTML_TYPES = (
    "",
    "text/html",
    "application/xhtml+xml",
    "text/plain",
    "application/octet-stream",
    "unknown/unknown",
    "application/xml",
    "text/xml",
)
_MARKUP = re.compile(
    rb"<\s*(?:!doctype html|html|head|body|title|meta|link|div|p|article|main|section|script|h1|table|span|a)\b", re.IGNORECASE
)
_XML = re.compile(
    rb"(?:<\?xml[^>]{0,200}>\s*)?(?:<!doctype (?!html)[^>]{0,300}>\s*)?(?:<!--[^>]{0,300}-->\s*)?"
    rb"<(?:rss|feed|rdf:rdf|urlset|sitemapindex|svg|opml|kml|smil|plist)\b",
    re.IGNORECASE,
)
_MHTML = re.compile(rb"[\w-]{1,40}:[\s\S]{0,2000}?\bContent-Type:\s*multipart/related\b", re.IGNORECASE)  # RFC 2557, "save as" of browsers
_HEAD_BYTES = 4096  # bytes at the start of the body that `detect_non_html` examines


def detect_non_html(body: bytes, content_type: str | None) -> OutcomeRecord | None:
    """Return the outcome of a decompressed body that is not HTML, or None for a body that can be parsed as a page.

    The bytes decide; the URL does not count, and `content_type` counts only for a body without markup.
    """
    head = body[:_HEAD_BYTES]
    if not head.strip(b"\xef\xbb\xbf\xff\xfe \t\r\n\f\0"):
        return OutcomeRecord(Outcome.NO_TEXT, "the body is empty")
    named = next((name for magic, name in _SIGNATURES if head.startswith(magic)), None)
    named = named or next((name for magic, at, name in _CONTAINERS if head[at : at + len(magic)] == magic), None)
    if named is not None:
        return OutcomeRecord(Outcome.NOT_HTML, f"the body is {named}")
    if _MHTML.match(head):
        return OutcomeRecord(Outcome.NOT_HTML, "the body is a web archive (MHTML)")
    if _XML.match(head.lstrip(b"\xef\xbb\xbf \t\r\n\f")):
        return OutcomeRecord(Outcome.NOT_HTML, "the body is XML: a feed, a sitemap or a drawing")
    if _MARKUP.search(head.replace(b"\0", b"")) is not None:
        return None
    media = (content_type or "").split(";")[0].strip().lower()
    if media not in HTML_TYPES:
        return OutcomeRecord(Outcome.NOT_HTML, f"the server calls it {media}, and no markup is in it")
    if b"<" not in body:
        return OutcomeRecord(Outcome.NOT_HTML, "the body is JSON" if head.lstrip()[:1] in (b"{", b"[") else "no markup is in the body")
    if head.lstrip()[:1] in (b"{", b"["):
        return OutcomeRecord(Outcome.NOT_HTML, "the body is JSON")
    if sum(head.count(byte) for byte in (b"\0", b"\1", b"\2", b"\3", b"\4", b"\5", b"\6")) > len(head) // 50:
        return OutcomeRecord(Outcome.NOT_HTML, "the body is binary")
    return None
