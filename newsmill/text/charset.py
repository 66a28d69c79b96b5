"""Bytes → text by the order of the HTML standard: byte order mark, HTTP header, <meta>, then a guess; and the codecs of the web."""

from __future__ import annotations

import codecs
from collections.abc import Iterator
from contextlib import suppress
from itertools import chain

import webencodings  # type: ignore[import-untyped]  # publishes no types

from newsmill.text import lazy_re as re

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
_ATTRIBUTE = re.compile(
    rb"[\t\n\f\r /]*([^\t\n\f\r />=][^\t\n\f\r />=]*)(?:[\t\n\f\r ]*=[\t\n\f\r ]*(?:\"([^\"]*)\"|'([^']*)'|([^\t\n\f\r >]*)))?"
)
_TAG = re.compile(rb"<!--|<(?:/?[A-Za-z])|<[!/?]")
_NAME_END = re.compile(rb"[\t\n\f\r >/]")
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
_CHARSET = re.compile(rb"charset[\t\n\f\r ]*=[\t\n\f\r ]*(?:\"([^\"]*)\"|'([^']*)'|([^\t\n\f\r ;\"']+))", re.IGNORECASE)
_XML_DECLARATION = re.compile(rb"\s{0,99}<\?xml\b[^>]{0,200}?\bencoding[\t\n\f\r ]*=[\t\n\f\r ]*[\"']([ !#-&(-=?-~]{0,40})")
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
    header = find_codec(_read_header_label(content_type))
    if header is not None:
        yield header
    meta = find_declared_encoding(body[:PRESCAN_BYTES])
    if meta is not None:
        yield meta


def _list_declared_in_xml(body: bytes, content_type: str | None) -> Iterator[str]:
    """The encodings that the HTTP header and then the XML declaration name (RFC 7303 section 3)."""
    for label in (_read_header_label(content_type), find_xml_label(body)):
        name = find_codec(label)
        if name is not None:
            yield name


def find_xml_label(body: bytes) -> str | None:
    """The encoding label in the XML declaration at the start of the body, known or not; None without a declaration."""
    match = _XML_DECLARATION.match(body)
    return None if match is None else match[1].decode("latin-1")


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


def find_declared_encoding(head: bytes) -> str | None:
    """The encoding that a <meta> element in the given first bytes of a page names, as the standard's prescan finds it."""
    at = 0
    while (tag := _TAG.search(head, at)) is not None:
        at = tag.end()
        mark = tag.group()
        if mark == b"<!--":
            at = _find_end(head, b"-->", tag.start() + 2)
        elif mark in (b"<!", b"</", b"<?"):
            at = _find_end(head, b">", at)
        else:
            start = tag.start() + 1
            is_meta = head[start : start + 4].lower() == b"meta" and head[start + 4 : start + 5] in (b" ", b"\t", b"\n", b"\f", b"\r", b"/")
            attributes, at = _read_attributes(head, start + 4 if is_meta else _find_name_end(head, start))
            label = _read_meta_label(attributes) if is_meta else None
            name = find_codec(label)
            if name is not None:
                return "utf-8" if name.startswith("utf-16") else name  # a <meta> readable as ASCII disproves UTF-16
    return find_codec(find_xml_label(head))


def _find_end(head: bytes, mark: bytes, at: int) -> int:
    start = head.find(mark, at)
    return len(head) if start < 0 else start + len(mark)


def _find_name_end(head: bytes, at: int) -> int:
    match = _NAME_END.search(head, at)
    return len(head) if match is None else match.start()


def _read_attributes(head: bytes, at: int) -> tuple[dict[bytes, bytes], int]:
    """The attributes of the tag whose name ends at `at` (the first of one name counts), and where the tag ends."""
    attributes: dict[bytes, bytes] = {}
    while (match := _ATTRIBUTE.match(head, at)) is not None:
        at = match.end()
        value = next((group for group in match.groups()[1:] if group is not None), b"")
        attributes.setdefault(match.group(1).lower(), value)
    return attributes, _find_end(head, b">", at)


def _read_meta_label(attributes: dict[bytes, bytes]) -> str | None:
    charset = attributes.get(b"charset")
    if charset is None and attributes.get(b"http-equiv", b"").lower() == b"content-type":
        match = _CHARSET.search(attributes.get(b"content", b""))
        charset = next((group for group in match.groups() if group is not None), None) if match else None
    return None if charset is None else charset.decode("latin-1")


