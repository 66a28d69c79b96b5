"""Tokens, webhooks and submissions of the web door."""

from alembic import op
from sqlalchemy import Boolean, Column, ForeignKeyConstraint, Integer, PrimaryKeyConstraint, String, text

from newsmill.storage.columns import Json, Utc, Words

revision = "0004"
down_revision = "0003"

UNTOLD = text("webhook IS NOT NULL AND told_at IS NULL")
DUE = text("state = 'due'")


def upgrade() -> None:
    op.create_table(
        "tokens",
        Column("id", String(16), nullable=False),
        Column("kind", String(8), nullable=False),
        Column("name", Words(), nullable=False),
        Column("scope", String(8), nullable=False),
        Column("digest", String(64), nullable=False),
        Column("created_at", Utc(), nullable=False),
        Column("expires_at", Utc(), nullable=True),
        Column("parent", String(16), nullable=True),
        PrimaryKeyConstraint("id", name="pk_tokens"),
    )
    create_submissions()
    create_webhooks()


def create_submissions() -> None:
    op.create_table(
        "submissions",
        Column("id", String(32), nullable=False),
        Column("created_at", Utc(), nullable=False),
        Column("token", Words(), nullable=True),
        Column("source", Words(), nullable=True),
        Column("urls", Integer(), nullable=False),
        Column("webhook", String(32), nullable=True),
        Column("told_at", Utc(), nullable=True),
        PrimaryKeyConstraint("id", name="pk_submissions"),
    )
    op.create_index("ix_submissions_untold", "submissions", ["created_at"], sqlite_where=UNTOLD, postgresql_where=UNTOLD)
    op.create_table(
        "submitted",
        Column("submission", String(32), nullable=False),
        Column("number", Integer(), autoincrement=False, nullable=False),
        Column("url", Words(), nullable=False),
        Column("url_key", String(64), nullable=False),
        PrimaryKeyConstraint("submission", "number", name="pk_submitted"),
    )


def create_webhooks() -> None:
    op.create_table(
        "webhooks",
        Column("id", String(32), nullable=False),
        Column("url", Words(), nullable=False),
        Column("secret", Words(), nullable=False),
        Column("event", String(32), nullable=False),
        Column("source", Words(), nullable=True),
        Column("created_at", Utc(), nullable=False),
        Column("token", Words(), nullable=True),
        Column("enabled", Boolean(), nullable=False),
        Column("seen_at", Utc(), nullable=False),
        Column("seen_id", Words(), nullable=False),
        PrimaryKeyConstraint("id", name="pk_webhooks"),
    )
    op.create_table(
        "deliveries",
        Column("id", String(40), nullable=False),
        Column("webhook", String(32), nullable=False),
        Column("payload", Json(), nullable=False),
        Column("created_at", Utc(), nullable=False),
        Column("state", String(16), nullable=False),
        Column("attempts", Integer(), nullable=False),
        Column("next_at", Utc(), nullable=False),
        Column("ended_at", Utc(), nullable=True),
        Column("status", Integer(), nullable=True),
        Column("detail", Words(), nullable=True),
        PrimaryKeyConstraint("id", name="pk_deliveries"),
        ForeignKeyConstraint(["webhook"], ["webhooks.id"], name="fk_deliveries_webhook_webhooks"),
    )
    op.create_index("ix_deliveries_due", "deliveries", ["next_at"], sqlite_where=DUE, postgresql_where=DUE)
    op.create_index("ix_deliveries_webhook", "deliveries", ["webhook", "created_at"])
