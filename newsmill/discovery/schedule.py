"""When a source is due again, and when a failed fetch is. Time comes in as an argument."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from croniter import croniter

# A server that restarts is back in a minute, an overloaded one in half an hour; what fails four times over 2 h 36 min stays failed.
_RETRY_DELAYS = (timedelta(minutes=1), timedelta(minutes=5), timedelta(minutes=30), timedelta(hours=2))


def compute_next_due(every: timedelta | None, cron: str | None, after: datetime) -> datetime:
    """The first moment after `after` (aware) at which a source's listings are due, in UTC. Exactly one of `every` and `cron` is given.

    Cron expressions are read in UTC, where no hour is left out or comes twice. However long ago the last tick was, the next one lies
    after `after`: missed ticks are made up once, not one by one. Raises ValueError for an expression that is none or never comes.
    """
    after = after.astimezone(UTC)
    if (every is None) == (cron is None):
        raise ValueError("a source has exactly one of every and cron")
    if cron is not None:
        return croniter(cron, after).get_next(datetime)
    if every is None or every <= timedelta(0):
        raise ValueError(f"every must be longer than nothing, not {every}")
    return after + every


def compute_retry_delay(attempts: int) -> timedelta | None:
    """How long to wait after that many failed fetches (1, 2, …); None: give up."""
    return _RETRY_DELAYS[attempts - 1] if 1 <= attempts <= len(_RETRY_DELAYS) else None
