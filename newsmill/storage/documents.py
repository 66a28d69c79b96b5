"""Stored documents, by id or URL or in the order they were first seen. The ledger writes them, in the commit that ends their page."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any

from sqlalchemy import (
    Column,
    ColumnElement,
    Connection,
    Engine,
    RowMapping,
    Select,
    bindparam,
    func,
    select,
    tuple_,
)

from newsmill.discovery.source_sites import MAX_SITE_REDIRECTS
from newsmill.exceptions import UrlError
from newsmill.model import DOUBTFUL_CONFIDENCE, Block, Document, Outcome
from newsmill.model.lazy_adapter import make_adapter
from newsmill.storage.columns import Json, make_storable
from newsmill.storage.database import reading
from newsmill.storage.dialects import estimate_rows
from newsmill.storage.schema import documents, ledger
from newsmill.storage.url_parameters import drop_useless_from
from newsmill.text import urls
from newsmill.text.sentences import PACKED

MAX_EXACT_COUNT = 100_000  # documents that Postgres counts in 12 ms
PAGE = 200  # documents per statement: about 1 MB of text. No transaction stays open between two statements

_DOCUMENT = make_adapter(Document)
_BLOCKS = make_adapter(tuple[Block, ...])
FIELD_NAMES = tuple(field.name for field in fields(Document))
_JSON = frozenset(column.name for column in documents.c if isinstance(column.type, Json))
_DUMPED = (_JSON - {"blocks"}) | {"is_free_reason"}  # a sentence is packed
DOCUMENT_COLUMNS = [documents.c[name] for name in FIELD_NAMES]


@dataclass(frozen=True, slots=True)
class ArchivedPage:
    """Where the page of a document is in the archive."""

    url: str
    segment: str
    offset: int
    source: str | None


_OF_PAGE = (
    select(*DOCUMENT_COLUMNS)
    .join(ledger, ledger.c.document_id == documents.c.id)
    .where(ledger.c.id == bindparam("b_id"), documents.c.ledger_id == ledger.c.id)
)
_ROW_OF_KEY = select(ledger.c.document_id, ledger.c.outcome, ledger.c.final_url).where(ledger.c.url_key == bindparam("b_key"))
_PAGES = select(documents.c.url, ledger.c.segment, ledger.c.offset, ledger.c.source).join(ledger, ledger.c.id == documents.c.ledger_id)


def archived(
    conn: Connection, wanted: Sequence[ColumnElement[bool]], order: Sequence[ColumnElement[Any]], limit: int
) -> list[ArchivedPage]:
    """The archived pages of some documents."""
    statement = _PAGES.where(*wanted, ledger.c.segment.is_not(None)).order_by(*order).limit(limit)
    return [ArchivedPage(row.url, row.segment, row.offset, row.source) for row in conn.execute(statement)]


def to_row(document: Document) -> dict[str, Any]:
    """A document's columns, all but `ledger_id`, `site` and `stored_at`."""
    row: dict[str, Any] = {name: getattr(document, name) for name in FIELD_NAMES}
    row.update(_DOCUMENT.dump_python(document, mode="json", include=set(_DUMPED), context=PACKED))
    row["blocks"] = _BLOCKS.dump_python(document.blocks, mode="json", exclude_defaults=True)  # most fields have their defaults
    return row


def from_row(row: RowMapping) -> Document:
    """The document of a row: that given to `to_row`, without characters that no database stores (NUL, lone surrogates)."""
    return _DOCUMENT.validate_python({name: row[name] for name in FIELD_NAMES})


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
            if (estimate := estimate_rows(conn, documents)) > MAX_EXACT_COUNT:
                return estimate, False
            return conn.execute(select(func.count()).select_from(documents)).scalar_one(), True

    def iterate(self, source: str | None = None, since: datetime | None = None) -> Iterator[Document]:
        """Documents in the order they were first seen (ties by id). Memory does not grow with their number.

        `since`: only documents that were stored or changed at that time or later, in the order they were stored, so that each is read once;
        one that changes meanwhile is left out, or has its earlier state. Documents stored meanwhile may or may not be included.
        """
        last: tuple[datetime, str] | None = None
        order, wanted = documents.c.first_seen_at, _wanted(source, since)
        if since is not None:
            order = documents.c.stored_at
            with reading(self._engine) as conn:
                wanted.append(order <= (conn.execute(select(func.max(order))).scalar() or since))
        while True:
            statement = _page(wanted, order, last)
            with reading(self._engine) as conn:
                rows = conn.execute(statement).mappings().all()
            for row in rows:
                yield from_row(row)
            if len(rows) < PAGE:
                return
            last = (rows[-1][order.name], rows[-1]["id"])

    def newest_pages(self, source: str, limit: int) -> list[ArchivedPage]:
        """The archived pages of a source's newest documents."""
        with reading(self._engine) as conn:
            return archived(conn, [documents.c.source == source], [documents.c.first_seen_at.desc(), documents.c.id], limit)


def _by_id(conn: Connection, document_id: str) -> Document | None:
    row = conn.execute(select(*DOCUMENT_COLUMNS).where(documents.c.id == document_id)).mappings().one_or_none()
    return None if row is None else from_row(row)


def _wanted(source: str | None, since: datetime | None) -> list[ColumnElement[bool]]:
    wanted = []
    if source is not None:
        wanted.append(documents.c.source == source)
    if since is not None:
        wanted.append(documents.c.stored_at >= since)
    return wanted


def _page(wanted: list[ColumnElement[bool]], order: Column[Any], last: tuple[datetime, str] | None) -> Select[Any]:
    after = [] if last is None else [tuple_(order, documents.c.id) > tuple_(*last)]
    return select(*DOCUMENT_COLUMNS, documents.c.stored_at).where(*wanted, *after).order_by(order, documents.c.id).limit(PAGE)
