"""Whether a source yields documents, and if not, what its listings and pages fail with and since when. Reads only.

Each source costs three queries on indexes that read at most some hundred rows, whatever its size.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import Connection, Engine, and_, bindparam, func, select

from newsmill.model import OUTCOMES, Kind, Outcome, OutcomeRecord, Source, State
from newsmill.storage.counters import FOUND
from newsmill.storage.database import reading
from newsmill.storage.ledger import Trace
from newsmill.storage.ledger.queries import to_trace
from newsmill.storage.ledger.sources import FROM_PLAN
from newsmill.storage.schema import count_totals, documents, ledger
from newsmill.storage.statements import IS_LISTING

MAX_LISTINGS = 200  # of a source; those of its plan have the lowest ids
MAX_FAILING_PAGES = 100  # counted; more are "100 or more"
MIN_FAILING_PAGES = 3  # one broken page is not a broken source
MIN_UNUSED_PAGES = 5  # without a document
MAX_FAILING_SOURCES = 50  # in one list
UNCERTAIN = frozenset({Outcome.GONE, Outcome.BAD_LISTING, Outcome.ROBOTS_DISALLOWED, Outcome.OFF_SITE, Outcome.DENIED})

_NAME: Any = bindparam("b_name")
_LISTINGS = select(ledger).where(IS_LISTING, ledger.c.source == _NAME).order_by(ledger.c.id).limit(MAX_LISTINGS)
_NEWEST_DOCUMENT = select(func.max(documents.c.first_seen_at)).where(documents.c.source == _NAME)
_FAILING = and_(ledger.c.failing_since.is_not(None), ledger.c.source == _NAME)
_FAILING_PAGES = select(ledger).where(_FAILING, ledger.c.kind == "page").order_by(ledger.c.failing_since).limit(MAX_FAILING_PAGES)
_PAGES_FAILING_AFTER = _FAILING_PAGES.where(ledger.c.failing_since > bindparam("b_after", type_=ledger.c.failing_since.type))
_PAGE_OUTCOMES = select(count_totals.c.outcome, count_totals.c.n).where(count_totals.c.source == _NAME, count_totals.c.kind == "page")
_FAILING_NAMES = (
    select(ledger.c.source).where(ledger.c.failing_since.is_not(None), ledger.c.source.is_not(None)).distinct().limit(bindparam("b_limit"))
)


class HealthState(StrEnum):
    """What an administrator should know about a source first."""

    PAUSED = "paused"
    UNREAD = "unread"  # no listing has been read or has failed yet
    HEALTHY = "healthy"
    DEGRADED = "degraded"  # some listings or the newest pages fail
    FAILING = "failing"  # every listing fails, or the newest pages and no document since


@dataclass(frozen=True, slots=True)
class SourceHealth:
    """The state of a source. The other fields are None or 0 where nothing fails.

    `failure` is what most of the failing URLs fail with, `since` when the first of them began to fail, and `url` is one of them.
    """

    state: HealthState
    failure: OutcomeRecord | None = None
    since: datetime | None = None
    url: str | None = None
    kind: Kind | None = None
    failing: int = 0  # URLs of this kind of problem
    of: int = 0  # listings that were read; 0 for pages

    @property
    def is_problem(self) -> bool:
        """Whether an administrator should look at the source."""
        return self.state in (HealthState.DEGRADED, HealthState.FAILING)


class SourceHealthReader:
    """Every call may raise ServiceError."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def read(self, source: Source) -> SourceHealth:
        """The health of one source."""
        return self.read_all([source])[source.name]

    def read_all(self, sources: Sequence[Source]) -> dict[str, SourceHealth]:
        """The health of sources by their names."""
        with reading(self._engine) as conn:
            return {source.name: _read(conn, source) for source in sources}

    def list_failing_names(self) -> list[str]:
        """The names of up to MAX_FAILING_SOURCES sources with a URL that fails now, in order."""
        with reading(self._engine) as conn:
            return sorted(conn.execute(_FAILING_NAMES, {"b_limit": MAX_FAILING_SOURCES}).scalars())


