"""The tables of stories: which documents tell the same news, as far as storage/story_decisions.py has decided."""

from __future__ import annotations

from sqlalchemy import Boolean, Column, Index, Integer, LargeBinary, String, Table, text

from newsmill.storage.columns import Id, StorableText, UtcDateTime, metadata

# One row per text: the page of a document that is no copy of an earlier one.
story_texts = Table(
    "story_texts",
    metadata,
    Column("ledger_id", Id, primary_key=True, autoincrement=False),
    Column("second", Id, nullable=False),  # the document's time, copies.OrderKey
    Column("terms", LargeBinary, nullable=False),  # newsmill.stories.terms
    Column("component", Id, nullable=False),  # the lowest page of the texts that are linked, directly or by others
    Column("story_id", Id),  # NULL: no other document tells the same news
    Index("ix_story_texts_component", "component"),
    Index("ix_story_texts_story", "story_id", sqlite_where=text("story_id IS NOT NULL"), postgresql_where=text("story_id IS NOT NULL")),
)

# The rare terms of each text, by which texts of the same news are found.
story_terms = Table(
    "story_terms",
    metadata,
    Column("term", Id, primary_key=True, autoincrement=False),
    Column("second", Id, primary_key=True, autoincrement=False),
    Column("ledger_id", Id, primary_key=True, autoincrement=False),
    sqlite_with_rowid=False,
)

stories = Table(
    "stories",
    metadata,
    Column("id", Id, primary_key=True, autoincrement=True),
    Column("title", StorableText),
    Column("first_second", Id, nullable=False),
    Column("last_second", Id, nullable=False),
    Column("documents", Integer, nullable=False),  # 0: it was merged, or its documents left
    Column("texts", Integer, nullable=False),  # documents without copies
    Column("sources", Integer, nullable=False),
    Column("merged_into", Id),
    Index("ix_stories_newest", "last_second", "id"),
    Index("ix_stories_sources", "sources", "id"),
)

# What persons decided, for good: two pages tell the same news, or they do not.
story_links = Table(
    "story_links",
    metadata,
    Column("one", Id, primary_key=True, autoincrement=False),  # the lower page
    Column("other", Id, primary_key=True, autoincrement=False),
    Column("is_same", Boolean, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("user_name", StorableText, nullable=False),
)

# Merges and splits, and what persons decided.
story_events = Table(
    "story_events",
    metadata,
    Column("id", Id, primary_key=True, autoincrement=True),
    Column("at", UtcDateTime, nullable=False),
    Column("kind", String(16), nullable=False),  # model.StoryEventKind
    Column("story_id", Id, nullable=False),
    Column("other_id", Id),  # the story that was merged into this one or split off
    Column("user_name", StorableText),  # NULL: decided from the documents
    Index("ix_story_events_story", "story_id"),
    Index("ix_story_events_other", "other_id"),
)

# Notes of pages whose text, title or group of copies has changed since their story was decided; storage/due_stories.py.
stories_due = Table(
    "stories_due",
    metadata,
    Column("number", Id, primary_key=True, autoincrement=True),
    Column("ledger_id", Id, nullable=False),
    Index("ix_stories_due_page", "ledger_id"),
)

# At most one row: by which rules stories are decided; storage/story_rules.py.
story_rules = Table(
    "story_rules",
    metadata,
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("terms_version", Integer, nullable=False),
    Column("across_languages", Boolean, nullable=False),
    Column("noted", Id),  # texts of pages below it are not noted since the rules changed; NULL: all are
)
