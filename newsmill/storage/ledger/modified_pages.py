"""A `lastmod` of one article in a sitemap that moves past its last fetch starts a revisit.

Sitemaps may lie: a program may write any date for any page. So each `lastmod` counts once, and a source has a budget: a few revisits are
given, one that brings a change earns two more, and one that brings none is used up. What is older than BUDGET_AGE is forgotten.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Engine, Select, bindparam, func, select, update

from newsmill.storage.database import reading, writing
from newsmill.storage.dialects import Upsert
from newsmill.storage.ledger.ended_rows import batches
from newsmill.storage.schema import documents, ledger, sightings
from newsmill.storage.statements import NOW, AnyRow, state_is
from newsmill.text.urls import make_key

FREE_REVISITS = 3  # of a source, before its sitemaps have been right once
EARNED_REVISITS = 2  # by a change that was announced
MAX_NEW_REVISITS = 20  # of a source, by one reading of a sitemap
BUDGET_AGE = timedelta(days=7)
WRONG_WAIT = timedelta(days=1)  # from a `lastmod` that brought no change to the next one of its page that counts

_ANNOUNCED_AT = select(func.max(sightings.c.modified_at)).where(sightings.c.page_id == ledger.c.id).scalar_subquery()
_STORED: Select[Any] = (
    select(ledger.c.id, ledger.c.url_key, ledger.c.source, ledger.c.fetched_at, documents.c.stored_at, _ANNOUNCED_AT.label("announced_at"))
    .join(documents, documents.c.id == ledger.c.document_id)
    .where(
        ledger.c.url_key.in_(bindparam("b_keys", expanding=True)),
        state_is("done"),
        ledger.c.source.is_not(None),
        ledger.c.fetched_at.is_not(None),
    )
    .order_by(ledger.c.id)
)
_LOCKED = _STORED.with_for_update(of=ledger)
_ANNOUNCED = (
    select(sightings.c.modified_at, documents.c.stored_at)
    .join(ledger, ledger.c.id == sightings.c.page_id)
    .outerjoin(documents, documents.c.id == ledger.c.document_id)
    .where(
        sightings.c.modified_at > bindparam("b_since", type_=sightings.c.modified_at.type),
        sightings.c.modified_at.is_not(None),
        ledger.c.source == bindparam("b_source"),
    )
)
_PLAN = update(ledger).where(ledger.c.id == bindparam("b_id"), state_is("done")).values(revisit_at=NOW)
_NOTE = Upsert(sightings, ("page_id", "listing_id"), lambda new: {"modified_at": new.modified_at})


def select_stale(conn: Connection, pages: Mapping[str, datetime], *, is_locking: bool = False) -> list[tuple[AnyRow, datetime]]:
    """The stored articles that changed since their last fetch, with this `lastmod`, which has not started a revisit yet."""
    changed = {make_key(url): at for url, at in pages.items()}
    found: list[tuple[AnyRow, datetime]] = []
    for batch in batches(sorted(changed)):
        for row in conn.execute(_LOCKED if is_locking else _STORED, {"b_keys": batch}):
            at = changed[row.url_key]
            if at > row.fetched_at and (
                row.announced_at is None or row.announced_at <= row.stored_at or at > row.announced_at + WRONG_WAIT
            ):
                found.append((row, at))
    return found


def plan(conn: Connection, pages: Mapping[str, datetime], now: datetime, listing_id: int) -> int:
    """Plan the revisits that the budget of each source allows, the newest changes first. Returns their number."""
    stale = sorted(select_stale(conn, pages, is_locking=True), key=lambda one: one[1], reverse=True)
    left = {source: count_revisits_left(conn, source, now) for source in {row.source for row, _ in stale}}
    planned: list[tuple[int, datetime]] = []
    for row, at in stale:
        if left[row.source] > 0:
            left[row.source] -= 1
            planned.append((row.id, at))
    if planned:
        planned.sort()
        conn.execute(_PLAN, [{"b_id": number, "b_now": now} for number, _ in planned])
        rows = [{"page_id": number, "listing_id": listing_id, "modified_at": at} for number, at in planned]
        _NOTE.run(conn, [row | {"sighted_at": now, "is_late": True} for row in rows])
    return len(planned)


def count_revisits_left(conn: Connection, source: str, now: datetime) -> int:
    """How many revisits the sitemaps of a source may start now."""
    announced = conn.execute(_ANNOUNCED, {"b_since": now - BUDGET_AGE, "b_source": source}).all()
    right: int = sum(row.stored_at is not None and row.stored_at >= row.modified_at for row in announced)
    return min(FREE_REVISITS + EARNED_REVISITS * right - (len(announced) - right), MAX_NEW_REVISITS)


class ModifiedPages:
    """Articles that changed by the `lastmod` of a sitemap. Every call may raise ServiceError."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def plan_revisits(self, pages: Mapping[str, datetime], *, now: datetime, listing_id: int) -> int:
        """Plan revisits of stored articles (by URL) that changed by the `lastmod` of a sitemap. Returns their number; mostly only reads."""
        with reading(self._engine) as conn:
            if not select_stale(conn, pages):
                return 0
        with writing(self._engine) as conn:
            return plan(conn, pages, now, listing_id)
