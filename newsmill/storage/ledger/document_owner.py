"""Which page owns a document: the stored documents that results may write are locked and read, and each result is decided upon.

Part of the commit of `results`, which writes what is decided here.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from sqlalchemy import Connection, bindparam, func, select, text

from newsmill import urls
from newsmill.exceptions import UrlError
from newsmill.extraction.document_identity import OtherContent, list_other_content
from newsmill.model import Document, Outcome, OutcomeRecord
from newsmill.storage import fingerprints
from newsmill.storage.columns import make_storable
from newsmill.storage.ledger.article_identity import (
    MAX_COMPARED_CHARACTERS,
    StoredPage,
    displaces_article,
    find_edition,
    identify,
    is_same_text,
    list_identities,
)
from newsmill.storage.ledger.records import Result
from newsmill.storage.schema import documents
from newsmill.storage.statements import AnyRow

# A new document has no row to lock, so Postgres locks a number made of its id. SQLite has one writer at a time.
_LOCK_IDS = text("SELECT pg_advisory_xact_lock(id) FROM (SELECT unnest(CAST(:ids AS bigint[])) AS id ORDER BY 1) AS wanted")
_COLUMNS = select(
    documents.c.id,
    documents.c.ledger_id,
    documents.c.content_hash,
    documents.c.revision,
    documents.c.first_seen_at,
    documents.c.stored_at,
    documents.c.url,
    documents.c.archive_ref,
    documents.c.authors,
    documents.c.live_updates,
    documents.c.gone_at,
    documents.c.canonical_url,
    documents.c.title,
    documents.c.published_at,
    documents.c.published_precision,
    func.substr(documents.c.text, 1, MAX_COMPARED_CHARACTERS).label("text"),
)
_BY_ID = _COLUMNS.where(documents.c.id.in_(bindparam("b_ids", expanding=True)))
_URLS = select(documents.c.id, documents.c.url).where(
    documents.c.ledger_id.in_(bindparam("b_pages", expanding=True)),
    documents.c.site.is_not(None),  # items of spiders have none
)


# ---- the stored documents, locked and read


def list_documents(results: Sequence[Result]) -> list[Document]:
    return [result.reading.document for result in results if result.reading.document is not None]


def lock_documents(conn: Connection, results: Sequence[Result], owned: Mapping[int, str]) -> dict[str, StoredPage]:
    """Lock the documents that the results may write; those that are stored, and those with a similar text, by id.

    `owned`: the documents that their rows have, by row.
    """
    found = list_documents(results)
    ids = {document_id for document in found for document_id in list_identities(document)} | {*owned.values()}
    if not ids:
        return {}
    if conn.dialect.name == "postgresql":  # by content too, so that of two copies stored at once the second one finds the first
        names = ids | {f"content {document.content_hash}" for document in found}
        conn.execute(_LOCK_IDS, {"ids": sorted(map(_lock_number, names))})
    stored = {row.id: _stored_page(row) for row in conn.execute(_BY_ID, {"b_ids": sorted(ids)})}
    for result in results:
        document = result.reading.document
        if document is None or result.claim.id in owned:
            continue
        proposed = stored.get(document.id)
        if proposed is None or proposed.content_hash != document.content_hash:  # the page may name this id by mistake
            stored |= _find_similar(conn, document)
    return stored


def _find_similar(conn: Connection, document: Document) -> dict[str, StoredPage]:
    """The stored documents of the same site that have a similar text. They are read without a lock: a copy changes nothing of them."""
    pages = fingerprints.find_similar_pages(conn, document.text)
    edition = find_edition(document.url)
    ids = [row.id for row in conn.execute(_URLS, {"b_pages": pages}) if find_edition(row.url) == edition] if pages else []
    return {row.id: _stored_page(row) for row in conn.execute(_BY_ID, {"b_ids": ids})} if ids else {}


def _stored_page(row: AnyRow) -> StoredPage:
    authors = [(author["name"],) for author in row.authors]
    updates = [(update.get("title"), update["text"]) for update in row.live_updates]
    return StoredPage(
        ledger_id=row.ledger_id,
        content_hash=row.content_hash,
        revision=row.revision,
        first_seen_at=row.first_seen_at,
        stored_at=row.stored_at,
        is_canonical=_is_canonical(row.id, row.url),
        archive_ref=row.archive_ref,
        other_content=(*authors, *updates),
        gone_at=row.gone_at,
        title=row.title,
        text=row.text,
        canonical_url=row.canonical_url,
        url=row.url,
        published_at=row.published_at,
        published_precision=row.published_precision,
    )


def _lock_number(document_id: str) -> int:
    return int.from_bytes(hashlib.blake2b(document_id.encode(), digest_size=8).digest(), signed=True)


def _is_canonical(document_id: str, url: str) -> bool:
    try:
        return urls.make_key(url) == document_id
    except UrlError:
        return False


# ---- decisions: no SQL


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


def decide(results: Sequence[Result], stored: Mapping[str, StoredPage], now: datetime, owned: Mapping[int, str]) -> list[StoreDecision]:
    """One decision per result, in order; each sees what the earlier ones write.

    `stored`, `owned`: see `identify`.
    """
    stored = dict(stored)
    decisions: dict[int, StoreDecision] = {}
    for result in results:
        decision = _decide_one(result, stored, now, owned)
        _note(decision, stored)
        if decision.displaced in decisions:  # by a later result of the same commit: it is not written at all
            earlier = decisions[decision.displaced]
            if decision.extracts_displaced:
                earlier = _decide_one(earlier.result, stored, now, {})
                _note(earlier, stored)
            else:
                earlier = replace(earlier, record=duplicate_of(decision.document_id), document=None)
            decisions[decision.displaced] = earlier
            decision = replace(decision, displaced=None)
        decisions[result.claim.id] = decision
    return list(decisions.values())


def _note(decision: StoreDecision, stored: dict[str, StoredPage]) -> None:
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
        is_canonical=_is_canonical(document.id, document.url),
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


def _decide_one(result: Result, stored: Mapping[str, StoredPage], now: datetime, owned: Mapping[int, str]) -> StoreDecision:
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
    if _is_canonical(document.id, document.url) and not old.is_canonical:
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
