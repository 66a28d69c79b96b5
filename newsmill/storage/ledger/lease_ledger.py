"""The calls of the ledger that crawlers and workers make: leases of hosts and URLs, pushed listings, and segments with their pages.

**Fences.** A lease or claim comes with a number, the fence, and every write names it. The write of a process that lost its lease finds a
higher number and changes nothing. Every call may therefore be made twice, late, or at the same time by several processes.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from datetime import datetime

from sqlalchemy import Engine

from newsmill.exceptions import SlowCommitError
from newsmill.model import ClaimedPage, LeasedUrl, Outcome, Segment
from newsmill.search.indexer import PendingList, lemmatize_ahead
from newsmill.storage import websub
from newsmill.storage.database import reading, writing
from newsmill.storage.ledger import claims, fetch_leases, hosts
from newsmill.storage.ledger import results as ledger_results
from newsmill.storage.ledger.records import Ended, Fetched, HostLease, Postponed, Result
from newsmill.storage.publishers import PublisherOrder, find_order
from newsmill.storage.websub import Push

MAX_COMMIT_SECONDS = 5.0  # SQLite's other writers wait for it, and so do readers of changes; sixteen documents take 0.03 s
MAX_SINGLE_COMMIT_SECONDS = 30.0  # for one document; SQLite's writers give up after the same time (database.BUSY_SECONDS)


class LeaseLedger:
    """A part of `Ledger`; see there."""

    _engine: Engine
    _pending_list: PendingList

    # ---- hosts

    def lease_hosts(
        self, owner: str, *, limit: int, seconds: float, now: datetime, source: str | None = None, spiders: bool = False
    ) -> list[HostLease]:
        """Up to `limit` unleased hosts with due rows whose next_fetch_at has come; those first whose last lease is longest ago.

        With `source`, only hosts with due rows of that source. With `spiders`, only the runs of spiders (urls.make_spider_host), otherwise
        none of them.
        """
        with writing(self._engine) as conn:
            return hosts.lease(conn, owner, limit, seconds, now, source, spiders)

    def lease_host(self, host: str, owner: str, *, seconds: float, now: datetime) -> HostLease | None:
        """One host by name, with or without due rows: a redirect leads there. None while it is leased or paused."""
        with writing(self._engine) as conn:
            return hosts.lease_one(conn, host, owner, seconds, now)

    def find_pause(self, host: str, *, now: datetime) -> datetime | None:
        """Until when no request may be sent to a host; None: it is not paused."""
        with reading(self._engine) as conn:
            return hosts.find_pause(conn, host, now)

    def renew_hosts(self, owner: str, names: Iterable[str], *, seconds: float, now: datetime) -> set[str]:
        """Renew the leases of hosts and of their rows in progress. Returns the hosts still leased; stop fetching from the others."""
        with writing(self._engine) as conn:
            return hosts.renew(conn, owner, list(names), seconds, now)

    def release_host(
        self, host: str, owner: str, *, now: datetime, next_fetch_at: datetime | None = None, failures: int | None = None
    ) -> bool:
        """End the lease of a host; it is not leased before next_fetch_at. `failures` (None: unchanged) is for the next owner."""
        with writing(self._engine) as conn:
            return hosts.release(conn, host, owner, now, next_fetch_at, failures)

    def pause_host(self, host: str, owner: str, *, until: datetime | None, failures: int, now: datetime) -> bool:
        """Record the politeness state during the lease, so that Retry-After and backoff survive a crash."""
        with writing(self._engine) as conn:
            return hosts.pause(conn, host, owner, until, failures, now)

    def save_robots(
        self, host: str, owner: str, *, status: int | None, body: bytes | None, crawl_delay: float | None, now: datetime
    ) -> bool:
        """Store robots.txt for the next owner of the host. `status` None: unreachable."""
        with writing(self._engine) as conn:
            return hosts.save_robots(conn, host, owner, status, body, crawl_delay, now)

    # ---- fetches

    def lease_urls(self, host: str, owner: str, *, limit: int, seconds: float, now: datetime, source: str | None = None) -> list[LeasedUrl]:
        """Up to `limit` due rows of a leased host (of one source, if given), by rank, then by due time.

        Empty when the host's lease has ended.
        """
        with writing(self._engine) as conn:
            return fetch_leases.lease(conn, host, owner, limit, seconds, now, source)

    def save_segment(self, segment: Segment, rows: Sequence[Fetched], *, now: datetime) -> int:
        """Record a segment and make its rows `fetched`, in one commit. Call it when the file is on disk. Returns the rows changed."""
        with writing(self._engine) as conn:
            return fetch_leases.save_segment(conn, segment, rows, now)

    def find_awaited_rows(self, rows: Sequence[tuple[int, int]]) -> set[int]:
        """Of rows (id, fence), the ids that were not leased again, saved or ended since: their pages can still be saved."""
        with reading(self._engine) as conn:
            return fetch_leases.find_awaited_rows(conn, rows)

    def end(self, endings: Sequence[Ended], *, now: datetime) -> int:
        """Give leased rows their outcomes and count them, in one commit. Returns the rows changed.

        A row under a revisit keeps its outcome; what the revisit showed is noted (`revisits`).
        """
        with writing(self._engine) as conn:
            return fetch_leases.end(conn, endings, now)

    def postpone(self, rows: Sequence[Postponed], *, now: datetime) -> int:
        """Make leased rows due at a later time. Returns the rows changed."""
        with writing(self._engine) as conn:
            return fetch_leases.postpone(conn, rows, now)

    def publisher_order(self, host: str) -> PublisherOrder | None:
        """The order of the owner of a host. Look before each request: it is obeyed from the next one on."""
        with reading(self._engine) as conn:
            return find_order(conn, host)

    def release_urls(self, rows: Sequence[LeasedUrl], *, now: datetime) -> int:
        """Release leased rows that were not tried (a clean stop): due at once, no attempt counted."""
        with writing(self._engine) as conn:
            return fetch_leases.release(conn, rows, now)

    def expire_leases(self, *, now: datetime) -> int:
        """Rows whose crawler died while fetching are due again."""
        with writing(self._engine) as conn:
            return fetch_leases.expire(conn, now)

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
            changed = fetch_leases.end(conn, [ended], now)  # first: like `receive`, it locks the listing before its pushes
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
        lemmatize_ahead(result.reading.document for result in results)
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
            return claims.list_pending_segments(conn, now, limit)

    def segment(self, segment_id: str) -> Segment | None:
        """The segment (without offsets) as it was saved."""
        with reading(self._engine) as conn:
            return claims.get_segment(conn, segment_id)

    def known_segments(self, ids: Iterable[str]) -> set[str]:
        """Those of `ids` that were saved; the files of the others can be deleted."""
        with reading(self._engine) as conn:
            return claims.filter_known_segments(conn, list(ids))
