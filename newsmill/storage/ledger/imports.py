"""Documents that another run of Newsmill has extracted: new ones are inserted in bulk, all others end as the results of a worker.

New is a document whose URL has no row, and that neither the store nor the same batch has under another URL. Of the others, what is older
than the row's page changes nothing, and so does what would replace a document that was fetched here or is of another source, unless the
operator wants it (`replaces`). A row is the statement of a stranger: it names no page of this archive but the one that its URL has
(SECURITY.md). One import inserts at a time, so two of them never store two copies of one text.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, TypeVar

from sqlalchemy import BindParameter, Column, Connection, Engine, Select, bindparam, delete, exc, select, text, update

from newsmill.discovery.url_variants import find_edition
from newsmill.exceptions import ServiceError, UrlError
from newsmill.model import OUTCOMES, CaptureOutcome, ClaimedPage, Document, ExtractionResult, Kind, Link, Outcome, OutcomeRecord
from newsmill.polling.revisits import RevisitResult
from newsmill.similarity.near_duplicates import Fingerprint, fingerprint
from newsmill.storage.bulk_insert import insert_many
from newsmill.storage.counter_updates import FOUND, CounterUpdates
from newsmill.storage.database import reading, writing
from newsmill.storage.dialects import is_any, is_sqlite
from newsmill.storage.fingerprints import BANDS, find_candidates
from newsmill.storage.ledger import results
from newsmill.storage.ledger.adoption import read_sites
from newsmill.storage.ledger.article_identity import list_identities
from newsmill.storage.ledger.barred_urls import find_barred, is_any_barred
from newsmill.storage.ledger.claims import Result
from newsmill.storage.ledger.ended_rows import ENDED_COLUMNS, REQUEUED, batches
from newsmill.storage.ledger.links import INSERT, insert_hosts, insert_rows, make_row
from newsmill.storage.ledger.revisits import RevisitPlans
from newsmill.storage.ledger.stored_pages import lock_ids
from newsmill.storage.ledger.takedown_check import list_keys
from newsmill.storage.schema import documents, fingerprints, fingerprints_due, ledger, revisions
from newsmill.storage.statements import OWNER, UNTIL, AnyRow, is_failure
from newsmill.storage.storing_order import make_stamp
from newsmill.text.urls import find_site

FOUND_BY = "import"
MAX_TRIES = 5  # of a transaction that another process disturbs: it adds the same URL, or locks the same rows in another order
RETRY_SECONDS = 0.2
COMMIT_DOCUMENTS = 16  # that are stored as a worker stores them
CLAIM_SECONDS = 60.0  # of rows within one transaction

_OK = 200
_LOCK = 0x696D706F7274  # "import"
_TAKE_LOCK = text("SELECT pg_advisory_xact_lock(:lock)")
_DISTURBED = ("40P01", "40001")  # SQLSTATEs of a deadlock and of a failed serialization

T = TypeVar("T")
_IDS: BindParameter[Any] = bindparam("b_ids", expanding=True)
_ROWS = select(
    *ENDED_COLUMNS,
    *(
        ledger.c[name]
        for name in ("url_key", "url", "found_by", "fence", "first_seen_at", "fetched_at", "segment", "offset", "document_id")
    ),
)
_LOCKED_ROWS = _ROWS.where(ledger.c.url_key.in_(_IDS)).order_by(ledger.c.id).with_for_update()
_ROW_IDS = select(ledger.c.url_key, ledger.c.id)
_STORED = select(documents.c.id, documents.c.content_hash)
_REPLACED = select(revisions.c.document_id, revisions.c.content_hash)
_OWNED = select(documents.c.ledger_id, documents.c.archive_ref, documents.c.source)
_PAGE_URLS = select(documents.c.ledger_id, documents.c.url).where(documents.c.site.is_not(None))
_CLAIM = (
    update(ledger)
    .where(ledger.c.id == bindparam("b_id"))
    .values(**REQUEUED | {"attempts": 1, "owner": OWNER, "lease_until": UNTIL}, state="processing", fence=ledger.c.fence + 1)
)
_CLAIM_OTHER_PAGE = _CLAIM.values(
    **dict.fromkeys(("etag", "last_modified", "parts", "rendering")),
    segment=bindparam("b_segment"),
    offset=bindparam("b_offset"),
    fetched_at=bindparam("b_fetched_at", type_=ledger.c.fetched_at.type),
    received_at=bindparam("b_received_at", type_=ledger.c.received_at.type),
    final_url=bindparam("b_url"),
    status=_OK,
)


@dataclass(frozen=True, slots=True)
class ImportedDocument:
    """A document to import, with what the transaction needs to know of it. Rows are made before the lock that imports wait for."""

    document: Document
    page: Mapping[str, Any]  # its row of the ledger, as of a link that is due
    row: Mapping[str, Any]  # of `documents`, without what the transaction decides
    identities: frozenset[str]
    bands: Fingerprint | None
    edition: str

    @property
    def url(self) -> str:
        return str(self.page["url"])

    @property
    def key(self) -> str:
        return str(self.page["url_key"])

    @classmethod
    def of(cls, document: Document, found_on: str, now: datetime, *, is_own: bool = False) -> ImportedDocument:
        """`found_on`: the name of its file. Raises UrlError. After a redirect from another site the row is that of the final URL, as for a
        submitted page.

        The text counts as seen now; `is_own`: when its row says, because the operator says that the file is of their own store.
        """
        document = replace(document, text_seen_at=document.text_seen_at or document.fetched_at if is_own else now)
        is_on_site = document.requested_url == document.url or find_site(document.requested_url) == find_site(document.url)
        url = document.requested_url if is_on_site else document.url
        page = make_row(Link(url, source=document.source, found_by=FOUND_BY, found_on=found_on), now)
        row, identities = results.make_document_row(document, 0, None), frozenset(list_identities(document))
        return cls(document, page, row, identities, fingerprint(document.text), find_edition(document.url))


class Imports:
    """Documents and outcomes from files. Every call may raise ServiceError; it may then be made again."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def add_documents(self, found: Sequence[ImportedDocument], now: datetime, *, replaces: bool = False) -> Counter[str]:
        """Store documents; returns what became of them, by the fields of ImportCounts.

        `replaces`: also in place of documents that were fetched here, or are of another source.
        """
        counts, others = self._try(lambda conn: _insert_new(conn, found, now))
        for some in _split(others):
            counts += self._try(lambda conn, some=some: _store_as_worker(conn, some, now, replaces=replaces))  # type: ignore[misc]
        return counts

    def drop_sources(self, found: Sequence[Document]) -> list[Document]:
        """The documents, without their source where it is one of this store that does not speak for their site."""
        with reading(self._engine) as conn:
            sites = read_sites(conn, {one.source for one in found})
        return [one if one.source not in sites or find_site(one.url) in sites[one.source] else replace(one, source=None) for one in found]

    def add_outcomes(self, found: Sequence[CaptureOutcome], *, found_on: str, now: datetime) -> Counter[str]:
        """Record outcomes of pages whose URLs have no row yet; the others stay as they are. `found_on`: the name of their file."""
        return self._try(lambda conn: _insert_outcomes(conn, found, found_on, now))

    def _try(self, run: Callable[[Connection], T]) -> T:
        for _ in range(MAX_TRIES - 1):
            try:
                with writing(self._engine) as conn:
                    return run(conn)
            except exc.IntegrityError:
                pass  # another process has added one of the URLs or documents
            except ServiceError as error:
                if getattr(getattr(error.__cause__, "orig", None), "sqlstate", None) not in _DISTURBED:
                    raise
            time.sleep(RETRY_SECONDS)
        with writing(self._engine) as conn:
            return run(conn)


