"""The hosts of a run on a real ledger: leases are renewed, given back when idle, and never held twice."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from crawler.fetching.downloader import Downloader
from crawler.politeness.throttle import StopRequestedError, StopSignal
from crawler.spider_runs import spider_hosts
from crawler.spider_runs.spider_hosts import SpiderHost, SpiderHosts
from crawler.state.ledger_calls import LedgerCalls
from newsmill.model import Outcome, OutcomeRecord, Politeness, Source
from newsmill.network.address_guard import Guard
from newsmill.storage.database import connect
from newsmill.storage.ledger import Ledger

LEASE_SECONDS = 1.5
pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def ledger(url: str) -> Iterator[Ledger]:
    """On SQLite and on Postgres; the fixture `engine` of this folder is Scrapy's."""
    engine = connect(url)
    yield Ledger(engine)
    engine.dispose()


def now() -> datetime:
    return datetime.now(UTC)


async def refuse_connection(_: object) -> object:
    """Every host is down: its robots.txt cannot be fetched."""
    raise ValueError("no network in this test")


def make_hosts(ledger: Ledger, **politeness: float) -> SpiderHosts:
    calls = LedgerCalls(ledger, now, StopSignal(), lease_seconds=LEASE_SECONDS)
    source = Source("paper", spider="a:B", politeness=Politeness(delay=politeness.get("delay", 0.0)), robots=False)
    downloader = Downloader(refuse_connection, Guard(), "Newsmill/1", has_middlewares=True)  # type: ignore[arg-type]
    return SpiderHosts(calls, downloader, source, agent="Newsmill")


def save_empty_robots(ledger: Ledger, *names: str) -> None:
    """A robots.txt without rules, known to the ledger."""
    for name in names:
        ledger.hosts.lease_one(name, "earlier", seconds=60, now=now())
        ledger.hosts.save_robots(name, "earlier", status=404, body=b"", crawl_delay=None, now=now())
        ledger.hosts.release(name, "earlier", now=now())


async def test_a_host_that_is_waited_for_does_not_cost_the_leases_of_the_others(ledger: Ledger) -> None:
    save_empty_robots(ledger, "a.example", "b.example")
    assert ledger.hosts.lease_one("b.example", "another", seconds=60, now=now()) is not None
    hosts = make_hosts(ledger)
    maintenance = asyncio.ensure_future(hosts.maintain())
    first = await hosts.enter("https://a.example/")
    assert isinstance(first, SpiderHost)
    waiting = asyncio.ensure_future(hosts.enter("https://b.example/"))
    for _ in range(4):  # for two leases
        await asyncio.sleep(LEASE_SECONDS / 2)
        assert ledger.hosts.lease_one("a.example", "another", seconds=60, now=now()) is None
    ledger.hosts.release("b.example", "another", now=now())
    second = await waiting
    assert isinstance(second, SpiderHost) and hosts.waited_seconds > LEASE_SECONDS
    hosts.leave(first)
    hosts.leave(second)
    maintenance.cancel()
    await hosts.close()
    assert ledger.hosts.lease_one("a.example", "another", seconds=60, now=now()) is not None


async def test_a_host_whose_lease_has_ended_is_leased_again_before_the_next_request(ledger: Ledger) -> None:
    """As after a freeze of the process, in which no lease was renewed."""
    save_empty_robots(ledger, "a.example")
    hosts = make_hosts(ledger)
    host = await hosts.enter("https://a.example/")
    assert isinstance(host, SpiderHost)
    hosts.leave(host)
    await asyncio.sleep(LEASE_SECONDS + 0.1)
    assert ledger.hosts.lease_one("a.example", "another", seconds=60, now=now()) is not None
    assert not hosts.may_request("a.example") and hosts.may_request("b.example")
    waiting = asyncio.ensure_future(hosts.enter("https://a.example/2"))
    await asyncio.sleep(0.2)
    assert not waiting.done()
    ledger.hosts.release("a.example", "another", now=now())
    assert isinstance(await waiting, SpiderHost) and hosts.may_request("a.example")
    await hosts.close()


async def test_an_idle_host_is_given_back(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spider_hosts, "IDLE_SECONDS", 0.2)
    save_empty_robots(ledger, "a.example")
    hosts = make_hosts(ledger)
    maintenance = asyncio.ensure_future(hosts.maintain())
    host = await hosts.enter("https://a.example/")
    assert isinstance(host, SpiderHost)
    hosts.leave(host)
    while ledger.hosts.lease_one("a.example", "another", seconds=60, now=now()) is None:
        await asyncio.sleep(0.1)
    maintenance.cancel()
    await hosts.close()


async def test_the_crawl_gets_its_turn_on_a_host_that_is_used_for_long(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spider_hosts, "MAX_HOST_SECONDS", 0.0)
    save_empty_robots(ledger, "a.example")
    hosts = make_hosts(ledger)
    host = await hosts.enter("https://a.example/")
    assert isinstance(host, SpiderHost)
    hosts.leave(host)
    waiting = asyncio.ensure_future(hosts.enter("https://a.example/2"))
    while ledger.hosts.lease_one("a.example", "crawler", seconds=60, now=now()) is None:
        await asyncio.sleep(0.05)
    ledger.hosts.release("a.example", "crawler", now=now())
    assert isinstance(await waiting, SpiderHost)
    await hosts.close()


async def test_a_pause_of_the_host_is_kept_for_the_next_process(ledger: Ledger) -> None:
    save_empty_robots(ledger, "a.example")
    hosts = make_hosts(ledger)
    host = await hosts.enter("https://a.example/")
    assert isinstance(host, SpiderHost)
    hosts.leave(host)
    await hosts.record_failure(host, 600.0, is_rate_limit=True)
    await hosts.close()
    assert ledger.hosts.lease_one("a.example", "crawler", seconds=60, now=now()) is None
    assert ledger.hosts.lease_one("a.example", "crawler", seconds=60, now=now() + timedelta(seconds=601)) is not None


async def test_the_end_of_the_run_ends_every_wait(ledger: Ledger) -> None:
    assert ledger.hosts.lease_one("a.example", "another", seconds=60, now=now()) is not None
    hosts = make_hosts(ledger)
    waiting = [asyncio.ensure_future(hosts.enter(f"https://a.example/{number}")) for number in range(5)]
    await asyncio.sleep(0.3)
    hosts.calls.stop.event.set()
    results = await asyncio.gather(*waiting, return_exceptions=True)
    assert {type(result) for result in results} == {StopRequestedError}


async def test_a_host_that_is_down_refuses_without_asking_again(ledger: Ledger) -> None:
    hosts = make_hosts(ledger)
    for _ in range(3):
        refusal = await hosts.enter("https://a.example/")
        assert isinstance(refusal, OutcomeRecord) and refusal.outcome is Outcome.BAD_URL
    assert isinstance(await hosts.enter("https://[bad"), OutcomeRecord)
    await hosts.close()
