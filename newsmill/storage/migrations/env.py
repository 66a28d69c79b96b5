"""Alembic's entry: runs the revisions inside the transaction `schema_version.upgrade` opened, so that half a migration cannot stay behind.

A released revision is never edited. Stop the processes of the older program before an upgrade: a revision may remove tables.
"""

from alembic import context

context.configure(connection=context.config.attributes["connection"], transactional_ddl=True)
with context.begin_transaction():
    context.run_migrations()
