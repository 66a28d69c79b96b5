"""The ledger as the other rooms see it: one method, one transaction. The SQL is in the files beside this one.

A Ledger may be shared between threads (its engine's pool gives each call its own connection), not across a fork.

**Fences.** Whoever leases or claims a row gets a number with it; every write names the number, and a write that comes late, from a process
that lost its lease, meets a higher number and changes nothing. So every method here may be called twice, late, or beside itself.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from datetime import date, datetime, timedelta

from sqlalchemy import Engine

from newsmill.exceptions import SlowCommitError
from newsmill.model import ClaimedPage, Kind, LeasedUrl, Link, Outcome, Segment, Source
from newsmill.search.pending_list import PendingList
from newsmill.storage import processes
from newsmill.storage.database import reading, writing
from newsmill.storage.ledger import claims, clocks, fetch_leases, hosts, queries, sources
from newsmill.storage.ledger import links as ledger_links
from newsmill.storage.ledger import results as ledger_results
from newsmill.storage.ledger import retry as ledger_retry
from newsmill.storage.ledger.queries import By, CounterRow
from newsmill.storage.ledger.records import Added, Ended, Fetched, HostLease, OutcomeCount, Postponed, Progress, Result, Trace, Waiting

# Seconds of a commit; one of sixteen documents takes 0.03 s. As long as it takes, SQLite's other writers wait, and who follows changes.
COMMIT_SECONDS = 5.0
ALONE_SECONDS = 30.0  # of a commit of one document; SQLite's writers give up after as long (database.BUSY_SECONDS)


class Ledger:
    """Every call may raise ServiceError: the database is away, locked, full, or refuses us."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._pending_list = PendingList(engine)
        self.deferred = claims.DeferredPages(engine)

    # ---- sources

    def put_source(self, source: Source, *, now: datetime) -> None:
        """Create or change a source. Its homepage, feeds, sitemaps and sections become listings, due at once when they are new."""
        with writing(self._engine) as conn:
            sources.put(conn, source, now)

    def sources(self) -> list[Source]:
        """All sources by name, disabled ones too (`Source.enabled`)."""
        with reading(self._engine) as conn:
            return sources.every(conn)

    def source(self, name: str) -> Source | None:
        with reading(self._engine) as conn:
            return sources.one(conn, name)

    def set_enabled(self, name: str, enabled: bool) -> bool:
        """Pause or resume a source's ticks; False when there is no such source. What is already due is still fetched."""
        with writing(self._engine) as conn:
            return sources.set_enabled(conn, name, enabled)

    def tick(self, *, now: datetime, next_tick: Callable[[Source, datetime], datetime]) -> list[str]:
        """Make the listings of every source whose time has come due; the names of those sources.

        `next_tick(source, after)` says when a source comes due after `after`. Of two schedulers exactly one gets a tick; several missed
        ticks are made up by one; a clock that jumped back neither silences a source nor repeats a cron tick.
        """
        with writing(self._engine) as conn:
            return sources.tick(conn, now, next_tick)

    def read_listings(self, name: str, *, now: datetime) -> None:
        """Make a source's listings due now, as a tick does, whether or not its time has come; its next tick stays where it is."""
        with writing(self._engine) as conn:
            sources.read_now(conn, name, now)

    # ---- links

    def add(self, links: Iterable[Link], *, now: datetime, again: bool = False) -> Added:
        """One row per address. A known row is left alone, or with `again` comes due again if it had ended.

        An address that cannot be fetched gets a row that ended `bad_url` when a person or a program gave it (found_by manual, api); else
        it is only counted in the answer.
        """
        with writing(self._engine) as conn:
            return ledger_links.add(conn, links, now, again)

    # ---- hosts

    def lease_hosts(self, owner: str, *, limit: int, seconds: float, now: datetime) -> list[HostLease]:
        """Up to `limit` hosts that have due work, that nobody holds, and whose next_fetch_at has come; the longest unserved."""
        with writing(self._engine) as conn:
            return hosts.lease(conn, owner, limit, seconds, now)

    def lease_host(self, host: str, owner: str, *, seconds: float, now: datetime) -> HostLease | None:
        """One host by name, with or without due work: a redirect leads there. None while another holds it, or it asked for a pause."""
        with writing(self._engine) as conn:
            return hosts.lease_one(conn, host, owner, seconds, now)

    def renew_hosts(self, owner: str, names: Iterable[str], *, seconds: float, now: datetime) -> set[str]:
        """Prolong the leases on hosts and on their rows being fetched; the hosts that are still ours. Stop fetching the others."""
        with writing(self._engine) as conn:
            return hosts.renew(conn, owner, list(names), seconds, now)

    def release_host(
        self, host: str, owner: str, *, now: datetime, next_fetch_at: datetime | None = None, failures: int | None = None
    ) -> bool:
        """Give a host back; nobody leases it before next_fetch_at. `failures` (None: as it was) is kept for the next holder."""
        with writing(self._engine) as conn:
            return hosts.release(conn, host, owner, now, next_fetch_at, failures)

    def pause_host(self, host: str, owner: str, *, until: datetime | None, failures: int) -> bool:
        """Record the politeness state while holding the host, so that a crash forgets neither Retry-After nor backoff."""
        with writing(self._engine) as conn:
            return hosts.pause(conn, host, owner, until, failures)

    def save_robots(
        self, host: str, owner: str, *, status: int | None, body: bytes | None, crawl_delay: float | None, now: datetime
    ) -> bool:
        """Keep robots.txt for the next holder of the host. `status` None: unreachable."""
        with writing(self._engine) as conn:
            return hosts.save_robots(conn, host, owner, status, body, crawl_delay, now)

    # ---- the crawler

    def lease_urls(self, host: str, owner: str, *, limit: int, seconds: float, now: datetime) -> list[LeasedUrl]:
        """Up to `limit` due rows of a host that `owner` holds, by rank, then the longest due. Empty when the host is no longer ours."""
        with writing(self._engine) as conn:
            return fetch_leases.lease(conn, host, owner, limit, seconds, now)

    def save_segment(self, segment: Segment, rows: Sequence[Fetched], *, now: datetime) -> int:
        """One commit: the segment, and its rows are `fetched`. How many rows were still ours. Call it when the file is safe on disk."""
        with writing(self._engine) as conn:
            return fetch_leases.save_segment(conn, segment, rows, now)

    def find_awaited_rows(self, rows: Sequence[tuple[int, int]]) -> set[int]:
        """Of rows leased under a fence (id, fence), the ids that nobody has taken, saved or ended since: their pages may still be saved."""
        with reading(self._engine) as conn:
            return fetch_leases.find_awaited_rows(conn, rows)

    def end(self, endings: Sequence[Ended], *, now: datetime) -> int:
        """End leased rows without a worker, counted in the same commit. How many were still ours."""
        with writing(self._engine) as conn:
            return fetch_leases.end(conn, endings, now)

    def postpone(self, rows: Sequence[Postponed], *, now: datetime) -> int:
        """Give leased rows back to be tried later. How many were still ours."""
        with writing(self._engine) as conn:
            return fetch_leases.postpone(conn, rows)

    def release_urls(self, rows: Sequence[LeasedUrl], *, now: datetime) -> int:
        """Give leased rows back untried (a clean stop): due at once, nothing counted."""
        with writing(self._engine) as conn:
            return fetch_leases.release(conn, rows, now)

    def end_dead_leases(self, is_dead: Callable[[str], bool], *, now: datetime) -> list[str]:
        """End the leases of owners that `is_dead` (keep.owners) knows to be gone; their names. What they held can then be taken at once."""
        with writing(self._engine) as conn:
            return processes.cut(conn, is_dead, now)

    def adjust_to_clock(self, *, now: datetime) -> timedelta:
        """After the clock was set back: move waits, leases and heartbeats that lie in the future because of it (`clocks`).

        By how much it was set back; zero in nearly every call, which then only reads.
        """
        with reading(self._engine) as conn:
            if not clocks.needs_adjusting(conn, now):
                return timedelta()
        with writing(self._engine) as conn:
            return clocks.adjust(conn, now)

    def expire_leases(self, *, now: datetime) -> int:
        """Rows whose crawler died while fetching are due again."""
        with writing(self._engine) as conn:
            return fetch_leases.expire(conn, now)

    # ---- the workers

    def claim_segment(self, segment_id: str, owner: str, *, seconds: float, now: datetime) -> list[ClaimedPage]:
        """Take what is owed of a segment: its fetched rows, and processing rows whose lease ended. In page order; may be empty.

        A row found with the in-hand mark killed its last reader (or was killed with it): one more death; with three it is quarantined here.
        """
        with writing(self._engine) as conn:
            return claims.claim(conn, segment_id, owner, seconds, now)

    def mark_in_progress(self, claim: ClaimedPage, *, now: datetime, stage: str = "read") -> bool:
        """Say which page is with the child now, before it goes there if it is `suspect`, else when it takes long: if we are killed
        meanwhile, that was one of its deaths. False: the claim is no longer ours, leave the page alone."""
        with writing(self._engine) as conn:
            return claims.mark(conn, claim, stage)

    def renew_segment(self, segment_id: str, owner: str, *, seconds: float, now: datetime) -> int:
        """Prolong the lease on the rest of a claimed segment; how many rows it still has."""
        with writing(self._engine) as conn:
            return claims.renew(conn, segment_id, owner, seconds, now)

    def release_segment(self, segment_id: str, owner: str, *, now: datetime) -> int:
        """Give the rest of a claimed segment back (a clean stop): no death, no waiting for the lease to end."""
        with writing(self._engine) as conn:
            return claims.release(conn, segment_id, owner, now)

    def report_crash(self, claim: ClaimedPage, stage: str, reason: str, *, now: datetime, final: bool = False) -> bool:
        """The child died or ran out of time on this page: one more death, and another try later; quarantined with three, or if `final`.

        True when this death quarantined it: outcome `deadline` where `reason` begins with that word, else `died`.
        """
        with writing(self._engine) as conn:
            return claims.report_crash(conn, claim, stage, reason, now, final)

    def store(self, results: Sequence[Result], *, now: datetime, owner: str, seconds: float) -> dict[Outcome, int]:
        """One commit for a handful of pages: rows ended, documents written, marks cleared, counts moved, the rest of the lease renewed.

        A result whose claim is no longer ours changes nothing and is not in the answer. Raises SlowCommitError when the database took
        longer than COMMIT_SECONDS over several results, or ALONE_SECONDS over one; nothing of it is stored then.
        """
        with writing(self._engine) as conn:
            began = time.monotonic()  # on SQLite the wait for the lock is over now
            counts = ledger_results.store(conn, results, now, owner, seconds)
            took, limit = time.monotonic() - began, COMMIT_SECONDS if len(results) > 1 else ALONE_SECONDS
            if took > limit:
                raise SlowCommitError(f"the database took {took:.0f} s to store {len(results)} results; the limit is {limit:g} s")
        self._pending_list.add(counts.get(Outcome.STORED, 0))
        return counts

    # ---- the reconciler and the sweep

    def pending_segments(self, *, now: datetime, limit: int) -> list[str]:
        """Segments with a page that a worker could claim now, oldest first."""
        with reading(self._engine) as conn:
            return claims.owed(conn, now, limit)

    def segment(self, segment_id: str) -> Segment | None:
        """What the archive must hold for this id (without offsets)."""
        with reading(self._engine) as conn:
            return claims.one(conn, segment_id)

    def known_segments(self, ids: Iterable[str]) -> set[str]:
        """Those of `ids` that were saved; the sweep may remove the files of the others."""
        with reading(self._engine) as conn:
            return claims.known(conn, list(ids))

    # ---- what people ask

    def trace(self, url: str) -> Trace | None:
        """The row of an address in any spelling. Raises UrlError when it is none and no person ever submitted it."""
        with reading(self._engine) as conn:
            return queries.trace(conn, url)

    def progress(self, source: str | None = None) -> Progress:
        with reading(self._engine) as conn:
            return queries.progress(conn, source)

    def waiting(self, source: str | None = None, *, until: datetime) -> Waiting:
        """How much can go on by `until`, and how much only later. Counts the open rows one by one: ask when nothing else moves."""
        with reading(self._engine) as conn:
            return queries.waiting(conn, source, until)

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
        """Counts of how addresses ended, added up by one or more of day, source, kind and outcome; newest day first."""
        with reading(self._engine) as conn:
            return queries.sum_counters(conn, by, since, until, source, limit, offset)

    def traces(self, *, outcome: Outcome | None = None, source: str | None = None, limit: int = 100, after: int = 0) -> list[Trace]:
        """Rows by id above `after`, for lists that page on: those that ended one way, those of one source, or all."""
        with reading(self._engine) as conn:
            return queries.traces(conn, outcome, source, limit, after)

    def listings(self, source: str, *, limit: int = 500) -> list[Trace]:
        """A source's feeds, sitemaps, sections and homepage, each with how it was read last."""
        with reading(self._engine) as conn:
            return queries.listings(conn, source, limit)

    def quarantined(self, *, limit: int = 100, after: int = 0) -> list[Trace]:
        """Rows in quarantine by id above `after`, with stage and reason (`detail`)."""
        with reading(self._engine) as conn:
            return queries.quarantined(conn, limit, after)

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
        """Open ended rows again: the named addresses, or all that ended one way. How many.

        A page whose archived bytes can be read again needs no network unless `refetch`; its earlier count is taken back.
        """
        keys = sorted({queries.key_of(url) for url in urls})
        with writing(self._engine) as conn:
            reopened_rows = sum(ledger_retry.retry_keys(conn, batch, now, refetch) for batch in ledger_links.batches(keys))
        last: int | None = 0
        while outcome is not None and last is not None:  # a commit per batch: others must get at the write lock in between
            with writing(self._engine) as conn:
                count, last = ledger_retry.retry_batch(conn, outcome, source, kind, last, now, refetch)
            reopened_rows += count
        return reopened_rows

    def discard(self, urls: Iterable[str], *, now: datetime) -> int:
        """Drop quarantined rows for good: outcome `discarded`. How many."""
        keys = sorted({queries.key_of(url) for url in urls})
        with writing(self._engine) as conn:
            return sum(ledger_retry.discard(conn, batch, now) for batch in ledger_links.batches(keys))
