"""Orders of the owners of hosts (newsmill.storage.publishers), which are looked up right before each request to a host."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from weakref import WeakKeyDictionary

from scrapy.crawler import Crawler

from crawler.throttle import HostThrottle
from newsmill import urls
from newsmill.context import has_store, open_context
from newsmill.exceptions import UrlError
from newsmill.model import Outcome, OutcomeRecord
from newsmill.settings import Settings
from newsmill.storage.publishers import PublisherOrder

FindOrder = Callable[[str], Awaitable[PublisherOrder | None]]  # host → its order; may raise StopRequestedError

STOPPED = OutcomeRecord(Outcome.ROBOTS_DISALLOWED, "the owner of the host has stopped the crawler")
ORDER_LOOKUPS: WeakKeyDictionary[Crawler, FindOrder] = WeakKeyDictionary()  # of each crawler, because settings hold no objects


async def wait_for_turn(throttle: HostThrottle, find_order: FindOrder) -> OutcomeRecord | None:
    """Wait until the next request to the host may start, at the pace that its owner wants. STOPPED: it may not be sent.

    The order is looked up after each wait, so it holds from the next request on. Raises StopRequestedError.
    """
    await throttle.acquire()
    while (order := await find_order(throttle.host)) is not None:
        if order.is_stopped:
            return STOPPED
        if (order.delay or 0.0) <= throttle.delay:
            break
        throttle.delay = order.delay or 0.0
        await throttle.acquire()
    return None


async def is_stopped(crawler: Crawler, url: str) -> bool:
    """Whether the owner of the URL's host has stopped the crawler. Raises StopRequestedError."""
    find_order = ORDER_LOOKUPS.get(crawler)
    if find_order is None:
        return False
    try:
        order = await find_order(urls.get_host(url))
    except UrlError:  # no http(s) URL: it leads to no host
        return False
    return order is not None and order.is_stopped


@contextmanager
def open_order_lookup(settings: Settings) -> Iterator[FindOrder]:
    """The orders in the store of `settings`, for a process that fetches a few pages. Without a store, no host has one.

    Raises NewsmillError if the store cannot be read: then nothing may be fetched.
    """
    if not has_store(settings):
        yield find_no_order
        return
    with open_context(settings, upgrade=False) as context:

        async def find_order(host: str) -> PublisherOrder | None:
            return await asyncio.to_thread(context.ledger.publisher_order, host)

        yield find_order


async def find_no_order(_: str) -> PublisherOrder | None:
    """The order of a host where nobody can give one."""
    return None
