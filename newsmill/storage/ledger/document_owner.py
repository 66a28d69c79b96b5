"""Which page owns a document, and what is written for each result. Pure; `results` locks the rows, asks here, and writes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from newsmill.model import Document, Outcome, OutcomeRecord
from newsmill.storage.ledger.records import Result


@dataclass(frozen=True, slots=True)
class StoredPage:
    """The stored document of an id."""

    ledger_id: int
    content_hash: str
    revision: int
    first_seen_at: datetime
    stored_at: datetime
    is_canonical: bool  # the URL of its page is the canonical one
    archive_ref: str | None = None


@dataclass(frozen=True, slots=True)
class StoreDecision:
    """The rows to write for one result."""

    result: Result
    record: OutcomeRecord
    document: Document | None = None  # written if not None
    stored_at: datetime | None = None
    document_id: str | None = None  # of a duplicate: the document that its page repeats
    displaced: int | None = None  # the ledger row that owned the document before


def decide(
    results: Sequence[Result], stored: Mapping[str, StoredPage], is_canonical: Callable[[Document], bool], now: datetime
) -> list[StoreDecision]:
    """One decision per result, in order; each sees what the earlier ones write. `stored`: the stored documents by id."""
    stored = dict(stored)
    decisions: dict[int, StoreDecision] = {}
    for result in results:
        decision = _decide_one(result, stored, is_canonical, now)
        document = decision.document
        if document is not None and decision.stored_at is not None:
            stored[document.id] = StoredPage(
                result.claim.id,
                document.content_hash,
                document.revision,
                document.first_seen_at,
                decision.stored_at,
                is_canonical(document),
                document.archive_ref,
            )
        if decision.displaced in decisions:  # by a later result of the same commit: it is not written at all
            earlier = decisions[decision.displaced]
            decisions[decision.displaced] = replace(earlier, record=duplicate_of(decision.document_id), document=None)
            decision = replace(decision, displaced=None)
        decisions[result.claim.id] = decision
    return list(decisions.values())


def duplicate_of(document_id: str | None) -> OutcomeRecord:
    return OutcomeRecord(Outcome.DUPLICATE, f"the same canonical URL as document {document_id}")


def _decide_one(result: Result, stored: Mapping[str, StoredPage], is_canonical: Callable[[Document], bool], now: datetime) -> StoreDecision:
    document, record = result.reading.document, result.reading.ending
    if record.outcome is not Outcome.STORED:
        return StoreDecision(result, record)
    if document is None:
        raise ValueError(f"the result of {result.claim.url} is stored without a document")
    document = replace(document, archive_ref=document.archive_ref or f"{result.claim.segment}@{result.claim.offset}")
    old = stored.get(document.id)
    if old is None:
        return StoreDecision(result, record, replace(document, revision=1), now, document.id)
    if old.ledger_id == result.claim.id:
        return _update(result, document, old, now)
    if is_canonical(document) and not old.is_canonical:
        return replace(_update(result, document, old, now), record=record, displaced=old.ledger_id)
    return StoreDecision(result, duplicate_of(document.id), document_id=document.id)


def _update(result: Result, document: Document, old: StoredPage, now: datetime) -> StoreDecision:
    """The document with its new content; a changed content is a new revision."""
    changed = document.content_hash != old.content_hash
    document = replace(
        document,
        revision=old.revision + changed,
        first_seen_at=min(old.first_seen_at, document.first_seen_at),
    )
    # Extracted again from the same bytes: the outcome UNCHANGED is for a new fetch.
    is_same_fetch = old.archive_ref == f"{result.claim.segment}@{result.claim.offset}"
    record = result.reading.ending if changed or is_same_fetch else OutcomeRecord(Outcome.UNCHANGED)
    return StoreDecision(result, record, document, now if changed else old.stored_at, document.id)
