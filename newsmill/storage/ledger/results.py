"""Whose document is it? Decided purely; `stored.py` locks, asks here, and writes."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, String, bindparam, func, select, text, update

from newsmill import urls
from newsmill.exceptions import UrlError
from newsmill.model import OUTCOMES, Document, Outcome, OutcomeRecord
from newsmill.search import indexer
from newsmill.storage import fingerprints, stored_order
from newsmill.storage.columns import Upsert
from newsmill.storage.documents import to_row
from newsmill.storage.ledger.claims import RENEW
from newsmill.storage.ledger.counter_updates import CounterUpdates
from newsmill.storage.ledger.records import Result
from newsmill.storage.ledger.statements import FREE, NOW, AnyRow, fenced, state_is
from newsmill.storage.schema import documents, ledger
from newsmill.urls import get_profile_site


@dataclass(frozen=True, slots=True)
class StoredPage:
    """What the store holds under a document id."""

    ledger_id: int
    content_hash: str
    revision: int
    first_seen_at: datetime
    stored_at: datetime
    at_home: bool  # its page's own address is the canonical one
    archive_ref: str | None = None


@dataclass(frozen=True, slots=True)
class Decision:
    """What to write for one result."""

    result: Result
    ending: OutcomeRecord
    document: Document | None = None  # to be written
    stored_at: datetime | None = None
    document_id: str | None = None  # also of a duplicate: the document it is another address of
    displaced: int | None = None  # the ledger row whose document this was until now


def decide(results: Sequence[Result], held: Mapping[str, StoredPage], at_home: Callable[[Document], bool], now: datetime) -> list[Decision]:
    """One decision per result, in order, each seeing what the ones before it wrote. `held`: by document id, before all of them."""
    held = dict(held)
    decisions: dict[int, Decision] = {}
    for result in results:
        decision = _decide(result, held, at_home, now)
        document = decision.document
        if document is not None and decision.stored_at is not None:
            held[document.id] = StoredPage(
                result.claim.id,
                document.content_hash,
                document.revision,
                document.first_seen_at,
                decision.stored_at,
                at_home(document),
                document.archive_ref,
            )
        if decision.displaced in decisions:  # by its own neighbour: it is a duplicate before it was ever written
            earlier = decisions[decision.displaced]
            decisions[decision.displaced] = replace(earlier, ending=duplicate_of(decision.document_id), document=None)
            decision = replace(decision, displaced=None)
        decisions[result.claim.id] = decision
    return list(decisions.values())


def duplicate_of(document_id: str | None) -> OutcomeRecord:
    return OutcomeRecord(Outcome.DUPLICATE, f"the same canonical address as document {document_id}")


def _decide(result: Result, held: Mapping[str, StoredPage], at_home: Callable[[Document], bool], now: datetime) -> Decision:
    document, ending = result.reading.document, result.reading.ending
    if ending.outcome is not Outcome.STORED:
        return Decision(result, ending)
    if document is None:
        raise ValueError(f"a reading of {result.claim.url} ended stored without a document")
    document = replace(document, archive_ref=document.archive_ref or f"{result.claim.segment}@{result.claim.offset}")
    before = held.get(document.id)
    if before is None:
        return Decision(result, ending, replace(document, revision=1), now, document.id)
    if before.ledger_id == result.claim.id:
        return _again(result, document, before, now)
    if at_home(document) and not before.at_home:
        return replace(_again(result, document, before, now), ending=ending, displaced=before.ledger_id)
    return Decision(result, duplicate_of(document.id), document_id=document.id)


def _again(result: Result, document: Document, before: StoredPage, now: datetime) -> Decision:
    """The document as it is now, one revision on when its content changed."""
    changed = document.content_hash != before.content_hash
    document = replace(
        document,
        revision=before.revision + changed,
        first_seen_at=min(before.first_seen_at, document.first_seen_at),
    )
    # The same bytes: nothing was fetched that could be unchanged.
    cleaned_again = before.archive_ref == f"{result.claim.segment}@{result.claim.offset}"
    ending = result.reading.ending if changed or cleaned_again else OutcomeRecord(Outcome.UNCHANGED)
    return Decision(result, ending, document, now if changed else before.stored_at, document.id)


# The commit that ends a handful of pages: rows, documents and counters together, or nothing.
#
# Why two workers with the same page, or with two addresses of one document, do no harm: documents are locked first and in the order of their
# ids, ledger rows next and in the order of theirs; then every row whose fence is no longer ours is left out before anything is decided.

# A document that does not exist yet has no row to lock, so Postgres locks a number made of its id. SQLite has one writer anyway.
_LOCK_IDS = text("SELECT pg_advisory_xact_lock(id) FROM (SELECT unnest(CAST(:ids AS bigint[])) AS id ORDER BY 1) AS wanted")
_HELD = select(
    documents.c.id,
    documents.c.ledger_id,
    documents.c.content_hash,
    documents.c.revision,
    documents.c.first_seen_at,
    documents.c.stored_at,
    documents.c.url,
    documents.c.archive_ref,
).where(documents.c.id.in_(bindparam("b_ids", expanding=True)))
_ROWS = (
    select(
        ledger.c.id,
        ledger.c.fence,
        ledger.c.state,
        ledger.c.source,
        ledger.c.kind,
        ledger.c.outcome,
        ledger.c.ended_at,
        ledger.c.document_id,
    )
    .where(ledger.c.id.in_(bindparam("b_ids", expanding=True)))
    .order_by(ledger.c.id)
    .with_for_update()
)
_END = (
    update(ledger)
    .where(fenced("processing"))
    .values(
        **FREE,
        state=bindparam("b_state"),
        outcome=bindparam("b_outcome"),
        detail=bindparam("b_detail"),
        stage=None,
        ended_at=bindparam("b_at", type_=ledger.c.ended_at.type),
        document_id=func.coalesce(bindparam("b_document", type_=String), ledger.c.document_id),
    )
)
_RETRY = (
    update(ledger)
    .where(fenced("processing"))
    .values(
        **FREE,
        state="due",
        next_at=NOW,
        attempts=ledger.c.attempts + 1,
        crashes=0,
        outcome=None,
        detail=bindparam("b_detail"),
        stage=None,
        ended_at=None,
    )
)
_DISPLACE = (
    update(ledger)
    .where(ledger.c.id == bindparam("b_id"), state_is("done"))
    .values(state=OUTCOMES[Outcome.DUPLICATE][0].value, outcome=Outcome.DUPLICATE.value, detail=bindparam("b_detail"))
)
_WRITE = Upsert(documents, ("id",), lambda new: {column.name: new[column.name] for column in documents.c if column.name != "id"})


def store(conn: Connection, results: Sequence[Result], now: datetime, owner: str, seconds: float) -> dict[Outcome, int]:
    held = _hold(conn, results)
    rows = _lock(conn, results, held)
    ours = [result for result in results if _is_ours(result, rows)]
    _retry(conn, [result for result in ours if result.retry_at is not None])
    ours = [result for result in ours if result.retry_at is None]
    stamp = stored_order.stamp(conn, now) if _documents(ours) else now
    decisions = decide(ours, held, lambda document: _at_home(document.id, document.url), stamp)
    _write(conn, decisions, rows, now)
    for segment in sorted({result.claim.segment for result in results}):
        conn.execute(RENEW, {"b_segment": segment, "b_owner": owner, "b_until": now + timedelta(seconds=seconds)})
    ended: dict[Outcome, int] = {}
    for decision in decisions:
        ended[decision.ending.outcome] = ended.get(decision.ending.outcome, 0) + 1
    return ended


def _documents(results: Sequence[Result]) -> list[Document]:
    return [result.reading.document for result in results if result.reading.document is not None]


def _hold(conn: Connection, results: Sequence[Result]) -> dict[str, StoredPage]:
    """Lock the documents the results may write, and say what stands there now."""
    ids = sorted({document.id for document in _documents(results)})
    if not ids:
        return {}
    if conn.dialect.name == "postgresql":
        conn.execute(_LOCK_IDS, {"ids": sorted(_number(document_id) for document_id in ids)})
    return {row.id: _held(row) for row in conn.execute(_HELD, {"b_ids": ids})}


def _held(row: AnyRow) -> StoredPage:
    at_home = _at_home(row.id, row.url)
    return StoredPage(row.ledger_id, row.content_hash, row.revision, row.first_seen_at, row.stored_at, at_home, row.archive_ref)


def _number(document_id: str) -> int:
    return int.from_bytes(hashlib.blake2b(document_id.encode(), digest_size=8).digest(), signed=True)


def _at_home(document_id: str, url: str) -> bool:
    try:
        return urls.make_key(url) == document_id
    except UrlError:
        return False


def _lock(conn: Connection, results: Sequence[Result], held: dict[str, StoredPage]) -> dict[int, AnyRow]:
    ids = {result.claim.id for result in results} | {document.ledger_id for document in held.values()}
    return {row.id: row for row in conn.execute(_ROWS, {"b_ids": sorted(ids)})}


def _is_ours(result: Result, rows: dict[int, AnyRow]) -> bool:
    row = rows.get(result.claim.id)
    return row is not None and row.state == "processing" and row.fence == result.claim.fence


def _retry(conn: Connection, results: Sequence[Result]) -> None:
    values = [
        {"b_id": result.claim.id, "b_fence": result.claim.fence, "b_now": result.retry_at, "b_detail": _why_again(result)}
        for result in results
    ]
    if values:
        conn.execute(_RETRY, values)


def _why_again(result: Result) -> str:
    ending = result.reading.ending
    return f"{ending.outcome}: {ending.detail or ''}"


def _write(conn: Connection, decisions: Sequence[Decision], rows: dict[int, AnyRow], now: datetime) -> None:
    tally = CounterUpdates()
    ends = [(decision, _ended_at(decision, rows[decision.result.claim.id], now)) for decision in decisions]
    if ends:
        conn.execute(_END, [_ended(decision, at) for decision, at in ends])
    for decision, at in ends:
        row = rows[decision.result.claim.id]
        tally.add(at, row.source, row.kind, decision.ending.outcome.value)
        if decision.displaced is not None:
            _displace(conn, rows[decision.displaced], decision, tally)
    written = _written(decisions)
    _WRITE.run(conn, written)
    indexer.index_changed(conn, written)
    fingerprints.refresh(conn, written)
    tally.write(conn)


def _ended_at(decision: Decision, row: AnyRow, now: datetime) -> datetime:
    """A page cleaned again from the archive ended when it did: yesterday's news does not become today's."""
    ended_at: datetime | None = row.ended_at  # kept while it is read again (`reopened.clean_again`)
    return ended_at if decision.document is not None and ended_at is not None else now


def _ended(decision: Decision, at: datetime) -> dict[str, Any]:
    claim, ending = decision.result.claim, decision.ending
    return {
        "b_id": claim.id,
        "b_fence": claim.fence,
        "b_state": OUTCOMES[ending.outcome][0].value,
        "b_outcome": ending.outcome.value,
        "b_detail": ending.detail,
        "b_document": decision.document_id,
        "b_at": at,
    }


def _written(decisions: Sequence[Decision]) -> list[dict[str, Any]]:
    """Document rows by id; of two for one id the later, which has seen the earlier."""
    rows = {}
    for decision in decisions:
        if decision.document is not None:
            row = to_row(decision.document)
            ours = {"ledger_id": decision.result.claim.id, "stored_at": decision.stored_at, "site": get_profile_site(decision.document.url)}
            rows[decision.document.id] = row | ours
    return [rows[document_id] for document_id in sorted(rows)]


def _displace(conn: Connection, row: AnyRow, decision: Decision, tally: CounterUpdates) -> None:
    """The row that held the document until now is one more address of it. One being fetched or read again will find that out itself."""
    if row.state != "done":
        return
    conn.execute(_DISPLACE, {"b_id": row.id, "b_detail": duplicate_of(decision.document_id).detail})
    tally.take_back(row.ended_at, row.source, row.kind, row.outcome)
    tally.add(row.ended_at, row.source, row.kind, Outcome.DUPLICATE.value)
