"""The tables. What stands here and what migrations/ builds are compared by a test, so that neither can drift."""

from __future__ import annotations

from sqlalchemy import (
    Boolean,
    Column,
    Date,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    String,
    Table,
    UniqueConstraint,
    text,
    true,
)

from newsmill.storage.columns import Id, Json, StorableText, UtcDateTime, Vector

metadata = MetaData(
    naming_convention={"pk": "pk_%(table_name)s", "fk": "fk_%(table_name)s_%(column_0_name)s", "uq": "uq_%(table_name)s_%(column_0_name)s"}
)

sources = Table(
    "sources",
    metadata,
    Column("name", StorableText, primary_key=True),
    Column("plan", Json, nullable=False),  # model.Source
    Column("enabled", Boolean, nullable=False),
    Column("next_tick_at", UtcDateTime, nullable=False),
    Column("last_tick_at", UtcDateTime),
    Column("created_at", UtcDateTime, nullable=False),
)

hosts = Table(
    "hosts",
    metadata,
    Column("host", StorableText, primary_key=True),
    Column("owner", StorableText),
    Column("lease_until", UtcDateTime),
    Column("leased_at", UtcDateTime, nullable=False),
    Column("fence", Integer, nullable=False, server_default="0"),
    Column("next_fetch_at", UtcDateTime),
    Column("failures", Integer, nullable=False, server_default="0"),
    Column("crawl_delay", Float),
    Column("robots_status", Integer),
    Column("robots_body", LargeBinary),
    Column("robots_fetched_at", UtcDateTime),
    Index("ix_hosts_served", "leased_at", "host"),
)

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
    Column("rank", Integer, nullable=False, server_default="0"),  # which of a host's due rows is fetched first; ledger.ranks
    Column("found_by", StorableText, nullable=False),
    Column("found_on", StorableText),
    Column("hint", Json),
    Column("first_seen_at", UtcDateTime, nullable=False),
    # where it stands
    Column("state", String(16), nullable=False),
    Column("outcome", String(32)),
    Column("detail", StorableText),
    Column("stage", StorableText),
    Column("ended_at", UtcDateTime),
    Column("next_at", UtcDateTime, nullable=False),
    # who has it
    Column("owner", StorableText),
    Column("lease_until", UtcDateTime),
    Column("fence", Integer, nullable=False, server_default="0"),
    Column("in_hand", StorableText),  # the stage a page is in with the child; NULL when it is not there
    # how it went so far
    Column("attempts", Integer, nullable=False, server_default="0"),  # fetches that gave no outcome, since the URL last ended
    Column("claims", Integer, nullable=False, server_default="0"),  # by workers; for the curious
    Column("crashes", Integer, nullable=False, server_default="0"),
    # what the fetch gave
    Column("etag", StorableText),
    Column("last_modified", StorableText),
    Column("final_url", StorableText),
    Column("status", Integer),
    Column("fetched_at", UtcDateTime),
    Column("segment", String(64), ForeignKey("segments.id")),
    Column("offset", Id),
    Column("document_id", String(64)),
    # Partial indexes: the work in flight stays small however large the ledger grows. Statements that need one must spell the state as a
    # literal (measured: with bound states SQLite scans the table, 0.8 → 17 ms at a million rows).
    # Which hosts have due work is asked by time, which of a host's rows comes first by rank: neither index serves the other.
    Index("ix_ledger_due", "host", "next_at", sqlite_where=text("state = 'due'"), postgresql_where=text("state = 'due'")),
    Index("ix_ledger_turn", "host", "rank", "next_at", sqlite_where=text("state = 'due'"), postgresql_where=text("state = 'due'")),
    Index(
        "ix_ledger_leased",
        "lease_until",
        sqlite_where=text("state IN ('fetching', 'fetched', 'processing')"),
        postgresql_where=text("state IN ('fetching', 'fetched', 'processing')"),
    ),
    Index(
        "ix_ledger_owed",
        "segment",
        sqlite_where=text("state IN ('fetched', 'processing')"),
        postgresql_where=text("state IN ('fetched', 'processing')"),
    ),
    Index("ix_ledger_listings", "source", sqlite_where=text("kind <> 'page'"), postgresql_where=text("kind <> 'page'")),
    Index("ix_ledger_outcome", "outcome", "id"),
)

# `outcome` is a model.Outcome, or 'found' for the day a row was made. A page counts once, on the day it ended last; a listing every round.
counts = Table(
    "counts",
    metadata,
    Column("day", Date, primary_key=True),
    Column("source", StorableText, primary_key=True),  # '' where there is none: a key column cannot be NULL
    Column("kind", String(16), primary_key=True),
    Column("outcome", String(32), primary_key=True),
    Column("n", Id, nullable=False),
)

