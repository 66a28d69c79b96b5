"""Obeys the orders of host owners (newsmill.storage.publishers), which are looked up right before each request."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace
from weakref import WeakKeyDictionary

from scrapy.crawler import Crawler

from crawler.politeness.throttle import HostThrottle
from newsmill.exceptions import UrlError
from newsmill.model import Outcome, OutcomeRecord
from newsmill.storage.publishers import PublisherOrder
from newsmill.text import urls
from newsmill.text.sentences import Sentence, join_sentences

FindOrder = Callable[[str], Awaitable[PublisherOrder | None]]  # host → its order; may raise StopRequestedError

STOPPED_BY_OWNER = OutcomeRecord(Outcome.ROBOTS_DISALLOWED, Sentence("the owner of the host has stopped the crawler"))
ORDER_LOOKUPS: WeakKeyDictionary[Crawler, FindOrder] = WeakKeyDictionary()  # of each crawler, because settings hold no objects

LEASE_CHECKS: WeakKeyDictionary[Crawler, Callable[[str], bool]] = WeakKeyDictionary()  # host → whether its lease, if any, goes on


def make_stopped_redirect(target: str) -> OutcomeRecord:
    """The outcome of a redirect to a host whose owner has stopped the crawler."""
    redirect = Sentence("redirects to {url}", url=target)
    return replace(STOPPED_BY_OWNER, detail=join_sentences([redirect, STOPPED_BY_OWNER.detail or ""]))


async def wait_for_turn(throttle: HostThrottle, find_order: FindOrder) -> OutcomeRecord | None:
    """Wait until the next request to the host may start, at the pace that its owner wants. STOPPED_BY_OWNER: it may not be sent.

    The order is looked up after each wait, so it holds from the next request on. Raises StopRequestedError.
    """
    await throttle.acquire()
    while (order := await find_order(throttle.host)) is not None:
        if order.is_stopped:
            return STOPPED_BY_OWNER
        if (order.delay or 0.0) <= throttle.delay:
            break
        throttle.delay = order.delay or 0.0
        await throttle.acquire()
    return None


async def is_stopped_by_owner(crawler: Crawler, url: str) -> bool:
    """Whether the owner of the URL's host has stopped the crawler. Raises StopRequestedError."""
    find_order = ORDER_LOOKUPS.get(crawler)
    if find_order is None:
        return False
    try:
        order = await find_order(urls.get_host(url))
    except UrlError:  # no http(s) URL: it leads to no host
        return False
    return order is not None and order.is_stopped
