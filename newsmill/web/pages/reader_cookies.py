"""The reader's preferences, kept in cookies."""

from __future__ import annotations

from datetime import UTC, tzinfo
from functools import cache
from zoneinfo import ZoneInfo, available_timezones

from fastapi import Request

COOKIE_SECONDS = 365 * 86_400  # lifetime of what the reader has chosen

ZONE_COOKIE = "nm_zone"  # the script of the pages sets the zone of the browser until the reader chooses another
KEYS_COOKIE = "nm_keys"
NO_KEYS = "off"


@cache
def known_zones() -> frozenset[str]:
    """The names of all time zones, also the old ones that browsers still give."""
    return frozenset(available_timezones())


def read_zone(request: Request) -> tzinfo:
    """The reader's time zone; UTC for an unknown one."""
    name = request.cookies.get(ZONE_COOKIE, "UTC")
    return ZoneInfo(name) if name in known_zones() else UTC


def has_keys(request: Request) -> bool:
    """Whether the keyboard shortcuts are on."""
    return request.cookies.get(KEYS_COOKIE) != NO_KEYS
