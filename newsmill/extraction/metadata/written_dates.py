"""The dates that a text writes for its readers, such as "3 March 2026", "03.03.2026" or "2026年3月3日".

The parser needs year, month and day, reads numbers and month names, and does not guess.
Month names come from the Unicode CLDR (package Babel), in the language of the page and in English.
Years of the Buddhist, Persian, Japanese and Taiwanese calendars become Gregorian ones.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date

from newsmill.text import lazy_re as re
from newsmill.text.month_names import PERSIAN_LANGUAGES, parse_month

MAX_TEXT_CHARACTERS = 1_000  # characters of a text that are searched
YEAR_FIRST_LANGUAGES = frozenset(("ja", "ko", "zh"))  # in which "26.11.24" is 24 November

BUDDHIST_LANGUAGES = frozenset(("th",))  # in which 2569 is 2026
_ERAS = {"令和": 2018, "平成": 1988, "昭和": 1925, "民國": 1911, "民国": 1911}  # the year before the first year of each
_BUDDHIST_YEARS = range(2500, 2600)
_PERSIAN_YEARS = range(1300, 1500)
_PERSIAN_EPOCH = 226_529  # the proleptic Gregorian ordinal of the day before the first day of year 0

_YEAR = r"((?:19|20|25|1[34])\d{2})(?!\d)"  # of the Gregorian, Buddhist or Persian calendar
_DAY = r"(?<![\d.,:/-])(\d{1,2})"
_NAME = r"([^\W\d_][^\s\d,/|()]{1,19}(?:\s(?:الثاني|الأول))?)"  # "تشرين الثاني", one of two months of a name
_PATTERNS = (
    ("ymd", re.compile(rf"(?<![\d.,:/-]){_YEAR}\s?([-/.年년])\s?(\d{{1,2}})\s?(?:\2|[月월])\s?(\d{{1,2}})(?!\d|[.,/-]\d)")),
    ("ymd", re.compile(rf"((?:{'|'.join(_ERAS)})\s?(?:\d{{1,3}}|元))\s?(年)\s?(\d{{1,2}})\s?月\s?(\d{{1,2}})\s?日")),
    ("dmy", re.compile(rf"{_DAY}(\.\s?|[/-])(\d{{1,2}})\2{_YEAR}(?![./-]\d)")),
    ("dmy", re.compile(rf"{_DAY}\s(tháng|thg)\s(\d{{1,2}}),?\s(?:năm\s)?{_YEAR}")),  # Vietnamese month names are numbers
    ("short", re.compile(rf"{_DAY}(\.)([01]\d)\.(\d{{2}})(?!\d|[.,:/-]\d|\.\w)")),
    (
        "d name y",
        re.compile(
            rf"{_DAY}(?:st|nd|rd|th|er|[.ºª])?[\s-]+(?:(?:de|of)\s|d[’']|ב|ខែ)?{_NAME}[.,]{{0,2}}[\s-]+"
            rf"(?:(?:de|del|พ\.ศ\.|ค\.ศ\.)\s|ឆ្នាំ\s?)?{_YEAR}"
        ),
    ),
    ("name d y", re.compile(rf"{_NAME}\.?\s(\d{{1,2}})(?:st|nd|rd|th)?,?\s{_YEAR}")),
    ("y name d", re.compile(rf"(?<!\d){_YEAR}\.?\s(?:m\.?\s)?{_NAME}\s(\d{{1,2}})(?!\d)")),
)


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
    seen = dict.fromkeys(iso for reading in readings if (iso := _format_day(*reading, language)) is not None)
    return iter(seen)


def _format_day(written_year: str, written_month: str, written_day: str, language: str | None) -> str | None:
    """Return the ISO day of a date, or None if its calendar has no such day or is not one of the language."""
    month, day = int(written_month), int(written_day)
    base = (language or "").split("-")[0]
    try:
        if (era := _ERAS.get(written_year[:2])) is not None:
            return date(era + int(written_year[2:].strip().replace("元", "1")), month, day).isoformat()
        year = int(written_year)
        if year in _BUDDHIST_YEARS:
            return date(year - 543, month, day).isoformat() if base in BUDDHIST_LANGUAGES else None
        if year in _PERSIAN_YEARS:
            return _convert_persian(year, month, day).isoformat() if base in PERSIAN_LANGUAGES else None
        return date(year, month, day).isoformat()
    except ValueError:
        return None


def _convert_persian(year: int, month: int, day: int) -> date:
    """Return the Gregorian date of a Persian one. Raises ValueError for a month or day that the calendar does not have.

    The leap years follow the 33-year cycle, which agrees with the astronomical calendar from 1244 to 1502.
    """
    is_leap = (8 * year + 29) % 33 < 8
    last = 31 if month <= 6 else 30 if month < 12 or is_leap else 29
    if not (1 <= month <= 12 and 1 <= day <= last):
        raise ValueError(f"{year}-{month}-{day} is not a date of the Persian calendar")
    days = 365 * year + (8 * year + 21) // 33 + 30 * (month - 1) + min(month - 1, 6) + day
    return date.fromordinal(days + _PERSIAN_EPOCH)
