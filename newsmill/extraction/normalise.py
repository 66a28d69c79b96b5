"""Normalised text: the contract of every string Newsmill stores. `normalise` is idempotent, never raises, never invents characters.

The contract, in the order it is applied:
1. Mojibake is repaired (ftfy's `fix_encoding`, which acts only where it is sure); text that is no mojibake is left alone.
2. Composed characters: Unicode NFC.
3. Removed: control characters, lone surrogates, noncharacters, soft hyphens, zero-width spaces and joiners, bidi controls, the byte order
   mark, annotation and tag characters. Kept: a zero-width (non-)joiner between letters of a script that spells with it (Persian,
   Hindi, …) or inside an emoji, and the tags of a flag emoji.
4. White space: every run of blanks inside a line becomes one space, a run with one line break one line break, and two or more line
   breaks one blank line. No white space at either end.
Quotes, dashes and everything else stay as the publisher wrote them; `fold` is the switch for programs that compare.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from functools import lru_cache

from ftfy import fix_encoding
from ftfy.badness import is_bad

_LINE_BREAKS = re.compile(r"\r\n?|[\x0b\x0c\x1c-\x1e\x85\u2028\u2029]")
# What no reader sees and no search finds. Two classes: one that mixes planes is ten times slower in Python's engine.
_INVISIBLE = re.compile(
    "[\x00-\x08\x0e-\x1b\x1f\x7f-\x84\x86-\x9f\xad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180e"
    "\u200b\u200e\u200f\u202a-\u202e\u2060-\u206f\u3164\ud800-\udfff\ufdd0-\ufdef\ufeff\uffa0\ufff0-\ufffb\ufffe\uffff]+"
)
# Those of them that Unicode calls letters or marks.
_INVISIBLE_LETTER = re.compile("[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180d\u3164\uffa0]")
_INVISIBLE_ASTRAL = re.compile(
    "[" + "".join(f"{chr(plane << 16 | 0xFFFE)}{chr(plane << 16 | 0xFFFF)}" for plane in range(1, 17)) + "\U000e0000-\U000e001f]+"
)
_ASTRAL = re.compile("[\U00010000-\U0010ffff]")
# Scripts that spell with U+200C and U+200D: Arabic, Syriac, N'Ko, Mandaic, the Indic scripts, Sinhala, Tibetan, Myanmar, Khmer, Mongolian.
_JOINING_SCRIPTS = "\u0600-\u08ff\u0900-\u0dff\u0f00-\u109f\u1780-\u18af\ua840-\ua87f\ua8e0-\ua8ff\uabc0-\uabff\ufb50-\ufdcf\ufe70-\ufefc"
_PICTURE = "\u00a9\u00ae\u203c-\u3299\ufe0f\U0001f000-\U0001faff"
_STRAY_JOINER = re.compile(
    f"\u200c(?![{_JOINING_SCRIPTS}])|(?<![{_JOINING_SCRIPTS}])\u200c|\u200d(?![{_JOINING_SCRIPTS}{_PICTURE}])|(?<![{_JOINING_SCRIPTS}{_PICTURE}])\u200d"
)
_FLAG_OR_TAG = re.compile("(\U0001f3f4[\U000e0030-\U000e0039\U000e0061-\U000e007a]+\U000e007f)|[\U000e0020-\U000e007f]")
# Every pattern of ftfy's `is_bad` holds one of these; testing for it first saves its 1.5 ms on an ordinary page (seen in ftfy 6.3).
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
_WORD = re.compile(r"\w+")
_SPACED_WORD = re.compile(rf"[^\W{_UNSPACED_SCRIPTS}]+")
_UNSPACED_CHARACTER = re.compile(f"[{_UNSPACED_SCRIPTS}]")
_MAX_ROUNDS = 6  # a repair can uncover another one; more than two rounds were never seen, the bound only keeps the promise to end


def normalise(text: str) -> str:
    """Text of one block or of many (separated by blank lines) as the contract above says."""
    return text if _is_normal(text) else _repeat_until_stable(_normalise_once, text)


def normalise_line(text: str) -> str:
    """The same for a field that is one line: titles, names, captions."""
    return text if _is_normal(text) else _repeat_until_stable(_join_lines, text)


def _repeat_until_stable(step: Callable[[str], str], text: str) -> str:
    for _ in range(_MAX_ROUNDS):
        cleaned = step(text)
        if cleaned == text:
            break
        text = cleaned
    return text


def _join_lines(text: str) -> str:
    """Two lines that become one may be mojibake together though neither was: this, too, is repeated."""
    return " ".join(normalise(text).split())


def _is_normal(text: str) -> bool:
    """True for one line in which nothing is to be done: most lines are, and to see it takes a tenth of the time of doing nothing.

    Printable (str.isprintable) means no control, format, private or unassigned character, no surrogate, and no blank but the space.
    """
    if not text.isprintable() or "  " in text or text[:1] == " " or text[-1:] == " ":
        return False
    return text.isascii() or (
        unicodedata.is_normalized("NFC", text) and _MAYBE_MOJIBAKE.search(text) is None and _INVISIBLE_LETTER.search(text) is None
    )


def fold(text: str) -> str:
    """Curly quotes, dashes and ellipses as plain ASCII, for comparing; never stored in `text`."""
    return text.translate(_FOLDED)


@lru_cache(maxsize=4)  # of one text, several rooms ask
def count_words(text: str) -> int:
    """Words between spaces; in scripts that write without spaces (Chinese, Japanese, Thai, …) every two characters count as one."""
    unspaced = (
        0 if text.isascii() else len(text) - len(_UNSPACED_CHARACTER.sub("", text))
    )  # a list of 1.5 million Thai characters takes 110 MB
    return len((_SPACED_WORD if unspaced else _WORD).findall(text)) + (unspaced + 1) // 2  # the plain class takes half the time


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
    """ftfy line by line, so that one bad line cannot make it distrust, or rewrite, its neighbours."""
    if _MAYBE_MOJIBAKE.search(text) is None:
        return text
    return "\n".join(fix_encoding(line) if _MAYBE_MOJIBAKE.search(line) is not None and is_bad(line) else line for line in text.split("\n"))


def _collapse_white_space(text: str) -> str:
    text = _AROUND_BREAKS.sub("\n", _BLANKS.sub(" ", text))
    return _PARAGRAPHS.sub("\n\n", text).strip()
