"""The index of the search: its entries, and how it is updated.

It is updated in the transaction that stores a document, and later for documents that changed otherwise (`search_pending`).
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from hashlib import blake2b
from typing import Any
from urllib.parse import urlsplit

from sqlalchemy import BindParameter, Connection, Engine, bindparam, delete, func, insert, select, text

from newsmill.model import Document, MarkKind, is_doubtful
from newsmill.search.positions import FIRST_DATED_MOMENT, MOMENTS_PER_SECOND, find_moment
from newsmill.search.relevance import encode_words
from newsmill.search.tokens import character_term, common_bigrams, fold, is_unspaced, tokenize
from newsmill.search.variants import is_compound
from newsmill.search.word_forms import Form, find_forms, lemmatizer_of, register_forms
from newsmill.storage.columns import make_storable
from newsmill.storage.database import reading, run_in_batches
from newsmill.storage.schema import documents, marks, search_codes, search_entries, search_pending
from newsmill.text import lazy_re as re

# ---- index entries, made from rows of `documents`, and their order by time; pure, and the same for both databases ---------------

MAX_TEXT_CHARACTERS = 100_000  # indexed: twenty long articles, and less than the 1 MB that a tsvector may have
MAX_WORDS = 16_000  # a tsvector counts positions up to 16,383
_MAX_PART_WORDS = (MAX_WORDS // 4, MAX_WORDS // 4, MAX_WORDS // 2)
MAX_FACET_CHARACTERS = 100  # of a section, an author's name, a type or a host in a list of counts
MAX_FACET_AUTHORS = 10  # of one document
LEAD_CHARACTERS = 300  # the lead is the description and the paragraphs up to here
EVERY_ENTRY = "\ue000"  # a term of every entry, for queries that only exclude. U+E000 is in no word of a text (`tokens._WORD`)
_SPECIAL = re.compile("[^0-9a-z\u0080-\U0010ffff]")


@dataclass(frozen=True, slots=True)
class FacetValues:
    """What facets count of one document besides its source. Cut to MAX_FACET_CHARACTERS, on one line, without NUL."""

    language: str | None  # the first part of its tag: "de" of "de-AT"
    section: str | None
    authors: tuple[str, ...]
    type: str | None
    site: str | None  # the host, folded, without "www."


@dataclass(frozen=True, slots=True)
class IndexEntry:
    """One document in the index."""

    document_id: str
    moment: int
    source: str | None
    title: list[str]
    lead: list[str]
    body: list[str]
    facets: list[str]
    facet_values: FacetValues
    synthetic: tuple[list[str], ...]  # of title, lead and body: lemmas; common bigrams and characters, which would be slow to find
    lemmatizer: str  # of its language; "" without one
    forms: list[Form]  # for the table `search_forms`: the words that the lemmatizer knows, those of the title, and compounds


def build_entry(row: Mapping[Any, Any], marks: Iterable[Any] = (), known: Sequence[Iterable[str]] | None = None) -> IndexEntry:
    """The entry of a row of `documents`, with its rows of `marks`.

    `known`: the lemmas and common bigrams of title, lead and body, and the title's terms. The entry then has no forms.
    """
    texts = _split_parts(row["title"], row["description"], row["text"])
    language = (row["language"] or "").lower().replace("_", "-")
    lemmatizer, values = lemmatizer_of(language), _facet_values(row, language)
    title, lead, body = (_tokenize(part)[:most] for part, most in zip(texts, _MAX_PART_WORDS, strict=True))
    forms = [] if known else [_find_forms(part, lemmatizer) for part in texts]
    *synthetic, title_terms = known or [
        *(_lemmas_and_bigrams(words, held, lemmatizer) for words, held in zip((title, lead, body), forms, strict=True)),
        _title_terms(title, forms[0]),
    ]
    terms = {
        *_facet_terms(row, values, language, lemmatizer),
        *title_terms,
        *(term for mark in marks for term in _mark_terms(mark)),
    }
    return IndexEntry(
        row["id"],
        find_moment(row),
        row["source"],
        title,
        lead,
        body,
        [EVERY_ENTRY, *sorted(terms)],
        values,
        tuple(sorted(_character_terms(words).union(held)) for words, held in zip((title, lead, body), synthetic, strict=True)),
        lemmatizer,
        [form for held in forms for form in held if form.is_known or held is forms[0] or is_compound(form.word, lemmatizer)],
    )


def facet_term(name: str, value: str) -> str:
    """A property as a term of the index. `value` is folded. The term does not begin with the name, so that no `mark*` finds it.

    >>> facet_term("source", "the paper") == facet_term("source", "the-paper")
    False
    """
    spelled = _SPECIAL.sub(lambda match: f"{ord(match[0]):x}\ue001", make_storable(value[:200]))
    return f"\ue007{name}\ue000{spelled}\ue000"


def lemma_term(lemmatizer: str, lemma: str) -> str:
    """The term of documents in which another form of the lemma stands. It does not begin with the lemma, so that no `mark*` finds it."""
    return f"\ue006{lemmatizer}\ue006{lemma}"


def title_term(word: str) -> str:
    """The term of documents whose title has the word, or another form of it. GIN holds no word positions: without such terms the
    titles of all documents with a common word would have to be read."""
    return facet_term("t", word)


def _split_parts(title: str | None, description: str | None, text: str) -> tuple[str, str, str]:
    """The texts of title, lead and body."""
    text, description = text[:MAX_TEXT_CHARACTERS], (description or "")[:MAX_TEXT_CHARACTERS]
    end = text.find("\n", LEAD_CHARACTERS) if len(text) > LEAD_CHARACTERS else -1
    lead, body = (text, "") if end < 0 else (text[:end], text[end:])
    if description and description not in text:
        lead = f"{description}\n{lead}"
    return (title or "")[:MAX_TEXT_CHARACTERS], lead, body


def _lemmas_and_bigrams(words: list[str], forms: Iterable[Form], lemmatizer: str) -> set[str]:
    return common_bigrams(words) | {lemma_term(lemmatizer, form.lemma) for form in forms if form.word != form.lemma}


def _character_terms(words: list[str]) -> set[str]:
    return set() if all(map(str.isascii, words)) else {character_term(word[0]) for word in set(words) if is_unspaced(word)}


def _title_terms(words: Iterable[str], forms: Iterable[Form]) -> Iterator[str]:
    yield from map(title_term, {*words, *(form.lemma for form in forms)})


def _facet_values(row: Mapping[Any, Any], language: str) -> FacetValues:
    names = filter(None, (_one_line(author["name"]) for author in row["authors"][:MAX_FACET_AUTHORS]))
    authors = {fold(name): name for name in names}  # one name in two spellings counts once
    return FacetValues(
        language.partition("-")[0][:MAX_FACET_CHARACTERS] or None,
        _one_line(row["section"] or "") or None,
        tuple(authors.values()),
        _one_line(row["article_type"] or "") or None,
        fold(urlsplit(row["url"]).hostname or "").removeprefix("www.")[:MAX_FACET_CHARACTERS] or None,
    )


def _one_line(text: str) -> str:
    return " ".join(make_storable(text[: 10 * MAX_FACET_CHARACTERS]).split())[:MAX_FACET_CHARACTERS].strip()


def whole_value(text: str) -> str:
    """The value of a section or an author as `section:=` and `author:=` compare it.

    >>> whole_value("  Local  News ")
    'local news'
    """
    return fold(_one_line(text))


def _facet_terms(row: Mapping[Any, Any], values: FacetValues, language: str, lemmatizer: str) -> Iterator[str]:
    if row["source"]:
        yield facet_term("source", fold(row["source"]))
    if language:
        yield facet_term("lang", language)
        yield facet_term("lang", language.partition("-")[0])
    if lemmatizer:
        yield facet_term("lemmatizer", lemmatizer)
    yield facet_term("is_free", {True: "yes", False: "no", None: "unknown"}[row["is_free"]])
    if is_doubtful(row["confidence"]):
        yield facet_term("doubtful", "yes")
    if row["published_at"] is None:
        yield facet_term("dated", "no")
    if values.type:
        yield facet_term("type", fold(values.type))
    if values.section:
        yield facet_term("section_is", fold(values.section))
    for author_name in values.authors:
        yield facet_term("author_is", fold(author_name))
    for word in tokenize((row["section"] or "")[:1000]):
        yield facet_term("section", word)
    for author in row["authors"][:100]:
        for word in tokenize(author["name"][:1000]):
            yield facet_term("author", word)
    labels = fold(urlsplit(row["url"]).hostname or "").removeprefix("www.").split(".")[-10:]
    for at in range(max(1, len(labels) - 1)):  # news.bbc.co.uk, bbc.co.uk, co.uk
        yield facet_term("site", ".".join(labels[at:]))


# ---- marks of users ----------------------------------------------------------------------------------------------------------


def mark_value(user: str, value: str = "") -> str:
    """The value of a property that a document has for one user only. `value` is folded, and no longer than a tag."""
    return f"{blake2b(user.encode('utf-8', 'replace'), digest_size=9).hexdigest()} {value}"


def _mark_terms(mark: Any) -> Iterator[str]:
    """The properties that a row of `marks` gives: its kind alone, and with it the name of the tag or each word of the note."""
    yield facet_term(mark.kind, mark_value(mark.user_name))
    values = {fold(mark.tag)} if mark.kind == MarkKind.TAG else set(tokenize(mark.note or ""))
    yield from (facet_term(mark.kind, mark_value(mark.user_name, value)) for value in values)


# ---- time buckets ------------------------------------------------------------------------------------------------------------

# A time bucket is a term of the index, and each document is in one bucket of each length. For a word alone, GIN returns every document with
# it, and FTS5 reads on until the next match. For a word and a few time buckets, both skip everything else. With a small source and a common
# word, which lie far apart, a search then takes 40 ms on SQLite (p95) at a million documents (`benchmarks/growth.py --sizes 1000000`).

# Half an hour to two years, each eight times the one before, so that few buckets cover any span.
BUCKET_MOMENTS = tuple(1800 * 8**level * MOMENTS_PER_SECOND for level in range(6))
MAX_BUCKETS = 16


def bucket_terms(moment: int) -> list[str]:
    """The terms of the buckets that a moment lies in, one for each length."""
    return [_bucket_term(level, moment // length) for level, length in enumerate(BUCKET_MOMENTS)]


def covering_terms(lower: int, upper: int) -> list[str]:
    """The terms of at most MAX_BUCKETS buckets that cover the times from `lower` on and before `upper`, and little else.

    Empty for a span that is too long for buckets to exclude anything.
    """
    for level, length in enumerate(BUCKET_MOMENTS):
        first, last = lower // length, (upper - 1) // length
        if last - first < MAX_BUCKETS:
            return [_bucket_term(level, number) for number in range(first, last + 1)]
    return []


def _bucket_term(level: int, number: int) -> str:
    return f"\ue005{level}{number:x}"


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

_RESTORE_COPY_GROUPS = text("""UPDATE search_entries SET copy_group = (SELECT g.group_id FROM documents AS d
JOIN copy_groups AS g ON g.ledger_id = d.ledger_id AND g.document_id = d.id WHERE d.id = search_entries.document_id)
WHERE document_id IN :b_ids""").bindparams(_IDS)
_CODE_COLUMNS = tuple(column.name for column in search_codes.c)
_PUT_CODES = text(f"""INSERT INTO search_codes ({", ".join(_CODE_COLUMNS)}) VALUES ({", ".join(f":{name}" for name in _CODE_COLUMNS)})
ON CONFLICT (document_id) DO UPDATE SET lemmatizer = excluded.lemmatizer, codes = excluded.codes""")


# The three parts of each document of a transaction are split before it begins, and read again in it.
_tokenize = lru_cache(maxsize=128)(tokenize)
_find_forms = lru_cache(maxsize=128)(find_forms)


def split_ahead(found: Iterable[Document | None]) -> None:
    """Split documents that a transaction will write, and look their words up in the dictionaries, so that it holds no lock meanwhile."""
    for document in found:
        if document is not None:
            lemmatizer = lemmatizer_of(document.language)
            for part in _split_parts(document.title, document.description, document.text):
                _tokenize(part)
                _find_forms(part, lemmatizer)


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
    if conn.dialect.name == "sqlite":
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
    moment = entry.moment if entry.moment < FIRST_DATED_MOMENT else entry.moment + _moment_offset(entry.document_id)
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
