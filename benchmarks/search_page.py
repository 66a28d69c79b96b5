"""Cost of a search page for the server in a database that growth.py has filled, and how many of the chart's days it has time to count.

    python benchmarks/search_page.py --database URL [--size 1000000] [--seconds 0.07] [--csv FILE]

The queries are the 20 kinds of growth.py, 12 of each, requested as by a browser, without a socket: results, chart, sources and markup.
CPU is that of this process and of the sessions of a local Postgres (Linux: /proc/PID/schedstat), in milliseconds. Every page is requested
three times, and the lowest cost counts. `days` is the median number of days in the chart, at most 30. `--seconds 1000` counts everything.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from growth import TRIES, at, make_queries
from sqlalchemy import Connection, func, select, text
from starlette.testclient import TestClient

from newsmill.context import build_context
from newsmill.search.positions import to_time
from newsmill.storage import database
from newsmill.storage.database import reading
from newsmill.storage.schema import search_entries
from newsmill.web.config import WebConfig
from newsmill.web.pages import search
from newsmill.web.server import create_app


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--database", required=True)
    parser.add_argument("--size", type=int, default=1_000_000)
    parser.add_argument("--seconds", type=float, default=search.MAX_QUERY_SECONDS)
    parser.add_argument("--csv", type=Path, help="a line per page: kind, query, ours, database, days")
    options = parser.parse_args()
    search.MAX_QUERY_SECONDS = options.seconds
    engine = database.connect(options.database)
    with reading(engine) as conn:
        newest = to_time(conn.execute(select(func.max(search_entries.c.moment))).scalar_one())
    with tempfile.TemporaryDirectory(prefix="newsmill-pages-") as folder:
        context = build_context(engine, str(Path(folder) / "archive"), now=lambda: newest)
        del sys.modules["__main__"].__file__  # otherwise a child runs this file first; the main file of `newsmill web` has three lines
        app, watching = create_app(context, WebConfig(rate=1_000_000)), engine.execution_options(isolation_level="AUTOCOMMIT").connect()
        with watching as watcher, TestClient(app, base_url="http://127.0.0.1:8470") as client:
            rows = [
                (kind, query, *page(watcher, client, query, how))
                for kind, queries in make_queries(options.size).items()
                for query, how in queries
            ]
    engine.dispose()
    report(rows)
    if options.csv:
        options.csv.write_text("".join("\t".join(map(str, row)) + "\n" for row in rows))


def page(watcher: Connection, client: TestClient, query: str, how: dict[str, Any]) -> tuple[float, float, int]:
    """Return CPU ms of this process and of the database, and the counted days of the chart: 30 if the page has no chart."""
    tries = []
    for _ in range(TRIES + 1):  # the first request loads modules and data
        before, began = sessions(watcher), time.process_time()
        answer = client.get("/search", params={"q": query, **how}, headers={"accept-encoding": "identity", "accept-language": "en"})
        ours = time.process_time() - began
        after = sessions(watcher)
        days = 30 - answer.text.count('<g class="uncounted">')
        tries.append((1000 * ours, sum(after[pid] - before.get(pid, after[pid]) for pid in after) / 1e6, days))
    return min(tries[1:], key=lambda one: one[0] + one[1])


_SESSIONS = text("SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()")


def sessions(watcher: Connection) -> dict[int, int]:
    """Return the CPU nanoseconds of each session of the database except `watcher`; empty for SQLite."""
    if watcher.dialect.name != "postgresql":
        return {}
    pids = watcher.execute(_SESSIONS).scalars().all()
    return {pid: int(Path(f"/proc/{pid}/schedstat").read_text().split()[0]) for pid in pids}


def report(rows: list[tuple[str, str, float, float, int]]) -> None:
    print(f"{'kind':<36}{'p50':>8}{'p95':>8}{'slowest':>8}{'days':>6}")
    kinds = list(dict.fromkeys(row[0] for row in rows))
    for kind in [*kinds, "all"]:
        some = [row for row in rows if kind in (row[0], "all")]
        spent, days = sorted(row[2] + row[3] for row in some), sorted(row[4] for row in some)
        print(f"{kind:<36}{at(spent, 50):>8.1f}{at(spent, 95):>8.1f}{spent[-1]:>8.1f}{days[len(days) // 2]:>6}")


if __name__ == "__main__":
    main()
