"""Alarms: the causes for which a source needs an administrator, each from its beginning to its end; and which sources to check next."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Engine, bindparam, or_, select

from newsmill.health import Finding
from newsmill.model import Source
from newsmill.storage.alarm_rows import OPEN_ALARMS, SourceAlarm, begin_alarms, end_alarms, to_alarm
from newsmill.storage.columns import load_source
from newsmill.storage.database import reading, writing
from newsmill.storage.schema import source_alarms, source_checks, sources
from newsmill.storage.source_observation import SourceMemory, write_memories

MIN_CHECK_INTERVAL = timedelta(minutes=5)  # between two checks of one source
MAX_HISTORY = 20  # alarms of one source that are listed

_HISTORY = (
    select(source_alarms)
    .where(source_alarms.c.source == bindparam("b_name"))
    .order_by(source_alarms.c.begun_at.desc(), source_alarms.c.id.desc())
    .limit(bindparam("b_limit"))
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
            return [to_alarm(row) for row in conn.execute(OPEN_ALARMS)]

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
