"""The outbox, with the messages about alarms: their own table goes."""

from datetime import UTC, datetime
from typing import Any

from alembic import op
from sqlalchemy import Column, Integer, PrimaryKeyConstraint, String, UniqueConstraint, column, select, table, text

from newsmill.storage.columns import Id, Json, StorableText, UtcDateTime

revision = "0013"
down_revision = "0012"

IS_DUE = text("state = 'due'")
OLD = table(
    "alarm_messages",
    *(column(name) for name in ("id", "alarm", "event", "target", "attempts", "detail")),
    *(column(name, UtcDateTime()) for name in ("next_at", "sent_at")),
)


def upgrade() -> None:
    outbox = op.create_table(
        "outbox",
        Column("number", Id, autoincrement=True, nullable=False),
        Column("id", String(length=40), nullable=False),
        Column("kind", String(length=8), nullable=False),
        Column("owner", String(length=32), nullable=False),
        Column("queue", StorableText(), nullable=True),
        Column("payload", Json(), nullable=False),
        Column("created_at", UtcDateTime(), nullable=False),
        Column("state", String(length=16), nullable=False),
        Column("attempts", Integer(), nullable=False),
        Column("next_at", UtcDateTime(), nullable=False),
        Column("failing_since", UtcDateTime(), nullable=True),
        Column("ended_at", UtcDateTime(), nullable=True),
        Column("status", Integer(), nullable=True),
        Column("detail", StorableText(), nullable=True),
        PrimaryKeyConstraint("number", name="pk_outbox"),
        UniqueConstraint("id", name="uq_outbox_id"),
    )
    op.create_index("ix_outbox_due", "outbox", ["kind", "next_at"], sqlite_where=IS_DUE, postgresql_where=IS_DUE)
    op.create_index("ix_outbox_queue", "outbox", ["queue", "number"], sqlite_where=IS_DUE, postgresql_where=IS_DUE)
    op.create_index("ix_outbox_owner", "outbox", ["owner", "number"])
    op.create_index("ix_outbox_ended", "outbox", ["ended_at"])
    rows = [_to_row(old, datetime.now(UTC)) for old in op.get_bind().execute(select(OLD).order_by(OLD.c.alarm, OLD.c.event))]
    op.bulk_insert(outbox, rows)
    op.drop_table("alarm_messages")


def _to_row(old: Any, now: datetime) -> dict[str, Any]:
    state = "due" if old.next_at else "delivered" if old.sent_at else "failed"
    return {
        **{"id": old.id, "kind": "alarm", "owner": str(old.alarm), "queue": f"alarm {old.alarm} {old.target}"},
        **{"payload": {"event": old.event, "target": old.target}, "created_at": old.sent_at or old.next_at or now, "state": state},
        **{"attempts": old.attempts, "next_at": old.next_at or now, "ended_at": None if state == "due" else old.sent_at or now},
        **{"failing_since": now if state != "delivered" and old.attempts else None, "detail": old.detail},
    }
