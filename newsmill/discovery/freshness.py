"""For how long a response is fresh, by its headers (RFC 9111)."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

MAX_FRESH_SECONDS = 2.0**31  # RFC 9111 section 1.2.2: what a greater number counts as
_MAX_DATE_CHARACTERS = 64  # an HTTP date has 29
_DIGITS = re.compile(r"[0-9]+")


def compute_fresh_seconds(headers: Iterable[tuple[str, str]], now: datetime) -> float | None:
    """Seconds from `now`, when the response arrived, for which it is fresh (RFC 9111 section 4.2); None: its headers do not say it.

    The rules are those of a private cache. An invalid value counts as stale (0.0), and an invalid Age is ignored (section 5.1).
    """
    lines: dict[str, list[str]] = {}
    for name, value in headers:
        lines.setdefault(name.lower(), []).append(value)
    lifetime = _compute_lifetime(lines, now)
    if lifetime is None:
        return None
    age = _parse_seconds(lines.get("age", [""])[0].partition(",")[0].strip()) or 0.0
    return min(max(lifetime - age, 0.0), MAX_FRESH_SECONDS)


def _compute_lifetime(lines: dict[str, list[str]], now: datetime) -> float | None:
    """Section 4.2.1: max-age comes before Expires; of several the first counts."""
    directives = [directive.strip().lower() for directive in ",".join(lines.get("cache-control", ())).split(",")]
    if "no-cache" in directives or "no-store" in directives:
        return 0.0
    for directive in directives:
        if directive.startswith("max-age="):
            return _parse_seconds(directive.partition("=")[2].strip('"')) or 0.0
    if "expires" not in lines:
        return None
    expires = parse_http_date(lines["expires"][0])
    if expires is None:  # section 5.3: "0" in particular is in the past
        return 0.0
    created = parse_http_date(lines.get("date", [""])[0]) or now
    return (expires - created).total_seconds()


def _parse_seconds(text: str) -> float | None:
    """Section 1.2.2: digits only; None for any other text."""
    if not _DIGITS.fullmatch(text):
        return None
    digits = text.lstrip("0")
    return MAX_FRESH_SECONDS if len(digits) > 10 else min(float(digits or "0"), MAX_FRESH_SECONDS)


def parse_http_date(value: str) -> datetime | None:
    """An HTTP date (RFC 9110 section 5.6.7) as an aware time in UTC; None for any other text."""
    try:
        at = parsedate_to_datetime(value[:_MAX_DATE_CHARACTERS])
        return at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)  # "-0000" is a zone that RFC 5322 calls unknown
    except (ValueError, OverflowError):  # OverflowError: a number has more digits than a C integer, or the year is not one of datetime's
        return None