# The same summed over all days, by triggers on `counts` (migration 0008).
count_totals = Table(
    "count_totals",
    metadata,
    Column("source", StorableText, primary_key=True),
    Column("kind", String(16), primary_key=True),
    Column("outcome", String(32), primary_key=True),
    Column("n", Id, nullable=False),
)

documents = Table(
    "documents",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("ledger_id", Id, ForeignKey("ledger.id"), nullable=False),  # the row whose page this is
    Column("stored_at", UtcDateTime, nullable=False),  # when its content changed last
    Column("site", StorableText),  # whose profile its page is read with; addresses.site_of
    Column("url", StorableText, nullable=False),
    Column("requested_url", StorableText, nullable=False),
    Column("canonical_url", StorableText),
    Column("source", StorableText),
    Column("site_name", StorableText),
    Column("title", StorableText),
    Column("description", StorableText),
    Column("text", StorableText, nullable=False),
    Column("blocks", Json, nullable=False),
    Column("authors", Json, nullable=False),
    Column("published_at", UtcDateTime),
    Column("modified_at", UtcDateTime),
    Column("first_seen_at", UtcDateTime, nullable=False),
    Column("fetched_at", UtcDateTime, nullable=False),
    Column("published_source", StorableText),
    Column("published_precision", StorableText),
    Column("published_day", StorableText),
    Column("language", StorableText),
    Column("section", StorableText),
    Column("tags", Json, nullable=False),
    Column("image", StorableText),
    Column("images", Json, nullable=False),
    Column("article_type", StorableText),
    Column("live_updates", Json, nullable=False),
    Column("is_free", Boolean),
    Column("is_free_reason", StorableText),
    Column("license", StorableText),
    Column("rights", Json, nullable=False),
    Column("word_count", Integer, nullable=False),
    Column("extractor", StorableText, nullable=False),
    Column("profile_version", Integer),
    Column("confidence", Float),
    Column("warnings", Json, nullable=False),
    Column("content_hash", StorableText, nullable=False),
    Column("provenance", Json, nullable=False),
    Column("revision", Integer, nullable=False),
    Column("archive_ref", StorableText),
    Index("ix_documents_order", "first_seen_at", "id"),
    Index("ix_documents_source", "source", "first_seen_at", "id"),
    Index("ix_documents_stored", "stored_at", "id"),
    Index("ix_documents_ledger", "ledger_id"),
    Index("ix_documents_site", "site", "id"),
    Index("ix_documents_confidence", "confidence"),
    Index("ix_documents_profile", "site", "profile_version", "fetched_at"),
)

# The index of the search, one row per document, in the order of their times; keep/search. On SQLite the words stand in the FTS5 tables
# search_words and search_english, by the same moment; migration 0003 makes them, and the triggers that fill search_pending.
search_entries = Table(
    "search_entries",
    metadata,
    Column("document_id", String(64), nullable=False),
    Column("moment", Id, nullable=False),  # search.entry.moment
    Column("source", StorableText),
    Column("stemmer", String(16), nullable=False),  # "" for none
    Column("vector", Vector),
    Column("format", Integer),  # search.entry.FORMAT; NULL: written before there was one
    PrimaryKeyConstraint("moment", "document_id"),
    UniqueConstraint("document_id"),
    Index("ix_search_entries_vector", "vector", postgresql_using="gin", postgresql_with={"gin_pending_list_limit": 16384}).ddl_if(
        dialect="postgresql"
    ),
    Index("ix_search_entries_old", "moment", sqlite_where=text("format IS NULL"), postgresql_where=text("format IS NULL")),
    sqlite_with_rowid=False,
)

# The stemmers that were ever used, so that a query on Postgres is put into no other language.
search_stemmers = Table("search_stemmers", metadata, Column("stemmer", String(16), primary_key=True))

# Documents that have changed since they were indexed.
search_pending = Table("search_pending", metadata, Column("document_id", String(64), primary_key=True))

# What texts are found by that are (nearly) the same, one row per document; keep/fingerprints. It bears the ledger's number of the page,
# because that stands in each index on SQLite, where a document's id would take five times the room.
fingerprints = Table(
    "fingerprints",
    metadata,
    Column("ledger_id", Id, primary_key=True, autoincrement=False),
    *(Column(f"band{number}", Integer, nullable=False) for number in range(1, 7)),  # relate.near_duplicates.BANDS
    *(Index(f"ix_fingerprints_band{number}", f"band{number}") for number in range(1, 7)),
)

# Documents whose text has changed since their fingerprint was made, or that have none yet; migration 0011 has the triggers that fill it.
fingerprints_due = Table("fingerprints_due", metadata, Column("document_id", String(64), primary_key=True), sqlite_with_rowid=False)

