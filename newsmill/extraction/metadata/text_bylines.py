"""Removal of bylines and datelines from the text.

The removal uses the fields of the page, not word lists. It removes the names of the authors and the day of publication from a line.
If only a few words remain (a month, a weekday, "by"), the line is a byline or a dateline.
One of the last paragraphs of a news article that begins with the name of an author is about the author.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial

from newsmill.extraction.metadata.author_names import BYLINE_WORDS, CONTACT, split_names
from newsmill.extraction.metadata.bylines import MAX_BYLINE_CHARACTERS
from newsmill.extraction.metadata.written_dates import find_written_dates
from newsmill.extraction.normalise import WORD_MARKS
from newsmill.model import Author, AuthorType, Block, BlockType
from newsmill.text import lazy_re as re

LAYER = "rules"
FIRST_BLOCKS = 2  # kept blocks at the start that may be bylines: a name, and a date below it
MAX_LINE_WORDS = 16  # words; names, a weekday, a date, a time and a zone
MAX_OTHER_WORDS = 4  # words that may remain: "by", weekday, month, "Uhr"
LAST_BLOCKS = 3  # kept blocks at the end that may be about the authors: there may be several authors, or a line below
MAX_WORDS_BEFORE_NAME = 3  # words before the name: "Our correspondent Jane Doe is …"
BIOGRAPHY_WORDS = range(6, 121)  # words
_WORD = re.compile(rf"\d+|[^\W\d_]+(?:[{WORD_MARKS}]+[^\W\d_]*)*")
_DATE_UNIT = re.compile(r"(?<=\d)\s?[年月日号號時时点點分秒년월일시분초]")  # in the dates and times of Chinese, Japanese and Korean
_CLOCK = re.compile(r"\d{1,2}\s?[:.h]\s?\d{2}(?!\d|[.]\d)")  # "10:30", "10h30"
_SPEAKER = re.compile(r"[^:：]{1,60}[:：]\s")  # "Jane Doe: When …?" in an interview


def remove_bylines(
    blocks: Sequence[Block], authors: Sequence[Author], day: str | None, *, is_news: bool = False, language: str | None = None
) -> tuple[Block, ...]:
    """Return the blocks, with bylines and datelines among the first kept ones and as the last one marked as removed.

    `day` is the day of publication that the page displays (YYYY-MM-DD), or None if it is unknown. `language` is the tag of the text.
    `is_news` means that the page declares a news article; paragraphs about its authors at the end are then marked too. In guides they
    are text: the gold texts keep 9 of 12 there, and none of 5 on news pages.
    """
    out = list(blocks)
    classify = partial(classify_byline, authors=authors, day=day, language=language)
    kept = [index for index, block in enumerate(out) if block.kept and block.type in (BlockType.PARAGRAPH, BlockType.HEADING)]
    above = sorted((*kept, *(index for index, block in enumerate(out) if block.kept and block.type is BlockType.LIST)))  # date and topics
    for index, kind in _find_above([(index, out[index].text) for index in above], classify):
        out[index] = replace(out[index], kept=False, layer=LAYER, reason=kind)
    last = max((index for index, block in enumerate(out) if block.kept), default=-1)
    if len(kept) > FIRST_BLOCKS + 1 and last == kept[-1] and (reason := classify(out[last].text)) is not None:
        out[last] = replace(out[last], kept=False, layer=LAYER, reason=reason)
    for index in kept[-LAST_BLOCKS:] if is_news and len(kept) > FIRST_BLOCKS + LAST_BLOCKS else ():
        if out[index].kept and is_about_author(out[index].text, authors):
            out[index] = replace(out[index], kept=False, layer=LAYER, reason="about the author")
    return tuple(out)


def _find_above(above: Sequence[tuple[int, str]], classify: Callable[[str], str | None]) -> Iterator[tuple[int, str]]:
    """Yield (index, reason) for the bylines and datelines among the first blocks, up to the first block with other content.

    The only blocks of a page stay if those below have hardly any words.
    """
    for number, (index, text) in enumerate(above[:FIRST_BLOCKS], 1):
        reason = classify(text)
        if reason is None:
            return
        if len(above) <= FIRST_BLOCKS and sum(len(_WORD.findall(other)) for _, other in above[number:]) <= MAX_LINE_WORDS:
            return
        yield index, reason


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


def classify_byline(text: str, authors: Sequence[Author], day: str | None, language: str | None = None) -> str | None:
    """Return `byline` or `dateline`, or None for a line with other content. `language` is the tag of the text, for other calendars.

    >>> classify_byline("By Jane Doe, 23 November 2026", [Author("Jane Doe")], "2026-11-23")
    'byline'
    >>> classify_byline("22 жовтня 2026 р.", [], "2026-10-22")
    'dateline'
    >>> classify_byline("Jane Doe won the race on 23 November 2026", [Author("Jane Doe")], "2026-11-23")
    """
    line = _CLOCK.sub(" ", BYLINE_WORDS.sub("", CONTACT.sub(" ", text)))
    words = [word.casefold() for word in _WORD.findall(_DATE_UNIT.sub(" ", line))]
    names = [_WORD.findall(author.name.casefold()) for author in authors]
    known = {author.name for author in authors}
    if len(text) <= MAX_BYLINE_CHARACTERS and (written := split_names(text)) and known.issuperset(written):
        return "byline"
    if len(words) > MAX_LINE_WORDS:
        return None
    signed = any(_contains_name(words, name) for name in names)
    dated = day is not None and _names_day(text, words, day, language)
    other_words = {word for word in words if not word.isdigit()}.difference(*names)
    if len(other_words) > MAX_OTHER_WORDS or not (signed or dated) or (signed and not dated and len(other_words) > 1):
        return None
    return "byline" if signed else "dateline"


def _names_day(text: str, words: Iterable[str], day: str, language: str | None) -> bool:
    """True if the text has the year and the day of the month among its numbers, or the day as a written date."""
    numbers = {int(word) for word in words if word.isdecimal() and len(word) <= 4}
    return {int(day[:4]), int(day[8:10])} <= numbers or any(day in found.days for found in find_written_dates(text, language))


def _contains_name(words: Sequence[str], name: Sequence[str]) -> bool:
    return bool(name) and any(list(words[at : at + len(name)]) == list(name) for at in range(len(words) - len(name) + 1))
