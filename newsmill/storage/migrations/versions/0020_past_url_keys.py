"""The keys of the URLs in the past, so that a takedown finds them by an index. Takedowns write them in small transactions."""

from alembic import op
from sqlalchemy import Column, String, text

revision = "0020"
down_revision = "0019"

KEYLESS = text("url_key IS NULL AND (url IS NOT NULL OR requested_url IS NOT NULL)")


def upgrade() -> None:
    for name in ("url_key", "requested_key"):
        op.add_column("past_documents", Column(name, String(length=64), nullable=True))
        is_known = text(f"{name} IS NOT NULL")
        op.create_index(f"ix_past_documents_{name}", "past_documents", [name], sqlite_where=is_known, postgresql_where=is_known)
    op.create_index("ix_past_documents_keyless", "past_documents", ["number"], sqlite_where=KEYLESS, postgresql_where=KEYLESS)
