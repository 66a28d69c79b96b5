"""Which stored articles are due for a revisit."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Engine, bindparam, func, select, update

from newsmill.storage.database import reading, writing
from newsmill.storage.ledger.priority import RANK_REVISIT
from newsmill.storage.ledger.revisits import OF_ID, REVISIT_AT, read_sources
from newsmill.storage.schema import hosts, ledger, publisher_orders
from newsmill.storage.statements import LIMIT, NOW, state_is

SHARE_OF_REQUESTS = 0.25  # of a host's requests, at most
MAX_DUE_AHEAD = timedelta(minutes=5)  # revisits that are due later wait outside the crawler's queue, where new pages cost nothing
MAX_DUE_PER_PASS = 500  # of the scheduler, in one transaction
MAX_DUE_PER_HOST = 100  # of a host that is paused, or busy with new pages; the others wait too
PAUSED_WAIT = timedelta(days=1)  # of an article whose source is paused

_HOSTS: Any = bindparam("b_hosts", expanding=True)
_DUE_ID = select(ledger.c.id).where(ledger.c.revisit_at <= NOW).limit(1)
_DUE = (
    select(ledger.c.id, ledger.c.state, ledger.c.host, ledger.c.source)
    .where(ledger.c.revisit_at <= NOW)
    .order_by(ledger.c.revisit_at)
    .limit(LIMIT)
    .with_for_update(skip_locked=True)
)
_DELAYS = (
    select(hosts.c.host, hosts.c.crawl_delay, publisher_orders.c.delay)
    .outerjoin(publisher_orders, publisher_orders.c.host == hosts.c.host)
    .where(hosts.c.host.in_(_HOSTS))
)
_QUEUED = (
    select(ledger.c.host, func.count().label("n"), func.max(ledger.c.next_at).label("last"))
    .where(ledger.c.host.in_(_HOSTS), state_is("due"), ledger.c.rank == RANK_REVISIT)
    .group_by(ledger.c.host)
)
_MAKE_DUE = update(ledger).where(OF_ID).values(state="due", rank=RANK_REVISIT, next_at=NOW, attempts=0, revisit_at=None)
_PLAN = update(ledger).where(OF_ID).values(revisit_at=REVISIT_AT)


def is_any_due(conn: Connection, now: datetime) -> bool:
    return conn.execute(_DUE_ID, {"b_now": now}).first() is not None


def make_due(conn: Connection, now: datetime) -> int:
    """Give the crawler up to MAX_DUE_PER_PASS articles whose revisit has come due. Returns their number.

    Those of one host are due one after the other, so that they take SHARE_OF_REQUESTS of its requests. They are leased after new pages and
    before the archive (`priority.rank`).
    """
    rows = conn.execute(_DUE, {"b_now": now, "b_limit": MAX_DUE_PER_PASS}).all()
    plans = read_sources(conn, {row.source for row in rows if row.source is not None})
    places = _QueuePlaces(conn, sorted({row.host for row in rows}), now)
    due: list[dict[str, Any]] = []
    planned: list[dict[str, Any]] = []
    for row in rows:
        source = plans.get(row.source)
        if source is None or not source.revisit or row.state != "done":
            planned.append({"b_id": row.id, "b_revisit_at": None})
        elif not source.enabled:
            planned.append({"b_id": row.id, "b_revisit_at": now + PAUSED_WAIT})
        elif (at := places.take(row.host, source.politeness.delay)) <= now + MAX_DUE_AHEAD:
            due.append({"b_id": row.id, "b_now": at})
        else:
            planned.append({"b_id": row.id, "b_revisit_at": at})
    for statement, values in ((_MAKE_DUE, due), (_PLAN, planned)):
        if values:
            conn.execute(statement, sorted(values, key=lambda value: int(value["b_id"])))
    return len(due)


class _QueuePlaces:
    """The times at which the next revisits of each host are due."""

    def __init__(self, conn: Connection, names: Sequence[str], now: datetime) -> None:
        self._now = now
        found = conn.execute(_DELAYS, {"b_hosts": names}).all() if names else []
        self._delays: dict[str, float] = {row.host: max(row.crawl_delay or 0.0, row.delay or 0.0) for row in found}
        queued = conn.execute(_QUEUED, {"b_hosts": names}).all() if names else []
        self._last: dict[str, datetime] = {row.host: row.last for row in queued}
        self._count: dict[str, int] = {row.host: row.n for row in queued}

    def take(self, host: str, delay: float) -> datetime:
        wait = timedelta(seconds=max(delay, self._delays.get(host, 0.0)) / SHARE_OF_REQUESTS)
        at = max(self._now, self._last[host] + wait) if host in self._last else self._now
        if self._count.get(host, 0) >= MAX_DUE_PER_HOST:
            at = max(at, self._now + 2 * MAX_DUE_AHEAD)
        self._last[host] = at
        self._count[host] = self._count.get(host, 0) + 1
        return at


class DueRevisits:
    """Stored articles whose revisit has come. Every call may raise ServiceError."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def make_due(self, *, now: datetime) -> int:
        """Make stored articles due whose revisit has come. Returns their number; only reads if there is none."""
        with reading(self._engine) as conn:
            if not is_any_due(conn, now):
                return 0
        with writing(self._engine) as conn:
            return make_due(conn, now)
