"""When a source's listings are due again, and when a failed fetch is repeated. The time is an argument."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from croniter import croniter

# A restarted server is back in a minute, an overloaded one in half an hour. After four failures in 2 h 36 min, the fetch has failed.
_RETRY_DELAYS = (timedelta(minutes=1), timedelta(minutes=5), timedelta(minutes=30), timedelta(hours=2))


def compute_next_due(every: timedelta | None, cron: str | None, after: datetime) -> datetime:
    """The first time after `after` (aware) at which a source's listings are due, in UTC. Give exactly one of `every` and `cron`.

    Cron expressions are in UTC, where no hour is skipped or repeated. Missed times are made up once: the result is always later than
    `after`. Raises ValueError for an invalid expression and for one that never comes true.
    """
    after = after.astimezone(UTC)
    if (every is None) == (cron is None):
        raise ValueError("a source has exactly one of every and cron")
    if cron is not None:
        return croniter(cron, after).get_next(datetime)
    if every is None or every <= timedelta(0):
        raise ValueError(f"every must be positive, not {every}")
    return after + every


def compute_retry_delay(attempts: int) -> timedelta | None:
    """How long to wait after that many failed fetches (1, 2, …); None after the last one."""
    return _RETRY_DELAYS[attempts - 1] if 1 <= attempts <= len(_RETRY_DELAYS) else None