def _read(conn: Connection, statement: Select[Any], column: Column[Any], keys: Iterable[Any]) -> Iterator[AnyRow]:
    """The rows whose column has one of the keys."""
    for batch in batches(sorted(set(keys))):
        yield from conn.execute(statement.where(is_any(conn, column, batch)))


def _insert_new(conn: Connection, found: Sequence[ImportedDocument], now: datetime) -> tuple[Counter[str], list[ImportedDocument]]:
    """Insert the new documents. Returns the counts, and the documents to store as a worker does."""
    if not is_sqlite(conn):
        conn.execute(_TAKE_LOCK, {"lock": _LOCK})
        # a takedown comes before these documents or finds them
        lock_ids(conn, {key for one in found for key in (one.key, *one.identities)})
    counts: Counter[str] = Counter()
    rows = {row.url_key: row for row in _read(conn, _ROWS, ledger.c.url_key, (one.key for one in found))}
    stored = {row.id: row.content_hash for row in _read(conn, _STORED, documents.c.id, (key for one in found for key in one.identities))}
    differing = {one.document.id for one in found if stored.get(one.document.id, one.document.content_hash) != one.document.content_hash}
    contents = {*stored.items(), *map(tuple, _read(conn, _REPLACED, revisions.c.document_id, differing))}
    candidates: list[ImportedDocument] = []
    others: list[ImportedDocument] = []
    for one in found:
        row = rows.get(one.key)
        if row is None:
            (others if one.identities & stored.keys() else candidates).append(one)
        elif row.kind != Kind.PAGE or row.outcome == Outcome.TAKEDOWN:
            counts["refused"] += 1
        elif (one.document.id, one.document.content_hash) in contents or _is_older(one.document, row):
            counts["known"] += 1
        else:
            others.append(one)
    new, similar = _select_new(conn, candidates)
    _insert(conn, new, now)
    counts["stored"] += len(new)
    return counts, [*others, *similar]


