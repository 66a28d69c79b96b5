"""The dates in URLs: of the parts of a sitemap index, of pages that list a month or a day, and of articles."""

from __future__ import annotations

from calendar import monthrange
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from urllib.parse import urlsplit

from newsmill.model import Hint
from newsmill.text import lazy_re as re
from newsmill.text.month_names import ENGLISH_ABBREVIATIONS, find_month_number

MIN_PATTERN_URLS = 3  # of a site with the same pattern; one dated URL may be an exception
MAX_ARCHIVE_PAGES = 2_000  # of one pattern: five years of days
_MONTH = rf"(0[1-9]|1[0-2]|[1-9](?![0-9])|(?:{ENGLISH_ABBREVIATIONS})[a-z]{{0,6}}(?![a-z]))"
_DATE = re.compile(
    rf"(?<![0-9])((?:19|20)[0-9]{{2}})(?:[/_.-]?(?:&(?:amp;)?[a-z]{{1,6}}=)?{_MONTH}(?:[/_.-]?(?:&(?:amp;)?[a-z]{{1,6}}=)?(0[1-9]|[12][0-9]|3[01]|[1-9])"
    r"(?![0-9]))?)?(?![0-9])",
    re.I,
)
_PATH_DATE = re.compile(r"/((?:19|20)[0-9]{2})([/-])(0[1-9]|1[0-2])(?:([/-])(0[1-9]|[12][0-9]|3[01]))?(?=[/-])")


@dataclass(frozen=True, slots=True)
class Period:
    """Days from `first` to `last`, both included."""

    first: date
    last: date

    def overlaps(self, other: Period) -> bool:
        """Whether the periods share a day."""
        return self.first <= other.last and other.first <= self.last


def find_period(url: str, *, needs_month: bool = False) -> Period | None:
    """The year, month or day in the path or query of a URL; None without one. With `needs_month`, a year alone does not count.

    >>> find_period("https://a.example/sitemap-2024-02.xml")
    Period(first=datetime.date(2024, 2, 1), last=datetime.date(2024, 2, 29))
    """
    parts = urlsplit(url)
    for match in _DATE.finditer(f"{parts.path}?{parts.query}"):
        period = _make_period(match[1], match[2], match[3])
        if period is not None and (match[2] or not needs_month):
            return period
    return None


def _make_period(year: str, month: str | None, day: str | None) -> Period | None:
    if month is None:
        return Period(date(int(year), 1, 1), date(int(year), 12, 31))
    number = int(month) if month.isdigit() else find_month_number(month)
    if number is None:
        return None
    first = date(int(year), number, 1)
    if day is not None:
        try:
            first = first.replace(day=int(day))
        except ValueError:
            return None
        return Period(first, first)
    return Period(first, first.replace(day=monthrange(first.year, first.month)[1]))


def is_page_wanted(url: str, hint: Hint, period: Period) -> bool:
    """Whether an article may be of the period. Its own date decides, then the one in its URL; a change only says "not later".

    An article without any date is wanted: a false one costs a fetch, a missed one an article.
    """
    if hint.published_at is not None:
        day = hint.published_at.date()
        return Period(day, day).overlaps(period)
    if (own := find_period(url, needs_month=True)) is not None:
        return own.overlaps(period)
    return hint.modified_at is None or hint.modified_at.date() >= period.first


def is_part_wanted(url: str, changed_at: datetime | None, period: Period) -> bool:
    """Whether a part of a sitemap index, or a page of an archive, may list articles of the period."""
    own = find_period(url)
    if own is not None:
        return own.overlaps(period)
    return changed_at is None or changed_at.date() >= period.first


def find_last_day(url: str, changed_at: datetime | None) -> date | None:
    """The last day of which a part of a sitemap index may list articles, by its URL, else by its last change; None without either."""
    own = find_period(url)
    return own.last if own is not None else None if changed_at is None else changed_at.date()


def find_newest_day(urls: Iterable[tuple[str, Hint]]) -> date | None:
    """The newest day of dated articles; None if fewer than MIN_PATTERN_URLS have a date."""
    days = []
    for url, hint in urls:
        own = find_period(url, needs_month=True)
        day = hint.published_at.date() if hint.published_at is not None else None if own is None else own.last
        days += [day] if day is not None else []
    return max(days) if len(days) >= MIN_PATTERN_URLS else None


def make_archive_urls(articles: Iterable[str], period: Period) -> list[str]:
    """The URLs of the monthly or daily archives that the URLs of articles suggest, newest first: /2024/05/ for /2024/05/17/title.

    Only the most frequent pattern counts, and only if enough articles have it.
    """
    patterns = Counter(pattern for url in articles if (pattern := _find_pattern(url)) is not None)
    if not patterns:
        return []
    (prefix, separator, has_day), count = patterns.most_common(1)[0]
    if count < MIN_PATTERN_URLS:
        return []
    days = _list_days(period) if has_day else _list_months(period)
    form = separator.join(("%Y", "%m", "%d") if has_day else ("%Y", "%m"))
    return [f"{prefix}/{day.strftime(form)}/" for _, day in zip(range(MAX_ARCHIVE_PAGES), days, strict=False)]


def _find_pattern(url: str) -> tuple[str, str, bool] | None:
    match = _PATH_DATE.search(url)
    if match is None or "?" in url[: match.start()]:
        return None
    return url[: match.start()], match[2], match[5] is not None and match[4] == match[2]


def _list_months(period: Period) -> Iterator[date]:
    month = period.last.replace(day=1)
    while month >= period.first.replace(day=1):
        yield month
        month = (month - timedelta(days=1)).replace(day=1)


def _list_days(period: Period) -> Iterator[date]:
    day = period.last
    while day >= period.first:
        yield day
        day -= timedelta(days=1)
