"""The time until which a response asks to wait, by its Retry-After header (RFC 9110, section 10.2.3)."""

from __future__ import annotations

import re
from datetime import datetime

from newsmill.discovery.freshness import parse_http_date

RETRY_AFTER_STATUSES = (429, 503)
MAX_RETRY_AFTER_SECONDS = 3600.0  # after a longer Retry-After, the URL is fetched again in an hour
_SECONDS = re.compile(r"\d{1,20}(?:\.\d{1,9})?(?:e\d{1,2})?", re.I)


def parse_retry_after(value: str | None, now: datetime) -> float | None:
    """Seconds to wait by a Retry-After header (RFC 9110 section 10.2.3: seconds or an HTTP date), 0 to 3600.

    A date in the past gives 0. A negative number, any other text and None give None.
    """
    value = (value or "").strip()
    if _SECONDS.fullmatch(value):
        return min(float(value), MAX_RETRY_AFTER_SECONDS)
    at = parse_http_date(value)
    return None if at is None else min(max((at - now).total_seconds(), 0.0), MAX_RETRY_AFTER_SECONDS)
