"""Bytes → text by the order of the HTML standard: byte order mark, HTTP header, <meta>, and only then a guess."""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator
from contextlib import suppress
from itertools import chain

from newsmill.web_codecs import decode, find_codec

PRESCAN_BYTES = 1024  # bytes searched for <meta charset>: https://html.spec.whatwg.org/#prescan-a-byte-stream-to-determine-its-encoding
LATE_PRESCAN_BYTES = 65_536  # browsers that meet a later <meta charset> start again with it, so it counts before any guess
MAX_DETECTOR_BYTES = 65_536  # bytes shown to the statistical detector: its time grows with length, its certainty hardly
DETECTOR_LEAD_BYTES = 1024  # bytes shown to it before the first that is not ASCII

_BOMS = (
    (codecs.BOM_UTF32_LE, "utf-32-le"),  # before UTF-16, whose mark it begins with
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
# Halves of a character, which no codec and no store takes: what is left of a lone surrogate in UTF-8.
_SURROGATE_BYTES = re.compile(rb"\xed[\xa0-\xbf][\x80-\xbf]")


# What the statistical detector may answer, in its names: encodings of the web, so that no page is read as an old mainframe's.
_GUESSES = (
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
_WRONG = 0.5  # misfit from which a page declared as UTF-8 cannot be: its server sends a default header
_DAMAGED = 0.1  # misfit up to which a page is UTF-8 with a few broken bytes: read as anything else, nine tenths of it would be mojibake
_MISREAD = 0.1  # share of the non-ASCII characters that no text has, from which the declared encoding cannot be the page's
_WIDE = ("utf-16", "utf-32")
# Of their characters of two bytes, one in five is valid UTF-8 by chance, so a few prove nothing, unless all are Latin-1 (©, é).
_DOUBLE_BYTE = frozenset({"gb18030", "big5hkscs", "cp949", "cp932", "euc_jp", "johab"})
_FEW_PAIRS = 4
_NO_TEXT = re.compile("[\x80-\x84\x86-\x9f\ue000-\uf8ff\ufffd]")  # without U+0085, the line break that some EBCDIC gateways leave
_HIGH = re.compile(rb"[\x80-\xff]+")
_HZ = re.compile(rb"~\{(?:[\x21-\x7d][\x21-\x7e])+~\}")  # RFC 1843; no blank may stand inside, which keeps program text out
_CHARSET = re.compile(rb"charset[\t\n\f\r ]*=[\t\n\f\r ]*(?:\"([^\"]*)\"|'([^']*)'|([^\t\n\f\r ;\"']+))", re.IGNORECASE)
_XML_DECLARATION = re.compile(rb"\s{0,99}<\?xml\b[^>]{0,200}?\bencoding[\t\n\f\r ]*=[\t\n\f\r ]*[\"']([ !#-&(-=?-~]{0,40})")
# Markup the detector skips: scripts and styles whole, and tags. No branch can fail after it began, so the time is linear.
_MARKUP = re.compile(
    rb"<script\b(?:[^<]++|<(?!/script\b))*+|<style\b(?:[^<]++|<(?!/style\b))*+|<[^<>]*+>?",
    re.IGNORECASE,
)


def to_text(body: bytes, content_type: str | None = None, *, is_xml: bool = False) -> tuple[str, str]:
    """The page as text, and the encoding's name as Python spells it. Never raises; bytes that cannot be read become U+FFFD.

    A declared encoding is taken at its word, as browsers do, unless it cannot be true: bytes that are UTF-8 are read so whatever the
    page declares, and a declaration that gives characters no text has makes way for the next one, or for a guess. Of XML and JSON
    (`is_xml`), the XML declaration is asked in place of <meta>.
    """
    mark = _byte_order_mark(body)
    body = _without_surrogates(body)
    if mark is not None:
        name, length = mark
        return decode(body[length:], name), name
    has_zeros = b"\0" in body[:PRESCAN_BYTES]
    labels = _declared_in_xml(body, content_type) if is_xml else _declared(body, content_type)
    declared = [name for name in labels if has_zeros or not name.startswith(_WIDE)]
    if is_xml and (not declared or "utf-8" in declared):  # XML 1.0 section 4.3.3, RFC 8259; servers send a default charset with everything
        declared = ["utf-8", *(name for name in declared if name != "utf-8")]
    misfit = _misfit(body)
    sure = (_wide_without_mark(body) if has_zeros else None) or _certain(body, declared, misfit)
    if sure is not None:
        return decode(body, sure), sure
    for name in chain(declared, () if is_xml else _late(body)):
        text = decode(body, name)
        if misfit <= _WRONG if name == "utf-8" else not _is_misread(text):
            return text, name
    guessed = _escaped(body) or _guess(body)
    return decode(body, guessed), guessed


def to_utf8(body: bytes, content_type: str | None = None) -> bytes:
    """The page as UTF-8: the same bytes where they are that already, as most pages are; else what `to_text` reads. Never raises."""
    if next(_declared(body, content_type), None) == "utf-8" and _byte_order_mark(body) is None and b"\0" not in body[:PRESCAN_BYTES]:
        with suppress(UnicodeDecodeError):
            body.decode("utf-8")
            return body
    return to_text(body, content_type)[0].encode("utf-8", "ignore")


def _byte_order_mark(body: bytes) -> tuple[str, int] | None:
    """The encoding that a byte order mark names, and the mark's length."""
    return next(((name, len(mark)) for mark, name in _BOMS if body.startswith(mark)), None)


def _declared(body: bytes, content_type: str | None) -> Iterator[str]:
    """The encodings that the HTTP header and then the page itself declare."""
    header = find_codec(_from_header(content_type))
    if header is not None:
        yield header
    meta = find_declared_encoding(body[:PRESCAN_BYTES])
    if meta is not None:
        yield meta


def _declared_in_xml(body: bytes, content_type: str | None) -> Iterator[str]:
    """The encodings that the HTTP header and then the XML declaration name (RFC 7303 section 3)."""
    for label in (_from_header(content_type), find_xml_label(body)):
        name = find_codec(label)
        if name is not None:
            yield name


def find_xml_label(body: bytes) -> str | None:
    """The encoding as the XML declaration at the beginning writes it, known or not; None without one."""
    match = _XML_DECLARATION.match(body)
    return None if match is None else match[1].decode("latin-1")


def _certain(body: bytes, declared: list[str], misfit: float) -> str | None:
    """The encoding of a page in ASCII or UTF-8, which the bytes prove; None for any other."""
    if body.isascii():
        return next(iter(declared), None) or _escaped(body) or "utf-8"
    if misfit >= _DAMAGED:
        return None
    if declared and declared[0] in _DOUBLE_BYTE:
        runs = b"".join(_HIGH.findall(body))
        if len(runs) < 2 * _FEW_PAIRS and 0xC3 < max(runs) < 0xE0:
            return None
    return _escaped(body) or "utf-8"


def _late(body: bytes) -> Iterator[str]:
    """The encoding of a <meta> behind the prescan's first bytes."""
    late = find_declared_encoding(body[:LATE_PRESCAN_BYTES])
    if late is not None and late != "utf-8":
        yield late


def _is_misread(text: str) -> bool:
    """Whether so much of the text is control, private-use and replacement characters that its bytes are of another encoding."""
    bad = len(_NO_TEXT.findall(text))
    return bad > 0 and bad > _MISREAD * (len(text) - len(text.encode("ascii", "ignore")))


def find_declared_encoding(head: bytes) -> str | None:
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
            name = find_codec(label)
            if name is not None:
                return "utf-8" if name.startswith("utf-16") else name  # a page whose <meta> could be read is no UTF-16
    return find_codec(find_xml_label(head))


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
    """The encoding of a page whose declarations say nothing: what the letters of its text are likeliest in."""
    from chardet import detect  # 26 MB of models, which a process that meets no undeclared page does without

    text = _MARKUP.sub(b" ", body)
    first = _HIGH.search(text)
    start = 0 if first is None else max(0, first.start() - DETECTOR_LEAD_BYTES)
    found = detect(
        text[start : start + MAX_DETECTOR_BYTES], compat_names=False, include_encodings=_GUESSES, empty_input_encoding="windows-1252"
    )
    return find_codec(found["encoding"]) or "cp1252"


def _wide_without_mark(body: bytes) -> str | None:
    """UTF-32 fits almost nothing else; UTF-16 shows itself by zeros in every other byte, since markup is ASCII in any language."""
    for name in ("utf-32-le", "utf-32-be"):
        try:
            body.decode(name)
            return name
        except UnicodeDecodeError:
            continue
    head = body[:PRESCAN_BYTES]
    even, odd = head[0::2].count(0) / len(head), head[1::2].count(0) / len(head)
    return "utf-16-le" if odd > 0.2 and even < 0.05 else "utf-16-be" if even > 0.2 and odd < 0.05 else None


def _escaped(body: bytes) -> str | None:
    """The encodings that write East Asian text in seven bits announce themselves by their escapes."""
    if b"\x1b$)C" in body[:PRESCAN_BYTES]:
        return "iso2022_kr"
    if b"\x1b$B" in body or b"\x1b$@" in body or b"\x1b(J" in body:
        return "iso2022_jp"
    return "hz" if len(_HZ.findall(body)) > 2 else None
