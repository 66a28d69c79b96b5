"""Stems as Postgres's dictionaries make them, remembered: texts repeat their words, and asking for each was half of indexing one."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Mapping, Sequence, Set
from typing import Any

from sqlalchemy import BindParameter, Connection, Engine, bindparam, delete, func, insert, select, text

from newsmill.search.entry import MAX_TEXT_CHARACTERS, MOMENTS_PER_SECOND, IndexEntry, build_entry
from newsmill.search.pending_list import PendingList
from newsmill.search.time_buckets import bucket_terms
from newsmill.storage.database import reading, run_in_batches
from newsmill.storage.schema import documents, search_entries, search_pending

MAX_CACHED_STEMS = 50_000  # words remembered in one process, about 7 MB

# The inner SELECT: the dictionary is looked up once, not for each word. A stemmer drops the words it takes for unimportant; we keep them,
# so that "to be or not to be" can be found.
_STEMS_OF_WORDS = text("""SELECT word, coalesce((ts_lexize((SELECT CAST(:dictionary AS regdictionary)), word))[1], word)
FROM unnest(string_to_array(:words, ' ')) AS word""")

_stem_cache: dict[str, dict[str, str]] = {}  # dictionary → word → stem


def stem_words(conn: Connection, dictionary: str, words: Set[str]) -> Mapping[str, str]:
    """The stem of each of some words, and of others. `words` have no blanks."""
    known = _stem_cache.setdefault(dictionary, {})
    missing = set(words - known.keys())
    if not missing:
        return known
    if sum(map(len, list(_stem_cache.values()))) + len(missing) > MAX_CACHED_STEMS:
        _stem_cache.clear()
        known = _stem_cache[dictionary] = {}
        missing = set(words)
    for word, stem in conn.execute(_STEMS_OF_WORDS, {"dictionary": dictionary, "words": " ".join(missing)}):
        known[word] = stem
    return known


# Keeps the index up to date: in the commit that stores a document, and later for whatever changed without us (`search_pending`).

BATCH_DOCUMENTS = 200  # documents per transaction while catching up: about 0.3 s, so that nobody waits long for SQLite's write lock
BOUNDARY = "\ue004"  # a word between the words of a text and its marks in FTS5
MAX_POSITIONS_PER_WORD = 255  # places of one word that a tsvector keeps

Rows = Sequence[Mapping[Any, Any]]

_IDS: BindParameter[Any] = bindparam("b_ids", expanding=True)
_CHANGED = select(search_pending.c.document_id).where(search_pending.c.document_id.in_(_IDS))
_DELETE_PENDING = delete(search_pending).where(search_pending.c.document_id.in_(_IDS))
_PENDING_IDS = (
    select(search_pending.c.document_id).order_by(search_pending.c.document_id).limit(BATCH_DOCUMENTS).with_for_update(skip_locked=True)
)
_INDEXED = select(search_entries.c.document_id, search_entries.c.moment, search_entries.c.stemmer).where(
    search_entries.c.document_id.in_(_IDS)
)
_DOCUMENTS = select(
    *(
        documents.c[name]
        for name in ("id", "title", "description", "language", "authors", "source", "section", "url", "is_free", "confidence")
    ),
    func.substr(documents.c.text, 1, MAX_TEXT_CHARACTERS).label("text"),
    *(documents.c[name] for name in ("published_at", "published_precision", "first_seen_at")),
).where(documents.c.id.in_(_IDS))

_USED_MOMENTS = select(search_entries.c.moment).where(search_entries.c.moment.in_(bindparam("b_moments", expanding=True)))
# The first free moment from one on.
_FIRST_FREE_MOMENT = text("""SELECT CASE WHEN NOT EXISTS (SELECT 1 FROM search_entries WHERE moment = :moment) THEN :moment ELSE
(SELECT e.moment + 1 FROM search_entries AS e WHERE e.moment >= :moment
 AND NOT EXISTS (SELECT 1 FROM search_entries WHERE moment = e.moment + 1) ORDER BY e.moment LIMIT 1) END""")

_INSERT = "INSERT INTO {table} (rowid, title, lead, body, facets) VALUES (:moment, :title, :lead, :body, :facets)"

_PUT = text("""INSERT INTO search_entries (document_id, moment, source, stemmer, vector)
VALUES (:id, :moment, :source, :stemmer, CAST(:vector AS tsvector))
ON CONFLICT (document_id) DO UPDATE
SET moment = excluded.moment, source = excluded.source, stemmer = excluded.stemmer, vector = excluded.vector""")

REGISTER_STEMMERS = text("""INSERT INTO search_stemmers (stemmer)
SELECT unnest(CAST(:stemmers AS text[])) EXCEPT SELECT stemmer FROM search_stemmers ORDER BY 1 ON CONFLICT DO NOTHING""")


def index_changed(conn: Connection, rows: Rows) -> None:
    """Index those of some documents, just written in this transaction, that changed."""
    if not rows:
        return
    changed = set(conn.execute(_CHANGED, {"b_ids": [row["id"] for row in rows]}).scalars())
    _write_entries(conn, [row for row in rows if row["id"] in changed])


def count_pending(engine: Engine) -> int:
    """How many documents have changed since they were indexed."""
    with reading(engine) as conn:
        return conn.execute(select(func.count()).select_from(search_pending)).scalar_one()


def index_pending(engine: Engine, most: int = BATCH_DOCUMENTS) -> int:
    """Index what is pending, at least `most` documents where there are as many; how many it was. Several processes may do so at once."""
    return run_in_batches(engine, _PENDING_IDS, most, _index_ids, PendingList(engine, BATCH_DOCUMENTS).add)


def _index_ids(conn: Connection, ids: Sequence[str]) -> None:
    _write_entries(conn, conn.execute(_DOCUMENTS, {"b_ids": ids}).mappings().all())
    conn.execute(_DELETE_PENDING, {"b_ids": ids})


def _write_entries(conn: Connection, rows: Rows) -> None:
    """In the order of time: FTS5 writes out what it has gathered whenever a row comes before the last one."""
    if not rows:
        return
    entries = sorted((build_entry(row) for row in rows), key=lambda entry: (entry.moment, entry.document_id))
    ids = {"b_ids": [entry.document_id for entry in entries]}
    if conn.dialect.name == "sqlite":
        _delete_entries(conn, ids)
        _insert_entries(conn, entries)
    else:
        conn.execute(REGISTER_STEMMERS, {"stemmers": sorted({entry.stemmer for entry in entries if entry.stemmer})})
        conn.execute(_PUT, build_vectors(conn, entries))
    conn.execute(_DELETE_PENDING, ids)


# ---- SQLite ------------------------------------------------------------------------------------------------------------------


def words_table(stemmer: str) -> str:
    """The FTS5 table that holds the words of such documents."""
    return "search_english" if stemmer == "english" else "search_words"


def _delete_entries(conn: Connection, ids: Mapping[str, Any]) -> None:
    for row in conn.execute(_INDEXED, ids).all():
        conn.execute(text(f"DELETE FROM {words_table(row.stemmer)} WHERE rowid = :moment"), {"moment": row.moment})
    conn.execute(delete(search_entries).where(search_entries.c.document_id.in_(_IDS)), ids)


def _insert_entries(conn: Connection, entries: Sequence[IndexEntry]) -> None:
    moments: dict[int, IndexEntry] = {}
    taken = set(conn.execute(_USED_MOMENTS, {"b_moments": [entry.moment for entry in entries]}).scalars())
    for entry in entries:
        moment = _first_free_moment(conn, entry.moment) if entry.moment in taken else entry.moment
        while moment in moments:
            moment = _first_free_moment(conn, moment + 1)
        moments[moment] = entry
    ordered = sorted(moments.items())
    held = [{"document_id": e.document_id, "moment": m, "source": e.source, "stemmer": e.stemmer} for m, e in ordered]
    conn.execute(insert(search_entries), held)
    for table in ("search_words", "search_english"):
        rows = [{"moment": moment, **_column_texts(entry, moment)} for moment, entry in ordered if words_table(entry.stemmer) == table]
        if rows:
            conn.execute(text(_INSERT.format(table=table)), rows)


def _first_free_moment(conn: Connection, moment: int) -> int:
    free: int = conn.execute(_FIRST_FREE_MOMENT, {"moment": moment}).scalar_one()
    return free


def _column_texts(entry: IndexEntry, moment: int) -> dict[str, str]:
    """The marks stand after the words and a boundary, which no phrase reaches across: a mark begins like the character it stands for."""
    parts = zip(("title", "lead", "body"), (entry.title, entry.lead, entry.body), entry.marks, strict=True)
    return {
        "facets": " ".join([*entry.facets, *bucket_terms(moment)]),
        **{name: " ".join([*words, BOUNDARY, *marks] if marks else words) for name, words, marks in parts},
    }


# ---- Postgres ----------------------------------------------------------------------------------------------------------------


def build_vectors(conn: Connection, entries: Sequence[IndexEntry]) -> list[dict[str, Any]]:
    """The rows of some entries."""
    words: dict[str, set[str]] = defaultdict(set)
    for entry in entries:
        words[dictionary_name(entry.stemmer)].update(entry.title, entry.lead, entry.body)
    known = {name: stem_words(conn, name, wanted) for name, wanted in words.items()}
    return [_build_vector(entry, known[dictionary_name(entry.stemmer)]) for entry in entries]


def _build_vector(entry: IndexEntry, stems: Mapping[str, str]) -> dict[str, Any]:
    """An entry's row, with the stems of its words. No word, mark or facet has a quotation mark or a backslash."""
    moment = entry.moment + _moment_offset(entry.document_id)
    title, lead, body = (set(marks) for marks in entry.marks)
    words = [f"'{stems[word]}':{','.join(held[:MAX_POSITIONS_PER_WORD])}" for word, held in _word_positions(entry).items()]
    leading = [*(f"'{mark}':1A" for mark in title), *(f"'{mark}':1B" for mark in lead - title)]
    facets = [*entry.facets, *bucket_terms(moment), *(body - lead - title)]
    return {
        "id": entry.document_id,
        "moment": moment,
        "source": entry.source,
        "stemmer": entry.stemmer,
        "vector": " ".join([*words, *leading, *(f"'{facet}'" for facet in facets)]),
    }


def dictionary_name(stemmer: str) -> str:
    """The Postgres dictionary of a stemmer."""
    return f"pg_catalog.{stemmer}_stem" if stemmer else "pg_catalog.simple"


def _moment_offset(document_id: str) -> int:
    """Documents of one second in an order that does not depend on who stores them."""
    return int.from_bytes(hashlib.blake2b(document_id.encode(), digest_size=8).digest()) % MOMENTS_PER_SECOND


def _word_positions(entry: IndexEntry) -> dict[str, list[str]]:
    """Where each word stands: title A, lead B, body D; a place is left empty between two, so that no phrase reaches across."""
    spots: dict[str, list[str]] = defaultdict(list)
    at = 1
    for part, weight in ((entry.title, "A"), (entry.lead, "B"), (entry.body, "")):
        for number, word in enumerate(part, at):
            spots[word].append(f"{number}{weight}")
        at += len(part) + 1
    return spots