def _read_header_label(content_type: str | None) -> str | None:
    match = _CHARSET.search((content_type or "").encode("utf-8", "replace"))
    return next((group for group in match.groups() if group is not None), b"").decode("latin-1") if match else None


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
    """UTF-32 or UTF-16 without a byte order mark.

    Almost nothing else is valid UTF-32. UTF-16 has a zero in every other byte, since markup is ASCII in any language.
    """
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


# ---- codecs

# Encoding labels, and decoding as browsers do (https://encoding.spec.whatwg.org) with Python's codecs.

MAX_LABEL_CHARACTERS = 40  # the longest label of the standard has 19

# Codecs that decode more than the encoding a label names: browsers use the wider one (https://encoding.spec.whatwg.org/#names-and-labels).
_WIDER_CODECS = {
    "ascii": "cp1252",
    "iso8859-1": "cp1252",
    "iso8859-9": "cp1254",
    "iso8859-11": "cp874",
    "tis-620": "cp874",
    "gb2312": "gb18030",
    "gbk": "gb18030",
    "shift_jis": "cp932",
    "shift_jis_2004": "cp932",
    "shift_jisx0213": "cp932",
    "euc_jis_2004": "euc_jp",
    "euc_jisx0213": "euc_jp",
    "euc_kr": "cp949",
    "big5": "big5hkscs",
}
# The standard decodes these labels to a single U+FFFD, to protect scripts; we run no scripts and read the text.
_REPLACED_LABELS = {"csiso2022kr": "iso2022_kr", "iso-2022-kr": "iso2022_kr", "hz-gb-2312": "hz"}
_NOT_WEB_CODECS = {"utf-7", "idna", "punycode", "unicode_escape", "raw_unicode_escape", "undefined", "replacement", "mbcs", "oem", "palmos"}
_C1_CONTROLS = range(0x80, 0xA0)
_ERROR_HANDLER = "newsmill_web"


def find_codec(label: str | None) -> str | None:
    """The name of the Python codec for an encoding label, or None for an unknown label.

    Knows all labels of the standard and of Python's registry.
    """
    label = (label or "").strip().lower()
    if not label or len(label) > MAX_LABEL_CHARACTERS:
        return None
    known = webencodings.lookup(label)
    if known is not None and known.name == "x-user-defined":
        return "cp1252"  # https://html.spec.whatwg.org/#prescan-a-byte-stream-to-determine-its-encoding
    try:
        info = codecs.lookup(_REPLACED_LABELS.get(label, label)) if known is None or label in _REPLACED_LABELS else known.codec_info
    except (LookupError, ValueError):  # ValueError: a NUL in the name
        return None
    if not info._is_text_encoding or info.name in _NOT_WEB_CODECS:
        return None
    return _WIDER_CODECS.get(info.name, info.name)


def decode(body: bytes, name: str) -> str:
    """The text of `body` by the codec `name`, as `find_codec` returns it. Undefined bytes become U+FFFD; never raises."""
    return body.decode(name, "replace" if name == "utf-8" else _ERROR_HANDLER)  # equal for UTF-8, and 20 times as fast


def _decode_like_browsers(error: UnicodeError) -> tuple[str, int]:
    """The codec error handler: the character that the standard defines and Python's codec does not; else U+FFFD."""
    if not isinstance(error, UnicodeDecodeError):
        raise error
    at, byte = error.start, error.object[error.start]
    if error.encoding in ("euc_jp", "iso2022_jp"):
        pair = error.object[at : at + 2]
        char = _decode_extended_jis(pair if error.encoding == "euc_jp" else bytes(value | 0x80 for value in pair))
        return (char, at + 2) if char is not None else ("\ufffd", error.end)
    if error.encoding == "gb18030" and byte == 0x80:
        return "€", at + 1
    if byte in _C1_CONTROLS and error.encoding == "charmap":
        return chr(byte), at + 1
    return "\ufffd", error.end


def _decode_extended_jis(pair: bytes) -> str | None:
    """A character of the NEC and IBM rows (①, ㈱, 髙), which the standard adds to JIS X 0208 and Python knows by Shift_JIS only."""
    if len(pair) < 2 or not (0xA1 <= pair[0] <= 0xFE and 0xA1 <= pair[1] <= 0xFE):
        return None
    row, cell = pair[0] - 0xA0, pair[1] - 0xA1
    lead = (row - 1) // 2 + (0x81 if row <= 62 else 0xC1)
    trail = cell + 0x9F if row % 2 == 0 else cell + 0x40 + (cell >= 0x3F)
    try:
        return bytes((lead, trail)).decode("cp932")
    except UnicodeDecodeError:
        return None


codecs.register_error(_ERROR_HANDLER, _decode_like_browsers)
