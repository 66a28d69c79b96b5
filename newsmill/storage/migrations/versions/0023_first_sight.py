"""When the store first saw a text, by its own clock, and the original that a page names: the order of copies, whatever time a page states.

A document of today was first seen when its URL got a row: an import may have stated another time.
"""

from alembic import op
from sqlalchemy import Column

from newsmill.storage.columns import Id, StorableText, UtcDateTime
from newsmill.storage.migrations import past_triggers

revision = "0023"
down_revision = "0022"

# What a group of copies and its head depend on.
FIELDS = (
    *("text", "ledger_id", "published_at", "published_precision", "first_seen_at", "text_seen_at"),
    *("url", "original_url", "source"),
)
CHANGED = " OR ".join(f"old.{name} IS NOT new.{name}" for name in FIELDS)
OLD_VALUES, NEW_VALUES = (", ".join(f"{row}.{name}" for name in FIELDS) for row in ("OLD", "NEW"))
NOTE = "INSERT INTO copies_due (ledger_id) VALUES ({row}.ledger_id) ON CONFLICT (ledger_id) DO UPDATE SET ledger_id = excluded.ledger_id"
SQLITE = (
    "DROP TRIGGER copies_changed",
    f"""CREATE TRIGGER copies_changed AFTER UPDATE OF {", ".join(FIELDS)} ON documents WHEN {CHANGED}
    BEGIN {NOTE.format(row="new")}; {NOTE.format(row="old")}; END""",
)
POSTGRES = (
    "DROP TRIGGER copies_changed ON documents",
    f"""CREATE TRIGGER copies_changed AFTER UPDATE ON documents FOR EACH ROW
    WHEN (({OLD_VALUES}) IS DISTINCT FROM ({NEW_VALUES})) EXECUTE FUNCTION newsmill_copies_changed()""",
)
SQLITE_SEEN = "CAST((julianday(text_seen_at) - 2440587.5) * 86400 AS INTEGER) * 1000000"
POSTGRES_SEEN = "CAST(extract(epoch FROM date_trunc('second', text_seen_at)) AS bigint) * 1000000"


def upgrade() -> None:
    is_sqlite = op.get_bind().dialect.name == "sqlite"
    op.add_column("ledger", Column("received_at", UtcDateTime(), nullable=True))
    op.execute("UPDATE ledger SET received_at = first_seen_at WHERE fetched_at < first_seen_at")  # nobody fetches a URL before it is found
    for table in ("documents", "past_documents"):
        op.add_column(table, Column("text_seen_at", UtcDateTime(), nullable=True))
        op.add_column(table, Column("original_url", StorableText(), nullable=True))
    op.execute("UPDATE documents SET text_seen_at = (SELECT first_seen_at FROM ledger WHERE ledger.id = documents.ledger_id)")
    op.execute("UPDATE past_documents SET text_seen_at = first_seen_at WHERE changed IS NULL")
    past_triggers.create()
    for statement in SQLITE if is_sqlite else POSTGRES:
        op.execute(statement)
    op.add_column("copy_groups", Column("seen", Id, nullable=False, server_default="0"))
    op.add_column("copy_groups", Column("place", Id, nullable=True))
    op.add_column("search_entries", Column("copy_place", Id, nullable=True))
    seen = SQLITE_SEEN if is_sqlite else POSTGRES_SEEN
    op.execute(f"UPDATE copy_groups SET seen = COALESCE((SELECT {seen} FROM documents WHERE id = copy_groups.document_id), 0)")  # noqa: S608
    op.execute("UPDATE copy_groups SET place = CASE WHEN group_id = ledger_id THEN 0 ELSE seen END WHERE group_id IS NOT NULL")
    op.execute("""UPDATE search_entries SET copy_place = (SELECT place FROM copy_groups
    WHERE copy_groups.document_id = search_entries.document_id) WHERE copy_group IS NOT NULL""")
    op.execute("DELETE FROM copies_due")
    op.execute("INSERT INTO copies_due (ledger_id) SELECT DISTINCT ledger_id FROM documents")
