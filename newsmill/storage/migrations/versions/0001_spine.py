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

from newsmill.storage.columns import Id, Json, Utc, Words

revision = "0001"
down_revision = None


def only(condition: str) -> dict[str, Any]:
    """The condition of a partial index, for both databases."""
    return {"sqlite_where": text(condition), "postgresql_where": text(condition)}


def upgrade() -> None:
    op.create_table(
        "counts",
        Column("day", Date(), nullable=False),
        Column("source", Words(), nullable=False),
        Column("kind", String(length=16), nullable=False),
        Column("outcome", String(length=32), nullable=False),
        Column("n", Id, nullable=False),
        PrimaryKeyConstraint("day", "source", "kind", "outcome", name="pk_counts"),
    )
    op.create_table(
        "hosts",
        Column("host", Words(), nullable=False),
        Column("owner", Words(), nullable=True),
        Column("lease_until", Utc(), nullable=True),
        Column("leased_at", Utc(), nullable=False),
        Column("fence", Integer(), server_default="0", nullable=False),
        Column("next_fetch_at", Utc(), nullable=True),
        Column("failures", Integer(), server_default="0", nullable=False),
        Column("crawl_delay", Float(), nullable=True),
        Column("robots_status", Integer(), nullable=True),
        Column("robots_body", LargeBinary(), nullable=True),
        Column("robots_fetched_at", Utc(), nullable=True),
        PrimaryKeyConstraint("host", name="pk_hosts"),
    )
    op.create_index("ix_hosts_served", "hosts", ["leased_at", "host"])
    op.create_table(
        "processes",
        Column("name", Words(), nullable=False),
        Column("machine", Words(), nullable=False),
        Column("role", String(length=16), nullable=False),
        Column("beat_at", Utc(), nullable=False),
        PrimaryKeyConstraint("name", name="pk_processes"),
    )
    op.create_table(
        "segments",
        Column("id", String(length=64), nullable=False),
        Column("pages", Integer(), nullable=False),
        Column("length", Id, nullable=False),
        Column("created_at", Utc(), nullable=False),
        PrimaryKeyConstraint("id", name="pk_segments"),
    )
    op.create_table(
        "sources",
        Column("name", Words(), nullable=False),
        Column("plan", Json(), nullable=False),
        Column("enabled", Boolean(), nullable=False),
        Column("next_tick_at", Utc(), nullable=False),
        Column("last_tick_at", Utc(), nullable=True),
        Column("created_at", Utc(), nullable=False),
        PrimaryKeyConstraint("name", name="pk_sources"),
    )
    op.create_table(
        "ledger",
        Column("id", Id, autoincrement=True, nullable=False),
        Column("url_key", String(length=64), nullable=False),
        Column("url", Words(), nullable=False),
        Column("host", Words(), nullable=False),
        Column("source", Words(), nullable=True),
        Column("kind", String(length=16), nullable=False),
        Column("rank", Integer(), server_default="0", nullable=False),
        Column("found_by", Words(), nullable=False),
        Column("found_on", Words(), nullable=True),
        Column("hint", Json(), nullable=True),
        Column("first_seen_at", Utc(), nullable=False),
        Column("state", String(length=16), nullable=False),
        Column("outcome", String(length=32), nullable=True),
        Column("detail", Words(), nullable=True),
        Column("stage", Words(), nullable=True),
        Column("ended_at", Utc(), nullable=True),
        Column("next_at", Utc(), nullable=False),
        Column("owner", Words(), nullable=True),
        Column("lease_until", Utc(), nullable=True),
        Column("fence", Integer(), server_default="0", nullable=False),
        Column("in_hand", Words(), nullable=True),
        Column("attempts", Integer(), server_default="0", nullable=False),
        Column("claims", Integer(), server_default="0", nullable=False),
        Column("deaths", Integer(), server_default="0", nullable=False),
        Column("etag", Words(), nullable=True),
        Column("last_modified", Words(), nullable=True),
        Column("final_url", Words(), nullable=True),
        Column("status", Integer(), nullable=True),
        Column("fetched_at", Utc(), nullable=True),
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
        Column("stored_at", Utc(), nullable=False),
        Column("url", Words(), nullable=False),
        Column("requested_url", Words(), nullable=False),
        Column("canonical_url", Words(), nullable=True),
        Column("source", Words(), nullable=True),
        Column("site_name", Words(), nullable=True),
        Column("title", Words(), nullable=True),
        Column("description", Words(), nullable=True),
        Column("text", Words(), nullable=False),
        Column("blocks", Json(), nullable=False),
        Column("authors", Json(), nullable=False),
        Column("published_at", Utc(), nullable=True),
        Column("modified_at", Utc(), nullable=True),
        Column("first_seen_at", Utc(), nullable=False),
        Column("fetched_at", Utc(), nullable=False),
        Column("published_source", Words(), nullable=True),
        Column("published_precision", Words(), nullable=True),
        Column("published_day", Words(), nullable=True),
        Column("language", Words(), nullable=True),
        Column("section", Words(), nullable=True),
        Column("tags", Json(), nullable=False),
        Column("image", Words(), nullable=True),
        Column("images", Json(), nullable=False),
        Column("article_type", Words(), nullable=True),
        Column("live_updates", Json(), nullable=False),
        Column("is_free", Boolean(), nullable=True),
        Column("is_free_reason", Words(), nullable=True),
        Column("license", Words(), nullable=True),
        Column("rights", Json(), nullable=False),
        Column("word_count", Integer(), nullable=False),
        Column("extractor", Words(), nullable=False),
        Column("profile_version", Integer(), nullable=True),
        Column("confidence", Float(), nullable=True),
        Column("warnings", Json(), nullable=False),
        Column("content_hash", Words(), nullable=False),
        Column("provenance", Json(), nullable=False),
        Column("revision", Integer(), nullable=False),
        Column("archive_ref", Words(), nullable=True),
        ForeignKeyConstraint(["ledger_id"], ["ledger.id"], name="fk_documents_ledger_id"),
        PrimaryKeyConstraint("id", name="pk_documents"),
    )
    op.create_index("ix_documents_order", "documents", ["first_seen_at", "id"])
    op.create_index("ix_documents_source", "documents", ["source", "first_seen_at", "id"])
    op.create_index("ix_documents_ledger", "documents", ["ledger_id"])
    op.create_index("ix_documents_stored", "documents", ["stored_at", "id"])
