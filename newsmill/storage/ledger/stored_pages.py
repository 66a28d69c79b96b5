"""The stored documents that results may write: found by the ids of their articles, locked, and read. Part of the commit of `results`."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence

from sqlalchemy import Connection, bindparam, func, select, text

from newsmill import urls
from newsmill.exceptions import UrlError
from newsmill.model import Document
from newsmill.storage import fingerprints
from newsmill.storage.ledger.article_identity import MAX_COMPARED_CHARACTERS, StoredPage, list_identities, list_sites
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
_SITES = select(documents.c.id, documents.c.site).where(documents.c.ledger_id.in_(bindparam("b_pages", expanding=True)))


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
        if document is not None and result.claim.id not in owned and document.id not in stored:
            stored |= _find_similar(conn, document)
    return stored


def _find_similar(conn: Connection, document: Document) -> dict[str, StoredPage]:
    """The stored documents of the same site that have a similar text. They are read without a lock: a copy changes nothing of them."""
    pages = fingerprints.find_similar_pages(conn, document.text)
    sites = list_sites(document.url)
    ids = [row.id for row in conn.execute(_SITES, {"b_pages": pages}) if row.site in sites] if pages else []
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
        is_canonical=is_canonical(row.id, row.url),
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


def is_canonical(document_id: str, url: str) -> bool:
    try:
        return urls.make_key(url) == document_id
    except UrlError:
        return False
