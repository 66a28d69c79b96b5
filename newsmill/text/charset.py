"""Bytes → text by the order of the HTML standard: byte order mark, HTTP header, <meta>, then a guess."""

from __future__ import annotations

import codecs
from collections.abc import Iterator
from contextlib import suppress
from itertools import chain

from newsmill.text import lazy_re as re
from newsmill.text.declared_charset import find_declared_encoding, find_xml_label, read_header_label
from newsmill.text.web_codecs import decode, find_codec

PRESCAN_BYTES = 1024  # searched for <meta charset>: https://html.spec.whatwg.org/#prescan-a-byte-stream-to-determine-its-encoding
LATE_PRESCAN_BYTES = 65_536  # browsers that meet a later <meta charset> start again with it, so it counts before detection
MAX_DETECTOR_BYTES = 65_536  # the statistical detector's time grows with length, its certainty hardly
DETECTOR_LEAD_BYTES = 1024  # shown to the detector before the first byte that is not ASCII

_BOMS = (
    (codecs.BOM_UTF32_LE, "utf-32-le"),  # before UTF-16, whose mark it begins with
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
# A lone surrogate in UTF-8, which no codec and no database accepts.
_SURROGATE_BYTES = re.compile(rb"\xed[\xa0-\xbf][\x80-\xbf]")
# The statistical detector may answer with encodings of the web only, in its own names: no page is EBCDIC.
_DETECTABLE_ENCODINGS = (
    *("windows-1250", "windows-1251", "windows-1252", "windows-1253", "windows-1254", "windows-1255", "windows-1256", "windows-1257"),
    *("windows-1258", "cp874", "tis-620", "iso-8859-1", "iso-8859-2", "iso-8859-5", "iso-8859-7", "iso-8859-8", "iso-8859-9"),
    *("koi8-r", "koi8-u", "cp855", "cp866", "mac-cyrillic"),
    *("big5", "big5hkscs", "gb2312", "gbk", "gb18030", "euc-jp", "shift_jis", "cp932", "euc-kr", "cp949", "johab"),
)
_MAX_DECLARED_UTF8_MISFIT = 0.5  # above it, the server sends UTF-8 as a default header only
_MAX_DAMAGED_UTF8_MISFIT = 0.1  # below it, the page is UTF-8 with a few broken bytes: read as anything else, nine tenths would be mojibake
_MAX_NEVER_IN_TEXT_SHARE = 0.1  # of the non-ASCII characters; above it, the declared encoding is wrong
_WIDE_ENCODINGS = ("utf-16", "utf-32")
# One in five of their two-byte characters is valid UTF-8 by chance, so a few prove nothing, unless all are Latin-1 (©, é).
_DOUBLE_BYTE = frozenset({"gb18030", "big5hkscs", "cp949", "cp932", "euc_jp", "johab"})
_MIN_PROVING_PAIRS = 4
_NEVER_IN_TEXT = re.compile("[\x80-\x84\x86-\x9f\ue000-\uf8ff\ufffd]")  # not U+0085, the line break of EBCDIC gateways
_NON_ASCII = re.compile(rb"[\x80-\xff]+")
_HZ = re.compile(rb"~\{(?:[\x21-\x7d][\x21-\x7e])+~\}")  # RFC 1843; a blank inside would be program text
# Markup that the detector skips: scripts, styles and tags. No branch can fail after it began, so the time is linear.
_MARKUP = re.compile(
    rb"<script\b(?:[^<]++|<(?!/script\b))*+|<style\b(?:[^<]++|<(?!/style\b))*+|<[^<>]*+>?",
    re.IGNORECASE,
)


def to_text(body: bytes, content_type: str | None = None, *, is_xml: bool = False) -> tuple[str, str]:
    """The page as text, and the encoding's name as Python spells it. Never raises; undecodable bytes become U+FFFD.

    A declared encoding counts, as in browsers, unless the bytes disprove it. Valid UTF-8 is read as UTF-8 whatever the page declares. A
    declaration that gives control or private-use characters is passed over: the next one counts, or the statistical detector.
    Of XML and JSON (`is_xml`), the XML declaration counts in place of <meta>.
    """
    mark = _find_byte_order_mark(body)
    body = _remove_surrogates(body)
    if mark is not None:
        name, length = mark
        return decode(body[length:], name), name
    has_zeros = b"\0" in body[:PRESCAN_BYTES]
    labels = _list_declared_in_xml(body, content_type) if is_xml else _list_declared(body, content_type)
    declared = [name for name in labels if has_zeros or not name.startswith(_WIDE_ENCODINGS)]
    if is_xml and (not declared or "utf-8" in declared):  # XML 1.0 section 4.3.3, RFC 8259; servers send a default charset with everything
        declared = ["utf-8", *(name for name in declared if name != "utf-8")]
    misfit = _measure_misfit(body)
    proven = (_find_unmarked_wide_encoding(body) if has_zeros else None) or _prove_encoding(body, declared, misfit)
    if proven is not None:
        return decode(body, proven), proven
    for name in chain(declared, () if is_xml else _find_late_meta(body)):
        text = decode(body, name)
        if misfit <= _MAX_DECLARED_UTF8_MISFIT if name == "utf-8" else not _is_misread(text):
            return text, name
    detected = _find_escape_encoding(body) or _detect(body)
    return decode(body, detected), detected


def to_utf8(body: bytes, content_type: str | None = None) -> bytes:
    """The page as UTF-8: the same bytes if they are UTF-8 already, as most pages are; else the text of `to_text`. Never raises."""
    if (
        next(_list_declared(body, content_type), None) == "utf-8"
        and _find_byte_order_mark(body) is None
        and b"\0" not in body[:PRESCAN_BYTES]
    ):
        with suppress(UnicodeDecodeError):
            body.decode("utf-8")
            return body
    return to_text(body, content_type)[0].encode("utf-8", "ignore")


def _find_byte_order_mark(body: bytes) -> tuple[str, int] | None:
    """The encoding that the byte order mark names, and the mark's length in bytes."""
    return next(((name, len(mark)) for mark, name in _BOMS if body.startswith(mark)), None)


def _list_declared(body: bytes, content_type: str | None) -> Iterator[str]:
    """The encodings that the HTTP header and then the page declare."""
    header = find_codec(read_header_label(content_type))
    if header is not None:
        yield header
    meta = find_declared_encoding(body[:PRESCAN_BYTES])
    if meta is not None:
        yield meta


def _list_declared_in_xml(body: bytes, content_type: str | None) -> Iterator[str]:
    """The encodings that the HTTP header and then the XML declaration name (RFC 7303 section 3)."""
    for label in (read_header_label(content_type), find_xml_label(body)):
        name = find_codec(label)
        if name is not None:
            yield name


def _prove_encoding(body: bytes, declared: list[str], misfit: float) -> str | None:
    """The encoding of a page whose bytes prove that it is ASCII or UTF-8; None for any other page."""
    if body.isascii():
        return next(iter(declared), None) or _find_escape_encoding(body) or "utf-8"
    if misfit >= _MAX_DAMAGED_UTF8_MISFIT:
        return None
    if declared and declared[0] in _DOUBLE_BYTE:
        runs = b"".join(_NON_ASCII.findall(body))
        if len(runs) < 2 * _MIN_PROVING_PAIRS and 0xC3 < max(runs) < 0xE0:
            return None
    return _find_escape_encoding(body) or "utf-8"


def _find_late_meta(body: bytes) -> Iterator[str]:
    """The encoding that a <meta> behind the prescan's bytes names."""
    late = find_declared_encoding(body[:LATE_PRESCAN_BYTES])
    if late is not None and late != "utf-8":
        yield late


def _is_misread(text: str) -> bool:
    """Whether the share of control, private-use and replacement characters shows that the bytes are in another encoding."""
    bad = len(_NEVER_IN_TEXT.findall(text))
    return bad > 0 and bad > _MAX_NEVER_IN_TEXT_SHARE * (len(text) - len(text.encode("ascii", "ignore")))


def _remove_surrogates(body: bytes) -> bytes:
    """The body without lone surrogates if the rest is UTF-8; in other encodings the same bytes are letters."""
    if _SURROGATE_BYTES.search(body) is None:
        return body
    rest = _SURROGATE_BYTES.sub(b"", body)
    return rest if _measure_misfit(rest) < _MAX_DAMAGED_UTF8_MISFIT else body


def _measure_misfit(body: bytes) -> float:
    """Share of the non-ASCII bytes that fit no UTF-8 sequence: 0 for UTF-8, near 1 for any other encoding, little for a damaged page."""
    try:
        body.decode("utf-8")
        return 0.0
    except UnicodeDecodeError:
        return body.decode("utf-8", "replace").count("\ufffd") / sum(len(run) for run in _NON_ASCII.findall(body))


def _detect(body: bytes) -> str:
    """The likeliest encoding of a page without a usable declaration, by the statistics of its letters."""
    from chardet import detect  # here: its models take 26 MB, which a process without undeclared pages saves

    text = _MARKUP.sub(b" ", body)
    first = _NON_ASCII.search(text)
    start = 0 if first is None else max(0, first.start() - DETECTOR_LEAD_BYTES)
    detected = detect(
        text[start : start + MAX_DETECTOR_BYTES],
        compat_names=False,
        include_encodings=_DETECTABLE_ENCODINGS,
        empty_input_encoding="windows-1252",
    )
    return find_codec(detected["encoding"]) or "cp1252"


def _find_unmarked_wide_encoding(body: bytes) -> str | None:
    """UTF-32 or UTF-16 without a byte order mark. Almost nothing else is valid UTF-32; in UTF-16, ASCII markup has zeros."""
    for name in ("utf-32-le", "utf-32-be"):
        try:
            body.decode(name)
            return name
        except UnicodeDecodeError:
            continue
    head = body[:PRESCAN_BYTES]
    even, odd = head[0::2].count(0) / len(head), head[1::2].count(0) / len(head)
    return "utf-16-le" if odd > 0.2 and even < 0.05 else "utf-16-be" if even > 0.2 and odd < 0.05 else None


def _find_escape_encoding(body: bytes) -> str | None:
    """The seven-bit encoding of East Asian text that the body's escape sequences announce."""
    if b"\x1b$)C" in body[:PRESCAN_BYTES]:
        return "iso2022_kr"
    if b"\x1b$B" in body or b"\x1b$@" in body or b"\x1b(J" in body:
        return "iso2022_jp"
    return "hz" if len(_HZ.findall(body)) > 2 else None
