"""The ledger as other packages use it: one method, one transaction. The SQL is in the modules beside this one.

A Ledger may be shared between threads (its engine's pool gives each call its own connection), not across a fork.

**Fences.** A lease or claim comes with a number, the fence, and every write names it. The write of a process that lost its lease finds a
higher number and changes nothing. Every method may therefore be called twice, late, or at the same time by several processes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import date, datetime, timedelta

from sqlalchemy import Engine

from newsmill.model import Kind, Outcome
from newsmill.search.indexer import PendingList
from newsmill.storage import processes
from newsmill.storage.database import reading, writing
from newsmill.storage.ledger import clocks, queries
from newsmill.storage.ledger import links as ledger_links
from newsmill.storage.ledger import retry as ledger_retry
from newsmill.storage.ledger.backfills import Backfills
from newsmill.storage.ledger.claims import DeferredPages
from newsmill.storage.ledger.crawl_ledger import CrawlLedger
from newsmill.storage.ledger.extraction_ledger import ExtractionLedger
from newsmill.storage.ledger.queries import By, CounterRow
from newsmill.storage.ledger.records import OutcomeCount, Progress, Trace, Waiting
from newsmill.storage.ledger.source_ledger import SourceLedger


class Ledger(SourceLedger, CrawlLedger, ExtractionLedger):
    """Every call may raise ServiceError: the database is unreachable, locked, full, or refuses the connection.

    The calls for sources, for the crawler and for workers are in the base classes.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._pending_list = PendingList(engine)
        self.deferred = DeferredPages(engine)
        self.backfills = Backfills(engine)

    # ---- queries

    def trace(self, url: str) -> Trace | None:
        """The row of a URL in any spelling; None if it has no row. Raises UrlError for an invalid URL that was never submitted."""
        with reading(self._engine) as conn:
            return queries.trace(conn, url)

    def progress(self, source: str | None = None) -> Progress:
        with reading(self._engine) as conn:
            return queries.progress(conn, source)

    def waiting(self, source: str | None = None, *, until: datetime) -> Waiting:
        """Pending URLs by whether they are due by `until`. Counts row by row: call it only when no work is in progress."""
        with reading(self._engine) as conn:
            return queries.waiting(conn, source, until)

    def is_fetch_due(self, source: str | None = None, *, until: datetime) -> bool:
        """Whether a crawler has work by `until`: a URL that is due by then, or is being fetched. As costly as `waiting`."""
        with reading(self._engine) as conn:
            return queries.is_fetch_due(conn, source, until)

    def outcomes(self, since: date | None = None, source: str | None = None) -> list[OutcomeCount]:
        """Counts per day, newest day first."""
        with reading(self._engine) as conn:
            return queries.outcomes(conn, since, source)

    def sum_counters(
        self,
        by: Sequence[By],
        *,
        since: date | None = None,
        until: date | None = None,
        source: str | None = None,
        limit: int = 1000,
        offset: int = 0,
    ) -> list[CounterRow]:
        """Outcome counts added up by one or more of day, source, kind and outcome; newest day first."""
        with reading(self._engine) as conn:
            return queries.sum_counters(conn, by, since, until, source, limit, offset)

    def traces(self, *, outcome: Outcome | None = None, source: str | None = None, limit: int = 100, after: int = 0) -> list[Trace]:
        """Rows in the order of their ids, from above `after`: of one outcome, of one source, or all."""
        with reading(self._engine) as conn:
            return queries.traces(conn, outcome, source, limit, after)

    def listings(self, source: str, *, limit: int = 500) -> list[Trace]:
        """A source's feeds, sitemaps, sections and home page, each with its last outcome."""
        with reading(self._engine) as conn:
            return queries.listings(conn, source, limit)

    def quarantined(self, *, limit: int = 100, after: int = 0) -> list[Trace]:
        """Quarantined rows in the order of their ids, from above `after`, with stage and reason (`detail`)."""
        with reading(self._engine) as conn:
            return queries.quarantined(conn, limit, after)

    # ---- repairs

    def retry(
        self,
        *,
        now: datetime,
        urls: Iterable[str] = (),
        outcome: Outcome | None = None,
        source: str | None = None,
        kind: Kind | None = None,
        refetch: bool = False,
    ) -> int:
        """Requeue rows that have an outcome: those of `urls`, or all with one outcome. Returns their number.

        An archived page is extracted again without the network, unless `refetch`. The earlier outcome does not count any more.
        """
        keys = sorted({queries.key_of(url) for url in urls})
        with writing(self._engine) as conn:
            requeued_rows = sum(ledger_retry.retry_keys(conn, batch, now, refetch) for batch in ledger_links.batches(keys))
        last: int | None = 0
        while outcome is not None and last is not None:  # a commit per batch, so that other writers get the lock in between
            with writing(self._engine) as conn:
                count, last = ledger_retry.retry_batch(conn, outcome, source, kind, last, now, refetch)
            requeued_rows += count
        return requeued_rows

    def discard(self, urls: Iterable[str], *, now: datetime) -> int:
        """Give quarantined rows the outcome discarded. Returns their number."""
        keys = sorted({queries.key_of(url) for url in urls})
        with writing(self._engine) as conn:
            return sum(ledger_retry.discard(conn, batch, now) for batch in ledger_links.batches(keys))

    def end_dead_leases(self, is_dead: Callable[[str], bool], *, now: datetime) -> list[str]:
        """End the leases of owners for which `is_dead` (processes) is true. Returns the owners. The rows can be leased at once."""
        with writing(self._engine) as conn:
            return processes.end_leases(conn, is_dead, now)

    def adjust_to_clock(self, *, now: datetime) -> timedelta:
        """After the clock was set back: move waits, leases and heartbeats that lie in the future because of it (`clocks`).

        By how much it was set back; zero in nearly every call, which then only reads.
        """
        with reading(self._engine) as conn:
            if not clocks.needs_adjusting(conn, now):
                return timedelta()
        with writing(self._engine) as conn:
            return clocks.adjust(conn, now)
