"""The replaced contents of documents. Those that were replaced before are not in the database."""

from alembic import op
from sqlalchemy import Column, ForeignKeyConstraint, Integer, PrimaryKeyConstraint, String

from newsmill.storage.columns import Json, StorableText, UtcDateTime

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    op.create_table(
        "revisions",
        Column("document_id", String(length=64), nullable=False),
        Column("revision", Integer(), autoincrement=False, nullable=False),
        Column("characters", Integer(), nullable=False),
        Column("stored_at", UtcDateTime(), nullable=False),
        Column("fetched_at", UtcDateTime(), nullable=False),
        Column("modified_at", UtcDateTime(), nullable=True),
        Column("word_count", Integer(), nullable=False),
        Column("content_hash", StorableText(), nullable=False),
        Column("extractor", StorableText(), nullable=False),
        Column("profile_version", Integer(), nullable=True),
        Column("archive_ref", StorableText(), nullable=True),
        Column("title", StorableText(), nullable=True),
        Column("description", StorableText(), nullable=True),
        Column("authors", Json(), nullable=False),
        Column("live_updates", Json(), nullable=False),
        Column("text", StorableText(), nullable=False),
        Column("blocks", Json(), nullable=False),
        ForeignKeyConstraint(["document_id"], ["documents.id"], name="fk_revisions_document_id", ondelete="CASCADE"),
        PrimaryKeyConstraint("document_id", "revision", name="pk_revisions"),
    )
