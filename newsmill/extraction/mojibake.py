"""Mojibake that cannot be repaired: how much of a text it is."""

from __future__ import annotations

from newsmill.extraction.normalise import count_line_words, is_bad
from newsmill.text import lazy_re as re

MIN_MOJIBAKE_LETTERS = 40  # accented letters, or East Asian characters, that a judgement needs; fewer may be a name or a formula
MAX_ACCENTED_SHARE = 0.5  # share of accented letters in Latin script; Vietnamese has the largest share, a third
MAX_MISFIT_SHARE = 0.3  # share of the bytes of Chinese, Japanese or Korean that are not valid UTF-8; undamaged texts have 0.48 or more
MOJIBAKE_SAMPLE_CHARACTERS = 4000  # characters examined; a text with a wrong encoding has it from the beginning
MOJIBAKE_LETTER_SAMPLE_CHARACTERS = 1000  # of these, characters whose letters are counted
_LOST = re.compile(r"\ufffd|(?<=\w)[\ue000-\uf8ff]|[\ue000-\uf8ff](?=\w)")  # a single private-use character is an icon
# UTF-8 read as windows-1252 (Ã¤, â€™) and as windows-1251 (РџСЂРё). These run first, because `is_bad` takes 1.5 ms a page.
_AS_1252 = re.compile(r"[Â-ô][\u0152-\u02dc\u2013-\u2122\xa0-\xbf€]")
_AS_1251 = re.compile(r"[РС]\S[РС]\S[РС]\S")
_LATIN = re.compile(r"[A-Za-z]")
_ACCENTED = re.compile(r"[\u00c0-\u024f]")
_EAST_ASIAN = re.compile("[\u3040-\u9fff\uac00-\ud7a3]")
_DOUBLE_BYTE_ENCODINGS = ("gb18030", "cp932", "cp949")


def measure_mojibake(text: str) -> float:
    """Return the share of mojibake words in a normalised text, 0.0 to 1.0.

    U+FFFD counts in the whole text, other signs in the first MOJIBAKE_SAMPLE_CHARACTERS characters.
    """
    if text.isascii():
        return 0.0
    sample = text[:MOJIBAKE_SAMPLE_CHARACTERS]
    if _is_misread_latin(text[:MOJIBAKE_LETTER_SAMPLE_CHARACTERS]) or _is_misread_utf8(text[:MOJIBAKE_LETTER_SAMPLE_CHARACTERS]):
        return 1.0
    lost = text if "\ufffd" in text else "" if sample.replace("\n", "").isprintable() else sample
    return min(1.0, _measure_word_share(_LOST, lost) + _measure_misread_share(sample))


def _measure_word_share(pattern: re.Pattern[str], text: str) -> float:
    if pattern.search(text) is None:
        return 0.0
    words = text.split()
    size = count_line_words(text)
    if size > len(words):  # a script without spaces, in which a line is one piece
        return len(pattern.findall(text)) / size
    return sum(pattern.search(word) is not None for word in words) / len(words)


def _measure_misread_share(sample: str) -> float:
    """Return the share of words with UTF-8 read as another encoding, in the lines that `is_bad` reports."""
    if _AS_1252.search(sample) is None and ("Р" not in sample or _AS_1251.search(sample) is None):
        return 0.0
    lines = [line for line in sample.split("\n") if is_bad(line)]
    traces = sum(bool(_AS_1252.search(word) or _AS_1251.search(word)) for line in lines for word in line.split())
    return traces / max(1, count_line_words(sample))


def _is_misread_latin(sample: str) -> bool:
    """Detect Cyrillic, Greek or Arabic bytes read as Latin letters: nearly every letter has an accent."""
    accented = len(_ACCENTED.findall(sample))
    return accented >= MIN_MOJIBAKE_LETTERS and accented > MAX_ACCENTED_SHARE * (accented + len(_LATIN.findall(sample)))


def _is_misread_utf8(sample: str) -> bool:
    """Detect UTF-8 read as a double-byte encoding: the characters, encoded in that encoding again, are valid UTF-8."""
    if len(_EAST_ASIAN.findall(sample)) < MIN_MOJIBAKE_LETTERS:
        return False
    for name in _DOUBLE_BYTE_ENCODINGS:
        written = bytes(byte for byte in sample.encode(name, "ignore") if byte >= 0x80)
        misfits = written.decode("utf-8", "replace").count("\ufffd")
        if written and misfits < MAX_MISFIT_SHARE * len(written):
            return True
    return False
