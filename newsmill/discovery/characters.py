"""Characters and character references of XML: what no parser and no store takes becomes what the writer meant, or goes.

Listings hold references that XML 1.0 section 2.2 forbids: the halves of an emoji (`&#55357;&#56832;`), numbers of Windows-1252
(`&#146;`), `&#0;`, `&#X41;`, and names of HTML. libxml2 ends at some of them, and all that follows is lost.
"""

from __future__ import annotations

import re
from html.entities import html5

_DIGITS = r"#(?:[0-9]{1,40}|[xX][0-9a-fA-F]{1,40})"  # zeros may lead; int() takes 40 digits at once
_NAME = "[A-Za-z][A-Za-z0-9]{1,31}"  # HTML's longest name has 31 letters

_REFERENCE = re.compile(f"&(?:({_DIGITS});?|({_NAME});)")  # HTML takes a number without its semicolon too
_PAIR = re.compile("[\ud800-\udbff][\udc00-\udfff]")
_SURROGATE = re.compile("[\ud800-\udfff]")
_NONCHARACTERS = "\ufdd0-\ufdef" + "".join(chr(plane + end) for plane in range(0, 0x110000, 0x10000) for end in (0xFFFE, 0xFFFF))
# No character of a text: controls but tab and line ends, halves of characters, noncharacters.
_NO_TEXT = re.compile(f"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff{_NONCHARACTERS}]")
# Controls in Unicode; who writes these numbers means Windows-1252, and browsers read them so (WHATWG HTML 13.2.5.80).
_WINDOWS_1252 = {code: bytes((code,)).decode("cp1252", "ignore") for code in range(0x80, 0xA0)}


def clean_characters(text: str) -> str:
    """The text without what is no character: surrogate pairs are joined, U+0080 to U+009F read as Windows-1252, controls left out."""
    if text.isprintable() or _NO_TEXT.search(text) is None:  # the first is some 20 times faster, and says no to tabs
        return text
    return _NO_TEXT.sub("", _PAIR.sub(_joined, text.translate(_WINDOWS_1252)))


def collapse_whitespace(text: str) -> str:
    """The text cleaned, and each run of white space a blank."""
    return " ".join(clean_characters(text).split())


def decode_references(text: str) -> str:
    """The text with every reference of XML and HTML replaced by its characters. Unknown names, and names without ";", stay as they are.

    References to no character give U+FFFD (0, halves without partner, beyond Unicode) or nothing (controls), as WHATWG HTML 13.2.5.80 and
    `html.unescape` have it.
    """
    if "&" not in text:
        return text
    text = _REFERENCE.sub(_characters, text)
    return _SURROGATE.sub("\ufffd", _PAIR.sub(_joined, text)) if _SURROGATE.search(text) else text


def _characters(match: re.Match[str]) -> str:
    number, name = match.groups()
    if name is not None:
        return html5.get(f"{name};", match[0])
    code = int(number[2:], 16) if number[1] in "xX" else int(number[1:])
    if 0xD800 <= code <= 0xDFFF:
        return chr(code)  # joined with its partner once all are characters
    return "\ufffd" if code == 0 or code > 0x10FFFF else clean_characters(chr(code))


def _joined(pair: re.Match[str]) -> str:
    return pair[0].encode("utf-16", "surrogatepass").decode("utf-16")
