"""A note of a page whose story is to be decided is a row of its own, so that nobody who notes one waits for another transaction.

Two transactions that note pages in different orders could wait for one another on Postgres.
"""

from alembic import op
from sqlalchemy import Column, PrimaryKeyConstraint

from newsmill.storage.columns import Id

revision = "0022"
down_revision = "0021"

NOTE = "INSERT INTO stories_due (ledger_id) VALUES (new.ledger_id)"
SQLITE = (
    f"CREATE TRIGGER stories_changed AFTER UPDATE OF title, language ON documents"
    f" WHEN old.title IS NOT new.title OR old.language IS NOT new.language BEGIN {NOTE}; END"
)
POSTGRES = f"CREATE OR REPLACE FUNCTION newsmill_stories_changed() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {NOTE}; RETURN NULL; END $$"


def upgrade() -> None:
    is_sqlite = op.get_bind().dialect.name == "sqlite"
    if is_sqlite:
        op.execute("DROP TRIGGER stories_changed")
    op.execute("CREATE TEMPORARY TABLE pages_due AS SELECT ledger_id FROM stories_due")
    op.drop_table("stories_due")
    op.create_table(
        "stories_due",
        Column("number", Id, nullable=False, autoincrement=True),
        Column("ledger_id", Id, nullable=False),
        PrimaryKeyConstraint("number", name="pk_stories_due"),
    )
    op.create_index("ix_stories_due_page", "stories_due", ["ledger_id"])
    op.execute("INSERT INTO stories_due (ledger_id) SELECT ledger_id FROM pages_due ORDER BY ledger_id")
    op.execute("DROP TABLE pages_due")
    op.execute(SQLITE if is_sqlite else POSTGRES)
