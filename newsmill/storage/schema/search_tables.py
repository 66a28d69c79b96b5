"""The tables of the search index."""

from __future__ import annotations

from sqlalchemy import Column, Index, LargeBinary, PrimaryKeyConstraint, String, Table, UniqueConstraint, text

from newsmill.storage.columns import Id, StorableText, Vector, metadata

# The search index: one row per document, ordered by time. On SQLite the words are in the FTS5 table search_words, whose rowid is
# `moment`.
search_entries = Table(
    "search_entries",
    metadata,
    Column("document_id", String(64), nullable=False),
    Column("moment", Id, nullable=False),  # search.positions.find_moment
    Column("source", StorableText),
    Column("lemmatizer", String(8), nullable=False),  # of its language; "" for none
    Column("language", StorableText),  # this and the next four: what facets count; index_entry.FacetValues
    Column("section", StorableText),
    Column("authors", StorableText),  # names, one a line
    Column("type", StorableText),
    Column("site", StorableText),
    Column("vector", Vector),
    # group_id and place of copy_groups; NULL: the document has no copies. In no index: Postgres would index the vector again with each
    # change.
    Column("copy_group", Id),
    Column("copy_place", Id),
    PrimaryKeyConstraint("moment", "document_id"),
    UniqueConstraint("document_id"),
    Index("ix_search_entries_vector", "vector", postgresql_using="gin", postgresql_with={"gin_pending_list_limit": 16384}).ddl_if(
        dialect="postgresql"
    ),
    sqlite_with_rowid=False,
)

# The words of each document in their order, as codes: what the order by relevance is computed from (search.relevance).
search_codes = Table(
    "search_codes",
    metadata,
    Column("document_id", String(64), primary_key=True),
    Column("lemmatizer", String(8), nullable=False),  # of its language; "" for none
    Column("codes", LargeBinary, nullable=False),  # relevance.encode_words
)

# Words of the index that a lemmatizer knows, and the words of titles, with their lemmas, folded. A query finds the lemmas of its words
# here, and a wrong spelling finds similar words. The index by lemma leaves out words that are their own lemma, two of three: each new word
# writes a page of each index.
_OTHER_LEMMA = text("lemma <> form")

search_forms = Table(
    "search_forms",
    metadata,
    Column("form", String(40), nullable=False),  # tokens.MAX_WORD_CHARACTERS
    Column("lemmatizer", String(8), nullable=False),  # "" for none
    Column("lemma", String(40), nullable=False),
    PrimaryKeyConstraint("form", "lemmatizer", "lemma"),
    Index("ix_search_forms_lemma", "lemma", "lemmatizer", "form", sqlite_where=_OTHER_LEMMA, postgresql_where=_OTHER_LEMMA),
    sqlite_with_rowid=False,
)

# Words of languages that write compounds as one word, from their end to their beginning (search.variants): "kommunalwahlen" is found by its
# ending "wahlen".
search_endings = Table(
    "search_endings",
    metadata,
    Column("lemmatizer", String(8), nullable=False),
    Column("ending", String(40), nullable=False),
    PrimaryKeyConstraint("lemmatizer", "ending"),
    sqlite_with_rowid=False,
)

# Documents that changed since they were indexed; filled by triggers on `documents`.
search_pending = Table("search_pending", metadata, Column("document_id", String(64), primary_key=True))
