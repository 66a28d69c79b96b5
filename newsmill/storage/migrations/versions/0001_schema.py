"""The schema: tables, indexes, and the triggers that keep counters and lists of changed documents up to date.

The triggers run for every writer, so that a change made in a database shell is indexed too.
"""

import sqlite3
from typing import Any

from alembic import op
from sqlalchemy import (
    Boolean,
    Column,
    Date,
    Float,
    ForeignKeyConstraint,
    Integer,
    LargeBinary,
    PrimaryKeyConstraint,
    String,
    UniqueConstraint,
    text,
    true,
)

from newsmill.storage.columns import Id, Json, StorableText, UtcDateTime, Vector

revision = "0001"
down_revision = None


def upgrade() -> None:
    create_tables()
    for statement in sqlite_statements() if op.get_bind().dialect.name == "sqlite" else POSTGRES:
        op.execute(statement)


def only(condition: str) -> dict[str, Any]:
    """The condition of a partial index, for both databases."""
    return {"sqlite_where": text(condition), "postgresql_where": text(condition)}


def create_tables() -> None:
    op.create_table(
        "backfills",
        Column("source", StorableText(), nullable=False),
        Column("first_day", Date(), nullable=False),
        Column("last_day", Date(), nullable=False),
        Column("started_at", UtcDateTime(), nullable=False),
        Column("ended_at", UtcDateTime()),
        Column("listings", Id, server_default="0", nullable=False),
        Column("pages", Id, server_default="0", nullable=False),
        Column("left_listings", Id),
        Column("left_pages", Id),
        PrimaryKeyConstraint("source", name="pk_backfills"),
    )
    op.create_table(
        "count_totals",
        Column("source", StorableText(), nullable=False),
        Column("kind", String(length=16), nullable=False),
        Column("outcome", String(length=32), nullable=False),
        Column("n", Id, nullable=False),
        PrimaryKeyConstraint("source", "kind", "outcome", name="pk_count_totals"),
    )
    op.create_table(
        "counts",
        Column("day", Date(), nullable=False),
        Column("source", StorableText(), nullable=False),
        Column("kind", String(length=16), nullable=False),
        Column("outcome", String(length=32), nullable=False),
        Column("n", Id, nullable=False),
        PrimaryKeyConstraint("day", "source", "kind", "outcome", name="pk_counts"),
    )
    op.create_table(
        "fingerprints",
        Column("ledger_id", Id, autoincrement=False, nullable=False),
        Column("band1", Integer(), nullable=False),
        Column("band2", Integer(), nullable=False),
        Column("band3", Integer(), nullable=False),
        Column("band4", Integer(), nullable=False),
        Column("band5", Integer(), nullable=False),
        Column("band6", Integer(), nullable=False),
        PrimaryKeyConstraint("ledger_id", name="pk_fingerprints"),
    )
    op.create_index("ix_fingerprints_band1", "fingerprints", ["band1"])
    op.create_index("ix_fingerprints_band2", "fingerprints", ["band2"])
    op.create_index("ix_fingerprints_band3", "fingerprints", ["band3"])
    op.create_index("ix_fingerprints_band4", "fingerprints", ["band4"])
    op.create_index("ix_fingerprints_band5", "fingerprints", ["band5"])
    op.create_index("ix_fingerprints_band6", "fingerprints", ["band6"])
    op.create_table(
        "fingerprints_due",
        Column("document_id", String(length=64), nullable=False),
        PrimaryKeyConstraint("document_id", name="pk_fingerprints_due"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "hosts",
        Column("host", StorableText(), nullable=False),
        Column("owner", StorableText(), nullable=True),
        Column("lease_until", UtcDateTime(), nullable=True),
        Column("leased_at", UtcDateTime(), nullable=False),
        Column("fence", Integer(), server_default="0", nullable=False),
        Column("next_fetch_at", UtcDateTime(), nullable=True),
        Column("paused_at", UtcDateTime(), nullable=True),
        Column("failures", Integer(), server_default="0", nullable=False),
        Column("crawl_delay", Float(), nullable=True),
        Column("robots_status", Integer(), nullable=True),
        Column("robots_body", LargeBinary(), nullable=True),
        Column("robots_fetched_at", UtcDateTime(), nullable=True),
        PrimaryKeyConstraint("host", name="pk_hosts"),
    )
    op.create_index("ix_hosts_served", "hosts", ["leased_at", "host"])
    op.create_index("ix_hosts_leased", "hosts", ["lease_until"], **only("lease_until IS NOT NULL"))
    op.create_table(
        "processes",
        Column("name", StorableText(), nullable=False),
        Column("machine", StorableText(), nullable=False),
        Column("role", String(length=16), nullable=False),
        Column("beat_at", UtcDateTime(), nullable=False),
        PrimaryKeyConstraint("name", name="pk_processes"),
    )
    op.create_table(
        "profiles",
        Column("site", StorableText(), nullable=False),
        Column("version", Integer(), autoincrement=False, nullable=False),
        Column("created_at", UtcDateTime(), nullable=False),
        Column("pages", Integer(), nullable=False),
        Column("fit", Float(), nullable=True),
        Column("since", UtcDateTime(), nullable=True),
        Column("documents", Id, nullable=False),
        Column("applied", Boolean(), nullable=False),
        Column("data", Json(), nullable=False),
        Column("fast", Boolean(), server_default=true(), nullable=False),
        Column("fast_pages", Id, server_default="0", nullable=False),
        Column("unfit_pages", Id, server_default="0", nullable=False),
        Column("agreed_pages", Id, server_default="0", nullable=False),
        Column("disagreed_pages", Id, server_default="0", nullable=False),
        PrimaryKeyConstraint("site", "version", name="pk_profiles"),
    )
    op.create_table(
        "search_entries",
        Column("document_id", String(length=64), nullable=False),
        Column("moment", Id, nullable=False),
        Column("source", StorableText(), nullable=True),
        Column("lemmatizer", String(length=8), nullable=False),
        *(Column(name, StorableText(), nullable=True) for name in ("language", "section", "authors", "type", "site")),
        Column("vector", Vector(), nullable=True),
        PrimaryKeyConstraint("moment", "document_id", name="pk_search_entries"),
        UniqueConstraint("document_id", name="uq_search_entries_document_id"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "search_forms",
        Column("form", String(length=40), nullable=False),
        Column("lemmatizer", String(length=8), nullable=False),
        Column("lemma", String(length=40), nullable=False),
        PrimaryKeyConstraint("form", "lemmatizer", "lemma", name="pk_search_forms"),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_search_forms_lemma", "search_forms", ["lemma", "lemmatizer", "form"])
    op.create_table(
        "search_pending",
        Column("document_id", String(length=64), nullable=False),
        PrimaryKeyConstraint("document_id", name="pk_search_pending"),
    )
    op.create_table(
        "segments",
        Column("id", String(length=64), nullable=False),
        Column("pages", Integer(), nullable=False),
        Column("length", Id, nullable=False),
        Column("created_at", UtcDateTime(), nullable=False),
        PrimaryKeyConstraint("id", name="pk_segments"),
    )
    op.create_table(
        "sources",
        Column("name", StorableText(), nullable=False),
        Column("plan", Json(), nullable=False),
        Column("enabled", Boolean(), nullable=False),
        Column("next_tick_at", UtcDateTime(), nullable=False),
        Column("last_tick_at", UtcDateTime(), nullable=True),
        Column("created_at", UtcDateTime(), nullable=False),
        Column("script_pages", Integer(), server_default="0", nullable=False),
        PrimaryKeyConstraint("name", name="pk_sources"),
    )
    op.create_index("ix_sources_next", "sources", ["next_tick_at"])
    op.create_table(
        "submissions",
        Column("id", String(length=32), nullable=False),
        Column("created_at", UtcDateTime(), nullable=False),
        Column("token", StorableText(), nullable=True),
        Column("source", StorableText(), nullable=True),
        Column("urls", Integer(), nullable=False),
        Column("webhook", String(length=32), nullable=True),
        Column("notified_at", UtcDateTime(), nullable=True),
        PrimaryKeyConstraint("id", name="pk_submissions"),
    )
    op.create_index("ix_submissions_unnotified", "submissions", ["created_at"], **only("webhook IS NOT NULL AND notified_at IS NULL"))
    op.create_table(
        "submitted_urls",
        Column("submission", String(length=32), nullable=False),
        Column("number", Integer(), autoincrement=False, nullable=False),
        Column("url", StorableText(), nullable=False),
        Column("url_key", String(length=64), nullable=False),
        PrimaryKeyConstraint("submission", "number", name="pk_submitted_urls"),
    )
    op.create_table(
        "tokens",
        Column("id", String(length=16), nullable=False),
        Column("kind", String(length=8), nullable=False),
        Column("name", StorableText(), nullable=False),
        Column("scope", String(length=8), nullable=False),
        Column("digest", String(length=64), nullable=False),
        Column("created_at", UtcDateTime(), nullable=False),
        Column("expires_at", UtcDateTime(), nullable=True),
        Column("parent", String(length=16), nullable=True),
        PrimaryKeyConstraint("id", name="pk_tokens"),
    )
    op.create_table(
        "webhooks",
        Column("id", String(length=32), nullable=False),
        Column("url", StorableText(), nullable=False),
        Column("secret", StorableText(), nullable=False),
        Column("event", String(length=32), nullable=False),
        Column("source", StorableText(), nullable=True),
        Column("query", StorableText(), nullable=True),
        Column("created_at", UtcDateTime(), nullable=False),
        Column("token", StorableText(), nullable=True),
        Column("enabled", Boolean(), nullable=False),
        Column("seen_at", UtcDateTime(), nullable=False),
        Column("seen_id", StorableText(), nullable=False),
        PrimaryKeyConstraint("id", name="pk_webhooks"),
    )
    op.create_table(
        "deliveries",
        Column("id", String(length=40), nullable=False),
        Column("webhook", String(length=32), nullable=False),
        Column("payload", Json(), nullable=False),
        Column("created_at", UtcDateTime(), nullable=False),
        Column("state", String(length=16), nullable=False),
        Column("attempts", Integer(), nullable=False),
        Column("next_at", UtcDateTime(), nullable=False),
        Column("ended_at", UtcDateTime(), nullable=True),
        Column("status", Integer(), nullable=True),
        Column("detail", StorableText(), nullable=True),
        ForeignKeyConstraint(["webhook"], ["webhooks.id"], name="fk_deliveries_webhook"),
        PrimaryKeyConstraint("id", name="pk_deliveries"),
    )
    op.create_index("ix_deliveries_due", "deliveries", ["next_at"], **only("state = 'due'"))
    op.create_index("ix_deliveries_webhook", "deliveries", ["webhook", "created_at"])
    op.create_table(
        "saved_searches",
        Column("id", String(length=16), nullable=False),
        Column("user_name", StorableText(), nullable=False),
        Column("name", StorableText(), nullable=False),
        Column("query", StorableText(), nullable=False),
        Column("created_at", UtcDateTime(), nullable=False),
        Column("seen_at", UtcDateTime(), nullable=False),
        Column("seen_id", StorableText(), nullable=False),
        Column("matches", Id, server_default="0", nullable=False),
        Column("looked", Id, server_default="0", nullable=False),
        Column("looked_at", UtcDateTime(), nullable=True),
        PrimaryKeyConstraint("id", name="pk_saved_searches"),
        UniqueConstraint("user_name", "name", name="uq_saved_searches_user_name"),
    )
    op.create_index("ix_saved_searches_seen", "saved_searches", ["seen_at"])
    op.create_table(
        "search_matches",
        Column("search", String(length=16), nullable=False),
        Column("number", Id, autoincrement=False, nullable=False),
        Column("document_id", String(length=64), nullable=False),
        Column("matched_at", UtcDateTime(), nullable=False),
        ForeignKeyConstraint(["search"], ["saved_searches.id"], name="fk_search_matches_search"),
        PrimaryKeyConstraint("search", "number", name="pk_search_matches"),
        UniqueConstraint("search", "document_id", name="uq_search_matches_search"),
    )
    op.create_index("ix_search_matches_age", "search_matches", ["matched_at"])
    op.create_table(
        "alerts",
        Column("id", String(length=16), nullable=False),
        Column("search", String(length=16), nullable=False),
        Column("channel", String(length=8), nullable=False),
        Column("target", StorableText(), nullable=False),
        Column("secret", StorableText(), nullable=True),
        Column("schedule", String(length=8), nullable=False),
        Column("hour", Integer(), nullable=False),
        Column("weekday", Integer(), nullable=False),
        Column("zone", StorableText(), nullable=False),
        Column("language", String(length=8), nullable=False),
        Column("created_at", UtcDateTime(), nullable=False),
        Column("state", String(length=8), nullable=False),
        Column("notified", Id, nullable=False),
        Column("due_at", UtcDateTime(), nullable=False),
        Column("delivery", String(length=40), nullable=True),
        Column("until", Id, nullable=True),
        Column("attempts", Integer(), server_default="0", nullable=False),
        Column("next_at", UtcDateTime(), nullable=True),
        Column("failing_since", UtcDateTime(), nullable=True),
        Column("detail", StorableText(), nullable=True),
        Column("sent_at", UtcDateTime(), nullable=True),
        ForeignKeyConstraint(["search"], ["saved_searches.id"], name="fk_alerts_search"),
        PrimaryKeyConstraint("id", name="pk_alerts"),
    )
    op.create_index("ix_alerts_search", "alerts", ["search"])
    op.create_index("ix_alerts_due", "alerts", ["due_at"], **only("state = 'active'"))
    op.create_table(
        "source_checks",
        Column("source", StorableText(), nullable=False),
        Column("checked_at", UtcDateTime(), nullable=False),
        Column("history", Json(), nullable=False),
        PrimaryKeyConstraint("source", name="pk_source_checks"),
    )
    op.create_index("ix_source_checks_age", "source_checks", ["checked_at"])
    op.create_table(
        "source_alarms",
        Column("id", Id, autoincrement=True, nullable=False),
        Column("source", StorableText(), nullable=False),
        Column("cause", String(length=24), nullable=False),
        Column("since", UtcDateTime(), nullable=False),
        Column("begun_at", UtcDateTime(), nullable=False),
        Column("until", UtcDateTime(), nullable=True),
        Column("evidence", Json(), nullable=False),
        Column("notified", String(length=8), nullable=False),
        PrimaryKeyConstraint("id", name="pk_source_alarms"),
    )
    op.create_index("ix_source_alarms_source", "source_alarms", ["source", "begun_at"])
    op.create_index("ix_source_alarms_notified", "source_alarms", ["notified", "id"])
    op.create_table(
        "alarm_messages",
        Column("id", String(length=40), nullable=False),
        Column("alarm", Id, autoincrement=False, nullable=False),
        Column("event", String(length=8), nullable=False),
        Column("target", StorableText(), nullable=False),
        Column("attempts", Integer(), nullable=False),
        Column("next_at", UtcDateTime(), nullable=True),
        Column("sent_at", UtcDateTime(), nullable=True),
        Column("detail", StorableText(), nullable=True),
        PrimaryKeyConstraint("alarm", "event", "target", name="pk_alarm_messages"),
        UniqueConstraint("id", name="uq_alarm_messages_id"),
    )
    op.create_index("ix_alarm_messages_due", "alarm_messages", ["next_at"], **only("next_at IS NOT NULL"))
    op.create_index("ux_source_alarms_open", "source_alarms", ["source", "cause"], unique=True, **only("until IS NULL"))
    op.create_table(
        "ledger",
        Column("id", Id, autoincrement=True, nullable=False),
        Column("url_key", String(length=64), nullable=False),
        Column("url", StorableText(), nullable=False),
        Column("host", StorableText(), nullable=False),
        Column("source", StorableText(), nullable=True),
        Column("kind", String(length=16), nullable=False),
        Column("rank", Integer(), server_default="0", nullable=False),
        Column("found_by", StorableText(), nullable=False),
        Column("found_on", StorableText(), nullable=True),
        Column("hint", Json(), nullable=True),
        Column("first_seen_at", UtcDateTime(), nullable=False),
        Column("state", String(length=16), nullable=False),
        Column("outcome", String(length=32), nullable=True),
        Column("detail", StorableText(), nullable=True),
        Column("stage", StorableText(), nullable=True),
        Column("ended_at", UtcDateTime(), nullable=True),
        Column("next_at", UtcDateTime(), nullable=False),
        Column("failing_since", UtcDateTime(), nullable=True),
        Column("failure", String(length=32), nullable=True),
        Column("failure_detail", StorableText(), nullable=True),
        Column("failed_at", UtcDateTime(), nullable=True),
        Column("owner", StorableText(), nullable=True),
        Column("lease_until", UtcDateTime(), nullable=True),
        Column("fence", Integer(), server_default="0", nullable=False),
        Column("stage_in_progress", StorableText(), nullable=True),
        Column("attempts", Integer(), server_default="0", nullable=False),
        Column("claims", Integer(), server_default="0", nullable=False),
        Column("crashes", Integer(), server_default="0", nullable=False),
        Column("etag", StorableText(), nullable=True),
        Column("last_modified", StorableText(), nullable=True),
        Column("final_url", StorableText(), nullable=True),
        Column("status", Integer(), nullable=True),
        Column("fetched_at", UtcDateTime(), nullable=True),
        Column("segment", String(length=64), nullable=True),
        Column("offset", Id, nullable=True),
        Column("document_id", String(length=64), nullable=True),
        Column("rendering", String(length=8), nullable=True),
        Column("revisit_at", UtcDateTime(), nullable=True),
        ForeignKeyConstraint(["segment"], ["segments.id"], name="fk_ledger_segment"),
        PrimaryKeyConstraint("id", name="pk_ledger"),
        UniqueConstraint("url_key", name="uq_ledger_url_key"),
    )
    op.create_index("ix_ledger_due", "ledger", ["host", "next_at"], **only("state = 'due'"))
    op.create_index("ix_ledger_backfill", "ledger", ["source", "kind"], **only("state = 'due' AND found_by = 'backfill'"))
    op.create_index("ix_ledger_dropped", "ledger", ["document_id"], **only("state = 'dropped' AND document_id IS NOT NULL"))
    op.create_index("ix_ledger_failing", "ledger", ["source", "failing_since"], **only("failing_since IS NOT NULL"))
    op.create_index("ix_ledger_host", "ledger", ["host", "id"])
    op.create_index("ix_ledger_leased", "ledger", ["lease_until"], **only("state IN ('fetching', 'fetched', 'processing')"))
    op.create_index("ix_ledger_listings", "ledger", ["source"], **only("kind <> 'page'"))
    op.create_index("ix_ledger_outcome", "ledger", ["outcome", "id"])
    op.create_index("ix_ledger_rank", "ledger", ["host", "rank", "next_at"], **only("state = 'due'"))
    op.create_index("ix_ledger_rendered", "ledger", ["source"], **only("rendering = 'done'"))
    op.create_index("ix_ledger_revisit", "ledger", ["revisit_at"], **only("revisit_at IS NOT NULL"))
    op.create_index("ix_ledger_segment", "ledger", ["segment"], **only("state IN ('fetched', 'processing')"))
    op.create_table(
        "publisher_orders",
        Column("host", StorableText(), nullable=False),
        Column("is_stopped", Boolean(), nullable=False),
        Column("delay", Float(), nullable=True),
        Column("changed_at", UtcDateTime(), nullable=False),
        PrimaryKeyConstraint("host", name="pk_publisher_orders"),
    )
    op.create_table(
        "publisher_claims",
        Column("digest", String(length=64), nullable=False),
        Column("host", StorableText(), nullable=False),
        Column("proved_at", UtcDateTime(), nullable=False),
        PrimaryKeyConstraint("digest", name="pk_publisher_claims"),
    )
    op.create_table(
        "websub_subscriptions",
        Column("callback_id", String(length=43), nullable=False),
        Column("ledger_id", Id, nullable=True),
        Column("hub", StorableText(), nullable=False),
        Column("topic", StorableText(), nullable=False),
        Column("public_url", StorableText(), nullable=True),
        Column("secret", String(length=64), nullable=False),
        Column("state", String(length=16), nullable=False),
        Column("awaited", String(length=12), nullable=True),
        Column("awaited_until", UtcDateTime(), nullable=True),
        Column("attempts", Integer(), server_default="0", nullable=False),
        Column("next_at", UtcDateTime(), nullable=True),
        Column("detail", StorableText(), nullable=True),
        Column("verified_at", UtcDateTime(), nullable=True),
        Column("expires_at", UtcDateTime(), nullable=True),
        Column("last_push_at", UtcDateTime(), nullable=True),
        Column("last_digest", String(length=64), nullable=True),
        Column("missed_at", UtcDateTime(), nullable=True),
        Column("pushes", Integer(), server_default="0", nullable=False),
        Column("repeated", Integer(), server_default="0", nullable=False),
        Column("forged", Integer(), server_default="0", nullable=False),
        ForeignKeyConstraint(["ledger_id"], ["ledger.id"], name="fk_websub_subscriptions_ledger_id", ondelete="SET NULL"),
        PrimaryKeyConstraint("callback_id", name="pk_websub_subscriptions"),
        UniqueConstraint("ledger_id", name="uq_websub_subscriptions_ledger_id"),
    )
    op.create_index("ix_websub_subscriptions_next", "websub_subscriptions", ["next_at"])
    op.create_table(
        "websub_pushes",
        Column("id", Id, autoincrement=True, nullable=False),
        Column("ledger_id", Id, nullable=False),
        Column("content_type", StorableText(), nullable=True),
        Column("body", LargeBinary(), nullable=False),
        Column("received_at", UtcDateTime(), nullable=False),
        ForeignKeyConstraint(["ledger_id"], ["ledger.id"], name="fk_websub_pushes_ledger_id", ondelete="CASCADE"),
        PrimaryKeyConstraint("id", name="pk_websub_pushes"),
    )
    op.create_index("ix_websub_pushes_ledger", "websub_pushes", ["ledger_id", "id"])
    op.create_table(
        "documents",
        Column("id", String(length=64), nullable=False),
        Column("ledger_id", Id, nullable=False),
        Column("stored_at", UtcDateTime(), nullable=False),
        Column("site", StorableText(), nullable=True),
        Column("url", StorableText(), nullable=False),
        Column("requested_url", StorableText(), nullable=False),
        Column("canonical_url", StorableText(), nullable=True),
        Column("source", StorableText(), nullable=True),
        Column("site_name", StorableText(), nullable=True),
        Column("title", StorableText(), nullable=True),
        Column("description", StorableText(), nullable=True),
        Column("text", StorableText(), nullable=False),
        Column("blocks", Json(), nullable=False),
        Column("authors", Json(), nullable=False),
        Column("published_at", UtcDateTime(), nullable=True),
        Column("modified_at", UtcDateTime(), nullable=True),
        Column("first_seen_at", UtcDateTime(), nullable=False),
        Column("fetched_at", UtcDateTime(), nullable=False),
        Column("published_source", StorableText(), nullable=True),
        Column("published_precision", StorableText(), nullable=True),
        Column("published_day", StorableText(), nullable=True),
        Column("gone_at", UtcDateTime(), nullable=True),
        Column("language", StorableText(), nullable=True),
        Column("section", StorableText(), nullable=True),
        Column("tags", Json(), nullable=False),
        Column("image", StorableText(), nullable=True),
        Column("images", Json(), nullable=False),
        Column("article_type", StorableText(), nullable=True),
        Column("live_updates", Json(), nullable=False),
        Column("is_free", Boolean(), nullable=True),
        Column("is_free_reason", StorableText(), nullable=True),
        Column("license", StorableText(), nullable=True),
        Column("rights", Json(), nullable=False),
        Column("word_count", Integer(), nullable=False),
        Column("extractor", StorableText(), nullable=False),
        Column("profile_version", Integer(), nullable=True),
        Column("confidence", Float(), nullable=True),
        Column("warnings", Json(), nullable=False),
        Column("content_hash", StorableText(), nullable=False),
        Column("provenance", Json(), nullable=False),
        Column("revision", Integer(), nullable=False),
        Column("archive_ref", StorableText(), nullable=True),
        ForeignKeyConstraint(["ledger_id"], ["ledger.id"], name="fk_documents_ledger_id"),
        PrimaryKeyConstraint("id", name="pk_documents"),
    )
    op.create_index("ix_documents_confidence", "documents", ["confidence"])
    op.create_index("ix_documents_ledger", "documents", ["ledger_id"])
    op.create_index("ix_documents_order", "documents", ["first_seen_at", "id"])
    op.create_index("ix_documents_profile", "documents", ["site", "profile_version", "fetched_at"])
    op.create_index("ix_documents_site", "documents", ["site", "id"])
    op.create_index("ix_documents_source", "documents", ["source", "first_seen_at", "id"])
    op.create_index("ix_documents_stored", "documents", ["stored_at", "id"])
    op.create_table(
        "url_parameters",
        Column("site", StorableText(), nullable=False),
        Column("name", StorableText(), nullable=False),
        Column("copies", Integer(), nullable=False),
        Column("articles", Integer(), nullable=False),
        PrimaryKeyConstraint("site", "name", name="pk_url_parameters"),
    )
    op.create_table(
        "marks",
        Column("document_id", String(length=64), nullable=False),
        Column("user_name", StorableText(), nullable=False),
        Column("kind", String(length=8), nullable=False),
        Column("tag", StorableText(), nullable=False),
        Column("note", StorableText(), nullable=True),
        Column("marked_at", UtcDateTime(), nullable=False),
        ForeignKeyConstraint(["document_id"], ["documents.id"], name="fk_marks_document_id", ondelete="CASCADE"),
        PrimaryKeyConstraint("document_id", "user_name", "kind", "tag", name="pk_marks"),
    )
    op.create_index("ix_marks_tag", "marks", ["user_name", "tag"], **only("kind = 'tag'"))
    op.create_table(
        "listing_schedules",
        Column("ledger_id", Id, autoincrement=False, nullable=False),
        Column("polled_at", UtcDateTime(), nullable=False),
        Column("read_at", UtcDateTime(), nullable=True),
        Column("reads", Integer(), nullable=False),
        Column("cache_seconds", Float(), nullable=True),
        Column("update_seconds", Float(), nullable=True),
        Column("shown_at", UtcDateTime(), nullable=True),
        Column("is_empty", Boolean(), nullable=True),
        Column("planned_at", UtcDateTime(), nullable=True),
        Column("next_poll_at", UtcDateTime(), nullable=True),
        Column("reason", String(length=16), nullable=True),
        ForeignKeyConstraint(["ledger_id"], ["ledger.id"], name="fk_listing_schedules_ledger_id", ondelete="CASCADE"),
        PrimaryKeyConstraint("ledger_id", name="pk_listing_schedules"),
    )
    op.create_index("ix_listing_schedules_planned", "listing_schedules", ["planned_at"])
    op.create_index("ix_listing_schedules_next", "listing_schedules", ["next_poll_at"])
    op.create_table(
        "source_patterns",
        Column("source", StorableText(), nullable=False),
        Column("computed_at", UtcDateTime(), nullable=False),
        Column("pattern", Json(), nullable=False),
        ForeignKeyConstraint(["source"], ["sources.name"], name="fk_source_patterns_source", ondelete="CASCADE"),
        PrimaryKeyConstraint("source", name="pk_source_patterns"),
    )
    op.create_table(
        "sightings",
        Column("page_id", Id, nullable=False),
        Column("listing_id", Id, nullable=False),
        Column("sighted_at", UtcDateTime(), nullable=False),
        Column("is_late", Boolean(), nullable=False),
        ForeignKeyConstraint(["page_id"], ["ledger.id"], name="fk_sightings_page_id", ondelete="CASCADE"),
        ForeignKeyConstraint(["listing_id"], ["ledger.id"], name="fk_sightings_listing_id", ondelete="CASCADE"),
        PrimaryKeyConstraint("page_id", "listing_id", name="pk_sightings"),
    )
    op.create_index("ix_sightings_listing", "sightings", ["listing_id"])
    op.create_table(
        "completeness",
        Column("source", StorableText(), nullable=False),
        Column("week", Date(), nullable=False),
        Column("computed_at", UtcDateTime(), nullable=False),
        Column("articles", Integer(), nullable=False),
        Column("late", Integer(), nullable=False),
        Column("at_most", Float(), nullable=True),
        Column("unknown", String(length=16), nullable=True),
        ForeignKeyConstraint(["source"], ["sources.name"], name="fk_completeness_source", ondelete="CASCADE"),
        PrimaryKeyConstraint("source", "week", name="pk_completeness"),
    )


# A document is indexed again when one of these columns changes: the index holds them, or its order depends on them.
INDEXED = (
    *("title", "description", "text", "language", "authors", "source", "section", "article_type", "url", "is_free"),
    *("confidence", "published_at", "published_precision", "first_seen_at"),
)

# Counters of all days. A change of a row's key would be a removal and a new row; no statement does that.
ADD_TO_TOTAL = """INSERT INTO count_totals (source, kind, outcome, n) VALUES ({row}.source, {row}.kind, {row}.outcome, {n})
ON CONFLICT (source, kind, outcome) DO UPDATE SET n = count_totals.n + excluded.n;"""

# Not INSERT OR IGNORE: in a trigger, SQLite applies the conflict clause of the statement that fired it
# (https://www.sqlite.org/lang_createtrigger.html), and ON CONFLICT DO UPDATE ignores nothing.
NOTE_DOCUMENT = "INSERT INTO {table} (document_id) SELECT new.id WHERE NOT EXISTS (SELECT 1 FROM {table} WHERE document_id = new.id)"


def add_to_total(row: str, n: str) -> str:
    return ADD_TO_TOTAL.format(row=row, n=n)


def sqlite_statements() -> list[str]:
    # FTS5 keeps no copy of the words where SQLite can delete without one (3.43, 2023). The search reads both kinds alike.
    kind = ", content='', contentless_delete=1" if sqlite3.sqlite_version_info >= (3, 43) else ""
    changed = " OR ".join(f"old.{name} IS NOT new.{name}" for name in INDEXED)
    note_index, note_fingerprint = NOTE_DOCUMENT.format(table="search_pending"), NOTE_DOCUMENT.format(table="fingerprints_due")
    return [
        f"CREATE TRIGGER counts_new AFTER INSERT ON counts BEGIN {add_to_total('new', 'new.n')} END",
        f"CREATE TRIGGER counts_moved AFTER UPDATE OF n ON counts BEGIN {add_to_total('new', 'new.n - old.n')} END",
        f"CREATE TRIGGER counts_gone AFTER DELETE ON counts BEGIN {add_to_total('old', '-old.n')} END",
        f"CREATE VIRTUAL TABLE search_words USING fts5(title, lead, body, facets, tokenize='ascii'{kind})",
        # FTS5 merges eight segments at a time instead of four: 15 % less work per stored page at 50,000 documents.
        "INSERT INTO search_words (search_words, rank) VALUES ('automerge', 8)",
        f"CREATE TRIGGER search_new AFTER INSERT ON documents BEGIN {note_index}; END",
        f"CREATE TRIGGER search_changed AFTER UPDATE ON documents WHEN {changed} BEGIN {note_index}; END",
        """CREATE TRIGGER search_gone AFTER DELETE ON documents BEGIN
        DELETE FROM search_words WHERE rowid = (SELECT moment FROM search_entries WHERE document_id = old.id);
        DELETE FROM search_entries WHERE document_id = old.id; DELETE FROM search_pending WHERE document_id = old.id; END""",
        f"CREATE TRIGGER fingerprints_new AFTER INSERT ON documents BEGIN {note_fingerprint}; END",
        f"""CREATE TRIGGER fingerprints_changed AFTER UPDATE OF text, ledger_id ON documents
        WHEN old.text <> new.text OR old.ledger_id <> new.ledger_id BEGIN {note_fingerprint}; END""",
        """CREATE TRIGGER fingerprints_moved AFTER UPDATE OF ledger_id ON documents WHEN old.ledger_id <> new.ledger_id
        BEGIN DELETE FROM fingerprints WHERE ledger_id = old.ledger_id; END""",
        """CREATE TRIGGER fingerprints_gone AFTER DELETE ON documents BEGIN
        DELETE FROM fingerprints_due WHERE document_id = old.id; DELETE FROM fingerprints WHERE ledger_id = old.ledger_id; END""",
    ]


OLD_VALUES, NEW_VALUES = (", ".join(f"{row}.{name}" for name in INDEXED) for row in ("OLD", "NEW"))
POSTGRES = (
    # Deferred triggers run when the transaction commits, in the order in which it wrote its counters. A transaction therefore locks the
    # totals last, and in the order of their key (storage/statements.py), so that two transactions cannot deadlock.
    f"""CREATE FUNCTION newsmill_counts_moved() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    IF TG_OP = 'INSERT' THEN {add_to_total("NEW", "NEW.n")}
    ELSIF TG_OP = 'UPDATE' THEN {add_to_total("NEW", "NEW.n - OLD.n")}
    ELSE {add_to_total("OLD", "-OLD.n")}
    END IF; RETURN NULL; END $$""",
    """CREATE CONSTRAINT TRIGGER counts_moved AFTER INSERT OR UPDATE OR DELETE ON counts DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW EXECUTE FUNCTION newsmill_counts_moved()""",
    # kB. search.pending_list empties the list between commits, at about 4,000 kB. Where no process may do that (not the index's owner), a
    # commit sorts it when it is full: 900 documents in 1 to 2 s.
    "CREATE INDEX ix_search_entries_vector ON search_entries USING gin (vector) WITH (gin_pending_list_limit = 16384)",
    # Vectors do not compress: Postgres tried with each, in vain for 971 of 973 real texts, for 0.06 ms a document.
    "ALTER TABLE search_entries ALTER COLUMN vector SET STORAGE EXTERNAL",
    # DO UPDATE, not DO NOTHING: it waits for a transaction that indexes the older state of the document, and then notes the document again.
    """CREATE FUNCTION newsmill_search_changed() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    INSERT INTO search_pending (document_id) VALUES (NEW.id) ON CONFLICT (document_id) DO UPDATE SET document_id = excluded.document_id;
    RETURN NULL; END $$""",
    """CREATE FUNCTION newsmill_search_gone() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    DELETE FROM search_entries WHERE document_id = OLD.id;
    DELETE FROM search_pending WHERE document_id = OLD.id;
    RETURN NULL; END $$""",
    "CREATE TRIGGER search_new AFTER INSERT ON documents FOR EACH ROW EXECUTE FUNCTION newsmill_search_changed()",
    f"""CREATE TRIGGER search_changed AFTER UPDATE ON documents FOR EACH ROW
    WHEN (({OLD_VALUES}) IS DISTINCT FROM ({NEW_VALUES})) EXECUTE FUNCTION newsmill_search_changed()""",
    "CREATE TRIGGER search_gone AFTER DELETE ON documents FOR EACH ROW EXECUTE FUNCTION newsmill_search_gone()",
    # DO UPDATE for the same reason.
    """CREATE FUNCTION newsmill_fingerprint_changed() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    INSERT INTO fingerprints_due (document_id) VALUES (NEW.id)
    ON CONFLICT (document_id) DO UPDATE SET document_id = excluded.document_id;
    IF TG_OP = 'UPDATE' THEN
        IF OLD.ledger_id <> NEW.ledger_id THEN DELETE FROM fingerprints WHERE ledger_id = OLD.ledger_id; END IF;
    END IF;
    RETURN NULL; END $$""",
    # In the order in which a fingerprint is written, so that two transactions that do both cannot deadlock.
    """CREATE FUNCTION newsmill_fingerprint_gone() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    DELETE FROM fingerprints_due WHERE document_id = OLD.id;
    DELETE FROM fingerprints WHERE ledger_id = OLD.ledger_id;
    RETURN NULL; END $$""",
    "CREATE TRIGGER fingerprints_new AFTER INSERT ON documents FOR EACH ROW EXECUTE FUNCTION newsmill_fingerprint_changed()",
    """CREATE TRIGGER fingerprints_changed AFTER UPDATE ON documents FOR EACH ROW
    WHEN (OLD.text IS DISTINCT FROM NEW.text OR OLD.ledger_id <> NEW.ledger_id) EXECUTE FUNCTION newsmill_fingerprint_changed()""",
    "CREATE TRIGGER fingerprints_gone AFTER DELETE ON documents FOR EACH ROW EXECUTE FUNCTION newsmill_fingerprint_gone()",
)
