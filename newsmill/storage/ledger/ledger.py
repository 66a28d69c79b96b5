"""The ledger as other packages use it: one method, one transaction. The SQL is in the modules beside this one.

A Ledger may be shared between threads (its engine's pool gives each call its own connection), not across a fork.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date, datetime, timedelta

from sqlalchemy import Engine

from newsmill.model import Kind, Link, Outcome, OutcomeRecord, Segment, Source
from newsmill.search.indexer import PendingList
from newsmill.storage import processes
from newsmill.storage.database import reading, writing
from newsmill.storage.ledger import clocks, polls, queries, revisits, sources, submissions
from newsmill.storage.ledger import links as ledger_links
from newsmill.storage.ledger import retry as ledger_retry
from newsmill.storage.ledger.backfills import Backfills
from newsmill.storage.ledger.claims import DeferredPages
from newsmill.storage.ledger.lease_ledger import LeaseLedger
from newsmill.storage.ledger.polls import PolledListing
from newsmill.storage.ledger.queries import By, CounterRow
from newsmill.storage.ledger.records import Added, ArchivedRow, OutcomeCount, Progress, SubmittedFetch, Trace, Waiting
from newsmill.storage.ledger.source_changes import apply_moves, move_listing


class Ledger(LeaseLedger):
    """Every call may raise ServiceError: the database is unreachable, locked, full, or refuses the connection.

    The calls of crawlers and workers are in the base class.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._pending_list = PendingList(engine)
        self.deferred = DeferredPages(engine)
        self.backfills = Backfills(engine)

    # ---- sources

    def put_source(self, source: Source, *, now: datetime) -> None:
        """Create or change a source. Its home page, feeds, sitemaps and sections become listings; new ones are due at once.

        The listings of a paused source are made when it is resumed.
        """
        with writing(self._engine) as conn:
            sources.put(conn, source, now)

    def sources(self) -> list[Source]:
        """All sources by name, disabled ones too (`Source.enabled`)."""
        with reading(self._engine) as conn:
            return sources.list_sources(conn)

    def source(self, name: str) -> Source | None:
        with reading(self._engine) as conn:
            return sources.get_source(conn, name)

    def set_enabled(self, name: str, enabled: bool, *, now: datetime) -> bool:
        """Pause or resume a source's ticks; URLs already due are still fetched. False: the source does not exist."""
        with writing(self._engine) as conn:
            return sources.set_enabled(conn, name, enabled, now)

    def tick(self, *, now: datetime, next_tick: Callable[[Source, datetime], datetime], only_due: bool = False) -> list[str]:
        """Make the listings of every source whose next tick has come due. Returns the names of these sources.

        `next_tick(source, after)` gives the source's next tick after `after`. Of two schedulers exactly one gets a tick. Several missed
        ticks become one. A clock that was set back neither stops a source nor repeats a cron tick. `only_due` leaves out the search for
        ticks that a wrong clock wrote, which reads the plans of all sources.
        """
        with writing(self._engine) as conn:
            return sources.tick(conn, now, next_tick, only_due)

    def read_listings(self, name: str, *, now: datetime) -> None:
        """Make a source's listings due now, as a tick does. Its next tick stays."""
        with writing(self._engine) as conn:
            sources.make_listings_due(conn, name, now)

    def make_revisits_due(self, *, now: datetime) -> int:
        """Make stored articles due whose revisit has come. Returns their number; only reads if there is none."""
        with reading(self._engine) as conn:
            if not revisits.is_any_due(conn, now):
                return 0
        with writing(self._engine) as conn:
            return revisits.make_due(conn, now)

    def move_listing(self, source: str, url: str, new_url: str, failure: OutcomeRecord | None = None, *, now: datetime) -> bool:
        """Follow a listing that has moved permanently, in the plan of its source too. False: the source has no such listing.

        `failure`: what the old URL answers with; None for a permanent redirect.
        """
        with writing(self._engine) as conn:
            return move_listing(conn, source, url, new_url, failure, now)

    def apply_moves(self, planned: Sequence[Source]) -> list[Source]:
        """The sources of a file with the new URLs of listings that have moved since it was written."""
        with reading(self._engine) as conn:
            return apply_moves(conn, planned)

    # ---- rendering

    def script_sources(self) -> set[str]:
        """The names of sources whose last pages all had their text only in a browser."""
        with reading(self._engine) as conn:
            return sources.list_script_sources(conn)

    def count_script_pages(self, pages: Mapping[str, Sequence[bool]]) -> None:
        """Record by source, for each of its pages with a document in order, whether only a browser showed the text."""
        if pages:
            with writing(self._engine) as conn:
                sources.count_script_pages(conn, pages)

    def count_rendered(self, source: str | None = None) -> dict[str, int]:
        """The number of archived pages with a rendered DOM, by source ("" for none)."""
        with reading(self._engine) as conn:
            return sources.count_rendered(conn, source)

    # ---- links

    def add(self, links: Iterable[Link], *, now: datetime, again: bool = False, listing_id: int | None = None) -> Added:
        """One row per URL. A known row stays as it is; with `again`, one that has an outcome is due again.

        `listing_id` is the row of the listing that shows the links: its sightings are recorded, pages from its first poll rank behind new
        ones, and a page that failed for a passing reason, or was not found, and is still shown is due again.

        An invalid URL that a person or a program requested (found_by manual, api) gets a row with the outcome bad_url. Others are only
        counted in the result.
        """
        with writing(self._engine) as conn:
            return ledger_links.add(conn, links, now, again, listing_id)

    # ---- polls

    def select_changed(self, links: Sequence[Link], *, now: datetime) -> list[Link]:
        """Of the parts that a sitemap index names, those to poll again."""
        with reading(self._engine) as conn:
            return polls.select_changed(conn, links, now)

    def select_missing(self, links: Sequence[Link], *, now: datetime) -> list[Link]:
        """Of the listings that a homepage names, those to try again that were not found before."""
        with reading(self._engine) as conn:
            return polls.select_missing(conn, links, now)

    def list_polled(self, source: str) -> list[PolledListing]:
        """The listings of a source that were polled, with their plans."""
        with reading(self._engine) as conn:
            return polls.list_polled(conn, source)

    # ---- pages from outside

    def find_archived_rows(self, keys: Sequence[str]) -> dict[str, ArchivedRow]:
        """Of URL keys, the known rows by key."""
        with reading(self._engine) as conn:
            return submissions.find_archived_rows(conn, keys)

    def save_submitted_pages(self, segment: Segment, pages: Sequence[SubmittedFetch], *, now: datetime) -> set[str]:
        """Record a segment and make the rows of its pages `fetched`, in one commit: new rows, or known ones of any state.

        Give one page per URL. Call it when the file is on disk. Returns the keys of the changed rows; listings' rows do not change.
        """
        with writing(self._engine) as conn:
            return submissions.save_pages(conn, segment, pages, now)

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

    def retry_quarantined(self, urls: Iterable[str], *, now: datetime) -> int:
        """Requeue those of the rows that are in quarantine. Returns their number."""
        keys = sorted({queries.key_of(url) for url in urls})
        with writing(self._engine) as conn:
            return sum(ledger_retry.retry_quarantined(conn, batch, now) for batch in ledger_links.batches(keys))

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
