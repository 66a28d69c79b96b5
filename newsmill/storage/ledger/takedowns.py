"""Takedowns: articles that somebody may demand to be removed. Their documents are deleted, and their URLs are never stored again.

A takedown has a row for each URL of the article, which stays when the ledger's row is deleted with its source. A new row of such a URL has
the outcome `takedown` from the beginning. A page that is fetched under another URL and turns out to be the article is not stored, and its
URL joins the takedown.

The pages in the archive are erased behind the commit. All of it is searched, because nothing else names the pages of all earlier fetches.
`erase_after` says that this is still to be done.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Engine, Text, bindparam, cast, delete, func, literal_column, or_, select, update

from newsmill import urls
from newsmill.archive.archive import Archive
from newsmill.exceptions import ArchiveDamaged, ConfigError, UrlError
from newsmill.model import OUTCOMES, Kind, Outcome
from newsmill.storage.database import reading, writing
from newsmill.storage.documents import Documents, remove
from newsmill.storage.schema import deliveries, documents, ledger, revisions, segments, takedowns
from newsmill.storage.statements import FREE, NOW, AnyRow, CounterUpdates, Upsert, state_is

MAX_FETCH_TIME = timedelta(minutes=15)  # after which a fetch that was running at the takedown has ended and its page is in the archive
BATCH_SIZE = 500  # keys per statement: below every driver's limit on parameters

_KEYS: Any = bindparam("b_keys", expanding=True)
_IDS: Any = bindparam("b_ids", expanding=True)
_REASONS = select(takedowns.c.url_key, takedowns.c.reason).where(takedowns.c.url_key.in_(_KEYS))
_ADD = Upsert(takedowns, ("url_key",), lambda new: {"erase_after": new.erase_after})
_NAMED = select(ledger.c.document_id).where(ledger.c.url_key.in_(_KEYS), ledger.c.document_id.is_not(None))
_DOCUMENTS = (
    select(documents.c.id, documents.c.ledger_id, documents.c.url, documents.c.requested_url, documents.c.title, documents.c.source)
    .where(documents.c.id.in_(_IDS))
    .order_by(documents.c.id)
    .with_for_update()
)
_COUNT_REVISIONS = select(revisions.c.document_id, func.count()).where(revisions.c.document_id.in_(_IDS)).group_by(revisions.c.document_id)
_ROW_COLUMNS = (
    ledger.c.id,
    ledger.c.url_key,
    ledger.c.url,
    ledger.c.source,
    ledger.c.kind,
    ledger.c.state,
    ledger.c.outcome,
    ledger.c.ended_at,
)
_ROWS = (
    select(*_ROW_COLUMNS)
    .where(
        or_(
            ledger.c.url_key.in_(_KEYS),
            ledger.c.id.in_(bindparam("b_rows", expanding=True)),
            (state_is("dropped") & ledger.c.document_id.in_(_IDS)),  # copies; the condition of ix_ledger_dropped
        )
    )
    .order_by(ledger.c.id)
    .with_for_update()
)
_FORGOTTEN = (
    *("document_id", "segment", "offset", "hint", "etag", "last_modified", "final_url", "status", "fetched_at", "rendering", "stage"),
    *("revisit_at", "failing_since", "failure", "failure_detail", "failed_at"),
)
_END = (
    update(ledger)
    .where(ledger.c.id == bindparam("b_id"))
    .values(
        **FREE,
        **dict.fromkeys(_FORGOTTEN),
        state=OUTCOMES[Outcome.TAKEDOWN][0].value,
        outcome=Outcome.TAKEDOWN.value,
        detail=bindparam("b_reason"),
        ended_at=NOW,
        fence=ledger.c.fence + 1,
    )
)
_PERMIT = (
    update(ledger)
    .where(ledger.c.id == bindparam("b_id"))
    .values(state="due", outcome=None, detail=None, ended_at=None, next_at=NOW, attempts=0, crashes=0)
)
_BARRED = (
    select(*_ROW_COLUMNS)
    .where(ledger.c.url_key.in_(_KEYS), ledger.c.outcome == literal_column("'takedown'"))
    .order_by(ledger.c.id)
    .with_for_update()
)


@dataclass(frozen=True, slots=True)
class Takedown:
    """A barred URL. `erase_after`: when its pages can be erased from the archive; None: they are erased."""

    url: str
    reason: str
    created_at: datetime
    document_id: str | None
    erased_pages: int
    erase_after: datetime | None


@dataclass(frozen=True, slots=True)
class TakedownDocument:
    """A document that was removed."""

    id: str
    url: str
    title: str | None
    source: str | None
    revisions: int


@dataclass(frozen=True, slots=True)
class TakedownResult:
    """What a takedown removed from the database, and the URLs that are not stored any more."""

    documents: tuple[TakedownDocument, ...]
    urls: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Erasure:
    """What a search of the archive has erased. `unreadable`: the files that could not be searched, each with its reason."""

    pages: int = 0
    files: int = 0
    searched: int = 0
    unreadable: tuple[str, ...] = ()


# ---- in the transactions of the ledger ---------------------------------------------------------------------------------------


def find_reasons(conn: Connection, keys: Collection[str]) -> dict[str, str]:
    """The reasons of takedowns, by URL key."""
    ordered = sorted(keys)
    batches = (ordered[at : at + BATCH_SIZE] for at in range(0, len(ordered), BATCH_SIZE))
    return {row.url_key: row.reason for batch in batches for row in conn.execute(_REASONS, {"b_keys": batch})}


def join(conn: Connection, urls_by_key: Mapping[str, tuple[str, str]], now: datetime) -> None:
    """Add URLs under which the article of a takedown was fetched, by key: (URL, reason). Their pages are to be erased."""
    _ADD.run(conn, [_make_row(key, *urls_by_key[key], None, now, now) for key in sorted(urls_by_key)])


def bar_redirect(conn: Connection, url: str, target: str, now: datetime) -> str | None:
    """The reason of the takedown that bars the target of a redirect from `url`, which joins it; None if it is not barred."""
    reason = find_reasons(conn, [urls.make_key(target)]).get(urls.make_key(target))
    if reason is not None:
        join(conn, {urls.make_key(url): (url, reason)}, now)
    return reason


def _make_row(key: str, url: str, reason: str, document_id: str | None, erase_after: datetime, now: datetime) -> dict[str, Any]:
    values = {"url_key": key, "url": url, "reason": reason, "document_id": document_id}
    return {**values, "created_at": now, "erase_after": erase_after, "erased_pages": 0}


# ---- for people --------------------------------------------------------------------------------------------------------------


class Takedowns:
    """Every call may raise ServiceError."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def add(self, urls_or_ids: Sequence[str], reason: str, *, now: datetime) -> TakedownResult:
        """Take down URLs and the documents of URLs or document IDs, in one commit. A URL need not be known.

        All URLs that led to the documents are barred with them. A takedown that exists keeps its reason; the archive is then searched
        again. Raises UrlError for an argument that is neither URL nor ID, ConfigError for the URL of a listing.
        """
        found = Documents(self._engine)
        urls_by_key = dict(_resolve(found, one) for one in urls_or_ids)
        with writing(self._engine) as conn:
            return _bar(conn, urls_by_key, reason, now)

    def list(self) -> list[Takedown]:
        """All barred URLs, the newest first."""
        order = (takedowns.c.created_at.desc(), takedowns.c.url)
        with reading(self._engine) as conn:
            return [_to_takedown(row) for row in conn.execute(select(takedowns).order_by(*order))]

    def count_to_erase(self) -> int:
        """The number of these URLs."""
        with reading(self._engine) as conn:
            return conn.execute(select(func.count()).select_from(takedowns).where(takedowns.c.erase_after.is_not(None))).scalar_one()

    def erase(self, archive: Archive, *, now: datetime, advance: Callable[[int], None] = lambda done: None) -> Erasure:
        """Erase the pages of all takedowns from the archive, where that is still to be done. `advance` takes the number of files searched.

        May be stopped and repeated. A takedown stays open while a file cannot be read, or while a fetch may still bring its page.
        """
        with reading(self._engine) as conn:
            wanted = set(conn.execute(select(takedowns.c.url_key).where(takedowns.c.erase_after.is_not(None))).scalars())
        erased: Counter[str] = Counter()

        def is_wanted(of_page: Iterable[str]) -> bool:
            return bool(_make_keys(of_page) & wanted)

        def erases(of_page: Iterable[str]) -> bool:
            found = _make_keys(of_page) & wanted
            erased.update(sorted(found)[:1])  # a page counts for one of its URLs
            return bool(found)

        files = searched = 0
        unreadable: list[str] = []
        for path in archive.list_files() if wanted else ():
            try:
                if archive.count_pages(path, is_wanted):
                    with self._lock_segment():
                        files += bool(archive.erase_pages(path, erases, now=now))
            except ArchiveDamaged as error:
                unreadable.append(str(error))
            searched += 1
            advance(1)
        self._record_erased({key: erased[key] for key in wanted}, is_complete=not unreadable, since=now)
        return Erasure(erased.total(), files, searched, tuple(unreadable))

    @contextmanager
    def _lock_segment(self) -> Iterator[None]:
        """A lock for one change of a segment, so that two processes do not write one file at the same time.

        Every writer of the database waits for it on SQLite, so hold it for one file only.
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

    def remove(self, keys: Collection[str], *, now: datetime) -> int:
        """Permit URLs again: they are due if the ledger knows them. Returns the number of URLs that were barred."""
        with writing(self._engine) as conn:
            ordered = sorted(keys)
            removed = conn.execute(delete(takedowns).where(takedowns.c.url_key.in_(_KEYS)), {"b_keys": ordered}).rowcount
            rows = conn.execute(_BARRED, {"b_keys": ordered}).all()
            if rows:
                conn.execute(_PERMIT, [{"b_id": row.id, "b_now": now} for row in rows])
            counters = CounterUpdates()
            for row in rows:
                counters.undo(row.ended_at, row.source, row.kind, row.outcome)
            counters.write(conn)
            return removed


def _resolve(found: Documents, url_or_id: str) -> tuple[str, str]:
    """(key, URL) of a URL or of the document with this ID. Raises UrlError."""
    document = found.get(url_or_id)
    if document is not None and document.id == url_or_id:
        return document.id, document.canonical_url or document.url
    url = urls.normalize(url_or_id)
    return urls.make_key(url), url


def _make_keys(of_page: Iterable[str]) -> set[str]:
    keys = set()
    for url in of_page:
        with suppress(UrlError):
            keys.add(urls.make_key(url))
    return keys


def _to_takedown(row: AnyRow) -> Takedown:
    return Takedown(row.url, row.reason, row.created_at, row.document_id, row.erased_pages, row.erase_after)


def _bar(conn: Connection, urls_by_key: Mapping[str, str], reason: str, now: datetime) -> TakedownResult:
    keys = sorted(urls_by_key)
    ids = sorted({*keys, *conn.execute(_NAMED, {"b_keys": keys}).scalars()})
    found = conn.execute(_DOCUMENTS, {"b_ids": ids}).all()
    ids = [document.id for document in found]
    named = dict(urls_by_key)
    for document in found:
        for url in (document.url, document.requested_url):
            named.setdefault(urls.make_key(url), url)
        named.setdefault(document.id, document.url)  # the key of the canonical URL
    owned = {document.ledger_id: document.id for document in found}
    rows = conn.execute(_ROWS, {"b_keys": sorted(named), "b_rows": sorted(owned), "b_ids": ids}).all()
    for row in rows:
        if row.kind != Kind.PAGE:
            raise ConfigError(f"{row.url} is a {row.kind} of source {row.source}, not an article; change or remove the source")
        named.setdefault(row.url_key, row.url)
    document_of = {row.url_key: owned[row.id] for row in rows if row.id in owned} | {key: key for key in ids}
    erase_after = now + MAX_FETCH_TIME if any(row.state == "fetching" for row in rows) else now
    counts: dict[str, int] = {row[0]: row[1] for row in conn.execute(_COUNT_REVISIONS, {"b_ids": ids})}
    _ADD.run(conn, [_make_row(key, named[key], reason, document_of.get(key), erase_after, now) for key in sorted(named)])
    for document_id in ids:
        conn.execute(delete(deliveries).where(cast(deliveries.c.payload, Text).contains(document_id, autoescape=True)))
    remove(conn, ids, now)
    _end_rows(conn, [row for row in rows if row.outcome != Outcome.TAKEDOWN], reason, now)
    return TakedownResult(
        tuple(TakedownDocument(one.id, one.url, one.title, one.source, 1 + counts.get(one.id, 0)) for one in found),
        tuple(sorted(set(named.values()))),
    )


def _end_rows(conn: Connection, rows: Sequence[AnyRow], reason: str, now: datetime) -> None:
    if rows:
        conn.execute(_END, [{"b_id": row.id, "b_reason": reason, "b_now": now} for row in rows])
    counters = CounterUpdates()
    for row in rows:
        counters.undo(row.ended_at, row.source, row.kind, row.outcome)
        counters.add(now, row.source, row.kind, Outcome.TAKEDOWN.value)
    counters.write(conn)
