"""The date beside the headline, which readers take for the day of publication."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence, Set
from dataclasses import dataclass, replace
from itertools import islice

from lxml import etree
from lxml.html import HtmlElement

from newsmill.extraction.body.blocks import Layout, TextBlock, split_words
from newsmill.extraction.metadata.other_articles import MIN_HEADLINE_WORDS
from newsmill.extraction.metadata.written_dates import WrittenDate, find_written_dates
from newsmill.extraction.normalise import count_words
from newsmill.extraction.vocabulary import compile_words
from newsmill.model import BlockType

MAX_DATED_ELEMENTS = 40  # dated elements examined; lists of teasers have hundreds, and that of the article is among the first


# In the sets of tests/conformance/test_days.py, a date in a short line near the headline is the day of publication on 96 of 100 pages.
# Near means up to eight blocks below or four above it. Dates further away are those of other articles about as often.

MAX_BLOCKS_ABOVE, MAX_BLOCKS_BELOW = 4, 8  # text blocks between the headline and its date
MAX_DATELINE_CHARACTERS = 60  # characters before the date in a dateline: "Press release, Berlin, 3 March 2026 – The minister …"
MIN_TITLE_LIKENESS = 0.6  # share of common words of title and heading, from which the heading is the headline
MAX_OTHER_WORDS = 14  # words beside the date: names, a weekday, a time, "published", a section; a sentence has more, or ends with "。"
_OTHER_TAGS = frozenset(("aside", "nav", "footer", "figure", "figcaption", "blockquote", "form"))
_DATELINE_END = re.compile(r"[)\].]*\s*[–—|:/-]\s|[)\]][.:]?\s")
_UPDATED = compile_words(r"\b{last_change}\b[^\d]*$")


@dataclass(frozen=True, slots=True)
class HeadlineDate:
    """The possible ISO days of a date (several if day and month are ambiguous), and whether it has the label of a last change.

    `datetimes` are the attributes of the <time> elements in its line.
    """

    days: tuple[str, ...]
    updated: bool
    datetimes: tuple[str, ...] = ()


def find_headline_date(layout: Layout, title: str | None, language: str | None) -> HeadlineDate | None:
    """Return the date nearest to the headline, or None without a headline or a date. A date of the last change is the last choice.

    `title` is the title of the page, and `language` its BCP 47 tag.
    """
    blocks = layout.blocks
    at = None if title is None else find_headline(blocks, title)
    if at is None:
        return None
    found = list(_list_dates(blocks, at, language))
    return next((one for one in found if not one.updated), next(iter(found), None))


def find_headline(blocks: Sequence[TextBlock], title: str) -> int | None:
    """Return the index of the heading that is most similar to the title; <h1> has priority."""
    title_words = set(split_words(title))
    best, score = None, 0.0
    for block in blocks:
        if block.type is not BlockType.HEADING:
            continue
        heading_words = set(block.words)
        likeness = len(heading_words & title_words) / max(1, len(heading_words | title_words))
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
    for block in (blocks[index] for index in near if index != at and not _is_in_teaser(blocks, index, at)):
        if any(map(str.isdigit, block.text)) and _may_be_dateline(block, around):
            times = islice(block.box.element.iter("time"), MAX_DATED_ELEMENTS if block.timed else 0)
            datetimes = tuple(element.get("datetime", "") for element in times)
            dates = list(_read_dates(block.text, language))
            changed = _find_change(block.box.element) if dates else ""
            yield from (replace(one, updated=one.updated or changed in one.days, datetimes=datetimes) for one in dates)


def _find_change(line: HtmlElement) -> str:
    """Return the day that the microdata of a line names for the last change, if it names no publication; "" for none.

    A displayed day that differs is that of the publication: some pages mark it as the change, whose day is in `datetime`.
    """
    marked = [element for element in islice(line.iter(etree.Element), MAX_DATED_ELEMENTS) if "itemprop" in element.attrib]
    if any("datePublished" in element.get("itemprop", "") for element in marked):
        return ""
    changes = (element for element in marked if "dateModified" in element.get("itemprop", ""))
    return next(((element.get("datetime") or element.get("content") or "")[:10] for element in changes), "")


def _is_in_teaser(blocks: Sequence[TextBlock], index: int, at: int) -> bool:
    """Whether a block stands below a linked headline, which leads to another article; `at` is the index of the headline of the page."""
    before = range(max(at + 1 if index > at else 0, index - MAX_BLOCKS_ABOVE), index)
    heading = next((blocks[place] for place in reversed(before) if blocks[place].type is BlockType.HEADING), None)
    return heading is not None and heading.linked and len(heading.words) >= MIN_HEADLINE_WORDS


def _read_dates(text: str, language: str | None) -> Iterator[HeadlineDate]:
    """Yield the dates of one line, or of the dateline of a paragraph. Of two without a label, the earlier one is the publication."""
    dates = find_written_dates(text, language)
    if dates and (text.endswith("。") or count_words(_remove_dates(text, dates)) > MAX_OTHER_WORDS):
        dates = [one for one in dates[:1] if one.start <= MAX_DATELINE_CHARACTERS and _DATELINE_END.match(text, one.end)]
    found = [HeadlineDate(one.days, _UPDATED.search(text[: one.start]) is not None) for one in dates]
    yield from sorted((one for one in found if not one.updated), key=lambda one: min(one.days))
    yield from (one for one in found if one.updated)


def _may_be_dateline(block: TextBlock, around: Set[int]) -> bool:
    """Whether no box of a block is for other content. Boxes `around` the headline do not count, as some pages are one form."""
    return not any(box.tag in _OTHER_TAGS for box in block.box.ancestors() if box.index not in around)


def _remove_dates(text: str, dates: Sequence[WrittenDate]) -> str:
    for one in reversed(dates):
        text = f"{text[: one.start]} {text[one.end :]}"
    return text
