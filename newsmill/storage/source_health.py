"""The health of sources: the state of each as people and programs see it, and the alarms that checks begin and end.

The scheduler checks sources (workers/scheduler.py). A reader judges again what it sees, so that a source is shown correctly before the
first check, and where no scheduler runs.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Engine, select

from newsmill.health.assessment import decide_state, judge, weigh
from newsmill.health.causes import Finding, HealthState, ListingRecord, Observation
from newsmill.model import Kind, OutcomeRecord, Source
from newsmill.storage.alarms import read_open
from newsmill.storage.check_histories import read_histories
from newsmill.storage.database import reading
from newsmill.storage.ledger.priority import FROM_PLAN
from newsmill.storage.schema import ledger, source_alarms
from newsmill.storage.source_observations import observe
from newsmill.storage.statements import IS_LISTING

MAX_PROBLEM_SOURCES = 50  # in one list

_PROBLEM_NAMES = (
    select(source_alarms.c.source)
    .where(source_alarms.c.until.is_(None), source_alarms.c.source != "")
    .distinct()
    .order_by(source_alarms.c.source)
    .limit(MAX_PROBLEM_SOURCES)
)
_FAILING_NAMES = (
    select(ledger.c.source)
    .where(IS_LISTING, ledger.c.failing_since.is_not(None), ledger.c.found_by == FROM_PLAN, ledger.c.source.is_not(None))
    .distinct()
    .order_by(ledger.c.source)
    .limit(MAX_PROBLEM_SOURCES)
)


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
            found = observe(conn, sources, histories, now)
        return {name: describe_observation(one.seen, [alarm.finding for alarm in alarms.get(name, [])]) for name, one in found.items()}

    def list_problem_names(self) -> list[str]:
        """The names of up to MAX_PROBLEM_SOURCES sources with an open alarm, in order."""
        with reading(self._engine) as conn:
            return list(conn.execute(_PROBLEM_NAMES).scalars())

    def list_failing_names(self) -> list[str]:
        """The names of up to MAX_PROBLEM_SOURCES sources with a planned listing that fails, proven or not, in order."""
        with reading(self._engine) as conn:
            return [name for name in conn.execute(_FAILING_NAMES).scalars() if name is not None]


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
        failure, since, listing = _find_common(failing)
        state = state if causes else HealthState.FAILING
        return SourceHealth(state, tuple(causes), failure, since, listing.url, listing.kind, len(failing), len(read), seen)
    if pages is not None and (is_without_pages or any(one.evidence.is_pages for one in causes)):
        state = state if causes else HealthState.FAILING
        return SourceHealth(state, tuple(causes), pages.failure, pages.since, pages.url, Kind.PAGE, pages.count, 0, seen)
    return SourceHealth(state, tuple(causes), seen=seen)


def _find_common(failing: Sequence[ListingRecord]) -> tuple[OutcomeRecord, datetime, ListingRecord]:
    """What most of the listings fail with, since when, and one of them."""
    failures = [(listing.failure, listing) for listing in failing if listing.failure is not None]
    common = Counter(failure for failure, _ in failures).most_common(1)[0][0]
    alike = [listing for failure, listing in failures if failure == common]
    return common, min(listing.failing_since for listing in alike if listing.failing_since is not None), alike[0]
