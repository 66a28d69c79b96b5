"""Checks of the store: ledger, archive and documents are compared with one another, and safe repairs are made.

Every check may run while other processes work: rows that are only in transit are distinguished from stuck ones by their age.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from sqlalchemy import Engine, TextClause, bindparam, text

from newsmill.archive.archive import Archive, SegmentReader
from newsmill.archive.external_files import ExternalReader
from newsmill.exceptions import ArchiveDamaged
from newsmill.model import OUTCOMES, Outcome, State
from newsmill.storage.columns import UtcDateTime
from newsmill.storage.counter_repair import describe_wrong_totals, find_wrong_counters, repair_counters, repair_totals
from newsmill.storage.database import reading, writing
from newsmill.storage.dialects import is_sqlite
from newsmill.storage.ledger import Ledger
from newsmill.storage.statements import AnyRow

MAX_EXAMPLES = 5  # per finding
ORPHAN_AGE = timedelta(hours=1)  # a younger file may not be in the ledger yet
DEAD_LEASE_AGE = timedelta(minutes=10)  # a lease lasts one minute, and the scheduler ends expired ones every 30 s
FAR_FUTURE = timedelta(days=1)  # no retry waits longer than two hours, so a clock was wrong
MAX_HOST_PAUSE = timedelta(days=31)  # a host that refuses for months is probed every 30 days
# Of a page under a revisit (ledger.revisits); a duplicate is one whose document another URL took over meanwhile.
REVISITED = (Outcome.STORED, Outcome.UNCHANGED, Outcome.DUPLICATE)
OPEN = frozenset(state.value for state in (State.DUE, State.FETCHING, State.FETCHED, State.PROCESSING))


@dataclass(frozen=True, slots=True)
class Finding:
    """One kind of damage. `remedy`: what `--repair` does about it; None: it cannot be repaired automatically."""

    check: str
    count: int
    says: str
    examples: tuple[str, ...] = ()
    remedy: str | None = None
    repaired: bool = False


@dataclass(frozen=True, slots=True)
class Check:
    """A check in SQL. `query` returns the damaged rows, an example in the first column; `repair` is a statement for the same rows."""

    check: str
    says: str
    query: str
    remedy: str | None = None
    repair: str | None = None


_UNINDEXED = (
    "FROM documents d WHERE NOT EXISTS (SELECT 1 FROM search_entries e WHERE e.document_id = d.id)"
    " AND NOT EXISTS (SELECT 1 FROM search_pending p WHERE p.document_id = d.id)"
)
# The document has no group, or is in one whose anchor is in another; or the index has another group or place.
_UNGROUPED = (
    "FROM documents d LEFT JOIN copy_groups g ON g.ledger_id = d.ledger_id LEFT JOIN copy_groups h ON h.ledger_id = g.group_id"
    " LEFT JOIN search_entries e ON e.document_id = d.id WHERE NOT EXISTS (SELECT 1 FROM copies_due c WHERE c.ledger_id = d.ledger_id)"
    " AND NOT EXISTS (SELECT 1 FROM search_pending p WHERE p.document_id = d.id) AND (g.ledger_id IS NULL"
    " OR (g.document_id = d.id AND NOT g.is_due AND ((g.group_id IS NOT NULL AND COALESCE(h.group_id, -1) <> g.group_id)"
    " OR (e.document_id IS NOT NULL AND (COALESCE(e.copy_group, -1) <> COALESCE(g.group_id, -1)"
    " OR COALESCE(e.copy_place, -1) <> COALESCE(g.place, -1))))))"
)
# Past versions that overlap, that are behind the last change of their document, or that do not lead to the document or its removal.
_BROKEN_PAST = (
    "SELECT p.document_id FROM past_documents p LEFT JOIN documents d ON d.id = p.document_id WHERE p.stored_at > p.valid_until"
    " OR p.valid_until > d.stored_at AND p.valid_until > COALESCE(d.changed_at, d.stored_at)"
    " OR EXISTS (SELECT 1 FROM past_documents q WHERE q.document_id = p.document_id AND q.number > p.number"
    " AND q.valid_until < p.valid_until)"
    " OR d.id IS NULL AND NOT EXISTS (SELECT 1 FROM past_documents q WHERE q.document_id = p.document_id AND q.number >= p.number"
    " AND q.changed IS NULL)"
)
# The head of a group of copies has no text, or the text of a page that is no head is left, or its story does not exist.
_UNTOLD = (
    "FROM copy_groups g LEFT JOIN story_texts t ON t.ledger_id = g.ledger_id LEFT JOIN stories s ON s.id = t.story_id"
    " WHERE NOT EXISTS (SELECT 1 FROM stories_due u WHERE u.ledger_id = g.ledger_id)"
    " AND ((t.ledger_id IS NULL) <> (COALESCE(g.group_id, g.ledger_id) <> g.ledger_id)"
    " OR (t.story_id IS NOT NULL AND COALESCE(s.documents, 0) = 0))"
)
# The number of the texts of a story `s`, and of its documents.
_TEXTS = "(SELECT count(*) FROM story_texts t WHERE t.story_id = s.id)"
_DOCUMENTS = (
    "(SELECT count(*) FROM story_texts t JOIN copy_groups g ON g.ledger_id = t.ledger_id OR g.group_id = t.ledger_id"
    " WHERE t.story_id = s.id)"
)
# The counts are not those of the members, or the story was merged into one that was merged, too, or does not exist.
_MISCOUNTED = (
    f"FROM stories s LEFT JOIN stories m ON m.id = s.merged_into WHERE s.texts <> {_TEXTS}"  # noqa: S608  # parts of statements
    f" OR (s.documents <> {_DOCUMENTS} AND NOT EXISTS (SELECT 1 FROM stories_due))"
    " OR (s.merged_into IS NOT NULL AND (s.documents > 0 OR m.id IS NULL OR m.merged_into IS NOT NULL))"
)

_ORPHANS = "moves segments to the folder unknown/ of the archive, and deletes unfinished files"
_FETCH_AGAIN = (
    "UPDATE ledger SET state = 'due', segment = NULL, \"offset\" = NULL, owner = NULL, lease_until = NULL, stage_in_progress = NULL,"
    " fence = fence + 1, next_at = :now WHERE state IN ('fetched', 'processing') AND "
)
_HAS_NO_PAGE = '("offset" IS NULL OR NOT EXISTS (SELECT 1 FROM segments s WHERE s.id = ledger.segment AND s.length > ledger."offset"))'

CHECKS = (
    Check(
        "dead_lease",
        "rows have a lease that ended long ago; check that a scheduler runs",
        "SELECT url FROM ledger WHERE state IN ('fetching', 'processing') AND (lease_until IS NULL OR lease_until < :stale)",
        "makes them due",
        # `stage_in_progress` stays: the next claim counts the crash.
        "UPDATE ledger SET state = CASE state WHEN 'fetching' THEN 'due' ELSE 'fetched' END, owner = NULL, lease_until = NULL,"
        " next_at = :now WHERE state IN ('fetching', 'processing') AND (lease_until IS NULL OR lease_until < :stale)",
    ),
    Check(
        "far_future",
        "rows are due more than a day ahead, because a clock was wrong",
        "SELECT url FROM ledger WHERE kind = 'page' AND state IN ('due', 'fetched') AND next_at > :far",
        "makes them due now",
        "UPDATE ledger SET next_at = :now WHERE kind = 'page' AND state IN ('due', 'fetched') AND next_at > :far",
    ),
    Check(
        "host_asleep",
        "hosts are paused for more than 31 days, because a clock was wrong",
        "SELECT host FROM hosts WHERE next_fetch_at > :never",
        "ends their pauses",
        "UPDATE hosts SET next_fetch_at = NULL WHERE next_fetch_at > :never",
    ),
    Check(
        "no_segment",
        "rows wait for a worker but have no page in a segment",
        "SELECT l.url FROM ledger l LEFT JOIN segments s ON s.id = l.segment WHERE l.state IN ('fetched', 'processing')"
        ' AND (s.id IS NULL OR l."offset" IS NULL OR l."offset" >= s.length)',
        "has them fetched again",
        _FETCH_AGAIN + _HAS_NO_PAGE,
    ),
    Check(
        "unowned_document",
        "documents have no row in the ledger that names them",
        "SELECT d.id FROM documents d LEFT JOIN ledger l ON l.id = d.ledger_id WHERE l.document_id IS NULL OR l.document_id <> d.id",
    ),
    Check(
        "no_document",
        "rows have the outcome stored but no document",
        "SELECT l.url FROM ledger l LEFT JOIN documents d ON d.id = l.document_id"
        " WHERE l.kind = 'page' AND l.state = 'done' AND l.outcome IN ('stored', 'unchanged') AND d.id IS NULL",
        "has them extracted again",
    ),
    Check(
        "orphaned_duplicate",
        "rows are duplicates of a document that does not exist",
        "SELECT l.url FROM ledger l WHERE l.state = 'dropped' AND l.document_id IS NOT NULL AND l.outcome = 'duplicate'"
        " AND NOT EXISTS (SELECT 1 FROM documents d WHERE d.id = l.document_id)",
        "has them extracted again",
    ),
    Check(
        "not_indexed",
        "documents are neither in the search index nor waiting to be indexed",
        f"SELECT d.id {_UNINDEXED}",
        "has them indexed",
        f"INSERT INTO search_pending (document_id) SELECT d.id {_UNINDEXED}",
    ),
    Check(
        "copies",
        "documents are in no group of copies or in a wrong one, and do not wait to be compared",
        f"SELECT d.id {_UNGROUPED}",
        "has them compared again",
        f"INSERT INTO copies_due (ledger_id) SELECT DISTINCT d.ledger_id {_UNGROUPED}",
    ),
    Check("past", "past versions overlap or do not lead to the document of today; restore a backup", _BROKEN_PAST),
    Check(
        "stories",
        "documents tell no story or one that does not exist, and do not wait to be decided",
        f"SELECT g.document_id {_UNTOLD}",
        "has their stories decided again",
        f"INSERT INTO stories_due (ledger_id) SELECT g.ledger_id {_UNTOLD}",
    ),
    Check(
        "story_counts",
        "stories count other documents than they have, or were merged into one that does not exist",
        f"SELECT s.id {_MISCOUNTED}",
        "counts again",
        f"UPDATE stories AS s SET texts = {_TEXTS}, documents = {_DOCUMENTS},"  # noqa: S608
        " merged_into = CASE WHEN s.merged_into IN (SELECT id FROM stories WHERE merged_into IS NULL) THEN s.merged_into END"
        f" WHERE s.id IN (SELECT s.id {_MISCOUNTED})",
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
        """All findings. `repair`: make the safe repairs. `deep`: read every archived page that the ledger names."""
        findings = [
            *self._integrity(),
            *self._files(now, repair, deep),
            *self._orphans(now, repair),
            *self._rows(now, repair),
            *self._states(),
        ]
        return [*findings, *self._counts(repair)]

    def _integrity(self) -> Iterator[Finding]:
        """SQLite's check of its file. Postgres has checksums and amcheck."""
        if not is_sqlite(self._engine):
            return
        with reading(self._engine) as conn:
            problems = [str(row[0]) for row in conn.execute(text("PRAGMA integrity_check(100)"))]
            broken_references = [f"{row[0]} row {row[1]} → {row[2]}" for row in conn.execute(text("PRAGMA foreign_key_check"))]
        if problems != ["ok"]:
            yield _finding("database_damaged", problems, "the SQLite file is damaged; restore it from a backup")
        if broken_references:
            yield _finding("foreign_key", broken_references, "rows refer to rows that do not exist")

    def _files(self, now: datetime, repair: bool, deep: bool) -> Iterator[Finding]:
        """Reads the rows before the files, because a segment's file is written before its row."""
        with reading(self._engine) as conn:
            recorded: dict[str, int] = {row.id: row.length for row in conn.execute(text("SELECT id, length FROM segments"))}
        outside, lost = self._archive.examine_external(recorded)
        there = dict(self._archive.segment_lengths()) | outside
        missing = sorted(recorded.keys() - there.keys())
        wrong = [
            f"{key}: {there[key]} bytes, recorded {length}" for key, length in sorted(recorded.items()) if there.get(key, length) != length
        ]
        if inside := [segment_id for segment_id in missing if segment_id not in lost]:
            yield _finding("segment_missing", inside, "segments are missing from the archive; restore them from a backup")
        if lost:
            yield _finding(
                "warc_file", sorted(set(map(str, lost.values()))), "WARC files that were submitted with --in-place cannot be read"
            )
        if missing:
            yield from self._awaited(frozenset(missing), now, repair)
        if wrong:
            yield _finding("segment_length", wrong, "segments have another length than recorded; restore them from a backup")
        if deep and (unreadable := list(self._unreadable(recorded.keys() & there.keys()))):
            yield _finding("page_unreadable", unreadable, "archived pages cannot be read back")

    def _awaited(self, missing: frozenset[str], now: datetime, repair: bool) -> Iterator[Finding]:
        """Rows whose page waits for a worker in a segment that is missing."""
        with reading(self._engine) as conn:
            waiting = conn.execute(text("SELECT url, segment FROM ledger WHERE state IN ('fetched', 'processing')")).all()
        found = [row for row in waiting if row.segment in missing]
        if repair:
            for segment_id in {row.segment for row in found}:
                with writing(self._engine) as conn:
                    conn.execute(_with_times(_FETCH_AGAIN + "segment = :id", {"now": now}), {"id": segment_id})
        if found:
            says = "pages wait for a worker in segments that are missing"
            yield replace(_finding("page_missing", [row.url for row in found], says, "has them fetched again"), repaired=repair)

    def _unreadable(self, ids: Sequence[str] | set[str]) -> Iterator[str]:
        for segment_id in sorted(ids):
            with reading(self._engine) as conn:
                rows = conn.execute(text('SELECT url, "offset" FROM ledger WHERE segment = :id'), {"id": segment_id}).all()
            try:
                with self._archive.open(segment_id) as segment:
                    yield from (f"{row.url}: {error}" for row in rows if (error := _find_damage(segment, row)) is not None)
            except ArchiveDamaged as error:
                yield str(error)

    def _orphans(self, now: datetime, repair: bool) -> Iterator[Finding]:
        find_orphans = self._archive.remove_orphans if repair else self._archive.find_orphans
        if found := find_orphans(self._ledger.segments.filter_known, older_than=now - ORPHAN_AGE):
            finding = _finding(
                "orphan_file", found, "files without a row in the ledger, of a killed crawler or newer than the database", _ORPHANS
            )
            yield replace(finding, repaired=repair)

    def _rows(self, now: datetime, repair: bool) -> Iterator[Finding]:
        times = {"now": now, "stale": now - DEAD_LEASE_AGE, "far": now + FAR_FUTURE, "never": now + MAX_HOST_PAUSE}
        for check in CHECKS:
            with reading(self._engine) as conn:
                found = [str(row[0]) for row in conn.execute(_with_times(check.query, times))]
            if found:
                finding = _finding(check.check, found, check.says, check.remedy)
                yield replace(finding, repaired=repair and self._repair(check, found, now, times))

    def _repair(self, check: Check, found: Sequence[str], now: datetime, times: Mapping[str, datetime]) -> bool:
        if check.repair is not None:
            with writing(self._engine) as conn:
                conn.execute(_with_times(check.repair, times))
            return True
        if check.check == "no_document":
            return self._ledger.retries.retry(now=now, urls=found) == len(found)
        if check.check == "orphaned_duplicate":
            return self._ledger.retries.retry_orphaned_copies(now=now) >= len(found)
        if check.check == "archive_damaged":
            return self._ledger.retries.retry(now=now, outcome=Outcome.ARCHIVE_DAMAGED) > 0
        return False

    def _states(self) -> Iterator[Finding]:
        with reading(self._engine) as conn:
            rows = conn.execute(text("SELECT state, outcome, count(*) AS n FROM ledger WHERE kind = 'page' GROUP BY state, outcome")).all()
        for row in rows:
            if not _is_consistent(row.state, row.outcome):
                yield Finding("state", row.n, f"rows have the state {row.state} and the outcome {row.outcome}, which contradict each other")

    def _counts(self, repair: bool) -> Iterator[Finding]:
        with writing(self._engine) as conn:
            lines = [str(change) for change in (repair_counters(conn) if repair else find_wrong_counters(conn))]
            lines += repair_totals(conn) if repair else describe_wrong_totals(conn)
        if lines:
            finding = _finding("counts", lines, "counters differ from the ledger", "counts again")
            yield replace(finding, repaired=repair)


def _find_damage(segment: SegmentReader | ExternalReader, row: AnyRow) -> ArchiveDamaged | None:
    try:
        segment.page(row.offset, row.url)
    except ArchiveDamaged as error:
        return error
    return None


def _finding(check: str, found: Sequence[str], says: str, remedy: str | None = None) -> Finding:
    return Finding(check, len(found), says, tuple(found[:MAX_EXAMPLES]), remedy)


def _is_consistent(state: str, outcome: str | None) -> bool:
    if state in OPEN:
        return outcome in (None, *REVISITED)
    return outcome in set(Outcome) and OUTCOMES[Outcome(outcome)].state.value == state


def _with_times(statement: str, times: Mapping[str, datetime]) -> TextClause:
    """A raw statement, which does not know the types of its columns, with those of some times that it names."""
    return text(statement).bindparams(*(bindparam(name, at, UtcDateTime) for name, at in times.items() if f":{name}" in statement))
