"""The texts of the pages in the reader's language.

The reader or the browser's Accept-Language chooses the language; a TOML catalogue has the texts of one. Numbers, sizes and times follow the
language. Times of day are in the reader's time zone; days that were counted or stated are as they are.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from datetime import UTC, datetime, tzinfo
from functools import cache
from pathlib import Path
from typing import Any

from newsmill.health import cause_texts
from newsmill.model import OUTCOMES
from newsmill.model.document_fields import DOCUMENT_FIELDS
from newsmill.polling import listing_schedule

CATALOGUE_FOLDER = Path(__file__).parent / "catalogues"
LANGUAGES = {"en": "English", "de": "Deutsch"}
DEFAULT_LANGUAGE = "en"
COOKIE = "nm_lang"
_TIME_UNITS = ((86_400, "day"), (3_600, "hour"), (60, "minute"))  # seconds
_BYTE_UNITS = ("B", "kB", "MB", "GB", "TB")


class Translations:
    """One language and time zone. `words("home.title")` is a text, `words.n("documents", 3)` a text with a number."""

    def __init__(self, language: str, texts: Mapping[str, str], zone: tzinfo = UTC) -> None:
        self.language = language
        self.texts = texts
        self.zone = zone

    def __call__(self, key: str, **values: object) -> str:
        """The text with its {placeholders} filled. Raises KeyError for an unknown key."""
        return self.texts[key].format(**values)

    def n(self, key: str, count: int, **values: object) -> str:
        """The text `key.one` or `key.other`, with {n} as the number."""
        return self(f"{key}.{'one' if count == 1 else 'other'}", n=self.number(count), **values)

    def number(self, value: int) -> str:
        """1234567 → 1,234,567, with the group separator of the language."""
        return f"{value:,}".replace(",", self.texts["format.group"])

    def decimal(self, value: float, digits: int = 1) -> str:
        return f"{value:.{digits}f}".replace(".", self.texts["format.point"])

    def percent(self, part: float, whole: float) -> str:
        return self("format.percent", n=self.number(round(100 * part / whole)) if whole else "0")

    def size(self, count: int) -> str:
        """A number of bytes: 82888 → 82.9 kB."""
        value, unit = float(count), 0
        while value >= 1000 and unit < len(_BYTE_UNITS) - 1:
            value, unit = value / 1000, unit + 1
        return f"{self.decimal(value, 1 if unit else 0)} {_BYTE_UNITS[unit]}"

    def day(self, at: datetime) -> str:
        """25 Nov 2026, the day in UTC: of counts per day, and of a publication whose time of day is unknown."""
        return self._format_day(at.astimezone(UTC))

    def date(self, at: datetime, *, is_local: bool = False) -> str:
        """25 Nov, the day in UTC or in the time zone of the reader."""
        at = self._local(at) if is_local else at.astimezone(UTC)
        return self("format.short", day=at.day, month=self.texts[f"month.{at.month}"])

    def short(self, at: datetime) -> str:
        """25 Nov, 14:03."""
        return f"{self.date(at, is_local=True)}, {self.clock(at)}"

    def clock(self, at: datetime) -> str:
        """14:03."""
        return f"{self._local(at):%H:%M}"

    def moment(self, at: datetime) -> str:
        """25 Nov 2026, 14:03."""
        return f"{self._format_day(self._local(at))}, {self.clock(at)}"

    def zone_name(self, at: datetime) -> str:
        """The name of the time zone at that time: CET, UTC."""
        return self._local(at).tzname() or "UTC"

    def _local(self, at: datetime) -> datetime:
        """In the time zone of the reader; in UTC where that is before the year 1 or after 9999."""
        try:
            return at.astimezone(self.zone)
        except OverflowError:
            return at.astimezone(UTC)

    def _format_day(self, at: datetime) -> str:
        return self("format.day", day=at.day, month=self.texts[f"month.{at.month}"], year=at.year)

    def ago(self, at: datetime, now: datetime) -> str:
        """5 minutes ago, in 2 hours; the day if it is a week away or more."""
        seconds = (now - at).total_seconds()
        if abs(seconds) >= 7 * 86_400:
            return self._format_day(self._local(at))
        for length, name in _TIME_UNITS:
            if abs(seconds) >= length:
                return self.n(f"{'ago' if seconds > 0 else 'ahead'}.{name}", int(abs(seconds) // length))
        return self("ago.now" if seconds >= 0 else "ahead.now")

    def span(self, seconds: float) -> str:
        """A duration for "every …": 90 minutes, 2 hours, day."""
        whole = int(seconds)
        length, name = next(((length, name) for length, name in _TIME_UNITS if whole >= length and whole % length == 0), (1, "second"))
        return self.n(f"span.{name}", whole // length)


def load_translations(language: str, zone: tzinfo = UTC) -> Translations:
    """The texts of one of LANGUAGES. English texts that programs show too come from where they take them."""
    return Translations(language, _load_texts(language), zone)


@cache
def _load_texts(language: str) -> Mapping[str, str]:
    is_default = language == DEFAULT_LANGUAGE
    outcomes = {f"meaning.{name}": facts.meaning for name, facts in OUTCOMES.items()}
    outcomes |= {f"outcome.{name}": facts.label for name, facts in OUTCOMES.items()}
    labels = {f"field.{one.name}": text for one in DOCUMENT_FIELDS if (text := one.english if is_default else one.german) is not None}
    shared = outcomes | cause_texts.english_texts() | listing_schedule.english_texts() if is_default else {}
    with (CATALOGUE_FOLDER / f"{language}.toml").open("rb") as file:
        return labels | shared | dict(_flatten(tomllib.load(file)))


def _flatten(table: Mapping[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    """`{home = {title = "x"}}` → `home.title`: "x"."""
    texts: list[tuple[str, str]] = []
    for key, value in table.items():
        texts += _flatten(value, f"{prefix}{key}.") if isinstance(value, dict) else [(prefix + key, value)]
    return texts


def choose_language(requested: str | None, saved: str | None, accepted: str) -> str:
    """The language of a request: the requested one, else that of the cookie, else the best of Accept-Language (RFC 9110, 12.5.4).

    >>> choose_language(None, None, "fr, de-AT;q=0.8, en;q=0.7")
    'de'
    """
    for language in (requested, saved):
        if language in LANGUAGES:
            return language
    ranked = sorted(enumerate(accepted[:1000].split(",")), key=lambda item: (-_quality(item[1]), item[0]))
    names = (part.partition(";")[0].strip().lower().partition("-")[0] for _, part in ranked if _quality(part) > 0)
    return next((name for name in names if name in LANGUAGES), DEFAULT_LANGUAGE)


def _quality(part: str) -> float:
    _, separator, value = part.partition(";q=")
    if not separator:
        return 1.0
    try:
        return min(1.0, max(0.0, float(value)))
    except ValueError:
        return 0.0
