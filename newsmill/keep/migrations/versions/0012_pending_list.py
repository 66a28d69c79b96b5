"""GIN's pending list is emptied between commits (search.pending_list), so it may be longer than what a commit can wait for."""

from alembic import op

revision = "0012"
down_revision = "0011"


def upgrade() -> None:
    if op.get_bind().dialect.name == "postgresql":
        op.execute(LONGER)


# kB; a process has filled 4,000 when it empties the list. Only if none does (all are of an older version, or not the index's owner) a
# commit sorts it, 900 documents in 1 to 2 s.
LONGER = "ALTER INDEX ix_search_entries_vector SET (gin_pending_list_limit = 16384)"
