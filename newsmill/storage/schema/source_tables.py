"""The tables of sources: their plans, listings, backfills and completeness."""

from __future__ import annotations

from sqlalchemy import Boolean, Column, Date, Float, ForeignKey, Index, Integer, PrimaryKeyConstraint, String, Table, text

from newsmill.storage.columns import Id, Json, StorableText, UtcDateTime, metadata

sources = Table(
    "sources",
    metadata,
    Column("name", StorableText, primary_key=True),
    Column("plan", Json, nullable=False),  # model.Source
    Column("enabled", Boolean, nullable=False),
    Column("next_tick_at", UtcDateTime, nullable=False),
    Column("last_tick_at", UtcDateTime),
    Column("created_at", UtcDateTime, nullable=False),
    Column("script_pages", Integer, nullable=False, server_default="0"),  # in a row, whose text only a browser showed; ledger/sources.py
    Index("ix_sources_next", "next_tick_at"),
)

# The polls of listings, and when each is read next; ledger/polls.py. A row without `planned_at` waits for the scheduler to plan it.
listing_schedules = Table(
    "listing_schedules",
    metadata,
    Column("ledger_id", Id, ForeignKey("ledger.id", ondelete="CASCADE"), primary_key=True, autoincrement=False),
    Column("polled_at", UtcDateTime, nullable=False),  # the last try
    Column("read_at", UtcDateTime),  # the last try that succeeded; NULL: none did
    Column("reads", Integer, nullable=False),
    Column("cache_seconds", Float),  # for which the last response may be reused; NULL: no response gave it
    Column("update_seconds", Float),  # between two changes, as the feed itself says; NULL: it does not
    # The last time it showed a page that it had not shown before; at its first read, pages older than a week do not count.
    Column("shown_at", UtcDateTime),
    Column("is_empty", Boolean),  # whether it had no entries when it was read last; a 304 keeps it; NULL: not known
    Column("planned_at", UtcDateTime),
    Column("next_poll_at", UtcDateTime),  # NULL: only with its source's ticks
    Column("reason", String(16)),  # polling.listings.Reason
    Index("ix_listing_schedules_planned", "planned_at"),  # NULL: to be planned; in the future: by a wrong clock
    Index("ix_listing_schedules_next", "next_poll_at"),
)

# The patterns of the sources: polling.listings.SourcePattern.
source_patterns = Table(
    "source_patterns",
    metadata,
    Column("source", StorableText, ForeignKey("sources.name", ondelete="CASCADE"), primary_key=True),
    Column("computed_at", UtcDateTime, nullable=False),
    Column("pattern", Json, nullable=False),
)

# The first time that a listing showed a page.
sightings = Table(
    "sightings",
    metadata,
    Column("page_id", Id, ForeignKey("ledger.id", ondelete="CASCADE"), nullable=False),
    Column("listing_id", Id, ForeignKey("ledger.id", ondelete="CASCADE"), nullable=False),
    Column("sighted_at", UtcDateTime, nullable=False),
    Column("is_late", Boolean, nullable=False),  # another listing had shown it before this one was read without it
    Column("modified_at", UtcDateTime),  # the `lastmod` that started the last revisit; storage/ledger/modified_pages.py
    PrimaryKeyConstraint("page_id", "listing_id"),
    Index("ix_sightings_listing", "listing_id"),
    Index(
        "ix_sightings_modified",
        "modified_at",
        sqlite_where=text("modified_at IS NOT NULL"),
        postgresql_where=text("modified_at IS NOT NULL"),
    ),
)

# What is known of missed articles, by source and week (its Monday); storage/completeness.py.
completeness = Table(
    "completeness",
    metadata,
    Column("source", StorableText, ForeignKey("sources.name", ondelete="CASCADE"), nullable=False),
    Column("week", Date, nullable=False),
    Column("computed_at", UtcDateTime, nullable=False),
    Column("articles", Integer, nullable=False),
    Column("late", Integer, nullable=False),
    Column("at_most", Float),
    Column("unknown", String(16)),  # completeness.Unknown
    PrimaryKeyConstraint("source", "week"),
)

# Backfills of sources: the last one of each. What it has found and not fetched yet is in the ledger (found_by = 'backfill').
backfills = Table(
    "backfills",
    metadata,
    Column("source", StorableText, primary_key=True),
    Column("first_day", Date, nullable=False),
    Column("last_day", Date, nullable=False),
    Column("started_at", UtcDateTime, nullable=False),
    Column("ended_at", UtcDateTime),  # when nothing was left to fetch, or when it was stopped
    Column("listings", Id, nullable=False, server_default="0"),  # found by it
    Column("pages", Id, nullable=False, server_default="0"),
    Column("left_listings", Id),  # of them, not read when it was stopped; NULL: it was not stopped
    Column("left_pages", Id),
)
