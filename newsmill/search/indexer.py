"""The index of the search: how its entries are written.

It is updated in the transaction that stores a document, and later for documents that changed otherwise (`search_pending`).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import BindParameter, Connection, Engine, bindparam, delete, func, insert, select, text

from newsmill.search.form_table import register_forms
from newsmill.search.index_entry import MAX_TEXT_CHARACTERS, IndexEntry, build_entry
from newsmill.search.index_rows import build_column_texts, build_row, build_vector
from newsmill.search.pending_list import PendingList
from newsmill.search.relevance import encode_words
from newsmill.storage.database import reading, run_in_batches
from newsmill.storage.dialects import is_sqlite
from newsmill.storage.schema import documents, marks, search_codes, search_entries, search_pending

BATCH_DOCUMENTS = 200  # per transaction of `index_pending`: it takes about 0.3 s and holds SQLite's write lock

Rows = Sequence[Mapping[Any, Any]]

_IDS: BindParameter[Any] = bindparam("b_ids", expanding=True)
_CHANGED = select(search_pending.c.document_id).where(search_pending.c.document_id.in_(_IDS))
_DELETE_PENDING = delete(search_pending).where(search_pending.c.document_id.in_(_IDS))
_PENDING_IDS = (
    select(search_pending.c.document_id).order_by(search_pending.c.document_id).limit(BATCH_DOCUMENTS).with_for_update(skip_locked=True)
)
_INDEXED = select(search_entries.c.document_id, search_entries.c.moment).where(search_entries.c.document_id.in_(_IDS))
_DOCUMENTS = select(
    *(
        documents.c[name]
        for name in (
            *("id", "title", "description", "language", "authors", "source", "section", "article_type", "url", "is_free", "confidence"),
        )
    ),
    func.substr(documents.c.text, 1, MAX_TEXT_CHARACTERS).label("text"),
    *(documents.c[name] for name in ("published_at", "published_precision", "first_seen_at")),
).where(documents.c.id.in_(_IDS))

_MARKS = select(marks.c.document_id, marks.c.user_name, marks.c.kind, marks.c.tag, marks.c.note).where(marks.c.document_id.in_(_IDS))
_USED_TIMES = select(search_entries.c.moment).where(search_entries.c.moment.in_(bindparam("b_times", expanding=True)))
# The first free moment from one on.
_FIRST_FREE_MOMENT = text("""SELECT CASE WHEN NOT EXISTS (SELECT 1 FROM search_entries WHERE moment = :moment) THEN :moment ELSE
(SELECT e.moment + 1 FROM search_entries AS e WHERE e.moment >= :moment
 AND NOT EXISTS (SELECT 1 FROM search_entries WHERE moment = e.moment + 1) ORDER BY e.moment LIMIT 1) END""")

_INSERT = text("INSERT INTO search_words (rowid, title, lead, body, facets) VALUES (:moment, :title, :lead, :body, :facets)")
_DELETE = text("DELETE FROM search_words WHERE rowid = :moment")

_COLUMNS = ("moment", "source", "lemmatizer", "language", "section", "authors", "type", "site", "vector")
_PUT = text(f"""INSERT INTO search_entries (document_id, {", ".join(_COLUMNS)})
VALUES (:document_id, {", ".join(f":{name}" for name in _COLUMNS[:-1])}, CAST(:vector AS tsvector))
ON CONFLICT (document_id) DO UPDATE SET {", ".join(f"{name} = excluded.{name}" for name in _COLUMNS)}""")

_RESTORE_COPY_GROUPS = text("""UPDATE search_entries SET (copy_group, copy_place) = (SELECT g.group_id, g.place FROM documents AS d
JOIN copy_groups AS g ON g.ledger_id = d.ledger_id AND g.document_id = d.id WHERE d.id = search_entries.document_id)
WHERE document_id IN :b_ids""").bindparams(_IDS)
_CODE_COLUMNS = tuple(column.name for column in search_codes.c)
_PUT_CODES = text(f"""INSERT INTO search_codes ({", ".join(_CODE_COLUMNS)}) VALUES ({", ".join(f":{name}" for name in _CODE_COLUMNS)})
ON CONFLICT (document_id) DO UPDATE SET lemmatizer = excluded.lemmatizer, codes = excluded.codes""")


def index_changed(conn: Connection, rows: Rows) -> None:
    """Index documents that this transaction has written, where they changed."""
    if not rows:
        return
    changed = set(conn.execute(_CHANGED, {"b_ids": [row["id"] for row in rows]}).scalars())
    _write_entries(conn, [row for row in rows if row["id"] in changed])


def count_pending(engine: Engine) -> int:
    """How many documents have changed since they were indexed."""
    with reading(engine) as conn:
        return conn.execute(select(func.count()).select_from(search_pending)).scalar_one()


def index_pending(engine: Engine, max_documents: int = BATCH_DOCUMENTS) -> int:
    """Index at least `max_documents` pending documents, or all. Returns how many. Several processes may do so at once."""
    return run_in_batches(engine, _PENDING_IDS, max_documents, index_ids, PendingList(engine, BATCH_DOCUMENTS).add)


def index_ids(conn: Connection, ids: Sequence[str]) -> None:
    """Index these documents as they and their marks are stored now, at most BATCH_DOCUMENTS."""
    _write_entries(conn, read_documents(conn, ids))
    restore_copy_groups(conn, {"b_ids": ids})
    conn.execute(_DELETE_PENDING, {"b_ids": ids})


def _write_entries(conn: Connection, rows: Rows) -> None:
    """Write entries in the order of time: FTS5 flushes its buffer whenever a row comes before the last one."""
    if not rows:
        return
    ids = {"b_ids": [row["id"] for row in rows]}
    marked = read_marks(conn, ids["b_ids"])
    entries = sorted((build_entry(row, marked[row["id"]]) for row in rows), key=lambda entry: (entry.moment, entry.document_id))
    if is_sqlite(conn):
        was_indexed = _delete_entries(conn, ids)
        _insert_entries(conn, entries)
        if was_indexed:
            restore_copy_groups(conn, ids)
    else:
        conn.execute(_PUT, [build_vector(entry) for entry in entries])
    write_codes(conn, entries)
    register_forms(conn, {(form.word, entry.lemmatizer, form.lemma) for entry in entries for form in entry.forms})
    conn.execute(_DELETE_PENDING, ids)


def restore_copy_groups(conn: Connection, ids: Mapping[str, Any]) -> None:
    """Give entries that were written anew the groups of copies that storage/copy_groups.py has decided."""
    if ids["b_ids"]:
        conn.execute(_RESTORE_COPY_GROUPS, ids)


def read_marks(conn: Connection, ids: Sequence[str]) -> Mapping[str, list[Any]]:
    """The rows of `marks` by document."""
    marked = defaultdict[str, list[Any]](list)
    for mark in conn.execute(_MARKS, {"b_ids": ids}):
        marked[mark.document_id].append(mark)
    return marked


def read_documents(conn: Connection, ids: Sequence[str]) -> Rows:
    """The rows of `documents` from which entries are made."""
    return conn.execute(_DOCUMENTS, {"b_ids": ids}).mappings().all()


def write_codes(conn: Connection, entries: Sequence[IndexEntry]) -> None:
    """Write the words in their order, which the order by relevance reads."""
    rows = [(one.document_id, one.lemmatizer, encode_words(one.title, one.lead, one.body)) for one in entries]
    conn.execute(_PUT_CODES, [dict(zip(_CODE_COLUMNS, row, strict=True)) for row in rows])


def _delete_entries(conn: Connection, ids: Mapping[str, Any]) -> bool:
    """Whether there were some."""
    for row in (indexed := conn.execute(_INDEXED, ids).all()):
        conn.execute(_DELETE, {"moment": row.moment})
    conn.execute(delete(search_entries).where(search_entries.c.document_id.in_(_IDS)), ids)
    return bool(indexed)


def _insert_entries(conn: Connection, entries: Sequence[IndexEntry]) -> None:
    by_time: dict[int, IndexEntry] = {}
    used = set(conn.execute(_USED_TIMES, {"b_times": [entry.moment for entry in entries]}).scalars())
    for entry in entries:
        moment = _first_free_moment(conn, entry.moment) if entry.moment in used else entry.moment
        while moment in by_time:
            moment = _first_free_moment(conn, moment + 1)
        by_time[moment] = entry
    ordered = sorted(by_time.items())
    conn.execute(insert(search_entries), [build_row(entry, moment) for moment, entry in ordered])
    conn.execute(_INSERT, [{"moment": moment, **build_column_texts(entry, moment)} for moment, entry in ordered])


def _first_free_moment(conn: Connection, moment: int) -> int:
    free: int = conn.execute(_FIRST_FREE_MOMENT, {"moment": moment}).scalar_one()
    return free
