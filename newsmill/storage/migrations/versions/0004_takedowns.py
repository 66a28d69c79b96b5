"""URLs whose documents were removed at somebody's demand."""

from alembic import op
from sqlalchemy import Column, Integer, PrimaryKeyConstraint, String, text

from newsmill.storage.columns import StorableText, UtcDateTime

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    op.create_table(
        "takedowns",
        Column("url_key", String(length=64), nullable=False),
        Column("url", StorableText(), nullable=False),
        Column("reason", StorableText(), nullable=False),
        Column("created_at", UtcDateTime(), nullable=False),
        Column("document_id", String(length=64), nullable=True),
        Column("erase_after", UtcDateTime(), nullable=True),
        Column("erased_pages", Integer(), nullable=False),
        PrimaryKeyConstraint("url_key", name="pk_takedowns"),
    )
    is_open = text("erase_after IS NOT NULL")
    op.create_index("ix_takedowns_erase", "takedowns", ["erase_after"], sqlite_where=is_open, postgresql_where=is_open)