def _read(conn: Connection, source: Source) -> SourceHealth:
    if not source.enabled:
        return SourceHealth(HealthState.PAUSED)
    listings = [to_trace(row) for row in conn.execute(_LISTINGS, {"b_name": source.name})]
    newest = conn.execute(_NEWEST_DOCUMENT, {"b_name": source.name}).scalar()
    statement = _FAILING_PAGES if newest is None else _PAGES_FAILING_AFTER
    pages = [to_trace(row) for row in conn.execute(statement, {"b_name": source.name, "b_after": newest})]
    counted = [] if newest else conn.execute(_PAGE_OUTCOMES, {"b_name": source.name}).all()
    return decide_health(listings, pages, {Outcome(name): int(n) for name, n in counted if name != FOUND})


def decide_health(listings: Sequence[Trace], pages: Sequence[Trace], outcomes: dict[Outcome, int]) -> SourceHealth:
    """The health of an enabled source by its listings and by its pages that have failed since its newest document. Pure.

    `outcomes` counts all its pages by outcome if it has no document.
    """
    read = [trace for trace in listings if _is_relevant(trace) and (trace.outcome is not None or trace.failing_since is not None)]
    failing = [trace for trace in read if trace.failing_since is not None]
    if read and len(failing) == len(read):
        return _describe(HealthState.FAILING, failing, len(read))
    if len(pages) >= MIN_FAILING_PAGES:
        return _describe(HealthState.FAILING, pages, 0)
    if failing:
        return _describe(HealthState.DEGRADED, failing, len(read))
    if not read:
        return SourceHealth(HealthState.UNREAD)
    ended = sum(outcomes.values())
    if ended >= MIN_UNUSED_PAGES:
        outcome, n = max(outcomes.items(), key=lambda item: item[1])
        if OUTCOMES[outcome][0] is not State.DONE:
            return SourceHealth(HealthState.DEGRADED, OutcomeRecord(outcome), kind=Kind.PAGE, failing=n)
    return SourceHealth(HealthState.HEALTHY)


def _is_relevant(trace: Trace) -> bool:
    """Whether the source needs this listing: not parts and next pages, nor those that the plan no longer names.

    The homepage leads to listings at usual URLs that may not exist, so those of UNCERTAIN outcome do not count either.
    """
    if trace.found_by == FROM_PLAN:
        return trace.outcome is not Outcome.DENIED
    failure = find_failure(trace)
    return trace.found_by not in ("sitemap", "section") and (failure is None or failure.outcome not in UNCERTAIN)


def find_failure(trace: Trace) -> OutcomeRecord | None:
    """What the URL fails with: its last failed try or its outcome, whichever is later; None if it does not fail."""
    if trace.failing_since is None:
        return None
    is_retried = trace.outcome is None or trace.ended_at is None or (trace.failed_at is not None and trace.failed_at > trace.ended_at)
    if is_retried and trace.failure is not None:
        return OutcomeRecord(trace.failure, trace.failure_detail)
    return None if trace.outcome is None else OutcomeRecord(trace.outcome, trace.detail)


def _describe(state: HealthState, traces: Sequence[Trace], of: int) -> SourceHealth:
    """What most of the traces fail with."""
    failures = [(failure, trace) for trace in traces if (failure := find_failure(trace)) is not None]
    if not failures:
        return SourceHealth(HealthState.HEALTHY)
    common = Counter((failure.outcome, failure.detail) for failure, _ in failures).most_common(1)[0][0]
    chosen = [trace for failure, trace in failures if (failure.outcome, failure.detail) == common]
    since = min(trace.failing_since for trace in chosen if trace.failing_since is not None)
    return SourceHealth(state, OutcomeRecord(*common), since, chosen[0].url, chosen[0].kind, len(failures), of)
