"""Backfills: which days of a source's archive are wanted, what was found of them, and what is left to fetch.

The work itself is rows of the ledger with the lowest rank, so it survives every crash and waits behind what is new. A listing is read once
in a backfill: one that ended before the backfill began is due again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass
from datetime import date, datetime
from typing import Any

from sqlalchemy import Connection, Engine, and_, bindparam, delete, exists, func, literal_column, or_, select, update

from newsmill.model import Kind, Link, Outcome
from newsmill.storage.counter_updates import uncount
from newsmill.storage.database import reading, writing
from newsmill.storage.dialects import Upsert
from newsmill.storage.ledger import ended_rows
from newsmill.storage.ledger import links as ledger_links
from newsmill.storage.ledger.ended_rows import BATCH_SIZE, END_STATES, ENDED_COLUMNS, batches
from newsmill.storage.ledger.links import Added
from newsmill.storage.ledger.priority import FROM_BACKFILL, RANK_BACKFILL
from newsmill.storage.schema import backfills, documents, ledger
from newsmill.storage.statements import IN_FLIGHT, IS_LISTING, AnyRow, state_is
from newsmill.text import urls

_NAME: Any = bindparam("b_name")
_ONE = select(backfills).where(backfills.c.source == _NAME)
_ALL = select(backfills).order_by(backfills.c.source)
_START = Upsert(
    backfills,
    ("source",),
    lambda new: {column.name: new[column.name] for column in backfills.c if column.name != "source"},
)
_UNFINISHED = select(backfills.c.source, backfills.c.started_at).where(backfills.c.ended_at.is_(None)).order_by(backfills.c.source)
_OPEN = (
    select(backfills.c.source)
    .where(
        backfills.c.source == _NAME,
        backfills.c.started_at == bindparam("b_started", type_=backfills.c.started_at.type),
        backfills.c.ended_at.is_(None),
    )
    .with_for_update()
)
_END = (
    update(backfills)
    .where(
        backfills.c.source == _NAME,
        backfills.c.started_at == bindparam("b_started", type_=backfills.c.started_at.type),
        backfills.c.ended_at.is_(None),
    )
    .values(ended_at=bindparam("b_now", type_=backfills.c.ended_at.type))
)
_STOP = _END.values(left_listings=0, left_pages=0)
_COUNT_LEFT = (
    update(backfills)
    .where(backfills.c.source == _NAME, backfills.c.left_pages.is_not(None))
    .values(left_listings=backfills.c.left_listings + bindparam("b_listings"), left_pages=backfills.c.left_pages + bindparam("b_pages"))
)
_COUNT = (
    update(backfills)
    .where(backfills.c.source == _NAME)
    .values(listings=backfills.c.listings + bindparam("b_listings"), pages=backfills.c.pages + bindparam("b_pages"))
)
_IS_FOUND = ledger.c.found_by == literal_column(f"'{FROM_BACKFILL}'")
# The condition of ix_ledger_backfill, word for word: SQLite uses a partial index only then.
_IS_PENDING = and_(ledger.c.source == _NAME, state_is("due"), _IS_FOUND)
_PENDING = (
    select(ledger.c.source, ledger.c.kind, func.count().label("n"))
    .where(ledger.c.source.in_(bindparam("b_names", expanding=True)), state_is("due"), _IS_FOUND)
    .group_by(ledger.c.source, ledger.c.kind)
)
# What keeps a backfill open: its own rows, and sitemaps and sections that have not ended since it began. A listing adds what it shows
# before it ends, so there is always one of them while more may come.
_FOUND_DUE = select(ledger.c.id).where(_IS_PENDING).limit(1)
_FOUND_IN_FLIGHT = select(ledger.c.source).where(IN_FLIGHT, state_is("fetching"), _IS_FOUND).distinct()
_UNREAD = (
    select(ledger.c.id)
    .where(
        ledger.c.source == _NAME,
        IS_LISTING,
        ledger.c.kind.in_([Kind.SITEMAP.value, Kind.SECTION.value]),
        state_is("due", "fetching"),
        or_(ledger.c.ended_at.is_(None), ledger.c.ended_at < bindparam("b_started", type_=ledger.c.ended_at.type)),
    )
    .limit(1)
)
# A row with a smaller rank is wanted by a listing or a person as well, and one with a document is fetched again.
_STOPPABLE = (
    select(ledger.c.id, ledger.c.source, ledger.c.kind, ledger.c.first_seen_at, ledger.c.ended_at, ledger.c.outcome)
    .where(
        _IS_PENDING,
        ledger.c.rank == RANK_BACKFILL,
        ledger.c.outcome.is_(None),
        ~exists().where(documents.c.ledger_id == ledger.c.id).correlate(ledger),
    )
    .limit(BATCH_SIZE)
    .with_for_update(skip_locked=True)  # a crawler leases the others at this moment
)
_DELETE = delete(ledger).where(ledger.c.id.in_(bindparam("b_ids", expanding=True)))
_READ_BEFORE = (
    select(*ENDED_COLUMNS)
    .where(
        ledger.c.url_key.in_(bindparam("keys", expanding=True)),
        ledger.c.kind != Kind.PAGE.value,
        ledger.c.found_by.in_(("sitemap", "section", FROM_BACKFILL)),  # what is polled by a schedule stays as it is
        ledger.c.ended_at < bindparam("b_at", type_=ledger.c.ended_at.type),
    )
    .order_by(ledger.c.id)
    .with_for_update()
)
_TAKE_OVER = (
    update(ledger).where(ledger.c.id == bindparam("b_id")).values(found_by=FROM_BACKFILL, rank=RANK_BACKFILL, etag=None, last_modified=None)
)


@dataclass(frozen=True, slots=True)
class Backfill:
    """The backfill of a source: the wanted days, both included, and what it has found."""

    source: str
    first_day: date
    last_day: date
    started_at: datetime
    ended_at: datetime | None = None
    listings: int = 0
    pages: int = 0
    left_listings: int | None = None  # of them, not read when it was stopped; None: it was not stopped
    left_pages: int | None = None

    @property
    def is_stopped(self) -> bool:
        """Whether a person has stopped it before everything was fetched."""
        return self.left_pages is not None


@dataclass(frozen=True, slots=True)
class PendingBackfill:
    """What a backfill has found and not fetched yet."""

    listings: int
    pages: int

    @property
    def total(self) -> int:
        return self.listings + self.pages


class Backfills:
    """Every call may raise ServiceError."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def get(self, source: str) -> Backfill | None:
        """The last backfill of a source."""
        with reading(self._engine) as conn:
            row = conn.execute(_ONE, {"b_name": source}).mappings().one_or_none()
        return None if row is None else Backfill(**row)

    def list_all(self) -> list[Backfill]:
        """The last backfill of each source, by source."""
        with reading(self._engine) as conn:
            return [Backfill(**row) for row in conn.execute(_ALL).mappings()]

    def start(
        self, source: str, first_day: date, last_day: date, *, archives: Sequence[Link] = (), polled: Sequence[Link] = (), now: datetime
    ) -> Backfill:
        """Begin a backfill, or go on with one for the same days that has not ended.

        `archives` are listings to try, and `polled` known ones to read again. They become due in the commit of the start, because a
        backfill without open listings is ended.
        """
        with writing(self._engine) as conn:
            row = conn.execute(_ONE.with_for_update(), {"b_name": source}).mappings().one_or_none()
            if row is not None and (row["first_day"], row["last_day"]) == (first_day, last_day) and row["ended_at"] is None:
                backfill = Backfill(**row)
            else:
                backfill = Backfill(source, first_day, last_day, now)
                _START.run(conn, [asdict(backfill)])
                _add(conn, backfill, archives, now)
            ledger_links.add(conn, polled, now, True)
        return backfill

    def end_finished(self, *, now: datetime) -> list[str]:
        """Mark the backfills as done of which nothing is left to fetch. Returns their sources."""
        with reading(self._engine) as conn:
            rows = conn.execute(_UNFINISHED).all()
            finished = _find_finished(conn, rows)
        if not finished:  # nearly always: no write lock is needed
            return []
        with writing(self._engine) as conn:
            return [
                row.source
                for row in finished
                if conn.execute(_END, {"b_name": row.source, "b_started": row.started_at, "b_now": now}).rowcount
            ]

    def stop(self, source: str, *, now: datetime) -> Backfill | None:
        """End the backfill of a source, and forget what it has found and not fetched. Returns it; None: none is in progress.

        What is being fetched ends as usual. A later backfill finds the rest again. A stop that was interrupted is completed.
        """
        with writing(self._engine) as conn:
            row = conn.execute(_ONE.with_for_update(), {"b_name": source}).mappings().one_or_none()
            if row is None or (row["ended_at"] is not None and row["left_pages"] is None):
                return None
            conn.execute(_STOP, {"b_name": source, "b_started": row["started_at"], "b_now": now})
        while True:
            with writing(self._engine) as conn:
                rows = conn.execute(_STOPPABLE, {"b_name": source}).all()
                if not rows:
                    break
                conn.execute(_DELETE, {"b_ids": [row.id for row in rows]})
                uncount(conn, rows)
                pages = sum(row.kind == Kind.PAGE for row in rows)
                conn.execute(_COUNT_LEFT, {"b_name": source, "b_listings": len(rows) - pages, "b_pages": pages})
        return self.get(source)

    def add(self, backfill: Backfill, links: Sequence[Link], *, now: datetime) -> Added:
        """Add what the backfill found (`found_by` is FROM_BACKFILL). Known pages stay as they are; known listings are read once more.

        Nothing is added to a backfill that was stopped, or replaced by another.
        """
        with writing(self._engine) as conn:
            if conn.execute(_OPEN, {"b_name": backfill.source, "b_started": backfill.started_at}).first() is None:
                return Added()
            return _add(conn, backfill, links, now)

    def count_pending(self, names: Collection[str]) -> dict[str, PendingBackfill]:
        """What is left of the backfills of sources, by source; reads as many index entries as that."""
        with reading(self._engine) as conn:
            rows = conn.execute(_PENDING, {"b_names": list(names)}).all() if names else []
        counts: dict[str, Counter[bool]] = {name: Counter() for name in names}
        for row in rows:
            counts[row.source][row.kind == Kind.PAGE] += row.n
        return {name: PendingBackfill(count[False], count[True]) for name, count in counts.items()}


