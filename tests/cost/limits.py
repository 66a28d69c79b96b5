"""What a page may cost, in numbers that do not depend on the machine or its load.

A change that costs more raises the limit in the same commit and says why; one that saves lowers it. A count does not vary, and its limit is
at most 5 % above it. A ratio of CPU times varies by some per cent with what else runs on the machine; its limit is 15 to 20 % above.
"""

from __future__ import annotations

from collections.abc import Mapping

LIMITS = {
    # CPU of the page reader divided by that of `trafilatura.bare_extraction` on the same pages
    "reader, unknown sites": 1.2,
    "reader, known sites": 0.52,
    # function calls of the page reader, for each page
    "reader calls, unknown sites": 76_600,
    "reader calls, known sites": 17_000,
    # machine instructions of the page reader for a page of the sample newspaper, counted each night (reader_instructions.py)
    "reader, million instructions": 43,
    # of a worker, for each new document
    "statements, sqlite": 0.78,
    "statements, postgresql": 0.69,
    "store calls, sqlite": 1890,
    "store calls, postgresql": 3000,
    "splits into words, sqlite": 9,
    "splits into words, postgresql": 9,
    "fingerprints, sqlite": 1,
    "fingerprints, postgresql": 1,
    # of a process when it starts: modules loaded and regular expressions compiled
    "modules, health": 252,
    "patterns, health": 54,
    "modules, status": 410,
    "patterns, status": 89,
    "modules, crawl": 620,
    "patterns, crawl": 175,
    "modules, worker": 559,
    "patterns, worker": 144,
    "modules, crawler": 804,
    "patterns, crawler": 200,
    "modules, page readers": 620,
    "patterns, page readers": 490,
}


def find_excess(costs: Mapping[str, float]) -> dict[str, float]:
    """The costs that are above their limit. All are printed, for who changes a limit."""
    print(*(f"{name}: {cost:g} of {LIMITS[name]:g}" for name, cost in costs.items()), sep="\n")
    return {name: cost for name, cost in costs.items() if cost > LIMITS[name]}
