"""The groups of copies, and every document to be grouped, which the scheduler does in small transactions."""

from alembic import op
from sqlalchemy import Boolean, Column, PrimaryKeyConstraint, String, text

from newsmill.storage.columns import Id

revision = "0012"
down_revision = "0011"

IN_GROUP, IS_DUE = text("group_id IS NOT NULL"), text("is_due")
# What a group depends on.
FIELDS = ("text", "ledger_id", "published_at", "published_precision", "first_seen_at")
CHANGED = " OR ".join(f"old.{name} IS NOT new.{name}" for name in FIELDS)
OLD_VALUES, NEW_VALUES = (", ".join(f"{row}.{name}" for name in FIELDS) for row in ("OLD", "NEW"))
NOTE = "INSERT INTO copies_due (ledger_id) VALUES ({row}.ledger_id) ON CONFLICT (ledger_id) DO UPDATE SET ledger_id = excluded.ledger_id"

SQLITE = (
    f"CREATE TRIGGER copies_new AFTER INSERT ON documents BEGIN {NOTE.format(row='new')}; END",
    f"""CREATE TRIGGER copies_changed AFTER UPDATE OF {", ".join(FIELDS)} ON documents WHEN {CHANGED}
    BEGIN {NOTE.format(row="new")}; {NOTE.format(row="old")}; END""",
    f"CREATE TRIGGER copies_gone AFTER DELETE ON documents BEGIN {NOTE.format(row='old')}; END",
)
# DO UPDATE, not DO NOTHING: it waits for a transaction that decides the older state of the document, and then notes the document again.
POSTGRES = (
    f"""CREATE FUNCTION newsmill_copies_changed() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    IF TG_OP <> 'DELETE' THEN {NOTE.format(row="NEW")}; END IF;
    IF TG_OP <> 'INSERT' THEN {NOTE.format(row="OLD")}; END IF;
    RETURN NULL; END $$""",
    "CREATE TRIGGER copies_new AFTER INSERT OR DELETE ON documents FOR EACH ROW EXECUTE FUNCTION newsmill_copies_changed()",
    f"""CREATE TRIGGER copies_changed AFTER UPDATE ON documents FOR EACH ROW
    WHEN (({OLD_VALUES}) IS DISTINCT FROM ({NEW_VALUES})) EXECUTE FUNCTION newsmill_copies_changed()""",
)


def upgrade() -> None:
    op.create_table(
        "copy_groups",
        Column("ledger_id", Id, autoincrement=False, nullable=False),
        Column("document_id", String(length=64), nullable=False),
        Column("second", Id, nullable=False),
        Column("group_id", Id, nullable=True),
        Column("is_due", Boolean(), nullable=False),
        PrimaryKeyConstraint("ledger_id", name="pk_copy_groups"),
    )
    op.create_index("ix_copy_groups_group", "copy_groups", ["group_id"], sqlite_where=IN_GROUP, postgresql_where=IN_GROUP)
    op.create_index("ix_copy_groups_due", "copy_groups", ["ledger_id"], sqlite_where=IS_DUE, postgresql_where=IS_DUE)
    op.create_table(
        "copies_due",
        Column("ledger_id", Id, autoincrement=False, nullable=False),
        PrimaryKeyConstraint("ledger_id", name="pk_copies_due"),
    )
    op.add_column("search_entries", Column("copy_group", Id, nullable=True))
    for statement in SQLITE if op.get_bind().dialect.name == "sqlite" else POSTGRES:
        op.execute(statement)
    op.execute("INSERT INTO copies_due (ledger_id) SELECT DISTINCT ledger_id FROM documents")
