"""The characters that XML forbids and listings hold, replaced by those that the writer meant, or removed.

XML 1.0 section 2.2 forbids the halves of an emoji (`&#55357;&#56832;`), numbers of Windows-1252 (`&#146;`), `&#0;`, `&#X41;`, and names of
HTML. libxml2 stops at some of them and loses the rest of the file.
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
# Controls except tab and line ends, surrogates, noncharacters.
_NEVER_IN_TEXT = re.compile(f"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff{_NONCHARACTERS}]")
# Controls in Unicode; their numbers in a page mean Windows-1252, as in browsers (WHATWG HTML 13.2.5.80).
_WINDOWS_1252 = {code: bytes((code,)).decode("cp1252", "ignore") for code in range(0x80, 0xA0)}


def clean_characters(text: str) -> str:
    """The text with surrogate pairs joined, U+0080 to U+009F read as Windows-1252, and controls and noncharacters removed."""
    if text.isprintable() or _NEVER_IN_TEXT.search(text) is None:  # isprintable is 20 times as fast, and False for tabs
        return text
    return _NEVER_IN_TEXT.sub("", _PAIR.sub(_join_surrogates, text.translate(_WINDOWS_1252)))


def collapse_whitespace(text: str) -> str:
    """The cleaned text with one blank for each run of white space."""
    return " ".join(clean_characters(text).split())


def decode_references(text: str) -> str:
    """The text with every reference of XML and HTML replaced by its characters. Unknown names, and names without ";", stay as they are.

    Invalid references give U+FFFD (0, lone surrogates, numbers beyond Unicode) or nothing (controls), as in WHATWG HTML 13.2.5.80 and
    `html.unescape`.
    """
    if "&" not in text:
        return text
    text = _REFERENCE.sub(_decode_match, text)
    return _SURROGATE.sub("\ufffd", _PAIR.sub(_join_surrogates, text)) if _SURROGATE.search(text) else text


def _decode_match(match: re.Match[str]) -> str:
    number, name = match.groups()
    if name is not None:
        return html5.get(f"{name};", match[0])
    code = int(number[2:], 16) if number[1] in "xX" else int(number[1:])
    if 0xD800 <= code <= 0xDFFF:
        return chr(code)  # joined with its partner once all references are decoded
    return "\ufffd" if code == 0 or code > 0x10FFFF else clean_characters(chr(code))


def _join_surrogates(pair: re.Match[str]) -> str:
    return pair[0].encode("utf-16", "surrogatepass").decode("utf-16")
