"""Changes of sources that reach beyond their rows: a source is removed or renamed.

Removing and renaming change everything that names the source, in batches, so that no commit holds the database for long. Both may run while
Newsmill runs, and again after a kill: what is done stays done. A row that a running process writes under the old name in the meantime is
found by the last pass, or by the same command run again.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Engine, bindparam, delete, exists, func, select, update

from newsmill.model import Source
from newsmill.storage.alarms import delete_alarms
from newsmill.storage.changes import remove
from newsmill.storage.counter_updates import CounterUpdates, uncount
from newsmill.storage.database import reading, writing
from newsmill.storage.ledger import sources as ledger_sources
from newsmill.storage.ledger.ended_rows import ENDED_COLUMNS
from newsmill.storage.ledger.orphaned_copies import requeue_copies
from newsmill.storage.ledger.stored_pages import lock_ids
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
from newsmill.storage.statements import IS_LISTING
from newsmill.storage.storing_order import make_stamp
from newsmill.text.urls import make_spider_url

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
