"""Fetches the further pages of an article behind its first page: one after the other, at the pace of their host, within the limits of one.

The pages are found in the child process that parses listings: no body is decoded or parsed on the event loop.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass, replace

from crawler.fetching.downloader import CheckRedirect, FetchRequest
from crawler.listings.messages import ParseRequest
from crawler.politeness.publisher_orders import STOPPED_BY_OWNER, wait_for_turn
from crawler.politeness.response_policy import RetryAt, decide_failure, decide_response, make_stopped_pause
from crawler.politeness.throttle import HostThrottle
from crawler.settings import MAX_BODY_BYTES
from crawler.state.crawl_state import CrawlState
from newsmill.discovery.article_pages import MAX_ARTICLE_PAGES, find_page_number, is_page_of
from newsmill.exceptions import DecodeError, ListingError
from newsmill.model import Kind, LeasedUrl, Outcome, OutcomeRecord, Page
from newsmill.text import urls
from newsmill.text.sentences import Sentence

Download = Callable[[FetchRequest, CheckRedirect], Awaitable[Page | OutcomeRecord]]


@dataclass(frozen=True, slots=True)
class FailedPart:
    """A further page that may come later: the article waits for it."""

    response: Page | OutcomeRecord
    retry: RetryAt


@dataclass(frozen=True, slots=True)
class ArticlePages:
    """The further pages of one leased article. `request`: that of its first page; `throttle`: of the host that served it.

    `find_refusal` says why a URL may not be fetched, and `prepare` completes a fetched page.
    """

    state: CrawlState
    leased_url: LeasedUrl
    throttle: HostThrottle
    request: FetchRequest
    download: Download
    find_refusal: Callable[[str], Awaitable[OutcomeRecord | None]]
    prepare: Callable[[Page], Awaitable[Page]]

    async def fetch(self, first: Page) -> Page | FailedPart:
        """The first page with its further pages, up to the first that is refused or gone. Raises StopRequestedError."""
        page = current = first
        while len(page.parts) + 1 < MAX_ARTICLE_PAGES:
            found: Page | FailedPart | None = None
            for url in await self._find_next(current, first.url):
                found = await self._fetch_part(url, page)
                if found is not None:
                    break
            if found is None:
                break
            if isinstance(found, FailedPart):
                return found
            page, current = replace(page, parts=(*page.parts, found)), found
        return page

    async def _find_next(self, page: Page, first: str) -> list[str]:
        """The URLs that the page names as the next one. A page that cannot be parsed names none."""
        shown = page.as_rendered()
        content = shown.header("Content-Type"), shown.header("Content-Encoding")
        request = ParseRequest(Kind.PAGE, first, page.url, None, frozenset(), self.state.now(), *content)
        try:
            async with aclosing(self.state.parser.read(request, shown.body)) as batches:
                return [link.url async for links in batches for link in links.next_pages]
        except (ListingError, DecodeError):
            return []

    async def _fetch_part(self, url: str, article: Page) -> Page | FailedPart | None:
        """The page; None for one that is refused, gone, too large, or not of the article. `article`: with the pages before."""
        first, max_body = article.url, MAX_BODY_BYTES - article.size
        if max_body <= 0 or await self._find_refusal(url, article) is not None:
            return None
        if (stopped := await wait_for_turn(self.throttle, self.state.find_order)) is not None:
            return self._wait(stopped)

        async def check_redirect(_: str, target: str) -> OutcomeRecord | None:
            self.throttle.mark_response()
            return await self._find_refusal(target, article) or await wait_for_turn(self.throttle, self.state.find_order)

        response = await self.download(replace(self.request, url=url, etag=None, last_modified=None, max_body=max_body), check_redirect)
        self.throttle.mark_response()
        if isinstance(response, OutcomeRecord):
            return self._wait(response)
        self.state.network.record_answer()
        now = self.state.now()
        decision = decide_response(response, Kind.PAGE, self.leased_url.attempts, now)
        if decision is not None:
            return FailedPart(response, decision) if isinstance(decision, RetryAt) else None
        response = await self.prepare(replace(response, fetched_at=now))
        if find_page_number(response.url, first) is None and await self._find_next(replace(response, url=first), first):
            return None  # the site ignores "all on one page"
        return response

    async def _find_refusal(self, url: str, article: Page) -> OutcomeRecord | None:
        is_known = any(part.url == url for part in article.parts)  # sites redirect from a page behind the last one
        if is_known or urls.get_host(url) != self.throttle.host or not is_page_of(url, article.url):
            return OutcomeRecord(Outcome.OFF_SITE, Sentence("redirects to {url}", url=url))
        return await self.find_refusal(url)

    def _wait(self, failure: OutcomeRecord) -> FailedPart | None:
        if failure == STOPPED_BY_OWNER:
            return FailedPart(failure, make_stopped_pause(self.state.now()))
        decision = decide_failure(failure, self.leased_url.attempts, self.state.now(), Kind.PAGE)
        return FailedPart(failure, decision) if isinstance(decision, RetryAt) else None
