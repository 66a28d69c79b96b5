"""The index is updated in the transaction that stores a document, and later for documents that changed otherwise (`search_pending`)."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import BindParameter, Connection, Engine, bindparam, delete, func, insert, select, text

from newsmill.model import Document
from newsmill.search.entry import MAX_TEXT_CHARACTERS, MOMENTS_PER_SECOND, IndexEntry, bucket_terms, build_entry
from newsmill.search.word_forms import find_forms, lemmatizer_of, register_forms
from newsmill.storage.database import reading, run_in_batches
from newsmill.storage.schema import documents, marks, search_entries, search_pending

BATCH_DOCUMENTS = 200  # per transaction of `index_pending`: it takes about 0.3 s and holds SQLite's write lock
BOUNDARY = "\ue004"  # a term between the words of a text and its synthetic terms in FTS5
MAX_POSITIONS_PER_WORD = 255  # that a tsvector keeps

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


def lemmatize_ahead(found: Iterable[Document | None]) -> None:
    """Load the dictionaries and remember the lemmas of documents that a transaction will write, so that it holds no lock meanwhile."""
    for document in found:
        if document is not None:
            lemmatizer = lemmatizer_of(document.language)
            for part in (document.title, document.description, document.text[:MAX_TEXT_CHARACTERS]):
                find_forms(part or "", lemmatizer)


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
    _write_entries(conn, conn.execute(_DOCUMENTS, {"b_ids": ids}).mappings().all())
    conn.execute(_DELETE_PENDING, {"b_ids": ids})


def _write_entries(conn: Connection, rows: Rows) -> None:
    """Write entries in the order of time: FTS5 flushes its buffer whenever a row comes before the last one."""
    if not rows:
        return
    ids = {"b_ids": [row["id"] for row in rows]}
    marked = defaultdict[str, list[Any]](list)
    for mark in conn.execute(_MARKS, ids):
        marked[mark.document_id].append(mark)
    entries = sorted((build_entry(row, marked[row["id"]]) for row in rows), key=lambda entry: (entry.moment, entry.document_id))
    if conn.dialect.name == "sqlite":
        _delete_entries(conn, ids)
        _insert_entries(conn, entries)
    else:
        conn.execute(_PUT, [build_vector(entry) for entry in entries])
    register_forms(conn, {(form.word, entry.lemmatizer, form.lemma) for entry in entries for form in entry.forms})
    conn.execute(_DELETE_PENDING, ids)


def _row_values(entry: IndexEntry, moment: int) -> dict[str, Any]:
    """The row of an entry for `search_entries`, without its words."""
    values = entry.facet_values
    return {
        "document_id": entry.document_id,
        "moment": moment,
        "source": entry.source,
        "lemmatizer": entry.lemmatizer,
        "language": values.language,
        "section": values.section,
        "authors": "\n".join(values.authors) or None,
        "type": values.type,
        "site": values.site,
    }


# ---- SQLite ------------------------------------------------------------------------------------------------------------------


def _delete_entries(conn: Connection, ids: Mapping[str, Any]) -> None:
    for row in conn.execute(_INDEXED, ids).all():
        conn.execute(_DELETE, {"moment": row.moment})
    conn.execute(delete(search_entries).where(search_entries.c.document_id.in_(_IDS)), ids)


def _insert_entries(conn: Connection, entries: Sequence[IndexEntry]) -> None:
    by_time: dict[int, IndexEntry] = {}
    used = set(conn.execute(_USED_TIMES, {"b_times": [entry.moment for entry in entries]}).scalars())
    for entry in entries:
        moment = _first_free_moment(conn, entry.moment) if entry.moment in used else entry.moment
        while moment in by_time:
            moment = _first_free_moment(conn, moment + 1)
        by_time[moment] = entry
    ordered = sorted(by_time.items())
    conn.execute(insert(search_entries), [_row_values(entry, moment) for moment, entry in ordered])
    conn.execute(_INSERT, [{"moment": moment, **_column_texts(entry, moment)} for moment, entry in ordered])


def _first_free_moment(conn: Connection, moment: int) -> int:
    free: int = conn.execute(_FIRST_FREE_MOMENT, {"moment": moment}).scalar_one()
    return free


def _column_texts(entry: IndexEntry, moment: int) -> dict[str, str]:
    """Synthetic terms stand after a boundary, which no phrase crosses: the term of a character begins with the character."""
    parts = zip(("title", "lead", "body"), (entry.title, entry.lead, entry.body), entry.synthetic, strict=True)
    return {
        "facets": " ".join([*entry.facets, *bucket_terms(moment)]),
        **{name: " ".join([*words, BOUNDARY, *terms] if terms else words) for name, words, terms in parts},
    }


# ---- Postgres ----------------------------------------------------------------------------------------------------------------


def build_vector(entry: IndexEntry) -> dict[str, Any]:
    """The row of an entry for `search_entries`. No word or term contains a quotation mark or a backslash."""
    moment = entry.moment + _moment_offset(entry.document_id)
    title, lead, body = (set(terms) for terms in entry.synthetic)
    words = [f"'{word}':{','.join(positions[:MAX_POSITIONS_PER_WORD])}" for word, positions in _word_positions(entry).items()]
    # A lexeme without a position would match every weight.
    terms = [f"'{term}':1{'A' if term in title else 'B' if term in lead else ''}" for term in title | lead | body]
    unweighted = [f"'{term}'" for term in (*entry.facets, *bucket_terms(moment))]
    return {**_row_values(entry, moment), "vector": " ".join([*words, *terms, *unweighted])}


def _moment_offset(document_id: str) -> int:
    """An order of documents of one second that does not depend on the order of storage."""
    return int.from_bytes(hashlib.blake2b(document_id.encode(), digest_size=8).digest()) % MOMENTS_PER_SECOND


def _word_positions(entry: IndexEntry) -> dict[str, list[str]]:
    """The positions of each word with its weight: title A, lead B, body D. Parts are one position apart, so that no phrase crosses."""
    positions: dict[str, list[str]] = defaultdict(list)
    at = 1
    for part, weight in ((entry.title, "A"), (entry.lead, "B"), (entry.body, "")):
        for number, word in enumerate(part, at):
            positions[word].append(f"{number}{weight}")
        at += len(part) + 1
    return positions


# ---- GIN's pending list ------------------------------------------------------------------------------------------------------

# With documents of 400 words the list has 4 MB. At a million documents, sorting takes 2.2 ms per document with lists of 48, 1.5 ms with 240
# and 1.4 ms with 480; a mean search takes 20 ms with an empty list, 24 ms with 240 documents in it, 28 ms with 480 (benchmarks/growth.py).
MAX_LISTED_DOCUMENTS = 240

# One process at a time; the others do not wait. Only the index's owner may do it; under another account the list is sorted when it is full.
_CLEAN_LIST = text("""SELECT CASE WHEN pg_try_advisory_xact_lock(:lock) THEN gin_clean_pending_list(oid) END FROM pg_class
WHERE oid = to_regclass('ix_search_entries_vector') AND pg_has_role(relowner, 'USAGE')""")
_LOCK = 0x70656E64696E67  # "pending"


class PendingList:
    """GIN's pending list on Postgres, emptied between commits and never inside one. SQLite has no such list.

    GIN collects the words of new documents in a list that every search reads completely. When the list is full, the transaction that filled
    it sorts the list into the index. Sorting touches one or two index pages per distinct word, so a longer list costs less per document but
    blocks that transaction for longer. Here no transaction waits for it.

    It counts what one process has added to the list. May be shared between threads.
    """

    def __init__(self, engine: Engine, max_documents: int = MAX_LISTED_DOCUMENTS) -> None:
        self._engine, self._max_documents, self._added = engine, max_documents, 0

    def add(self, documents: int) -> None:
        """Count documents that were indexed and committed. After each `max_documents` the list is emptied, in 0.4 s with the default.

        Raises ServiceError; the documents are stored and found all the same.
        """
        if self._engine.dialect.name != "postgresql":
            return
        self._added += documents
        if self._added >= self._max_documents:
            self._added = 0
            with reading(self._engine) as conn:
                conn.execute(_CLEAN_LIST, {"lock": _LOCK})
