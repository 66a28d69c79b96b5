"""The commit that ends a few pages: rows, documents and counters together, or none of them.

Two workers with the same page, or with two URLs of one document, do no harm. Documents are locked first, in the order of their ids, and
ledger rows next, in the order of theirs. Results whose fence is outdated are then left out before anything is decided.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, String, bindparam, case, func, select, update

from newsmill.discovery.source_sites import LISTED_BY, is_hint_trusted
from newsmill.discovery.url_variants import is_same_edition
from newsmill.model import OUTCOMES, SPIDER, Document, Outcome, OutcomeRecord, Rendering, is_doubtful
from newsmill.polling.revisits import RevisitResult
from newsmill.search import indexer
from newsmill.storage import fingerprints, revisions, url_parameters
from newsmill.storage.columns import make_storable_json
from newsmill.storage.counter_updates import CounterUpdates
from newsmill.storage.dialects import Upsert
from newsmill.storage.documents import to_row
from newsmill.storage.ledger import revisits
from newsmill.storage.ledger.adoption import read_sites
from newsmill.storage.ledger.article_identity import StoredPage, is_placeholder, is_same_article
from newsmill.storage.ledger.claims import RENEW, Result
from newsmill.storage.ledger.ended_rows import REEXTRACT, REQUEUED
from newsmill.storage.ledger.revisits import EndedRevisit, RevisitPlans
from newsmill.storage.ledger.store_decisions import StoreDecision, decide, duplicate_of
from newsmill.storage.ledger.stored_pages import list_documents, lock_documents
from newsmill.storage.ledger.takedown_check import refuse_removed
from newsmill.storage.schema import documents, ledger
from newsmill.storage.statements import FREE, NOW, RECORD_FAILURE, SET_FAILING, AnyRow, fenced, is_failure, state_is
from newsmill.storage.storing_order import make_stamp
from newsmill.storage.url_parameters import Copy
from newsmill.text.sentences import Sentence, keyed
from newsmill.text.urls import find_site, get_profile_site

_ROWS = (
    select(
        ledger.c.id,
        ledger.c.fence,
        ledger.c.state,
        ledger.c.source,
        ledger.c.kind,
        ledger.c.outcome,
        ledger.c.ended_at,
        ledger.c.document_id,
        ledger.c.url,
        ledger.c.found_by,
        ledger.c.found_on,
    )
    .where(ledger.c.id.in_(bindparam("b_ids", expanding=True)))
    .order_by(ledger.c.id)
    .with_for_update()
)
_END = (
    update(ledger)
    .where(fenced("processing"))
    .values(
        **FREE,
        **SET_FAILING,
        state=bindparam("b_state"),
        outcome=bindparam("b_outcome"),
        detail=bindparam("b_detail"),
        stage=None,
        ended_at=bindparam("b_at", type_=ledger.c.ended_at.type),
        document_id=func.coalesce(bindparam("b_document", type_=String), ledger.c.document_id),
        revisit_at=bindparam("b_revisit_at", type_=ledger.c.revisit_at.type),
    )
)
_RETRY = (
    update(ledger)
    .where(fenced("processing"))
    .values(
        **FREE,
        state="due",
        next_at=NOW,
        attempts=ledger.c.attempts + bindparam("b_counted"),
        rendering=bindparam("b_rendering", type_=String),
        crashes=0,
        outcome=None,
        detail=bindparam("b_detail"),
        stage=None,
        ended_at=None,
    )
)
_RETRY_FAILED = _RETRY.values(**RECORD_FAILURE)
_RETRY_WITH_PARTS = _RETRY.values(parts=[])
_DISPLACE = (
    update(ledger)
    .where(ledger.c.id == bindparam("b_id"))
    .values(
        state=case((state_is("done"), OUTCOMES[Outcome.DUPLICATE].state.value), else_=ledger.c.state),
        outcome=Outcome.DUPLICATE.value,
        detail=bindparam("b_detail"),
        revisit_at=None,
    )
)
_EXTRACT_DISPLACED = (
    update(ledger)
    .where(ledger.c.id == bindparam("b_id"))
    .values(**REQUEUED | {"state": "fetched", "stage": REEXTRACT, "next_at": NOW, "document_id": None})
)
_RENDER_NEXT = update(ledger).where(ledger.c.id == bindparam("b_id")).values(rendering=Rendering.WANTED.value)
_FETCH_PARTS_NEXT = update(ledger).where(ledger.c.id == bindparam("b_id")).values(parts=[])
# Fields that every new fetch or extraction may change do not change a document; `confidence` is one where it makes it doubtful.
_SILENT_FIELDS = ("fetched_at", "archive_ref", "extractor", "profile_version", "confidence")
_UNSTATED_FIELDS = {*_SILENT_FIELDS, "ledger_id", "stored_at", "changed_at", "site"}
_STATED_FIELDS = tuple(column.name for column in documents.c if column.name not in _UNSTATED_FIELDS)
_STATED = select(*(documents.c[name] for name in (*_STATED_FIELDS, *_SILENT_FIELDS, "changed_at")))
_WRITE = Upsert(documents, ("id",), lambda new: {column.name: new[column.name] for column in documents.c if column.name != "id"})


def store(conn: Connection, results: Sequence[Result], now: datetime, owner: str, seconds: float) -> dict[Outcome, int]:
    decisions = write(conn, results, now)
    for segment in sorted({result.claim.segment for result in results}):
        conn.execute(RENEW, {"b_segment": segment, "b_owner": owner, "b_until": now + timedelta(seconds=seconds)})
    ended: dict[Outcome, int] = {}
    for decision in decisions:
        ended[decision.record.outcome] = ended.get(decision.record.outcome, 0) + 1
    return ended


def write(conn: Connection, results: Sequence[Result], now: datetime, *, keeps_others: bool = False) -> list[StoreDecision]:
    """Decide the results whose claims are in force, and write what follows.

    `keeps_others`: a result that would write a document which was fetched here, or is of another source, is a duplicate of it.
    """
    owned = revisits.find_owned(conn, [result.claim.id for result in results])
    stored = lock_documents(conn, results, owned)
    rows = _lock_rows(conn, results, stored)
    current = [result for result in results if _is_claimed(result, rows)]
    current = refuse_removed(conn, current, rows, stored, now)
    current = [_refuse_foreign(result) for result in current]
    current = _end_failed_revisits(conn, current, owned, stored, rows, now)
    _retry_later(conn, [result for result in current if result.retry_at is not None], now)
    current = [result for result in current if result.retry_at is None]
    stamp = make_stamp(conn, now) if list_documents(current) else now
    decisions = decide(current, stored, stamp, owned, _find_foreign(conn, rows, stored))
    if keeps_others:
        decisions = [_keep_others(decision, stored, rows) for decision in decisions]
    _write(conn, decisions, rows, stamp, now)
    return decisions


def _keep_others(decision: StoreDecision, stored: Mapping[str, StoredPage], rows: Mapping[int, AnyRow]) -> StoreDecision:
    old = None if decision.document is None else stored.get(decision.document.id)
    if decision.document is None or old is None or not is_of_others(old, rows[old.ledger_id].source, decision.document):
        return decision
    return StoreDecision(decision.result, duplicate_of(decision.document.id), document_id=decision.document.id)


def is_of_others(old: Any, source: str | None, document: Document) -> bool:
    """Whether a stored document was fetched here, so that the archive has its page, or is of another source than an imported one.

    `old`: has the `archive_ref` of the stored document. `source`: of the stored document.
    """
    return old.archive_ref is not None or source != document.source


def _refuse_foreign(result: Result) -> Result:
    """The result; without a document where its page is on another site than the URL of the row, which must not own a document there."""
    document, url = result.reading.document, result.claim.url
    if document is None or document.extractor == SPIDER or find_site(document.url) == find_site(url):
        return result
    ending = OutcomeRecord(Outcome.OFF_SITE, Sentence("leads to {url}", url=document.url))
    return replace(result, reading=replace(result.reading, document=None, ending=ending))


def _lock_rows(conn: Connection, results: Sequence[Result], stored: dict[str, StoredPage]) -> dict[int, AnyRow]:
    ids = {result.claim.id for result in results} | {document.ledger_id for document in stored.values()}
    return {row.id: row for row in conn.execute(_ROWS, {"b_ids": sorted(ids)})}


def _find_foreign(conn: Connection, rows: Mapping[int, AnyRow], stored: Mapping[str, StoredPage]) -> frozenset[int]:
    """The rows that only other sites link to, if one of them owns a document that another row may repeat."""
    listed = [row for row in rows.values() if row.found_by in LISTED_BY and row.found_on is not None]
    maybe = [row for row in listed if not is_hint_trusted(frozenset(), row.found_by, row.found_on, row.url)]
    if not maybe or not stored:
        return frozenset()
    sites = read_sites(conn, {row.source for row in maybe})
    return frozenset(row.id for row in maybe if not _is_own_link(row, sites))


def _is_claimed(result: Result, rows: dict[int, AnyRow]) -> bool:
    row = rows.get(result.claim.id)
    return row is not None and row.state == "processing" and row.fence == result.claim.fence


def _end_failed_revisits(
    conn: Connection,
    results: Sequence[Result],
    owned: Mapping[int, str],
    stored: Mapping[str, StoredPage],
    rows: Mapping[int, AnyRow],
    now: datetime,
) -> list[Result]:
    """End the revisits that brought nothing for the document of their row. Returns the other results, with the ids of these documents."""
    kept: list[Result] = []
    failed: list[EndedRevisit] = []
    for result in results:
        row, document_id = rows[result.claim.id], owned.get(result.claim.id)
        stored_page = None if document_id is None else stored.get(document_id)
        if document_id is None or stored_page is None or stored_page.ledger_id != row.id or not revisits.is_revisit(row):
            kept.append(result)
        elif (failure := _find_revisit_failure(result, document_id, stored)) is not None:
            failed.append(EndedRevisit(row, failure, result.retry_at, has_saved_page=True))
        elif result.reading.document is not None:  # the article keeps its id when its URL or its canonical URL changes
            document = replace(result.reading.document, id=document_id)
            kept.append(replace(result, reading=replace(result.reading, document=document)))
    revisits.end(conn, failed, now)
    ended = [result for result in results if result not in kept]
    to_render = [{"b_id": result.claim.id} for result in ended if result.wants_rendering]
    to_complete = [{"b_id": result.claim.id} for result in ended if result.wants_parts]
    for statement, values in ((_RENDER_NEXT, to_render), (_FETCH_PARTS_NEXT, to_complete)):
        if values:
            conn.execute(statement, values)
    return kept


def _find_revisit_failure(result: Result, document_id: str, stored: Mapping[str, StoredPage]) -> OutcomeRecord | None:
    """Why the page of a revisit must not replace the document; None if it is the same article."""
    document = result.reading.document
    if document is None or result.retry_at is not None or result.reading.ending.outcome is not Outcome.STORED:
        return result.reading.ending
    url, stored_url = result.claim.url, stored[document_id].url
    if not is_same_edition(document.url, stored_url) and not is_same_edition(url, stored_url):
        return OutcomeRecord(Outcome.OFF_SITE, Sentence("the URL does not lead to {url} any more", url=stored_url))
    if document.id == document_id:
        is_imported = stored[document_id].archive_ref is None  # its text is the statement of a file: the page itself replaces it
        is_other = not is_imported and is_placeholder(document, stored[document_id])
        placeholder = Sentence("the page shows another text for now: {title}", title=document.title)
        return OutcomeRecord(Outcome.NOT_ARTICLE, placeholder) if is_other else None
    if document.id in stored:
        return OutcomeRecord(Outcome.DUPLICATE, Sentence("the URL leads to document {id} now", id=document.id))
    if is_same_article(document, stored[document_id].title, stored[document_id].text):
        return None
    return OutcomeRecord(Outcome.NOT_ARTICLE, Sentence("the URL leads to another article now: {url}", url=document.url))


def _retry_later(conn: Connection, results: Sequence[Result], now: datetime) -> None:
    to_render = [_retry_values(result) for result in results if result.wants_rendering]
    to_complete = [_retry_values(result) for result in results if result.wants_parts]
    failed = [_retry_values(result) | _failure_values(result, now) for result in results if not _is_success(result)]
    for statement, values in ((_RETRY, to_render), (_RETRY_WITH_PARTS, to_complete), (_RETRY_FAILED, failed)):
        if values:
            conn.execute(statement, values)


def _is_success(result: Result) -> bool:
    """Whether a retry is not due to a failure: another way to fetch the page shows more of it."""
    return result.wants_rendering or result.wants_parts


def _retry_values(result: Result) -> dict[str, Any]:
    is_rendered = result.wants_rendering or (result.wants_parts and result.claim.rendering is not None)
    return {
        "b_id": result.claim.id,
        "b_fence": result.claim.fence,
        "b_now": result.retry_at,
        "b_detail": _retry_detail(result),
        "b_counted": 0 if _is_success(result) else 1,
        "b_rendering": Rendering.WANTED.value if is_rendered else None,
    }


def _failure_values(result: Result, now: datetime) -> dict[str, Any]:
    ending = result.reading.ending
    return {"b_failed_at": now, "b_failure": ending.outcome.value, "b_failure_detail": ending.detail}


def _retry_detail(result: Result) -> str:
    ending = result.reading.ending
    if result.wants_parts:
        return Sentence("the article continues at {url}", url=result.reading.next_page)
    return keyed(ending.outcome, ending.detail or "")


def _write(conn: Connection, decisions: Sequence[StoreDecision], rows: dict[int, AnyRow], stamp: datetime, now: datetime) -> None:
    counters = CounterUpdates()
    ends = [(decision, _ended_at(decision, rows[decision.result.claim.id], now)) for decision in decisions]
    if ends:
        plans = RevisitPlans(conn, {rows[decision.result.claim.id].source for decision in decisions if decision.document is not None})
        conn.execute(_END, [_outcome_values(decision, rows[decision.result.claim.id], at, now, plans) for decision, at in ends])
    for decision, at in ends:
        row = rows[decision.result.claim.id]
        counters.undo(row.ended_at, row.source, row.kind, row.outcome)  # a row under a revisit has one
        counters.add(at, row.source, row.kind, _outcome_of(decision, row).outcome.value)
        if decision.displaced is not None:
            _displace(conn, rows[decision.displaced], decision, counters, now)
    _learn_parameters(conn, decisions, rows)
    rows_to_write = _document_rows(decisions, _find_sources(conn, decisions, rows))
    revisions.discard(conn, [decision.document_id for decision in decisions if decision.discards_history])
    write_documents(conn, rows_to_write, stamp)
    counters.write(conn)


def write_documents(conn: Connection, rows: Sequence[dict[str, Any]], stamp: datetime) -> None:
    """Write documents (locked, in the order of their ids) with their revisions, search entries and fingerprints."""
    _stamp_changed(conn, rows, stamp)
    revisions.keep_replaced(conn, rows)
    _WRITE.run(conn, rows)
    indexer.index_changed(conn, rows)
    fingerprints.refresh(conn, rows)


def _learn_parameters(conn: Connection, decisions: Sequence[StoreDecision], rows: Mapping[int, AnyRow]) -> None:
    """Note what new documents and copies say about the parameters of their URLs. A page that is extracted again says nothing new.

    Links of other sites, of people and of programs say nothing: they could show copies that the site itself never links to.
    """
    first = [decision for decision in decisions if not decision.result.claim.again]
    articles = [
        decision.document
        for decision in first
        if decision.document is not None and decision.document.revision == 1 and decision.record.outcome is Outcome.STORED
    ]
    copied = [decision for decision in first if decision.copy_of is not None]
    sites = read_sites(conn, {rows[decision.result.claim.id].source for decision in copied})
    copies = [
        Copy(decision.result.claim.url, decision.copy_of, decision.document_id)
        for decision in copied
        if decision.copy_of is not None and decision.document_id is not None and _is_own_link(rows[decision.result.claim.id], sites)
    ]
    if articles or copies:
        url_parameters.learn(conn, [decision.result.claim.id for decision in decisions], copies, articles)


def _is_own_link(row: AnyRow, sites: Mapping[str | None, frozenset[str]]) -> bool:
    """Whether a listing of the site itself shows the page."""
    return row.found_by in LISTED_BY and is_hint_trusted(sites.get(row.source, frozenset()), row.found_by, row.found_on, row.url)


def _ended_at(decision: StoreDecision, row: AnyRow, now: datetime) -> datetime:
    """When the page ended; a page that is extracted again keeps its time, so that an old page is not counted as new."""
    ended_at: datetime | None = row.ended_at  # kept by `ended_rows.requeue_for_extraction`
    return ended_at if decision.document is not None and ended_at is not None else now


def _outcome_of(decision: StoreDecision, row: AnyRow) -> OutcomeRecord:
    """The outcome of the row: after a revisit of its document the one that it had."""
    if decision.document is not None and row.outcome is not None:
        return OutcomeRecord(Outcome(row.outcome))
    return decision.record


def _outcome_values(decision: StoreDecision, row: AnyRow, at: datetime, now: datetime, plans: RevisitPlans) -> dict[str, Any]:
    claim, ending, document = decision.result.claim, _outcome_of(decision, row), decision.document
    is_changed = row.outcome is not None and decision.record.outcome is Outcome.STORED
    result = RevisitResult.CHANGED if is_changed else RevisitResult.UNCHANGED
    return {
        "b_revisit_at": None if document is None else plans.find_next(row.source, document, now, result),
        "b_id": claim.id,
        "b_fence": claim.fence,
        "b_state": OUTCOMES[ending.outcome].state.value,
        "b_outcome": ending.outcome.value,
        "b_detail": ending.detail,
        "b_document": decision.document_id,
        "b_at": at,
        "b_failed_at": at if is_failure(row.kind, ending.outcome) else None,
    }


def _find_sources(conn: Connection, decisions: Sequence[StoreDecision], rows: Mapping[int, AnyRow]) -> dict[int, str]:
    """The sources of the rows that took over a page: the archived page has the source of its fetch, which does not speak for its site."""
    others = {
        row.id: (row.source, document)
        for decision in decisions
        if (document := decision.document) is not None
        and (row := rows[decision.result.claim.id]).source is not None
        and row.source != document.source
    }
    if not others:
        return {}
    sites = read_sites(conn, {name for source, document in others.values() for name in (source, document.source)})
    return {
        row_id: source
        for row_id, (source, document) in others.items()
        if find_site(document.url) in sites.get(source, ()) and find_site(document.url) not in sites.get(document.source, ())
    }


def _document_rows(decisions: Sequence[StoreDecision], sources: Mapping[int, str]) -> list[dict[str, Any]]:
    """Document rows in the order of their ids; of two for one id the later, which includes the earlier.

    `sources`: by row of the ledger, where it is not that of the page.
    """
    rows = {}
    for decision in decisions:
        if decision.document is not None:
            row = make_document_row(decision.document, decision.result.claim.id, decision.stored_at)
            rows[decision.document.id] = row | {"source": sources.get(decision.result.claim.id, row["source"])}
    return [rows[document_id] for document_id in sorted(rows)]


def _stamp_changed(conn: Connection, rows: Sequence[dict[str, Any]], stamp: datetime) -> None:
    """Give the stamp to changed documents: to `stored_at`, so that readers of changes get them again, or to `changed_at`."""
    unmoved = [row for row in rows if row["stored_at"] != stamp]
    if not unmoved:
        return
    found = conn.execute(_STATED.where(documents.c.id.in_(bindparam("b_ids", expanding=True))), {"b_ids": [row["id"] for row in unmoved]})
    stored = {row["id"]: row for row in found.mappings()}
    for row in unmoved:
        if (old := stored.get(row["id"])) is None:
            continue
        if _list_stated(row) != _list_stated(old):
            row["stored_at"] = stamp
        else:
            is_changed = any(make_storable_json(row[name]) != old[name] for name in _SILENT_FIELDS)
            row["changed_at"] = stamp if is_changed else old["changed_at"]


def _list_stated(row: Mapping[Any, Any]) -> list[Any]:
    """What a document states, as the database returns it."""
    return [make_storable_json(row[name]) for name in _STATED_FIELDS] + [is_doubtful(row["confidence"])]


def make_document_row(document: Document, ledger_id: int, stored_at: datetime | None) -> dict[str, Any]:
    """The row of a document. Its site is the one that learns from it; None for an item, which has no HTML."""
    site = None if document.extractor == SPIDER else get_profile_site(document.url)
    return to_row(document) | {"ledger_id": ledger_id, "stored_at": stored_at, "changed_at": None, "site": site}


def _displace(conn: Connection, row: AnyRow, decision: StoreDecision, counters: CounterUpdates, now: datetime) -> None:
    """Make the row that owned the document a duplicate. One that is fetched or extracted again gets its outcome then.

    A row with another article named this canonical URL by mistake: its page is extracted again, and gets a document of its own.

    The outcome of one under a revisit is changed at once: the revisit ends with it.
    """
    if row.state != "done" and not revisits.is_revisit(row):
        return
    counters.undo(row.ended_at, row.source, row.kind, row.outcome)
    if decision.extracts_displaced and row.state == "done":
        conn.execute(_EXTRACT_DISPLACED, {"b_id": row.id, "b_now": now})
        return
    conn.execute(_DISPLACE, {"b_id": row.id, "b_detail": duplicate_of(decision.document_id).detail})
    counters.add(row.ended_at, row.source, row.kind, Outcome.DUPLICATE.value)
