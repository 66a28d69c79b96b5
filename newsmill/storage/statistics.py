"""Statistics for pages and reports: new documents, sources, hosts in progress, errors, used space and the newest documents. Reads only.

Each query uses an index or `counts`, so that it costs the same with a thousand documents and with a million
(tests/storage/test_overview.py checks the plans). Where no index serves, a query reads at most MAX_ROWS_READ rows.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any, Literal

from sqlalchemy import ColumnElement, Connection, Engine, Select, func, select, text

from newsmill.model import OUTCOMES, Kind, Outcome, Source, State, is_doubtful
from newsmill.search.positions import MOMENTS_PER_DAY, document_time, to_moment
from newsmill.storage.columns import format_hour
from newsmill.storage.database import reading
from newsmill.storage.ledger import Trace
from newsmill.storage.ledger.traces import to_trace
from newsmill.storage.model_columns import load_source
from newsmill.storage.schema import counts, documents, hosts, ledger, search_entries, segments, sources
from newsmill.storage.statements import FOUND, IN_FLIGHT, state_is

STATISTICS_DAYS = 14
MAX_ROWS_READ = 100_000  # newest ledger rows searched for those of one source; 20 to 40 ms on SQLite if it has few
_SOURCES_BY_STATE = select(sources.c.enabled, func.count().label("n")).group_by(sources.c.enabled)
_HEAD_FIELDS = (
    "id",
    "url",
    "title",
    "description",
    "source",
    "site_name",
    "language",
    "section",
    "published_at",
    "published_precision",
    "first_seen_at",
    "word_count",
)
_HEAD_COLUMNS = [*(documents.c[name] for name in _HEAD_FIELDS), documents.c.confidence]
_NEWEST = (documents.c.first_seen_at.desc(), documents.c.id.desc())


@dataclass(frozen=True, slots=True)
class DocumentHead:
    """A document without its text, for lists."""

    id: str
    url: str
    title: str | None
    description: str | None
    source: str | None
    site_name: str | None
    language: str | None
    section: str | None
    published_at: datetime | None
    published_precision: str | None  # "day" if the page gave no more
    first_seen_at: datetime
    word_count: int
    confidence: float | None

    @property
    def doubtful(self) -> bool:
        """As `Document.doubtful`."""
        return is_doubtful(self.confidence)


@dataclass(frozen=True, slots=True)
class SourceHourCount:
    """Documents of one source first seen within one hour (UTC)."""

    hour: datetime
    source: str | None
    n: int


@dataclass(frozen=True, slots=True)
class SourceStatistics:
    """One source, with its results of the last STATISTICS_DAYS days (UTC, today included)."""

    source: Source
    next_tick_at: datetime
    last_tick_at: datetime | None
    last: DocumentHead | None = None  # its newest document
    stored: tuple[int, ...] = (0,) * STATISTICS_DAYS  # documents per day, oldest first
    outcomes: Mapping[Outcome, int] = field(default_factory=dict)  # of its pages


class Statistics:
    """Every call may raise ServiceError."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def newest(self, limit: int, source: str | None = None) -> list[DocumentHead]:
        """The newest documents, of one source or of all."""
        wanted = [] if source is None else [documents.c.source == source]
        with reading(self._engine) as conn:
            rows = conn.execute(select(*_HEAD_COLUMNS).where(*wanted).order_by(*_NEWEST).limit(limit))
            return [DocumentHead(*row) for row in rows]

    def per_hour(self, since: datetime) -> list[SourceHourCount]:
        """Documents by the hour and source in which they were first seen, oldest hour first; hours with none are left out."""
        with reading(self._engine) as conn:
            names = conn.execute(select(sources.c.name)).scalars().all()
            # With conditions on source, the covering index (source, first_seen_at) serves; by time alone, every document's row is read.
            found = [*_hours(conn, documents.c.source.in_(names), since), *_hours(conn, documents.c.source.is_(None), since)]
        return sorted(found, key=lambda one: (one.hour, one.source or ""))

    def next_tick(self) -> datetime | None:
        """The next tick of all enabled sources; None if there is none."""
        with reading(self._engine) as conn:
            at: datetime | None = conn.execute(select(func.min(sources.c.next_tick_at)).where(sources.c.enabled)).scalar()
        return at

    def names(self) -> list[str]:
        """The names of all sources."""
        with reading(self._engine) as conn:
            return list(conn.execute(select(sources.c.name).order_by(sources.c.name)).scalars())

    def list_sources(self, today: date, name: str | None = None, *, after: str | None = None, limit: int = 1000) -> list[SourceStatistics]:
        """Sources in the order of their names: the one named `name`, or up to `limit` after the name `after`."""
        wanted = [] if name is None else [sources.c.name == name]
        wanted += [] if after is None else [sources.c.name > after]
        newest = select(documents.c.id).where(documents.c.source == sources.c.name).order_by(*_NEWEST).limit(1).scalar_subquery()
        with reading(self._engine) as conn:
            rows = conn.execute(select(sources, newest.label("newest")).where(*wanted).order_by(sources.c.name).limit(limit)).all()
            heads = load_heads(conn, [row.newest for row in rows if row.newest is not None])
            stored, outcomes = _count_by_source(conn, today, [row.name for row in rows])
        return [
            SourceStatistics(
                source=load_source(row.plan, row.enabled),
                next_tick_at=row.next_tick_at,
                last_tick_at=row.last_tick_at,
                last=heads.get(row.newest),
                stored=tuple(stored[row.name]) if row.name in stored else (0,) * STATISTICS_DAYS,
                outcomes=outcomes.get(row.name, {}),
            )
            for row in rows
        ]


