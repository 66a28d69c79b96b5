"""Bodies that are not HTML, by their first bytes."""

from __future__ import annotations

import re

from newsmill.model import Outcome, OutcomeRecord
from newsmill.text.sentences import Sentence

# First bytes of files that servers send under .html URLs.
_SIGNATURES = (
    (b"%PDF-", Sentence("a PDF")),
    (b"\x89PNG\r\n", Sentence("a {format} image", format="PNG")),
    (b"\xff\xd8\xff", Sentence("a {format} image", format="JPEG")),
    (b"GIF87a", Sentence("a {format} image", format="GIF")),
    (b"GIF89a", Sentence("a {format} image", format="GIF")),
    (b"PK\x03\x04", Sentence("a {format} archive", format="ZIP")),
    (b"\x1f\x8b\x08", Sentence("a gzip file")),
    (b"Rar!\x1a", Sentence("a {format} archive", format="RAR")),
    (b"7z\xbc\xaf\x27\x1c", Sentence("a {format} archive", format="7z")),
    (b"ID3\x03", Sentence("an {format} file", format="MP3")),
    (b"ID3\x04", Sentence("an {format} file", format="MP3")),
    (b"OggS\x00", Sentence("an {format} file", format="Ogg")),
    (b"\x00\x00\x01\x00", Sentence("an icon")),
    (b"wOFF", Sentence("a font")),
    (b"wOF2", Sentence("a font")),
    (b"\x7fELF", Sentence("a program")),
    (b"MZ\x90\x00", Sentence("a program")),
    (b"\xd0\xcf\x11\xe0", Sentence("an {format} file", format="Office")),
    (b"{\\rtf", Sentence("an {format} file", format="RTF")),
    (b"WARC/", Sentence("a {format} file", format="WARC")),
    (b"\x28\xb5\x2f\xfd", Sentence("a {format} file", format="zstd")),
)
_CONTAINERS = (
    (b"WEBP", 8, Sentence("a {format} image", format="WebP")),
    (b"ftyp", 4, Sentence("a video or AVIF image")),
    (b"WAVE", 8, Sentence("a {format} file", format="WAV")),
)
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
        return OutcomeRecord(Outcome.NO_TEXT, Sentence("the body is empty"))
    named = next((name for magic, name in _SIGNATURES if head.startswith(magic)), None)
    named = named or next((name for magic, at, name in _CONTAINERS if head[at : at + len(magic)] == magic), None)
    if named is not None:
        return OutcomeRecord(Outcome.NOT_HTML, Sentence("the body is {what}", what=named))
    if _MHTML.match(head):
        return OutcomeRecord(Outcome.NOT_HTML, Sentence("the body is {what}", what=Sentence("a web archive (MHTML)")))
    if _XML.match(head.lstrip(b"\xef\xbb\xbf \t\r\n\f")):
        return OutcomeRecord(Outcome.NOT_HTML, Sentence("the body is XML: a feed, a sitemap or a drawing"))
    if _MARKUP.search(head.replace(b"\0", b"")) is not None:
        return None
    media = (content_type or "").split(";")[0].strip().lower()
    if media not in HTML_TYPES:
        return OutcomeRecord(Outcome.NOT_HTML, Sentence("the server calls it {media}, and no markup is in it", media=media))
    is_json = head.lstrip()[:1] in (b"{", b"[")
    if b"<" not in body:
        return OutcomeRecord(Outcome.NOT_HTML, Sentence("the body is JSON") if is_json else Sentence("no markup is in the body"))
    if is_json:
        return OutcomeRecord(Outcome.NOT_HTML, Sentence("the body is JSON"))
    if sum(head.count(byte) for byte in (b"\0", b"\1", b"\2", b"\3", b"\4", b"\5", b"\6")) > len(head) // 50:
        return OutcomeRecord(Outcome.NOT_HTML, Sentence("the body is binary"))
    return None
