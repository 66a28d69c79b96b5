"""The deliveries of web hooks in the outbox: their own table goes."""

from alembic import op

revision = "0015"
down_revision = "0014"

SAME = "payload, created_at, state, attempts, next_at, ended_at, status, detail"


def upgrade() -> None:
    op.execute(
        f"INSERT INTO outbox (id, kind, owner, queue, {SAME})"  # noqa: S608  # names of the schema
        f" SELECT id, 'webhook', webhook, webhook, {SAME} FROM deliveries ORDER BY created_at, id"
    )
    op.drop_table("deliveries")
