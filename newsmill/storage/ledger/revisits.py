"""Revisits: what fetching a stored article again leaves in the ledger.

A row keeps its outcome and the time of it while it passes through the states once more, so an open row of a page that has an outcome is
under a revisit, and no counter changes. A revisit that brings no document (a refusal, an error, a consent dialog, a page that is gone) ends
here: the row and its document stay as they were. `results` stores a page that was read.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, bindparam, or_, select, update

from newsmill.discovery.url_variants import is_same_edition
from newsmill.model import OUTCOMES, SPIDER, Document, Kind, Outcome, OutcomeRecord, Source
from newsmill.polling.revisits import RevisitResult, compute_next_revisit, find_age_start
from newsmill.storage.columns import load_source
from newsmill.storage.schema import documents, ledger, sources
from newsmill.storage.statements import FREE, IS_LISTING, NOW, AnyRow
from newsmill.storage.storing_order import make_stamp

SAME_TEXT = (Outcome.NOT_MODIFIED, Outcome.UNCHANGED)  # outcomes of a revisit that found the article as it was

NOT_A_REVISIT = or_(IS_LISTING, ledger.c.outcome.is_(None))  # of an open row
_IDS: Any = bindparam("b_ids", expanding=True)
REVISIT_AT = bindparam("b_revisit_at", type_=ledger.c.revisit_at.type)
_SOURCES = select(sources).where(sources.c.name.in_(bindparam("b_names", expanding=True)))
OF_ID = ledger.c.id == bindparam("b_id")
_OWNERS = select(ledger.c.id, ledger.c.document_id).where(ledger.c.id.in_(_IDS), ledger.c.document_id.is_not(None))
_DOCUMENTS = select(
    *(documents.c[name] for name in ("id", "ledger_id", "url", "requested_url", "fetched_at", "archive_ref", "extractor")),
    *(documents.c[name] for name in ("first_seen_at", "published_at", "published_precision", "gone_at")),
).where(documents.c.ledger_id.in_(_IDS))
_END = (
    update(ledger)
    .where(OF_ID)
    .values(**FREE, state=bindparam("b_state"), detail=None, stage=None, attempts=0, crashes=0, revisit_at=REVISIT_AT)
)
_END_FAILED = _END.values(failure=bindparam("b_failure"), failure_detail=bindparam("b_failure_detail"), failed_at=NOW)
# The archived page is that of the document again.
_RESTORE_PAGE = (
    update(ledger)
    .where(OF_ID)
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


def read_sources(conn: Connection, names: Iterable[str]) -> dict[str | None, Source]:
    found = conn.execute(_SOURCES, {"b_names": sorted(names)}).all()
    return {row.name: load_source(row.plan, row.enabled) for row in found}


class RevisitPlans:
    """The revisit steps of some sources, read once."""

    def __init__(self, conn: Connection, names: Iterable[str | None]) -> None:
        wanted = {name for name in names if name is not None}
        self._steps = {name: source.revisit for name, source in read_sources(conn, wanted).items()} if wanted else {}

    def find_next(self, source: str | None, document: Document | AnyRow, now: datetime, result: RevisitResult) -> datetime | None:
        """When a document is revisited after a fetch with this result. Items of spiders are not: no page of theirs was fetched."""
        if document.extractor == SPIDER:
            return None
        start = find_age_start(document.first_seen_at, document.published_at, document.published_precision)
        return compute_next_revisit(self._steps.get(source, ()), start, now, result)


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
