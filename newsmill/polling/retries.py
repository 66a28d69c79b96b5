"""When a failed fetch is repeated."""

from __future__ import annotations

from datetime import timedelta

from newsmill.model import Kind

# A restarted server is back in a minute, an overloaded one in half an hour; a wall or an outage may last for days. After the last one, a
# page is opened again while a listing shows it.
_RETRY_DELAYS = (
    timedelta(minutes=1),
    timedelta(minutes=5),
    timedelta(minutes=30),
    timedelta(hours=2),
    timedelta(hours=6),
    timedelta(hours=12),
    timedelta(days=1),
    timedelta(days=1),
)
MAX_RETRY_DELAY = max(_RETRY_DELAYS)
_LISTING_RETRIES = 2  # then the listing has failed, and is read again after FAILING_INTERVALS
_SPIDER_RETRIES = 4  # the same for a run of a spider, which may fail for a reason that its next requests do not meet


def compute_retry_delay(attempts: int, kind: Kind = Kind.PAGE) -> timedelta | None:
    """How long to wait after that many failed fetches (1, 2, …); None after the last one."""
    last = {Kind.PAGE: len(_RETRY_DELAYS), Kind.SPIDER: _SPIDER_RETRIES}.get(kind, _LISTING_RETRIES)
    return _RETRY_DELAYS[attempts - 1] if 1 <= attempts <= last else None
