"""Stored documents: by id or URL, in the order they were first seen, and in the order they were stored, changed or removed.

The ledger writes them, in the commit that ends their page. Their stamp gives the order of storing; a cursor is a position in it.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, fields
from datetime import UTC, datetime, timedelta
from typing import Any, Self

from pydantic import TypeAdapter, computed_field
from sqlalchemy import (
    ColumnElement,
    Connection,
    Engine,
    RowMapping,
    Select,
    bindparam,
    delete,
    exists,
    func,
    or_,
    select,
    text,
    tuple_,
    union_all,
)

from newsmill.discovery.source_sites import MAX_SITE_REDIRECTS
from newsmill.exceptions import CursorError, UrlError
from newsmill.model import DOUBTFUL_CONFIDENCE, Block, Document, Outcome, is_doubtful
from newsmill.storage.columns import Json, make_storable
from newsmill.storage.database import reading
from newsmill.storage.schema import documents, ledger, removed_documents
from newsmill.storage.statements import Upsert
from newsmill.storage.url_parameters import drop_useless_from
from newsmill.text import urls

MAX_EXACT_COUNT = 100_000  # documents that Postgres counts in 12 ms
PAGE = 200  # documents per statement: about 1 MB of text. No transaction stays open between two statements

_DOCUMENT = TypeAdapter(Document)
_BLOCKS = TypeAdapter(tuple[Block, ...])
_FIELDS = tuple(field.name for field in fields(Document))
_JSON = frozenset(column.name for column in documents.c if isinstance(column.type, Json))
_COLUMNS = [documents.c[name] for name in _FIELDS]


@dataclass(frozen=True, slots=True)
class ArchivedPage:
    """Where the page of a document is in the archive."""

    url: str
    segment: str
    offset: int
    source: str | None


_OF_PAGE = (
    select(*_COLUMNS)
    .join(ledger, ledger.c.document_id == documents.c.id)
    .where(ledger.c.id == bindparam("b_id"), documents.c.ledger_id == ledger.c.id)
)
_ROW_OF_KEY = select(ledger.c.document_id, ledger.c.outcome, ledger.c.final_url).where(ledger.c.url_key == bindparam("b_key"))
_ESTIMATE = text("SELECT reltuples FROM pg_class WHERE oid = CAST('documents' AS regclass)")
_PAGES = select(documents.c.url, ledger.c.segment, ledger.c.offset, ledger.c.source).join(ledger, ledger.c.id == documents.c.ledger_id)


def archived(
    conn: Connection, wanted: Sequence[ColumnElement[bool]], order: Sequence[ColumnElement[Any]], limit: int
) -> list[ArchivedPage]:
    """The archived pages of some documents."""
    statement = _PAGES.where(*wanted, ledger.c.segment.is_not(None)).order_by(*order).limit(limit)
    return [ArchivedPage(row.url, row.segment, row.offset, row.source) for row in conn.execute(statement)]


def to_row(document: Document) -> dict[str, Any]:
    """A document's columns, all but `ledger_id`, `site` and `stored_at`."""
    row: dict[str, Any] = {name: getattr(document, name) for name in _FIELDS}
    row.update(_DOCUMENT.dump_python(document, mode="json", include=set(_JSON - {"blocks"})))
    row["blocks"] = _BLOCKS.dump_python(document.blocks, mode="json", exclude_defaults=True)  # most fields have their defaults
    return row


def from_row(row: RowMapping) -> Document:
    """The document of a row: that given to `to_row`, without characters that no database stores (NUL, lone surrogates)."""
    return _DOCUMENT.validate_python({name: row[name] for name in _FIELDS})


