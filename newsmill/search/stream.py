"""Documents in the order they were stored, a page at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from types import ModuleType
from typing import Any

from sqlalchemy import BindParameter, Connection, Engine, bindparam, select, tuple_

from newsmill.search.backend import looking, lookup
from newsmill.search.positions import span_of
from newsmill.search.query import Query
from newsmill.search.records import StoredHit
from newsmill.storage import stored_order
from newsmill.storage.cursor import seal, time_of, unseal
from newsmill.storage.database import reading
from newsmill.storage.documents import from_row
from newsmill.storage.schema import documents, search_entries

PAGE = 200  # documents per look-up, and at most in memory: about 1 MB of text

_ORDER = (documents.c.stored_at, documents.c.id)
_IDS: BindParameter[Any] = bindparam("b_ids", expanding=True)
_WHOLE = select(documents).where(documents.c.id.in_(_IDS)).order_by(*_ORDER)
_PLACES = select(search_entries.c.moment, search_entries.c.document_id).where(search_entries.c.document_id.in_(_IDS))


def stream(engine: Engine, look: ModuleType, asked: Query, since: str | datetime | None) -> Iterator[StoredHit]:
    """`look` is the module that looks things up in this database."""
    if since is None:
        return _pages(engine, look, asked, None)
    return _pages(engine, look, asked, (since, "") if isinstance(since, datetime) else _unseal(since))


def end(engine: Engine) -> str:
    """The cursor behind everything that is stored now."""
    with reading(engine) as conn:
        return seal("stored", (stored_order.horizon(conn) + stored_order.STAMP_RESOLUTION).isoformat(), "")


def _unseal(cursor: str) -> tuple[datetime, str]:
    at, document = unseal("stored", cursor, str, str)
    return time_of(at, cursor), str(document)


def _pages(engine: Engine, look: ModuleType, asked: Query, last: tuple[datetime, str] | None) -> Iterator[StoredHit]:
    with reading(engine) as conn:
        bound = documents.c.stored_at <= stored_order.horizon(conn)
    while not asked.nothing:
        after = [] if last is None else [tuple_(*_ORDER) > tuple_(*last)]
        with looking(engine) as conn:
            page = conn.execute(select(*_ORDER).where(bound, *after).order_by(*_ORDER).limit(PAGE)).all()
            rows = _matching(conn, look, asked, [row.id for row in page])
        for row in rows:
            yield StoredHit(from_row(row), row["stored_at"], seal("stored", row["stored_at"].isoformat(), row["id"]))
        if len(page) < PAGE:
            return
        last = (page[-1].stored_at, page[-1].id)


def _matching(conn: Connection, look: ModuleType, asked: Query, ids: Sequence[str]) -> Sequence[Any]:
    if asked.node is not None or asked.since is not None or asked.until is not None:
        span = span_of(asked)
        places = [(row.moment, row.document_id) for row in conn.execute(_PLACES, {"b_ids": ids})] if ids else []
        places = [place for place in places if span.lower <= place < span.upper]
        ids = [place[1] for place in (places if asked.node is None else lookup(conn, look, asked.node).among(places))]
    return conn.execute(_WHOLE, {"b_ids": ids}).mappings().all() if ids else []
