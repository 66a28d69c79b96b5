"""Cost of a hostile site, and its effect on other sites. For every attack: the outcome, seconds, memory, and the delay of other sites.

    python benchmarks/hostile.py [--only read|crawl] [--sites 6] [--pages 60]

`read`: bodies that make a parser crash, hang or use much memory, each in the sandbox of the worker. `crawl`: the real crawler, workers and
scheduler on normal sites, once alone and once beside a hostile site. The log of the normal sites gives the time between requests.
Exits with 1 if a process exceeds 512 MB, a page takes longer than 30 s, or the p95 of the normal sites grows to more than 1.2 times.
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent / "tests")]  # the worlds of the tests; before this folder, because its chaos.py has the same name

if __name__ == "__main__":  # a child imports this file too, and its memory would count for the page
    from chaos.bodies import bodies
    from chaos.hostile import Peaks, neighbours

from newsmill.model import ExtractionResult, Page  # noqa: E402
from newsmill.sandbox.pages import Sandbox, SandboxCrash  # noqa: E402

MEMORY = 512.0  # maximum MB of any process
SECONDS = 30.0  # seconds for one page
SLOWER = 1.2  # maximum factor of the p95 of the normal sites


@dataclass(frozen=True)
class Cost:
    name: str
    ending: str
    seconds: float
    megabytes: float  # peak of the child, including start-up

    @property
    def good(self) -> bool:
        return self.seconds <= SECONDS + 1 and self.megabytes <= MEMORY


def read_all() -> Iterator[Cost]:
    """Read each body in a new child process, so that each has its own peak."""
    for name, headers, body in bodies():
        url = "https://hostile.example/2026/11/25/a-headline-of-some-length-12345"
        page = Page(url, url, datetime.now(UTC), 200, headers, body)
        with Sandbox() as box:
            box.start()
            with Peaks([box.child.pid or 0]) as peaks:
                began = time.monotonic()
                answer = box.read(page)
                took = time.monotonic() - began
        ending = f"death: {answer.reason}" if isinstance(answer, SandboxCrash) else _ending(answer)
        yield Cost(name, ending, took, max(peaks.megabytes.values()))


def _ending(reading: ExtractionResult) -> str:
    words = len(reading.document.text.split()) if reading.document else 0
    return f"{reading.ending.outcome}{f', {words} words' if words else ''}{f' ({reading.ending.detail})' if reading.ending.detail else ''}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=("read", "crawl"))
    parser.add_argument("--sites", type=int, default=6)
    parser.add_argument("--pages", type=int, default=60, help="articles of each honest site")
    options = parser.parse_args()
    print(f"{time.strftime('%Y-%m-%d')}, {os.cpu_count()} cores, Python {platform.python_version()}")
    good = True
    if options.only != "crawl":
        costs = []
        for cost in read_all():
            costs.append(cost)
            print(
                f"{'' if cost.good else 'OVER '}{cost.name:34} {cost.seconds:6.2f} s {cost.megabytes:6.0f} MB  {cost.ending[:90]}",
                flush=True,
            )
        print(f"{len(costs)} bodies: at most {max(c.seconds for c in costs):.1f} s, {max(c.megabytes for c in costs):.0f} MB")
        good = all(cost.good for cost in costs)
    if options.only != "read":
        before = neighbours(options.sites, options.pages, hostile=False)
        beside = neighbours(options.sites, options.pages, hostile=True)
        after = neighbours(options.sites, options.pages, hostile=False)  # measured again, because the load of the machine may have changed
        for name, seen in (("alone", before), ("beside a hostile site", beside), ("alone again", after)):
            print("\n".join(seen.lines(name)), flush=True)
        slower = beside.p95 / max(before.p95, after.p95)
        print(f"p95 between two requests to an honest site: {slower:.2f} times")
        good = good and slower <= SLOWER and max(beside.megabytes.values()) <= MEMORY and beside.stored >= before.stored
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
