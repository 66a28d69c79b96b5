"""Bytes → text by the order of the HTML standard: byte order mark, HTTP header, <meta>, and only then a guess."""

from __future__ import annotations

import codecs
import re
from contextlib import suppress

from charset_normalizer import from_bytes

PRESCAN = 1024  # bytes searched for <meta charset>: https://html.spec.whatwg.org/#prescan-a-byte-stream-to-determine-its-encoding
LATE_PRESCAN = 65_536  # browsers that meet a later <meta charset> start again with it, so it counts before any guess
SNIFF = 65_536  # bytes shown to the statistical detector: its time grows with length, its certainty hardly

# Labels whose meaning on the web is wider than their name (https://encoding.spec.whatwg.org/#names-and-labels).
_WEB_MEANING = {
    "ascii": "cp1252",
    "iso8859-1": "cp1252",
    "iso8859-9": "cp1254",
    "iso8859-11": "cp874",
    "tis-620": "cp874",
    "gb2312": "gb18030",
    "gbk": "gb18030",
    "shift_jis": "cp932",
    "euc_kr": "cp949",
    "big5": "big5hkscs",
}
# Labels that Python's registry does not know.
_ALIASES = {
    "x-sjis": "cp932",
    "windows-31j": "cp932",
    "ks_c_5601-1989": "cp949",
    "windows-949": "cp949",
    "windows-874": "cp874",
    "dos-874": "cp874",
    "x-gbk": "gb18030",
    "x-x-big5": "big5hkscs",
    "x-cp1250": "cp1250",
    "x-cp1251": "cp1251",
    "x-cp1252": "cp1252",
    "x-mac-roman": "mac_roman",
    "macintosh": "mac_roman",
    "x-mac-cyrillic": "mac_cyrillic",
    "x-mac-ukrainian": "mac_cyrillic",
    "x-euc-jp": "euc_jp",
    "iso-8859-8-i": "iso8859_8",
    "logical": "iso8859_8",
    "visual": "iso8859_8",
    "unicode-1-1-utf-8": "utf-8",
    "x-unicode20utf8": "utf-8",
    "x-user-defined": "cp1252",
}
_NEVER = {"utf-7", "idna", "punycode", "unicode_escape", "raw_unicode_escape", "undefined", "mbcs", "oem", "palmos"}
_BOMS = (
    (codecs.BOM_UTF32_LE, "utf-32-le"),  # before UTF-16, whose mark it begins with
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
# Halves of a character, which no codec and no store takes: what is left of a lone surrogate in UTF-8.
_SURROGATE_BYTES = re.compile(rb"\xed[\xa0-\xbf][\x80-\xbf]")


# What the statistical detector may answer: the encodings the standard knows, so that no page is read as an old mainframe's.
_GUESSES = [
    *("cp1250", "cp1251", "cp1252", "cp1253", "cp1254", "cp1255", "cp1256", "cp1257", "cp1258", "cp855", "cp866", "cp874"),
    *("koi8_r", "koi8_u", "mac_cyrillic", "iso8859_2", "iso8859_5", "iso8859_7", "iso8859_8"),
    *("big5", "euc_jp", "euc_kr", "gb18030", "cp932", "cp949", "johab"),
]
_ATTRIBUTE = re.compile(
    rb"[\t\n\f\r /]*([^\t\n\f\r />=][^\t\n\f\r />=]*)(?:[\t\n\f\r ]*=[\t\n\f\r ]*(?:\"([^\"]*)\"|'([^']*)'|([^\t\n\f\r >]*)))?"
)
_XML_DECLARATION = re.compile(rb"""\s{0,99}<\?xml[^>]{0,200}?encoding\s{0,9}=\s{0,9}["']\s{0,9}([^"'<>\s]{1,40})""")
_TAG = re.compile(rb"<!--|<(?:/?[A-Za-z])|<[!/?]")
_NAME_END = re.compile(rb"[\t\n\f\r >/]")
_WRONG = 0.5  # misfit from which a page declared as UTF-8 cannot be: its server sends a default header
_DAMAGED = 0.1  # misfit up to which an undeclared page is UTF-8 with a few broken bytes
_HIGH = re.compile(rb"[\x80-\xff]+")
_HZ = re.compile(rb"~\{(?:[\x21-\x7d][\x21-\x7e])+~\}")  # RFC 1843; no blank may stand inside, which keeps program text out
_CHARSET = re.compile(rb"charset[\t\n\f\r ]*=[\t\n\f\r ]*(?:\"([^\"]*)\"|'([^']*)'|([^\t\n\f\r ;\"']+))", re.IGNORECASE)


def to_text(body: bytes, content_type: str | None = None, *, is_xml: bool = False) -> tuple[str, str]:
    """The page as text, and the encoding's name as Python spells it. Never raises; bytes that cannot be read become U+FFFD.

    A declared encoding is taken at its word, as browsers do, unless it cannot be true: text declared as UTF-8 that is not.
    Of XML (`is_xml`) the declaration is asked in place of <meta>, by the rules of `declared_for_xml`.
    """
    bom, declared = _said(body, content_type)
    if is_xml:
        declared = declared_for_xml(body, content_type)
    body = _without_surrogates(body)
    if bom is not None:
        return body[bom[1] :].decode(bom[0], "replace"), bom[0]
    if declared is not None and not (declared == "utf-8" and _misfit(body) > _WRONG):
        return body.decode(declared, "replace"), declared
    guessed = _guess(body)
    return body.decode(guessed, "replace"), guessed


def to_utf8(body: bytes, content_type: str | None = None) -> bytes:
    """The page as UTF-8: the same bytes where they are that already, as most pages are; else what `to_text` reads. Never raises."""
    if _said(body, content_type) == (None, "utf-8"):
        with suppress(UnicodeDecodeError):
            body.decode("utf-8")
            return body
    return to_text(body, content_type)[0].encode("utf-8", "ignore")


def _said(body: bytes, content_type: str | None) -> tuple[tuple[str, int] | None, str | None]:
    """What the page says of its encoding: a byte order mark's name and length, and what its header or else its <meta> declares."""
    bom = next(((name, len(mark)) for mark, name in _BOMS if body.startswith(mark)), None)
    return bom, python_name(_from_header(content_type)) or declared_in_page(body[:PRESCAN])


def python_name(label: str | None) -> str | None:
    """The codec a label means on the web, or None for a label nobody knows."""
    name = (label or "").strip().lower()
    if not name or name in _NEVER or len(name) > 40:
        return None
    name = _ALIASES.get(name, name)
    try:
        info = codecs.lookup(name)
    except (LookupError, ValueError):  # ValueError: a NUL in the name
        return None
    if not info._is_text_encoding or info.name in _NEVER:
        return None
    return _WEB_MEANING.get(info.name, info.name)


def declared_in_page(head: bytes) -> str | None:
    """The encoding that a <meta> element in the given first bytes of a page names, as the standard's prescan finds it."""
    at = 0
    while (tag := _TAG.search(head, at)) is not None:
        at = tag.end()
        mark = tag.group()
        if mark == b"<!--":
            at = _after(head, b"-->", tag.start() + 2)
        elif mark in (b"<!", b"</", b"<?"):
            at = _after(head, b">", at)
        else:
            start = tag.start() + 1
            is_meta = head[start : start + 4].lower() == b"meta" and head[start + 4 : start + 5] in (b" ", b"\t", b"\n", b"\f", b"\r", b"/")
            attributes, at = _attributes(head, start + 4 if is_meta else _name_end(head, start))
            label = _from_meta(attributes) if is_meta else None
            name = python_name(label)
            if name is not None:
                return "utf-8" if name.startswith("utf-16") else name  # a page whose <meta> could be read is no UTF-16
    return None


def declared_for_xml(body: bytes, content_type: str | None) -> str | None:
    """The encoding of XML or JSON: the header's charset, else the XML declaration (RFC 7303 section 3), else UTF-8; None if unknown.

    UTF-8 goes before both labels where all bytes fit it, since letters of other encodings do not. It is the answer too where most bytes fit
    and one of the labels says so or there is none (XML 1.0 section 4.3.3, RFC 8259): servers send a default charset with everything.
    A declaration that can be read as ASCII is not in UTF-16 or UTF-32.
    """
    match = _XML_DECLARATION.match(body)
    inside = python_name(match[1].decode("latin-1")) if match else None
    inside = "utf-8" if inside is not None and inside.startswith(("utf-16", "utf-32")) else inside
    labels = [label for label in (python_name(_from_header(content_type)), inside) if label is not None]
    if not body.isascii() and _misfit(body) <= (_WRONG if "utf-8" in labels or not labels else 0):
        return "utf-8"
    return labels[0] if labels else None


def _after(head: bytes, mark: bytes, at: int) -> int:
    found = head.find(mark, at)
    return len(head) if found < 0 else found + len(mark)


def _name_end(head: bytes, at: int) -> int:
    found = _NAME_END.search(head, at)
    return len(head) if found is None else found.start()


def _attributes(head: bytes, at: int) -> tuple[dict[bytes, bytes], int]:
    """The attributes of the tag whose name ends at `at`, first one wins, and where the tag ends."""
    found: dict[bytes, bytes] = {}
    while (match := _ATTRIBUTE.match(head, at)) is not None:
        at = match.end()
        value = next((group for group in match.groups()[1:] if group is not None), b"")
        found.setdefault(match.group(1).lower(), value)
    return found, _after(head, b">", at)


def _from_meta(attributes: dict[bytes, bytes]) -> str | None:
    charset = attributes.get(b"charset")
    if charset is None and attributes.get(b"http-equiv", b"").lower() == b"content-type":
        match = _CHARSET.search(attributes.get(b"content", b""))
        charset = next((group for group in match.groups() if group is not None), None) if match else None
    return None if charset is None else charset.decode("latin-1")


def _from_header(content_type: str | None) -> str | None:
    match = _CHARSET.search((content_type or "").encode("utf-8", "replace"))
    return next((group for group in match.groups() if group is not None), b"").decode("latin-1") if match else None


def _without_surrogates(body: bytes) -> bytes:
    """The body without lone surrogates where it is UTF-8 besides; in other encodings the same bytes are letters."""
    if _SURROGATE_BYTES.search(body) is None:
        return body
    rest = _SURROGATE_BYTES.sub(b"", body)
    return rest if _misfit(rest) < _DAMAGED else body


def _misfit(body: bytes) -> float:
    """Share of the non-ASCII bytes that fit no UTF-8 sequence: 0 for UTF-8, near 1 for any other encoding, little for a damaged page."""
    try:
        body.decode("utf-8")
        return 0.0
    except UnicodeDecodeError:
        return body.decode("utf-8", "replace").count("\ufffd") / sum(len(run) for run in _HIGH.findall(body))


def _guess(body: bytes) -> str:
    wide = _wide_without_mark(body) if b"\0" in body[:PRESCAN] else None
    if wide is not None:
        return wide
    if _misfit(body) < _DAMAGED:
        return _escaped(body) or "utf-8"
    late = declared_in_page(body[:LATE_PRESCAN])
    if late is not None and late != "utf-8":
        return late
    escaped = _escaped(body)
    if escaped is not None:
        return escaped
    # Ten chunks of 1,024 bytes instead of five of 512: 3 more of the 204 sample texts of chardet's test suite come out right.
    match = from_bytes(body[:SNIFF], steps=10, chunk_size=1024, cp_isolation=_GUESSES).best()
    return (python_name(match.encoding) if match is not None else None) or "cp1252"


def _wide_without_mark(body: bytes) -> str | None:
    """UTF-32 fits almost nothing else; UTF-16 shows itself by zeros in every other byte, since markup is ASCII in any language."""
    for name in ("utf-32-le", "utf-32-be"):
        try:
            body.decode(name)
            return name
        except UnicodeDecodeError:
            continue
    head = body[:PRESCAN]
    even, odd = head[0::2].count(0) / len(head), head[1::2].count(0) / len(head)
    return "utf-16-le" if odd > 0.2 and even < 0.05 else "utf-16-be" if even > 0.2 and odd < 0.05 else None


def _escaped(body: bytes) -> str | None:
    """The encodings that write East Asian text in seven bits announce themselves by their escapes."""
    if b"\x1b$)C" in body[:PRESCAN]:
        return "iso2022_kr"
    if b"\x1b$B" in body or b"\x1b$@" in body or b"\x1b(J" in body:
        return "iso2022_jp"
    return "hz" if len(_HZ.findall(body)) > 2 else None
