"""Alarms of sources: how one is stored, begun and ended, and the messages about it. `newsmill.notifications.alarms` sends them.

Of one cause a source has at most one open alarm. A unique index ensures it: of two processes that find a cause at once, one begins the
alarm. There is one message for each beginning, end and target. It is recorded before it is sent, with an ID that is the same in each try.
A target gets that about the end after that about the beginning. An alarm that ended before its first message has none.
"""

from __future__ import annotations

import secrets
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from pydantic import TypeAdapter
from sqlalchemy import Connection, Engine, and_, bindparam, exists, not_, or_, select, update

from newsmill.health.causes import Cause, Evidence, Finding
from newsmill.storage.database import reading, writing
from newsmill.storage.schema import alarm_messages, source_alarms
from newsmill.storage.statements import AnyRow, Upsert
from newsmill.storage.webhooks import MAX_WAIT, next_try

LEASE = timedelta(minutes=5)  # of a message that is being sent: more than any channel may take
MAX_ALARMS = 100  # prepared in one transaction
MAX_DETAIL_CHARACTERS = 500

_EVIDENCE = TypeAdapter(Evidence)
_IS_OPEN = source_alarms.c.until.is_(None)
OPEN_ALARMS = select(source_alarms).where(_IS_OPEN).order_by(source_alarms.c.id)
_OPEN_OF = OPEN_ALARMS.where(source_alarms.c.source.in_(bindparam("b_names", expanding=True)))
_BEGIN = Upsert(source_alarms, ("source", "cause"), index_where="until IS NULL")
_END = (
    update(source_alarms)
    .where(source_alarms.c.id == bindparam("b_id"), _IS_OPEN)
    .values(until=bindparam("b_until", type_=source_alarms.c.until.type))
)


class Notified(StrEnum):
    """Which messages about an alarm were prepared."""

    NOTHING = "nothing"
    BEGIN = "begin"
    END = "end"


_END_WITHOUT_MESSAGE = _END.values(notified=Notified.END.value)


@dataclass(frozen=True, slots=True)
class SourceAlarm:
    """A cause of one source (`source` is empty for the whole installation), from `begun_at` to `until`, or open."""

    id: int
    source: str
    finding: Finding
    begun_at: datetime
    until: datetime | None
    notified: Notified


def read_open(conn: Connection, names: Sequence[str]) -> Mapping[str, list[SourceAlarm]]:
    """The open alarms of sources by their names."""
    found: dict[str, list[SourceAlarm]] = defaultdict(list)
    for row in conn.execute(_OPEN_OF, {"b_names": list(names)}):
        found[row.source].append(to_alarm(row))
    return found


def begin_alarms(conn: Connection, causes: Sequence[tuple[str, Finding]], now: datetime) -> None:
    """Begin an alarm for each (source, cause) that has no open one."""
    rows = [
        {
            "source": source,
            "cause": finding.cause.value,
            "since": finding.since,
            "begun_at": now,
            "until": None,
            "evidence": _EVIDENCE.dump_python(finding.evidence, mode="json", exclude_defaults=True),
            "notified": Notified.NOTHING.value,
        }
        for source, finding in sorted(causes, key=lambda pair: (pair[0], pair[1].cause))
    ]
    _BEGIN.run(conn, rows)


def end_alarms(conn: Connection, alarms: Sequence[SourceAlarm], now: datetime, *, has_message: bool = True) -> None:
    """End those of the alarms that are open. Without `has_message` nobody is notified."""
    if alarms:
        conn.execute(
            _END if has_message else _END_WITHOUT_MESSAGE,
            [{"b_id": alarm.id, "b_until": now} for alarm in sorted(alarms, key=lambda alarm: alarm.id)],
        )


def to_alarm(row: AnyRow) -> SourceAlarm:
    """The alarm in a row of `source_alarms`."""
    finding = Finding(Cause(row.cause), row.since, _EVIDENCE.validate_python(row.evidence))
    return SourceAlarm(row.id, row.source, finding, row.begun_at, row.until, Notified(row.notified))


# ---- messages

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
_FIRST = alarm_messages.alias("first")
# The message about the end of an alarm, while its target waits for that about the beginning.
_IS_EARLY = and_(
    alarm_messages.c.event == Notified.END.value,
    exists().where(
        _FIRST.c.alarm == alarm_messages.c.alarm,
        _FIRST.c.target == alarm_messages.c.target,
        _FIRST.c.event == Notified.BEGIN.value,
        _FIRST.c.next_at.is_not(None),
    ),
)
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
            .where(alarm_messages.c.next_at.is_not(None), is_due, not_(_IS_EARLY))
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
        self._update(message, attempts=attempts, next_at=next_try(attempts, now), detail=detail[:MAX_DETAIL_CHARACTERS])

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
