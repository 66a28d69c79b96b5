"""How much CPU time a page may use: little in its first attempt, all of its limit once other pages do not have to wait for it.

A page that loops uses 20 s of CPU in each of three attempts; an ordinary page uses 0.05 s. With short first attempts and deferred pages,
10,000 good pages use 123.8 s of CPU with 100 harmful pages among them and 123.7 s without
(`benchmarks/chaos.py --seed 451 --kills 0 --pages 10000 --cpu 5`, then with `--poison 100 --kinds segv,allocate,loop,attributes`).
CPU time counts, not wall time, because a busy machine makes no page longer.
"""

from __future__ import annotations

from dataclasses import dataclass

from newsmill.model import Page

# Of 900 pages of other people's collections one takes longer, by half; on average they take a tenth of it.
FIRST_ATTEMPT_SECONDS = 0.1
FIRST_ATTEMPT_SECONDS_PER_MB = 2.0  # of HTML
COMPRESSION_RATIO = 8  # assumed of a compressed page; text shrinks to a fourth or a seventh
MAX_HTML_BYTES = 5 << 20  # what is larger is refused unread (`extraction.pipeline.MAX_HTML`)

CPU_BUDGET_SHARE = 0.05  # of a worker's time, for deferred pages while other pages wait
MAX_CPU_BUDGET_SECONDS = 40.0


def first_attempt_seconds(page: Page) -> float:
    """Seconds of CPU for the first attempt at a page, by its size."""
    size = len(page.body) * (COMPRESSION_RATIO if page.header("Content-Encoding") else 1)
    return round(FIRST_ATTEMPT_SECONDS + FIRST_ATTEMPT_SECONDS_PER_MB * min(size, MAX_HTML_BYTES) / 2**20, 2)


@dataclass
class CpuBudget:
    """The seconds a worker may spend on deferred pages, so that they are tried even if the queue is never empty."""

    seconds: float = 0.0

    def earn(self, elapsed: float) -> None:
        """Add the share of `elapsed` seconds."""
        self.seconds = min(MAX_CPU_BUDGET_SECONDS, self.seconds + CPU_BUDGET_SHARE * elapsed)

    def covers(self, seconds: float) -> bool:
        """Whether an attempt of that length can be paid."""
        return self.seconds >= seconds

    def spend(self, seconds: float) -> None:
        """Subtract `seconds`; the budget may become negative."""
        self.seconds -= seconds