# Where programs of before 0011 look instead: empty, so that they make none, which would not be found (relate.near_duplicates.BITS).
Table("fingerprints_pending", metadata, Column("document_id", String(64), primary_key=True), sqlite_with_rowid=False)

# What was learnt of a site, version after version; a page is read with the newest one that holds for the time it was fetched.
profiles = Table(
    "profiles",
    metadata,
    Column("site", StorableText, primary_key=True),
    Column("version", Integer, primary_key=True, autoincrement=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("pages", Integer, nullable=False),
    Column("fit", Float),
    Column("since", UtcDateTime),  # pages fetched before have an older layout
    Column("documents", Id, nullable=False),  # that the site had when it was last learnt, with or without a new version
    Column("applied", Boolean, nullable=False),  # the documents of older versions have been cleaned again
    Column("data", Json, nullable=False),  # model.Profile
    # Pages read since by its paths alone, and how often that was held against the long way (model.Way).
    Column("fast", Boolean, nullable=False, server_default=true()),  # False: the two ways disagreed, so nothing goes by it alone
    Column("fast_pages", Id, nullable=False, server_default="0"),
    Column("unfit_pages", Id, nullable=False, server_default="0"),
    Column("agreed_pages", Id, nullable=False, server_default="0"),
    Column("disagreed_pages", Id, nullable=False, server_default="0"),
)

# Who is at work: each process tells the time of its last good round. For health checks and `status`; nothing waits for it.
processes = Table(
    "processes",
    metadata,
    Column("name", StorableText, primary_key=True),  # owners.new_owner
    Column("machine", StorableText, nullable=False),
    Column("role", String(16), nullable=False),
    Column("beat_at", UtcDateTime, nullable=False),
)

# Tables of the web process: tokens, submissions, web hooks.

# What lets somebody in: tokens of programs, sessions of browsers, and links that open one session. Only the secret's hash is kept.
tokens = Table(
    "tokens",
    metadata,
    Column("id", String(16), primary_key=True),
    Column("kind", String(8), nullable=False),
    Column("name", StorableText, nullable=False),
    Column("scope", String(8), nullable=False),
    Column("digest", String(64), nullable=False),  # SHA-256; the secret is 32 random bytes, so nothing slower is needed
    Column("created_at", UtcDateTime, nullable=False),
    Column("expires_at", UtcDateTime),
    Column("parent", String(16)),  # the token a session was opened with: revoked together
)

# Addresses a program handed in together; their outcomes are the ledger's.
submissions = Table(
    "submissions",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("created_at", UtcDateTime, nullable=False),
    Column("token", StorableText),  # who handed them in
    Column("source", StorableText),
    Column("urls", Integer, nullable=False),
    Column("webhook", String(32)),  # whom to tell when all have ended
    Column("told_at", UtcDateTime),
    Index(
        "ix_submissions_untold",
        "created_at",
        sqlite_where=text("webhook IS NOT NULL AND told_at IS NULL"),
        postgresql_where=text("webhook IS NOT NULL AND told_at IS NULL"),
    ),
)

submitted = Table(
    "submitted",
    metadata,
    Column("submission", String(32), primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("url", StorableText, nullable=False),  # as it was handed in
    Column("url_key", String(64), nullable=False),
)

# Who is told of new documents. `seen_at` and `seen_id` are the last document that deliveries were made for.
webhooks = Table(
    "webhooks",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("url", StorableText, nullable=False),
    Column("secret", StorableText, nullable=False),  # signs what is sent, so it cannot be kept as a hash
    Column("event", String(32), nullable=False),
    Column("source", StorableText),
    Column("created_at", UtcDateTime, nullable=False),
    Column("token", StorableText),
    Column("enabled", Boolean, nullable=False),
    Column("seen_at", UtcDateTime, nullable=False),
    Column("seen_id", StorableText, nullable=False),
)

deliveries = Table(
    "deliveries",
    metadata,
    Column("id", String(40), primary_key=True),  # the same in every try: a receiver knows a repeated one by it
    Column("webhook", String(32), ForeignKey("webhooks.id"), nullable=False),
    Column("payload", Json, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("state", String(16), nullable=False),  # due, delivered, failed
    Column("attempts", Integer, nullable=False),
    Column("next_at", UtcDateTime, nullable=False),
    Column("ended_at", UtcDateTime),
    Column("status", Integer),  # of the last answer
    Column("detail", StorableText),  # why the last try failed
    Index("ix_deliveries_due", "next_at", sqlite_where=text("state = 'due'"), postgresql_where=text("state = 'due'")),
    Index("ix_deliveries_webhook", "webhook", "created_at"),
)
