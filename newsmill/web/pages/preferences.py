"""The reader's preferences, kept in cookies: the time zone and the keyboard shortcuts.

The script of the pages sets the time zone of the browser until the reader chooses another.
"""

from __future__ import annotations

from datetime import UTC, tzinfo
from functools import cache
from zoneinfo import ZoneInfo, available_timezones

from fastapi import Request

ZONE_COOKIE, KEYS_COOKIE = "nm_zone", "nm_keys"
NO_KEYS = "off"


@cache
def known_zones() -> frozenset[str]:
    """The names of all time zones, also the old ones that browsers still give."""
    return frozenset(available_timezones())


@cache
def listed_zones() -> tuple[str, ...]:
    """The names to choose from: continents with a city, and UTC."""
    continents = ("Africa", "America", "Antarctica", "Arctic", "Asia", "Atlantic", "Australia", "Europe", "Indian", "Pacific")
    return ("UTC", *sorted(name for name in known_zones() if name.partition("/")[0] in continents))


def read_zone(request: Request) -> tzinfo:
    """The reader's time zone; UTC for an unknown one."""
    name = request.cookies.get(ZONE_COOKIE, "UTC")
    return ZoneInfo(name) if name in known_zones() else UTC


def has_keys(request: Request) -> bool:
    """Whether the keyboard shortcuts are on."""
    return request.cookies.get(KEYS_COOKIE) != NO_KEYS
