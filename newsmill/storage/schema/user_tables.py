"""The tables of users: tokens, marks and saved searches."""

from __future__ import annotations

from sqlalchemy import Boolean, Column, ForeignKey, Index, Integer, PrimaryKeyConstraint, String, Table, UniqueConstraint, text

from newsmill.storage.columns import Id, StorableString, StorableText, UtcDateTime, metadata

# Tokens of programs, sessions of browsers, and links that open one session. Only the hash of the secret is stored.
tokens = Table(
    "tokens",
    metadata,
    Column("id", String(16), primary_key=True),
    Column("kind", String(8), nullable=False),
    Column("name", StorableText, nullable=False),
    Column("scope", String(8), nullable=False),
    Column("digest", String(64), nullable=False),  # SHA-256: the secret is 32 random bytes, so a slow hash adds nothing
    Column("created_at", UtcDateTime, nullable=False),
    Column("expires_at", UtcDateTime),
    Column("parent", String(16)),  # the token that opened the session; both are revoked together
)

# Stars, read documents, tags and notes: one row for each, of each user. The index holds them as terms (search.index_terms.mark_value).
marks = Table(
    "marks",
    metadata,
    Column("document_id", StorableString(64), ForeignKey("documents.id", ondelete="CASCADE"), nullable=False),
    Column("user_name", StorableText, nullable=False),  # the name of a token; '' without one
    Column("kind", String(8), nullable=False),  # model.MarkKind
    Column("tag", StorableText, nullable=False),  # '' for other kinds
    Column("note", StorableText),
    Column("marked_at", UtcDateTime, nullable=False),
    PrimaryKeyConstraint("document_id", "user_name", "kind", "tag"),
    Index("ix_marks_tag", "user_name", "tag", sqlite_where=text("kind = 'tag'"), postgresql_where=text("kind = 'tag'")),
)

# Searches that a user saved. `seen_at` and `seen_id` are the position in the order of storage up to which documents were matched.
saved_searches = Table(
    "saved_searches",
    metadata,
    Column("id", StorableString(16), primary_key=True),
    Column("user_name", StorableText, nullable=False),
    Column("name", StorableText, nullable=False),
    Column("query", StorableText, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("seen_at", UtcDateTime, nullable=False),
    Column("seen_id", StorableText, nullable=False),
    Column("matches", Id, nullable=False, server_default="0"),  # the number of the last match
    Column("looked", Id, nullable=False, server_default="0"),  # the number of the last match when the user last looked
    Column("looked_at", UtcDateTime),
    Column("story_sources", Integer),  # it matches stories of so many sources; NULL: it matches documents
    UniqueConstraint("user_name", "name"),
    Index("ix_saved_searches_seen", "seen_at"),
)

# Documents that matched a saved search since it was saved, numbered from 1 in the order of matching. Old ones are deleted.
search_matches = Table(
    "search_matches",
    metadata,
    Column("search", String(16), ForeignKey("saved_searches.id"), primary_key=True),
    Column("number", Id, primary_key=True, autoincrement=False),
    Column("document_id", String(64), nullable=False),
    Column("matched_at", UtcDateTime, nullable=False),
    UniqueConstraint("search", "document_id"),
    Index("ix_search_matches_age", "matched_at"),
)

# The stories that were compared with a saved search of stories, as they were with so many documents; storage/story_matches.py.
compared_stories = Table(
    "compared_stories",
    metadata,
    Column("search", String(16), ForeignKey("saved_searches.id"), primary_key=True),
    Column("story_id", Id, primary_key=True, autoincrement=False),
    Column("documents", Integer, nullable=False),
    Column("is_match", Boolean, nullable=False),
)
