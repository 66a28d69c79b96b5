"""Dates that a page displays: their parser, and the date beside the headline, which readers take for the day of publication. Pure.

In the sets of tests/conformance/test_days.py, a date in a short line near the headline is the day of publication on 96 of 100 pages.
Near means up to eight blocks below or four above it. Dates further away are those of other articles about as often.

The parser reads "3 March 2026", "03.03.2026" and "2026年3月3日". It reads numbers and month names and does not guess.
Month names come from the Unicode CLDR (package Babel), in the language of the page and in English.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence, Set
from copy import deepcopy
from dataclasses import dataclass
from datetime import date
from functools import lru_cache

from babel import Locale, UnknownLocaleError, localedata

from newsmill.extraction.body.blocks import Layout, TextBlock, split_words
from newsmill.extraction.normalise import count_words
from newsmill.extraction.vocabulary import build_alternation
from newsmill.model import BlockType

MAX_BLOCKS_ABOVE, MAX_BLOCKS_BELOW = 4, 8  # text blocks between the headline and its date
MAX_DATELINE_CHARACTERS = 60  # characters before the date in a dateline: "Press release, Berlin, 3 March 2026 – The minister …"
MAX_OTHER_WORDS = 14  # words beside the date: names, a weekday, a time, "published", a section; a sentence has more, or ends with "。"
MIN_TITLE_LIKENESS = 0.6  # share of common words of title and heading, from which the heading is the headline
_OUTSIDE_TAGS = frozenset(("aside", "nav", "footer", "figure", "figcaption", "blockquote", "form"))
_OTHER_BOX = re.compile(r"(?:^|[\s_-])(?:captions?|comments?|related|sidebar|widgets?|menu|ticker|current-date)(?:$|[\s_-])", re.IGNORECASE)
_DATELINE_END = re.compile(r"[)\].]*\s*[–—|:/-]\s|[)\]][.:]?\s")
_UPDATED = re.compile(rf"\b(?:{build_alternation('last_change')})\b[^\d]*$", re.IGNORECASE)
MAX_TEXT_CHARACTERS = 1_000  # characters of a text that are searched
MAX_CACHED_LANGUAGES = 64
MIN_ABBREVIATION_LETTERS = 3  # letters that an abbreviation of a month needs ("Sept.")
DEFAULT_LANGUAGES = (
    "en",
    "de",
    "fr",
    "es",
    "it",
    "pt",
    "nl",
    "pl",
    "ru",
    "tr",
)  # for pages in an unknown language: the most common languages of the web
YEAR_FIRST_LANGUAGES = frozenset(("ja", "ko", "zh"))  # in which "26.11.24" is 24 November

_YEAR = r"((?:19|20)\d{2})(?!\d)"
_DAY = r"(?<![\d.,:/-])(\d{1,2})"
_NAME = r"([^\W\d_][^\s\d,/|()]{1,19})"
_PATTERNS = (
    ("ymd", re.compile(rf"(?<![\d.,:/-]){_YEAR}\s?([-/.年년])\s?(\d{{1,2}})\s?(?:\2|[月월])\s?(\d{{1,2}})(?!\d|[.,/-]\d)")),
    ("dmy", re.compile(rf"{_DAY}(\.\s?|[/-])(\d{{1,2}})\2{_YEAR}(?![./-]\d)")),
    ("dmy", re.compile(rf"{_DAY}\s(tháng|thg)\s(\d{{1,2}}),?\s(?:năm\s)?{_YEAR}")),  # Vietnamese month names are numbers
    ("short", re.compile(rf"{_DAY}(\.)([01]\d)\.(\d{{2}})(?!\d|[.,:/-]\d|\.\w)")),
    (
        "d name y",
        re.compile(rf"{_DAY}(?:st|nd|rd|th|er|[.ºª])?[\s-]+(?:(?:de|of)\s|d[’']|ב)?{_NAME}[.,]{{0,2}}[\s-]+(?:(?:de|del)\s)?{_YEAR}"),
    ),
    ("name d y", re.compile(rf"{_NAME}\.?\s(\d{{1,2}})(?:st|nd|rd|th)?,?\s{_YEAR}")),
    ("y name d", re.compile(rf"(?<!\d){_YEAR}\.?\s(?:m\.?\s)?{_NAME}\s(\d{{1,2}})(?!\d)")),
)
_GLUED = re.compile(r"^.*[a-zß-ÿ](?=[A-ZÀ-Þ][^A-Z]*$)")  # "SmithMarch": an inline element with a name before the date


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
    for block in (blocks[index] for index in near if index != at):
        if any(map(str.isdigit, block.text)) and _may_be_dateline(block, around):
            yield from _read_dates(block.text, language)


def _read_dates(text: str, language: str | None) -> Iterator[HeadlineDate]:
    """Yield the dates of one line, or of the dateline of a paragraph.

    Of two dates without a label, the earlier one comes first, because the other is the last change.
    """
    dates = find_written_dates(text, language)
    if dates and (text.endswith("。") or count_words(_remove_dates(text, dates)) > MAX_OTHER_WORDS):
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


# ---- written dates ----------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class WrittenDate:
    """A date in a text: start, end, and possible ISO days; there are two if day and month are ambiguous."""

    start: int
    end: int
    days: tuple[str, ...]


def find_written_dates(text: str, language: str | None) -> list[WrittenDate]:
    """Return every date with year, month and day in the first MAX_TEXT_CHARACTERS characters, in text order.

    `language` is the BCP 47 tag of the page, or None if it is unknown. Month names in other languages than this and English are ignored.

    >>> [found.days for found in find_written_dates("Stand: 3. März 2026, 14:07 Uhr", "de")]
    [('2026-03-03',)]
    >>> [found.days for found in find_written_dates("04/03/2026", "en")]
    [('2026-03-04', '2026-04-03')]
    """
    found: list[WrittenDate] = []
    text = _with_ascii_digits(text[:MAX_TEXT_CHARACTERS])
    for order, pattern in _PATTERNS:
        for match in pattern.finditer(text):
            days = tuple(_read_days(order, match, language))
            if days and not any(match.start() < other.end and other.start < match.end() for other in found):
                found.append(WrittenDate(match.start(), match.end(), days))
    return sorted(found, key=lambda one: one.start)


def _with_ascii_digits(text: str) -> str:
    """Replace the digits of other scripts by 0 to 9."""
    return text if text.isascii() else "".join(str(unicodedata.decimal(sign)) if sign.isdecimal() else sign for sign in text)


def _read_days(order: str, match: re.Match[str], language: str | None) -> Iterator[str]:
    parts = match.groups()
    if order == "ymd":
        readings = [(parts[0], parts[2], parts[3])]
    elif order == "short":
        first, _, month, last = parts
        day, year = (last, first) if (language or "").split("-")[0] in YEAR_FIRST_LANGUAGES else (first, last)
        readings = [(f"20{year}", month, day)]
    elif order == "dmy":
        day, separator, month, year = parts
        american = separator.strip() == "." and int(month) > 12  # "12.16.2026"
        swapped = separator in ("/", "-") or american
        readings = [(year, month, day), (year, day, month)] if swapped else [(year, month, day)]
    else:
        year, name, day = {"d name y": (2, 1, 0), "name d y": (2, 0, 1), "y name d": (0, 1, 2)}[order]
        month_number = parse_month(parts[name], language)
        readings = [] if month_number is None else [(parts[year], str(month_number), parts[day])]
    seen = dict.fromkeys(iso for reading in readings if (iso := _format_day(*map(int, reading))) is not None)
    return iter(seen)


def _format_day(year: int, month: int, day: int) -> str | None:
    try:
        return date(year, month, day).isoformat()
    except ValueError:
        return None


def parse_month(name: str, language: str | None) -> int | None:
    """Return the month (1 to 12) of a name or an abbreviation in the language or in English, otherwise None."""
    spellings = dict.fromkeys((_fold_name(name), _fold_name(_GLUED.sub("", name))))
    tables = [_load_months(tag) for tag in (DEFAULT_LANGUAGES if language is None else dict.fromkeys((language.split("-")[0], "en")))]
    found = (table.get(spelling) or _match_abbreviation(spelling, table) for table in tables for spelling in spellings)
    return next((month for month in found if month is not None), None)


def _match_abbreviation(word: str, table: Mapping[str, int]) -> int | None:
    months = {month for name, month in table.items() if name.startswith(word)} if len(word) >= MIN_ABBREVIATION_LETTERS else set()
    return months.pop() if len(months) == 1 else None


def _fold_name(name: str) -> str:
    return unicodedata.normalize("NFC", name).casefold().strip(".,;:'’\"")


@lru_cache(maxsize=MAX_CACHED_LANGUAGES)
def _load_months(language: str) -> Mapping[str, int]:
    """Return full and abbreviated month names from CLDR, alone and within a date. The result is empty for an unknown language."""
    try:
        months = load_month_names(language)
    except (UnknownLocaleError, ValueError):
        return {}
    tables = (months[context][width] for context in ("format", "stand-alone") for width in ("wide", "abbreviated"))
    return {_fold_name(name): month for table in tables for month, name in table.items() if not name.isdigit()}


def load_month_names(language: str) -> Mapping[str, Mapping[str, Mapping[int, str]]]:
    """Return month names by context ("format", "stand-alone"), width ("wide", "abbreviated", …) and number, for a language tag.

    The source is the Unicode CLDR, like `babel.Locale.months`, but from a copy. Babel 2.18 resolves an alias inside data that languages
    share, so that German month names are partly Hebrew after Hebrew was read.
    Raise UnknownLocaleError or ValueError for an unknown tag.
    """
    months = localedata.load(str(Locale.parse(language)))["months"]
    names: Mapping[str, Mapping[str, Mapping[int, str]]] = localedata.LocaleDataDict(deepcopy({"months": months}))["months"]
    return names