def _is_older(document: Document, row: AnyRow) -> bool:
    """Whether the row has an outcome of a later page, or of the same one, which is not this document."""
    if row.fetched_at is None or row.outcome is None or document.fetched_at > row.fetched_at:
        return False
    if row.found_by == FOUND_BY and row.fence == 0 and row.document_id is None:  # an imported outcome, not one of this store's fetches
        return False
    owns_document = row.document_id == document.id and row.outcome in (Outcome.STORED, Outcome.UNCHANGED)
    return bool(document.fetched_at < row.fetched_at or not owns_document)


def _select_new(conn: Connection, candidates: Sequence[ImportedDocument]) -> tuple[list[ImportedDocument], list[ImportedDocument]]:
    """(Those that repeat nothing; those that a takedown may concern, or that are similar to another document of their site.)"""
    new: list[ImportedDocument] = []
    others: list[ImportedDocument] = []
    suspects = _find_barred(conn, candidates) | _find_similar(conn, candidates)
    keys, ids, bands = set[str](), set[str](), set[tuple[str, int, int]]()
    for number, one in enumerate(candidates):
        own = {(one.edition, band, value) for band, value in enumerate(one.bands or ())}
        if number in suspects or one.key in keys or not ids.isdisjoint(one.identities) or not bands.isdisjoint(own):
            others.append(one)
            continue
        new.append(one)
        keys.add(one.key)
        ids.add(one.document.id)
        bands |= own
    return new, others


def _find_barred(conn: Connection, candidates: Sequence[ImportedDocument]) -> set[int]:
    """The numbers of the documents on a site with a takedown, or with a URL that is barred."""
    if not is_any_barred(conn):
        return set()
    made = [list_keys(one.url, one.document) for one in candidates]
    keys = [{*one.of_page, one.text, *one.named, one.site} for one in made]
    barred = find_barred(conn, {key for some in keys for key in some}).keys()
    return {number for number, some in enumerate(keys) if not barred.isdisjoint(some)}


def _find_similar(conn: Connection, candidates: Sequence[ImportedDocument]) -> set[int]:
    """The numbers of the documents that are similar to a stored one of their site."""
    pages = find_candidates(conn, [one.bands for one in candidates])
    if not any(pages):
        return set()
    found = _read(conn, _PAGE_URLS, documents.c.ledger_id, (page for some in pages for page in some))
    editions = {row.ledger_id: find_edition(row.url) for row in found}
    return {number for number, some in enumerate(pages) if any(editions.get(page) == candidates[number].edition for page in some)}


def _insert(conn: Connection, new: Sequence[ImportedDocument], now: datetime) -> None:
    if not new:
        return
    stamp, plans = make_stamp(conn, now), RevisitPlans(conn, {one.document.source for one in new})
    made = [_make_row(one, plans, now) for one in new]
    insert_hosts(conn, (row["host"] for row in made))
    insert_many(conn, ledger, sorted(made, key=lambda row: str(row["url_key"])))
    ids = {row.url_key: row.id for row in _read(conn, _ROW_IDS, ledger.c.url_key, (one.key for one in new))}
    stored = [{**one.row, "archive_ref": None, "ledger_id": ids[one.key], "stored_at": stamp} for one in new]
    insert_many(conn, documents, sorted(stored, key=lambda row: str(row["id"])))
    bands = [{"ledger_id": ids[one.key], **dict(zip(BANDS, one.bands, strict=True))} for one in new if one.bands is not None]
    insert_many(conn, fingerprints, sorted(bands, key=lambda row: row["ledger_id"]))
    for batch in batches([one.document.id for one in new]):
        conn.execute(delete(fingerprints_due).where(is_any(conn, fingerprints_due.c.document_id, batch)))
    counters = CounterUpdates()
    for source, number in Counter(one.document.source for one in new).items():
        counters.add(now, source, Kind.PAGE, FOUND, number)
        counters.add(now, source, Kind.PAGE, Outcome.STORED, number)
    counters.write(conn)


def _make_row(one: ImportedDocument, plans: RevisitPlans, now: datetime) -> dict[str, Any]:
    document = one.document
    return {
        **one.page,
        "state": OUTCOMES[Outcome.STORED].state.value,
        "outcome": Outcome.STORED.value,
        "ended_at": now,
        "final_url": document.url,
        "status": _OK,
        "fetched_at": document.fetched_at,
        "received_at": now,
        "segment": None,
        "offset": None,
        "document_id": document.id,
        "revisit_at": plans.find_next(document.source, document, now, RevisitResult.UNCHANGED),
    }


