"""The search index says which documents are doubtful: a new confidence is indexed again, and so is what is doubtful already."""

from alembic import op

revision = "0014"
down_revision = "0013"

# What the index holds of a document, or its time is made of; as in 0003, and the confidence.
INDEXED = [
    *("title", "description", "text", "language", "authors", "source", "section", "url", "is_free", "confidence"),
    *("published_at", "published_precision", "first_seen_at"),
]
PENDING = """INSERT INTO search_pending (document_id)
SELECT new.id WHERE NOT EXISTS (SELECT 1 FROM search_pending WHERE document_id = new.id)"""  # as in 0010
DOUBTFUL = 0.85  # model.DOUBTFUL_CONFIDENCE


def upgrade() -> None:
    op.execute("DROP TRIGGER search_changed ON documents" if _is_postgres() else "DROP TRIGGER search_changed")
    op.execute(_postgres() if _is_postgres() else _sqlite())
    op.execute(
        f"""INSERT INTO search_pending (document_id) SELECT id FROM documents WHERE confidence < {DOUBTFUL}
        AND NOT EXISTS (SELECT 1 FROM search_pending WHERE document_id = documents.id)"""  # noqa: S608 - a number of ours
    )


def _is_postgres() -> bool:
    return op.get_bind().dialect.name == "postgresql"


def _sqlite() -> str:
    changed = " OR ".join(f"old.{name} IS NOT new.{name}" for name in INDEXED)
    return f"""CREATE TRIGGER search_changed AFTER UPDATE ON documents WHEN {changed} BEGIN {PENDING}; END"""


def _postgres() -> str:
    old, new = (", ".join(f"{row}.{name}" for name in INDEXED) for row in ("OLD", "NEW"))
    return f"""CREATE TRIGGER search_changed AFTER UPDATE ON documents FOR EACH ROW
    WHEN (({old}) IS DISTINCT FROM ({new})) EXECUTE FUNCTION newsmill_search_changed()"""
