"""Documents that match a query, in the order they were stored."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import BindParameter, Connection, Engine, bindparam, select, tuple_

from newsmill.search.backend import Backend
from newsmill.search.connections import read_connection
from newsmill.search.folding import fold_copies
from newsmill.search.index_query import IndexQuery, prepare_query
from newsmill.search.parsed_query import Query, span_of_query
from newsmill.search.positions import MAX_POSITION, IndexPosition, Span
from newsmill.search.results import StoredHit
from newsmill.storage.cursors import decode_cursor, encode_cursor, parse_time
from newsmill.storage.database import reading
from newsmill.storage.documents import from_row
from newsmill.storage.schema import documents, search_entries
from newsmill.storage.storing_order import STAMP_RESOLUTION, check_position, find_horizon

PAGE_DOCUMENTS = 200  # per statement, and at most in memory: about 1 MB of text

_ORDER = (documents.c.stored_at, documents.c.id)
_IDS: BindParameter[Any] = bindparam("b_ids", expanding=True)
_DOCUMENTS = select(documents).where(documents.c.id.in_(_IDS)).order_by(*_ORDER)
_POSITIONS = select(search_entries.c.moment, search_entries.c.document_id).where(search_entries.c.document_id.in_(_IDS))


def fold_page(
    fold: bool, index_query: IndexQuery, span: Span, positions: Sequence[IndexPosition], complete: Span
) -> Mapping[IndexPosition, int]:
    """The positions that are shown, in order, with the number of their copies. They are all matches within `complete`."""
    return fold_copies(index_query, span, positions, complete, positions) if fold else dict.fromkeys(positions, 0)


def iterate_stored(
    engine: Engine, backend: Backend, query: Query, since: str | datetime | None, *, fold: bool = False
) -> Iterator[StoredHit]:
    """Every match, from the first one stored after `since` on (a cursor or a time). Raises CursorError, ServiceError."""
    if since is None:
        return _iterate_pages(engine, backend, query, None, fold)
    if isinstance(since, datetime):
        return _iterate_pages(engine, backend, query, (since, ""), fold)
    place = _decode_position(since)
    with reading(engine) as conn:
        check_position(conn, place[0])
    return _iterate_pages(engine, backend, query, place, fold)


def end_cursor(engine: Engine) -> str:
    """The cursor behind everything that is stored now."""
    with reading(engine) as conn:
        return encode_cursor("stored", (find_horizon(conn) + STAMP_RESOLUTION).isoformat(), "")


def _decode_position(cursor: str) -> tuple[datetime, str]:
    at, document = decode_cursor("stored", cursor, str, str)
    return parse_time(at, cursor), str(document)


def _iterate_pages(engine: Engine, backend: Backend, query: Query, last: tuple[datetime, str] | None, fold: bool) -> Iterator[StoredHit]:
    with reading(engine) as conn:
        horizon = documents.c.stored_at <= find_horizon(conn)
    while not query.matches_nothing:
        after = [] if last is None else [tuple_(*_ORDER) > tuple_(*last)]
        with read_connection(engine) as conn:
            page = conn.execute(select(*_ORDER).where(horizon, *after).order_by(*_ORDER).limit(PAGE_DOCUMENTS)).all()
            rows = _load_matching(conn, backend, query, [row.id for row in page], fold)
        places = {row.id: row.stored_at for row in page}
        # A document that changed since its page was read has moved behind the horizon. Its cursor would omit what was stored before it.
        for row in (row for row in rows if row["stored_at"] == places[row["id"]]):
            yield StoredHit(from_row(row), row["stored_at"], encode_cursor("stored", row["stored_at"].isoformat(), row["id"]))
        if len(page) < PAGE_DOCUMENTS:
            return
        last = (page[-1].stored_at, page[-1].id)


def _load_matching(conn: Connection, backend: Backend, query: Query, ids: Sequence[str], fold: bool) -> Sequence[Any]:
    ids = filter_ids(conn, backend, query, ids, fold)
    return conn.execute(_DOCUMENTS, {"b_ids": ids}).mappings().all() if ids else []


def filter_ids(conn: Connection, backend: Backend, query: Query, ids: Sequence[str], fold: bool = False) -> list[str]:
    """Those that match. With `fold`, also those that are not indexed yet, if the query has no conditions."""
    if query.matches_nothing or not ids:
        return []
    has_conditions = query.node is not None or query.since is not None or query.until is not None
    if not has_conditions and not fold:
        return list(ids)
    span, index_query = span_of_query(query), prepare_query(conn, backend, query.node)
    indexed = [(row.moment, row.document_id) for row in conn.execute(_POSITIONS, {"b_ids": ids})]
    found = index_query.filter([position for position in indexed if span.lower <= position < span.upper])
    kept = {document for _, document in fold_page(fold, index_query, span, sorted(found), Span(MAX_POSITION))}
    if not has_conditions:
        kept |= set(ids) - {document for _, document in indexed}
    return [document for document in ids if document in kept]
