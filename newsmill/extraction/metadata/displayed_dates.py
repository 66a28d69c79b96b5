"""The day that a page shows its readers beside a stamp in UTC: the stamp's own, the day before, or the day after. Decides nothing else.

Dates are written in every language, so only their numbers are read: a short text in <time> or in microdata's datePublished that holds the
year and a day. Class names like "date" were tried and are no evidence: mastheads show today's date, teasers other articles'.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from datetime import date, datetime, timedelta
from itertools import islice

from lxml.html import HtmlElement

from newsmill.extraction.metadata.timestamps import Moment

LONGEST = 60  # characters; weekday, date, time and zone. Longer texts tell other days as well
MOST = 40  # dated elements looked at; lists of teasers have hundreds, the article's own is among the first
WEST, EAST = 12, 14  # hours by which clocks on earth are behind and ahead of UTC
_OUTSIDE = frozenset(("nav", "aside", "footer"))
_CLOCK = re.compile(r"\d{1,2}\s?[:.h]\s?\d{2}(?!\d|[.]\d)")
_NUMBER = re.compile(r"\d+")


def shown_day(dated: Iterable[HtmlElement], moment: Moment) -> str | None:
    """The ISO day that readers see: the stamp's own, or the one before or after where clocks on earth showed it. None where none is shown.

    `dated`: the page's elements that say they hold a date. A page that shows the stamp's own day anywhere shows no other.
    """
    own = date.fromisoformat(moment.day)
    near = [day for iso in days_on_earth(moment.at) if (day := date.fromisoformat(iso)) != own]
    found = None
    for numbers in _dates(dated):
        if _holds(numbers, own):
            return moment.day
        found = found or next((day.isoformat() for day in near if _holds(numbers, day)), None)
    return found


def days_on_earth(at: datetime) -> tuple[str, ...]:
    """The ISO days that clocks on earth show at an instant in UTC, the earliest first.

    >>> days_on_earth(datetime(2026, 3, 3, 9, 30))
    ('2026-03-02', '2026-03-03')
    """
    shown = ((at + timedelta(hours=hours)).date().isoformat() for hours in (-WEST, 0, EAST))
    return tuple(dict.fromkeys(shown))


def _dates(dated: Iterable[HtmlElement]) -> Iterator[set[int]]:
    """The numbers in the text of each dated element, but for times of day."""
    shown = (element for element in dated if not any(box.tag in _OUTSIDE for box in element.iterancestors()))
    for element in islice(shown, MOST):
        text = " ".join("".join(element.itertext()).split())
        if 0 < len(text) <= LONGEST:
            yield {int(number) for number in _NUMBER.findall(_CLOCK.sub(" ", text)) if len(number) <= 4}


def _holds(numbers: set[int], day: date) -> bool:
    """Year and day; of a date all in numbers the month as well."""
    return {day.year, day.day} <= numbers and (len(numbers) == 2 or day.month in numbers)
