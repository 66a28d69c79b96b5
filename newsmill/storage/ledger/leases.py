"""The crawler's leases: of hosts, with the politeness state that survives a restart, and of a leased host's due rows.

A leased row is saved with its page, ended, postponed or released.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, String, and_, bindparam, case, exists, func, literal_column, not_, or_, select, update

from newsmill.discovery.source_sites import MAX_SITE_REDIRECTS
from newsmill.model import OUTCOMES, Kind, LeasedUrl, Link, Outcome, OutcomeRecord, Rendering, Segment, State
from newsmill.storage.columns import load_hint
from newsmill.storage.ledger import polls, redirects, revisits
from newsmill.storage.ledger.ended_rows import extract_first_pages
from newsmill.storage.ledger.links import insert_hosts
from newsmill.storage.ledger.polls import Poll
from newsmill.storage.ledger.revisits import EndedRevisit
from newsmill.storage.processes import CLOCK_SLACK, MAX_ROW_WAIT
from newsmill.storage.schema import hosts, ledger, publisher_orders, segments
from newsmill.storage.statements import (
    FREE,
    IN_FLIGHT,
    LATEST,
    LIMIT,
    NOW,
    OWNER,
    RECORD_FAILURE,
    SET_FAILING,
    UNTIL,
    AnyRow,
    CounterUpdates,
    Upsert,
    fenced,
    is_failure,
    state_is,
)
from newsmill.text.urls import SPIDER_HOST_PREFIX

# ---- hosts


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
_RELEASE_HOST_WITH_FAILURES = _RELEASE_HOST.values(failures=bindparam("b_failures"))
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


def lease_hosts(
    conn: Connection, owner: str, limit: int, seconds: float, now: datetime, source: str | None, spiders: bool
) -> list[HostLease]:
    values = {"b_owner": owner, "b_limit": limit, "b_until": now + timedelta(seconds=seconds), "b_latest": now + MAX_ROW_WAIT}
    values |= {"b_now": now, "b_wrong": now + CLOCK_SLACK}
    if source is not None:
        return [_to_host_lease(row, now) for row in conn.execute(_LEASE_HOSTS_OF_SOURCE[spiders], {**values, "b_source": source})]
    return [_to_host_lease(row, now) for row in conn.execute(_LEASE_HOSTS[spiders], values)]


def lease_host(conn: Connection, host: str, owner: str, seconds: float, now: datetime) -> HostLease | None:
    insert_hosts(conn, [host])
    values = {"b_host": host, "b_owner": owner, "b_now": now, "b_until": now + timedelta(seconds=seconds)}
    values |= {"b_wrong": now + CLOCK_SLACK}
    row = conn.execute(_LEASE_HOST, values).one_or_none()
    return None if row is None else _to_host_lease(row, now)


def find_pause(conn: Connection, host: str, now: datetime) -> datetime | None:
    until: datetime | None = conn.execute(_PAUSED_UNTIL, {"b_host": host, "b_now": now, "b_wrong": now + CLOCK_SLACK}).scalar()
    return until


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


def renew_hosts(conn: Connection, owner: str, names: Sequence[str], seconds: float, now: datetime) -> set[str]:
    held = list(conn.execute(_RENEWABLE_HOSTS, {"b_owner": owner, "b_now": now, "b_hosts": names}).scalars()) if names else []
    if held:
        until = now + timedelta(seconds=seconds)
        conn.execute(_RENEW_HOST, [{"b_host": host, "b_until": until} for host in held])
        conn.execute(_RENEW_ROWS, [{"b_host": host, "b_owner": owner, "b_now": now, "b_until": until} for host in held])
    return set(held)


def release_host(conn: Connection, host: str, owner: str, now: datetime, next_fetch_at: datetime | None, failures: int | None) -> bool:
    values: dict[str, Any] = {"b_host": host, "b_owner": owner, "b_next": next_fetch_at, "b_now": now}
    if failures is None:
        return conn.execute(_RELEASE_HOST, values).rowcount == 1
    return conn.execute(_RELEASE_HOST_WITH_FAILURES, {**values, "b_failures": failures}).rowcount == 1


def pause_host(conn: Connection, host: str, owner: str, until: datetime | None, failures: int, now: datetime) -> bool:
    values = {"b_host": host, "b_owner": owner, "b_next": until, "b_failures": failures, "b_now": now}
    return conn.execute(_PAUSE_HOST, values).rowcount == 1


def save_robots(
    conn: Connection, host: str, owner: str, status: int | None, body: bytes | None, crawl_delay: float | None, now: datetime
) -> bool:
    values = {"b_host": host, "b_owner": owner, "b_status": status, "b_body": body, "b_delay": crawl_delay, "b_now": now}
    return conn.execute(_SAVE_ROBOTS, values).rowcount == 1


# ---- URLs

READ_OUTCOMES = frozenset({Outcome.LISTED, Outcome.EMPTY_LISTING, Outcome.NOT_MODIFIED})
_IS_EMPTY = {Outcome.LISTED: False, Outcome.EMPTY_LISTING: True}  # by the outcome of a poll; the others do not say it


@dataclass(frozen=True, slots=True)
class Fetched:
    """A leased row whose page is in the archive, at `offset` of the segment it is saved with."""

    id: int
    fence: int
    offset: int
    url: str  # final, after redirects
    status: int
    etag: str | None = None
    last_modified: str | None = None
    rendering: Rendering | None = None
    parts: tuple[str, ...] = ()  # the URLs of the further pages of its article


@dataclass(frozen=True, slots=True)
class Ended:
    """A leased row with an outcome that needs no worker: a listing, a refusal, a failure."""

    id: int
    fence: int
    ending: OutcomeRecord
    etag: str | None = None  # for the next fetch; None deletes the stored one
    last_modified: str | None = None
    cache_seconds: float | None = None  # of a listing: for how long the response may be reused; None keeps the stored value
    update_interval: timedelta | None = None  # of a feed: how often it says that it changes; None keeps the stored value
    leads_to: Link | None = None  # of a redirect to another site: what is fetched in its place


@dataclass(frozen=True, slots=True)
class Postponed:
    """A leased row to be tried again at `next_at`. `count_attempt`: whether this try counts. `failure`: how it failed, if it did."""

    id: int
    fence: int
    next_at: datetime
    detail: str | None = None
    count_attempt: bool = True
    failure: OutcomeRecord | None = None


def _make_url_lease(*of_source: Any) -> Any:
    """The statement that leases due rows of a host, or those of them for which `of_source` holds."""
    due = (
        select(ledger.c.id)
        .where(
            ledger.c.host == bindparam("b_host"),
            state_is("due"),
            or_(ledger.c.next_at <= NOW, ledger.c.next_at > LATEST),
            exists().where(hosts.c.host == bindparam("b_host"), hosts.c.owner == OWNER, hosts.c.lease_until > NOW),
            *of_source,
        )
        .order_by(ledger.c.rank, ledger.c.next_at, ledger.c.id)
        .limit(LIMIT)
        .with_for_update(skip_locked=True, of=ledger)
        .cte("due")
    )
    return (
        update(ledger)
        .where(ledger.c.id.in_(select(due.c.id)))
        .values(state="fetching", fence=ledger.c.fence + 1, owner=OWNER, lease_until=UNTIL)
        .returning(
            ledger.c.id,
            ledger.c.url,
            ledger.c.kind,
            ledger.c.host,
            ledger.c.source,
            ledger.c.fence,
            ledger.c.attempts,
            ledger.c.etag,
            ledger.c.last_modified,
            ledger.c.hint,
            ledger.c.found_by,
            ledger.c.found_on,
            ledger.c.rendering,
            ledger.c.parts,
            ledger.c.outcome,
            ledger.c.next_at,
            ledger.c.rank,
            ledger.c.failing_since,
        )
    )


_LEASE_URLS = _make_url_lease()
_LEASE_URLS_OF_SOURCE = _make_url_lease(ledger.c.source == bindparam("b_source"))
_SEGMENT = Upsert(segments, ("id",))
# An ended lease leaves the row due with the same fence until it is leased again, so a page fetched under that lease can still be saved.
_AWAITED_ROWS = select(ledger.c.id, ledger.c.fence).where(ledger.c.id.in_(bindparam("b_ids", expanding=True)), state_is("fetching", "due"))
_SAVE = (
    update(ledger)
    .where(fenced("fetching", "due"))
    .values(
        **FREE,
        state="fetched",
        crashes=0,
        stage=None,
        detail=None,
        next_at=NOW,
        fetched_at=NOW,
        segment=bindparam("b_segment"),
        offset=bindparam("b_offset"),
        final_url=bindparam("b_url"),
        status=bindparam("b_status"),
        etag=bindparam("b_etag"),
        last_modified=bindparam("b_last_modified"),
        # A page that is wanted rendered and was not must not be wanted a second time.
        # Of an article that is on one page now, they are not wanted a second time.
        parts=case((ledger.c.parts.is_not(None), bindparam("b_parts", type_=ledger.c.parts.type))),
        rendering=func.coalesce(bindparam("b_rendering", type_=String), case((ledger.c.rendering.is_not(None), Rendering.FAILED.value))),
    )
)
_LEASED_ROWS = (
    select(*(ledger.c[name] for name in ("id", "fence", "source", "kind", "outcome", "document_id", "segment", "parts")))
    .where(ledger.c.id.in_(bindparam("b_ids", expanding=True)), state_is("fetching"))
    .order_by(ledger.c.id)
    .with_for_update()
)
_END = (
    update(ledger)
    .where(fenced("fetching"))
    .values(
        **FREE,
        **SET_FAILING,
        state=bindparam("b_state"),
        outcome=bindparam("b_outcome"),
        detail=bindparam("b_detail"),
        stage=None,
        ended_at=NOW,
        etag=bindparam("b_etag"),
        last_modified=bindparam("b_last_modified"),
    )
)
_POSTPONE = (
    update(ledger)
    .where(fenced("fetching"))
    .values(**FREE, state="due", next_at=NOW, detail=bindparam("b_detail"), attempts=ledger.c.attempts + bindparam("b_counted"))
)
_POSTPONE_FAILED = _POSTPONE.values(**RECORD_FAILURE)
_RELEASE_URL = update(ledger).where(fenced("fetching")).values(**FREE, state="due", next_at=NOW)
_EXPIRED_ROWS = (
    select(ledger.c.id).where(IN_FLIGHT, state_is("fetching"), ledger.c.lease_until <= NOW).with_for_update(skip_locked=True).cte("lost")
)
# RETURNING, because Python's sqlite3 has no rowcount for a statement that begins with WITH.
_EXPIRE = (
    update(ledger)
    .where(ledger.c.id.in_(select(_EXPIRED_ROWS.c.id)), state_is("fetching"))
    .values(**FREE, state="due", next_at=NOW)
    .returning(ledger.c.id)
)


def lease_urls(conn: Connection, host: str, owner: str, limit: int, seconds: float, now: datetime, source: str | None) -> list[LeasedUrl]:
    values = {"b_host": host, "b_owner": owner, "b_limit": limit, "b_now": now, "b_until": now + timedelta(seconds=seconds)}
    values |= {"b_latest": now + MAX_ROW_WAIT}
    statement = _LEASE_URLS if source is None else _LEASE_URLS_OF_SOURCE
    values |= {} if source is None else {"b_source": source}
    rows = sorted(conn.execute(statement, values), key=lambda row: (row.rank, row.next_at, row.id))  # RETURNING has no order
    return [_to_leased_url(row) for row in rows]


def _to_leased_url(row: AnyRow) -> LeasedUrl:
    is_revisit = revisits.is_revisit(row)
    return LeasedUrl(
        id=row.id,
        url=row.url,
        kind=Kind(row.kind),
        host=row.host,
        source=row.source,
        fence=row.fence,
        attempts=row.attempts,
        etag=row.etag,
        last_modified=row.last_modified,
        hint=load_hint(row.hint),
        is_rendering_wanted=row.rendering == Rendering.WANTED or (is_revisit and row.rendering is not None),
        has_parts=row.parts is not None,
        is_revisit=is_revisit,
        found_by=row.found_by,
        found_on=row.found_on,
        is_failing=row.failing_since is not None,
    )


def find_awaited_rows(conn: Connection, rows: Sequence[tuple[int, int]]) -> set[int]:
    if not rows:
        return set()
    waiting = {(row.id, row.fence) for row in conn.execute(_AWAITED_ROWS, {"b_ids": [id_ for id_, _ in rows]})}
    return {id_ for id_, fence in rows if (id_, fence) in waiting}


def insert_segment(conn: Connection, segment: Segment) -> None:
    """Record a segment, if it is not recorded yet."""
    _SEGMENT.run(conn, [{"id": segment.id, "pages": segment.pages, "length": segment.length, "created_at": segment.created_at}])


def save_segment(conn: Connection, segment: Segment, rows: Sequence[Fetched], now: datetime) -> int:
    insert_segment(conn, segment)
    values = [
        {
            "b_id": row.id,
            "b_fence": row.fence,
            "b_now": now,
            "b_segment": segment.id,
            "b_offset": row.offset,
            "b_url": row.url,
            "b_status": row.status,
            "b_etag": row.etag,
            "b_last_modified": row.last_modified,
            "b_rendering": row.rendering,
            "b_parts": list(row.parts),
        }
        for row in sorted(rows, key=lambda row: row.id)
    ]
    return conn.execute(_SAVE, values).rowcount if values else 0


def end(conn: Connection, endings: Sequence[Ended], now: datetime) -> int:
    if not endings:
        return 0
    leased_rows = {(row.id, row.fence): row for row in conn.execute(_LEASED_ROWS, {"b_ids": [ended.id for ended in endings]})}
    current = {(ended.id, ended.fence): ended for ended in endings if (ended.id, ended.fence) in leased_rows}
    revisited = {key: ended for key, ended in current.items() if revisits.is_revisit(leased_rows[key])}
    revisits.end(conn, [EndedRevisit(leased_rows[key], ended.ending) for key, ended in revisited.items()], now)
    current = {key: ended for key, ended in current.items() if key not in revisited}
    divided = {key for key, ended in current.items() if _has_first_page(leased_rows[key], ended.ending.outcome)}
    extract_first_pages(conn, [row_id for row_id, _ in sorted(divided)], now)
    current = {key: _limit_redirects(conn, ended) for key, ended in current.items() if key not in divided}
    if current:
        conn.execute(_END, [_outcome_values(ended, leased_rows[key].kind, now) for key, ended in current.items()])
    revisits.note_gone(conn, (leased_rows[key] for key, ended in current.items() if ended.ending.outcome is Outcome.GONE), now)
    listings = [ended for key, ended in current.items() if leased_rows[key].kind != Kind.PAGE]
    polls.record(conn, [_to_poll(ended) for ended in listings], now)
    counters = CounterUpdates()
    for key, ended in current.items():
        counters.add(now, leased_rows[key].source, leased_rows[key].kind, ended.ending.outcome.value)
    counters.write(conn)
    for ended in current.values():
        if ended.leads_to is not None:
            redirects.follow(conn, ended.id, ended.leads_to, now)
    return len(current) + len(revisited) + len(divided)


def _has_first_page(row: AnyRow, outcome: Outcome) -> bool:
    """Whether a failed fetch was to bring the further pages of an article whose first page is archived, and not extracted yet."""
    return row.parts == [] and row.segment is not None and row.outcome is None and OUTCOMES[outcome].state is State.FAILED


def _limit_redirects(conn: Connection, ended: Ended) -> Ended:
    if ended.leads_to is None or not redirects.is_too_long(conn, ended.leads_to.found_on):
        return ended
    ending = OutcomeRecord(Outcome.REDIRECT_LOOP, f"more than {MAX_SITE_REDIRECTS} redirects from site to site")
    return replace(ended, ending=ending, leads_to=None)


def _to_poll(ended: Ended) -> Poll:
    outcome = ended.ending.outcome
    return Poll(ended.id, outcome in READ_OUTCOMES, ended.cache_seconds, ended.update_interval, _IS_EMPTY.get(outcome))


def _outcome_values(ended: Ended, kind: str, now: datetime) -> dict[str, Any]:
    return {
        "b_failed_at": now if is_failure(kind, ended.ending.outcome) else None,
        "b_id": ended.id,
        "b_fence": ended.fence,
        "b_now": now,
        "b_state": OUTCOMES[ended.ending.outcome].state.value,
        "b_outcome": ended.ending.outcome.value,
        "b_detail": ended.ending.detail,
        "b_etag": ended.etag,
        "b_last_modified": ended.last_modified,
    }


def postpone(conn: Connection, rows: Sequence[Postponed], now: datetime) -> int:
    """A failed revisit is not retried but planned again."""
    failures = {(row.id, row.fence): row for row in rows if row.failure is not None}
    leased_rows = conn.execute(_LEASED_ROWS, {"b_ids": [id_ for id_, _ in failures]}).all() if failures else []
    revisited = {(row.id, row.fence): row for row in leased_rows if revisits.is_revisit(row) and (row.id, row.fence) in failures}
    ended = [(row, failures[key]) for key, row in revisited.items()]
    revisits.end(conn, [EndedRevisit(row, failed.failure, failed.next_at) for row, failed in ended if failed.failure is not None], now)
    ordered = sorted((row for row in rows if (row.id, row.fence) not in revisited), key=lambda row: row.id)
    waiting = [_postponed_values(row) for row in ordered if row.failure is None]
    failed = [
        {
            **_postponed_values(row),
            "b_failed_at": now,
            "b_failure": row.failure.outcome.value,
            "b_failure_detail": row.failure.detail,
        }
        for row in ordered
        if row.failure is not None
    ]
    changed = len(revisited) + (conn.execute(_POSTPONE, waiting).rowcount if waiting else 0)
    return changed + (conn.execute(_POSTPONE_FAILED, failed).rowcount if failed else 0)


def _postponed_values(row: Postponed) -> dict[str, Any]:
    return {"b_id": row.id, "b_fence": row.fence, "b_now": row.next_at, "b_detail": row.detail, "b_counted": int(row.count_attempt)}


def release_urls(conn: Connection, rows: Sequence[LeasedUrl], now: datetime) -> int:
    values = [{"b_id": row.id, "b_fence": row.fence, "b_now": now} for row in sorted(rows, key=lambda row: row.id)]
    return conn.execute(_RELEASE_URL, values).rowcount if values else 0


def expire_leases(conn: Connection, now: datetime) -> int:
    return len(conn.execute(_EXPIRE, {"b_now": now}).all())
