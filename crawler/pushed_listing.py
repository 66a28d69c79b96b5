"""Reads what a WebSub hub pushed for a leased feed, in place of a request for the feed."""

from __future__ import annotations

from crawler.crawl_state import CrawlState
from crawler.listing_task import ListingTask
from crawler.throttle import HostThrottle, StopRequestedError
from newsmill.exceptions import ServiceError
from newsmill.model import LeasedUrl, Outcome, OutcomeRecord, Page, Source
from newsmill.storage.ledger import Ended
from newsmill.storage.websub import Push


async def read_pushes(state: CrawlState, leased_url: LeasedUrl, source: Source | None, throttle: HostThrottle) -> bool:
    """Add the links of all pushes that wait for this feed, and end it. False: there are none, or one cannot be used; request the feed.

    The pushes are deleted with the outcome: after a crash they are read again. Those that cannot be used are deleted before the request.
    """
    try:
        pushes = await state.call_ledger(lambda _: state.ledger.pushes(leased_url.id))
    except ServiceError:  # the crawler stops while the database is away
        raise StopRequestedError from None
    if not pushes:
        return False
    ids = [push.id for push in pushes]
    details = []
    for push in pushes:
        ended = await _read(state, leased_url, source, throttle, push) if push.body else None
        if ended is None or ended.ending.outcome is not Outcome.LISTED:
            await state.call_ledger(lambda _: state.ledger.drop_pushes(ids))
            return False
        details.append(ended.ending.detail or "")
    # The validators are those of the last request, which the server still knows.
    outcome = OutcomeRecord(Outcome.LISTED, f"pushed by the hub: {'; '.join(details)}")
    done = Ended(leased_url.id, leased_url.fence, outcome, leased_url.etag, leased_url.last_modified)
    await state.call_ledger(lambda now: state.ledger.end_pushed(done, ids, now=now))
    await state.call_ledger(lambda now: state.ledger.requeue_pushed(leased_url.id, now=now))
    return True


async def _read(state: CrawlState, leased_url: LeasedUrl, source: Source | None, throttle: HostThrottle, push: Push) -> Ended:
    headers = () if push.content_type is None else (("Content-Type", push.content_type),)
    page = Page(leased_url.url, leased_url.url, push.received_at, 200, headers, push.body)
    return await ListingTask(state, leased_url, source, throttle, is_pushed=True).run(page)