def _hours(conn: Connection, of_source: ColumnElement[bool], since: datetime) -> list[SourceHourCount]:
    hour = format_hour(documents.c.first_seen_at, conn.dialect.name)
    statement = (
        select(hour, documents.c.source, func.count())
        .where(of_source, documents.c.first_seen_at >= since)
        .group_by(hour, documents.c.source)
    )
    return [SourceHourCount(_parse(at), source, n) for at, source, n in conn.execute(statement)]


def _parse(hour: str) -> datetime:
    return datetime.strptime(hour, "%Y-%m-%d %H").replace(tzinfo=UTC)


def load_heads(conn: Connection, ids: Sequence[str]) -> dict[str, DocumentHead]:
    """The documents with these ids, those that still exist."""
    found: dict[str, DocumentHead] = {}
    for at in range(0, len(ids), 500):  # SQLite takes a bounded number of values in one statement
        rows: Any = conn.execute(select(*_HEAD_COLUMNS).where(documents.c.id.in_(ids[at : at + 500])))
        found.update((row.id, DocumentHead(*row)) for row in rows)
    return found


def _count_by_source(conn: Connection, today: date, names: Sequence[str]) -> tuple[dict[str, list[int]], dict[str, dict[Outcome, int]]]:
    """Per source: documents per day, and pages by outcome."""
    days = [today - timedelta(days=back) for back in range(STATISTICS_DAYS - 1, -1, -1)]
    stored: dict[str, list[int]] = defaultdict(lambda: [0] * STATISTICS_DAYS)
    outcomes: dict[str, dict[Outcome, int]] = defaultdict(lambda: defaultdict(int))
    # With lists of days and sources the index serves: its key begins with both, so that other sources cost nothing.
    wanted = (counts.c.day.in_(days), counts.c.source.in_(names), counts.c.kind == "page", counts.c.outcome != FOUND)
    for row in conn.execute(select(counts).where(*wanted)):
        outcomes[row.source][Outcome(row.outcome)] += row.n
        if row.outcome == Outcome.STORED:
            stored[row.source][(row.day - days[0]).days] += row.n
    return dict(stored), {source: {outcome: n for outcome, n in found.items() if n > 0} for source, found in outcomes.items()}


