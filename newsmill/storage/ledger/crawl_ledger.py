"""The calls of the ledger that the crawler makes: hosts, fetches and pushed listings."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime

from sqlalchemy import Engine

from newsmill.model import LeasedUrl, Segment
from newsmill.storage import websub
from newsmill.storage.database import reading, writing
from newsmill.storage.ledger import fetch_leases, hosts
from newsmill.storage.ledger.records import Ended, Fetched, HostLease, Postponed
from newsmill.storage.publishers import PublisherOrder, find_order
from newsmill.storage.websub import Push


class CrawlLedger:
    """A part of `Ledger`; see there."""

    _engine: Engine

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
