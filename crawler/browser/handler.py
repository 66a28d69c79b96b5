"""The download handler of the browser, with its limits on pages, time and memory.

The browser's only way to the network is the forward proxy, where every context has an account.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import replace
from functools import partial
from inspect import isawaitable
from typing import Any

from playwright._impl._errors import TargetClosedError  # has no public name; scrapy-playwright takes it from here too
from playwright.async_api import Error as PlaywrightError
from playwright.async_api import Page as BrowserPage
from playwright.async_api import Request as BrowserRequest
from playwright.async_api import TimeoutError as BrowserTimeoutError
from scrapy import Request, Spider
from scrapy.crawler import Crawler
from scrapy.exceptions import DownloadFailedError, DownloadTimeoutError, NotSupported
from scrapy.http import HtmlResponse, Response
from scrapy_playwright.handler import (  # type: ignore[import-untyped]
    DEFAULT_CONTEXT_NAME,
    PERSISTENT_CONTEXT_PATH_KEY,
    Config,
    ScrapyPlaywrightDownloadHandler,
)

from crawler.browser.chromium import GuardedBrowserProvider, first_line
from crawler.browser.forward_proxy import ForwardProxy
from crawler.browser.memory_watch import MemoryWatch
from crawler.browser.page_rendering import PageRendering
from crawler.browser.proxy_account import ProxyAccount
from crawler.browser.renderer import RENDER_JOB, RenderingError, RenderJob
from crawler.politeness.publisher_orders import is_stopped_by_owner
from crawler.politeness.throttle import StopRequestedError
from newsmill.exceptions import DecodeError
from newsmill.extraction.decode import decode_body
from newsmill.model import Page
from newsmill.network.address_guard import Guard
from newsmill.text.charset import to_utf8
from newsmill.text.sentences import Sentence

logging.getLogger("scrapy-playwright").setLevel(logging.ERROR)  # its warnings are about single pages, which have outcomes

MAX_PAGES = 2  # rendered at once; each uses most of a core while its scripts run
MAX_CONTEXTS = 8  # kept open, one for each source, with about 30 MB each
MAX_PAGE_SECONDS = 30.0  # from the start of a page to its DOM
WATCH_SECONDS = 0.2  # between two looks at the memory; a page can allocate 2 GB in a second
CLOSE_SECONDS = 5.0  # for a page or a context to close; a page that loops closes in 0.7 s
MAX_IDLE_SECONDS = 120.0  # without a page; then the browser ends and frees 300 MB
# Applied to every context. Without a service worker each request of a page is seen by its routes.
CONTEXT_OPTIONS: dict[str, Any] = {"service_workers": "block", "accept_downloads": False, "ignore_https_errors": False}

AbortRequest = Callable[[BrowserRequest], bool | Awaitable[bool]]


class BrowserHandler(ScrapyPlaywrightDownloadHandler):  # type: ignore[misc]  # scrapy-playwright has no type hints
    """scrapy-playwright's download handler: one browser, started with the first page. Every context has its own account at the proxy.

    Requests with `meta["playwright"]` come here, those of the crawler's renderer and those of the user's own spiders. The settings
    PLAYWRIGHT_CDP_URL, PLAYWRIGHT_CONNECT_URL, PLAYWRIGHT_LAUNCH_OPTIONS, PLAYWRIGHT_BROWSER_PROVIDER and PLAYWRIGHT_CONTEXTS have no
    effect: each could give the browser another way to the network.
    """

    abort_request: AbortRequest | None  # scrapy-playwright's; from the setting PLAYWRIGHT_ABORT_REQUEST

    def __init__(self, crawler: Crawler) -> None:
        super().__init__(crawler)
        self.abort_request = partial(self._must_abort, self.abort_request)
        self.config: Config = replace(
            Config.from_settings(crawler.settings),
            cdp_url=None,
            connect_url=None,
            launch_options={},
            startup_context_kwargs={},
            max_contexts=None,
            restart_disconnected_browser=True,
            target_closed_max_retries=0,
            use_threaded_loop=False,
        )
        self.guard = Guard.from_networks(crawler.settings.getlist("NEWSMILL_ALLOW_NETS"))
        self.proxy = ForwardProxy(is_stopped=self._is_stopped)
        self._accounts: dict[str, ProxyAccount] = {}  # by context
        self._used_at: dict[str, float] = {}  # time.monotonic() of the last page, by context
        self._start_lock = asyncio.Lock()
        self._is_started = False
        self._page_slots = asyncio.Semaphore(MAX_PAGES)
        self._memory_watch = MemoryWatch()
        self._supervision: asyncio.Task[None] | None = None

    async def download_request(self, request: Request) -> Response:
        """The page as the browser shows it. Raises RenderingError for a page of the renderer, NotSupported without a browser."""
        await self._start()
        name = request.meta.setdefault("playwright_context", DEFAULT_CONTEXT_NAME)
        job = request.meta.get(RENDER_JOB)
        account = self._prepare_context(name, request, job)
        if self._supervision is None or self._supervision.done():
            self._supervision = asyncio.ensure_future(self._supervise())
        if job is None:
            if not self._has_pages(name):
                account.begin(self.guard)
            return await self._download(request)
        async with self._page_slots:
            return await self._render(request, name, account, job)

    async def close(self) -> None:
        """End the browser, the driver and the proxy."""
        if self._supervision is not None:
            self._supervision.cancel()
        await super().close()
        await self.proxy.close()

    async def _start(self) -> None:
        """Start the proxy and Playwright's driver, once."""
        async with self._start_lock:
            if not self._is_started:
                await self.proxy.start()
                self.browser_provider = GuardedBrowserProvider(self.proxy.url)
                await self.browser_provider.start()
                self._is_started = True

    def _prepare_context(self, name: str, request: Request, job: RenderJob | None) -> ProxyAccount:
        """Make the request's context use the proxy with an account of its own. Raises NotSupported."""
        options = request.meta.get("playwright_context_kwargs") or {}
        if options.get(PERSISTENT_CONTEXT_PATH_KEY):
            raise NotSupported("a persistent context (user_data_dir) is not possible in Newsmill's browser")
        if job is not None:
            options = {"user_agent": job.user_agent} | ({"locale": job.language} if job.language else {})
        account = self._accounts.get(name)
        if account is None:
            account = self._accounts[name] = self.proxy.add_account(f"context-{len(self._accounts)}", self.guard)
            account.close()
        way = {"server": self.proxy.url, "username": account.name, "password": account.password}
        request.meta["playwright_context_kwargs"] = {**options, **CONTEXT_OPTIONS, "proxy": way}
        self._used_at[name] = time.monotonic()
        return account

    async def _download(self, request: Request) -> Response:
        """A page of a spider. The browser's errors become Scrapy's, which the spider's RetryMiddleware tries again."""
        try:
            response: Response = await super().download_request(request)
        except BrowserTimeoutError as error:
            raise DownloadTimeoutError(first_line(error)) from error
        except PlaywrightError as error:
            raise DownloadFailedError(first_line(error)) from error
        return response

    async def _is_stopped(self, url: str) -> bool:
        """Whether the owner of the URL's host has stopped the crawler. A process that ends requests nothing more."""
        try:
            return await is_stopped_by_owner(self._crawler, url)
        except StopRequestedError:
            return True

    async def _must_abort(self, abort_request: AbortRequest | None, request: BrowserRequest) -> bool:
        """Whether scrapy-playwright must not send a request of a spider's page; `abort_request` is the setting of the spider."""
        if await self._is_stopped(request.url):
            return True
        decision = False if abort_request is None else abort_request(request)
        return bool(await decision if isawaitable(decision) else decision)

    async def _render(self, request: Request, name: str, account: ProxyAccount, job: RenderJob) -> Response:
        await self._maybe_launch_browser()  # before the page's time begins: a first start takes longer
        html = await asyncio.to_thread(_decode, job.page)  # other hosts must not wait for a large body
        rendering = PageRendering(job.page, html, account, job.guard, self._is_stopped)
        request.meta.update(rendering.meta())
        kills = len(self._memory_watch.kills)
        try:
            async with asyncio.timeout(MAX_PAGE_SECONDS):
                await super().download_request(request)
        except TimeoutError:
            raise RenderingError(Sentence("no DOM after {n:.0f} s", n=MAX_PAGE_SECONDS)) from None
        except PlaywrightError as error:
            killed = self._memory_watch.kills[kills:]
            raise RenderingError(killed[-1] if killed else first_line(error)) from error
        finally:
            account.close()
            await self._end_page(name)
        if rendering.dom is None:
            raise RenderingError(Sentence("the browser did not display the page"))
        return HtmlResponse(job.page.url, body=rendering.dom, encoding="utf-8", request=request)

    async def _end_page(self, name: str) -> None:
        """Close the context's pages. If one does not close, close the context; if that fails, the browser."""
        if (wrapper := self.context_wrappers.get(name)) is not None:

            async def close_pages() -> None:
                await asyncio.gather(*(page.close() for page in wrapper.context.pages))

            for close in (close_pages, wrapper.context.close, self._close_browser):
                with suppress(PlaywrightError, TimeoutError):
                    async with asyncio.timeout(CLOSE_SECONDS):
                        await close()
                    break
        await self._close_contexts()

    async def _close_contexts(self) -> None:
        """Close the contexts that were not used for the longest time, beyond MAX_CONTEXTS."""
        idle = sorted((name for name in self.context_wrappers if not self._has_pages(name)), key=lambda name: self._used_at.get(name, 0.0))
        for name in idle[: max(0, len(self.context_wrappers) - MAX_CONTEXTS)]:
            with suppress(PlaywrightError, TimeoutError):
                async with asyncio.timeout(CLOSE_SECONDS):
                    await self.context_wrappers[name].context.close()

    async def _create_page(self, request: Request, spider: Spider) -> BrowserPage:
        """A new page in the request's context.

        It is created a second time when its context was closed already, because the page before it made the context or the browser end:
        scrapy-playwright forgets both only a little later.
        """
        name = request.meta["playwright_context"]
        context = self.context_wrappers.get(name)
        try:
            page: BrowserPage = await super()._create_page(request, spider)
        except TargetClosedError:
            with suppress(TimeoutError):
                async with asyncio.timeout(CLOSE_SECONDS):
                    while self._is_browser_ending() or (context is not None and self.context_wrappers.get(name) is context):
                        await asyncio.sleep(WATCH_SECONDS)
            page = await super()._create_page(request, spider)
        return page

    def _is_browser_ending(self) -> bool:
        """Whether the browser has ended, and scrapy-playwright has not forgotten it yet."""
        return hasattr(self, "browser") and not self.browser.is_connected()

    def _has_pages(self, name: str | None = None) -> bool:
        """Whether the context has open pages; without a name, whether any context has."""
        wrappers = self.context_wrappers.values() if name is None else filter(None, [self.context_wrappers.get(name)])
        return any(wrapper.context.pages for wrapper in wrappers)

    async def _supervise(self) -> None:
        """Watch the memory while pages are open, and end the browser after MAX_IDLE_SECONDS without one."""
        busy_at = time.monotonic()
        while time.monotonic() - busy_at < MAX_IDLE_SECONDS:
            if self._has_pages():
                busy_at = time.monotonic()
                self._memory_watch.check()
            await asyncio.sleep(WATCH_SECONDS)
        await self._close_browser()

    async def _close_browser(self) -> None:
        if hasattr(self, "browser"):  # scrapy-playwright deletes the attribute when the browser has ended
            await self.browser.close()


def _decode(page: Page) -> bytes:
    try:
        return to_utf8(decode_body(page.header("Content-Encoding"), page.body), page.header("Content-Type"))
    except DecodeError as error:
        raise RenderingError(Sentence("the body cannot be decoded: {error}", error=error)) from error
