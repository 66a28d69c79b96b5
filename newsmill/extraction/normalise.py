"""Text normalisation, for every string that Newsmill stores. `normalise` is idempotent, never raises, and never adds characters.

The rules, in the order of application:
1. Mojibake is repaired (`fix_encoding` of ftfy, which acts only on certain cases); other text is unchanged.
2. Characters are composed: Unicode NFC.
3. Removed: control characters, lone surrogates, noncharacters, soft hyphens, zero-width spaces and joiners, bidi controls, the byte order
   mark, annotation and tag characters. Kept: a zero-width (non-)joiner between letters of a script that uses it (Persian, Hindi, …)
   or inside an emoji, and the tags of a flag emoji.
4. White space: a run of blanks inside a line becomes one space. A run with one line break becomes one line break, and a run with
   two or more becomes one blank line. White space at either end is removed.
Quotes, dashes and all other characters remain as the publisher wrote them; `fold` replaces them for comparisons.
`mojibake.py` measures the mojibake that rule 1 could not repair.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable
from functools import lru_cache

from newsmill.text import lazy_re as re
from newsmill.text.combining_marks import limit_marks

_LINE_BREAKS = re.compile(r"\r\n?|[\x0b\x0c\x1c-\x1e\x85\u2028\u2029]")
# Invisible characters. There are two classes, because a class with several planes is ten times slower in the regex engine of Python.
_INVISIBLE = re.compile(
    "[\x00-\x08\x0e-\x1b\x1f\x7f-\x84\x86-\x9f\xad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180e"
    "\u200b\u200e\u200f\u202a-\u202e\u2060-\u206f\u3164\ud800-\udfff\ufdd0-\ufdef\ufeff\uffa0\ufff0-\ufffb\ufffe\uffff]+"
)
# Invisible characters that Unicode classifies as letters or marks.
_INVISIBLE_LETTER = re.compile("[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180d\u3164\uffa0]")
_INVISIBLE_ASTRAL = re.compile(
    "[" + "".join(f"{chr(plane << 16 | 0xFFFE)}{chr(plane << 16 | 0xFFFF)}" for plane in range(1, 17)) + "\U000e0000-\U000e001f]+"
)
_ASTRAL = re.compile("[\U00010000-\U0010ffff]")
# Scripts that use U+200C and U+200D: Arabic, Syriac, N'Ko, Mandaic, the Indic scripts, Sinhala, Tibetan, Myanmar, Khmer, Mongolian.
_JOINING_SCRIPTS = "\u0600-\u08ff\u0900-\u0dff\u0f00-\u109f\u1780-\u18af\ua840-\ua87f\ua8e0-\ua8ff\uabc0-\uabff\ufb50-\ufdcf\ufe70-\ufefc"
_PICTURE = "\u00a9\u00ae\u203c-\u3299\ufe0f\U0001f000-\U0001faff"
_STRAY_JOINER = re.compile(
    f"\u200c(?![{_JOINING_SCRIPTS}])|(?<![{_JOINING_SCRIPTS}])\u200c|\u200d(?![{_JOINING_SCRIPTS}{_PICTURE}])|(?<![{_JOINING_SCRIPTS}{_PICTURE}])\u200d"
)
_FLAG_OR_TAG = re.compile("(\U0001f3f4[\U000e0030-\U000e0039\U000e0061-\U000e007a]+\U000e007f)|[\U000e0020-\U000e007f]")
# Every pattern of `is_bad` contains one of these (ftfy 6.3). This test runs first and saves 1.5 ms on an ordinary page.
_MAYBE_MOJIBAKE = re.compile(r"[^\x00-\x7f]{2}|[ÂÃŒœ\x80-\x9f]")
_BLANKS = re.compile(r"[^\S\n]+")
_AROUND_BREAKS = re.compile(r" ?\n ?")
_PARAGRAPHS = re.compile(r"\n{2,}")
_FOLDED = str.maketrans(
    dict.fromkeys("“”„‟«»″＂〝〞", '"')
    | dict.fromkeys("‘’‚‛‹›′`´＇", "'")
    | dict.fromkeys("‐‑‒–—―−﹘﹣－", "-")
    | {"…": "...", "\u00a0": " "}
)
_UNSPACED_SCRIPTS = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff"
# Python's \w leaves out vowel signs (Hebrew, Arabic, Indic scripts, …) and the joiners U+200C and U+200D, which are inside words.
WORD_MARKS = (
    "\u0300-\u036f\u0483-\u0489\u0591-\u05bd\u05bf-\u05c7\u0610-\u061a\u064b-\u065f\u0670\u06d6-\u06ed\u0730-\u074a"
    "\u0900-\u0963\u0966-\u0dff\u200c\u200d"
)
_WORD = re.compile(rf"\w[\w{WORD_MARKS}]*")
_SPACED_WORD = re.compile(rf"[^\W{_UNSPACED_SCRIPTS}]+(?:[{WORD_MARKS}]+[^\W{_UNSPACED_SCRIPTS}]*)*")
_UNSPACED_CHARACTER = re.compile(f"[{_UNSPACED_SCRIPTS}]")
_MAX_ROUNDS = 6  # one repair can make another one possible; two rounds are the measured maximum, and the limit guarantees an end


def normalise(text: str) -> str:
    """Normalise the text of one block, or of several blocks separated by blank lines, by the rules of this module."""
    text = limit_marks(text)
    return text if _is_normal(text) else _repeat_until_stable(_normalise_once, text)


def normalise_line(text: str) -> str:
    """Normalise a field of one line: a title, a name, a caption."""
    text = limit_marks(text)
    return text if _is_normal(text) else _repeat_until_stable(_join_lines, text)


def _repeat_until_stable(step: Callable[[str], str], text: str) -> str:
    for _ in range(_MAX_ROUNDS):
        cleaned = step(text)
        if cleaned == text:
            break
        text = cleaned
    return text


def _join_lines(text: str) -> str:
    """Join lines. The caller repeats this, because two joined lines can be mojibake when neither line is."""
    return " ".join(normalise(text).split())


def _is_normal(text: str) -> bool:
    """True for one line that is already normal. Most lines are, and this check takes a tenth of the time of the full rules.

    Printable (str.isprintable) means no control, format, private or unassigned character, no surrogate, and no blank except the space.
    """
    if not text.isprintable() or "  " in text or text[:1] == " " or text[-1:] == " ":
        return False
    return text.isascii() or (
        unicodedata.is_normalized("NFC", text)
        and _INVISIBLE_LETTER.search(text) is None
        and (_MAYBE_MOJIBAKE.search(text) is None or not is_bad(text))
    )


def fold(text: str) -> str:
    """Replace curly quotes, dashes and ellipses by ASCII, for comparisons only; never stored in `text`."""
    return text.translate(_FOLDED)


@lru_cache(maxsize=4)  # several modules count the words of the same text
def count_words(text: str) -> int:
    """Count words between spaces. In scripts without spaces (Chinese, Japanese, Thai, …), two characters count as one word."""
    unspaced = (
        0 if text.isascii() else len(text) - len(_UNSPACED_CHARACTER.sub("", text))
    )  # a list of 1.5 million Thai characters would take 110 MB
    return len((_SPACED_WORD if unspaced else _WORD).findall(text)) + (unspaced + 1) // 2  # the simple pattern takes half the time


def count_line_words(text: str) -> int:
    """Count the words of a line or a block: as `count_words`, but in a fifth of the time for scripts with spaces."""
    return len(text.split()) if text.isascii() or _UNSPACED_CHARACTER.search(text) is None else count_words(text)


def _normalise_once(text: str) -> str:
    if not text.isascii():
        text = unicodedata.normalize("NFC", _repair_mojibake(text))
    text = _INVISIBLE.sub("", _LINE_BREAKS.sub("\n", text))
    if not text.isascii():
        text = _STRAY_JOINER.sub("", text)
        if _ASTRAL.search(text) is not None:
            text = _INVISIBLE_ASTRAL.sub("", _FLAG_OR_TAG.sub(r"\1", text))
    return _collapse_white_space(text)


def _repair_mojibake(text: str) -> str:
    """Repair each line separately, so that one bad line does not affect how ftfy treats the others."""
    if _MAYBE_MOJIBAKE.search(text) is None:
        return text
    from ftfy import fix_encoding  # see is_bad

    return "\n".join(fix_encoding(line) if _MAYBE_MOJIBAKE.search(line) is not None and is_bad(line) else line for line in text.split("\n"))


def is_bad(text: str) -> bool:
    # ftfy costs 0.04 s of CPU, which the processes that import this module and read no page need not spend
    from ftfy.badness import is_bad

    return is_bad(text)


def _collapse_white_space(text: str) -> str:
    text = _AROUND_BREAKS.sub("\n", _BLANKS.sub(" ", text))
    return _PARAGRAPHS.sub("\n\n", text).strip()
