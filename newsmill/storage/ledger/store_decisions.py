"""The decision for each result of a worker: which document it makes, changes or repeats."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, replace
from datetime import datetime

from newsmill.discovery.url_variants import is_same_edition
from newsmill.extraction.document_identity import LiveUpdates, list_live_updates
from newsmill.model import Document, Outcome, OutcomeRecord
from newsmill.storage.columns import make_storable
from newsmill.storage.ledger.article_identity import MAX_COMPARED_CHARACTERS, StoredPage, displaces_article, identify, is_same_text
from newsmill.storage.ledger.claims import Result
from newsmill.storage.ledger.stored_pages import is_canonical, make_stored_page
from newsmill.text.sentences import Sentence


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
    discards_history: bool = False  # the revisions before are another host's


def decide(
    results: Sequence[Result], stored: Mapping[str, StoredPage], now: datetime, owned: Mapping[int, str], foreign: Set[int] = frozenset()
) -> list[StoreDecision]:
    """One decision per result, in order; each sees what the earlier ones write.

    `stored`, `owned`: see `identify`. `foreign`: the rows that only other sites link to.
    """
    stored = {key: replace(page, is_foreign=page.ledger_id in foreign) for key, page in stored.items()}
    decisions: dict[int, StoreDecision] = {}
    for result in results:
        decision = _decide_one(result, stored, now, owned, foreign)
        _note(decision, stored, foreign)
        if decision.displaced in decisions:  # by a later result of the same commit: it is not written at all
            earlier = decisions[decision.displaced]
            if decision.extracts_displaced:
                earlier = _decide_one(earlier.result, stored, now, {}, foreign)
                _note(earlier, stored, foreign)
            else:
                earlier = replace(earlier, record=duplicate_of(decision.document_id), document=None)
            decisions[decision.displaced] = earlier
            decision = replace(decision, displaced=None)
        decisions[result.claim.id] = decision
    return list(decisions.values())


def _note(decision: StoreDecision, stored: dict[str, StoredPage], foreign: Set[int]) -> None:
    """Put the document that a decision writes among the stored ones."""
    document = decision.document
    if document is None or decision.stored_at is None:
        return
    row = decision.result.claim.id
    page = make_stored_page(document, row, decision.stored_at, _list_storable_updates(document))
    stored[document.id] = replace(page, is_foreign=row in foreign)


def _list_storable_updates(document: Document) -> LiveUpdates:
    """The live updates as the database returns them."""
    updates = list_live_updates(document)
    return tuple((None if title is None else make_storable(title), make_storable(text)) for title, text in updates)


def duplicate_of(document_id: str | None) -> OutcomeRecord:
    return OutcomeRecord(Outcome.DUPLICATE, Sentence("another URL of document {id}", id=document_id))


def _decide_one(
    result: Result, stored: Mapping[str, StoredPage], now: datetime, owned: Mapping[int, str], foreign: Set[int]
) -> StoreDecision:
    document, record = result.reading.document, result.reading.ending
    if record.outcome is not Outcome.STORED:
        return StoreDecision(result, record)
    if document is None:
        raise ValueError(f"the result of {result.claim.url} is stored without a document")
    received_at = document.text_seen_at or result.claim.received_at
    document = replace(document, archive_ref=document.archive_ref or result.claim.archive_ref, text_seen_at=received_at)
    document = identify(document, result.claim.id, stored, owned)
    old = stored.get(document.id)
    if old is None:
        return StoreDecision(result, record, document, now, document.id)
    if old.ledger_id == result.claim.id:
        return _update(result, document, old, now)
    if is_canonical(document.id, document.url) and not old.is_canonical:
        extracts_displaced = displaces_article(document, old)
        if is_same_edition(document.url, old.requested_url):
            decision = replace(_update(result, document, old, now), record=record)
        else:  # whoever writes another host has written neither the first revision nor its date
            decision = StoreDecision(result, record, replace(document, revision=1), now, document.id, discards_history=True)
        return replace(decision, displaced=old.ledger_id, extracts_displaced=extracts_displaced)
    copy_of = old.url if is_same_text(document, old) else None
    if copy_of is not None and old.is_foreign and result.claim.id not in foreign:  # the site itself links to the page, and not to the copy
        return replace(_update(result, document, old, now), record=record, displaced=old.ledger_id)
    return StoreDecision(result, duplicate_of(document.id), document_id=document.id, copy_of=copy_of)


def _update(result: Result, document: Document, old: StoredPage, now: datetime) -> StoreDecision:
    """The document with its new content; a changed content is a new revision."""
    # Extracted again from the same bytes: the outcome UNCHANGED is for a new fetch.
    is_same_fetch = old.archive_ref is not None and old.archive_ref == result.claim.archive_ref
    changed = document.content_hash != old.content_hash or (not is_same_fetch and _list_storable_updates(document) != old.live_updates)
    document = replace(
        document,
        revision=old.revision + changed,
        first_seen_at=min(old.first_seen_at, document.first_seen_at),
        gone_at=old.gone_at if is_same_fetch else None,
        text_seen_at=old.text_seen_at if _has_seen_text(document, old) else document.text_seen_at,
    )
    record = result.reading.ending if changed or is_same_fetch else OutcomeRecord(Outcome.UNCHANGED)
    is_news = changed or document.gone_at != old.gone_at  # readers of changes see that it is back
    return StoreDecision(result, record, document, now if is_news else old.stored_at, document.id)


def _has_seen_text(document: Document, old: StoredPage) -> bool:
    """Whether the text is nearly the one that was stored at `old.text_seen_at`: who replaces a text is not its first author."""
    from newsmill.similarity.copies import ComparedText  # few processes store documents

    text, seen_text = document.text[:MAX_COMPARED_CHARACTERS], old.text if old.seen_text is None else old.seen_text
    return old.text_seen_at is None or text == seen_text or ComparedText(text).is_copy_of(ComparedText(seen_text))
