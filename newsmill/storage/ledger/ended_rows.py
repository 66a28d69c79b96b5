"""Rows that have ended: made due again, extracted again from the archive, or discarded."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, and_, bindparam, case, literal_column, or_, select, update

from newsmill.model import OUTCOMES, Kind, Outcome
from newsmill.storage.counter_updates import CounterUpdates
from newsmill.storage.ledger.priority import RANK_NEW, RANK_REVISIT
from newsmill.storage.schema import ledger
from newsmill.storage.statements import KEEP_FAILURE, LIMIT, NOW, AnyRow, state_is

END_STATES = frozenset({"done", "dropped", "failed", "quarantined"})
BATCH_SIZE = 500  # keys per statement: below every driver's limit on parameters
REEXTRACT = "reextract"  # `stage` of an archived page that waits for another extraction
REQUEUED: dict[str, Any] = {
    **dict.fromkeys(("outcome", "detail", "stage", "ended_at", "owner", "lease_until", "stage_in_progress", "revisit_at")),
    **KEEP_FAILURE,
    "attempts": 0,
    "crashes": 0,
}
NEVER_REQUEUED = frozenset({Outcome.BAD_URL, Outcome.TAKEDOWN})
ENDED_COLUMNS = (ledger.c.id, ledger.c.source, ledger.c.kind, ledger.c.state, ledger.c.outcome, ledger.c.ended_at)
_KNOWN_ROWS = select(*ENDED_COLUMNS).where(ledger.c.url_key.in_(bindparam("keys", expanding=True))).order_by(ledger.c.id).with_for_update()
_REQUEUE = (
    update(ledger)
    .where(ledger.c.id == bindparam("b_id"))
    .values(
        **REQUEUED,
        state="due",
        next_at=bindparam("b_now"),
        rendering=None,
        rank=case((ledger.c.rank == RANK_REVISIT, RANK_NEW), else_=ledger.c.rank),
    )
)


def batches(keys: Sequence[str]) -> Iterator[Sequence[str]]:
    return (keys[at : at + BATCH_SIZE] for at in range(0, len(keys), BATCH_SIZE))


def requeue(conn: Connection, ended: Sequence[AnyRow], now: datetime) -> int:
    """Make ended rows (locked, with ENDED_COLUMNS) due again and undo their outcome counts. Returns their number."""
    if ended:
        conn.execute(_REQUEUE, [{"b_id": row.id, "b_now": now} for row in ended])
    _undo_counts(conn, ended)
    return len(ended)


def _undo_counts(conn: Connection, rows: Sequence[AnyRow]) -> None:
    counters = CounterUpdates()
    for row in rows:
        counters.undo(row.ended_at, row.source, row.kind, row.outcome)
    counters.write(conn)


def requeue_keys(conn: Connection, keys: Sequence[str], now: datetime) -> int:
    """Make those of the rows with these keys due again that have an outcome. Returns their number."""
    return requeue(conn, [row for row in conn.execute(_KNOWN_ROWS, {"keys": keys}) if _can_requeue(row)], now)


def _can_requeue(row: AnyRow) -> bool:
    """Whether a row has an outcome and nothing happens to it: it has ended, or waits for a revisit."""
    return (row.state in END_STATES and row.outcome not in NEVER_REQUEUED) or (
        row.state == "due" and row.kind == Kind.PAGE and row.outcome is not None
    )


# Outcomes of extraction: the page is in the archive and can be extracted again without the network. BLOCKED is not among them, because the
# archived page is the bot filter's.
EXTRACTED = frozenset(
    {
        Outcome.STORED,
        Outcome.UNCHANGED,
        Outcome.DUPLICATE,
        Outcome.NOT_ARTICLE,
        Outcome.NO_TEXT,
        Outcome.CONSENT_WALL,
        Outcome.PAYWALL,
        Outcome.SOFT_404,
        Outcome.NEEDS_SCRIPT,
        Outcome.NOT_HTML,
        Outcome.BAD_ENCODING,
        Outcome.DIED,
        Outcome.DEADLINE,
        Outcome.TOO_DEEP,
        Outcome.DISCARDED,
    }
)

_IS_REVISIT_DUE = and_(state_is("due"), ledger.c.kind == literal_column("'page'"), ledger.c.outcome.is_not(None))
RETRY_COLUMNS = (*ENDED_COLUMNS, ledger.c.segment, ledger.c.crashes)
_RETRYABLE = (
    select(*RETRY_COLUMNS)
    .where(or_(state_is(*sorted(END_STATES)), _IS_REVISIT_DUE), ledger.c.outcome.not_in(sorted(NEVER_REQUEUED)))
    .order_by(ledger.c.id)
)
_BY_KEY = _RETRYABLE.where(ledger.c.url_key.in_(bindparam("b_keys", expanding=True))).with_for_update()
_BY_OUTCOME = (
    _RETRYABLE.where(ledger.c.outcome == bindparam("b_outcome"), ledger.c.id > bindparam("b_after"))
    .limit(LIMIT)
    .with_for_update(skip_locked=True)
)
_DAMAGED = _RETRYABLE.where(
    ledger.c.outcome == literal_column(f"'{Outcome.ARCHIVE_DAMAGED.value}'"), ledger.c.segment.like(bindparam("b_segments"))
).with_for_update(skip_locked=True)
_EXTRACT_AGAIN = (
    update(ledger)
    .where(ledger.c.id == bindparam("b_id"))
    .values(**REQUEUED | {"state": "fetched", "stage": REEXTRACT, "next_at": bindparam("b_now")})
)
# `ended_at` stays: a page whose document exists is not new because a better profile extracts it again.
_EXTRACT_AGAIN_IN_PLACE = (
    update(ledger)
    .where(ledger.c.id == bindparam("b_id"))
    .values(**{key: value for key, value in REQUEUED.items() if key != "ended_at"} | {"state": "fetched", "next_at": NOW})
)
_BY_ID = select(*RETRY_COLUMNS).where(ledger.c.id.in_(bindparam("b_ids", expanding=True))).order_by(ledger.c.id).with_for_update()
_QUARANTINED = (
    select(*RETRY_COLUMNS)
    .where(state_is("quarantined"), ledger.c.url_key.in_(bindparam("b_keys", expanding=True)))
    .order_by(ledger.c.id)
    .with_for_update()
)
_DISCARD = (
    update(ledger)
    .where(ledger.c.id == bindparam("b_id"))
    .values(state=OUTCOMES[Outcome.DISCARDED].state.value, outcome=Outcome.DISCARDED.value, ended_at=NOW, failing_since=None)
)


def retry_keys(conn: Connection, keys: Sequence[str], now: datetime, refetch: bool) -> int:
    return extract_or_requeue(conn, conn.execute(_BY_KEY, {"b_keys": keys}).all(), now, refetch)


def retry_quarantined(conn: Connection, keys: Sequence[str], now: datetime) -> int:
    return extract_or_requeue(conn, conn.execute(_QUARANTINED, {"b_keys": keys}).all(), now, refetch=False)


def retry_batch(
    conn: Connection, outcome: Outcome, source: str | None, kind: Kind | None, after: int, now: datetime, refetch: bool
) -> tuple[int, int | None]:
    """Requeue up to BATCH_SIZE rows with this outcome and ids above `after`; (rows requeued, last id or None when none is left).

    The batches go by id, because requeued rows may get the same outcome again before the last batch.
    """
    statement = _BY_OUTCOME
    if source is not None:
        statement = statement.where(ledger.c.source == source)
    if kind is not None:
        statement = statement.where(ledger.c.kind == kind.value)
    rows = conn.execute(statement, {"b_outcome": outcome.value, "b_after": after, "b_limit": BATCH_SIZE}).all()
    return extract_or_requeue(conn, rows, now, refetch), rows[-1].id if rows else None


def extract_or_requeue(conn: Connection, rows: Sequence[AnyRow], now: datetime, refetch: bool) -> int:
    """Have locked rows (with RETRY_COLUMNS) extracted again, or fetched again without an archived page. Returns their number."""
    extractable = [] if refetch else [row for row in rows if row.segment is not None and row.outcome in EXTRACTED]
    if extractable:
        conn.execute(_EXTRACT_AGAIN, [{"b_id": row.id, "b_now": now} for row in extractable])
    _undo_counts(conn, extractable)
    rest = {row.id: row for row in rows}
    for row in extractable:
        del rest[row.id]
    return len(extractable) + requeue(conn, list(rest.values()), now)


def requeue_for_extraction(conn: Connection, ids: Sequence[int], now: datetime) -> int:
    """Have archived pages of stored documents extracted again with the current profile; their number. Other rows are skipped."""
    rows = [
        row for row in conn.execute(_BY_ID, {"b_ids": ids}) if row.state == "done" and row.segment is not None and row.outcome in EXTRACTED
    ]
    if rows:
        conn.execute(_EXTRACT_AGAIN_IN_PLACE, [{"b_id": row.id, "b_now": now} for row in rows])
    _undo_counts(conn, rows)
    return len(rows)


def extract_damaged(conn: Connection, file_id: str, now: datetime) -> int:
    """Have the pages of a WARC file outside the archive extracted again that could not be read. Returns their number."""
    rows = conn.execute(_DAMAGED, {"b_segments": f"{file_id}-%"}).all()
    if rows:
        conn.execute(_EXTRACT_AGAIN, [{"b_id": row.id, "b_now": now} for row in rows])
    _undo_counts(conn, rows)
    return len(rows)


def extract_first_pages(conn: Connection, ids: Sequence[int], now: datetime) -> None:
    """Have the archived pages of locked rows extracted, because the fetch that was to bring the further pages of their articles failed."""
    if ids:
        conn.execute(_EXTRACT_AGAIN, [{"b_id": row_id, "b_now": now} for row_id in ids])


def discard(conn: Connection, keys: Sequence[str], now: datetime) -> int:
    rows = conn.execute(_QUARANTINED, {"b_keys": keys}).all()
    if rows:
        conn.execute(_DISCARD, [{"b_id": row.id, "b_now": now} for row in rows])
    counters = CounterUpdates()
    for row in rows:
        counters.undo(row.ended_at, row.source, row.kind, row.outcome)
        counters.add(now, row.source, row.kind, Outcome.DISCARDED.value)
    counters.write(conn)
    return len(rows)
