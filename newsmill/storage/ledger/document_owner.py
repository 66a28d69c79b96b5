"""Which page owns a document, and what is written for each result. Pure; `results` locks the rows, asks here, and writes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from newsmill.extraction.document_identity import OtherContent, list_other_content
from newsmill.model import Document, Outcome, OutcomeRecord
from newsmill.storage.columns import make_storable
from newsmill.storage.ledger.article_identity import StoredPage, displaces_article, identify, is_same_text
from newsmill.storage.ledger.records import Result


@dataclass(frozen=True, slots=True)
class StoreDecision:
    """The rows to write for one result."""

    result: Result
    record: OutcomeRecord
    document: Document | None = None  # written if not None
    stored_at: datetime | None = None
    document_id: str | None = None  # of a duplicate: the document that its page repeats
    displaced: int | None = None  # the ledger row that owned the document before
    copy_of: str | None = None  # of a duplicate with the same text: the URL of the document
    extracts_displaced: bool = False  # the page of that row is another article, and gets a document of its own


def decide(
    results: Sequence[Result],
    stored: Mapping[str, StoredPage],
    is_canonical: Callable[[Document], bool],
    now: datetime,
    owned: Mapping[int, str] | None = None,
) -> list[StoreDecision]:
    """One decision per result, in order; each sees what the earlier ones write.

    `stored`, `owned`: see `identify`.
    """
    stored = dict(stored)
    decisions: dict[int, StoreDecision] = {}
    for result in results:
        decision = _decide_one(result, stored, is_canonical, now, owned or {})
        _note(decision, stored, is_canonical)
        if decision.displaced in decisions:  # by a later result of the same commit: it is not written at all
            earlier = decisions[decision.displaced]
            if decision.extracts_displaced:
                earlier = _decide_one(earlier.result, stored, is_canonical, now, {})
                _note(earlier, stored, is_canonical)
            else:
                earlier = replace(earlier, record=duplicate_of(decision.document_id), document=None)
            decisions[decision.displaced] = earlier
            decision = replace(decision, displaced=None)
        decisions[result.claim.id] = decision
    return list(decisions.values())


def _note(decision: StoreDecision, stored: dict[str, StoredPage], is_canonical: Callable[[Document], bool]) -> None:
    """Put the document that a decision writes among the stored ones."""
    document = decision.document
    if document is None or decision.stored_at is None:
        return
    stored[document.id] = StoredPage(
        ledger_id=decision.result.claim.id,
        content_hash=document.content_hash,
        revision=document.revision,
        first_seen_at=document.first_seen_at,
        stored_at=decision.stored_at,
        is_canonical=is_canonical(document),
        archive_ref=document.archive_ref,
        other_content=_list_storable_content(document),
        gone_at=document.gone_at,
        title=document.title,
        text=document.text,
        canonical_url=document.canonical_url,
        url=document.url,
        published_at=document.published_at,
        published_precision=document.published_precision,
    )


def _list_storable_content(document: Document) -> OtherContent:
    """The authors and the live updates as the database returns them."""
    parts = list_other_content(document)
    return tuple(tuple(None if text is None else make_storable(text) for text in part) for part in parts)


def duplicate_of(document_id: str | None) -> OutcomeRecord:
    return OutcomeRecord(Outcome.DUPLICATE, f"another URL of document {document_id}")


def _decide_one(
    result: Result,
    stored: Mapping[str, StoredPage],
    is_canonical: Callable[[Document], bool],
    now: datetime,
    owned: Mapping[int, str],
) -> StoreDecision:
    document, record = result.reading.document, result.reading.ending
    if record.outcome is not Outcome.STORED:
        return StoreDecision(result, record)
    if document is None:
        raise ValueError(f"the result of {result.claim.url} is stored without a document")
    document = replace(document, archive_ref=document.archive_ref or f"{result.claim.segment}@{result.claim.offset}")
    document = identify(document, result.claim.id, stored, owned)
    old = stored.get(document.id)
    if old is None:
        return StoreDecision(result, record, replace(document, revision=1), now, document.id)
    if old.ledger_id == result.claim.id:
        return _update(result, document, old, now)
    if is_canonical(document) and not old.is_canonical:
        extracts_displaced = displaces_article(document, old)
        return replace(_update(result, document, old, now), record=record, displaced=old.ledger_id, extracts_displaced=extracts_displaced)
    copy_of = old.url if is_same_text(document, old) else None
    return StoreDecision(result, duplicate_of(document.id), document_id=document.id, copy_of=copy_of)


def _update(result: Result, document: Document, old: StoredPage, now: datetime) -> StoreDecision:
    """The document with its new content; a changed content is a new revision."""
    # Extracted again from the same bytes: the outcome UNCHANGED is for a new fetch.
    is_same_fetch = old.archive_ref == f"{result.claim.segment}@{result.claim.offset}"
    changed = document.content_hash != old.content_hash or (not is_same_fetch and _list_storable_content(document) != old.other_content)
    document = replace(
        document,
        revision=old.revision + changed,
        first_seen_at=min(old.first_seen_at, document.first_seen_at),
        gone_at=old.gone_at if is_same_fetch else None,
    )
    record = result.reading.ending if changed or is_same_fetch else OutcomeRecord(Outcome.UNCHANGED)
    is_news = changed or document.gone_at != old.gone_at  # readers of changes see that it is back
    return StoreDecision(result, record, document, now if is_news else old.stored_at, document.id)
