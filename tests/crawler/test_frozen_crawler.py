"""A crawler that is frozen for longer than its leases sends nothing to the hosts that another crawler holds by then."""

from __future__ import annotations

import signal
import time
from functools import partial
from typing import Any

import pytest
from fake_site import Farm
from world import World, now

from crawler.network.header_limit import CappedProtocol
from crawler.politeness.publisher_orders import LEASE_CHECKS
from crawler.politeness.throttle import LeaseLostError

DELAY = 0.5
LEASE_SECONDS = 1.5
TOLERANCE = 0.05  # seconds; two processes send, and one thread reads
HOSTS = 6  # each is a chance to see a request of the woken crawler


def test_two_crawlers_keep_the_delay_of_a_host_after_one_was_frozen(sites: Farm, world: World) -> None:
    farm = [sites.site() for _ in range(HOSTS)]
    world.submit(*(site.article(f"/{n}") for site in farm for n in range(200)))
    crawlers = [world.start(lease_seconds=LEASE_SECONDS, delay=DELAY) for _ in range(2)]
    world.wait(lambda: all(world.alive(crawler) for crawler in crawlers) and all(len(site.log) >= 2 for site in farm))

    def has_served(requests: list[int]) -> bool:
        """Whether all hosts were asked twice more, those too that the frozen crawler held."""
        world.ledger.url_leases.expire(now=now())  # the scheduler's work
        return all(len(site.log) >= count + 2 for site, count in zip(farm, requests, strict=True))

    for frozen in (*crawlers, crawlers[0]):
        frozen.freeze(world.database_url)
        time.sleep(LEASE_SECONDS)
        world.wait(partial(has_served, [len(site.log) for site in farm]))
        frozen.send_signal(signal.SIGCONT)
        time.sleep(2 * DELAY)
    assert [world.stop(crawler) for crawler in crawlers] == [0, 0], world.log()
    short = [gap for site in farm for gap in site.gaps() if gap < DELAY - TOLERANCE]
    assert len(short) <= 1, short  # the signal may arrive between the check of a lease and the call that sends: no program can prevent one


def test_no_request_is_written_to_a_connection_after_the_lease_of_its_host(engine: Any, sites: Farm) -> None:
    """The lease ends while the connection is made, after every other check."""
    site, other = sites.site(), sites.site()
    page, redirecting = site.article("/a"), other.page("/away", redirect=site.url("/a"))
    LEASE_CHECKS[engine.crawler] = lambda host: host != site.host
    try:
        for url in (page, redirecting):
            with pytest.raises(LeaseLostError):
                engine.fetch(url)
    finally:
        del LEASE_CHECKS[engine.crawler]
    assert (site.log, len(other.log)) == ([], 1)
    assert engine.fetch(page).status == 200


def test_a_request_leaves_with_the_check_of_its_lease(engine: Any, sites: Farm, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a turn of the event loop in between: a process that is frozen there would send it when another crawler has the host."""
    site = sites.site()
    page = site.article("/a")
    arrived: list[bool] = []
    send = CappedProtocol.request

    def send_and_block(protocol: CappedProtocol, request: Any) -> Any:
        response = send(protocol, request)
        until = time.monotonic() + 10
        while not site.log and time.monotonic() < until:  # the site has a thread of its own
            time.sleep(0.01)
        arrived.append(bool(site.log))
        return response

    monkeypatch.setattr(CappedProtocol, "request", send_and_block)
    assert engine.fetch(page).status == 200
    assert arrived == [True]
