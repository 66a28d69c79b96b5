"""The results of health checks: the alarms that they begin and end."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Engine, and_, bindparam, or_, select

from newsmill.health.causes import Finding
from newsmill.model import Source
from newsmill.storage.alarms import OPEN_ALARMS, SourceAlarm, begin_alarms, end_alarms, to_alarm
from newsmill.storage.check_histories import CheckHistory, write_histories
from newsmill.storage.columns import load_source
from newsmill.storage.database import reading, writing
from newsmill.storage.schema import ledger, source_alarms, source_checks, sources
from newsmill.storage.statements import IS_LISTING

_NAME: Any = bindparam("b_name")
MIN_CHECK_INTERVAL = timedelta(minutes=5)  # between two checks of one source
OFFLINE_SLACK = timedelta(hours=1)  # between the first failures of two sources when the network of the crawler fails
MAX_HISTORY = 20  # alarms of one source that are listed

_PAST_ALARMS = (
    select(source_alarms)
    .where(source_alarms.c.source == _NAME)
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
_SINCE: Any = bindparam("b_since", type_=ledger.c.ended_at.type)
_IS_OTHER = and_(ledger.c.source.is_not(None), ledger.c.source != _NAME)
_OTHER_SUCCESS = select(ledger.c.id).where(IS_LISTING, _IS_OTHER, ledger.c.failing_since.is_(None), ledger.c.ended_at > _SINCE).limit(1)
_OTHER_FAILURE = select(ledger.c.id).where(ledger.c.failing_since.is_not(None), ledger.c.failing_since > _SINCE, _IS_OTHER).limit(1)


@dataclass(frozen=True, slots=True)
class CheckResult:
    """What one check of a source changes: the alarms that end, the causes that begin, and what to keep of it."""

    source: str
    over: Sequence[SourceAlarm]
    begun: Sequence[Finding]
    history: CheckHistory
    is_paused: bool = False  # then alarms end, but nothing works again


class SourceAlarms:
    """Every call may raise ServiceError."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def list_open(self) -> list[SourceAlarm]:
        """All open alarms, oldest first."""
        with reading(self._engine) as conn:
            return [to_alarm(row) for row in conn.execute(OPEN_ALARMS)]

    def list_history(self, source: str) -> list[SourceAlarm]:
        """The newest MAX_HISTORY alarms of a source, newest first."""
        with reading(self._engine) as conn:
            return [to_alarm(row) for row in conn.execute(_PAST_ALARMS, {"b_name": source, "b_limit": MAX_HISTORY})]

    def list_to_check(self, limit: int, *, now: datetime) -> list[Source]:
        """Sources that were not checked for MIN_CHECK_INTERVAL, those first whose last check is longest ago."""
        with reading(self._engine) as conn:
            values = {"b_limit": limit, "b_now": now, "b_due": now - MIN_CHECK_INTERVAL}
            return [load_source(row.plan, row.enabled) for row in conn.execute(_TO_CHECK, values)]

    def is_offline(self, name: str, since: datetime) -> bool:
        """Whether the network of the crawler, not the host of this source, explains that it cannot be reached since that time.

        Another source began to fail about then, and no listing of another source was read afterwards.
        """
        with reading(self._engine) as conn:
            if conn.execute(_OTHER_SUCCESS, {"b_name": name, "b_since": since}).first() is not None:
                return False
            return conn.execute(_OTHER_FAILURE, {"b_name": name, "b_since": since - OFFLINE_SLACK}).first() is not None

    def record(self, results: Sequence[CheckResult], *, now: datetime) -> None:
        """Record the results of checks in one commit."""
        with writing(self._engine) as conn:
            for is_paused in (False, True):
                over = [alarm for result in results if result.is_paused is is_paused for alarm in result.over]
                end_alarms(conn, over, now, has_message=not is_paused)
            begin_alarms(conn, [(result.source, finding) for result in results for finding in result.begun], now)
            write_histories(conn, {result.source: result.history for result in results}, now)

    def begin(self, source: str, finding: Finding, *, now: datetime) -> None:
        """Begin an alarm, unless one of its cause is open."""
        with writing(self._engine) as conn:
            begin_alarms(conn, [(source, finding)], now)

    def end(self, alarm: SourceAlarm, *, now: datetime, has_message: bool = True) -> None:
        """End an alarm. Without `has_message` nobody is notified."""
        with writing(self._engine) as conn:
            end_alarms(conn, [alarm], now, has_message=has_message)
