"""Alembic's entry: runs the revisions inside the transaction `database.upgrade` opened, so that half a migration cannot stay behind.

A released revision is never edited. A new one is additive, so that the program before it still runs.
"""

from alembic import context

context.configure(connection=context.config.attributes["connection"], transactional_ddl=True)
with context.begin_transaction():
    context.run_migrations()
