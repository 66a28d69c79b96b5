"""Removed documents get a row, so that readers of changes learn of them; and words that are folded in another way are indexed again."""

from alembic import op
from sqlalchemy import Column, PrimaryKeyConstraint, String, text

from newsmill.storage.columns import StorableText, UtcDateTime

revision = "0002"
down_revision = "0001"

# The Hebrew maqaf, Arabic script, and characters that become a run of an unspaced script; also the Russian ё.
REFOLDED = "ёЁ\u0301\u05be\u0600-\u06ff\u3200-\u33ff\uff66-\uffdc"
INDEXED_TEXTS = ("text", "title", "description", "section", "authors")


def upgrade() -> None:
    op.create_table(
        "removed_documents",
        Column("id", String(length=64), nullable=False),
        Column("removed_at", UtcDateTime(), nullable=False),
        Column("source", StorableText(), nullable=True),
        PrimaryKeyConstraint("id", name="pk_removed_documents"),
    )
    op.create_index("ix_removed_documents_order", "removed_documents", ["removed_at", "id"])
    op.execute(text(f"DELETE FROM search_forms WHERE {_contains('form')}"))  # noqa: S608
    contains = " OR ".join(_contains(name) for name in INDEXED_TEXTS)
    op.execute(
        text(
            "INSERT INTO search_pending (document_id) SELECT id FROM documents"  # noqa: S608
            f" WHERE ({contains} OR id IN (SELECT document_id FROM marks WHERE kind IN ('tag', 'note')))"
            " AND id NOT IN (SELECT document_id FROM search_pending)"
        )
    )


def _contains(column: str) -> str:
    if op.get_bind().dialect.name == "sqlite":
        return f"{column} GLOB '*[{REFOLDED}]*'"
    return f"CAST({column} AS text) ~ '[{REFOLDED}]'"
