"""Stored articles are fetched again: which are due, and what a revisit leaves in the ledger.

A row keeps its outcome and the time of it while it passes through the states once more, so an open row of a page that has an outcome is
under a revisit, and no counter changes. A revisit that brings no document (a refusal, an error, a consent dialog, a page that is gone) ends
here: the row and its document stay as they were. `results` stores a page that was read.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, bindparam, func, or_, select, update

from newsmill.discovery.schedule import RevisitResult, compute_next_revisit, find_age_start
from newsmill.discovery.url_patterns import is_same_edition
from newsmill.model import OUTCOMES, SPIDER, Document, Kind, Outcome, OutcomeRecord, Source
from newsmill.storage.columns import load_source
from newsmill.storage.documents import make_stamp
from newsmill.storage.ledger.priority import RANK_REVISIT
from newsmill.storage.schema import documents, hosts, ledger, publisher_orders, sources
from newsmill.storage.statements import FREE, IS_LISTING, LIMIT, NOW, AnyRow, state_is

SHARE_OF_REQUESTS = 0.25  # of a host's requests, at most
MAX_DUE_AHEAD = timedelta(minutes=5)  # revisits that are due later wait outside the crawler's queue, where new pages cost nothing
MAX_DUE_PER_PASS = 500  # of the scheduler, in one transaction
MAX_DUE_PER_HOST = 100  # of a host that is paused, or busy with new pages; the others wait too
SAME_TEXT = (Outcome.NOT_MODIFIED, Outcome.UNCHANGED)  # outcomes of a revisit that found the article as it was
PAUSED_WAIT = timedelta(days=1)  # of an article whose source is paused

NOT_A_REVISIT = or_(IS_LISTING, ledger.c.outcome.is_(None))  # of an open row

_HOSTS: Any = bindparam("b_hosts", expanding=True)
_IDS: Any = bindparam("b_ids", expanding=True)
_REVISIT_AT = bindparam("b_revisit_at", type_=ledger.c.revisit_at.type)
_DUE_ID = select(ledger.c.id).where(ledger.c.revisit_at <= NOW).limit(1)
_DUE = (
    select(ledger.c.id, ledger.c.state, ledger.c.host, ledger.c.source)
    .where(ledger.c.revisit_at <= NOW)
    .order_by(ledger.c.revisit_at)
    .limit(LIMIT)
    .with_for_update(skip_locked=True)
)
_SOURCES = select(sources).where(sources.c.name.in_(bindparam("b_names", expanding=True)))
_DELAYS = (
    select(hosts.c.host, hosts.c.crawl_delay, publisher_orders.c.delay)
    .outerjoin(publisher_orders, publisher_orders.c.host == hosts.c.host)
    .where(hosts.c.host.in_(_HOSTS))
)
_QUEUED = (
    select(ledger.c.host, func.count().label("n"), func.max(ledger.c.next_at).label("last"))
    .where(ledger.c.host.in_(_HOSTS), state_is("due"), ledger.c.rank == RANK_REVISIT)
    .group_by(ledger.c.host)
)
_OF_ID = ledger.c.id == bindparam("b_id")
_MAKE_DUE = update(ledger).where(_OF_ID).values(state="due", rank=RANK_REVISIT, next_at=NOW, attempts=0, revisit_at=None)
_PLAN = update(ledger).where(_OF_ID).values(revisit_at=_REVISIT_AT)
_OWNERS = select(ledger.c.id, ledger.c.document_id).where(ledger.c.id.in_(_IDS), ledger.c.document_id.is_not(None))
_DOCUMENTS = select(
    *(documents.c[name] for name in ("id", "ledger_id", "url", "requested_url", "fetched_at", "archive_ref", "extractor")),
    *(documents.c[name] for name in ("first_seen_at", "published_at", "published_precision", "gone_at")),
).where(documents.c.ledger_id.in_(_IDS))
_END = (
    update(ledger)
    .where(_OF_ID)
    .values(**FREE, state=bindparam("b_state"), detail=None, stage=None, attempts=0, crashes=0, revisit_at=_REVISIT_AT)
)
_END_FAILED = _END.values(failure=bindparam("b_failure"), failure_detail=bindparam("b_failure_detail"), failed_at=NOW)
# The archived page is that of the document again.
_RESTORE_PAGE = (
    update(ledger)
    .where(_OF_ID)
    .values(
        segment=bindparam("b_segment"),
        offset=bindparam("b_offset"),
        final_url=bindparam("b_url"),
        status=200,
        fetched_at=bindparam("b_fetched_at", type_=ledger.c.fetched_at.type),
    )
)
_RESTORE_PAGE_ONLY = _RESTORE_PAGE.values(etag=None, last_modified=None)  # the validators are those of the page that replaced it
_SET_GONE = (
    update(documents)
    .where(documents.c.id == bindparam("b_document"))
    .values(
        gone_at=bindparam("b_gone_at", type_=documents.c.gone_at.type), stored_at=bindparam("b_stamp", type_=documents.c.stored_at.type)
    )
)


@dataclass(frozen=True, slots=True)
class EndedRevisit:
    """A revisit that brought no document. `row`: its locked row, with id, source, outcome and document_id."""

    row: AnyRow
    ending: OutcomeRecord
    not_before: datetime | None = None  # the server requires this wait
    has_saved_page: bool = False  # the fetched page is in the row, in place of the page of the document


def is_revisit(row: AnyRow) -> bool:
    """Whether an open row (with kind and outcome) is under a revisit. A listing keeps its outcome while it is read again."""
    return row.kind == Kind.PAGE and row.outcome is not None


# ---- what is due


def is_any_due(conn: Connection, now: datetime) -> bool:
    return conn.execute(_DUE_ID, {"b_now": now}).first() is not None


def make_due(conn: Connection, now: datetime) -> int:
    """Give the crawler up to MAX_DUE_PER_PASS articles whose revisit has come due. Returns their number.

    Those of one host are due one after the other, so that they take SHARE_OF_REQUESTS of its requests. They are leased after new pages and
    before the archive (`priority.rank`).
    """
    rows = conn.execute(_DUE, {"b_now": now, "b_limit": MAX_DUE_PER_PASS}).all()
    plans = _read_sources(conn, {row.source for row in rows if row.source is not None})
    places = _QueuePlaces(conn, sorted({row.host for row in rows}), now)
    due: list[dict[str, Any]] = []
    planned: list[dict[str, Any]] = []
    for row in rows:
        source = plans.get(row.source)
        if source is None or not source.revisit or row.state != "done":
            planned.append({"b_id": row.id, "b_revisit_at": None})
        elif not source.enabled:
            planned.append({"b_id": row.id, "b_revisit_at": now + PAUSED_WAIT})
        elif (at := places.take(row.host, source.politeness.delay)) <= now + MAX_DUE_AHEAD:
            due.append({"b_id": row.id, "b_now": at})
        else:
            planned.append({"b_id": row.id, "b_revisit_at": at})
    for statement, values in ((_MAKE_DUE, due), (_PLAN, planned)):
        if values:
            conn.execute(statement, sorted(values, key=lambda value: int(value["b_id"])))
    return len(due)


class _QueuePlaces:
    """The times at which the next revisits of each host are due."""

    def __init__(self, conn: Connection, names: Sequence[str], now: datetime) -> None:
        self._now = now
        found = conn.execute(_DELAYS, {"b_hosts": names}).all() if names else []
        self._delays: dict[str, float] = {row.host: max(row.crawl_delay or 0.0, row.delay or 0.0) for row in found}
        queued = conn.execute(_QUEUED, {"b_hosts": names}).all() if names else []
        self._last: dict[str, datetime] = {row.host: row.last for row in queued}
        self._count: dict[str, int] = {row.host: row.n for row in queued}

    def take(self, host: str, delay: float) -> datetime:
        wait = timedelta(seconds=max(delay, self._delays.get(host, 0.0)) / SHARE_OF_REQUESTS)
        at = max(self._now, self._last[host] + wait) if host in self._last else self._now
        if self._count.get(host, 0) >= MAX_DUE_PER_HOST:
            at = max(at, self._now + 2 * MAX_DUE_AHEAD)
        self._last[host] = at
        self._count[host] = self._count.get(host, 0) + 1
        return at


def _read_sources(conn: Connection, names: Iterable[str]) -> dict[str | None, Source]:
    found = conn.execute(_SOURCES, {"b_names": sorted(names)}).all()
    return {row.name: load_source(row.plan, row.enabled) for row in found}


# ---- when the next one is


class RevisitPlans:
    """The revisit steps of some sources, read once."""

    def __init__(self, conn: Connection, names: Iterable[str | None]) -> None:
        wanted = {name for name in names if name is not None}
        self._steps = {name: source.revisit for name, source in _read_sources(conn, wanted).items()} if wanted else {}

    def find_next(self, source: str | None, document: Document | AnyRow, now: datetime, result: RevisitResult) -> datetime | None:
        """When a document is revisited after a fetch with this result. Items of spiders are not: no page of theirs was fetched."""
        if document.extractor == SPIDER:
            return None
        start = find_age_start(document.first_seen_at, document.published_at, document.published_precision)
        return compute_next_revisit(self._steps.get(source, ()), start, now, result)


# ---- how it ends


def find_owned(conn: Connection, ids: Iterable[int]) -> dict[int, str]:
    """The ids of the documents that rows have, or whose copies they are. Reads without a lock."""
    return {row.id: row.document_id for row in conn.execute(_OWNERS, {"b_ids": sorted(ids)})}


def end(conn: Connection, revisits: Sequence[EndedRevisit], now: datetime) -> None:
    """End revisits that brought no document. HTTP 404 and 410 are noted in the document; one with the same text is not gone any more."""
    if not revisits:
        return
    found = conn.execute(_DOCUMENTS, {"b_ids": [revisit.row.id for revisit in revisits]}).all()
    owned: Mapping[tuple[int, str], AnyRow] = {(row.ledger_id, row.id): row for row in found}
    plans = RevisitPlans(conn, {revisit.row.source for revisit in revisits})
    for revisit in sorted(revisits, key=lambda revisit: int(revisit.row.id)):
        document = owned.get((revisit.row.id, revisit.row.document_id))
        _end_row(conn, revisit, document, plans, now)
        if document is not None:
            _note_absence(conn, revisit.ending.outcome, document, now)
            if revisit.has_saved_page and document.archive_ref is not None:
                _restore_page(conn, revisit.row.id, document, has_same_text=revisit.ending.outcome in SAME_TEXT)


def note_gone(conn: Connection, rows: Iterable[AnyRow], now: datetime) -> None:
    """Note HTTP 404 or 410 in the documents of locked rows that are not under a revisit: a person had the stored article fetched again."""
    wanted = sorted((row for row in rows if row.document_id is not None), key=lambda row: int(row.id))
    if not wanted:
        return
    found = conn.execute(_DOCUMENTS, {"b_ids": [row.id for row in wanted]}).all()
    owned: Mapping[tuple[int, str], AnyRow] = {(row.ledger_id, row.id): row for row in found}
    for row in wanted:
        if (document := owned.get((row.id, row.document_id))) is not None:
            _note_absence(conn, Outcome.GONE, document, now)


def _end_row(conn: Connection, revisit: EndedRevisit, document: AnyRow | None, plans: RevisitPlans, now: datetime) -> None:
    """A document that another URL owns by now is not revisited by this one."""
    row, ending = revisit.row, revisit.ending
    is_success = ending.outcome in SAME_TEXT
    is_known_absence = ending.outcome is Outcome.GONE and document is not None and document.gone_at is not None
    result = RevisitResult.UNCHANGED if is_success or is_known_absence else RevisitResult.FAILED
    revisit_at = None if document is None else plans.find_next(row.source, document, now, result)
    if revisit_at is not None and revisit.not_before is not None:
        revisit_at = max(revisit_at, revisit.not_before)
    values = {"b_id": row.id, "b_state": OUTCOMES[Outcome(row.outcome)].state.value, "b_revisit_at": revisit_at}
    if is_success:
        conn.execute(_END, values)
    else:
        conn.execute(_END_FAILED, values | {"b_failure": ending.outcome.value, "b_failure_detail": ending.detail, "b_now": now})


def _note_absence(conn: Connection, outcome: Outcome, document: AnyRow, now: datetime) -> None:
    is_gone = outcome is Outcome.GONE
    if is_gone and not is_same_edition(document.requested_url, document.url):
        return  # a URL on another host that led to the article has gone, and not the article
    if is_gone == (document.gone_at is not None) or (not is_gone and outcome not in SAME_TEXT):
        return
    values = {"b_document": document.id, "b_gone_at": now if is_gone else None, "b_stamp": make_stamp(conn, now)}
    conn.execute(_SET_GONE, values)


def _restore_page(conn: Connection, row_id: int, document: AnyRow, *, has_same_text: bool) -> None:
    segment, _, offset = document.archive_ref.partition("@")
    values = {"b_id": row_id, "b_segment": segment, "b_offset": int(offset), "b_url": document.url, "b_fetched_at": document.fetched_at}
    conn.execute(_RESTORE_PAGE if has_same_text else _RESTORE_PAGE_ONLY, values)