@dataclass(frozen=True, slots=True)
class FetchingHost:
    """One host that is being fetched from."""

    host: str
    rows: int  # leased URLs
    url: str  # one of them
    source: str | None
    since: datetime | None  # start of the host's lease


@dataclass(frozen=True, slots=True)
class ErrorGroup:
    """The URLs with one error since a day, and the newest of them."""

    outcome: Outcome
    n: int
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

    def errors(self, since: date) -> list[ErrorGroup]:
        """Failed and quarantined pages and listings since a day (UTC) by outcome, the most frequent first."""
        errors = [outcome for outcome, facts in OUTCOMES.items() if facts.state in (State.FAILED, State.QUARANTINED)]
        statement = (
            select(counts.c.outcome, counts.c.source, func.sum(counts.c.n))
            .where(counts.c.day >= since, counts.c.outcome.in_([outcome.value for outcome in errors]))
            .group_by(counts.c.outcome, counts.c.source)
        )
        found: dict[Outcome, dict[str, int]] = defaultdict(dict)
        with reading(self._engine) as conn:
            for outcome, source, n in conn.execute(statement):
                if n > 0:
                    found[Outcome(outcome)][source] = int(n)
            groups = [_error_group(conn, outcome, by_source) for outcome, by_source in found.items()]
        return sorted(groups, key=lambda group: (-group.n, group.outcome))

    def totals(self, since: date) -> list[tuple[Kind, Outcome, int]]:
        """(kind, outcome, URLs) since a day (UTC), most first."""
        statement = (
            select(counts.c.kind, counts.c.outcome, func.sum(counts.c.n).label("n"))
            .where(counts.c.day >= since, counts.c.outcome != FOUND)
            .group_by(counts.c.kind, counts.c.outcome)
        )
        with reading(self._engine) as conn:
            rows = [(Kind(kind), Outcome(outcome), int(n)) for kind, outcome, n in conn.execute(statement)]
        return sorted((row for row in rows if row[2] > 0), key=lambda row: (-row[2], row[1]))

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
            return UsedSpace(int(archive), files, _database_size(conn))


def _error_group(conn: Connection, outcome: Outcome, by_source: Mapping[str, int]) -> ErrorGroup:
    row: Any = conn.execute(select(ledger).where(ledger.c.outcome == outcome.value).order_by(ledger.c.id.desc()).limit(1)).one_or_none()
    sources = dict(sorted(by_source.items(), key=lambda item: (-item[1], item[0])))
    return ErrorGroup(outcome, sum(sources.values()), sources, None if row is None else to_trace(row))


def _database_size(conn: Connection) -> int:
    if conn.dialect.name == "sqlite":
        size = conn.exec_driver_sql("SELECT page_count * page_size FROM pragma_page_count(), pragma_page_size()").scalar_one()
    else:
        size = conn.execute(text("SELECT pg_database_size(current_database())")).scalar_one()
    return int(size)


# ---- the newest documents, shared fairly among the sources, and documents per day of publication and source

By = Literal["published", "seen"]
MIN_PER_SOURCE = 3  # documents of one source in the list, whatever the number of sources
MAX_CANDIDATES = 400  # newest documents among which the list is chosen
MAX_SOURCES = 500  # whose newest document is compared when one source fills the candidates
MAX_COUNTED = 20_000  # documents of the days that are counted by source: 10 ms on SQLite


@dataclass(frozen=True, slots=True)
class NewestDocuments:
    """`heads` are in order, newest first. `max_per_source`: the limit that left out documents of a source; None if none is left out."""

    heads: tuple[DocumentHead, ...]
    max_per_source: int | None


@dataclass(frozen=True, slots=True)
class DayCount:
    """Documents of one source published on one day (UTC)."""

    at: datetime  # its start
    source: str | None
    n: int


