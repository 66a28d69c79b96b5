"""Tokens, webhooks and submissions of the web door."""

from alembic import op
from sqlalchemy import Boolean, Column, ForeignKeyConstraint, Integer, PrimaryKeyConstraint, String, text

from newsmill.storage.columns import Json, StorableText, UtcDateTime

revision = "0004"
down_revision = "0003"

UNTOLD = text("webhook IS NOT NULL AND told_at IS NULL")
DUE = text("state = 'due'")


def upgrade() -> None:
    op.create_table(
        "tokens",
        Column("id", String(16), nullable=False),
        Column("kind", String(8), nullable=False),
        Column("name", StorableText(), nullable=False),
        Column("scope", String(8), nullable=False),
        Column("digest", String(64), nullable=False),
        Column("created_at", UtcDateTime(), nullable=False),
        Column("expires_at", UtcDateTime(), nullable=True),
        Column("parent", String(16), nullable=True),
        PrimaryKeyConstraint("id", name="pk_tokens"),
    )
    create_submissions()
    create_webhooks()


def create_submissions() -> None:
    op.create_table(
        "submissions",
        Column("id", String(32), nullable=False),
        Column("created_at", UtcDateTime(), nullable=False),
        Column("token", StorableText(), nullable=True),
        Column("source", StorableText(), nullable=True),
        Column("urls", Integer(), nullable=False),
        Column("webhook", String(32), nullable=True),
        Column("told_at", UtcDateTime(), nullable=True),
        PrimaryKeyConstraint("id", name="pk_submissions"),
    )
    op.create_index("ix_submissions_untold", "submissions", ["created_at"], sqlite_where=UNTOLD, postgresql_where=UNTOLD)
    op.create_table(
        "submitted",
        Column("submission", String(32), nullable=False),
        Column("number", Integer(), autoincrement=False, nullable=False),
        Column("url", StorableText(), nullable=False),
        Column("url_key", String(64), nullable=False),
        PrimaryKeyConstraint("submission", "number", name="pk_submitted"),
    )


def create_webhooks() -> None:
    op.create_table(
        "webhooks",
        Column("id", String(32), nullable=False),
        Column("url", StorableText(), nullable=False),
        Column("secret", StorableText(), nullable=False),
        Column("event", String(32), nullable=False),
        Column("source", StorableText(), nullable=True),
        Column("created_at", UtcDateTime(), nullable=False),
        Column("token", StorableText(), nullable=True),
        Column("enabled", Boolean(), nullable=False),
        Column("seen_at", UtcDateTime(), nullable=False),
        Column("seen_id", StorableText(), nullable=False),
        PrimaryKeyConstraint("id", name="pk_webhooks"),
    )
    op.create_table(
        "deliveries",
        Column("id", String(40), nullable=False),
        Column("webhook", String(32), nullable=False),
        Column("payload", Json(), nullable=False),
        Column("created_at", UtcDateTime(), nullable=False),
        Column("state", String(16), nullable=False),
        Column("attempts", Integer(), nullable=False),
        Column("next_at", UtcDateTime(), nullable=False),
        Column("ended_at", UtcDateTime(), nullable=True),
        Column("status", Integer(), nullable=True),
        Column("detail", StorableText(), nullable=True),
        PrimaryKeyConstraint("id", name="pk_deliveries"),
        ForeignKeyConstraint(["webhook"], ["webhooks.id"], name="fk_deliveries_webhook_webhooks"),
    )
    op.create_index("ix_deliveries_due", "deliveries", ["next_at"], sqlite_where=DUE, postgresql_where=DUE)
    op.create_index("ix_deliveries_webhook", "deliveries", ["webhook", "created_at"])
