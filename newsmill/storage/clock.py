"""The clock that all processes share, with how far ahead a time may lie."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta

from sqlalchemy import Engine, text

from newsmill.exceptions import ServiceError
from newsmill.polling.retries import MAX_RETRY_DELAY
from newsmill.storage.database import reading
from newsmill.storage.dialects import is_sqlite

CLOCK_SLACK = timedelta(minutes=1)  # the clocks of two machines may differ by that much without either having jumped
MAX_ROW_WAIT = MAX_RETRY_DELAY + CLOCK_SLACK  # a Retry-After counts for an hour at most
CLOCK_INTERVAL_SECONDS = 5.0  # between two readings of Postgres's clock: one takes up to 1 ms, and workers need the time for every page


def read_clock(engine: Engine) -> datetime:
    """The time that all processes on this database share: the clock of Postgres, or of this machine for SQLite."""
    if is_sqlite(engine):
        return datetime.now(UTC)
    with reading(engine) as conn:
        now: datetime = conn.execute(text("SELECT clock_timestamp()")).scalar_one()
    return now.astimezone(UTC)


class Clock:
    """`read_clock`, cheap enough for every page: Postgres is started every CLOCK_INTERVAL_SECONDS, and the time in between is calculated.

    May be shared between threads. Never raises: while the database is unreachable, the time is calculated, or it is this machine's if
    Postgres was never reached.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._known: tuple[datetime, float] | None = None  # the time of Postgres, and the time.monotonic() of that reading

    def __call__(self) -> datetime:
        if is_sqlite(self._engine):
            return datetime.now(UTC)
        started = time.monotonic()
        if self._known is None or started - self._known[1] > CLOCK_INTERVAL_SECONDS:
            try:
                self._known = read_clock(self._engine), started
            except ServiceError:
                if self._known is None:
                    return datetime.now(UTC)
        at, when = self._known
        return at + timedelta(seconds=started - when)
