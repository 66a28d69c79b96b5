"""The crawler's leases of hosts, with the politeness state that survives a restart."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Engine, Float, and_, bindparam, case, exists, func, literal_column, not_, or_, select, update

from newsmill.storage.clock import CLOCK_SLACK, MAX_ROW_WAIT
from newsmill.storage.database import reading, writing
from newsmill.storage.ledger.links import insert_hosts
from newsmill.storage.schema import hosts, ledger, publisher_orders
from newsmill.storage.statements import IN_FLIGHT, LATEST, LIMIT, NOW, OWNER, UNTIL, AnyRow, state_is
from newsmill.text.urls import SPIDER_HOST_PREFIX


@dataclass(frozen=True, slots=True)
class HostLease:
    """A leased host, with what the last owner of the lease knew about it."""

    host: str
    fence: int
    is_abandoned: bool = False  # the last owner did not release it, so it may have requested something a moment ago
    next_fetch_at: datetime | None = None  # no request before it
    failures: int = 0  # in a row
    crawl_delay: float | None = None  # seconds, from robots.txt
    robots_status: int | None = None  # None: never fetched, or unreachable
    robots_body: bytes | None = None
    robots_fetched_at: datetime | None = None


# One index probe per host, in the order of ix_hosts_served, until `limit` are found: 0.3 ms at 6,000 due rows. With EXISTS, Postgres
# gathers the hosts of all due rows first: 19 ms.
def _rows_due(*of_source: Any) -> tuple[Any, ...]:
    return tuple(
        select(ledger.c.id)
        .where(ledger.c.host == hosts.c.host, state_is("due"), is_time, *of_source)
        .limit(1)
        .correlate(hosts)
        .scalar_subquery()
        for is_time in (ledger.c.next_at <= NOW, ledger.c.next_at > LATEST)  # two probes: one with OR would read the rows in between
    )


_MAY_BE_FETCHED = or_(
    hosts.c.next_fetch_at.is_(None),
    hosts.c.next_fetch_at <= NOW,
    hosts.c.paused_at > bindparam("b_wrong", type_=hosts.c.paused_at.type),  # by a clock that was ahead
)
_IS_STOPPED = exists().where(publisher_orders.c.host == hosts.c.host, publisher_orders.c.is_stopped.is_(True)).correlate(hosts)
_ABANDONED_AT = case((hosts.c.owner.is_not(None), NOW), else_=hosts.c.next_fetch_at)  # `_to_host_lease` recognizes it
_IS_SPIDER = hosts.c.host.startswith(literal_column(f"'{SPIDER_HOST_PREFIX}'"))


def _make_host_lease(*of_source: Any, spiders: bool) -> Any:
    """The statement that leases free hosts with due rows, or with due rows for which `of_source` holds."""
    free_hosts = (
        select(hosts.c.host)
        .where(
            or_(hosts.c.lease_until.is_(None), hosts.c.lease_until <= NOW),
            _MAY_BE_FETCHED,
            not_(_IS_STOPPED),
            _IS_SPIDER if spiders else not_(_IS_SPIDER),
            or_(*(row.is_not(None) for row in _rows_due(*of_source))),
        )
        .order_by(hosts.c.leased_at, hosts.c.host)
        .limit(LIMIT)
        .with_for_update(skip_locked=True)
        .cte("free")
    )
    return (
        update(hosts)
        .where(hosts.c.host.in_(select(free_hosts.c.host)))
        .values(owner=OWNER, lease_until=UNTIL, leased_at=NOW, fence=hosts.c.fence + 1, next_fetch_at=_ABANDONED_AT)
        .returning(hosts)
    )


_LEASE_HOSTS = {spiders: _make_host_lease(spiders=spiders) for spiders in (True, False)}
_LEASE_HOSTS_OF_SOURCE = {spiders: _make_host_lease(ledger.c.source == bindparam("b_source"), spiders=spiders) for spiders in (True, False)}
_LEASE_HOST = (
    update(hosts)
    .where(
        hosts.c.host == bindparam("b_host"),
        or_(hosts.c.lease_until.is_(None), hosts.c.lease_until <= NOW),
        _MAY_BE_FETCHED,
        not_(_IS_STOPPED),
    )
    # leased_at stays: the host's own rows still wait for their turn
    .values(owner=OWNER, lease_until=UNTIL, fence=hosts.c.fence + 1, next_fetch_at=_ABANDONED_AT)
    .returning(hosts)
)
_PAUSED_UNTIL = select(hosts.c.next_fetch_at).where(hosts.c.host == bindparam("b_host"), not_(_MAY_BE_FETCHED))
_RENEWABLE_HOSTS = (
    select(hosts.c.host)
    .where(hosts.c.owner == OWNER, hosts.c.lease_until > NOW, hosts.c.host.in_(bindparam("b_hosts", expanding=True)))
    .order_by(hosts.c.host)
    .with_for_update()
)
_RENEW_HOST = update(hosts).where(hosts.c.host == bindparam("b_host")).values(lease_until=UNTIL)
_RENEW_ROWS = (
    update(ledger)
    .where(IN_FLIGHT, state_is("fetching"), ledger.c.owner == OWNER, ledger.c.lease_until > NOW, ledger.c.host == bindparam("b_host"))
    .values(lease_until=UNTIL)
)
_HELD_BY_OWNER = and_(hosts.c.host == bindparam("b_host"), hosts.c.owner == OWNER)
_RELEASE_HOST = update(hosts).where(_HELD_BY_OWNER).values(owner=None, lease_until=None, next_fetch_at=bindparam("b_next"), paused_at=NOW)
_RELEASE_HOST_WITH_FAILURES = _RELEASE_HOST.values(
    failures=bindparam("b_failures"), response_seconds=func.coalesce(bindparam("b_seconds", type_=Float), hosts.c.response_seconds)
)
_PAUSE_HOST = update(hosts).where(_HELD_BY_OWNER).values(next_fetch_at=bindparam("b_next"), failures=bindparam("b_failures"), paused_at=NOW)
_SAVE_ROBOTS = (
    update(hosts)
    .where(_HELD_BY_OWNER)
    .values(
        robots_status=bindparam("b_status"),
        robots_body=bindparam("b_body"),
        crawl_delay=bindparam("b_delay"),
        robots_fetched_at=NOW,
    )
)


def _to_host_lease(row: AnyRow, now: datetime) -> HostLease:
    return HostLease(
        host=row.host,
        fence=row.fence,
        is_abandoned=row.next_fetch_at == now,
        next_fetch_at=row.next_fetch_at,
        failures=row.failures,
        crawl_delay=row.crawl_delay,
        robots_status=row.robots_status,
        robots_body=row.robots_body,
        robots_fetched_at=row.robots_fetched_at,
    )


class Hosts:
    """The crawler's leases of hosts. Every call may raise ServiceError."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def lease(
        self, owner: str, *, limit: int, seconds: float, now: datetime, source: str | None = None, spiders: bool = False
    ) -> list[HostLease]:
        """Up to `limit` unleased hosts with due rows whose next_fetch_at has come; those first whose last lease is longest ago.

        With `source`, only hosts with due rows of that source. With `spiders`, only the runs of spiders (urls.make_spider_host), otherwise
        none of them.
        """
        with writing(self._engine) as conn:
            values = {"b_owner": owner, "b_limit": limit, "b_until": now + timedelta(seconds=seconds), "b_latest": now + MAX_ROW_WAIT}
            values |= {"b_now": now, "b_wrong": now + CLOCK_SLACK}
            if source is not None:
                return [_to_host_lease(row, now) for row in conn.execute(_LEASE_HOSTS_OF_SOURCE[spiders], {**values, "b_source": source})]
            return [_to_host_lease(row, now) for row in conn.execute(_LEASE_HOSTS[spiders], values)]

    def lease_one(self, host: str, owner: str, *, seconds: float, now: datetime) -> HostLease | None:
        """One host by name, with or without due rows: a redirect leads there. None while it is leased or paused."""
        with writing(self._engine) as conn:
            insert_hosts(conn, [host])
            values = {"b_host": host, "b_owner": owner, "b_now": now, "b_until": now + timedelta(seconds=seconds)}
            values |= {"b_wrong": now + CLOCK_SLACK}
            row = conn.execute(_LEASE_HOST, values).one_or_none()
            return None if row is None else _to_host_lease(row, now)

    def find_pause(self, host: str, *, now: datetime) -> datetime | None:
        """Until when no request may be sent to a host; None: it is not paused."""
        with reading(self._engine) as conn:
            until: datetime | None = conn.execute(_PAUSED_UNTIL, {"b_host": host, "b_now": now, "b_wrong": now + CLOCK_SLACK}).scalar()
            return until

    def renew(self, owner: str, names: Iterable[str], *, seconds: float, now: datetime) -> set[str]:
        """Renew the leases of hosts and of their rows in progress. Returns the hosts still leased; stop fetching from the others."""
        names = list(names)
        with writing(self._engine) as conn:
            held = list(conn.execute(_RENEWABLE_HOSTS, {"b_owner": owner, "b_now": now, "b_hosts": names}).scalars()) if names else []
            if held:
                until = now + timedelta(seconds=seconds)
                conn.execute(_RENEW_HOST, [{"b_host": host, "b_until": until} for host in held])
                conn.execute(_RENEW_ROWS, [{"b_host": host, "b_owner": owner, "b_now": now, "b_until": until} for host in held])
            return set(held)

    def release(
        self,
        host: str,
        owner: str,
        *,
        now: datetime,
        next_fetch_at: datetime | None = None,
        failures: int | None = None,
        response_seconds: float | None = None,
    ) -> bool:
        """End the lease of a host; it is not leased before next_fetch_at. `failures` is for the next owner; None: nothing was requested."""
        with writing(self._engine) as conn:
            values: dict[str, Any] = {"b_host": host, "b_owner": owner, "b_next": next_fetch_at, "b_now": now}
            if failures is None:
                return conn.execute(_RELEASE_HOST, values).rowcount == 1
            return (
                conn.execute(_RELEASE_HOST_WITH_FAILURES, {**values, "b_failures": failures, "b_seconds": response_seconds}).rowcount == 1
            )

    def pause(self, host: str, owner: str, *, until: datetime | None, failures: int, now: datetime) -> bool:
        """Record the politeness state during the lease, so that Retry-After and backoff survive a crash."""
        with writing(self._engine) as conn:
            values = {"b_host": host, "b_owner": owner, "b_next": until, "b_failures": failures, "b_now": now}
            return conn.execute(_PAUSE_HOST, values).rowcount == 1

    def save_robots(
        self, host: str, owner: str, *, status: int | None, body: bytes | None, crawl_delay: float | None, now: datetime
    ) -> bool:
        """Store robots.txt for the next owner of the host. `status` None: unreachable."""
        with writing(self._engine) as conn:
            values = {"b_host": host, "b_owner": owner, "b_status": status, "b_body": body, "b_delay": crawl_delay, "b_now": now}
            return conn.execute(_SAVE_ROBOTS, values).rowcount == 1
