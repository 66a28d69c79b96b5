"""Encoding labels of the web and how browsers decode them (https://encoding.spec.whatwg.org), by Python's codecs."""

from __future__ import annotations

import codecs

import webencodings  # type: ignore[import-untyped]  # publishes no types

MAX_LABEL_CHARACTERS = 40  # characters; the longest label of the standard has 19

# Codecs that decode more than the encoding a label names: browsers use the wider one (https://encoding.spec.whatwg.org/#names-and-labels).
_WIDER = {
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
# The standard decodes these labels to a single U+FFFD, for the safety of scripts; text is read with the codec Python has.
_REPLACED = {"csiso2022kr": "iso2022_kr", "iso-2022-kr": "iso2022_kr", "hz-gb-2312": "hz"}
_NO_TEXT = {"utf-7", "idna", "punycode", "unicode_escape", "raw_unicode_escape", "undefined", "replacement", "mbcs", "oem", "palmos"}
_C1_CONTROLS = range(0x80, 0xA0)
_ON_ERROR = "newsmill_web"


def find_codec(label: str | None) -> str | None:
    """The name of the Python codec for an encoding label, or None for an unknown label.

    All labels of the standard are known, and those of Python's registry besides.
    """
    label = (label or "").strip().lower()
    if not label or len(label) > MAX_LABEL_CHARACTERS:
        return None
    known = webencodings.lookup(label)
    if known is not None and known.name == "x-user-defined":
        return "cp1252"  # https://html.spec.whatwg.org/#prescan-a-byte-stream-to-determine-its-encoding
    try:
        info = codecs.lookup(_REPLACED.get(label, label)) if known is None or label in _REPLACED else known.codec_info
    except (LookupError, ValueError):  # ValueError: a NUL in the name
        return None
    if not info._is_text_encoding or info.name in _NO_TEXT:
        return None
    return _WIDER.get(info.name, info.name)


def decode(body: bytes, name: str) -> str:
    """The text of `body` by the codec `name` (of `python_name`). Bytes without a meaning become U+FFFD; never raises."""
    return body.decode(name, "replace" if name == "utf-8" else _ON_ERROR)  # the same for UTF-8, and 20 times as fast


def _as_browsers_do(error: UnicodeError) -> tuple[str, int]:
    """What the standard's index defines and Python's codec does not; else U+FFFD."""
    if not isinstance(error, UnicodeDecodeError):
        raise error
    at, byte = error.start, error.object[error.start]
    if error.encoding in ("euc_jp", "iso2022_jp"):
        pair = error.object[at : at + 2]
        found = _extended_jis(pair if error.encoding == "euc_jp" else bytes(value | 0x80 for value in pair))
        return (found, at + 2) if found is not None else ("\ufffd", error.end)
    if error.encoding == "gb18030" and byte == 0x80:
        return "€", at + 1
    if byte in _C1_CONTROLS and error.encoding == "charmap":
        return chr(byte), at + 1
    return "\ufffd", error.end


def _extended_jis(pair: bytes) -> str | None:
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


codecs.register_error(_ON_ERROR, _as_browsers_do)
