"""The messages of alerts in the outbox; an alert keeps the ID of its message in progress."""

from alembic import op
from sqlalchemy import String, column, select, table

from newsmill.storage.columns import Json, StorableText, UtcDateTime

revision = "0014"
down_revision = "0013"

MOVED = ("until", "attempts", "next_at", "failing_since", "detail")
OLD = table(
    "alerts",
    *(column(name) for name in ("id", "state", "delivery", "until", "attempts", "detail")),
    *(column(name, UtcDateTime()) for name in ("next_at", "failing_since", "due_at")),
)
OUTBOX = table(
    "outbox",
    *(column(name, String()) for name in ("id", "kind", "owner", "state")),
    *(column(name, UtcDateTime()) for name in ("created_at", "next_at", "failing_since", "ended_at")),
    *(column("payload", Json()), column("attempts"), column("detail", StorableText())),
)


def upgrade() -> None:
    rows = []
    for old in op.get_bind().execute(select(OLD).where(OLD.c.delivery.is_not(None)).order_by(OLD.c.due_at)):
        is_dead = old.state == "dead"
        row = {"id": old.delivery, "kind": "alert", "owner": old.id, "payload": {"until": old.until}, "created_at": old.due_at}
        row |= {"state": "failed" if is_dead else "due", "attempts": old.attempts, "next_at": old.next_at, "detail": old.detail}
        rows.append(row | {"failing_since": old.failing_since, "ended_at": old.next_at if is_dead else None})
    op.bulk_insert(OUTBOX, rows)
    for name in MOVED:
        op.drop_column("alerts", name)
