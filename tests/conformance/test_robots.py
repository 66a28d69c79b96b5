"""robots.txt decisions against the suites of Google's reference parser and of protego; `pytest -s` shows the tables."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import rates
from rates import Result

from newsmill.discovery.robots import RobotsTxt

# Google marks these as its own, beyond RFC 9309: it does not percent-encode the URL, nor decode "%62" in a rule,
# which section 2.2.2 of the RFC wants. Newsmill asks about URLs in normal form only.
NOT_PORTABLE = frozenset({"google/ID_Encoding/3", "google/ID_Encoding/5", "google/ID_Encoding/6"})


def decisions(shared: Path, suite: str) -> Iterator[Result]:
    for case in rates.cases(shared, "robots", suite):
        if case["id"] in NOT_PORTABLE:
            continue
        robots = RobotsTxt.parse(case["robots"].encode())
        match case.get("method", "can_fetch"):
            case "can_fetch":
                yield Result("may be fetched", robots.can_fetch(case["url"], case["agent"]) == case["allowed"], case["id"])
            case "sitemaps":
                yield Result("sitemaps", list(robots.sitemaps) == case["result"], case["id"])
            case "crawl_delay" | "request_rate" as method:
                yield Result(method, robots.crawl_delay(case["args"][0]) == seconds(case["result"]), case["id"])


def seconds(result: object) -> float | None:
    """A delay as recorded: a number, or protego's `RequestRate(requests=1, seconds=10, …)`, which is one request in ten seconds."""
    if isinstance(result, str):
        requests, period = (float(part.partition("=")[2]) for part in result.removeprefix("RequestRate(").split(", ")[:2])
        return period / requests
    return None if result is None else float(str(result))


@pytest.mark.parametrize("suite", ["google", "protego"])
def test_robots_decisions(shared: Path, suite: str) -> None:
    rates.check(f"robots.txt: {suite}", decisions(shared, suite), 1.0)
