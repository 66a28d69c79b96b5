"""On SQLite, a document that waited to be indexed and was stored again took its whole commit down: it was noted twice.

INSERT OR IGNORE ignores nothing in a trigger that an INSERT … ON CONFLICT DO UPDATE fires: there SQLite goes by the statement outside
(https://www.sqlite.org/lang_createtrigger.html).
"""

from alembic import op

revision = "0010"
down_revision = "0009"

# What the index holds of a document, or its time is made of; as in 0003.
INDEXED = [
    *("title", "description", "text", "language", "authors", "source", "section", "url", "is_free"),
    *("published_at", "published_precision", "first_seen_at"),
]
CHANGED = " OR ".join(f"old.{name} IS NOT new.{name}" for name in INDEXED)
PENDING = """INSERT INTO search_pending (document_id)
SELECT new.id WHERE NOT EXISTS (SELECT 1 FROM search_pending WHERE document_id = new.id)"""


def upgrade() -> None:
    if op.get_bind().dialect.name != "sqlite":
        return
    op.execute("DROP TRIGGER search_new")
    op.execute("DROP TRIGGER search_changed")
    op.execute(f"CREATE TRIGGER search_new AFTER INSERT ON documents BEGIN {PENDING}; END")
    op.execute(f"CREATE TRIGGER search_changed AFTER UPDATE ON documents WHEN {CHANGED} BEGIN {PENDING}; END")
