"""The words of the pages: catalogues in TOML, one per language, chosen by the reader's switch or the browser's Accept-Language.

Numbers, sizes and times are written as the language writes them; all times are UTC, and the pages say so.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

CATALOGUE_FOLDER = Path(__file__).parent / "catalogues"
LANGUAGES = {"en": "English", "de": "Deutsch"}  # the first one is taken where the reader asks for none of them
COOKIE = "nm_lang"
_TIME_UNITS = ((86_400, "day"), (3_600, "hour"), (60, "minute"))  # seconds
_BYTE_UNITS = ("B", "KB", "MB", "GB", "TB")


class Translations:
    """One language. `words("home.title")` is a text; `words.n("documents", 3)` one that counts."""

    def __init__(self, language: str, texts: Mapping[str, str]) -> None:
        self.language = language
        self.texts = texts

    def __call__(self, key: str, **values: object) -> str:
        """The text of that name, with its {places} filled. Raises KeyError for a name that is none."""
        return self.texts[key].format(**values)

    def n(self, key: str, count: int, **values: object) -> str:
        """The text for that many: `key.one` or `key.other`, whose {n} is the number."""
        return self(f"{key}.{'one' if count == 1 else 'other'}", n=self.number(count), **values)

    def number(self, value: int) -> str:
        """1234567 → 1,234,567, or as the language groups."""
        return f"{value:,}".replace(",", self.texts["format.group"])

    def decimal(self, value: float, digits: int = 1) -> str:
        return f"{value:.{digits}f}".replace(".", self.texts["format.point"])

    def percent(self, part: float, whole: float) -> str:
        return self("format.percent", n=self.number(round(100 * part / whole)) if whole else "0")

    def size(self, count: int) -> str:
        """Bytes: 82888 → 82.9 KB."""
        value, unit = float(count), 0
        while value >= 1000 and unit < len(_BYTE_UNITS) - 1:
            value, unit = value / 1000, unit + 1
        return f"{self.decimal(value, 1 if unit else 0)} {_BYTE_UNITS[unit]}"

    def day(self, at: datetime) -> str:
        """25 Nov 2026."""
        at = at.astimezone(UTC)
        return self("format.day", day=at.day, month=self.texts[f"month.{at.month}"], year=at.year)

    def short(self, at: datetime) -> str:
        """25 Nov, 14:03."""
        at = at.astimezone(UTC)
        return f"{self('format.short', day=at.day, month=self.texts[f'month.{at.month}'])}, {self.clock(at)}"

    def clock(self, at: datetime) -> str:
        """14:03."""
        return f"{at.astimezone(UTC):%H:%M}"

    def moment(self, at: datetime) -> str:
        """25 Nov 2026, 14:03."""
        return f"{self.day(at)}, {self.clock(at)}"

    def ago(self, at: datetime, now: datetime) -> str:
        """5 minutes ago, in 2 hours; the day when it is further away than a week."""
        seconds = (now - at).total_seconds()
        if abs(seconds) >= 7 * 86_400:
            return self.day(at)
        for length, name in _TIME_UNITS:
            if abs(seconds) >= length:
                return self.n(f"{'ago' if seconds > 0 else 'ahead'}.{name}", int(abs(seconds) // length))
        return self("ago.now" if seconds >= 0 else "ahead.now")

    def span(self, seconds: float) -> str:
        """A length of time: 90 minutes, 2 hours, 1 day."""
        whole = int(seconds)
        length, name = next(((length, name) for length, name in _TIME_UNITS if whole >= length and whole % length == 0), (1, "second"))
        return self.n(f"span.{name}", whole // length)


@cache
def load_translations(language: str) -> Translations:
    """The words of one of LANGUAGES."""
    with (CATALOGUE_FOLDER / f"{language}.toml").open("rb") as file:
        return Translations(language, dict(_flat(tomllib.load(file))))


def _flat(table: Mapping[str, Any], before: str = "") -> list[tuple[str, str]]:
    """`{home = {title = "x"}}` → `home.title`: "x"."""
    found: list[tuple[str, str]] = []
    for key, value in table.items():
        found += _flat(value, f"{before}{key}.") if isinstance(value, dict) else [(before + key, value)]
    return found


def choose_language(asked: str | None, kept: str | None, accepted: str) -> str:
    """The language of a request: what it asks for, else what was chosen before, else the best of Accept-Language (RFC 9110 12.5.4).

    >>> choose(None, None, "fr, de-AT;q=0.8, en;q=0.7")
    'de'
    """
    for wanted in (asked, kept):
        if wanted in LANGUAGES:
            return wanted
    ranked = sorted(enumerate(accepted[:1000].split(",")), key=lambda item: (-_quality(item[1]), item[0]))
    names = (part.partition(";")[0].strip().lower().partition("-")[0] for _, part in ranked if _quality(part) > 0)
    return next((name for name in names if name in LANGUAGES), next(iter(LANGUAGES)))


def _quality(part: str) -> float:
    _, mark, value = part.partition(";q=")
    if not mark:
        return 1.0
    try:
        return min(1.0, max(0.0, float(value)))
    except ValueError:
        return 0.0
