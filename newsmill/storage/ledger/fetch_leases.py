"""The crawler's rows: leased one host at a time, then saved, ended, postponed or released."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, String, bindparam, case, exists, func, or_, select, update

from newsmill.model import OUTCOMES, Kind, LeasedUrl, Outcome, Rendering, Segment
from newsmill.storage.columns import load_hint
from newsmill.storage.counters import CounterUpdates
from newsmill.storage.ledger import polls, revisits
from newsmill.storage.ledger.clocks import MAX_ROW_WAIT
from newsmill.storage.ledger.polls import Poll
from newsmill.storage.ledger.records import Ended, Fetched, Postponed
from newsmill.storage.ledger.revisits import EndedRevisit
from newsmill.storage.schema import hosts, ledger, segments
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
    Upsert,
    fenced,
    is_failure,
    state_is,
)

READ_OUTCOMES = frozenset({Outcome.LISTED, Outcome.EMPTY_LISTING, Outcome.NOT_MODIFIED})
_IS_EMPTY = {Outcome.LISTED: False, Outcome.EMPTY_LISTING: True}  # by the outcome of a poll; the others do not say it


def _make_lease(*of_source: Any) -> Any:
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
            ledger.c.rendering,
            ledger.c.outcome,
            ledger.c.next_at,
            ledger.c.rank,
        )
    )


_LEASE = _make_lease()
_LEASE_OF_SOURCE = _make_lease(ledger.c.source == bindparam("b_source"))
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
        rendering=func.coalesce(bindparam("b_rendering", type_=String), case((ledger.c.rendering.is_not(None), Rendering.FAILED.value))),
    )
)
_LEASED_ROWS = (
    select(ledger.c.id, ledger.c.fence, ledger.c.source, ledger.c.kind, ledger.c.outcome, ledger.c.document_id)
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
_RELEASE = update(ledger).where(fenced("fetching")).values(**FREE, state="due", next_at=NOW)
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


def lease(conn: Connection, host: str, owner: str, limit: int, seconds: float, now: datetime, source: str | None) -> list[LeasedUrl]:
    values = {"b_host": host, "b_owner": owner, "b_limit": limit, "b_now": now, "b_until": now + timedelta(seconds=seconds)}
    values |= {"b_latest": now + MAX_ROW_WAIT}
    statement = _LEASE if source is None else _LEASE_OF_SOURCE
    values |= {} if source is None else {"b_source": source}
    rows = sorted(conn.execute(statement, values), key=lambda row: (row.rank, row.next_at, row.id))  # RETURNING has no order
    return [_leased_url(row) for row in rows]


def _leased_url(row: AnyRow) -> LeasedUrl:
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
        is_revisit=is_revisit,
        found_by=row.found_by,
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
    if current:
        conn.execute(_END, [_outcome_values(ended, leased_rows[key].kind, now) for key, ended in current.items()])
    revisits.note_gone(conn, (leased_rows[key] for key, ended in current.items() if ended.ending.outcome is Outcome.GONE), now)
    listings = [ended for key, ended in current.items() if leased_rows[key].kind != Kind.PAGE]
    polls.record(conn, [_to_poll(ended) for ended in listings], now)
    counters = CounterUpdates()
    for key, ended in current.items():
        counters.add(now, leased_rows[key].source, leased_rows[key].kind, ended.ending.outcome.value)
    counters.write(conn)
    return len(current) + len(revisited)


def _to_poll(ended: Ended) -> Poll:
    outcome = ended.ending.outcome
    return Poll(ended.id, outcome in READ_OUTCOMES, ended.cache_seconds, ended.update_interval, _IS_EMPTY.get(outcome))


def _outcome_values(ended: Ended, kind: str, now: datetime) -> dict[str, Any]:
    return {
        "b_failed_at": now if is_failure(kind, ended.ending.outcome) else None,
        "b_id": ended.id,
        "b_fence": ended.fence,
        "b_now": now,
        "b_state": OUTCOMES[ended.ending.outcome][0].value,
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


def release(conn: Connection, rows: Sequence[LeasedUrl], now: datetime) -> int:
    values = [{"b_id": row.id, "b_fence": row.fence, "b_now": now} for row in sorted(rows, key=lambda row: row.id)]
    return conn.execute(_RELEASE, values).rowcount if values else 0


def expire(conn: Connection, now: datetime) -> int:
    return len(conn.execute(_EXPIRE, {"b_now": now}).all())
