"""Listings that have moved permanently are followed, in the plan of their source too.

The new URL takes the place of the old one in the plan, and the old one is not fetched any more. The alarm `moved_listing` notes the move in
the history of the source. It ends when the new URL was read for some time. A file that still has the old URL does not undo the move.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from dataclasses import replace
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Engine, and_, bindparam, select, update

from newsmill.health.causes import Cause, Evidence, Finding
from newsmill.model import OUTCOMES, Kind, Link, Outcome, OutcomeRecord, Source
from newsmill.storage.alarms import begin_alarms
from newsmill.storage.database import reading, writing
from newsmill.storage.ledger import sources as ledger_sources
from newsmill.storage.ledger.ended_rows import REQUEUED, batches
from newsmill.storage.ledger.links import insert_hosts, insert_rows, make_row
from newsmill.storage.schema import ledger
from newsmill.storage.statements import IS_LISTING
from newsmill.text.urls import get_host, make_key

_PLAN_FIELDS = {Kind.FEED: "feeds", Kind.SITEMAP: "sitemaps", Kind.SECTION: "sections"}

_MOVED = "moved to "  # the beginning of the detail of a listing that has moved
_MOVES = select(ledger.c.source, ledger.c.url_key, ledger.c.detail).where(
    IS_LISTING, ledger.c.source.is_not(None), ledger.c.outcome == Outcome.DENIED.value, ledger.c.detail.startswith(_MOVED)
)
_READ = select(ledger.c.source, ledger.c.url_key).where(
    ledger.c.url_key.in_(bindparam("b_keys", expanding=True)),
    ledger.c.outcome.is_distinct_from(Outcome.DENIED.value),
    ledger.c.failing_since.is_(None),
)
_ROW = select(ledger.c.kind, ledger.c.found_by).where(ledger.c.url_key == bindparam("b_key"), ledger.c.source == bindparam("b_name"))
_IS_LISTING_OF = and_(ledger.c.url_key == bindparam("b_key"), ledger.c.source == bindparam("b_name"))
_SPELL = update(ledger).where(_IS_LISTING_OF).values(url=bindparam("b_url"), host=bindparam("b_host"))
_RETIRE = (
    update(ledger)
    .where(_IS_LISTING_OF)
    .values(
        **REQUEUED
        | {"fence": ledger.c.fence + 1, "outcome": Outcome.DENIED.value, "detail": bindparam("b_detail")}
        | {
            "state": OUTCOMES[Outcome.DENIED].state.value,
            "ended_at": bindparam("b_now", type_=ledger.c.ended_at.type),
            "failing_since": None,
        }
    )
)


def move_listing(conn: Connection, name: str, url: str, new_url: str, failure: OutcomeRecord | None, now: datetime) -> bool:
    """Replace a feed, sitemap or section of a source by its new URL. False: the source has no such listing. Raises UrlError.

    `failure` is what the old URL answers with; None for a permanent redirect. A redirect to another spelling of the URL (https, www, a
    slash at the end) leads to the same listing, which is fetched there from now on.
    """
    source, values = ledger_sources.get_source(conn, name), {"b_name": name, "b_key": make_key(url)}
    row = conn.execute(_ROW, values).one_or_none()
    if source is None or row is None:
        return False
    kind = Kind(row.kind)
    if values["b_key"] == make_key(new_url):
        _change_spelling(conn, source, kind, url, new_url, now)
        return False
    if kind not in _PLAN_FIELDS:
        return False
    changed = _replace_url(source, _PLAN_FIELDS[kind], url, new_url)
    if changed == source:  # discovery found it
        link = make_row(Link(new_url, kind, name, row.found_by, url), now)
        insert_rows(conn, {link["url_key"]: link}, now)
    else:
        ledger_sources.put(conn, changed, now)
    conn.execute(_RETIRE, {**values, "b_detail": f"{_MOVED}{new_url}", "b_now": now})
    begin_alarms(conn, [(name, Finding(Cause.MOVED_LISTING, now, Evidence(failure, url, new_url, 1, 1)))], now)
    return True


def _change_spelling(conn: Connection, source: Source, kind: Kind, url: str, new_url: str, now: datetime) -> None:
    """Change the row first: `put` then finds it as the plan has it, and leaves its lease alone."""
    host = get_host(new_url)
    insert_hosts(conn, [host])
    conn.execute(_SPELL, {"b_name": source.name, "b_key": make_key(url), "b_url": new_url, "b_host": host})
    if kind is not Kind.HOMEPAGE:
        changed = _replace_url(source, _PLAN_FIELDS[kind], url, new_url)
    elif source.homepage is not None and make_key(source.homepage) == make_key(url):
        changed = replace(source, homepage=new_url)
    else:  # the source has another homepage by now
        return
    if changed != source:
        ledger_sources.put(conn, changed, now)


def _apply_moves(source: Source, moves: Mapping[tuple[str, str], str], read: Set[tuple[str, str]]) -> Source:
    for field in _PLAN_FIELDS.values():
        for url in getattr(source, field):
            new_url, seen = url, set[str]()
            while (new := moves.get((source.name, make_key(new_url)))) is not None and new not in seen:  # it may have moved again
                new_url = new
                seen.add(new)
            if (source.name, make_key(new_url)) in read:
                source = _replace_url(source, field, url, new_url)
    return source


def _replace_url(source: Source, field: str, url: str, new_url: str) -> Source:
    """The source with the new URL in the place of the old one, once."""
    key, planned = make_key(url), getattr(source, field)
    if all(make_key(one) != key for one in planned):
        return source
    changed = {make_key(one): one for one in (new_url if make_key(one) == key else one for one in planned)}
    changes: dict[str, Any] = {field: tuple(changed.values())}
    return replace(source, **changes)


class ListingMoves:
    """Listings that have moved permanently. Every call may raise ServiceError."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def move(self, source: str, url: str, new_url: str, failure: OutcomeRecord | None = None, *, now: datetime) -> bool:
        """Follow a listing that has moved permanently, in the plan of its source too. False: the source has no such listing.

        `failure`: what the old URL answers with; None for a permanent redirect.
        """
        with writing(self._engine) as conn:
            return move_listing(conn, source, url, new_url, failure, now)

    def apply(self, planned: Sequence[Source]) -> list[Source]:
        """The sources of a file with the new URLs of those listings that have moved since it was written, as far as they can be read."""
        with reading(self._engine) as conn:
            moves = {(row.source, row.url_key): str(row.detail).removeprefix(_MOVED) for row in conn.execute(_MOVES)}
            keys = sorted({make_key(url) for url in moves.values()})
            read = {(row.source, row.url_key) for batch in batches(keys) for row in conn.execute(_READ, {"b_keys": batch})}
            return [_apply_moves(source, moves, read) for source in planned]
