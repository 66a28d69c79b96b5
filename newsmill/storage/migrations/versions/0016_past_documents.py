"""What documents were before they were changed or removed. The past of a store begins with this migration."""

from alembic import op
from sqlalchemy import Boolean, Column, Float, Integer, PrimaryKeyConstraint, String

from newsmill.storage.columns import Id, Json, StorableString, StorableText, UtcDateTime
from newsmill.storage.migrations import past_triggers

revision = "0016"
down_revision = "0015"

TEXTS = (
    *("url", "canonical_url", "requested_url", "title", "published_source", "published_precision", "published_day", "language"),
    *("source", "site_name", "section", "description", "text", "image", "article_type", "is_free_reason", "license", "extractor"),
    *("content_hash", "archive_ref"),
)
TYPES = {
    **dict.fromkeys(TEXTS, StorableText),
    **dict.fromkeys(("published_at", "modified_at", "first_seen_at", "fetched_at", "gone_at"), UtcDateTime),
    **dict.fromkeys(("authors", "tags", "blocks", "live_updates", "images", "rights", "warnings", "provenance"), Json),
    **dict.fromkeys(("word_count", "profile_version", "revision"), Integer),
    "is_free": Boolean,
    "confidence": Float,
}
LAST_STAMP = """SELECT max(stamp) AS stamp FROM (SELECT max(stored_at) AS stamp FROM documents
UNION ALL SELECT max(removed_at) FROM removed_documents) AS stamps"""


def upgrade() -> None:
    op.add_column("documents", Column("changed_at", UtcDateTime(), nullable=True))
    op.create_table(
        "past_documents",
        Column("number", Id, nullable=False),
        Column("document_id", StorableString(length=64), nullable=False),
        Column("valid_until", UtcDateTime(), nullable=False),
        Column("changed", StorableText(), nullable=True),
        Column("stored_at", UtcDateTime(), nullable=True),
        *(Column(name, TYPES[name](), nullable=True) for name in sorted(TYPES)),
        PrimaryKeyConstraint("number", name="pk_past_documents"),
    )
    op.create_index("ix_past_documents_document", "past_documents", ["document_id", "valid_until"])
    op.create_index("ix_past_documents_order", "past_documents", ["valid_until"])
    op.create_table(
        "past_takedowns",
        Column("document_id", String(length=64), nullable=False),
        Column("valid_until", UtcDateTime(), nullable=False),
        Column("stored_at", UtcDateTime(), nullable=False),
        Column("reason", StorableText(), nullable=False),
        PrimaryKeyConstraint("document_id", "valid_until", name="pk_past_takedowns"),
    )
    op.create_table(
        "past_limits",
        Column("number", Id, autoincrement=False, nullable=False),
        Column("began_at", UtcDateTime(), nullable=True),
        Column("sealed_at", UtcDateTime(), nullable=True),
        PrimaryKeyConstraint("number", name="pk_past_limits"),
    )
    op.execute(f"INSERT INTO past_limits (number, began_at) SELECT 1, stamp FROM ({LAST_STAMP}) AS last WHERE stamp IS NOT NULL")  # noqa: S608
    past_triggers.create()
