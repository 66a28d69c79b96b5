"""Alarms: the causes for which a source needs an administrator, each from its beginning to its end.

Of one cause a source has at most one open alarm, which a unique index ensures. Two schedulers that find it at once begin one.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from pydantic import TypeAdapter
from sqlalchemy import Connection, Engine, bindparam, or_, select, update

from newsmill.health import Cause, Evidence, Finding
from newsmill.model import Source
from newsmill.storage.columns import load_source
from newsmill.storage.database import reading, writing
from newsmill.storage.schema import source_alarms, source_checks, sources
from newsmill.storage.source_observation import SourceMemory, write_memories
from newsmill.storage.statements import AnyRow, Upsert

MIN_CHECK_INTERVAL = timedelta(minutes=5)  # between two checks of one source
MAX_HISTORY = 20  # alarms of one source that are listed

_EVIDENCE = TypeAdapter(Evidence)
_IS_OPEN = source_alarms.c.until.is_(None)
_OPEN = select(source_alarms).where(_IS_OPEN).order_by(source_alarms.c.id)
_OPEN_OF = _OPEN.where(source_alarms.c.source.in_(bindparam("b_names", expanding=True)))
_HISTORY = (
    select(source_alarms)
    .where(source_alarms.c.source == bindparam("b_name"))
    .order_by(source_alarms.c.begun_at.desc(), source_alarms.c.id.desc())
    .limit(bindparam("b_limit"))
)
_BEGIN = Upsert(source_alarms, ("source", "cause"), index_where="until IS NULL")
_END = (
    update(source_alarms)
    .where(source_alarms.c.id == bindparam("b_id"), _IS_OPEN)
    .values(until=bindparam("b_until", type_=source_alarms.c.until.type))
)
_NOW: Any = bindparam("b_now", type_=source_checks.c.checked_at.type)
_DUE: Any = bindparam("b_due", type_=source_checks.c.checked_at.type)
_TO_CHECK = (
    select(sources)
    .select_from(sources.outerjoin(source_checks, source_checks.c.source == sources.c.name))
    .where(or_(source_checks.c.checked_at.is_(None), source_checks.c.checked_at <= _DUE, source_checks.c.checked_at > _NOW))
    .order_by(source_checks.c.checked_at.nulls_first(), sources.c.name)
    .limit(bindparam("b_limit"))
)


class Told(StrEnum):
    """Which messages about an alarm were prepared."""

    NOTHING = "nothing"
    BEGIN = "begin"
    END = "end"


@dataclass(frozen=True, slots=True)
class SourceAlarm:
    """A cause of one source (`source` is empty for the whole installation), from `begun_at` to `until`, or open."""

    id: int
    source: str
    finding: Finding
    begun_at: datetime
    until: datetime | None
    told: Told


@dataclass(frozen=True, slots=True)
class CheckResult:
    """What one check of a source changes: the alarms that end, the causes that begin, and what to remember."""

    source: str
    over: Sequence[SourceAlarm]
    begun: Sequence[Finding]
    memory: SourceMemory


class SourceAlarms:
    """Every call may raise ServiceError."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def list_open(self) -> list[SourceAlarm]:
        """All open alarms, oldest first."""
        with reading(self._engine) as conn:
            return [to_alarm(row) for row in conn.execute(_OPEN)]

    def list_history(self, source: str, limit: int = MAX_HISTORY) -> list[SourceAlarm]:
        """The newest alarms of a source, newest first."""
        with reading(self._engine) as conn:
            return [to_alarm(row) for row in conn.execute(_HISTORY, {"b_name": source, "b_limit": limit})]

    def list_to_check(self, limit: int, *, now: datetime) -> list[Source]:
        """Sources that were not checked for MIN_CHECK_INTERVAL, those first whose last check is longest ago."""
        with reading(self._engine) as conn:
            values = {"b_limit": limit, "b_now": now, "b_due": now - MIN_CHECK_INTERVAL}
            return [load_source(row.plan, row.enabled) for row in conn.execute(_TO_CHECK, values)]

    def record(self, results: Sequence[CheckResult], *, now: datetime) -> None:
        """Record the results of checks in one commit."""
        with writing(self._engine) as conn:
            end_alarms(conn, [alarm for result in results for alarm in result.over], now)
            begin_alarms(conn, [(result.source, finding) for result in results for finding in result.begun], now)
            write_memories(conn, {result.source: result.memory for result in results}, now)

    def begin(self, source: str, finding: Finding, *, now: datetime) -> None:
        """Begin an alarm, unless one of its cause is open."""
        with writing(self._engine) as conn:
            begin_alarms(conn, [(source, finding)], now)

    def end(self, alarm: SourceAlarm, *, now: datetime) -> None:
        """End an alarm."""
        with writing(self._engine) as conn:
            end_alarms(conn, [alarm], now)


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
            "told": Told.NOTHING.value,
        }
        for source, finding in sorted(causes, key=lambda pair: (pair[0], pair[1].cause))
    ]
    _BEGIN.run(conn, rows)


def end_alarms(conn: Connection, alarms: Sequence[SourceAlarm], now: datetime) -> None:
    """End those of the alarms that are open."""
    if alarms:
        conn.execute(_END, [{"b_id": alarm.id, "b_until": now} for alarm in sorted(alarms, key=lambda alarm: alarm.id)])


def to_alarm(row: AnyRow) -> SourceAlarm:
    """The alarm in a row of `source_alarms`."""
    finding = Finding(Cause(row.cause), row.since, _EVIDENCE.validate_python(row.evidence))
    return SourceAlarm(row.id, row.source, finding, row.begun_at, row.until, Told(row.told))
