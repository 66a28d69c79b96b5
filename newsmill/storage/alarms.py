"""Alarms of sources: how one is stored, begun and ended, and the messages about it.

Of one cause a source has at most one open alarm. A unique index ensures it: of two processes that find a cause at once, one begins the
alarm. There is one message for each beginning, end and target. A target has a queue for each alarm, so it gets the message about the end
after that about the beginning. An alarm that ended before its first message has none.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from sqlalchemy import Connection, Engine, and_, bindparam, delete, or_, select, update

from newsmill.health.causes import Cause, Evidence, Finding
from newsmill.model.lazy_adapter import make_adapter
from newsmill.storage.database import reading, writing
from newsmill.storage.dialects import Upsert
from newsmill.storage.outbox import MessageKind, add_message, delete_messages
from newsmill.storage.schema import source_alarms
from newsmill.storage.statements import AnyRow
from newsmill.text.sentences import PACKED

MAX_ALARMS = 100  # prepared in one transaction

_EVIDENCE = make_adapter(Evidence)
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
            "evidence": _EVIDENCE.dump_python(finding.evidence, mode="json", exclude_defaults=True, context=PACKED),
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


def prepare_messages(engine: Engine, targets: Sequence[str], *, now: datetime) -> None:
    """Record the messages that are to be sent to these targets. Each beginning and end is prepared once. Raises ServiceError."""
    with reading(engine) as conn:
        waiting = [to_alarm(row) for row in conn.execute(_NOT_NOTIFIED)]
    if waiting:  # nearly never: no write lock is needed
        with writing(engine) as conn:
            for alarm in waiting:
                _prepare(conn, alarm, targets, now)


def find_alarm(engine: Engine, alarm_id: str) -> SourceAlarm | None:
    """The alarm with this ID, which owns a message. Raises ServiceError."""
    with reading(engine) as conn:
        row = conn.execute(select(source_alarms).where(source_alarms.c.id == int(alarm_id))).one_or_none()
    return None if row is None else to_alarm(row)


def delete_alarms(conn: Connection, source: str) -> None:
    """Delete the alarms of a source with their messages."""
    removed = conn.execute(delete(source_alarms).where(source_alarms.c.source == source).returning(source_alarms.c.id)).scalars()
    delete_messages(conn, MessageKind.ALARM, [str(alarm_id) for alarm_id in removed])


def _prepare(conn: Connection, alarm: SourceAlarm, targets: Sequence[str], now: datetime) -> None:
    """Of two processes, the one whose update changes the alarm adds the messages."""
    event = Notified.BEGIN if alarm.until is None else Notified.END
    values = {"b_id": alarm.id, "b_before": alarm.notified.value, "b_notified": event.value}
    is_first = conn.execute(_MARK_NOTIFIED, values).rowcount == 1
    if is_first and not (event is Notified.END and alarm.notified is Notified.NOTHING):
        for target in targets:
            payload = {"event": event.value, "target": target}
            add_message(conn, MessageKind.ALARM, str(alarm.id), payload, now, queue=f"alarm {alarm.id} {target}")
