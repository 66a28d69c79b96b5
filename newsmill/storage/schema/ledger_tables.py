"""The ledger: one row per URL, with the archive's segments, the counts of outcomes and the submissions that refer to it."""

from __future__ import annotations

from sqlalchemy import Column, Date, ForeignKey, Index, Integer, String, Table, text

from newsmill.storage.columns import Id, Json, SentenceText, StorableText, UtcDateTime, metadata

segments = Table(
    "segments",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("pages", Integer, nullable=False),
    Column("length", Id, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
)

ledger = Table(
    "ledger",
    metadata,
    Column("id", Id, primary_key=True, autoincrement=True),
    Column("url_key", String(64), nullable=False, unique=True),
    Column("url", StorableText, nullable=False),
    Column("host", StorableText, nullable=False),
    Column("source", StorableText),
    Column("kind", String(16), nullable=False),
    Column("rank", Integer, nullable=False, server_default="0"),  # smaller is fetched first; ledger.priority
    Column("found_by", StorableText, nullable=False),
    Column("found_on", StorableText),
    Column("hint", Json),
    Column("first_seen_at", UtcDateTime, nullable=False),
    # the state
    Column("state", String(16), nullable=False),
    Column("outcome", String(32)),
    Column("detail", SentenceText),
    Column("stage", StorableText),
    Column("ended_at", UtcDateTime),
    Column("next_at", UtcDateTime, nullable=False),
    # the failures; statements
    Column("failing_since", UtcDateTime),  # the first failed try since the last success
    Column("failure", String(32)),  # the last failed try that has left outcome and detail: model.Outcome
    Column("failure_detail", SentenceText),
    Column("failed_at", UtcDateTime),
    # the lease
    Column("owner", StorableText),
    Column("lease_until", UtcDateTime),
    Column("fence", Integer, nullable=False, server_default="0"),
    Column("stage_in_progress", StorableText),  # what the child process does with the page now; NULL: nothing
    # the tries
    Column("attempts", Integer, nullable=False, server_default="0"),  # fetches without an outcome since the URL last had one
    Column("claims", Integer, nullable=False, server_default="0"),  # by workers; information only
    Column("crashes", Integer, nullable=False, server_default="0"),
    # the fetched page
    Column("etag", StorableText),
    Column("last_modified", StorableText),
    Column("final_url", StorableText),
    Column("status", Integer),
    Column("fetched_at", UtcDateTime),
    Column("received_at", UtcDateTime),  # when a page was submitted whose `fetched_at` others state; NULL: Newsmill fetched it
    Column("segment", String(64), ForeignKey("segments.id")),
    Column("offset", Id),
    Column("document_id", String(64)),
    Column("rendering", String(8)),  # model.Rendering
    # URLs of the further pages of its article that the archive has with this page; []: wanted, or none was fetched; NULL: never wanted
    Column("parts", Json),
    Column("revisit_at", UtcDateTime),  # when a stored article is fetched again; NULL: not planned, or due already. ledger.revisits
    # Partial indexes: their size is that of the work in progress, not that of the ledger. SQLite uses one only where a statement spells
    # the state as a literal: with bound states it scans the table (17 ms instead of 0.8 ms at a million rows).
    # Hosts with due work are found by time, the first row of a host by rank: neither index serves the other query.
    Index("ix_ledger_due", "host", "next_at", sqlite_where=text("state = 'due'"), postgresql_where=text("state = 'due'")),
    Index("ix_ledger_rank", "host", "rank", "next_at", sqlite_where=text("state = 'due'"), postgresql_where=text("state = 'due'")),
    Index(
        "ix_ledger_leased",
        "lease_until",
        sqlite_where=text("state IN ('fetching', 'fetched', 'processing')"),
        postgresql_where=text("state IN ('fetching', 'fetched', 'processing')"),
    ),
    Index(
        "ix_ledger_segment",
        "segment",
        sqlite_where=text("state IN ('fetched', 'processing')"),
        postgresql_where=text("state IN ('fetched', 'processing')"),
    ),
    Index("ix_ledger_listings", "source", sqlite_where=text("kind <> 'page'"), postgresql_where=text("kind <> 'page'")),
    Index("ix_ledger_outcome", "outcome", "id"),
    Index("ix_ledger_host", "host", "id"),
    Index(
        "ix_ledger_failing",
        "source",
        "failing_since",
        sqlite_where=text("failing_since IS NOT NULL"),
        postgresql_where=text("failing_since IS NOT NULL"),
    ),
    Index("ix_ledger_revisit", "revisit_at", sqlite_where=text("revisit_at IS NOT NULL"), postgresql_where=text("revisit_at IS NOT NULL")),
    Index(
        "ix_ledger_backfill",
        "source",
        "kind",
        sqlite_where=text("state = 'due' AND found_by = 'backfill'"),
        postgresql_where=text("state = 'due' AND found_by = 'backfill'"),
    ),
    Index(  # not by outcome: SQLite would prefer ix_ledger_outcome, and read all duplicates
        "ix_ledger_dropped",
        "document_id",
        sqlite_where=text("state = 'dropped' AND document_id IS NOT NULL"),
        postgresql_where=text("state = 'dropped' AND document_id IS NOT NULL"),
    ),
    Index("ix_ledger_rendered", "source", sqlite_where=text("rendering = 'done'"), postgresql_where=text("rendering = 'done'")),
)

# `outcome` is a model.Outcome, or 'found' for the day a row was inserted. A page counts once, on the day of its last outcome; a listing
# counts at every read.
counts = Table(
    "counts",
    metadata,
    Column("day", Date, primary_key=True),
    Column("source", StorableText, primary_key=True),  # '' for none: a key column cannot be NULL
    Column("kind", String(16), primary_key=True),
    Column("outcome", String(32), primary_key=True),
    Column("n", Id, nullable=False),
)

# The totals of `counts` over all days, kept by triggers on `counts`.
count_totals = Table(
    "count_totals",
    metadata,
    Column("source", StorableText, primary_key=True),
    Column("kind", String(16), primary_key=True),
    Column("outcome", String(32), primary_key=True),
    Column("n", Id, nullable=False),
)

# URLs that a program submitted in one request; their outcomes are in the ledger.
submissions = Table(
    "submissions",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("created_at", UtcDateTime, nullable=False),
    Column("token", StorableText),  # name of the token
    Column("source", StorableText),
    Column("urls", Integer, nullable=False),
    Column("webhook", String(32)),  # notified when all URLs have an outcome
    Column("notified_at", UtcDateTime),
    Index(
        "ix_submissions_unnotified",
        "created_at",
        sqlite_where=text("webhook IS NOT NULL AND notified_at IS NULL"),
        postgresql_where=text("webhook IS NOT NULL AND notified_at IS NULL"),
    ),
)

submitted_urls = Table(
    "submitted_urls",
    metadata,
    Column("submission", String(32), primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("url", StorableText, nullable=False),  # as submitted
    Column("url_key", String(64), nullable=False),
)
