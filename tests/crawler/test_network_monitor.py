"""An outage of the crawler's own network costs neither attempts nor hours, and a site that is gone never looks like one."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from fake_site import Farm
from sqlalchemy import update
from world import World, now

from crawler.state import network_monitor
from crawler.state.network_monitor import MIN_FAILED_SITES, UNANSWERED, NetworkMonitor
from newsmill.model import Outcome, OutcomeRecord, State
from newsmill.storage.database import writing
from newsmill.storage.schema import hosts

LOST = OutcomeRecord(Outcome.DNS, "no results")
MINUTE = timedelta(minutes=1)


def fail(monitor: NetworkMonitor, count: int, failure: OutcomeRecord = LOST, *, has_answered: bool = True) -> list[timedelta | None]:
    return [monitor.record_failure(f"https://www.site{n}.example/a", failure, has_answered=has_answered) for n in range(count)]


@pytest.mark.parametrize("outcome", sorted(UNANSWERED))
def test_several_sites_that_fail_in_a_row_are_an_outage(outcome: Outcome, caplog: pytest.LogCaptureFixture) -> None:
    monitor = NetworkMonitor()
    assert fail(monitor, 7, OutcomeRecord(outcome, "why", may_pass=True)) == [*[None] * (MIN_FAILED_SITES - 1), MINUTE, MINUTE, MINUTE]
    monitor.record_answer()
    assert fail(monitor, 1) == [None]
    assert [record.message.partition(":")[0] for record in caplog.records] == [
        "the network does not answer",
        "the network answers again",
    ]


def test_what_is_not_an_outage() -> None:
    monitor = NetworkMonitor()
    assert fail(monitor, 100, has_answered=False) == [None] * 100, "a list of dead URLs"
    assert [monitor.record_failure(f"https://host{n}.site.example/", LOST, has_answered=True) for n in range(100)] == [None] * 100, (
        "one site"
    )
    for outcome in {*Outcome} - UNANSWERED | {Outcome.SSRF_BLOCKED}:
        assert fail(NetworkMonitor(), 9, OutcomeRecord(outcome, "why")) == [None] * 9
    for _ in range(9):
        assert fail(monitor, MIN_FAILED_SITES - 2) == [None] * (MIN_FAILED_SITES - 2)
        monitor.record_answer()


def test_the_wait_grows_with_the_outage(monkeypatch: pytest.MonkeyPatch) -> None:
    monitor, clock = NetworkMonitor(), [1000.0]
    monkeypatch.setattr(network_monitor.time, "monotonic", lambda: clock[0])
    waits = []
    for seconds in (0, 1000, 100_000):
        clock[0] += seconds
        waits.append(fail(monitor, 9)[-1])
    assert waits == [MINUTE, timedelta(seconds=100), timedelta(minutes=10)]


# A settings module of the crawler: every name is `ip`, and unknown while the file `outage` exists.
RESOLVER = """
import pathlib, socket

def lookup(host, port, *rest):
    if pathlib.Path({outage!r}).exists():
        raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")
    return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ({ip!r}, port))]

socket.getaddrinfo = lookup
"""


def test_a_crawl_without_network_goes_on_when_it_is_back(sites: Farm, world: World) -> None:
    """During the crawl, and at the start of the next one, when each robots.txt is read again."""
    site, outage = sites.site(), world.data / "outage"
    names = [f"http://site{n}.example:{site.port}" for n in range(9)]
    closing = {"Connection": "close"}  # a connection that is kept needs no name
    site.robots("User-agent: *\nDisallow:\n", headers=closing)
    paths = ("/first", "/second", "/third")
    for path in paths:
        site.page(path, "<p>x", headers=closing)
    (world.data / "config").mkdir()
    (world.data / "config" / "resolver_of_tests.py").write_text(RESOLVER.format(outage=str(outage), ip=site.ip))
    how: dict[str, Any] = {"config": str(world.data / "config"), "scrapy_settings": "resolver_of_tests", "delay": 0.0}
    how |= {"patch": {"crawler.state.network_monitor.MIN_WAIT_SECONDS": 1.0}}

    def count_fetched(path: str) -> int:
        return sum(world.trace(name + path).state is State.FETCHED for name in names)

    def submit_all(path: str) -> None:
        world.submit(*(name + path for name in names))

    def wait_for_outage(count: int, path: str) -> None:
        """An outage begins and ends; all sites go on, but for those by which it was recognised."""
        world.wait(lambda: world.log().count("the network does not answer") == count)
        outage.unlink()
        world.wait(lambda: count_fetched(path) >= len(names) - MIN_FAILED_SITES + 1)
        world.wait(lambda: world.log().count("the network answers again") == count)

    with world.crawler(**how):
        submit_all("/first")
        world.wait(lambda: count_fetched("/first") == len(names))
        outage.touch()
        submit_all("/second")
        wait_for_outage(1, "/second")
    with writing(world.engine) as conn:
        conn.execute(update(hosts).values(robots_fetched_at=now() - timedelta(days=1), next_fetch_at=None, failures=0))
    outage.touch()
    submit_all("/third")
    with world.crawler(**how):
        wait_for_outage(2, "/third")
    assert {trace.attempts for trace in world.rows() if trace.state is State.DUE} <= {0, 1}
