"""Cost of facets, timelines and unusual terms in a database that growth.py has filled.

    python benchmarks/search_counts.py --database URL [--size 100000] [--seconds 1000]

The queries are the 20 kinds of growth.py, 12 of each, without those of an order. CPU is that of this process and of the sessions of a local
Postgres, in milliseconds. Every count is made three times, and the lowest cost counts. `complete` is the share of results that hold all
matches. `--seconds 1000` sets no time limit: Postgres's limits are of elapsed time, which other load on the machine consumes.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from typing import Any

from growth import TRIES, at, make_queries
from search_page import sessions
from sqlalchemy import Connection, func, select

from newsmill.search import unusual_terms
from newsmill.search.counts import choose_period, count_facets, count_timeline
from newsmill.search.positions import to_time
from newsmill.storage import database
from newsmill.storage.database import reading
from newsmill.storage.schema import search_entries
from newsmill.web.pages.explore import COUNT_SECONDS
from newsmill.web.pages.search import MAX_QUERY_SECONDS


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--database", required=True)
    parser.add_argument("--size", type=int, default=100_000)
    parser.add_argument("--seconds", type=float, help="the time limit of each count (default: those of the pages)")
    options = parser.parse_args()
    engine = database.connect(options.database)
    with reading(engine) as conn:
        now = to_time(conn.execute(select(func.max(search_entries.c.moment))).scalar_one())
    queries = [query for kind in make_queries(options.size).values() for query, how in kind if not how]
    days = [("facets", None), ("timeline of 30 days", 30), ("timeline of a year", 365), ("timeline of ten years", 3652)]
    print(f"{'':<28}{'p50':>8}{'p95':>8}{'slowest':>9}{'complete':>10}")
    with engine.execution_options(isolation_level="AUTOCOMMIT").connect() as watcher:
        for name, length in days:
            results = []
            for query in queries:
                period = choose_period("", now, days=length or 30)

                def count(query: str = query, period: Any = period, length: int | None = length) -> bool:
                    if length is None:
                        return count_facets(engine, query, seconds=options.seconds or MAX_QUERY_SECONDS).is_complete
                    seconds = MAX_QUERY_SECONDS if length == 30 else COUNT_SECONDS / 2
                    return count_timeline(engine, query, period, seconds=options.seconds or seconds).is_complete

                results.append(spent(watcher, count))
            report(name, results)
        for language in ("en", "de", "zh"):
            report(f"unusual terms, {language}", [spent(watcher, lambda code=language: bool(unusual(engine, now, code)), tries=1)])
    engine.dispose()


def unusual(engine: database.Engine, now: Any, language: str) -> int:
    unusual_terms._find_cached.cache_clear()
    found = unusual_terms.find_unusual_terms(engine, now, language)
    return found.documents


def spent(watcher: Connection, call: Callable[[], bool], tries: int = TRIES) -> tuple[float, bool]:
    """Return the CPU ms of one call, and its result."""
    found, costs = call(), []  # the first call prepares statements
    for _ in range(tries):
        before, began = sessions(watcher), time.process_time()
        found = call()
        ours, after = time.process_time() - began, sessions(watcher)
        costs.append(1000 * ours + sum(after[pid] - before.get(pid, after[pid]) for pid in after) / 1e6)
    return min(costs), found


def report(name: str, results: list[tuple[float, bool]]) -> None:
    costs = sorted(cost for cost, _ in results)
    complete = sum(is_complete for _, is_complete in results) / len(results)
    print(f"{name:<28}{at(costs, 50):>8.1f}{at(costs, 95):>8.1f}{costs[-1]:>9.1f}{complete:>10.0%}", flush=True)


if __name__ == "__main__":
    main()