def _find_finished(conn: Connection, rows: Sequence[AnyRow]) -> list[AnyRow]:
    """The backfills with nothing left to fetch or to find. A row that is leased meanwhile is seen as due or in flight."""
    rows = [row for row in rows if conn.execute(_FOUND_DUE, {"b_name": row.source}).first() is None]
    in_flight = set(conn.execute(_FOUND_IN_FLIGHT).scalars()) if rows else set()  # reads the work in progress of all sources
    rows = [row for row in rows if row.source not in in_flight]
    return [row for row in rows if conn.execute(_UNREAD, {"b_name": row.source, "b_started": row.started_at}).first() is None]


def _add(conn: Connection, backfill: Backfill, links: Sequence[Link], now: datetime) -> Added:
    listings = [link for link in links if link.kind is not Kind.PAGE]
    requeued = _requeue_listings(conn, listings, backfill.started_at, now)
    added_listings = ledger_links.add(conn, listings, now, False)
    added = ledger_links.add(conn, [link for link in links if link.kind is Kind.PAGE], now, False)
    values = {"b_name": backfill.source, "b_listings": added_listings.new + requeued, "b_pages": added.new}
    if any((added_listings.new, requeued, added.new)):
        conn.execute(_COUNT, values)
    return added


def _requeue_listings(conn: Connection, links: Sequence[Link], started_at: datetime, now: datetime) -> int:
    """Make the known listings due that ended before the backfill began. Their rank becomes that of a backfill."""
    keys = sorted({urls.make_key(link.url) for link in links})
    count = 0
    for batch in batches(keys):
        rows = conn.execute(_READ_BEFORE, {"keys": batch, "b_at": started_at}).all()
        ended = [row for row in rows if row.state in END_STATES and row.outcome not in (Outcome.BAD_URL, Outcome.DENIED)]
        count += ended_rows.requeue(conn, ended, now)
        if ended:
            conn.execute(_TAKE_OVER, [{"b_id": row.id} for row in ended])
    return count