class Documents:
    """Reads only. Every call may raise ServiceError."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def get(self, id_or_url: str) -> Document | None:
        """A document by id, or by any URL that led to it: canonical, final or requested, in any spelling."""
        id_or_url = make_storable(id_or_url)  # for the key of a URL: an argument of a command may have bytes that are not UTF-8
        with reading(self._engine) as conn:
            return _by_id(conn, id_or_url) or self._by_url(conn, id_or_url)

    def find_of_page(self, ledger_id: int) -> Document | None:
        """The document of a row of the ledger; None for a copy of a document that another row has."""
        with reading(self._engine) as conn:
            row = conn.execute(_OF_PAGE, {"b_id": ledger_id}).mappings().one_or_none()
        return None if row is None else from_row(row)

    def find_image(self, document_id: str) -> str | None:
        """The URL of a document's main image; None without one."""
        with reading(self._engine) as conn:
            image: str | None = conn.execute(select(documents.c.image).where(documents.c.id == document_id)).scalar()
        return image

    def _by_url(self, conn: Connection, url: str, redirects: int = MAX_SITE_REDIRECTS) -> Document | None:
        try:
            key = urls.make_key(url)
        except UrlError:
            return None
        # A copy leads to the document of its article, also if a page that named this URL by mistake has its key as its id.
        row = conn.execute(_ROW_OF_KEY, {"b_key": key}).one_or_none()
        if row is not None and row.outcome == Outcome.REDIRECTED and row.final_url is not None and redirects > 0:
            return self._by_url(conn, row.final_url, redirects - 1)
        document_id = None if row is None else row.document_id
        found = _by_id(conn, document_id or key)
        if document_id is not None or found is not None:
            return found
        plain = drop_useless_from(conn, url)
        return None if plain == url else self._by_url(conn, plain)

    def count(self, source: str | None = None, since: datetime | None = None) -> int:
        with reading(self._engine) as conn:
            return conn.execute(select(func.count()).select_from(documents).where(*_wanted(source, since))).scalar_one()

    def count_of(self, sources: Collection[str]) -> int:
        """The number of documents of these sources together."""
        with reading(self._engine) as conn:
            return conn.execute(select(func.count()).select_from(documents).where(documents.c.source.in_(sources))).scalar_one()

    def newest_time(self) -> datetime | None:
        """When the newest document was first seen; None without documents."""
        with reading(self._engine) as conn:
            return conn.execute(select(func.max(documents.c.first_seen_at))).scalar()

    def count_doubtful(self) -> int:
        """The number of doubtful documents. Reads an index; the cost grows with that number only."""
        with reading(self._engine) as conn:
            wanted = documents.c.confidence < DOUBTFUL_CONFIDENCE
            return conn.execute(select(func.count()).select_from(documents).where(wanted)).scalar_one()

    def estimate_count(self) -> tuple[int, bool]:
        """(number of documents, whether it is exact).

        Postgres reads a whole index to count, 120 ms of CPU for a million. Above MAX_EXACT_COUNT it is the estimate of the last VACUUM or
        ANALYZE. SQLite counts a million in 5 ms.
        """
        with reading(self._engine) as conn:
            if conn.dialect.name == "postgresql" and (estimate := int(conn.execute(_ESTIMATE).scalar_one())) > MAX_EXACT_COUNT:
                return estimate, False
            return conn.execute(select(func.count()).select_from(documents)).scalar_one(), True

    def iterate(self, source: str | None = None, since: datetime | None = None) -> Iterator[Document]:
        """Documents in the order they were first seen (ties by id). Memory does not grow with their number.

        `since`: only documents that were stored or changed at that time or later. Documents stored meanwhile may or may not be included.
        """
        last: tuple[datetime, str] | None = None
        while True:
            statement = _page(_wanted(source, since), last)
            with reading(self._engine) as conn:
                rows = conn.execute(statement).mappings().all()
            for row in rows:
                yield from_row(row)
            if len(rows) < PAGE:
                return
            last = (rows[-1]["first_seen_at"], rows[-1]["id"])

    def newest_pages(self, source: str, limit: int) -> list[ArchivedPage]:
        """The archived pages of a source's newest documents."""
        with reading(self._engine) as conn:
            return archived(conn, [documents.c.source == source], [documents.c.first_seen_at.desc(), documents.c.id], limit)


def _by_id(conn: Connection, document_id: str) -> Document | None:
    row = conn.execute(select(*_COLUMNS).where(documents.c.id == document_id)).mappings().one_or_none()
    return None if row is None else from_row(row)


def _wanted(source: str | None, since: datetime | None) -> list[ColumnElement[bool]]:
    wanted = []
    if source is not None:
        wanted.append(documents.c.source == source)
    if since is not None:
        wanted.append(documents.c.stored_at >= since)
    return wanted


def _page(wanted: list[ColumnElement[bool]], last: tuple[datetime, str] | None) -> Select[Any]:
    order = (documents.c.first_seen_at, documents.c.id)
    after = [] if last is None else [tuple_(*order) > tuple_(*last)]
    return select(*_COLUMNS).where(*wanted, *after).order_by(*order).limit(PAGE)


# ---- the order of storing (`stored_at`)
#
# A stamp is the time of its transaction, or the largest stamp plus one microsecond if the clock is behind it. A clock that is set back
# therefore stores no document before a cursor.
#
# SQLite has one writer at a time, so a reader that sees a stamp sees all smaller ones. On Postgres transactions overlap, and one with a
# smaller stamp may commit later. Each transaction therefore announces a lower bound before it takes its stamp: a shared advisory lock,
# which lasts until its end and blocks nothing. `find_horizon` reads the largest stamp first and the locks next. A transaction that
# announces after that takes a larger stamp. Locks of a primary are not visible on a standby, so changes must be followed on the primary.

STAMP_RESOLUTION = timedelta(microseconds=1)  # of both databases
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# A stamp in microseconds as an advisory lock of two numbers: "N" and its upper 24 bits, its lower 31 bits. Enough until the year 3111.
_LOCK_CLASS = ord("N") << 24

_STAMPS = union_all(
    select(func.max(documents.c.stored_at).label("stamp")), select(func.max(removed_documents.c.removed_at).label("stamp"))
).subquery()
_LAST_STAMP = select(func.max(_STAMPS.c.stamp))
_ANNOUNCE = text("""SELECT pg_advisory_xact_lock_shared(CAST(:class + (stamp >> 31) AS int), CAST(stamp & 2147483647 AS int))
FROM (SELECT CAST(extract(epoch FROM coalesce(
greatest((SELECT max(stored_at) FROM documents), (SELECT max(removed_at) FROM removed_documents)), 'epoch')) * 1000000 AS bigint) AS stamp)
AS last""")
_ANNOUNCED = text("""SELECT min(((CAST(classid AS bigint) - :class) << 31) | CAST(objid AS bigint)) FROM pg_locks
WHERE locktype = 'advisory' AND objsubid = 2 AND CAST(classid AS bigint) >> 24 = :class >> 24
AND database = (SELECT oid FROM pg_database WHERE datname = current_database())""")


