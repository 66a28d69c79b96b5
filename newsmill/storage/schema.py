"""The tables of the database. A test compares them with what `migrations/` builds.

Triggers, functions and the FTS5 tables of SQLite are in `migrations/versions/0001_schema.py`.
"""

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
    false,
    text,
    true,
)

from newsmill.storage.columns import Id, Json, StorableString, StorableText, UtcDateTime, Vector

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
    Column("script_pages", Integer, nullable=False, server_default="0"),  # in a row, whose text only a browser showed; ledger/sources.py
    Index("ix_sources_next", "next_tick_at"),
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
    Column("paused_at", UtcDateTime),  # when next_fetch_at was set: one in the future shows a wrong clock
    Column("failures", Integer, nullable=False, server_default="0"),
    Column("crawl_delay", Float),
    Column("robots_status", Integer),
    Column("robots_body", LargeBinary),
    Column("robots_fetched_at", UtcDateTime),
    Index("ix_hosts_served", "leased_at", "host"),
    Index("ix_hosts_leased", "lease_until", sqlite_where=text("lease_until IS NOT NULL"), postgresql_where=text("lease_until IS NOT NULL")),
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
    Column("rank", Integer, nullable=False, server_default="0"),  # smaller is fetched first; ledger.priority
    Column("found_by", StorableText, nullable=False),
    Column("found_on", StorableText),
    Column("hint", Json),
    Column("first_seen_at", UtcDateTime, nullable=False),
    # the state
    Column("state", String(16), nullable=False),
    Column("outcome", String(32)),
    Column("detail", StorableText),
    Column("stage", StorableText),
    Column("ended_at", UtcDateTime),
    Column("next_at", UtcDateTime, nullable=False),
    # the failures; statements
    Column("failing_since", UtcDateTime),  # the first failed try since the last success
    Column("failure", String(32)),  # the last failed try that has left outcome and detail: model.Outcome
    Column("failure_detail", StorableText),
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
    Column("reason", String(16)),  # discovery.schedule.Reason
    Index("ix_listing_schedules_planned", "planned_at"),  # NULL: to be planned; in the future: by a wrong clock
    Index("ix_listing_schedules_next", "next_poll_at"),
)

# The patterns of the sources: discovery.schedule.SourcePattern.
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

