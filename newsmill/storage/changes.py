"""Documents in the order in which they were stored, changed or removed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Self

from pydantic import computed_field
from sqlalchemy import ColumnElement, Connection, Engine, RowMapping, bindparam, delete, exists, or_, select, tuple_

from newsmill.model import Document, is_doubtful
from newsmill.model.lazy_adapter import make_adapter
from newsmill.storage.cursors import decode_cursor, encode_cursor, parse_time
from newsmill.storage.database import reading
from newsmill.storage.dialects import Upsert
from newsmill.storage.documents import DOCUMENT_COLUMNS, FIELD_NAMES, PAGE
from newsmill.storage.schema import documents, removed_documents
from newsmill.storage.storing_order import STAMP_RESOLUTION, check_position, find_horizon, make_stamp


@dataclass(frozen=True, slots=True, order=True)
class ChangePosition:
    """A position in the order of storing: (stored_at, id). A document that changes moves to the end.

    Take positions from documents or from `Changes.end`, never from a clock: then nothing is stored before one.
    """

    stored_at: datetime
    id: str = ""

    @property
    def cursor(self) -> str:
        """The position as an opaque word, in the form of `Search.iterate`."""
        return encode_cursor("stored", self.stored_at.isoformat(), self.id)

    @classmethod
    def of(cls, cursor: str) -> Self:
        """The position of a cursor. Raises CursorError."""
        at, last = decode_cursor("stored", cursor, str, str)
        return cls(parse_time(at, cursor), str(last))


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredDocument(Document):
    """A document with the time at which its content was stored or changed."""

    stored_at: datetime

    @computed_field  # type: ignore[prop-decorator]  # https://docs.pydantic.dev/latest/api/fields/#pydantic.fields.computed_field
    @property
    def doubtful(self) -> bool:
        """Whether the confidence is below the bound. Check the text before you rely on it."""
        return is_doubtful(self.confidence)

    @property
    def place(self) -> ChangePosition:
        return ChangePosition(self.stored_at, self.id)

    @property
    def cursor(self) -> str:
        return self.place.cursor


@dataclass(frozen=True, slots=True)
class RemovedDocument:
    """A document that was removed. It may be stored again later; then it comes again as a document."""

    id: str
    source: str | None
    removed_at: datetime

    @property
    def place(self) -> ChangePosition:
        return ChangePosition(self.removed_at, self.id)

    @property
    def cursor(self) -> str:
        return self.place.cursor


_STORED = make_adapter(StoredDocument)
_ORDER = (documents.c.stored_at, documents.c.id)
_REMOVED_ORDER = (removed_documents.c.removed_at, removed_documents.c.id)
_IS_BACK = exists().where(documents.c.id == removed_documents.c.id)
_OF_IDS = documents.c.id.in_(bindparam("b_ids", expanding=True))
_TO_REMOVE = select(documents.c.id, documents.c.source).where(_OF_IDS).order_by(documents.c.id).with_for_update()
_REMOVE = delete(documents).where(_OF_IDS)
_NOTE_REMOVED = Upsert(removed_documents, ("id",), lambda new: {"removed_at": new.removed_at, "source": new.source})


def remove(conn: Connection, ids: Sequence[str], now: datetime) -> int:
    """Remove documents, and note that for the readers of changes. Returns how many existed."""
    stamp = make_stamp(conn, now)
    found = conn.execute(_TO_REMOVE, {"b_ids": ids})
    rows = [{"id": row.id, "source": row.source, "removed_at": stamp} for row in found]
    _NOTE_REMOVED.run(conn, rows)  # first: a trigger takes the stamp from it for the past of the document
    return conn.execute(_REMOVE, {"b_ids": [row["id"] for row in rows]}).rowcount


class Changes:
    """Documents in the order they were stored, changed or removed. Reads only. Every call may raise ServiceError."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def after(self, place: ChangePosition | None, *, limit: int, source: str | None = None) -> list[StoredDocument | RemovedDocument]:
        """Documents stored, changed or removed after `place` (None: from the first on), oldest first. One that an unfinished commit may
        still precede is left for a later call, so that none is missed."""
        with reading(self._engine) as conn:
            horizon = find_horizon(conn)
        wanted: list[Any] = [documents.c.stored_at <= horizon]
        if place is not None:
            wanted.append(tuple_(*_ORDER) > (place.stored_at, place.id))
        stored = self._read(wanted, source, _ORDER, limit)
        found: list[StoredDocument | RemovedDocument] = [*stored, *self.removed_after(place, limit=limit, source=source, until=horizon)]
        return sorted(found, key=lambda one: one.place)[:limit]

    def removed_after(
        self, place: ChangePosition | None, *, limit: int, source: str | None = None, until: datetime | None = None
    ) -> list[RemovedDocument]:
        """Documents removed after `place` (None: from the first on) and not after `until` (None: the horizon), oldest first. Those that
        were stored again are left out."""
        with reading(self._engine) as conn:
            wanted: list[Any] = [removed_documents.c.removed_at <= (until or find_horizon(conn)), ~_IS_BACK]
            if place is not None:
                wanted.append(tuple_(*_REMOVED_ORDER) > (place.stored_at, place.id))
            if source is not None:
                wanted.append(removed_documents.c.source == source)
            rows = conn.execute(select(removed_documents).where(*wanted).order_by(*_REMOVED_ORDER).limit(limit))
            return [RemovedDocument(row.id, row.source, row.removed_at) for row in rows]

    def iterate_removed(self, cursor: str | None) -> Iterator[RemovedDocument]:
        """Every document removed after the cursor (None: from the first on), as `removed_after`. Raises CursorError."""
        place = None if cursor is None else ChangePosition.of(cursor)
        while found := self.removed_after(place, limit=PAGE):
            yield from found
            place = found[-1].place

    def check(self, place: ChangePosition) -> None:
        """Raises CursorError for a position behind the end: it is of another store, or of this one before a backup was restored."""
        with reading(self._engine) as conn:
            check_position(conn, place.stored_at)

    def page_after(self, place: ChangePosition, *, limit: int) -> tuple[list[str], ChangePosition]:
        """The IDs of up to `limit` documents stored after `place`, oldest first, and the position behind them.

        If they are fewer, that position is `end`.
        """
        with reading(self._engine) as conn:
            horizon = find_horizon(conn)
            after = (documents.c.stored_at <= horizon, tuple_(*_ORDER) > (place.stored_at, place.id))
            rows = conn.execute(select(*_ORDER).where(*after).order_by(*_ORDER).limit(limit)).all()
        if len(rows) == limit:
            return [row.id for row in rows], ChangePosition(rows[-1].stored_at, rows[-1].id)
        end = ChangePosition(horizon + STAMP_RESOLUTION)
        return [row.id for row in rows], end if end.stored_at > place.stored_at else place  # documents at the end may have been removed

    def end(self) -> ChangePosition:
        """The position from which `after` returns what is stored from now on, including unfinished commits."""
        with reading(self._engine) as conn:
            return ChangePosition(find_horizon(conn) + STAMP_RESOLUTION)

    def before(
        self, place: ChangePosition | None, *, limit: int, source: str | None = None, since: datetime | None = None
    ) -> list[StoredDocument]:
        """Documents stored before `place` (None: from the last on) and not before `since`, newest first."""
        wanted = [] if place is None else [tuple_(*_ORDER) < (place.stored_at, place.id)]
        if since is not None:
            wanted.append(documents.c.stored_at >= since)
        return self._read(wanted, source, tuple(column.desc() for column in _ORDER), limit)

    def filter_new(self, ids: Sequence[str], *, since: datetime) -> list[str]:
        """Those of the documents that were first seen or fetched at `since` or later, in the same order."""
        with reading(self._engine) as conn:
            is_new = or_(documents.c.first_seen_at >= since, documents.c.fetched_at >= since)
            new = set(conn.execute(select(documents.c.id).where(documents.c.id.in_(ids), is_new)).scalars())
        return [document_id for document_id in ids if document_id in new]

    def get(self, document_id: str) -> StoredDocument | None:
        """A document by id."""
        found = self._read([documents.c.id == document_id], None, _ORDER, 1)
        return found[0] if found else None

    def get_many(self, ids: Sequence[str]) -> list[StoredDocument]:
        """The existing documents with these ids, in the order they were stored."""
        return self._read([documents.c.id.in_(ids)], None, _ORDER, len(ids))

    def _read(self, wanted: list[Any], source: str | None, columns: tuple[ColumnElement[Any], ...], limit: int) -> list[StoredDocument]:
        if source is not None:
            wanted = [*wanted, documents.c.source == source]
        statement = select(*DOCUMENT_COLUMNS, documents.c.stored_at).where(*wanted).order_by(*columns).limit(limit)
        with reading(self._engine) as conn:
            return [_from_row(row) for row in conn.execute(statement).mappings()]


def _from_row(row: RowMapping) -> StoredDocument:
    return _STORED.validate_python({name: row[name] for name in (*FIELD_NAMES, "stored_at")})
