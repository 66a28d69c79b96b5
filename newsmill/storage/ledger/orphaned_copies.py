"""Pages that were copies of a document that is removed: one of them becomes the document, because its text is still on the site.

They are extracted again from the archive, or fetched again without an archived page. The first one that is stored is the document, and the
others become copies of it. A takedown does not do this: it bars the copies with the document.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, bindparam, exists, literal_column, select, update

from newsmill.storage.ledger.ended_rows import BATCH_SIZE, RETRY_COLUMNS, extract_or_requeue
from newsmill.storage.schema import documents, ledger
from newsmill.storage.statements import AnyRow, state_is

_IDS: Any = bindparam("b_ids", expanding=True)
# The first two conditions are those of ix_ledger_dropped.
_IS_COPY = state_is("dropped") & ledger.c.document_id.is_not(None) & (ledger.c.outcome == literal_column("'duplicate'"))
_COPIES = (
    select(*RETRY_COLUMNS)
    .where(_IS_COPY, ledger.c.document_id.in_(_IDS), ledger.c.source.is_distinct_from(bindparam("b_source")))
    .order_by(ledger.c.id)
    .with_for_update()
)
_ORPHANS = (
    select(*RETRY_COLUMNS)
    .where(_IS_COPY, ~exists().where(documents.c.id == ledger.c.document_id))
    .order_by(ledger.c.id)
    .limit(BATCH_SIZE)
    .with_for_update()
)
# A row that names a document keeps its id; without one, its text is compared with those of all documents of its site.
_FORGET_DOCUMENT = update(ledger).where(ledger.c.id == bindparam("b_id")).values(document_id=None)


def requeue_copies(conn: Connection, ids: Sequence[str], source: str, now: datetime) -> int:
    """Have the copies of documents that this transaction removes extracted again. Returns their number.

    The rows of `source` are left out: they are removed with it.
    """
    return _requeue(conn, conn.execute(_COPIES, {"b_ids": ids, "b_source": source}).all(), now)


def requeue_orphans(conn: Connection, now: datetime) -> int:
    """Have copies of documents that do not exist extracted again, at most BATCH_SIZE. Returns their number."""
    return _requeue(conn, conn.execute(_ORPHANS).all(), now)


def _requeue(conn: Connection, rows: Sequence[AnyRow], now: datetime) -> int:
    if rows:
        conn.execute(_FORGET_DOCUMENT, [{"b_id": row.id} for row in rows])
    return extract_or_requeue(conn, rows, now, refetch=False)