documents = Table(
    "documents",
    metadata,
    Column("id", StorableString(64), primary_key=True),
    Column("ledger_id", Id, ForeignKey("ledger.id"), nullable=False),  # the row of its page
    Column("stored_at", UtcDateTime, nullable=False),  # the last change of its content
    Column("site", StorableText),  # the key of its site profile; urls.get_profile_site
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
    Column("gone_at", UtcDateTime),
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

# The contents that a new revision of their document replaced; storage/revisions.py. Columns are those of `documents` at that time.
revisions = Table(
    "revisions",
    metadata,
    Column("document_id", StorableString(64), ForeignKey("documents.id", ondelete="CASCADE"), primary_key=True),
    Column("revision", Integer, primary_key=True, autoincrement=False),
    Column("characters", Integer, nullable=False),  # of text, blocks and live updates, which the limit of a document counts
    Column("stored_at", UtcDateTime, nullable=False),
    Column("fetched_at", UtcDateTime, nullable=False),
    Column("modified_at", UtcDateTime),
    Column("word_count", Integer, nullable=False),
    Column("content_hash", StorableText, nullable=False),
    Column("extractor", StorableText, nullable=False),
    Column("profile_version", Integer),
    Column("archive_ref", StorableText),
    Column("title", StorableText),
    Column("description", StorableText),
    Column("authors", Json, nullable=False),
    Column("live_updates", Json, nullable=False),
    Column("text", StorableText, nullable=False),
    Column("blocks", Json, nullable=False),
)

# Documents that were removed, so that readers of changes remove them too. One that is stored again keeps its row, which is before it in the
# order of storage.
removed_documents = Table(
    "removed_documents",
    metadata,
    Column("id", StorableString(64), primary_key=True),
    Column("removed_at", UtcDateTime, nullable=False),  # in the order of `documents.stored_at`
    Column("source", StorableText),
    Index("ix_removed_documents_order", "removed_at", "id"),
)

# URLs whose documents were removed at somebody's demand; ledger/takedowns.py.
takedowns = Table(
    "takedowns",
    metadata,
    Column("url_key", String(64), primary_key=True),
    Column("url", StorableText, nullable=False),
    Column("reason", StorableText, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("document_id", String(64)),
    Column("erase_after", UtcDateTime),  # when its pages in the archive can be erased; NULL: they are erased
    Column("erased_pages", Integer, nullable=False),
    Column("evidence", Json),  # ledger/takedown_evidence.py; NULL: nothing is known of the text
    Column("image", String(32)),  # of the removed document: the name of its file in images/
    Index(
        "ix_takedowns_erase",
        "erase_after",
        sqlite_where=text("erase_after IS NOT NULL"),
        postgresql_where=text("erase_after IS NOT NULL"),
    ),
)

# What the parameters of a site's URLs are worth; storage.url_parameters.
url_parameters = Table(
    "url_parameters",
    metadata,
    Column("site", StorableText, primary_key=True),  # urls.get_profile_site
    Column("name", StorableText, primary_key=True),  # lower case
    Column("copies", Integer, nullable=False),
    Column("articles", Integer, nullable=False),
    Column("is_needed", Boolean, nullable=False, server_default=false()),
)

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
    # copy_groups.group_id; NULL: the document has no copies. In no index: Postgres would index the vector again with each change.
    Column("copy_group", Id),
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

# Fingerprints of the texts, by which near duplicates are found. The key is the ledger's id: every index on SQLite holds the key, and a
# document's id would take five times the space.
fingerprints = Table(
    "fingerprints",
    metadata,
    Column("ledger_id", Id, primary_key=True, autoincrement=False),
    *(Column(f"band{number}", Integer, nullable=False) for number in range(1, 7)),  # near_duplicates.BANDS
    *(Index(f"ix_fingerprints_band{number}", f"band{number}") for number in range(1, 7)),
)

# Documents without a fingerprint of their current text; filled by triggers on `documents`.
fingerprints_due = Table("fingerprints_due", metadata, Column("document_id", String(64), primary_key=True), sqlite_with_rowid=False)

# The groups of copies, one row per page; storage/copy_groups.py.
copy_groups = Table(
    "copy_groups",
    metadata,
    Column("ledger_id", Id, primary_key=True, autoincrement=False),
    Column("document_id", String(64), nullable=False),
    Column("second", Id, nullable=False),  # the document's time, copies.OrderKey
    Column("group_id", Id),  # the page of the group's first document; NULL: the document has no copies
    Column("is_due", Boolean, nullable=False),  # the first document of its group has changed
    Index("ix_copy_groups_group", "group_id", sqlite_where=text("group_id IS NOT NULL"), postgresql_where=text("group_id IS NOT NULL")),
    Index("ix_copy_groups_due", "ledger_id", sqlite_where=text("is_due"), postgresql_where=text("is_due")),
)

# Pages whose document is new, changed or removed since its group was decided; filled by triggers on `documents`.
copies_due = Table("copies_due", metadata, Column("ledger_id", Id, primary_key=True, autoincrement=False))

# Site profiles, one row per version. A page is read with the newest version that is valid for its fetch time.
profiles = Table(
    "profiles",
    metadata,
    Column("site", StorableText, primary_key=True),
    Column("version", Integer, primary_key=True, autoincrement=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("pages", Integer, nullable=False),
    Column("fit", Float),
    Column("since", UtcDateTime),  # valid for pages fetched from then on; older pages have another layout
    Column("documents", Id, nullable=False),  # of the site at the last learning, with or without a new version
    Column("applied", Boolean, nullable=False),  # the documents of older versions are extracted again
    Column("data", Json, nullable=False),  # model.Profile
    # Pages read with this version, by extraction path (model.ExtractionPath).
    Column("fast", Boolean, nullable=False, server_default=true()),  # False: the fast path disagreed with the full one and is off
    Column("fast_pages", Id, nullable=False, server_default="0"),
    Column("unfit_pages", Id, nullable=False, server_default="0"),
    Column("agreed_pages", Id, nullable=False, server_default="0"),
    Column("disagreed_pages", Id, nullable=False, server_default="0"),
)

# Heartbeats: the time of each process's last complete round, for health checks and `status`.
processes = Table(
    "processes",
    metadata,
    Column("name", StorableText, primary_key=True),  # processes.make_owner_id
    Column("machine", StorableText, nullable=False),
    Column("role", String(16), nullable=False),
    Column("beat_at", UtcDateTime, nullable=False),
)

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

# Receivers of notifications. `seen_at` and `seen_id` are the last document for which a delivery was made.
webhooks = Table(
    "webhooks",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("url", StorableText, nullable=False),
    Column("secret", StorableText, nullable=False),  # signs deliveries, so it cannot be stored as a hash
    Column("event", String(32), nullable=False),
    Column("source", StorableText),
    Column("query", StorableText),  # only documents that match it; NULL: all
    Column("created_at", UtcDateTime, nullable=False),
    Column("token", StorableText),
    Column("enabled", Boolean, nullable=False),
    Column("seen_at", UtcDateTime, nullable=False),
    Column("seen_id", StorableText, nullable=False),
)

deliveries = Table(
    "deliveries",
    metadata,
    Column("id", String(40), primary_key=True),  # the same in every try, so that a receiver recognises a repeated delivery
    Column("webhook", String(32), ForeignKey("webhooks.id"), nullable=False),
    Column("payload", Json, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("state", String(16), nullable=False),  # due, delivered, failed
    Column("attempts", Integer, nullable=False),
    Column("next_at", UtcDateTime, nullable=False),
    Column("ended_at", UtcDateTime),
    Column("status", Integer),  # of the last response
    Column("detail", StorableText),  # why the last try failed
    Index("ix_deliveries_due", "next_at", sqlite_where=text("state = 'due'"), postgresql_where=text("state = 'due'")),
    Index("ix_deliveries_webhook", "webhook", "created_at"),
)

# WebSub: the hubs that feeds announce, one row per feed, and the subscriptions there. `hub` and `topic` are as announced.
websub_subscriptions = Table(
    "websub_subscriptions",
    metadata,
    Column("callback_id", StorableString(43), primary_key=True),  # the part of the callback URL that cannot be guessed
    Column("ledger_id", Id, ForeignKey("ledger.id", ondelete="SET NULL"), unique=True),  # the listing; NULL: it is gone
    Column("hub", StorableText, nullable=False),
    Column("topic", StorableText, nullable=False),
    Column("public_url", StorableText),  # of the callback as the hub knows it; NULL before the first request
    Column("secret", String(64), nullable=False),  # verifies pushes, so it cannot be stored as a hash
    Column("state", String(16), nullable=False),  # storage.websub.SubscriptionState
    Column("awaited", String(12)),  # the request that the hub has not verified yet: subscribe or unsubscribe
    Column("awaited_until", UtcDateTime),
    Column("attempts", Integer, nullable=False, server_default="0"),  # requests in a row that the hub did not verify
    Column("next_at", UtcDateTime),  # of the next request; NULL: none
    Column("detail", StorableText),  # why the last request failed, or the hub's reason to refuse
    Column("verified_at", UtcDateTime),
    Column("expires_at", UtcDateTime),
    Column("last_push_at", UtcDateTime),
    Column("last_digest", String(64)),  # SHA-256 of the last push: a repeated one is dropped
    Column("missed_at", UtcDateTime),  # the last time a request for the feed found pages that were not pushed
    Column("pushes", Integer, nullable=False, server_default="0"),
    Column("repeated", Integer, nullable=False, server_default="0"),
    Column("forged", Integer, nullable=False, server_default="0"),  # pushes without a right signature
    Index("ix_websub_subscriptions_next", "next_at"),
)

# Pushed feeds that the crawler has not read yet. An empty body stands for a push that cannot be used: the feed is then requested.
websub_pushes = Table(
    "websub_pushes",
    metadata,
    Column("id", Id, primary_key=True, autoincrement=True),
    Column("ledger_id", Id, ForeignKey("ledger.id", ondelete="CASCADE"), nullable=False),
    Column("content_type", StorableText),
    Column("body", LargeBinary, nullable=False),
    Column("received_at", UtcDateTime, nullable=False),
    Index("ix_websub_pushes_ledger", "ledger_id", "id"),
)

# Orders of the owners of hosts, which the crawler obeys from its next request on.
publisher_orders = Table(
    "publisher_orders",
    metadata,
    Column("host", StorableText, primary_key=True),
    Column("is_stopped", Boolean, nullable=False),
    Column("delay", Float),  # seconds between two requests, at least
    Column("changed_at", UtcDateTime, nullable=False),
)

# Proofs that a host belongs to the sender of a claim. Only the hash of the claim is stored.
publisher_claims = Table(
    "publisher_claims",
    metadata,
    Column("digest", String(64), primary_key=True),
    Column("host", StorableText, nullable=False),
    Column("proved_at", UtcDateTime, nullable=False),
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

# Alerts on saved searches. `notified` is the number of the last match in a message that arrived; one in progress has those up to `until`.
alerts = Table(
    "alerts",
    metadata,
    Column("id", StorableString(16), primary_key=True),
    Column("search", String(16), ForeignKey("saved_searches.id"), nullable=False),
    Column("channel", String(8), nullable=False),  # storage.saved_searches.Channel
    Column("target", StorableText, nullable=False),  # e-mail address or URL; that of a service holds its password
    Column("secret", StorableText),  # signs messages to a webhook
    Column("schedule", String(8), nullable=False),  # alerts.Frequency
    Column("hour", Integer, nullable=False),
    Column("weekday", Integer, nullable=False),
    Column("zone", StorableText, nullable=False),
    Column("language", String(8), nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("state", String(8), nullable=False),  # storage.saved_searches.AlertState
    Column("notified", Id, nullable=False),
    Column("due_at", UtcDateTime, nullable=False),  # no message is begun earlier
    Column("delivery", String(40)),  # the message in progress: the same ID in every try
    Column("until", Id),
    Column("attempts", Integer, nullable=False, server_default="0"),
    Column("next_at", UtcDateTime),  # of the next try, or the end of the sender's lease
    Column("failing_since", UtcDateTime),
    Column("detail", StorableText),  # why the last try failed
    Column("sent_at", UtcDateTime),
    Index("ix_alerts_search", "search"),
    Index("ix_alerts_due", "due_at", sqlite_where=text("state = 'active'"), postgresql_where=text("state = 'active'")),
)

# What earlier checks of a source's health have seen; storage/source_health.py.
source_checks = Table(
    "source_checks",
    metadata,
    Column("source", StorableText, primary_key=True),
    Column("checked_at", UtcDateTime, nullable=False),
    Column("history", Json, nullable=False),  # source_health.CheckHistory
    Index("ix_source_checks_age", "checked_at"),
)

# The causes for which a source needs an administrator, from their beginning to their end.
source_alarms = Table(
    "source_alarms",
    metadata,
    Column("id", Id, primary_key=True, autoincrement=True),
    Column("source", StorableText, nullable=False),  # '' for the whole installation
    Column("cause", String(24), nullable=False),  # health.causes.Cause
    Column("since", UtcDateTime, nullable=False),  # when the problem began
    Column("begun_at", UtcDateTime, nullable=False),  # when it was proven
    Column("until", UtcDateTime),  # when the opposite was proven; NULL: open
    Column("evidence", Json, nullable=False),  # health.causes.Evidence
    Column("notified", String(8), nullable=False),  # alarms.Notified
    Index("ix_source_alarms_source", "source", "begun_at"),
    Index("ix_source_alarms_notified", "notified", "id"),
    Index(
        "ux_source_alarms_open", "source", "cause", unique=True, sqlite_where=text("until IS NULL"), postgresql_where=text("until IS NULL")
    ),
)

# Messages about alarms, one for each beginning and end and each target.
alarm_messages = Table(
    "alarm_messages",
    metadata,
    Column("id", String(40), nullable=False, unique=True),  # the same in every try
    Column("alarm", Id, primary_key=True, autoincrement=False),
    Column("event", String(8), primary_key=True),  # alarms.Notified
    Column("target", StorableText, primary_key=True),  # an entry of NEWSMILL_HEALTH_ALERTS, or "command"
    Column("attempts", Integer, nullable=False),
    Column("next_at", UtcDateTime),  # of the next try; NULL: sent, or given up
    Column("sent_at", UtcDateTime),
    Column("detail", StorableText),  # why the last try failed
    Index("ix_alarm_messages_due", "next_at", sqlite_where=text("next_at IS NOT NULL"), postgresql_where=text("next_at IS NOT NULL")),
)
