"""Changes of sources that reach beyond their rows: a source is removed or renamed, or one of its listings has moved.

Removing and renaming change everything that names the source, in batches, so that no commit holds the database for long. Both may run while
Newsmill runs, and again after a kill: what is done stays done. A row that a running process writes under the old name in the meantime is
found by the last pass, or by the same command run again.

A listing that has moved permanently gives its new URL its place in the plan of its source, and is not fetched any more. The alarm
`moved_listing` notes the move in the history of the source. It ends when the new URL was read for some time. A file that still has the old
URL does not undo the move.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Engine, and_, bindparam, delete, exists, func, select, update

from newsmill.health.causes import Cause, Evidence, Finding
from newsmill.model import OUTCOMES, Kind, Link, Outcome, OutcomeRecord, Source
from newsmill.storage.alarms import begin_alarms, delete_alarms
from newsmill.storage.database import reading, writing
from newsmill.storage.documents import make_stamp, remove
from newsmill.storage.ledger import sources as ledger_sources
from newsmill.storage.ledger.article_identity import lock_ids
from newsmill.storage.ledger.ended_rows import ENDED_COLUMNS, REQUEUED, batches
from newsmill.storage.ledger.links import insert_hosts, insert_rows, make_row
from newsmill.storage.ledger.orphaned_copies import requeue_copies
from newsmill.storage.schema import (
    backfills,
    completeness,
    count_totals,
    counts,
    documents,
    ledger,
    source_alarms,
    source_checks,
    source_patterns,
    sources,
    submissions,
    webhooks,
)
from newsmill.storage.statements import IS_LISTING, CounterUpdates, uncount
from newsmill.text.urls import get_host, make_key, make_spider_url

BATCH_ROWS = 500

_NAME: Any = bindparam("b_name")
_IDS: Any = bindparam("b_ids", expanding=True)
_DOCUMENTS = select(documents.c.id).where(documents.c.source == _NAME).limit(BATCH_ROWS)
_HAS_DOCUMENT = exists().where(documents.c.ledger_id == ledger.c.id)
_PAGES = (
    select(*ENDED_COLUMNS, ledger.c.first_seen_at)
    .where(ledger.c.source == _NAME, ledger.c.id > bindparam("b_after"), ~_HAS_DOCUMENT)
    .order_by(ledger.c.id)
    .limit(BATCH_ROWS)
)
_ROWS_TO_RENAME = (
    select(ledger.c.id).where(ledger.c.source == _NAME, ledger.c.id > bindparam("b_after")).order_by(ledger.c.id).limit(BATCH_ROWS)
)

_KEPT = (sources.c.created_at, sources.c.next_tick_at, sources.c.last_tick_at, sources.c.script_pages)  # of a source that is renamed
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


# ---- removed and renamed sources


@dataclass(frozen=True, slots=True)
class RemovedSource:
    """What was removed: documents, and rows of pages and listings."""

    documents: int
    urls: int


class SourceChanges:
    """Every call may raise ServiceError."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def remove(self, name: str, *, now: datetime, keep_documents: bool = False) -> RemovedSource:
        """Remove a source, its URLs and its documents. With `keep_documents`, its documents and their URLs stay under its name.

        Pages of other sources that were copies of these documents are extracted again, in the commits that remove them.

        Archived pages stay; only a takedown changes a segment. The source should not exist in sources.toml any more.
        """
        with writing(self._engine) as conn:
            conn.execute(delete(sources).where(sources.c.name == name))
            conn.execute(delete(backfills).where(backfills.c.source == name))
            conn.execute(delete(source_checks).where(source_checks.c.source == name))
            delete_alarms(conn, name)
        removed = 0 if keep_documents else self._remove_documents(name, now)
        urls = self._remove_rows(name) + self._remove_rows(name)
        with writing(self._engine) as conn:
            conn.execute(delete(counts).where(counts.c.source == name, (counts.c.kind != "page") | (counts.c.n == 0)))
        with writing(self._engine) as conn:  # the totals of the deleted counters are 0 only after that commit
            conn.execute(delete(count_totals).where(count_totals.c.source == name, count_totals.c.n == 0))
        return RemovedSource(removed, urls)

    def rename(self, source: Source, name: str, *, now: datetime) -> int:
        """Give a source, its URLs and its documents another name; returns the number of documents. `name` is free and valid."""
        old = source.name
        with writing(self._engine) as conn:
            conn.execute(delete(ledger).where(ledger.c.source == old, ledger.c.url == make_spider_url(old)))
            conn.execute(update(ledger).where(ledger.c.source == old, IS_LISTING).values(source=name))
            ledger_sources.put(conn, replace(source, name=name), now)
            known = conn.execute(select(*_KEPT).where(sources.c.name == old)).mappings().one_or_none()
            if known is not None:  # an earlier run may have been killed behind this transaction
                conn.execute(update(sources).where(sources.c.name == name).values(**known))
            conn.execute(update(completeness).where(completeness.c.source == old).values(source=name))
            conn.execute(update(source_patterns).where(source_patterns.c.source == old).values(source=name))
            conn.execute(delete(sources).where(sources.c.name == old))
            conn.execute(update(backfills).where(backfills.c.source == old).values(source=name))
            conn.execute(update(source_checks).where(source_checks.c.source == old).values(source=name))
            conn.execute(update(source_alarms).where(source_alarms.c.source == old).values(source=name))
            conn.execute(update(webhooks).where(webhooks.c.source == old).values(source=name))
            conn.execute(update(submissions).where(submissions.c.source == old).values(source=name))
        return self.finish_rename(old, name, now=now)

    def finish_rename(self, old: str, name: str, *, now: datetime) -> int:
        """Give what is left under the old name of a renamed source the new one; returns the number of documents. See `has_rest`."""
        self._rename_rows(old, name)
        renamed = self._rename_documents(old, name, now)
        self._rename_rows(old, name)
        with writing(self._engine) as conn:
            _rename_counters(conn, old, name)
        with writing(self._engine) as conn:
            conn.execute(delete(count_totals).where(count_totals.c.source == old, count_totals.c.n == 0))
        return renamed

    def _remove_documents(self, name: str, now: datetime) -> int:
        removed = 0
        while True:
            with writing(self._engine) as conn:
                ids = conn.execute(_DOCUMENTS, {"b_name": name}).scalars().all()
                if not ids:
                    return removed
                lock_ids(conn, ids)
                requeue_copies(conn, ids, name, now)
                removed += remove(conn, ids, now)

    def _remove_rows(self, name: str) -> int:
        """Remove the rows without a document, and uncount the pages among them."""
        removed = after = 0
        while True:
            with writing(self._engine) as conn:
                rows = conn.execute(_PAGES, {"b_name": name, "b_after": after}).all()
                if not rows:
                    return removed
                conn.execute(delete(ledger).where(ledger.c.id.in_(_IDS)), {"b_ids": [row.id for row in rows]})
                uncount(conn, rows)
            removed, after = removed + len(rows), rows[-1].id

    def _rename_rows(self, old: str, name: str) -> None:
        after = 0
        while True:
            with writing(self._engine) as conn:
                ids = conn.execute(_ROWS_TO_RENAME, {"b_name": old, "b_after": after}).scalars().all()
                if not ids:
                    return
                conn.execute(update(ledger).where(ledger.c.id.in_(_IDS)).values(source=name), {"b_ids": ids})
            after = ids[-1]

    def _rename_documents(self, old: str, name: str, now: datetime) -> int:
        renamed = 0
        while True:
            with writing(self._engine) as conn:
                ids = conn.execute(_DOCUMENTS, {"b_name": old}).scalars().all()
                if not ids:
                    return renamed
                values = {"source": name, "stored_at": make_stamp(conn, now)}
                conn.execute(update(documents).where(documents.c.id.in_(_IDS)).values(**values), {"b_ids": ids})
            renamed += len(ids)

    def has_rest(self, name: str) -> bool:
        """Whether documents, URLs or counts have this name. Without a source of that name, a kill has interrupted a change."""
        columns = (documents.c.source, ledger.c.source, counts.c.source)
        with reading(self._engine) as conn:
            return any(conn.execute(select(1).where(column == name).limit(1)).first() is not None for column in columns)

    def count_documents(self, name: str) -> int:
        """The documents that `remove` would remove."""
        with reading(self._engine) as conn:
            return int(conn.execute(select(func.count()).where(documents.c.source == name)).scalar_one())


def _rename_counters(conn: Connection, old: str, name: str) -> None:
    """Move the counters to the new name: their key changes, so each is a new row."""
    updates = CounterUpdates()
    for row in conn.execute(select(counts).where(counts.c.source == old)):
        updates.add(datetime(row.day.year, row.day.month, row.day.day), name, row.kind, row.outcome, row.n)  # noqa: DTZ001 (a day in UTC)
    updates.write(conn)
    conn.execute(delete(counts).where(counts.c.source == old))


# ---- moved listings


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


def apply_moves(conn: Connection, planned: Sequence[Source]) -> list[Source]:
    """The sources of a file with the new URLs of those listings that have moved since it was written, as far as they can be read."""
    moves = {(row.source, row.url_key): str(row.detail).removeprefix(_MOVED) for row in conn.execute(_MOVES)}
    keys = sorted({make_key(url) for url in moves.values()})
    read = {(row.source, row.url_key) for batch in batches(keys) for row in conn.execute(_READ, {"b_keys": batch})}
    return [_apply_moves(source, moves, read) for source in planned]


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
