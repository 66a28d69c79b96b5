"""The counters, counted again from the ledger (of pages only: of the past rounds of a listing no row is left), and their sums."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Engine, delete, text

from newsmill.archive.archive import Archive
from newsmill.exceptions import ArchiveDamaged
from newsmill.model import OUTCOMES, Outcome, State
from newsmill.storage.columns import Upsert, UtcDateTime
from newsmill.storage.database import reading, writing
from newsmill.storage.ledger import Ledger
from newsmill.storage.ledger.counter_updates import FOUND
from newsmill.storage.schema import count_totals, counts

# The day of a time, in UTC, as each database keeps times (columns.Utc).
_DAY = {"sqlite": "substr({0}, 1, 10)", "postgresql": "CAST(({0} AT TIME ZONE 'UTC') AS date)"}
_ENDED = """SELECT {day} AS day, coalesce(source, '') AS source, outcome, count(*) AS n FROM ledger
WHERE kind = 'page' AND outcome IS NOT NULL AND ended_at IS NOT NULL GROUP BY 1, 2, 3"""
_FOUND = "SELECT {day} AS day, coalesce(source, '') AS source, count(*) AS n FROM ledger WHERE kind = 'page' GROUP BY 1, 2"
_COUNTED = "SELECT day, source, outcome, n FROM counts WHERE kind = 'page' AND n <> 0"
_SUMS = """SELECT source, kind, outcome, sum(n) AS off FROM (
SELECT source, kind, outcome, n FROM counts UNION ALL SELECT source, kind, outcome, -n FROM count_totals) AS sides
GROUP BY source, kind, outcome HAVING sum(n) <> 0 ORDER BY source, kind, outcome"""
_MOVE = Upsert(count_totals, ("source", "kind", "outcome"), lambda new: {"n": count_totals.c.n + new.n})

Key = tuple[date, str, str]


@dataclass(frozen=True, slots=True)
class Drift:
    """A counter that says `counted` where the ledger holds `held`."""

    day: date
    source: str
    outcome: str
    counted: int
    held: int

    def __str__(self) -> str:
        return f"{self.day} {self.source or '–'} {self.outcome}: counted {self.counted}, in the ledger {self.held}"


def drift(conn: Connection) -> list[Drift]:
    """Counters that are wrong. Give it a writing transaction: nothing may move between the two counts."""
    if conn.dialect.name == "postgresql":
        # Transactions write rows first and counters last: those that already wrote a counter are waited for, the others wait for us.
        conn.execute(text("LOCK TABLE counts IN SHARE ROW EXCLUSIVE MODE"))
    held, counted = _held(conn), {_key(row): int(row.n) for row in conn.execute(text(_COUNTED))}
    wrong = [key for key in held.keys() | counted.keys() if held.get(key, 0) != counted.get(key, 0)]
    return [Drift(*key, counted=counted.get(key, 0), held=held.get(key, 0)) for key in sorted(wrong)]


def recount(conn: Connection) -> list[Drift]:
    """Set the wrong counters right; which they were."""
    wrong = drift(conn)
    for change in wrong:
        key = {"day": change.day, "source": change.source, "kind": "page", "outcome": change.outcome}
        conn.execute(delete(counts).where(*(counts.c[name] == value for name, value in key.items())))
        if change.held:
            conn.execute(counts.insert(), {**key, "n": change.held})
    return wrong


def sums_off(conn: Connection) -> list[str]:
    """Sums that are not those of the counters, in words. In the transaction of `drift` or `recount`."""
    return [f"{row.source or '–'} {row.kind} {row.outcome}: the sum of all days is {int(row.off):+d} off" for row in _sums_off(conn)]


def sum_again(conn: Connection) -> list[str]:
    """Set the wrong sums right; which they were."""
    said = sums_off(conn)
    _MOVE.run(conn, [{"source": row.source, "kind": row.kind, "outcome": row.outcome, "n": int(row.off)} for row in _sums_off(conn)])
    return said


def _sums_off(conn: Connection) -> list[Any]:
    if conn.dialect.name == "postgresql":
        conn.execute(text("SET CONSTRAINTS ALL IMMEDIATE"))  # what this transaction moved is else in no sum before its end
    return list(conn.execute(text(_SUMS)))


def _held(conn: Connection) -> dict[Key, int]:
    day = _DAY[conn.dialect.name]
    ended = {_key(row): int(row.n) for row in conn.execute(text(_ENDED.format(day=day.format("ended_at"))))}
    found = {
        (_date(row.day), str(row.source), FOUND): int(row.n) for row in conn.execute(text(_FOUND.format(day=day.format("first_seen_at"))))
    }
    return ended | found


def _key(row: Any) -> Key:
    return _date(row.day), row.source, row.outcome


def _date(day: date | str) -> date:
    """SQLite gives text."""
    return day if isinstance(day, date) else date.fromisoformat(day)


# Is the store sound? Ledger, archive and documents held against one another, and what may safely be mended.
#
# Every check may run while everything works: what is merely on its way is told from what is stuck by its age.

SHOWN = 5  # examples per finding
ORPHAN_AGE = timedelta(hours=1)  # younger files may be on their way to the ledger
DEAD_LEASE = timedelta(minutes=10)  # leases take a minute and the scheduler frees them every 30 s: this one nobody frees
FAR = timedelta(days=1)  # no retry waits longer than two hours: a clock was wrong when this was written
OPEN = frozenset(state.value for state in (State.DUE, State.FETCHING, State.FETCHED, State.PROCESSING))


@dataclass(frozen=True, slots=True)
class Finding:
    """One kind of trouble. `remedy` is what `--repair` does about it, or None: only a person can."""

    check: str
    count: int
    says: str
    examples: tuple[str, ...] = ()
    remedy: str | None = None
    repaired: bool = False


@dataclass(frozen=True, slots=True)
class Check:
    """A check in SQL: every row it gives is trouble, its first column an example. `mend` is a statement for the same rows."""

    check: str
    says: str
    ask: str
    remedy: str | None = None
    mend: str | None = None


_UNINDEXED = (
    "FROM documents d WHERE NOT EXISTS (SELECT 1 FROM search_entries e WHERE e.document_id = d.id)"
    " AND NOT EXISTS (SELECT 1 FROM search_pending p WHERE p.document_id = d.id)"
)

QUESTIONS = (
    Check(
        "dead_lease",
        "rows are held by a process whose lease ended long ago; is a scheduler running?",
        "SELECT url FROM ledger WHERE state IN ('fetching', 'processing') AND (lease_until IS NULL OR lease_until < :stale)",
        "gives them back",
        # A mark `in_hand` stays: the next claim counts that death.
        "UPDATE ledger SET state = CASE state WHEN 'fetching' THEN 'due' ELSE 'fetched' END, owner = NULL, lease_until = NULL,"
        " next_at = :now WHERE state IN ('fetching', 'processing') AND (lease_until IS NULL OR lease_until < :stale)",
    ),
    Check(
        "far_future",
        "rows wait for a time more than a day ahead; a clock was wrong when it was written",
        "SELECT url FROM ledger WHERE kind = 'page' AND state IN ('due', 'fetched') AND next_at > :far",
        "makes them due now",
        "UPDATE ledger SET next_at = :now WHERE kind = 'page' AND state IN ('due', 'fetched') AND next_at > :far",
    ),
    Check(
        "host_asleep",
        "hosts are not to be asked for more than a day; a clock was wrong when it was written",
        "SELECT host FROM hosts WHERE next_fetch_at > :far",
        "lets them be asked again",
        "UPDATE hosts SET next_fetch_at = NULL WHERE next_fetch_at > :far",
    ),
    Check(
        "no_segment",
        "rows wait for a worker without a page in any segment",
        "SELECT l.url FROM ledger l LEFT JOIN segments s ON s.id = l.segment WHERE l.state IN ('fetched', 'processing')"
        ' AND (s.id IS NULL OR l."offset" IS NULL OR l."offset" >= s.length)',
        "has them fetched again",
        "UPDATE ledger SET state = 'due', segment = NULL, \"offset\" = NULL, owner = NULL, lease_until = NULL, in_hand = NULL,"
        " fence = fence + 1, next_at = :now WHERE state IN ('fetched', 'processing') AND (\"offset\" IS NULL OR NOT EXISTS"
        ' (SELECT 1 FROM segments s WHERE s.id = ledger.segment AND s.length > ledger."offset"))',
    ),
    Check(
        "unowned_document",
        "documents have no row in the ledger that says they are its page's",
        "SELECT d.id FROM documents d LEFT JOIN ledger l ON l.id = d.ledger_id WHERE l.document_id IS NULL OR l.document_id <> d.id",
    ),
    Check(
        "no_document",
        "rows ended stored without a document",
        "SELECT l.url FROM ledger l LEFT JOIN documents d ON d.id = l.document_id"
        " WHERE l.kind = 'page' AND l.state = 'done' AND l.outcome IN ('stored', 'unchanged') AND d.id IS NULL",
        "has them read again",
    ),
    Check(
        "not_indexed",
        "documents are neither in the search index nor on its list of what to index",
        f"SELECT d.id {_UNINDEXED}",
        "has them indexed",
        f"INSERT INTO search_pending (document_id) SELECT d.id {_UNINDEXED}",
    ),
    Check(
        "archive_damaged",
        "pages could not be read back from the archive",
        "SELECT url FROM ledger WHERE outcome = 'archive_damaged'",
        "has them fetched again",
    ),
)


class Doctor:
    """Every method may raise ServiceError."""

    def __init__(self, engine: Engine, ledger: Ledger, archive: Archive) -> None:
        self._engine, self._ledger, self._archive = engine, ledger, archive

    def examine(self, *, now: datetime, repair: bool = False, deep: bool = False) -> list[Finding]:
        """All that is wrong. With `repair`, what can safely be mended is; `deep` reads every archived page that the ledger names."""
        findings = [*self._integrity(), *self._files(deep), *self._orphans(now, repair), *self._rows(now, repair), *self._states()]
        return [*findings, *self._counts(repair)]

    # ---- the file and the archive

    def _integrity(self) -> Iterator[Finding]:
        """SQLite's own check of its file; Postgres has checksums and amcheck for its."""
        if self._engine.dialect.name != "sqlite":
            return
        with reading(self._engine) as conn:
            said = [str(row[0]) for row in conn.execute(text("PRAGMA integrity_check(100)"))]
            lost = [f"{row[0]} row {row[1]} → {row[2]}" for row in conn.execute(text("PRAGMA foreign_key_check"))]
        if said != ["ok"]:
            yield _finding("database_damaged", said, "SQLite finds its file damaged; restore it from a backup")
        if lost:
            yield _finding("foreign_key", lost, "rows point to rows that are not there")

    def _files(self, deep: bool) -> Iterator[Finding]:
        """Rows first, files second: a segment's file is there before its row."""
        with reading(self._engine) as conn:
            recorded: dict[str, int] = {row.id: row.length for row in conn.execute(text("SELECT id, length FROM segments"))}
        there = dict(self._archive.segment_lengths())
        missing = sorted(recorded.keys() - there.keys())
        wrong = [
            f"{key}: {there[key]} bytes, recorded {length}" for key, length in sorted(recorded.items()) if there.get(key, length) != length
        ]
        if missing:
            yield _finding("segment_missing", missing, "segments are missing from the archive; restore them from a backup")
        if wrong:
            yield _finding("segment_length", wrong, "segments have another length than recorded; restore them from a backup")
        if deep and (unreadable := list(self._unreadable(recorded.keys() & there.keys()))):
            yield _finding("page_unreadable", unreadable, "archived pages cannot be read back")

    def _unreadable(self, ids: Sequence[str] | set[str]) -> Iterator[str]:
        for segment_id in sorted(ids):
            with reading(self._engine) as conn:
                rows = conn.execute(text('SELECT url, "offset" FROM ledger WHERE segment = :id'), {"id": segment_id}).all()
            with self._archive.open(segment_id) as segment:
                for row in rows:
                    try:
                        segment.page(row.offset)
                    except ArchiveDamaged as error:
                        yield f"{row.url}: {error}"

    def _orphans(self, now: datetime, repair: bool) -> Iterator[Finding]:
        look = self._archive.remove_orphans if repair else self._archive.find_orphans
        if found := look(self._ledger.known_segments, older_than=now - ORPHAN_AGE):
            finding = _finding("orphan_file", found, "files that no row knows, left by a killed crawler", "removes them")
            yield replace(finding, repaired=repair)

    # ---- the ledger and the documents

    def _rows(self, now: datetime, repair: bool) -> Iterator[Finding]:
        times = _times(self._engine, now=now, stale=now - DEAD_LEASE, far=now + FAR)
        for question in QUESTIONS:
            with reading(self._engine) as conn:
                found = [str(row[0]) for row in conn.execute(text(question.ask), _used(question.ask, times))]
            if found:
                finding = _finding(question.check, found, question.says, question.remedy)
                yield replace(finding, repaired=repair and self._mend(question, found, now, times))

    def _mend(self, question: Check, found: Sequence[str], now: datetime, times: dict[str, Any]) -> bool:
        if question.mend is not None:
            with writing(self._engine) as conn:
                conn.execute(text(question.mend), _used(question.mend, times))
            return True
        if question.check == "no_document":
            return self._ledger.retry(now=now, urls=found) == len(found)
        if question.check == "archive_damaged":
            return self._ledger.retry(now=now, outcome=Outcome.ARCHIVE_DAMAGED) > 0
        return False

    def _states(self) -> Iterator[Finding]:
        with reading(self._engine) as conn:
            rows = conn.execute(text("SELECT state, outcome, count(*) AS n FROM ledger WHERE kind = 'page' GROUP BY state, outcome")).all()
        for row in rows:
            if not _fits(row.state, row.outcome):
                yield Finding("state", row.n, f"rows are {row.state} with the outcome {row.outcome}, which do not go together")

    def _counts(self, repair: bool) -> Iterator[Finding]:
        with writing(self._engine) as conn:
            lines = [str(change) for change in (recount(conn) if repair else drift(conn))]
            lines += sum_again(conn) if repair else sums_off(conn)
        if lines:
            finding = _finding("counts", lines, "counters differ from what the ledger holds", "counts again")
            yield replace(finding, repaired=repair)


def _finding(check: str, found: Sequence[str], says: str, remedy: str | None = None) -> Finding:
    return Finding(check, len(found), says, tuple(found[:SHOWN]), remedy)


def _fits(state: str, outcome: str | None) -> bool:
    if state in OPEN:
        return outcome is None
    return outcome in set(Outcome) and OUTCOMES[Outcome(outcome)][0].value == state


def _times(engine: Engine, **times: datetime) -> dict[str, Any]:
    """As this database keeps them: raw statements do not know their columns' types."""
    if engine.dialect.name != "sqlite":
        return dict(times)
    stored: Callable[[datetime], datetime | None] = lambda at: UtcDateTime().process_bind_param(at, engine.dialect)  # noqa: E731
    return {name: f"{stored(at):%Y-%m-%d %H:%M:%S.%f}" for name, at in times.items()}


def _used(statement: str, times: dict[str, Any]) -> dict[str, Any]:
    return {name: at for name, at in times.items() if f":{name}" in statement}
