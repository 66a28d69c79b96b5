"""The dates of a query, in figures or in words."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

from newsmill.search.tokens import fold
from newsmill.text.month_names import find_month_number

# Behind after: and before:, as `yesterday`, `last week`, `7d`, `november 2026`. English and German, with names of months in the languages
# of Europe; UTC. Accents and case are ignored.
_NUMERIC = re.compile(
    r"(\d{4})(?:-(\d\d?)(?:-(\d\d?)(?:T(\d\d?):(\d\d)(?::(\d\d)(?:\.\d+)?)?(?:Z|\+00:00)?)?)?)?", re.IGNORECASE | re.ASCII
)
_DAYS = {
    "today": 0, "heute": 0, "yesterday": 1, "gestern": 1, "vorgestern": 2, "day before yesterday": 2,
}  # fmt: skip
_UNITS = {
    **dict.fromkeys(("h", "hour", "hours", "std", "stunde", "stunden"), "hour"),
    **dict.fromkeys(("d", "day", "days", "t", "tag", "tage", "tagen"), "day"),
    **dict.fromkeys(("w", "week", "weeks", "woche", "wochen"), "week"),
    **dict.fromkeys(("m", "mo", "month", "months", "monat", "monate", "monaten", "monats"), "month"),
    **dict.fromkeys(("y", "year", "years", "j", "jahr", "jahre", "jahren", "jahres"), "year"),
}
_THIS = ("this", "diese", "dieser", "diesen", "dieses", "diesem")
_LAST = ("last", "past", "previous", "letzte", "letzter", "letzten", "letztes", "letztem", "vorige", "vorigen", "voriges")
_FILLERS = ("ago", "vor", "the", "of", "der", "die", "den", "das", "in", "im", "am")
_AMOUNT = re.compile(r"(\d{1,4}) ?([a-z]+)", re.ASCII)
_DAY_NUMBER = re.compile(r"(\d{1,2})(?:st|nd|rd|th|\.)?", re.ASCII)


def parse_date(text: str, now: datetime) -> datetime | None:
    """The start of the year, month, day, hour, minute or second that a text names; None if it names none.

    `last week`, `last month` and `last year` are the calendar's; `7d` and `2 months` count back from the start of today, hours from now.
    A month without a year is the latest that has begun.

    >>> now = datetime(2026, 11, 28, 9, 30, tzinfo=UTC)
    >>> [f"{parse_date(text, now):%Y-%m-%d}" for text in ("yesterday", "letzte Woche", "7d", "2 months", "März 2025", "3 mars")]
    ['2026-11-27', '2026-11-16', '2026-11-21', '2026-09-28', '2025-03-01', '2026-03-03']
    """
    numeric = _NUMERIC.fullmatch(text.strip())
    try:
        if numeric is not None:
            year, month, day, hour, minute, second = (int(part) if part else None for part in numeric.groups())
            return datetime(year or 0, month or 1, day or 1, hour or 0, minute or 0, second or 0, tzinfo=UTC)
        words = [word for word in re.split(r"[\s,_-]+", fold(text)) if word and word not in _FILLERS]
        return _parse_date_words(words, now.astimezone(UTC)) if words else None
    except (ValueError, OverflowError):
        return None


def _parse_date_words(words: list[str], now: datetime) -> datetime | None:
    joined, today = " ".join(words), now.replace(hour=0, minute=0, second=0, microsecond=0)
    if joined in _DAYS:
        return today - timedelta(days=_DAYS[joined])
    amount = _AMOUNT.fullmatch(joined)
    if amount is not None and amount[2] in _UNITS:
        return _count_back(int(amount[1]), _UNITS[amount[2]], now, today)
    if len(words) >= 2 and words[0] in (*_LAST, *_THIS) and words[-1] in _UNITS:
        back = words[0] in _LAST
        if len(words) == 3 and back and words[1].isascii() and words[1].isdecimal():  # last 7 days
            return _count_back(int(words[1]), _UNITS[words[-1]], now, today)
        return _start_of(_UNITS[words[-1]], int(back), now, today) if len(words) == 2 else None
    return _parse_month(words, today)


def _count_back(amount: int, unit: str, now: datetime, today: datetime) -> datetime:
    if unit == "hour":
        return now - timedelta(hours=amount)
    if unit in ("day", "week"):
        return today - timedelta(days=amount * (7 if unit == "week" else 1))
    first = _add_months(today.replace(day=1), -amount * (12 if unit == "year" else 1))
    following = _add_months(first, 1)
    return min(first + timedelta(days=today.day - 1), following - timedelta(days=1))


def _start_of(unit: str, back: int, now: datetime, today: datetime) -> datetime:
    if unit == "hour":
        return now.replace(minute=0, second=0, microsecond=0) - timedelta(hours=back)
    if unit == "day":
        return today - timedelta(days=back)
    if unit == "week":
        return today - timedelta(days=today.weekday() + 7 * back)
    first = today.replace(day=1) if unit == "month" else today.replace(month=1, day=1)
    return _add_months(first, -back * (12 if unit == "year" else 1))


def _add_months(first: datetime, months: int) -> datetime:
    years, month = divmod(first.month - 1 + months, 12)
    return first.replace(year=first.year + years, month=month + 1)


def _parse_month(words: list[str], today: datetime) -> datetime | None:
    """`november`, `nov 2026`, `3 november 2026`, `november 3`."""
    months = [(at, number) for at, word in enumerate(words) if (number := find_month_number(word.rstrip(".")))]
    if len(months) != 1 or len(words) > 3:
        return None
    at, month = months[0]
    others = [word for number, word in enumerate(words) if number != at]
    years = [int(word) for word in others if len(word) == 4 and word.isascii() and word.isdecimal()]
    days = [int(match[1]) for word in others if (match := _DAY_NUMBER.fullmatch(word))]
    if len(years) > 1 or len(days) > 1 or len(years) + len(days) != len(others):
        return None
    day = days[0] if days else 1
    if years:
        return datetime(years[0], month, day, tzinfo=UTC)
    named = datetime(today.year, month, day, tzinfo=UTC)
    return named if named <= today else datetime(today.year - 1, month, day, tzinfo=UTC)
