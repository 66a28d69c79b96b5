"""The codecs of the web: encoding labels, and decoding as browsers do (https://encoding.spec.whatwg.org) with Python's codecs."""

from __future__ import annotations

import codecs

import webencodings  # type: ignore[import-untyped]  # publishes no types

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
    """The Python codec for an encoding label, or None. Knows all labels of the standard and of Python's registry."""
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
