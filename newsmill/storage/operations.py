"""How the work goes, for whoever runs it: what is being fetched, what failed and how, what one source's addresses came to, the room taken.

Reads only. Where no index serves, a question is bounded instead (RECENT rows), and says so.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from sqlalchemy import Connection, Engine, func, select, text

from newsmill.model import OUTCOMES, Kind, Outcome, State
from newsmill.storage.database import reading
from newsmill.storage.ledger import Trace
from newsmill.storage.ledger.counter_updates import FOUND
from newsmill.storage.ledger.queries import to_trace
from newsmill.storage.ledger.statements import IN_FLIGHT, state_is
from newsmill.storage.schema import counts, hosts, ledger, segments

RECENT = 100_000  # ledger rows looked back through for one source's; 20 to 40 ms on SQLite when it has hardly any


@dataclass(frozen=True, slots=True)
class Fetching:
    """One host that is being asked now."""

    host: str
    rows: int  # addresses leased to the crawler that holds it
    url: str  # one of them
    source: str | None
    since: datetime | None  # when the host was leased


@dataclass(frozen=True, slots=True)
class ErrorGroup:
    """All addresses that failed in one way since a day, and the newest of them."""

    outcome: Outcome
    n: int
    sources: Mapping[str, int]  # most first; "" for addresses without a source
    newest: Trace | None


@dataclass(frozen=True, slots=True)
class Space:
    """What the store takes, in bytes."""

    archive: int
    segments: int  # files of the archive
    database: int


class Operation:
    """Every call may raise ServiceError."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def fetching(self, limit: int = 50) -> list[Fetching]:
        """The hosts with addresses being fetched at this moment, the longest held first."""
        held = (
            select(
                ledger.c.host, func.count().label("rows"), func.min(ledger.c.url).label("url"), func.min(ledger.c.source).label("source")
            )
            .where(IN_FLIGHT, ledger.c.state == "fetching")
            .group_by(ledger.c.host)
            .subquery()
        )
        statement = select(held, hosts.c.leased_at).outerjoin(hosts, hosts.c.host == held.c.host).order_by(hosts.c.leased_at).limit(limit)
        with reading(self._engine) as conn:
            return [Fetching(row.host, row.rows, row.url, row.source, row.leased_at) for row in conn.execute(statement)]

    def owed(self) -> int:
        """Addresses, pages and listings, that have not ended."""
        return sum(n for state, n in self.queues().items() if state is not State.QUARANTINED)

    def queues(self) -> dict[State, int]:
        """Addresses, pages and listings, that are due, in work, or in quarantine: read off the partial indexes of what is open."""
        buried = [outcome.value for outcome, (state, _) in OUTCOMES.items() if state is State.QUARANTINED]
        under_way = select(ledger.c.state, func.count()).where(IN_FLIGHT).group_by(ledger.c.state)
        with reading(self._engine) as conn:
            found = {State(state): n for state, n in conn.execute(under_way)}
            due = conn.execute(select(func.count()).where(state_is("due"))).scalar_one()
            held = select(func.count()).where(ledger.c.outcome.in_(buried), ledger.c.state == "quarantined")
            return found | {State.DUE: due, State.QUARANTINED: conn.execute(held).scalar_one()}

    def errors(self, since: date) -> list[ErrorGroup]:
        """What failed or went into quarantine since that day (UTC), pages and listings, the most frequent first."""
        wrong = [outcome for outcome, (state, _) in OUTCOMES.items() if state in (State.FAILED, State.QUARANTINED)]
        statement = (
            select(counts.c.outcome, counts.c.source, func.sum(counts.c.n))
            .where(counts.c.day >= since, counts.c.outcome.in_([outcome.value for outcome in wrong]))
            .group_by(counts.c.outcome, counts.c.source)
        )
        found: dict[Outcome, dict[str, int]] = defaultdict(dict)
        with reading(self._engine) as conn:
            for outcome, source, n in conn.execute(statement):
                if n > 0:
                    found[Outcome(outcome)][source] = int(n)
            groups = [_group(conn, outcome, by_source) for outcome, by_source in found.items()]
        return sorted(groups, key=lambda group: (-group.n, group.outcome))

    def totals(self, since: date) -> list[tuple[Kind, Outcome, int]]:
        """How many addresses ended how since that day (UTC), by kind; most first."""
        statement = (
            select(counts.c.kind, counts.c.outcome, func.sum(counts.c.n).label("n"))
            .where(counts.c.day >= since, counts.c.outcome != FOUND)
            .group_by(counts.c.kind, counts.c.outcome)
        )
        with reading(self._engine) as conn:
            rows = [(Kind(kind), Outcome(outcome), int(n)) for kind, outcome, n in conn.execute(statement)]
        return sorted((row for row in rows if row[2] > 0), key=lambda row: (-row[2], row[1]))

    def recent(self, source: str, limit: int = 30) -> list[Trace]:
        """The pages of a source found last, among the RECENT addresses found last of all sources."""
        newest = select(func.max(ledger.c.id)).scalar_subquery()
        wanted = (ledger.c.source == source, ledger.c.kind == "page", ledger.c.id > newest - RECENT)
        statement = select(ledger).where(*wanted).order_by(ledger.c.id.desc()).limit(limit)
        with reading(self._engine) as conn:
            return [to_trace(row) for row in conn.execute(statement)]

    def space(self) -> Space:
        """The sizes the ledger knows of the archive's segments, and the database's own."""
        with reading(self._engine) as conn:
            archive, files = conn.execute(select(func.coalesce(func.sum(segments.c.length), 0), func.count())).one()
            return Space(int(archive), files, _database_size(conn))


def _group(conn: Connection, outcome: Outcome, by_source: Mapping[str, int]) -> ErrorGroup:
    row: Any = conn.execute(select(ledger).where(ledger.c.outcome == outcome.value).order_by(ledger.c.id.desc()).limit(1)).one_or_none()
    sources = dict(sorted(by_source.items(), key=lambda item: (-item[1], item[0])))
    return ErrorGroup(outcome, sum(sources.values()), sources, None if row is None else to_trace(row))


def _database_size(conn: Connection) -> int:
    if conn.dialect.name == "sqlite":
        size = conn.exec_driver_sql("SELECT page_count * page_size FROM pragma_page_count(), pragma_page_size()").scalar_one()
    else:
        size = conn.execute(text("SELECT pg_database_size(current_database())")).scalar_one()
    return int(size)
