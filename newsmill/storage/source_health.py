"""The state of sources as people and programs see it: the open alarms, what is proven now, and what fails at the moment. Reads only.

The scheduler begins and ends alarms (workers/health_checks.py). A reader judges again what it sees, so that a source is shown correctly
before the first check, and where no scheduler runs.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, Engine, select

from newsmill.health.assessment import decide_state, judge, weigh
from newsmill.health.causes import Finding, HealthState, ListingRecord, Observation
from newsmill.model import Kind, OutcomeRecord, Source
from newsmill.storage.alarm_rows import SourceAlarm, read_open
from newsmill.storage.database import reading
from newsmill.storage.schema import source_alarms
from newsmill.storage.source_observation import CheckHistory, find_failure, observe, read_histories

MAX_PROBLEM_SOURCES = 50  # in one list

_PROBLEM_NAMES = (
    select(source_alarms.c.source)
    .where(source_alarms.c.until.is_(None), source_alarms.c.source != "")
    .distinct()
    .order_by(source_alarms.c.source)
    .limit(MAX_PROBLEM_SOURCES)
)

__all__ = ["HealthState", "SourceHealth", "SourceHealthReader", "find_failure"]


@dataclass(frozen=True, slots=True)
class SourceHealth:
    """The state of a source, the open or proven causes of it (the heaviest first), and what fails now, proven or not.

    `failure` is what most of the failing URLs fail with, `since` when the first of them began to fail, and `url` is one of them. They are
    None where nothing fails. Pages that fail count once they are a cause, or while no page of the source was fetched at all.
    """

    state: HealthState
    causes: tuple[Finding, ...] = ()
    failure: OutcomeRecord | None = None
    since: datetime | None = None
    url: str | None = None
    kind: Kind | None = None
    failing: int = 0  # URLs that fail
    of: int = 0  # listings that were read; 0 for pages
    seen: Observation | None = None  # the evidence for all of this

    @property
    def cause(self) -> Finding | None:
        """The heaviest cause."""
        return next(iter(self.causes), None)

    @property
    def is_problem(self) -> bool:
        """Whether an administrator should look at the source."""
        return bool(self.causes)


class SourceHealthReader:
    """Every call may raise ServiceError."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def read(self, source: Source, *, now: datetime) -> SourceHealth:
        """The health of one source."""
        return self.read_all([source], now=now)[source.name]

    def read_all(self, sources: Sequence[Source], *, now: datetime) -> dict[str, SourceHealth]:
        """The health of sources by their names."""
        names = [source.name for source in sources]
        with reading(self._engine) as conn:
            histories, alarms = read_histories(conn, names), read_open(conn, names)
            return {source.name: _read(conn, source, histories.get(source.name), alarms.get(source.name, []), now) for source in sources}

    def list_problem_names(self) -> list[str]:
        """The names of up to MAX_PROBLEM_SOURCES sources with an open alarm, in order."""
        with reading(self._engine) as conn:
            return list(conn.execute(_PROBLEM_NAMES).scalars())


def _read(conn: Connection, source: Source, history: CheckHistory | None, alarms: Sequence[SourceAlarm], now: datetime) -> SourceHealth:
    seen, _, _ = observe(conn, source, history or CheckHistory(), now)
    return describe_observation(seen, [alarm.finding for alarm in alarms])


def describe_observation(seen: Observation, open_causes: Sequence[Finding]) -> SourceHealth:
    """The health of a source with these open causes. Pure."""
    if not seen.is_enabled:
        return SourceHealth(HealthState.PAUSED, seen=seen)
    over, begun = judge(open_causes, seen)
    causes = sorted([*(one for one in open_causes if one not in over), *begun], key=lambda one: weigh(one)[0])
    state = decide_state(causes, seen)
    read = [listing for listing in seen.listings if listing.tried_at is not None or listing.failing_since is not None]
    failing = [listing for listing in read if listing.failure is not None]
    pages = seen.pages
    is_without_pages = pages is not None and pages.is_all and not causes
    if failing and not is_without_pages:
        failure, listing = _find_common(failing)
        since = min(one.failing_since for one in failing if one.failure == failure and one.failing_since is not None)
        return SourceHealth(state, tuple(causes), failure, since, listing.url, listing.kind, len(failing), len(read), seen)
    if pages is not None and (is_without_pages or any(one.evidence.is_pages for one in causes)):
        return SourceHealth(state, tuple(causes), pages.failure, pages.since, pages.url, Kind.PAGE, pages.count, 0, seen)
    return SourceHealth(state, tuple(causes), seen=seen)


def _find_common(failing: Sequence[ListingRecord]) -> tuple[OutcomeRecord, ListingRecord]:
    """What most of the listings fail with, and one of them."""
    failures = [(listing.failure, listing) for listing in failing if listing.failure is not None]
    common = Counter(failure for failure, _ in failures).most_common(1)[0][0]
    return next((failure, listing) for failure, listing in failures if failure == common)
