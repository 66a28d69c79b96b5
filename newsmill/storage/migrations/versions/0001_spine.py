"""The spine: sources, hosts, segments, the ledger, its counters, and the documents."""

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
)

from newsmill.storage.columns import Id, Json, StorableText, UtcDateTime

revision = "0001"
down_revision = None


def only(condition: str) -> dict[str, Any]:
    """The condition of a partial index, for both databases."""
    return {"sqlite_where": text(condition), "postgresql_where": text(condition)}


def upgrade() -> None:
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
        "hosts",
        Column("host", StorableText(), nullable=False),
        Column("owner", StorableText(), nullable=True),
        Column("lease_until", UtcDateTime(), nullable=True),
        Column("leased_at", UtcDateTime(), nullable=False),
        Column("fence", Integer(), server_default="0", nullable=False),
        Column("next_fetch_at", UtcDateTime(), nullable=True),
        Column("failures", Integer(), server_default="0", nullable=False),
        Column("crawl_delay", Float(), nullable=True),
        Column("robots_status", Integer(), nullable=True),
        Column("robots_body", LargeBinary(), nullable=True),
        Column("robots_fetched_at", UtcDateTime(), nullable=True),
        PrimaryKeyConstraint("host", name="pk_hosts"),
    )
    op.create_index("ix_hosts_served", "hosts", ["leased_at", "host"])
    op.create_table(
        "processes",
        Column("name", StorableText(), nullable=False),
        Column("machine", StorableText(), nullable=False),
        Column("role", String(length=16), nullable=False),
        Column("beat_at", UtcDateTime(), nullable=False),
        PrimaryKeyConstraint("name", name="pk_processes"),
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
        PrimaryKeyConstraint("name", name="pk_sources"),
    )
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
        Column("owner", StorableText(), nullable=True),
        Column("lease_until", UtcDateTime(), nullable=True),
        Column("fence", Integer(), server_default="0", nullable=False),
        Column("in_hand", StorableText(), nullable=True),
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
        ForeignKeyConstraint(["segment"], ["segments.id"], name="fk_ledger_segment"),
        PrimaryKeyConstraint("id", name="pk_ledger"),
        UniqueConstraint("url_key", name="uq_ledger_url_key"),
    )
    op.create_index("ix_ledger_due", "ledger", ["host", "next_at"], **only("state = 'due'"))
    op.create_index("ix_ledger_turn", "ledger", ["host", "rank", "next_at"], **only("state = 'due'"))
    op.create_index("ix_ledger_leased", "ledger", ["lease_until"], **only("state IN ('fetching', 'fetched', 'processing')"))
    op.create_index("ix_ledger_listings", "ledger", ["source"], **only("kind <> 'page'"))
    op.create_index("ix_ledger_outcome", "ledger", ["outcome", "id"])
    op.create_index("ix_ledger_owed", "ledger", ["segment"], **only("state IN ('fetched', 'processing')"))
    op.create_table(
        "documents",
        Column("id", String(length=64), nullable=False),
        Column("ledger_id", Id, nullable=False),
        Column("stored_at", UtcDateTime(), nullable=False),
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
    op.create_index("ix_documents_order", "documents", ["first_seen_at", "id"])
    op.create_index("ix_documents_source", "documents", ["source", "first_seen_at", "id"])
    op.create_index("ix_documents_ledger", "documents", ["ledger_id"])
    op.create_index("ix_documents_stored", "documents", ["stored_at", "id"])