def list_newest(engine: Engine, limit: int, by: By) -> NewestDocuments:
    """The newest documents, at most a fair share of each source: `limit` divided by the number of sources, or MIN_PER_SOURCE.

    Where a crawl of a few sources fills the MAX_CANDIDATES newest, the newest documents of other sources follow. Raises ServiceError.
    """
    with reading(engine) as conn:
        count: int = conn.execute(select(func.count()).select_from(sources)).scalar_one()
        candidates: list[tuple[str, str | None]] = [(id, source) for id, source in conn.execute(_candidates(by))]
        share = max(MIN_PER_SOURCE, -(-limit // max(1, count, len({source for _, source in candidates}))))
        chosen = take_shares(candidates, share)[:limit]
        if len(chosen) < limit and len(candidates) == MAX_CANDIDATES:
            complete = {source for source, n in Counter(source for _, source in candidates).items() if n >= share}
            chosen += [id for id in _list_others(conn, complete, limit, share) if id not in chosen]
        heads = load_heads(conn, chosen)
    ordered = sorted(heads.values(), key=lambda head: _order(head, by), reverse=True)[:limit]
    is_cut = not {id for id, _ in candidates[:limit]} <= {head.id for head in ordered}
    return NewestDocuments(tuple(ordered), share if is_cut else None)


def take_shares(candidates: Iterable[tuple[str, str | None]], share: int) -> list[str]:
    """The ids of (id, source), in order, without those of a source after its first `share`.

    >>> take_shares([("1", "a"), ("2", "a"), ("3", "b")], 1)
    ['1', '3']
    """
    seen: Counter[str | None] = Counter()
    chosen = []
    for id, source in candidates:
        seen[source] += 1
        if seen[source] <= share:
            chosen.append(id)
    return chosen


def count_by_publication(engine: Engine, since: datetime) -> list[DayCount] | None:
    """Dated documents by day and source since the start of a UTC day. None: there are more than MAX_COUNTED. Raises ServiceError."""
    newest = (
        select(search_entries.c.moment, search_entries.c.source)
        .where(search_entries.c.moment >= to_moment(since))
        .order_by(search_entries.c.moment.desc())
        .limit(MAX_COUNTED + 1)
        .subquery()
    )
    day = (newest.c.moment // MOMENTS_PER_DAY).label("day")
    with reading(engine) as conn:
        rows = conn.execute(select(day, newest.c.source, func.count()).group_by("day", newest.c.source)).all()
    if sum(n for _, _, n in rows) > MAX_COUNTED:
        return None
    return [DayCount(datetime.fromtimestamp(86_400 * int(number), UTC), source, n) for number, source, n in rows]


def _candidates(by: By) -> Select[Any]:
    if by == "seen":
        return select(documents.c.id, documents.c.source).order_by(*_NEWEST).limit(MAX_CANDIDATES)
    order = (search_entries.c.moment.desc(), search_entries.c.document_id.desc())
    return select(search_entries.c.document_id, search_entries.c.source).order_by(*order).limit(MAX_CANDIDATES)


def _list_others(conn: Connection, complete: set[str | None], limit: int, share: int) -> Sequence[str]:
    """The newest documents of the sources that saw one last, except those of `complete`."""
    newest = select(func.max(documents.c.first_seen_at)).where(documents.c.source == sources.c.name).scalar_subquery()
    found = conn.execute(select(sources.c.name, newest).order_by(sources.c.name).limit(MAX_SOURCES)).all()
    names = [name for name, at in sorted(found, key=lambda row: str(row[1]), reverse=True) if at is not None and name not in complete]
    ids: list[str] = []
    for name in names[:limit]:
        ids += conn.execute(select(documents.c.id).where(documents.c.source == name).order_by(*_NEWEST).limit(share)).scalars()
    return ids


def _order(head: DocumentHead, by: By) -> tuple[bool, datetime, str]:
    """Undated documents come last by publication, as in a search."""
    if by == "seen":
        return True, head.first_seen_at, head.id
    time = document_time(head.published_at, head.published_precision, head.first_seen_at)
    return head.published_at is not None, time, head.id
