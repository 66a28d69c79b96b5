"""Documents in the order they were stored or changed: what programs page through, streams follow and web hooks are told.

A place in that order is (stored_at, id). A document that changes moves to the end, so a program that follows sees its newest state.
A place is taken from a document or from `Changes.end`, never from a clock: `keep.order` says why nothing is stored behind it then.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Self

from pydantic import TypeAdapter, computed_field
from sqlalchemy import ColumnElement, Engine, RowMapping, select, tuple_

from newsmill.model import Document, is_doubtful
from newsmill.search.cursor import seal, time_of, unseal
from newsmill.storage import stored_order
from newsmill.storage.database import reading
from newsmill.storage.documents import _COLUMNS, _FIELDS
from newsmill.storage.schema import documents


@dataclass(frozen=True, slots=True)
class Place:
    """A place in the order. What comes after it is what a program has not seen."""

    stored_at: datetime
    id: str = ""

    @property
    def cursor(self) -> str:
        """As one opaque word, the same as that of `Search.iterate`."""
        return seal("stored", self.stored_at.isoformat(), self.id)

    @classmethod
    def of(cls, cursor: str) -> Self:
        """The place a cursor stands for. Raises CursorError."""
        at, last = unseal("stored", cursor, str, str)
        return cls(time_of(at, cursor), str(last))


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredDocument(Document):
    """A document, and when its content was stored or changed last."""

    stored_at: datetime

    @computed_field  # type: ignore[prop-decorator]  # https://docs.pydantic.dev/latest/api/fields/#pydantic.fields.computed_field
    @property
    def doubtful(self) -> bool:
        """Whether the confidence is below the bound: look at the text before you rely on it."""
        return is_doubtful(self.confidence)

    @property
    def place(self) -> Place:
        return Place(self.stored_at, self.id)

    @property
    def cursor(self) -> str:
        return self.place.cursor


_STORED = TypeAdapter(StoredDocument)
_ORDER = (documents.c.stored_at, documents.c.id)


class Changes:
    """Reads only. Every call may raise ServiceError."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def after(self, place: Place | None, *, limit: int, source: str | None = None) -> list[StoredDocument]:
        """What was stored after `place` (None: from the first on), oldest first. What an unfinished commit may still get in front of comes
        with the next call, so that nothing is missed."""
        with reading(self._engine) as conn:
            wanted = [documents.c.stored_at <= stored_order.horizon(conn)]
        if place is not None:
            wanted.append(tuple_(*_ORDER) > (place.stored_at, place.id))
        return self._read(wanted, source, _ORDER, limit)

    def end(self) -> Place:
        """The place from which on `after` gives what is stored from now on, and all that an unfinished commit stores."""
        with reading(self._engine) as conn:
            return Place(stored_order.horizon(conn) + stored_order.TICK)

    def before(self, place: Place | None, *, limit: int, source: str | None = None, since: datetime | None = None) -> list[StoredDocument]:
        """What was stored before `place` (None: from the last on), newest first; not earlier than `since`."""
        wanted = [] if place is None else [tuple_(*_ORDER) < (place.stored_at, place.id)]
        if since is not None:
            wanted.append(documents.c.stored_at >= since)
        return self._read(wanted, source, tuple(column.desc() for column in _ORDER), limit)

    def one(self, document_id: str) -> StoredDocument | None:
        """By id."""
        found = self._read([documents.c.id == document_id], None, _ORDER, 1)
        return found[0] if found else None

    def several(self, ids: Sequence[str]) -> list[StoredDocument]:
        """By ids, in the order they were stored; those there are."""
        return self._read([documents.c.id.in_(ids)], None, _ORDER, len(ids))

    def _read(self, wanted: list[Any], source: str | None, columns: tuple[ColumnElement[Any], ...], limit: int) -> list[StoredDocument]:
        if source is not None:
            wanted = [*wanted, documents.c.source == source]
        statement = select(*_COLUMNS, documents.c.stored_at).where(*wanted).order_by(*columns).limit(limit)
        with reading(self._engine) as conn:
            return [_from_row(row) for row in conn.execute(statement).mappings()]


def _from_row(row: RowMapping) -> StoredDocument:
    return _STORED.validate_python({name: row[name] for name in (*_FIELDS, "stored_at")})
