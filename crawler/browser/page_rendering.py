"""Renders one fetched page in the browser.

Its response is the document, its scripts run until the network is quiet, then the DOM is read. The document is not requested a second
time: the crawler has fetched it by the rules of robots.txt and the throttle, and followed and checked its redirects. The page can
navigate nowhere else, because that would be a redirect which nobody has checked.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

from playwright.async_api import Error as PlaywrightError
from playwright.async_api import Page as BrowserPage
from playwright.async_api import Request as BrowserRequest
from playwright.async_api import Route
from playwright.async_api import TimeoutError as BrowserTimeoutError
from scrapy import Request
from scrapy_playwright.page import PageMethod  # type: ignore[import-untyped]

from crawler.browser.proxy_account import ProxyAccount
from crawler.browser.renderer import RenderingError
from newsmill.model import RENDERED_TYPE, Page
from newsmill.network.address_guard import Guard
from newsmill.text.sentences import Sentence

MAX_REQUESTS = 400  # of one page; news pages make 20 to 300 without images, fonts and media
PARSE_SECONDS = 5.0  # until the document is parsed
QUIET_SECONDS = 8.0  # from then on, until no request is open for half a second; pages with advertisements may never be quiet
MAX_DOM_CHARACTERS = 5_000_000  # the extraction refuses more than 5 MB of HTML
BLOCKED_TYPES = frozenset({"image", "font", "media"})
# The headers of the response that the browser gets. Others describe the encoded body or the connection, or make a download of it.
DOCUMENT_HEADERS = frozenset(
    {"content-language", "content-security-policy", "last-modified", "permissions-policy", "referrer-policy", "set-cookie"}
)
NO_WEBRTC = "delete globalThis.RTCPeerConnection; delete globalThis.webkitRTCPeerConnection;"  # beside the flags for WebRTC
# Evaluated in a world of its own, whose functions the page's scripts cannot replace. A large DOM is not sent out of the browser.
READ_DOM = f"""(() => {{
  const html = document.documentElement ? document.documentElement.outerHTML : "";
  return html.length > {MAX_DOM_CHARACTERS} ? null : html;
}})()"""


class PageRendering:
    """One page in the browser. `meta` makes scrapy-playwright run it."""

    def __init__(self, page: Page, html: bytes, account: ProxyAccount, guard: Guard, is_stopped: Callable[[str], Awaitable[bool]]) -> None:
        """`html` is the page's body in UTF-8, `account` its way to the network, `guard` what it may reach there.

        `is_stopped` says whether the owner of a URL's host has stopped the crawler.
        """
        self.account = account
        self.guard = guard
        self._is_stopped = is_stopped
        self.dom: bytes | None = None
        self._status = page.status
        self._headers = _response_headers(page)
        self._is_served = False
        self._requests = 0
        self._html = html

    def meta(self) -> dict[str, Any]:
        """The keys of Request.meta that scrapy-playwright reads."""
        return {
            "playwright_page_init_callback": self.prepare,
            "playwright_page_goto_kwargs": {"wait_until": "commit", "timeout": PARSE_SECONDS * 1000},
            "playwright_page_methods": [PageMethod(self.read)],
        }

    async def prepare(self, page: BrowserPage, _: Request) -> None:
        """Decide about each request of the page. The account is opened last: without the routes nothing reaches the network."""
        page.on("popup", _close_popup)
        await page.add_init_script(NO_WEBRTC)
        await page.route("**/*", self._route)  # called before scrapy-playwright's route, which was added earlier
        await page.context.unroute_all()  # those of the last page
        await page.context.route("**/*", self._route)  # for windows that the page opens
        self.account.begin(self.guard)

    async def _route(self, route: Route, request: BrowserRequest) -> None:
        self._requests += 1
        is_document = _is_document(request)
        with suppress(PlaywrightError):  # the page has gone
            if is_document and not self._is_served:
                self._is_served = True
                await route.fulfill(status=self._status, headers=self._headers, body=self._html)
            elif is_document:
                await route.fulfill(status=204)  # "no content" leaves the page as it is
            elif request.resource_type in BLOCKED_TYPES or self._requests > MAX_REQUESTS or await self._is_stopped(request.url):
                await route.abort("blockedbyclient")
            else:
                await route.continue_()

    async def read(self, page: BrowserPage) -> None:
        """Wait until the page is quiet, set `dom`, and leave the page, which ends its scripts. Raises RenderingError, PlaywrightError."""
        for state, seconds in (("domcontentloaded", PARSE_SECONDS), ("networkidle", QUIET_SECONDS)):
            with suppress(BrowserTimeoutError):
                await page.wait_for_load_state(state, timeout=seconds * 1000)  # type: ignore[arg-type]
        session = await page.context.new_cdp_session(page)
        frames = await session.send("Page.getFrameTree")
        world = await session.send("Page.createIsolatedWorld", {"frameId": frames["frameTree"]["frame"]["id"]})
        context_id = world["executionContextId"]
        answer = await session.send("Runtime.evaluate", {"expression": READ_DOM, "contextId": context_id, "returnByValue": True})
        html = answer["result"].get("value") if self._is_served else ""
        if not isinstance(html, str):
            raise RenderingError(Sentence("the DOM has more than {n:,} characters", n=MAX_DOM_CHARACTERS))
        self.dom = f"<!DOCTYPE html>{html}".encode("utf-8", "replace") if html else None
        await page.goto("about:blank")


def _is_document(request: BrowserRequest) -> bool:
    """Whether the request is for a page's own document, not for a part of it or a frame."""
    if not request.is_navigation_request():
        return False
    try:
        return request.frame.parent_frame is None
    except PlaywrightError:  # a window that is being opened has no frame yet
        return True


def _response_headers(page: Page) -> dict[str, str]:
    """The headers as Playwright takes them: a line for each Set-Cookie, and one value for other repeated names."""
    headers = {"content-type": RENDERED_TYPE}  # the body is UTF-8 by now
    for name, value in page.headers:
        key = name.lower()
        if key in DOCUMENT_HEADERS and value.isprintable():
            separator = "\n" if key == "set-cookie" else ", "
            headers[key] = f"{headers[key]}{separator}{value}" if key in headers else value
    return headers


def _close_popup(popup: BrowserPage) -> None:
    """Close a window that the page has opened."""

    async def close() -> None:
        with suppress(PlaywrightError):
            await popup.close()

    _closing.add(task := asyncio.ensure_future(close()))
    task.add_done_callback(_closing.discard)


_closing: set[asyncio.Task[None]] = set()  # the event loop keeps only weak references to tasks
