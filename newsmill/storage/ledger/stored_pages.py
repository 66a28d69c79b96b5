"""The stored documents that results may write: found by the ids of their articles, locked, and read. Part of the commit of `results`."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence

from sqlalchemy import Connection, bindparam, func, select, text

from newsmill import urls
from newsmill.exceptions import UrlError
from newsmill.model import Document
from newsmill.storage.ledger.document_owner import StoredPage, list_identities
from newsmill.storage.ledger.records import Result
from newsmill.storage.schema import documents
from newsmill.storage.statements import AnyRow

MAX_COMPARED_CHARACTERS = 20_000  # of a stored text

# A new document has no row to lock, so Postgres locks a number made of its id. SQLite has one writer at a time.
_LOCK_IDS = text("SELECT pg_advisory_xact_lock(id) FROM (SELECT unnest(CAST(:ids AS bigint[])) AS id ORDER BY 1) AS wanted")
_STORED = select(
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
    func.substr(documents.c.text, 1, MAX_COMPARED_CHARACTERS).label("text"),
).where(documents.c.id.in_(bindparam("b_ids", expanding=True)))


def list_documents(results: Sequence[Result]) -> list[Document]:
    return [result.reading.document for result in results if result.reading.document is not None]


def lock_documents(conn: Connection, results: Sequence[Result], owned: Iterable[str]) -> dict[str, StoredPage]:
    """Lock the documents that the results may write; those that are stored, by id. `owned`: the documents that their rows have."""
    ids = sorted({document_id for document in list_documents(results) for document_id in list_identities(document)} | set(owned))
    if not ids:
        return {}
    if conn.dialect.name == "postgresql":
        conn.execute(_LOCK_IDS, {"ids": sorted(_lock_number(document_id) for document_id in ids)})
    return {row.id: _stored_page(row) for row in conn.execute(_STORED, {"b_ids": ids})}


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
    )


def _lock_number(document_id: str) -> int:
    return int.from_bytes(hashlib.blake2b(document_id.encode(), digest_size=8).digest(), signed=True)


def is_canonical(document_id: str, url: str) -> bool:
    try:
        return urls.make_key(url) == document_id
    except UrlError:
        return False
