"""Messages about alarms, one for each beginning, end and target. `newsmill.web.alarm_sender` sends them.

A message is recorded before it is sent, with an ID that is the same in each try. An alarm that ended before its first message has none.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Connection, Engine, and_, bindparam, or_, select, update

from newsmill.storage.alarm_rows import Notified, SourceAlarm, to_alarm
from newsmill.storage.database import reading, writing
from newsmill.storage.schema import alarm_messages, source_alarms
from newsmill.storage.statements import AnyRow, Upsert
from newsmill.storage.webhooks import MAX_WAIT, RETRY_DELAYS_SECONDS

LEASE = timedelta(minutes=5)  # of a message that is being sent: more than any channel may take
MAX_ALARMS = 100  # prepared in one transaction
MAX_DETAIL_CHARACTERS = 500

_NOT_NOTIFIED = (
    select(source_alarms)
    .where(
        or_(
            source_alarms.c.notified == Notified.NOTHING.value,
            and_(source_alarms.c.notified == Notified.BEGIN.value, source_alarms.c.until.is_not(None)),
        )
    )
    .order_by(source_alarms.c.id)
    .limit(MAX_ALARMS)
)
_MARK_NOTIFIED = (
    update(source_alarms)
    .where(source_alarms.c.id == bindparam("b_id"), source_alarms.c.notified == bindparam("b_before"))
    .values(notified=bindparam("b_notified"))
)
_ADD = Upsert(alarm_messages, ("alarm", "event", "target"))
_IS_THIS = and_(
    alarm_messages.c.id == bindparam("b_id"), alarm_messages.c.next_at == bindparam("b_seen", type_=alarm_messages.c.next_at.type)
)
_CLAIM = update(alarm_messages).where(_IS_THIS).values(next_at=bindparam("b_next", type_=alarm_messages.c.next_at.type))


@dataclass(frozen=True, slots=True)
class AlarmMessage:
    """A message in progress. `event`: whether it reports the beginning or the end of the alarm."""

    id: str
    alarm: SourceAlarm
    event: Notified
    target: str
    attempts: int
    next_at: datetime


class AlarmMessages:
    """Every call may raise ServiceError."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def prepare(self, targets: Sequence[str], *, now: datetime) -> int:
        """Record the messages that are to be sent to these targets; returns how many. Each beginning and end is prepared once."""
        with reading(self._engine) as conn:
            waiting = [to_alarm(row) for row in conn.execute(_NOT_NOTIFIED)]
        if not waiting:  # nearly always: no write lock is needed
            return 0
        prepared = 0
        with writing(self._engine) as conn:
            for alarm in waiting:
                prepared += _prepare(conn, alarm, targets, now)
        return prepared

    def claim_due(self, *, now: datetime, limit: int) -> list[AlarmMessage]:
        """Claim messages whose next try is due, for the time LEASE."""
        is_due = or_(alarm_messages.c.next_at <= now, alarm_messages.c.next_at > now + max(MAX_WAIT, LEASE))
        columns = [column.label(f"message_{column.name}") for column in alarm_messages.c]
        wanted = (
            select(*source_alarms.c, *columns)
            .join(alarm_messages, alarm_messages.c.alarm == source_alarms.c.id)
            .where(alarm_messages.c.next_at.is_not(None), is_due)
            .order_by(alarm_messages.c.next_at)
            .limit(limit)
        )
        with reading(self._engine) as conn:
            found = [_to_message(row) for row in conn.execute(wanted)]
        if not found:
            return []
        with writing(self._engine) as conn:
            values = [{"b_id": message.id, "b_seen": message.next_at, "b_next": now + LEASE} for message in found]
            return [message for message, row in zip(found, values, strict=True) if conn.execute(_CLAIM, row).rowcount == 1]

    def mark_sent(self, message: AlarmMessage, *, now: datetime) -> None:
        """Record that a message arrived."""
        self._update(message, sent_at=now, next_at=None, detail=None)

    def mark_failed(self, message: AlarmMessage, detail: str, *, now: datetime) -> None:
        """Record a failed try. The next is after RETRY_DELAYS_SECONDS; after the last, the message is given up."""
        attempts = message.attempts + 1
        is_last = attempts > len(RETRY_DELAYS_SECONDS)
        next_at = None if is_last else now + timedelta(seconds=RETRY_DELAYS_SECONDS[attempts - 1])
        self._update(message, attempts=attempts, next_at=next_at, detail=detail[:MAX_DETAIL_CHARACTERS])

    def _update(self, message: AlarmMessage, **values: object) -> None:
        with writing(self._engine) as conn:
            conn.execute(update(alarm_messages).where(alarm_messages.c.id == message.id).values(**values))


def _prepare(conn: Connection, alarm: SourceAlarm, targets: Sequence[str], now: datetime) -> int:
    """Of two processes, the one whose update changes the alarm adds the messages."""
    event = Notified.BEGIN if alarm.until is None else Notified.END
    if conn.execute(_MARK_NOTIFIED, {"b_id": alarm.id, "b_before": alarm.notified.value, "b_notified": event.value}).rowcount != 1:
        return 0
    if event is Notified.END and alarm.notified is Notified.NOTHING:
        return 0
    row = {"alarm": alarm.id, "event": event.value, "attempts": 0, "next_at": now, "sent_at": None, "detail": None}
    _ADD.run(conn, [{**row, "target": target, "id": f"msg_{secrets.token_hex(12)}"} for target in targets])
    return len(targets)


def _to_message(row: AnyRow) -> AlarmMessage:
    return AlarmMessage(
        row.message_id, to_alarm(row), Notified(row.message_event), row.message_target, row.message_attempts, row.message_next_at
    )
