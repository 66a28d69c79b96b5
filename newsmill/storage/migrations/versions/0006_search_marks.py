"""Which entries of the search index hold the marks that make slow queries fast.

Those that are there already do not, nor do those an older worker writes: their format is NULL. While there is one, queries are asked the
old way, which finds the same. They are indexed again in batches after the upgrade instead of inside its transaction.
"""

from alembic import op
from sqlalchemy import Column, Integer, text

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    op.add_column("search_entries", Column("format", Integer(), nullable=True))
    old = text("format IS NULL")
    op.create_index("ix_search_entries_old", "search_entries", ["moment"], sqlite_where=old, postgresql_where=old)
    if op.get_bind().dialect.name == "postgresql":
        for statement in POSTGRES:
            op.execute(statement)


# An older worker changes an entry in place and does not know of its format; on SQLite it writes a new one. U+E003: search.index.MARKED.
POSTGRES = [
    # kB. GIN gathers new words in a list, and whoever fills it sorts them in, inside his commit: of 4 MB, the default, in 1.4 s at half a
    # million documents and more than 5 s from a cold disk, which a worker takes for a database in trouble; of 512 KB in 0.3 s, for 5 % more
    # work per document.
    "ALTER INDEX ix_search_entries_vector SET (gin_pending_list_limit = 512)",
    """CREATE FUNCTION newsmill_search_unmarked() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    NEW.format := NULL; RETURN NEW; END $$""",
    """CREATE TRIGGER search_unmarked BEFORE UPDATE ON search_entries FOR EACH ROW
    WHEN (NEW.format IS NOT NULL AND NOT NEW.vector @@ CAST('''\ue003''' AS tsquery)) EXECUTE FUNCTION newsmill_search_unmarked()""",
]
