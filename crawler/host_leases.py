"""The hosts this process holds: leased with a visit, or borrowed because a redirect leads there; and how each is to be treated."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING

from crawler.host_worker import Visit
from crawler.robots import Answer
from crawler.throttle import Manners, Stopping
from newsmill.storage.ledger import HostLease

if TYPE_CHECKING:
    from crawler.frontier import Crawl

log = logging.getLogger(__name__)

GRACE = 5.0  # seconds that requests in flight have after SIGTERM; `docker stop` kills after ten
REMEMBERED = 10_000  # hosts whose manners stay in memory
LARGE_ROBOTS = 65_536  # characters of a robots.txt; 99 of 100 honest ones are shorter
MAX_ROBOTS = 4_000_000  # characters of all in memory; the worst, one short rule for each name, takes 32 bytes for each


class Held:
    """Leases hosts, keeps the leases alive, and runs one Visit for each."""

    def __init__(self, crawl: Crawl, most: int, lease_seconds: float) -> None:
        self.crawl = crawl
        self.most = most
        self.lease_seconds = lease_seconds
        self.visits: dict[str, tuple[Visit, asyncio.Task[None]]] = {}
        self.borrowed: Counter[str] = Counter()  # and by how many errands
        self._manners: dict[str, Manners] = {}

    def manners(self, host: str) -> Manners:
        """The one politeness of a host in this process, whether it is leased or only redirected to."""
        if host not in self._manners:
            if len(self._manners) >= REMEMBERED:
                self._manners = {name: it for name, it in self._manners.items() if name in self}
            self._manners[host] = Manners(host, self.crawl.agent, self.crawl.stop)
        return self._manners[host]

    def __contains__(self, host: str) -> bool:
        return host in self.visits or host in self.borrowed

    def _forget_large(self, host: str) -> None:
        """Of many large robots.txt, none is kept in memory between two visits, for 10,000 hosts may have one; the ledger has it."""
        manners = self._manners.get(host)
        if host in self or manners is None or manners.robots is None or manners.robots.size <= LARGE_ROBOTS:
            return
        if sum(other.robots.size for other in self._manners.values() if other.robots is not None) > MAX_ROBOTS:
            del self._manners[host]

    # ---- leased

    async def lease(self) -> int:
        """Lease hosts with due work, as many as there is room for, and begin their visits. How many."""
        crawl, free = self.crawl, self.most - len(self.visits)
        if free <= 0:
            return 0
        leases = await crawl.sql(lambda now: crawl.ledger.lease_hosts(crawl.owner, limit=free, seconds=self.lease_seconds, now=now))
        for lease in leases:
            if lease.host in self.visits:  # ours until the clock jumped over the lease's end, and ours again
                continue
            visit = Visit(crawl, lease)
            task = asyncio.ensure_future(visit.run())
            self.visits[lease.host] = visit, task
            task.add_done_callback(partial(self._ended, lease.host))
        return len(leases)

    def _ended(self, host: str, task: asyncio.Task[None]) -> None:
        if host in self.visits and self.visits[host][1] is task:  # the host may have been leased again in the same breath
            del self.visits[host]
            self._forget_large(host)
        if not self.visits:
            self.crawl.writer.hurry()
        if not task.cancelled() and (error := task.exception()) is not None and not isinstance(error, Stopping):
            log.error("the visit to %s failed", host, exc_info=error)

    async def renew(self) -> None:
        """Prolong all leases; a visit whose host is no longer ours ends at once."""
        crawl, held = self.crawl, {*self.visits, *self.borrowed}
        if not held:
            return
        ours = await crawl.sql(lambda now: crawl.ledger.renew_hosts(crawl.owner, held, seconds=self.lease_seconds, now=now))
        for host in (held - ours) & self.visits.keys():
            log.warning("lost the lease on %s", host)
            visit, task = self.visits[host]
            visit.lost = True
            task.cancel()

    async def end(self) -> None:
        """Let requests in flight end for a few seconds; then every visit gives back what it has."""
        tasks = [task for _, task in self.visits.values()]
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=GRACE)
            for task in late:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    # ---- borrowed

    async def borrow(self, host: str) -> HostLease | None:
        """Hold a host that a redirect leads to, so that no other crawler asks it meanwhile; None when another does. Give it back."""
        crawl, lease = self.crawl, None
        if host not in self:
            lease = await crawl.sql(lambda now: crawl.ledger.lease_host(host, crawl.owner, seconds=self.lease_seconds, now=now))
            if lease is None and host not in self:
                return None
        self.borrowed[host] += 1
        return lease or HostLease(host, 0)

    async def give_back(self, host: str) -> None:
        """The last errand that leaves a borrowed host releases it, unless a visit has it."""
        self.borrowed[host] -= 1
        if self.borrowed[host] > 0:
            return
        del self.borrowed[host]
        if host not in self.visits:
            crawl, wait = self.crawl, timedelta(seconds=self.manners(host).free_in)
            self._forget_large(host)
            await crawl.sql(lambda now: crawl.ledger.release_host(host, crawl.owner, now=now, next_fetch_at=now + wait))

    async def save_robots(self, manners: Manners, answer: Answer) -> None:
        """Keep a robots.txt with its host, for the next process that holds it."""
        crawl, status, body = self.crawl, answer.status, answer.body
        delay = None if manners.robots is None else manners.robots.crawl_delay(crawl.agent)
        await crawl.sql(
            lambda now: crawl.ledger.save_robots(manners.host, crawl.owner, status=status, body=body, crawl_delay=delay, now=now)
        )
