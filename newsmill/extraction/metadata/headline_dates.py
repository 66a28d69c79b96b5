"""The date that a page displays beside its headline, which readers take for the day of publication. Pure.

In the sets of tests/conformance/test_days.py, a date in a short line near the headline is the day of publication on 96 of 100 pages.
Near means up to eight blocks below or four above it. Dates further away are those of other articles about as often.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence, Set
from dataclasses import dataclass

from newsmill.extraction.body.blocks import Layout, TextBlock, split_words
from newsmill.extraction.boilerplate.vocabulary import build_alternation
from newsmill.extraction.metadata.written_dates import WrittenDate, find_written_dates
from newsmill.model import BlockType

MAX_BLOCKS_ABOVE, MAX_BLOCKS_BELOW = 4, 8  # text blocks between the headline and its date
MAX_DATELINE_CHARACTERS = 60  # characters before the date in a dateline: "Press release, Berlin, 3 March 2026 – The minister …"
MAX_OTHER_WORDS = 14  # words beside the date: names, a weekday, a time, "published", a section; a sentence has more
MIN_TITLE_LIKENESS = 0.6  # share of common words of title and heading, from which the heading is the headline
_OUTSIDE_TAGS = frozenset(("aside", "nav", "footer", "figure", "figcaption", "blockquote", "form"))
_OTHER_BOX = re.compile(r"(?:^|[\s_-])(?:captions?|comments?|related|sidebar|widgets?|menu|ticker|current-date)(?:$|[\s_-])", re.IGNORECASE)
_DATELINE_END = re.compile(r"[)\].]*\s*[–—|:/-]\s|[)\]][.:]?\s")
_UPDATED = re.compile(rf"\b(?:{build_alternation('last_change')})\b[^\d]*$", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class HeadlineDate:
    """The possible ISO days of a date (several if day and month are ambiguous), and whether it has the label of a last change."""

    days: tuple[str, ...]
    updated: bool


def find_headline_date(layout: Layout, title: str | None, language: str | None) -> HeadlineDate | None:
    """Return the date nearest to the headline, or None without a headline or a date. A date of the last change is the last choice.

    `title` is the title of the page, and `language` its BCP 47 tag.
    """
    blocks = layout.blocks
    at = None if title is None else _find_headline(blocks, title)
    if at is None:
        return None
    found = list(_list_dates(blocks, at, language))
    return next((one for one in found if not one.updated), next(iter(found), None))


def _find_headline(blocks: Sequence[TextBlock], title: str) -> int | None:
    """Return the index of the heading that is most similar to the title; <h1> has priority."""
    wanted = set(split_words(title))
    best, score = None, 0.0
    for block in blocks:
        if block.type is not BlockType.HEADING:
            continue
        said = set(block.words)
        likeness = len(said & wanted) / max(1, len(said | wanted))
        if likeness < MIN_TITLE_LIKENESS:
            continue
        rank = likeness + any(box.tag == "h1" for box in block.box.ancestors())
        if rank > score:
            best, score = block.index, rank
    return best


def _list_dates(blocks: Sequence[TextBlock], at: int, language: str | None) -> Iterator[HeadlineDate]:
    near = sorted(
        range(max(0, at - MAX_BLOCKS_ABOVE), min(len(blocks), at + MAX_BLOCKS_BELOW + 1)), key=lambda index: (abs(index - at), index < at)
    )
    around = {box.index for box in blocks[at].box.ancestors()}
    for block in (blocks[index] for index in near if index != at):
        if any(map(str.isdigit, block.text)) and _may_be_dateline(block, around):
            yield from _read_dates(block.text, language)


def _read_dates(text: str, language: str | None) -> Iterator[HeadlineDate]:
    """Yield the dates of one line, or of the dateline of a paragraph.

    Of two dates without a label, the earlier one comes first, because the other is the last change.
    """
    dates = find_written_dates(text, language)
    if dates and len(split_words(_remove_dates(text, dates))) > MAX_OTHER_WORDS:
        dates = [one for one in dates[:1] if one.start <= MAX_DATELINE_CHARACTERS and _DATELINE_END.match(text, one.end)]
    found = [HeadlineDate(one.days, _UPDATED.search(text[: one.start]) is not None) for one in dates]
    yield from sorted((one for one in found if not one.updated), key=lambda one: min(one.days))
    yield from (one for one in found if one.updated)


def _may_be_dateline(block: TextBlock, around: Set[int]) -> bool:
    """Whether no box of a block is for other content. Boxes `around` the headline do not count, as some pages are one form."""
    boxes = (box for box in block.box.ancestors() if box.index not in around)
    return not any(box.tag in _OUTSIDE_TAGS or _OTHER_BOX.search(box.names) for box in boxes)


def _remove_dates(text: str, dates: Sequence[WrittenDate]) -> str:
    for one in reversed(dates):
        text = f"{text[: one.start]} {text[one.end :]}"
    return text
