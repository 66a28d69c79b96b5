"""Fast filling of Postgres for growth.py: COPY instead of INSERT, one process, and a GIN index created after the rows.

The rows are the same as those that newsmill.storage writes. A stopped run resumes.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

from sqlalchemy import Connection, Engine, Table, func, insert, select, text

from newsmill import near_duplicates
from newsmill.search.indexer import (
    build_entry,
    build_vector,  # the measured data are those that these functions write
    write_codes,
)
from newsmill.search.word_forms import register_forms
from newsmill.storage.columns import Json, dump_json
from newsmill.storage.database import reading, writing
from newsmill.storage.fingerprints import BANDS
from newsmill.storage.schema import documents, fingerprints, ledger, search_entries, segments

STEP = 2000  # documents per commit
GIN = "CREATE INDEX IF NOT EXISTS ix_search_entries_vector ON search_entries USING gin (vector) WITH (gin_pending_list_limit = 16384)"

Row = dict[str, Any]


def fill(engine: Engine, size: int, made: Callable[[int], tuple[Row, Row]], until: float) -> bool:
    """Write documents 0 to `size` - 1. Return False if the time (time.monotonic) runs out before.

    `made` returns the rows of ledger and documents for a number.
    """
    with writing(engine) as conn:
        if not conn.execute(select(segments.c.id).where(segments.c.id == "bulk")).first():
            conn.execute(insert(segments).values(id="bulk", pages=1, length=1, created_at=func.now()))
        if _held(conn, search_entries) < size:
            conn.execute(text("DROP INDEX IF EXISTS ix_search_entries_vector"))
    for put, table in ((_put_documents, ledger), (_put_entries, search_entries)):
        with reading(engine) as conn:
            held = _held(conn, table)
        while held < size:
            if time.monotonic() > until:
                return False
            rows = [made(number) for number in range(held, min(size, held + STEP))]
            with writing(engine) as conn:
                put(conn, rows)
            held += len(rows)
    with reading(engine) as conn:
        conn.execute(text(GIN))
        for name in ("documents", "ledger", "search_entries", "fingerprints"):
            conn.execute(text(f"VACUUM ANALYZE {name}"))
        conn.execute(text("SELECT setval(pg_get_serial_sequence('ledger', 'id'), (SELECT max(id) FROM ledger))"))
    return True


def _held(conn: Connection, table: Table) -> int:
    return conn.execute(select(func.count()).select_from(table)).scalar_one()


def _put_documents(conn: Connection, rows: Sequence[tuple[Row, Row]]) -> None:
    conn.execute(text("SET LOCAL session_replication_role = replica"))  # otherwise the triggers mark each document as not indexed
    _copy(conn, ledger, [page for page, _ in rows])
    _copy(conn, documents, [document for _, document in rows])
    made = [(document["ledger_id"], near_duplicates.fingerprint(document["text"])) for _, document in rows]
    _copy(conn, fingerprints, [{"ledger_id": page, **dict(zip(BANDS, bands, strict=True))} for page, bands in made if bands])


def _put_entries(conn: Connection, rows: Sequence[tuple[Row, Row]]) -> None:
    entries = [build_entry(document) for _, document in rows]
    _copy(conn, search_entries, [build_vector(entry) for entry in entries])
    write_codes(conn, entries)
    register_forms(conn, {(form.word, entry.lemmatizer, form.lemma) for entry in entries for form in entry.forms})


def _copy(conn: Connection, table: Table, rows: Sequence[Row]) -> None:
    names = list(rows[0])
    json = {column.name for column in table.c if isinstance(column.type, Json)}
    columns = ", ".join(f'"{name}"' for name in names)
    with conn.connection.cursor() as cursor, cursor.copy(f"COPY {table.name} ({columns}) FROM STDIN") as writer:  # type: ignore[attr-defined]
        for row in rows:
            writer.write_row([dump_json(row[name]) if name in json and row[name] is not None else row[name] for name in names])
