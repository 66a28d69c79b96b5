"""Tokens, webhooks and submissions of the web door."""

revision = "0004"
down_revision = "0003"


def upgrade() -> None: ...