def make_stamp(conn: Connection, now: datetime) -> datetime:
    """The stamp (aware, UTC) for what this transaction stores and removes: `now`, or more if a committed stamp is not smaller."""
    if conn.dialect.name == "postgresql":
        conn.execute(_ANNOUNCE, {"class": _LOCK_CLASS})
    last: datetime | None = conn.execute(_LAST_STAMP).scalar()
    return now if last is None or now > last else last + STAMP_RESOLUTION


def find_horizon(conn: Connection) -> datetime:
    """The largest stamp up to which nothing will be stored any more; the epoch if nothing is stored.

    The connection must be in autocommit. Read documents up to the horizon after it, never before.
    """
    last: datetime = conn.execute(_LAST_STAMP).scalar() or EPOCH
    if conn.dialect.name == "postgresql":
        announced = conn.execute(_ANNOUNCED, {"class": _LOCK_CLASS}).scalar()
        if announced is not None:
            return min(last, EPOCH + timedelta(microseconds=announced))
    return last


# ---- cursors: the position of a reader in the order of storing or in another list
#
# A cursor is an opaque string. It holds no secret; a forged one reads nothing that a query would not find.

_CursorPart = str | int


def encode_cursor(kind: str, *parts: _CursorPart) -> str:
    """A cursor of one kind of list."""
    data = json.dumps([kind, *parts], separators=(",", ":")).encode()
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def decode_cursor(kind: str, cursor: str, *types: type) -> tuple[_CursorPart, ...]:
    """The parts of a cursor of that kind. Raises CursorError for anything `encode_cursor` did not make."""
    try:
        parts = json.loads(base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True))
    except (binascii.Error, ValueError, RecursionError):
        raise _invalid_cursor(cursor) from None
    if not isinstance(parts, list) or parts[:1] != [kind] or [type(part) for part in parts[1:]] != list(types):
        raise _invalid_cursor(cursor)
    if any(isinstance(part, int) and abs(part) >= 1 << 63 for part in parts) or any(
        "\0" in part for part in parts if isinstance(part, str)
    ):
        raise _invalid_cursor(cursor)
    return tuple(parts[1:])


def parse_time(part: _CursorPart, cursor: str) -> datetime:
    """The aware time in a part. Raises CursorError."""
    try:
        at = datetime.fromisoformat(str(part))
        if at.tzinfo is None:
            raise _invalid_cursor(cursor)
        return at.astimezone(UTC)
    except (ValueError, OverflowError):  # not a time, or outside the years 1 to 9999 in UTC
        raise _invalid_cursor(cursor) from None


def _invalid_cursor(cursor: str) -> CursorError:
    return CursorError(f"the cursor {cursor[:80]!r} is not a cursor of this list; start again without it")


def check_position(conn: Connection, stored_at: datetime) -> None:
    """Raises CursorError for a position behind the end: nothing is stored there, so no cursor of this store has it."""
    last: datetime = conn.execute(_LAST_STAMP).scalar() or EPOCH
    if stored_at > last + STAMP_RESOLUTION:
        raise CursorError(
            "the cursor is ahead of this store: it is of another store, or an older backup was restored; start again without it,"
            " and remove what does not come again"
        )


# ---- changes


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


_STORED = TypeAdapter(StoredDocument)
_ORDER = (documents.c.stored_at, documents.c.id)
_REMOVED_ORDER = (removed_documents.c.removed_at, removed_documents.c.id)
_IS_BACK = exists().where(documents.c.id == removed_documents.c.id)
_NOTE_REMOVED = Upsert(removed_documents, ("id",), lambda new: {"removed_at": new.removed_at, "source": new.source})


def remove(conn: Connection, ids: Sequence[str], now: datetime) -> int:
    """Remove documents, and note that for the readers of changes. Returns how many existed."""
    wanted: Any = bindparam("b_ids", expanding=True)
    stamp = make_stamp(conn, now)
    gone = conn.execute(delete(documents).where(documents.c.id.in_(wanted)).returning(documents.c.id, documents.c.source), {"b_ids": ids})
    rows = [{"id": row.id, "source": row.source, "removed_at": stamp} for row in sorted(gone)]
    _NOTE_REMOVED.run(conn, rows)
    return len(rows)


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
        statement = select(*_COLUMNS, documents.c.stored_at).where(*wanted).order_by(*columns).limit(limit)
        with reading(self._engine) as conn:
            return [_from_row(row) for row in conn.execute(statement).mappings()]


def _from_row(row: RowMapping) -> StoredDocument:
    return _STORED.validate_python({name: row[name] for name in (*_FIELDS, "stored_at")})
