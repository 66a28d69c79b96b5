"""Documents in the order they were stored, a page at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import BindParameter, Connection, Engine, bindparam, select, tuple_

from newsmill.search.backend import Backend
from newsmill.search.index_query import prepare_query, read_connection
from newsmill.search.positions import span_of_query
from newsmill.search.query import Query
from newsmill.search.records import StoredHit
from newsmill.storage import stored_order
from newsmill.storage.database import reading
from newsmill.storage.documents import from_row
from newsmill.storage.schema import documents, search_entries
from newsmill.storage.stored_order import decode_cursor, encode_cursor, parse_time

PAGE_DOCUMENTS = 200  # per statement, and at most in memory: about 1 MB of text

_ORDER = (documents.c.stored_at, documents.c.id)
_IDS: BindParameter[Any] = bindparam("b_ids", expanding=True)
_DOCUMENTS = select(documents).where(documents.c.id.in_(_IDS)).order_by(*_ORDER)
_POSITIONS = select(search_entries.c.moment, search_entries.c.document_id).where(search_entries.c.document_id.in_(_IDS))


def iterate_stored(engine: Engine, backend: Backend, query: Query, since: str | datetime | None) -> Iterator[StoredHit]:
    """Every match, from the first one stored after `since` on (a cursor or a time). Raises CursorError, ServiceError."""
    if since is None:
        return _iterate_pages(engine, backend, query, None)
    return _iterate_pages(engine, backend, query, (since, "") if isinstance(since, datetime) else _decode_position(since))


def end_cursor(engine: Engine) -> str:
    """The cursor behind everything that is stored now."""
    with reading(engine) as conn:
        return encode_cursor("stored", (stored_order.horizon(conn) + stored_order.STAMP_RESOLUTION).isoformat(), "")


def _decode_position(cursor: str) -> tuple[datetime, str]:
    at, document = decode_cursor("stored", cursor, str, str)
    return parse_time(at, cursor), str(document)


def _iterate_pages(engine: Engine, backend: Backend, query: Query, last: tuple[datetime, str] | None) -> Iterator[StoredHit]:
    with reading(engine) as conn:
        horizon = documents.c.stored_at <= stored_order.horizon(conn)
    while not query.matches_nothing:
        after = [] if last is None else [tuple_(*_ORDER) > tuple_(*last)]
        with read_connection(engine) as conn:
            page = conn.execute(select(*_ORDER).where(horizon, *after).order_by(*_ORDER).limit(PAGE_DOCUMENTS)).all()
            rows = _load_matching(conn, backend, query, [row.id for row in page])
        for row in rows:
            yield StoredHit(from_row(row), row["stored_at"], encode_cursor("stored", row["stored_at"].isoformat(), row["id"]))
        if len(page) < PAGE_DOCUMENTS:
            return
        last = (page[-1].stored_at, page[-1].id)


def _load_matching(conn: Connection, backend: Backend, query: Query, ids: Sequence[str]) -> Sequence[Any]:
    if query.node is not None or query.since is not None or query.until is not None:
        span = span_of_query(query)
        positions = [(row.moment, row.document_id) for row in conn.execute(_POSITIONS, {"b_ids": ids})] if ids else []
        positions = [position for position in positions if span.lower <= position < span.upper]
        matching = prepare_query(conn, backend, query.node).filter(positions)
        ids = [document for moment, document in positions if (moment, document) in matching]
    return conn.execute(_DOCUMENTS, {"b_ids": ids}).mappings().all() if ids else []
