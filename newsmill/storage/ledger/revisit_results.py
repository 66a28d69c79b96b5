"""Revisits whose page must not replace the document of their row. Part of the commit of `results`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime

from sqlalchemy import Connection, bindparam, update

from newsmill.model import Outcome, OutcomeRecord, Rendering
from newsmill.storage.ledger import revisits
from newsmill.storage.ledger.article_identity import StoredPage, is_same_article
from newsmill.storage.ledger.records import Result
from newsmill.storage.ledger.revisits import EndedRevisit
from newsmill.storage.schema import ledger
from newsmill.storage.statements import AnyRow

_RENDER_NEXT = update(ledger).where(ledger.c.id == bindparam("b_id")).values(rendering=Rendering.WANTED.value)


def end_failed_revisits(
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
    to_render = [{"b_id": result.claim.id} for result in results if result.wants_rendering and result not in kept]
    if to_render:
        conn.execute(_RENDER_NEXT, to_render)
    return kept


def _find_revisit_failure(result: Result, document_id: str, stored: Mapping[str, StoredPage]) -> OutcomeRecord | None:
    """Why the page of a revisit must not replace the document; None if it is the same article."""
    document = result.reading.document
    if document is None or result.retry_at is not None or result.reading.ending.outcome is not Outcome.STORED:
        return result.reading.ending
    if document.id == document_id:
        return None
    if document.id in stored:
        return OutcomeRecord(Outcome.DUPLICATE, f"the URL leads to document {document.id} now")
    if is_same_article(document, stored[document_id].title, stored[document_id].text):
        return None
    return OutcomeRecord(Outcome.NOT_ARTICLE, f"the URL leads to another article now: {document.url}")
