"""Workers off: the crawler may get no further ahead than its high-water mark, and must not grow while it waits."""

from __future__ import annotations

import resource
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from chaos.installation import Installation, Plan
from chaos.site import World, requests

WARMUP_SHARE = 0.25  # of the time, after which memory is measured for the first time
MAX_BACKLOG_FACTOR = 1.05  # of the high-water mark
MAX_MEMORY_FACTOR = 1.10  # of the first measurement


@dataclass(frozen=True)
class Backlog:
    """The measurements. Memory in MB."""

    high_water: int
    most: int
    early: float
    late: float
    fetched: int
    idle: int  # requests in the second half of the time

    @property
    def good(self) -> bool:
        return self.most <= self.high_water * MAX_BACKLOG_FACTOR + 1 and self.late <= self.early * MAX_MEMORY_FACTOR and self.fetched > 0

    def lines(self) -> Iterator[str]:
        late = f"requests {self.fetched}, {self.idle} in the second half"
        yield f"high-water mark {self.high_water} segments, most waiting {self.most}; {late}"
        yield f"crawler's memory {self.early:.0f} MB early, {self.late:.0f} MB at the end ({self.late / self.early - 1:+.1%})"


def backlog(world: World, plan: Plan, seconds: float) -> Backlog:
    """Run an installation without workers for that time."""
    with (
        tempfile.TemporaryDirectory(prefix="nm-chaos-", dir="/tmp", ignore_cleanup_errors=True) as folder,
        Installation(Path(folder), world, plan) as installation,
    ):
        while not installation.requests.exists() or not requests(installation.requests):
            installation.tend()
            time.sleep(0.2)
        began, most, early, half = time.monotonic(), 0, 0.0, 0
        while (passed := time.monotonic() - began) < seconds:
            installation.tend()
            most = max(most, len(installation.ledger.segments.list_pending(now=datetime.now(UTC), limit=100_000)))
            early = early or (_memory(installation) if passed > seconds * WARMUP_SHARE else 0.0)
            half = half or (requests(installation.requests).total() if passed > seconds / 2 else 0)
            time.sleep(0.5)
        request_counts = requests(installation.requests).total()
        return Backlog(plan.high_water, most, early, _memory(installation), request_counts, request_counts - half)


def _memory(installation: Installation) -> float:
    (pid,) = installation.running("crawler")
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 1e6
