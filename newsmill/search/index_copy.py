"""The entries of an index on SQLite, as Postgres stores them.

Lemmas and common bigrams are read from the index: to find them again takes more than half of the time of indexing.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from sys import intern
from typing import Any

from sqlalchemy import Connection, text

from newsmill.search.index_entry import build_entry
from newsmill.search.index_rows import build_vector
from newsmill.search.index_terms import title_term
from newsmill.search.indexer import BATCH_DOCUMENTS, read_documents, read_marks
from newsmill.storage.schema import search_entries

CHUNK_DOCUMENTS = 50_000  # the terms of the whole index are read for each chunk, and those of the chunk kept: 2 kB a document

ENTRY_COLUMNS = tuple(column.name for column in search_entries.c)
_COLUMN_NUMBERS = {"title": 0, "lead": 1, "body": 2, "facets": 3}
_CREATE_TERMS = "CREATE VIRTUAL TABLE IF NOT EXISTS temp.search_terms USING fts5vocab(main, search_words, instance)"
# Lemmas (U+E006), common bigrams (from U+E100 on) and `title_term`. FTS5 splits other facets: their names have an underscore.
_TERMS = f"""SELECT term, doc, col FROM temp.search_terms WHERE term >= '\ue006' AND term <= '\uf8ff\uffff'
AND (col <> 'facets' OR term GLOB '{title_term("")[:-1]}*') AND doc BETWEEN :first AND :last"""
_CHUNK = text("""SELECT document_id, moment, copy_group, copy_place FROM search_entries AS e WHERE moment > :after
AND NOT EXISTS (SELECT 1 FROM search_pending WHERE document_id = e.document_id) ORDER BY moment LIMIT :chunk""")

Terms = tuple[list[str], ...]  # of each column


def iterate_entries(conn: Connection) -> Iterator[tuple[Any, ...]]:
    """Rows of ENTRY_COLUMNS for the indexed documents that have not changed since, from a connection to SQLite."""
    conn.exec_driver_sql("PRAGMA query_only = OFF")  # with it, SQLite creates no temporary table either
    conn.exec_driver_sql(_CREATE_TERMS)
    last = -1
    while indexed := conn.execute(_CHUNK, {"after": last, "chunk": CHUNK_DOCUMENTS}).all():
        first, last = indexed[0].moment, indexed[-1].moment
        terms, entries = _read_terms(conn, first, last), {row.document_id: row for row in indexed}
        for start in range(0, len(indexed), BATCH_DOCUMENTS):
            ids = [row.document_id for row in indexed[start : start + BATCH_DOCUMENTS]]
            marked = read_marks(conn, ids)
            for row in read_documents(conn, ids):
                known = entries[row["id"]]
                copied = {"copy_group": known.copy_group, "copy_place": known.copy_place}
                entry = build_vector(build_entry(row, marked[row["id"]], terms[known.moment])) | copied
                yield tuple(entry[name] for name in ENTRY_COLUMNS)


def _read_terms(conn: Connection, first: int, last: int) -> Mapping[int, Terms]:
    """The terms by moment."""
    found = defaultdict[int, Terms](lambda: tuple([] for _ in _COLUMN_NUMBERS))
    # The driver's own cursor: SQLAlchemy doubles the time of a row, and a document has 200 of them.
    for term, moment, column in conn.connection.cursor().execute(_TERMS, {"first": first, "last": last}):
        found[moment][_COLUMN_NUMBERS[column]].append(intern(term))
    return found
