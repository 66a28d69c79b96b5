"""The stored documents that a worker's results may concern, locked."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime

from sqlalchemy import Connection, bindparam, func, select

from newsmill.discovery.url_variants import find_edition, is_same_edition
from newsmill.extraction.document_identity import LiveUpdates
from newsmill.model import Document
from newsmill.storage import fingerprints
from newsmill.storage.dialects import lock_numbers
from newsmill.storage.ledger.article_identity import MAX_COMPARED_CHARACTERS, StoredPage, list_identities, make_key
from newsmill.storage.ledger.claims import Result
from newsmill.storage.schema import documents, revisions
from newsmill.storage.statements import AnyRow

_COLUMNS = select(
    documents.c.id,
    documents.c.ledger_id,
    documents.c.content_hash,
    documents.c.revision,
    documents.c.first_seen_at,
    documents.c.stored_at,
    documents.c.url,
    documents.c.requested_url,
    documents.c.archive_ref,
    documents.c.live_updates,
    documents.c.gone_at,
    documents.c.text_seen_at,
    documents.c.canonical_url,
    documents.c.title,
    documents.c.published_at,
    documents.c.published_precision,
    func.substr(documents.c.text, 1, MAX_COMPARED_CHARACTERS).label("text"),
)
_BY_ID = _COLUMNS.where(documents.c.id.in_(bindparam("b_ids", expanding=True)))
_SEEN_TEXTS = (
    select(revisions.c.document_id, func.substr(revisions.c.text, 1, MAX_COMPARED_CHARACTERS).label("text"))
    .join(documents, documents.c.id == revisions.c.document_id)
    .where(revisions.c.document_id.in_(bindparam("b_ids", expanding=True)), revisions.c.stored_at >= documents.c.text_seen_at)
    .order_by(revisions.c.document_id, revisions.c.revision.desc())
)
_URLS = select(documents.c.id, documents.c.ledger_id, documents.c.url).where(
    documents.c.ledger_id.in_(bindparam("b_pages", expanding=True)),
    documents.c.site.is_not(None),  # items of spiders have none
)


def list_documents(results: Sequence[Result]) -> list[Document]:
    return [result.reading.document for result in results if result.reading.document is not None]


def lock_ids(conn: Connection, ids: Iterable[str]) -> None:
    """Wait for transactions that store or take down documents of these ids, and let others wait for this one.

    A new document has no row to lock, so a number made of its id is locked.
    """
    lock_numbers(conn, map(_lock_number, ids))


def lock_documents(conn: Connection, results: Sequence[Result], owned: Mapping[int, str]) -> dict[str, StoredPage]:
    """Lock the documents that the results may write; those that are stored, and those with a similar text, by id.

    `owned`: the documents that their rows have, by row.
    """
    found = list_documents(results)
    ids = {document_id for document in found for document_id in list_identities(document)} | {*owned.values()}
    if not ids:
        return {}
    # By content too, so that of two copies stored at once the second one finds the first.
    lock_ids(conn, ids | {f"content {document.content_hash}" for document in found})
    stored = _add_seen_texts(conn, {row.id: _stored_page(row) for row in conn.execute(_BY_ID, {"b_ids": sorted(ids)})})
    new = list_documents([result for result in results if result.claim.id not in owned])
    # A page may name the id of another article by mistake.
    unknown = [one for one in new if one.id not in stored or stored[one.id].content_hash != one.content_hash]
    return stored | _find_similar(conn, unknown)


def _add_seen_texts(conn: Connection, stored: dict[str, StoredPage]) -> dict[str, StoredPage]:
    """The pages, each with the text of the first revision since `text_seen_at`."""
    revised = sorted(document_id for document_id, page in stored.items() if page.revision > 1)
    found = {row.document_id: row.text for row in conn.execute(_SEEN_TEXTS, {"b_ids": revised})} if revised else {}
    return {document_id: replace(page, seen_text=found.get(document_id)) for document_id, page in stored.items()} if found else stored


def _find_similar(conn: Connection, found: Sequence[Document]) -> dict[str, StoredPage]:
    """The stored documents that have a similar text on the same site. They are read without a lock: a copy changes nothing of them."""
    similar = zip(found, fingerprints.find_similar_pages(conn, [document.text for document in found]), strict=True)
    wanted = {(page, find_edition(document.url)) for document, pages in similar for page in pages}
    if not wanted:
        return {}
    rows = conn.execute(_URLS, {"b_pages": sorted({page for page, _ in wanted})})
    ids = [row.id for row in rows if (row.ledger_id, find_edition(row.url)) in wanted]
    return {row.id: _stored_page(row) for row in conn.execute(_BY_ID, {"b_ids": ids})} if ids else {}


def _stored_page(row: AnyRow) -> StoredPage:
    updates = tuple((update.get("title"), update["text"]) for update in row.live_updates)
    return make_stored_page(row, row.ledger_id, row.stored_at, updates)


def make_stored_page(document: Document | AnyRow, ledger_id: int, stored_at: datetime, live_updates: LiveUpdates) -> StoredPage:
    """The page of a document, or of its row."""
    return StoredPage(
        ledger_id=ledger_id,
        content_hash=document.content_hash,
        revision=document.revision,
        first_seen_at=document.first_seen_at,
        stored_at=stored_at,
        is_canonical=is_canonical(document.id, document.url) and is_same_edition(document.requested_url, document.url),
        archive_ref=document.archive_ref,
        live_updates=live_updates,
        gone_at=document.gone_at,
        text_seen_at=document.text_seen_at,
        title=document.title,
        text=document.text,
        canonical_url=document.canonical_url,
        url=document.url,
        requested_url=document.requested_url,
        published_at=document.published_at,
        published_precision=document.published_precision,
    )


def _lock_number(document_id: str) -> int:
    return int.from_bytes(hashlib.blake2b(document_id.encode(), digest_size=8).digest(), signed=True)


def is_canonical(document_id: str, url: str) -> bool:
    return make_key(url) == document_id
