"""Removal of bylines and datelines above the first sentence or below the last one, which are not part of the text. Pure.

The rules use the fields of the page, not word lists. They remove the names of the authors and the day of publication from a line.
If only a few words remain (a month, a weekday, "by"), it is a byline or dateline. One of the last paragraphs of a news article that
begins with the name of an author is about the author.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from newsmill.model import Author, AuthorType, Block, BlockType

LAYER = "rules"
FIRST_BLOCKS = 2  # kept blocks at the start that may be one: a name, and a date below it
MAX_LINE_WORDS = 16  # words; names, a weekday, a date, a time and a zone
MAX_OTHER_WORDS = 4  # words that may remain: "by", weekday, month, "Uhr"
LAST_BLOCKS = 3  # kept blocks at the end that may be about the authors: there may be several authors, or a line below
MAX_WORDS_BEFORE_NAME = 3  # words before the name: "Our correspondent Jane Doe is …"
BIOGRAPHY_WORDS = range(6, 121)  # words
_WORD = re.compile(r"\d+|[^\W\d_]+")
_SPEAKER = re.compile(r"[^:：]{1,60}[:：]\s")  # "Jane Doe: When …?" in an interview


def remove_bylines(blocks: Sequence[Block], authors: Sequence[Author], day: str | None, *, is_news: bool = False) -> tuple[Block, ...]:
    """Return the blocks, with bylines and datelines among the first kept ones and as the last one marked as removed.

    `day` is the day of publication that the page displays (YYYY-MM-DD), or None if it is unknown. `is_news` means that the page declares
    a news article; paragraphs about its authors at the end are then marked too. In guides they are text: the gold texts keep 9 of 12
    there, and none of 5 on news pages.
    """
    out = list(blocks)
    kept = [index for index, block in enumerate(out) if block.kept and block.type in (BlockType.PARAGRAPH, BlockType.HEADING)]
    for index in kept[:FIRST_BLOCKS]:
        reason = classify_byline(out[index].text, authors, day)
        if reason is None or len(kept) <= FIRST_BLOCKS:
            break
        out[index] = replace(out[index], kept=False, layer=LAYER, reason=reason)
    last = max((index for index, block in enumerate(out) if block.kept), default=-1)
    if len(kept) > FIRST_BLOCKS + 1 and last == kept[-1] and (reason := classify_byline(out[last].text, authors, day)) is not None:
        out[last] = replace(out[last], kept=False, layer=LAYER, reason=reason)
    for index in kept[-LAST_BLOCKS:] if is_news and len(kept) > FIRST_BLOCKS + LAST_BLOCKS else ():
        if out[index].kept and is_about_author(out[index].text, authors):
            out[index] = replace(out[index], kept=False, layer=LAYER, reason="about the author")
    return tuple(out)


def is_about_author(text: str, authors: Sequence[Author]) -> bool:
    """True for a paragraph with the full name of a person among the authors in its first words, and no colon after it.

    >>> is_about_author("Jane Doe is our correspondent in Paris.", [Author("Jane Doe")])
    True
    >>> is_about_author("Jane Doe: When did you come to Paris?", [Author("Jane Doe")])
    False
    """
    words = [word.casefold() for word in _WORD.findall(text)]
    if len(words) not in BIOGRAPHY_WORDS or _SPEAKER.match(text):
        return False
    people = [_WORD.findall(author.name.casefold()) for author in authors if author.type is AuthorType.PERSON]
    return any(len(name) > 1 and _contains_name(words[: MAX_WORDS_BEFORE_NAME + len(name)], name) for name in people)


def classify_byline(text: str, authors: Sequence[Author], day: str | None) -> str | None:
    """Return `byline` or `dateline`, or None for a line with other content.

    >>> classify_byline("By Jane Doe, 23 November 2026", [Author("Jane Doe")], "2026-11-23")
    'byline'
    >>> classify_byline("22 жовтня 2026 р.", [], "2026-10-22")
    'dateline'
    >>> classify_byline("Jane Doe won the race on 23 November 2026", [Author("Jane Doe")], "2026-11-23")
    """
    words = [word.casefold() for word in _WORD.findall(text)]
    names = [_WORD.findall(author.name.casefold()) for author in authors]
    if len(words) > MAX_LINE_WORDS:
        return None
    signed = any(_contains_name(words, name) for name in names)
    said = {word for name in names for word in name}
    rest = [word for word in words if not word.isdigit() and word not in said]
    digits = {int(word) for word in words if word.isdecimal() and len(word) <= 4}
    dated = day is not None and {int(day[:4]), int(day[8:10])} <= digits
    if len(rest) > MAX_OTHER_WORDS or not (signed or dated) or (signed and not dated and len(rest) > 1):
        return None
    return "byline" if signed else "dateline"


def _contains_name(words: Sequence[str], name: Sequence[str]) -> bool:
    return bool(name) and any(list(words[at : at + len(name)]) == list(name) for at in range(len(words) - len(name) + 1))