def _split(found: Sequence[ImportedDocument]) -> Iterator[list[ImportedDocument]]:
    """Batches for a commit each, with one document per URL."""
    batch: dict[str, ImportedDocument] = {}
    for one in found:
        if one.key in batch or len(batch) == COMMIT_DOCUMENTS:
            yield [*batch.values()]
            batch = {}
        batch[one.key] = one
    if batch:
        yield [*batch.values()]


def _store_as_worker(conn: Connection, found: Sequence[ImportedDocument], now: datetime, *, replaces: bool) -> Counter[str]:
    """Claim the rows of the documents, and end them as the results of a worker."""
    # A worker locks documents before rows.
    lock_ids(conn, {key for one in found for key in (*one.identities, f"content {one.document.content_hash}")})
    ordered = sorted((one.page for one in found), key=lambda row: str(row["url_key"]))
    insert_hosts(conn, (row["host"] for row in ordered))
    new = set(INSERT.run_returning_keys(conn, ordered))
    rows = {row.url_key: row for row in conn.execute(_LOCKED_ROWS, {"b_ids": [one.key for one in found]})}
    open_to = [one for one in found if rows[one.key].kind == Kind.PAGE and rows[one.key].outcome != Outcome.TAKEDOWN]
    counts = Counter({"refused": len(found) - len(open_to)})
    if not replaces:
        owned = {row.ledger_id: row for row in _read(conn, _OWNED, documents.c.ledger_id, (rows[one.key].id for one in open_to))}
        others = {
            one.key for one in open_to if (old := owned.get(rows[one.key].id)) and results.is_of_others(old, old.source, one.document)
        }
        open_to = [one for one in open_to if one.key not in others]
        counts["kept"] = len(others)
    claimed = [_claim(conn, one, rows[one.key], now) for one in open_to]
    counters = CounterUpdates()
    for row in (rows[one.key] for one in open_to):
        if row.url_key in new:
            counters.add(now, row.source, row.kind, FOUND)
        counters.undo(row.ended_at, row.source, row.kind, row.outcome)
    counters.write(conn)
    stored = {row.id for row in _read(conn, _STORED, documents.c.id, (key for one in found for key in one.identities))}
    for decision in results.write(conn, claimed, now, keeps_others=not replaces):
        counts[_name(decision.record.outcome, decision.document, stored)] += 1
    return counts


def _claim(conn: Connection, one: ImportedDocument, row: AnyRow, now: datetime) -> Result:
    page = None if row.segment is None else f"{row.segment}@{row.offset}"
    values = {"b_id": row.id, "b_owner": FOUND_BY, "b_until": now + timedelta(seconds=CLAIM_SECONDS)}
    if page is not None and page == one.document.archive_ref:  # extracted again
        document, segment, offset = one.document, row.segment, row.offset
        conn.execute(_CLAIM, values)
    else:
        document, segment, offset = replace(one.document, archive_ref=None), None, None
        place = {"b_segment": None, "b_offset": None, "b_fetched_at": document.fetched_at, "b_received_at": now, "b_url": document.url}
        conn.execute(_CLAIM_OTHER_PAGE, values | place)
    claim = ClaimedPage(row.id, row.url, row.source, row.fence + 1, segment or "", offset or 0, 0, row.first_seen_at, now, again=True)
    return Result(claim, ExtractionResult(OutcomeRecord(Outcome.STORED), document))


def _name(outcome: Outcome, document: Document | None, stored: set[str]) -> str:
    """The field of ImportCounts for a document that ended like this. `stored`: the ids that the store had before."""
    if document is not None:
        return "known" if outcome is Outcome.UNCHANGED else "changed" if document.id in stored else "stored"
    return "duplicate" if outcome is Outcome.DUPLICATE else "refused"


def _insert_outcomes(conn: Connection, found: Sequence[CaptureOutcome], found_on: str, now: datetime) -> Counter[str]:
    rows: dict[str, dict[str, Any]] = {}
    counts: Counter[str] = Counter()
    for one in found:
        try:
            row = make_row(Link(one.url or "", found_by=FOUND_BY, found_on=found_on), now)
        except UrlError:
            counts["invalid"] += 1
            continue
        outcome = Outcome(one.outcome)
        ending = {"state": OUTCOMES[outcome].state.value, "outcome": outcome.value, "detail": one.detail, "ended_at": now}
        failing = {"failing_since": now if is_failure(Kind.PAGE, outcome) else None, "fetched_at": one.at}
        rows.setdefault(row["url_key"], row | ending | failing)
    counts["failed"] = len(insert_rows(conn, rows, now))
    counts["known"] = len(found) - counts.total()
    return counts
