"""The rows of `source_alarms`: how an alarm is stored, begun and ended. Of one cause a source has at most one open alarm.

A unique index ensures it: of two processes that find a cause at once, one begins the alarm.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from pydantic import TypeAdapter
from sqlalchemy import Connection, bindparam, select, update

from newsmill.health.causes import Cause, Evidence, Finding
from newsmill.storage.schema import source_alarms
from newsmill.storage.statements import AnyRow, Upsert

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
