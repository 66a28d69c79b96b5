"""What operators see: hosts being fetched from, results by group, used space."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from sqlalchemy import Connection, Engine, case, func, select

from newsmill.model import OUTCOMES, Kind, Outcome, State
from newsmill.storage.counter_updates import FOUND
from newsmill.storage.database import reading
from newsmill.storage.dialects import read_size
from newsmill.storage.ledger import Trace
from newsmill.storage.ledger.traces import to_trace
from newsmill.storage.schema import counts, hosts, ledger, segments, sources
from newsmill.storage.statements import IN_FLIGHT, state_is

MAX_ROWS_READ = 100_000  # newest ledger rows searched for those of one source; 20 to 40 ms on SQLite if it has few
FAILURES = frozenset(outcome for outcome, facts in OUTCOMES.items() if facts.state in (State.FAILED, State.QUARANTINED))
_SOURCES_BY_STATE = select(sources.c.enabled, func.count().label("n")).group_by(sources.c.enabled)


@dataclass(frozen=True, slots=True)
class FetchingHost:
    """One host that is being fetched from."""

    host: str
    rows: int  # leased URLs
    url: str  # one of them
    source: str | None
    since: datetime | None  # start of the host's lease


@dataclass(frozen=True, slots=True)
class ResultGroup:
    """The URLs with one outcome since a day. A failure has its sources and the newest URL."""

    outcome: Outcome
    n: int
    kinds: Mapping[Kind, int]  # most first
    sources: Mapping[str, int]  # most first; "" for none
    newest: Trace | None


@dataclass(frozen=True, slots=True)
class UsedSpace:
    """Used space in bytes."""

    archive: int
    segments: int  # number of files in the archive
    database: int


class OperationStatistics:
    """Every call may raise ServiceError."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def list_fetching_hosts(self, limit: int = 50) -> list[FetchingHost]:
        """The hosts with URLs that are being fetched now, the longest leased first."""
        leased = (
            select(
                ledger.c.host, func.count().label("rows"), func.min(ledger.c.url).label("url"), func.min(ledger.c.source).label("source")
            )
            .where(IN_FLIGHT, ledger.c.state == "fetching")
            .group_by(ledger.c.host)
            .subquery()
        )
        statement = (
            select(leased, hosts.c.leased_at).outerjoin(hosts, hosts.c.host == leased.c.host).order_by(hosts.c.leased_at).limit(limit)
        )
        with reading(self._engine) as conn:
            return [FetchingHost(row.host, row.rows, row.url, row.source, row.leased_at) for row in conn.execute(statement)]

    def count_sources(self) -> tuple[int, int]:
        """(sources that are followed, paused sources)."""
        with reading(self._engine) as conn:
            found: dict[bool, int] = {row.enabled: row.n for row in conn.execute(_SOURCES_BY_STATE)}
        return found.get(True, 0), found.get(False, 0)

    def count_by_state(self) -> dict[State, int]:
        """URLs of pages and listings by state: due, in progress or quarantined; revisits too. Reads partial indexes only."""
        quarantine_outcomes = [outcome.value for outcome, facts in OUTCOMES.items() if facts.state is State.QUARANTINED]
        in_progress = select(ledger.c.state, func.count()).where(IN_FLIGHT).group_by(ledger.c.state)
        with reading(self._engine) as conn:
            found = {State(state): n for state, n in conn.execute(in_progress)}
            due = conn.execute(select(func.count()).where(state_is("due"))).scalar_one()
            in_quarantine = select(func.count()).where(ledger.c.outcome.in_(quarantine_outcomes), ledger.c.state == "quarantined")
            return found | {State.DUE: due, State.QUARANTINED: conn.execute(in_quarantine).scalar_one()}

    def results(self, since: date) -> list[ResultGroup]:
        """The results of pages and listings since a day (UTC) by outcome: quarantined and failed ones first, then the most frequent."""
        of_source = case((counts.c.outcome.in_([outcome.value for outcome in FAILURES]), counts.c.source), else_="").label("of_source")
        statement = (
            select(counts.c.outcome, counts.c.kind, of_source, func.sum(counts.c.n))
            .where(counts.c.day >= since, counts.c.outcome != FOUND)
            .group_by(counts.c.outcome, counts.c.kind, of_source)
        )
        found: dict[Outcome, list[tuple[Kind, str, int]]] = defaultdict(list)
        with reading(self._engine) as conn:
            for outcome, kind, source, n in conn.execute(statement):
                if n > 0:
                    found[Outcome(outcome)].append((Kind(kind), source, int(n)))
            groups = [_result_group(conn, outcome, rows) for outcome, rows in found.items()]
        return sorted(groups, key=lambda group: (group.outcome not in FAILURES, -group.n, group.outcome))

    def recent(self, source: str, limit: int = 30) -> list[Trace]:
        """The newest pages of a source, among the MAX_ROWS_READ newest URLs of all sources."""
        newest = select(func.max(ledger.c.id)).scalar_subquery()
        wanted = (ledger.c.source == source, ledger.c.kind == "page", ledger.c.id > newest - MAX_ROWS_READ)
        statement = select(ledger).where(*wanted).order_by(ledger.c.id.desc()).limit(limit)
        with reading(self._engine) as conn:
            return [to_trace(row) for row in conn.execute(statement)]

    def space(self) -> UsedSpace:
        """The size of the archive's segments, as recorded, and of the database."""
        with reading(self._engine) as conn:
            archive, files = conn.execute(select(func.coalesce(func.sum(segments.c.length), 0), func.count())).one()
            return UsedSpace(int(archive), files, read_size(conn))


def _result_group(conn: Connection, outcome: Outcome, rows: Sequence[tuple[Kind, str, int]]) -> ResultGroup:
    kinds, by_source = Counter[Kind](), Counter[str]()
    for kind, source, n in rows:
        kinds[kind] += n
        by_source[source] += n
    is_failure = outcome in FAILURES
    sources = dict(sorted(by_source.items(), key=lambda item: (-item[1], item[0]))) if is_failure else {}
    return ResultGroup(outcome, kinds.total(), dict(kinds.most_common()), sources, _find_newest(conn, outcome) if is_failure else None)


def _find_newest(conn: Connection, outcome: Outcome) -> Trace | None:
    row: Any = conn.execute(select(ledger).where(ledger.c.outcome == outcome.value).order_by(ledger.c.id.desc()).limit(1)).one_or_none()
    return None if row is None else to_trace(row)
