"""Backfills: which days of a source's archive are wanted, what was found of them, and what is left to fetch.

The work itself is rows of the ledger with the lowest rank, so it survives every crash and waits behind what is new. A listing is read once
in a backfill: one that ended before the backfill began is due again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from sqlalchemy import Connection, Engine, bindparam, func, literal_column, select, update

from newsmill import urls
from newsmill.model import Kind, Link, Outcome
from newsmill.storage.database import reading, writing
from newsmill.storage.ledger import links as ledger_links
from newsmill.storage.ledger.links import END_STATES, ENDED_COLUMNS, FROM_BACKFILL, RANK_BACKFILL, batches
from newsmill.storage.ledger.records import Added
from newsmill.storage.schema import backfills, ledger
from newsmill.storage.statements import Upsert, state_is

_NAME: Any = bindparam("b_name")
_ONE = select(backfills).where(backfills.c.source == _NAME)
_START = Upsert(
    backfills,
    ("source",),
    lambda new: {name: new[name] for name in ("first_day", "last_day", "started_at", "ended_at", "listings", "pages")},
)
_END = update(backfills).where(backfills.c.source == _NAME, backfills.c.ended_at.is_(None)).values(ended_at=bindparam("b_now"))
_COUNT = (
    update(backfills)
    .where(backfills.c.source == _NAME)
    .values(listings=backfills.c.listings + bindparam("b_listings"), pages=backfills.c.pages + bindparam("b_pages"))
)
# The condition of ix_ledger_backfill, word for word: SQLite uses a partial index only then.
_PENDING = (
    select(ledger.c.kind, func.count().label("n"))
    .where(ledger.c.source == _NAME, state_is("due"), ledger.c.found_by == literal_column(f"'{FROM_BACKFILL}'"))
    .group_by(ledger.c.kind)
)
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

    def start(self, source: str, first_day: date, last_day: date, *, now: datetime) -> Backfill:
        """Begin a backfill, or go on with one for the same days that has not ended."""
        with writing(self._engine) as conn:
            row = conn.execute(_ONE.with_for_update(), {"b_name": source}).mappings().one_or_none()
            if row is not None and (row["first_day"], row["last_day"]) == (first_day, last_day) and row["ended_at"] is None:
                return Backfill(**row)
            values = {"source": source, "first_day": first_day, "last_day": last_day, "started_at": now}
            _START.run(conn, [{**values, "ended_at": None, "listings": 0, "pages": 0}])
        return Backfill(source, first_day, last_day, now)

    def end(self, source: str, *, now: datetime) -> None:
        """Mark the backfill of a source as done."""
        with writing(self._engine) as conn:
            conn.execute(_END, {"b_name": source, "b_now": now})

    def add(self, backfill: Backfill, links: Sequence[Link], *, now: datetime) -> Added:
        """Add what the backfill found (`found_by` is FROM_BACKFILL). Known pages stay as they are; known listings are read once more."""
        with writing(self._engine) as conn:
            listings = [link for link in links if link.kind is not Kind.PAGE]
            requeued = _requeue_listings(conn, listings, backfill.started_at, now)
            added_listings = ledger_links.add(conn, listings, now, False)
            added = ledger_links.add(conn, [link for link in links if link.kind is Kind.PAGE], now, False)
            values = {"b_name": backfill.source, "b_listings": added_listings.new + requeued, "b_pages": added.new}
            if any((added_listings.new, requeued, added.new)):
                conn.execute(_COUNT, values)
        return added

    def count_pending(self, source: str) -> PendingBackfill:
        """What is left of the backfill of a source; reads as many index entries as that."""
        with reading(self._engine) as conn:
            counts = {row.kind: int(row.n) for row in conn.execute(_PENDING, {"b_name": source})}
        pages = counts.pop(Kind.PAGE.value, 0)
        return PendingBackfill(sum(counts.values()), pages)


def _requeue_listings(conn: Connection, links: Sequence[Link], started_at: datetime, now: datetime) -> int:
    """Make the known listings due that ended before the backfill began. Their rank becomes that of a backfill."""
    keys = sorted({urls.make_key(link.url) for link in links})
    count = 0
    for batch in batches(keys):
        rows = conn.execute(_READ_BEFORE, {"keys": batch, "b_at": started_at}).all()
        ended = [row for row in rows if row.state in END_STATES and row.outcome not in (Outcome.BAD_URL, Outcome.DENIED)]
        count += ledger_links.requeue(conn, ended, now)
        if ended:
            conn.execute(_TAKE_OVER, [{"b_id": row.id} for row in ended])
    return count
