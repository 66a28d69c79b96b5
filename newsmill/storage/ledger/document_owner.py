"""Which page owns a document, and what is written for each result. Pure; `results` locks the rows, asks here, and writes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from newsmill.model import Document, Outcome, OutcomeRecord
from newsmill.near_duplicates import shingles, similarity
from newsmill.storage.columns import make_storable
from newsmill.storage.ledger.records import Result

MIN_SIMILARITY = 0.3  # of the texts before and after an edit; those of two articles share few runs of five words
OtherContent = tuple[tuple[str | None, ...], ...]  # what a reader sees beside title and text


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
    other_content: OtherContent = ()
    gone_at: datetime | None = None


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
                list_other_content(document),
                document.gone_at,
            )
        if decision.displaced in decisions:  # by a later result of the same commit: it is not written at all
            earlier = decisions[decision.displaced]
            decisions[decision.displaced] = replace(earlier, record=duplicate_of(decision.document_id), document=None)
            decision = replace(decision, displaced=None)
        decisions[result.claim.id] = decision
    return list(decisions.values())


def list_other_content(document: Document) -> OtherContent:
    """The authors and the live updates: changed by a new fetch, they make a revision, as title and text do."""
    authors = [(make_storable(author.name),) for author in document.authors]
    updates = [
        (None if update.title is None else make_storable(update.title), make_storable(update.text)) for update in document.live_updates
    ]
    return (*authors, *updates)


def is_same_article(document: Document, title: str | None, text: str) -> bool:
    """Whether a page that has another identity now is still the article with this title and text: a redirect may lead anywhere."""
    if document.title is not None and document.title == title:
        return True
    return similarity(shingles(document.text), shingles(text)) >= MIN_SIMILARITY


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
    # Extracted again from the same bytes: the outcome UNCHANGED is for a new fetch.
    is_same_fetch = old.archive_ref == f"{result.claim.segment}@{result.claim.offset}"
    changed = document.content_hash != old.content_hash or (not is_same_fetch and list_other_content(document) != old.other_content)
    document = replace(
        document,
        revision=old.revision + changed,
        first_seen_at=min(old.first_seen_at, document.first_seen_at),
        gone_at=old.gone_at if is_same_fetch else None,
    )
    record = result.reading.ending if changed or is_same_fetch else OutcomeRecord(Outcome.UNCHANGED)
    is_news = changed or document.gone_at != old.gone_at  # readers of changes see that it is back
    return StoreDecision(result, record, document, now if is_news else old.stored_at, document.id)
