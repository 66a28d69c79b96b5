"""Passes that extract stored documents again, and the documents whose text they changed or left."""

from alembic import op
from sqlalchemy import Boolean, Column, ForeignKeyConstraint, Integer, PrimaryKeyConstraint, String

from newsmill.storage.columns import Id, Json, StorableString, StorableText, UtcDateTime

revision = "0018"
down_revision = "0017"


def upgrade() -> None:
    op.create_table(
        "reextraction_passes",
        Column("id", Id, nullable=False),
        Column("options", Json(), nullable=False),
        Column("started_at", UtcDateTime(), nullable=False),
        Column("ended_at", UtcDateTime()),
        Column("total", Integer(), nullable=False),
        Column("last_id", StorableString(length=64), nullable=False),
        Column("changed", Integer(), nullable=False),
        Column("counts", Json(), nullable=False),
        PrimaryKeyConstraint("id", name="pk_reextraction_passes"),
    )
    op.create_table(
        "reextracted_documents",
        Column("pass_id", Id, nullable=False),
        Column("document_id", StorableString(length=64), nullable=False),
        Column("source", StorableText()),
        Column("verdict", Json(), nullable=False),
        Column("judgement", String(length=8), nullable=False),
        Column("is_replaced", Boolean(), nullable=False),
        Column("at", UtcDateTime(), nullable=False),
        Column("extractor_before", StorableText(), nullable=False),
        Column("extractor", StorableText()),
        Column("words_removed", Integer(), nullable=False),
        Column("words_added", Integer(), nullable=False),
        Column("has_diff", Boolean(), nullable=False),
        Column("diff", Json(), nullable=False),
        ForeignKeyConstraint(["document_id"], ["documents.id"], name="fk_reextracted_documents_document_id", ondelete="CASCADE"),
        ForeignKeyConstraint(["pass_id"], ["reextraction_passes.id"], name="fk_reextracted_documents_pass_id", ondelete="CASCADE"),
        PrimaryKeyConstraint("pass_id", "document_id", name="pk_reextracted_documents"),
    )
    op.create_index("ix_reextracted_documents_document", "reextracted_documents", ["document_id"])
