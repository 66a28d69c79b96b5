"""Takedowns: articles that somebody may demand to be removed. Their documents are deleted, and their URLs are never stored again.

A takedown has a row for each URL of the article, which stays when the ledger's row is deleted with its source (`barred_urls`). A new row of
such a URL has the outcome `takedown` from the beginning. A page that is fetched under another URL and turns out to be the article is not
stored, and its URL joins the takedown (`takedown_check`).

A page may have named a wrong canonical URL: a listing, or the URL of another article. These stay as they are.

The pages in the archive are erased behind the commit. All of it is searched, because nothing else names the pages of all earlier fetches.
`erase_after` says that this is still to be done. A page that was submitted in place is in a file that is not ours: it stays there, is never
read again, and the file is named.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Engine, bindparam, delete, func, literal_column, select, update

from newsmill.archive.archive import Archive
from newsmill.exceptions import ArchiveDamaged
from newsmill.search.erasure import merge_deleted_words
from newsmill.storage import past_documents
from newsmill.storage.counter_updates import CounterUpdates
from newsmill.storage.database import reading, writing
from newsmill.storage.documents import Documents
from newsmill.storage.ledger.barred_urls import TEXT_KEY
from newsmill.storage.ledger.takedown_demands import IDS, KEYS, ROW_COLUMNS, TakedownResult, bar_demand, make_keys, resolve_demand
from newsmill.storage.processes import list_live_processes
from newsmill.storage.schema import ledger, segments, takedowns
from newsmill.storage.statements import NOW, AnyRow

_PERMIT = (
    update(ledger)
    .where(ledger.c.id == bindparam("b_id"))
    .values(state="due", outcome=None, detail=None, ended_at=None, next_at=NOW, attempts=0, crashes=0)
)
_IS_TEXT = takedowns.c.url_key.startswith(TEXT_KEY)
_PERMIT_TEXTS = delete(takedowns).where(_IS_TEXT, takedowns.c.document_id.in_(IDS))
_BARRED = (
    select(*ROW_COLUMNS)
    .where(ledger.c.url_key.in_(KEYS), ledger.c.outcome == literal_column("'takedown'"))
    .order_by(ledger.c.id)
    .with_for_update()
)


@dataclass(frozen=True, slots=True)
class Takedown:
    """A barred URL. `erase_after`: when its pages can be erased from the archive; None: they are erased. `files`: outside the archive, with
    a page of it."""

    url: str
    reason: str
    created_at: datetime
    document_id: str | None
    erased_pages: int
    erase_after: datetime | None
    files: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Erasure:
    """What was erased: pages of files of the archive. `unreadable`: the files that could not be searched, each with its reason.

    `outside`: the files outside the archive that keep a page, which is not read there again.
    """

    pages: int = 0
    files: int = 0
    searched: int = 0
    unreadable: tuple[str, ...] = ()
    outside: tuple[str, ...] = ()


class Takedowns:
    """Every call may raise ServiceError."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def add(self, urls_or_ids: Sequence[str], reason: str, *, now: datetime) -> TakedownResult:
        """Take down URLs and the documents of URLs or document IDs, in one commit. A URL need not be known.

        All URLs that led to the documents are barred with them. A takedown that exists keeps its reason; the archive is then searched
        again. Raises UrlError for an argument that is neither URL nor ID, ConfigError for the URL of a listing.
        """
        demand = resolve_demand(Documents(self._engine), urls_or_ids)
        past_documents.write_keys(self._engine)
        with writing(self._engine) as conn:
            return bar_demand(conn, demand, reason, now)

    def list(self, archive: Archive | None = None) -> list[Takedown]:
        """All barred URLs, the newest first; with the files outside the archive that have their pages, if the archive is given."""
        order, files = (takedowns.c.created_at.desc(), takedowns.c.url), {} if archive is None else archive.list_barred()
        with reading(self._engine) as conn:
            rows = conn.execute(select(takedowns).where(~_IS_TEXT).order_by(*order)).all()
        return [_to_takedown(row, files.get(row.url_key, ())) for row in rows]

    def count_to_erase(self) -> int:
        """The number of these URLs."""
        with reading(self._engine) as conn:
            return conn.execute(
                select(func.count()).select_from(takedowns).where(takedowns.c.erase_after.is_not(None), ~_IS_TEXT)
            ).scalar_one()

    def list_machines(self, *, now: datetime) -> dict[str, bool]:
        """The machines with a live process, each with whether all its processes have applied every takedown to their `derived_files`."""
        wanted, found = past_documents.count_takedowns(self._engine), dict[str, bool]()
        for process in list_live_processes(self._engine, now=now):
            found[process.machine] = found.get(process.machine, True) and wanted in (0, process.takedowns)
        return found

    def erase(self, archive: Archive, *, now: datetime, advance: Callable[[int], None] = lambda done: None) -> Erasure:
        """Erase what takedowns have left in the archive, and in the search index of SQLite, where that is still to be done.

        `advance` takes the number of files searched. The files of each machine are `derived_files`.

        May be stopped and repeated. A takedown stays open while a file cannot be read, or while a fetch may still bring its page.
        """
        is_open = takedowns.c.erase_after.is_not(None)
        with reading(self._engine) as conn:
            wanted = set(conn.execute(select(takedowns.c.url_key).where(is_open)).scalars())
        erased: Counter[str] = Counter()

        def is_wanted(of_page: Iterable[str]) -> bool:
            return bool(make_keys(of_page) & wanted)

        def erases(of_page: Iterable[str]) -> bool:
            found = make_keys(of_page) & wanted
            erased.update(sorted(found)[:1])  # a page counts for one of its URLs
            return bool(found)

        files = searched = 0
        unreadable: list[str] = []
        outside: tuple[str, ...] = ()
        try:
            if wanted and (found := archive.locate_external(wanted)):
                with self._lock_segment():
                    outside = archive.bar_external(found)
        except ArchiveDamaged as error:
            unreadable.append(str(error))
        for path in archive.list_files() if wanted else ():
            try:
                if archive.count_pages(path, is_wanted):
                    with self._lock_segment():
                        files += bool(archive.erase_pages(path, erases, now=now))
            except ArchiveDamaged as error:
                unreadable.append(str(error))
            searched += 1
            advance(1)
        if wanted:
            merge_deleted_words(self._engine)
        self._record_erased({key: erased[key] for key in wanted}, is_complete=not unreadable, since=now)
        return Erasure(erased.total(), files, searched, tuple(unreadable), outside)

    @contextmanager
    def _lock_segment(self) -> Iterator[None]:
        """A lock for one change of the archive, so that two processes do not write one file at the same time.

        Every writer of the database waits for it on SQLite, so do not hold it while the archive is searched.
        """
        with writing(self._engine) as conn:
            conn.execute(select(segments.c.id).order_by(segments.c.id).limit(1).with_for_update())
            yield

    def _record_erased(self, keys: Mapping[str, int], *, is_complete: bool, since: datetime) -> None:
        """Note the erased pages by URL key. `is_complete`: the whole archive was searched; the search began at `since`."""
        ended = update(takedowns).where(takedowns.c.url_key == bindparam("b_key"))
        added = ended.values(erased_pages=takedowns.c.erased_pages + bindparam("b_n"))
        done = ended.where(takedowns.c.erase_after <= since).values(erase_after=None)
        with writing(self._engine) as conn:
            for key in sorted(keys):
                conn.execute(added, {"b_key": key, "b_n": keys[key]})
                if is_complete:
                    conn.execute(done, {"b_key": key})

    def remove(self, keys: Collection[str], archive: Archive, *, now: datetime) -> int:
        """Permit URLs again: they are due if the ledger knows them. Returns the number of URLs that were barred."""
        with self._lock_segment():
            archive.permit_external(keys)
        with writing(self._engine) as conn:
            ordered = sorted(keys)
            ids = conn.execute(select(takedowns.c.document_id).where(takedowns.c.url_key.in_(KEYS)), {"b_keys": ordered}).scalars()
            conn.execute(_PERMIT_TEXTS, {"b_ids": sorted({one for one in ids if one is not None})})
            removed = conn.execute(delete(takedowns).where(takedowns.c.url_key.in_(KEYS)), {"b_keys": ordered}).rowcount
            rows = conn.execute(_BARRED, {"b_keys": ordered}).all()
            if rows:
                conn.execute(_PERMIT, [{"b_id": row.id, "b_now": now} for row in rows])
            counters = CounterUpdates()
            for row in rows:
                counters.undo(row.ended_at, row.source, row.kind, row.outcome)
            counters.write(conn)
            return removed


def _to_takedown(row: AnyRow, files: Iterable[str]) -> Takedown:
    return Takedown(row.url, row.reason, row.created_at, row.document_id, row.erased_pages, row.erase_after, tuple(sorted(files)))
