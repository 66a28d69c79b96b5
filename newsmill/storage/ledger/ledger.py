"""The ledger as other packages use it: one method, one transaction. The SQL is in the modules beside this one.

A Ledger may be shared between threads (its engine's pool gives each call its own connection), not across a fork.

**Fences.** A lease or claim comes with a number, the fence, and every write names it. The write of a process that lost its lease finds a
higher number and changes nothing. Every call of crawlers and workers may therefore be made twice, late, or at the same time by several
processes.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import date, datetime, timedelta

from sqlalchemy import Engine

from newsmill.exceptions import SlowCommitError
from newsmill.model import ClaimedPage, Kind, LeasedUrl, Link, Outcome, OutcomeRecord, Segment, Source
from newsmill.search.index_entry import split_ahead
from newsmill.search.pending_list import PendingList
from newsmill.storage import websub
from newsmill.storage.database import reading, writing
from newsmill.storage.ledger import (
    barred_urls,
    claims,
    clock_repair,
    counters,
    dead_leases,
    due_revisits,
    ended_rows,
    host_leases,
    modified_pages,
    orphaned_copies,
    poll_plans,
    polls,
    progress,
    rendering,
    segments,
    sources,
    submitted_pages,
    traces,
    url_endings,
    url_leases,
)
from newsmill.storage.ledger import links as ledger_links
from newsmill.storage.ledger import results as ledger_results
from newsmill.storage.ledger.backfills import Backfills
from newsmill.storage.ledger.claims import Result
from newsmill.storage.ledger.counters import By, CounterRow, OutcomeCount
from newsmill.storage.ledger.deferred import DeferredPages
from newsmill.storage.ledger.host_leases import HostLease
from newsmill.storage.ledger.links import Added
from newsmill.storage.ledger.listing_moves import apply_moves, move_listing
from newsmill.storage.ledger.poll_plans import PolledListing
from newsmill.storage.ledger.progress import Progress, Waiting
from newsmill.storage.ledger.submitted_pages import ArchivedRow, SubmittedFetch
from newsmill.storage.ledger.traces import Trace
from newsmill.storage.ledger.url_endings import Ended, Postponed
from newsmill.storage.ledger.url_leases import Fetched
from newsmill.storage.publishers import PublisherOrder, find_order, list_orders
from newsmill.storage.websub import Push
from newsmill.text.urls import make_key

MAX_COMMIT_SECONDS = 5.0  # SQLite's other writers wait for it, and so do readers of changes; sixteen documents take 0.03 s
MAX_SINGLE_COMMIT_SECONDS = 30.0  # for one document; SQLite's writers give up after the same time (database.BUSY_SECONDS)


class Ledger:
    """Every call may raise ServiceError: the database is unreachable, locked, full, or refuses the connection."""

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

    def sources(self, names: Collection[str] | None = None) -> list[Source]:
        """All sources, or those with these names, by name; disabled ones too (`Source.enabled`)."""
        with reading(self._engine) as conn:
            return sources.list_sources(conn, names)

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
            if not due_revisits.is_any_due(conn, now):
                return 0
        with writing(self._engine) as conn:
            return due_revisits.make_due(conn, now)

    def revisit_modified(self, pages: Mapping[str, datetime], *, now: datetime, listing_id: int) -> int:
        """Plan revisits of stored articles (by URL) that changed by the `lastmod` of a sitemap. Returns their number; mostly only reads."""
        with reading(self._engine) as conn:
            if not modified_pages.select_stale(conn, pages):
                return 0
        with writing(self._engine) as conn:
            return modified_pages.plan(conn, pages, now, listing_id)

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
            return rendering.list_script_sources(conn)

    def count_script_pages(self, pages: Mapping[str, Sequence[bool]]) -> None:
        """Record by source, for each of its pages with a document in order, whether only a browser showed the text."""
        if pages:
            with writing(self._engine) as conn:
                rendering.count_script_pages(conn, pages)

    def count_rendered(self, source: str | None = None) -> dict[str, int]:
        """The number of archived pages with a rendered DOM, by source ("" for none)."""
        with reading(self._engine) as conn:
            return rendering.count_rendered(conn, source)

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
            return poll_plans.list_polled(conn, source)

    # ---- hosts

    def lease_hosts(
        self, owner: str, *, limit: int, seconds: float, now: datetime, source: str | None = None, spiders: bool = False
    ) -> list[HostLease]:
        """Up to `limit` unleased hosts with due rows whose next_fetch_at has come; those first whose last lease is longest ago.

        With `source`, only hosts with due rows of that source. With `spiders`, only the runs of spiders (urls.make_spider_host), otherwise
        none of them.
        """
        with writing(self._engine) as conn:
            return host_leases.lease_hosts(conn, owner, limit, seconds, now, source, spiders)

    def lease_host(self, host: str, owner: str, *, seconds: float, now: datetime) -> HostLease | None:
        """One host by name, with or without due rows: a redirect leads there. None while it is leased or paused."""
        with writing(self._engine) as conn:
            return host_leases.lease_host(conn, host, owner, seconds, now)

    def find_pause(self, host: str, *, now: datetime) -> datetime | None:
        """Until when no request may be sent to a host; None: it is not paused."""
        with reading(self._engine) as conn:
            return host_leases.find_pause(conn, host, now)

    def renew_hosts(self, owner: str, names: Iterable[str], *, seconds: float, now: datetime) -> set[str]:
        """Renew the leases of hosts and of their rows in progress. Returns the hosts still leased; stop fetching from the others."""
        with writing(self._engine) as conn:
            return host_leases.renew_hosts(conn, owner, list(names), seconds, now)

    def release_host(
        self, host: str, owner: str, *, now: datetime, next_fetch_at: datetime | None = None, failures: int | None = None
    ) -> bool:
        """End the lease of a host; it is not leased before next_fetch_at. `failures` (None: unchanged) is for the next owner."""
        with writing(self._engine) as conn:
            return host_leases.release_host(conn, host, owner, now, next_fetch_at, failures)

    def pause_host(self, host: str, owner: str, *, until: datetime | None, failures: int, now: datetime) -> bool:
        """Record the politeness state during the lease, so that Retry-After and backoff survive a crash."""
        with writing(self._engine) as conn:
            return host_leases.pause_host(conn, host, owner, until, failures, now)

    def save_robots(
        self, host: str, owner: str, *, status: int | None, body: bytes | None, crawl_delay: float | None, now: datetime
    ) -> bool:
        """Store robots.txt for the next owner of the host. `status` None: unreachable."""
        with writing(self._engine) as conn:
            return host_leases.save_robots(conn, host, owner, status, body, crawl_delay, now)

    # ---- fetches

    def lease_urls(self, host: str, owner: str, *, limit: int, seconds: float, now: datetime, source: str | None = None) -> list[LeasedUrl]:
        """Up to `limit` due rows of a leased host (of one source, if given), by rank, then by due time.

        Empty when the host's lease has ended.
        """
        with writing(self._engine) as conn:
            return url_leases.lease_urls(conn, host, owner, limit, seconds, now, source)

    def save_segment(self, segment: Segment, rows: Sequence[Fetched], *, now: datetime) -> int:
        """Record a segment and make its rows `fetched`, in one commit. Call it when the file is on disk. Returns the rows changed."""
        with writing(self._engine) as conn:
            return url_leases.save_segment(conn, segment, rows, now)

    def find_awaited_rows(self, rows: Sequence[tuple[int, int]]) -> set[int]:
        """Of rows (id, fence), the ids that were not leased again, saved or ended since: their pages can still be saved."""
        with reading(self._engine) as conn:
            return url_leases.find_awaited_rows(conn, rows)

    def end(self, endings: Sequence[Ended], *, now: datetime) -> int:
        """Give leased rows their outcomes and count them, in one commit. Returns the rows changed.

        A row under a revisit keeps its outcome; what the revisit showed is noted (`revisits`).
        """
        with writing(self._engine) as conn:
            return url_endings.end(conn, endings, now)

    def postpone(self, rows: Sequence[Postponed], *, now: datetime) -> int:
        """Make leased rows due at a later time. Returns the rows changed."""
        with writing(self._engine) as conn:
            return url_endings.postpone(conn, rows, now)

    def publisher_order(self, host: str) -> PublisherOrder | None:
        """The order of the owner of a host. Look before each request: it is obeyed from the next one on."""
        with reading(self._engine) as conn:
            return find_order(conn, host)

    def publisher_orders(self) -> list[PublisherOrder]:
        """The orders of all owners of hosts, which are few."""
        with reading(self._engine) as conn:
            return list_orders(conn)

    def release_urls(self, rows: Sequence[LeasedUrl], *, now: datetime) -> int:
        """Release leased rows that were not tried (a clean stop, or pages behind a listing): due at once, no attempt counted."""
        with writing(self._engine) as conn:
            return url_leases.release_urls(conn, rows, now)

    def expire_leases(self, *, now: datetime) -> int:
        """Rows whose crawler died while fetching are due again."""
        with writing(self._engine) as conn:
            return url_leases.expire_leases(conn, now)

    # ---- WebSub

    def record_hub(self, ledger_id: int, hub: str | None, topic: str | None, *, new_pages: int, now: datetime) -> None:
        """Record the hub that a requested feed announces (None: none), and whether pages were on it that were not pushed."""
        with reading(self._engine) as conn:
            if not websub.is_changed(websub.find_of_listing(conn, ledger_id), hub, topic, new_pages):
                return
        with writing(self._engine) as conn:
            websub.record(conn, ledger_id, hub, topic, new_pages, now)

    def pushes(self, ledger_id: int) -> list[Push]:
        """The pushes of a listing that were not read yet, oldest first."""
        with reading(self._engine) as conn:
            return websub.list_pushes(conn, ledger_id)

    def drop_pushes(self, ids: Sequence[int]) -> None:
        """Delete pushes that cannot be used."""
        with writing(self._engine) as conn:
            websub.delete_pushes(conn, ids)

    def end_pushed(self, ended: Ended, ids: Sequence[int], *, now: datetime) -> int:
        """End a leased listing whose pushes were read, and delete these, in one commit. Returns the rows changed."""
        with writing(self._engine) as conn:
            changed = url_endings.end(conn, [ended], now)  # first: like `receive`, it locks the listing before its pushes
            if changed:
                websub.delete_pushes(conn, ids)
            return changed

    def requeue_pushed(self, ledger_id: int, *, now: datetime) -> None:
        """Make a listing due again if a push arrived while it was being fetched. Call it when the listing has an outcome."""
        with reading(self._engine) as conn:
            if not websub.has_pushes(conn, ledger_id):
                return
        with writing(self._engine) as conn:
            websub.make_due(conn, ledger_id, now)

    # ---- claimed pages

    def claim_segment(self, segment_id: str, owner: str, *, seconds: float, now: datetime) -> list[ClaimedPage]:
        """Claim the pending pages of a segment: fetched rows, and processing rows whose lease has ended. In page order; may be empty.

        A row that is marked as in progress crashed its last worker, or the worker was killed: one more crash. A row with MAX_CRASHES is
        quarantined here.
        """
        with writing(self._engine) as conn:
            return claims.claim(conn, segment_id, owner, seconds, now)

    def mark_in_progress(self, claim: ClaimedPage, *, now: datetime, stage: str = "read") -> bool:
        """Mark the page that the child process extracts now: before it begins if the claim `is_suspect`, else when it takes long.

        A kill while the mark is set counts as a crash of the page. False: the claim has ended; do not extract the page.
        """
        with writing(self._engine) as conn:
            return claims.mark_in_progress(conn, claim, stage)

    def renew_segment(self, segment_id: str, owner: str, *, seconds: float, now: datetime) -> int:
        """Renew the lease of the remaining rows of a claimed segment. Returns their number."""
        with writing(self._engine) as conn:
            return claims.renew(conn, segment_id, owner, seconds, now)

    def release_segment(self, segment_id: str, owner: str, *, now: datetime) -> int:
        """Release the remaining rows of a claimed segment (a clean stop): no crash is counted. Returns their number."""
        with writing(self._engine) as conn:
            return claims.release(conn, segment_id, owner, now)

    def report_crash(self, claim: ClaimedPage, stage: str, reason: str, *, now: datetime, final: bool = False) -> bool:
        """Count a crash or timeout of the child process. The page is tried again later, or quarantined at MAX_CRASHES or if `final`.

        True: it is quarantined, with the outcome deadline if `reason` begins with that word, else died.
        """
        with writing(self._engine) as conn:
            return claims.report_crash(conn, claim, stage, reason, now, final)

    def store(self, results: Sequence[Result], *, now: datetime, owner: str, seconds: float) -> dict[Outcome, int]:
        """Store the results of a few pages in one commit: outcomes, documents, counters, and a renewed lease for the other rows.

        A result whose claim has ended changes nothing and is not counted in the returned outcomes. Raises SlowCommitError when the database
        takes longer than MAX_COMMIT_SECONDS for several results, or MAX_SINGLE_COMMIT_SECONDS for one; nothing is stored then.
        """
        split_ahead(result.reading.document for result in results)
        with writing(self._engine) as conn:
            began = time.monotonic()  # after SQLite's wait for the write lock
            counts = ledger_results.store(conn, results, now, owner, seconds)
            took, limit = time.monotonic() - began, MAX_COMMIT_SECONDS if len(results) > 1 else MAX_SINGLE_COMMIT_SECONDS
            if took > limit:
                raise SlowCommitError(f"the database took {took:.0f} s to store {len(results)} results; the limit is {limit:g} s")
        self._pending_list.add(counts.get(Outcome.STORED, 0))
        return counts

    # ---- segments

    def pending_segments(self, *, now: datetime, limit: int) -> list[str]:
        """Ids of segments with a page that a worker can claim now, oldest first."""
        with reading(self._engine) as conn:
            return segments.list_pending_segments(conn, now, limit)

    def segment(self, segment_id: str) -> Segment | None:
        """The segment (without offsets) as it was saved."""
        with reading(self._engine) as conn:
            return segments.get_segment(conn, segment_id)

    def known_segments(self, ids: Iterable[str]) -> set[str]:
        """Those of `ids` that were saved; the files of the others can be deleted."""
        with reading(self._engine) as conn:
            return segments.filter_known_segments(conn, list(ids))

    def older_segments(self, segment_id: str) -> list[str]:
        """A few segments that were saved before this one: the oldest, and those just before it."""
        with reading(self._engine) as conn:
            return segments.select_older_segments(conn, segment_id)

    # ---- pages from outside

    def bar_redirect(self, url: str, target: str, *, now: datetime) -> str | None:
        """The reason of the takedown that bars the target of a redirect from `url`, which joins it; None if it is not barred."""
        with reading(self._engine) as conn:
            if not barred_urls.find_reasons(conn, [make_key(target)]):  # nearly always: no write lock is needed
                return None
        with writing(self._engine) as conn:
            return barred_urls.bar_redirect(conn, url, target, now)

    def find_takedown(self, url: str) -> str | None:
        """The reason why a URL is barred; None if it is not."""
        with reading(self._engine) as conn:
            return barred_urls.find_reasons(conn, [make_key(url)]).get(make_key(url))

    def find_archived_rows(self, keys: Sequence[str]) -> dict[str, ArchivedRow]:
        """Of URL keys, the known rows by key."""
        with reading(self._engine) as conn:
            return submitted_pages.find_archived_rows(conn, keys)

    def save_submitted_pages(self, segment: Segment, pages: Sequence[SubmittedFetch], *, now: datetime) -> set[str]:
        """Record a segment and make the rows of its pages `fetched`, in one commit: new rows, or known ones of any state.

        Give one page per URL. Call it when the file is on disk. Returns the keys of the changed rows; listings' rows do not change.
        """
        with writing(self._engine) as conn:
            return submitted_pages.save_pages(conn, segment, pages, now)

    # ---- queries

    def trace(self, url: str) -> Trace | None:
        """The row of a URL in any spelling; None if it has no row. Raises UrlError for an invalid URL that was never submitted."""
        with reading(self._engine) as conn:
            return traces.trace(conn, url)

    def progress(self, *sources: str) -> Progress:
        """Of these sources together, or of everything. It reads the work in progress of all sources, so ask once for several."""
        with reading(self._engine) as conn:
            return progress.progress(conn, sources or None)

    def progress_by_source(self) -> dict[str, Progress]:
        """Of each source that has URLs. As costly as `progress` of one."""
        with reading(self._engine) as conn:
            return progress.progress_by_source(conn)

    def waiting(self, *sources: str, until: datetime) -> Waiting:
        """Pending URLs, of these sources together or of all, by whether they are due by `until`.

        Counts row by row: call it only when no work is in progress.
        """
        with reading(self._engine) as conn:
            return progress.waiting(conn, sources or None, until)

    def is_fetch_due(self, source: str | None = None, *, until: datetime) -> bool:
        """Whether a crawler has work by `until`: a URL that is due by then, or is being fetched. As costly as `waiting`."""
        with reading(self._engine) as conn:
            return progress.is_fetch_due(conn, source, until)

    def outcomes(self, since: date | None = None, source: str | None = None) -> list[OutcomeCount]:
        """Counts per day, newest day first."""
        with reading(self._engine) as conn:
            return counters.outcomes(conn, since, source)

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
            return counters.sum_counters(conn, by, since, until, source, limit, offset)

    def traces(self, *, outcome: Outcome | None = None, source: str | None = None, limit: int = 100, after: int = 0) -> list[Trace]:
        """Rows in the order of their ids, from above `after`: of one outcome, of one source, or all."""
        with reading(self._engine) as conn:
            return traces.traces(conn, outcome, source, limit, after)

    def listings(self, source: str, *, limit: int = 500) -> list[Trace]:
        """A source's feeds, sitemaps, sections and home page, each with its last outcome."""
        with reading(self._engine) as conn:
            return traces.listings(conn, source, limit)

    def quarantined(self, *, limit: int = 100, after: int = 0) -> list[Trace]:
        """Quarantined rows in the order of their ids, from above `after`, with stage and reason (`detail`)."""
        with reading(self._engine) as conn:
            return traces.quarantined(conn, limit, after)

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
        keys = sorted({traces.key_of(url) for url in urls})
        with writing(self._engine) as conn:
            requeued_rows = sum(ended_rows.retry_keys(conn, batch, now, refetch) for batch in ended_rows.batches(keys))
        last: int | None = 0
        while outcome is not None and last is not None:  # a commit per batch, so that other writers get the lock in between
            with writing(self._engine) as conn:
                count, last = ended_rows.retry_batch(conn, outcome, source, kind, last, now, refetch)
            requeued_rows += count
        return requeued_rows

    def retry_orphaned_copies(self, *, now: datetime) -> int:
        """Have copies of documents that do not exist extracted again. Returns their number."""
        count = 0
        while True:
            with writing(self._engine) as conn:
                requeued = orphaned_copies.requeue_orphans(conn, now)
            if not requeued:
                return count
            count += requeued

    def retry_quarantined(self, urls: Iterable[str], *, now: datetime) -> int:
        """Requeue those of the rows that are in quarantine. Returns their number."""
        keys = sorted({traces.key_of(url) for url in urls})
        with writing(self._engine) as conn:
            return sum(ended_rows.retry_quarantined(conn, batch, now) for batch in ended_rows.batches(keys))

    def discard(self, urls: Iterable[str], *, now: datetime) -> int:
        """Give quarantined rows the outcome discarded. Returns their number."""
        keys = sorted({traces.key_of(url) for url in urls})
        with writing(self._engine) as conn:
            return sum(ended_rows.discard(conn, batch, now) for batch in ended_rows.batches(keys))

    def end_dead_leases(self, is_dead: Callable[[str], bool], *, now: datetime) -> list[str]:
        """End the leases of owners for which `is_dead` (processes) is true. Returns the owners. The rows can be leased at once."""
        with writing(self._engine) as conn:
            return dead_leases.end_leases(conn, is_dead, now)

    def adjust_to_clock(self, *, now: datetime) -> timedelta:
        """After the clock was set back: move waits, leases and heartbeats that lie in the future because of it (`processes`).

        By how much it was set back; zero in nearly every call, which then only reads.
        """
        with reading(self._engine) as conn:
            if not clock_repair.is_clock_adjustment_needed(conn, now):
                return timedelta()
        with writing(self._engine) as conn:
            return clock_repair.adjust_to_clock(conn, now)
