"""The web door's tables: tokens, submissions, web hooks. Part of `tables.metadata`."""

from __future__ import annotations

from sqlalchemy import Boolean, Column, ForeignKey, Index, Integer, String, Table, text

from newsmill.storage.column_types import Json, Utc, Words
from newsmill.storage.schema import metadata

# What lets somebody in: tokens of programs, sessions of browsers, and links that open one session. Only the secret's hash is kept.
tokens = Table(
    "tokens",
    metadata,
    Column("id", String(16), primary_key=True),
    Column("kind", String(8), nullable=False),
    Column("name", Words, nullable=False),
    Column("scope", String(8), nullable=False),
    Column("digest", String(64), nullable=False),  # SHA-256; the secret is 32 random bytes, so nothing slower is needed
    Column("created_at", Utc, nullable=False),
    Column("expires_at", Utc),
    Column("parent", String(16)),  # the token a session was opened with: revoked together
)

# Addresses a program handed in together; their outcomes are the ledger's.
submissions = Table(
    "submissions",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("created_at", Utc, nullable=False),
    Column("token", Words),  # who handed them in
    Column("source", Words),
    Column("urls", Integer, nullable=False),
    Column("webhook", String(32)),  # whom to tell when all have ended
    Column("told_at", Utc),
    Index(
        "ix_submissions_untold",
        "created_at",
        sqlite_where=text("webhook IS NOT NULL AND told_at IS NULL"),
        postgresql_where=text("webhook IS NOT NULL AND told_at IS NULL"),
    ),
)

submitted = Table(
    "submitted",
    metadata,
    Column("submission", String(32), primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("url", Words, nullable=False),  # as it was handed in
    Column("url_key", String(64), nullable=False),
)

# Who is told of new documents. `seen_at` and `seen_id` are the last document that deliveries were made for.
webhooks = Table(
    "webhooks",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("url", Words, nullable=False),
    Column("secret", Words, nullable=False),  # signs what is sent, so it cannot be kept as a hash
    Column("event", String(32), nullable=False),
    Column("source", Words),
    Column("created_at", Utc, nullable=False),
    Column("token", Words),
    Column("enabled", Boolean, nullable=False),
    Column("seen_at", Utc, nullable=False),
    Column("seen_id", Words, nullable=False),
)

deliveries = Table(
    "deliveries",
    metadata,
    Column("id", String(40), primary_key=True),  # the same in every try: a receiver knows a repeated one by it
    Column("webhook", String(32), ForeignKey("webhooks.id"), nullable=False),
    Column("payload", Json, nullable=False),
    Column("created_at", Utc, nullable=False),
    Column("state", String(16), nullable=False),  # due, delivered, failed
    Column("attempts", Integer, nullable=False),
    Column("next_at", Utc, nullable=False),
    Column("ended_at", Utc),
    Column("status", Integer),  # of the last answer
    Column("detail", Words),  # why the last try failed
    Index("ix_deliveries_due", "next_at", sqlite_where=text("state = 'due'"), postgresql_where=text("state = 'due'")),
    Index("ix_deliveries_webhook", "webhook", "created_at"),
)
