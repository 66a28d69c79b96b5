"""Chromium behind the IP address guard: its start, its limits of memory, the rendering of one page, and the download handler for Scrapy.

The browser's only way to the network is our forward proxy. When a fetched page is rendered, its response is the document, its scripts run
until the network is quiet, then the DOM is read. The document is not requested a second time: the crawler has fetched it by the rules of
robots.txt and the throttle, and followed and checked its redirects. The page can navigate nowhere else, because that would be a redirect
which nobody has checked.
"""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
import signal
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import replace
from functools import partial
from inspect import isawaitable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from playwright._impl._errors import TargetClosedError  # has no public name; scrapy-playwright takes it from here too
from playwright.async_api import Browser, BrowserContext, BrowserType, Playwright, Route, async_playwright
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
from scrapy_playwright.page import PageMethod  # type: ignore[import-untyped]

from crawler.browser.forward_proxy import ForwardProxy, ProxyAccount
from crawler.browser.renderer import RENDER_JOB, RenderingError, RenderJob
from crawler.politeness.throttle import StopRequestedError, is_stopped_by_owner
from newsmill.address_guard import Guard
from newsmill.charset import to_utf8
from newsmill.exceptions import DecodeError
from newsmill.extraction.decode import decode_body
from newsmill.model import RENDERED_TYPE, Page
from newsmill.sandbox.child import filter_environment

log = logging.getLogger(__name__)
logging.getLogger("scrapy-playwright").setLevel(logging.ERROR)  # its warnings are about single pages, which have outcomes

PROGRAMS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
NODE_VARIABLE = "PLAYWRIGHT_NODEJS_PATH"  # read by Playwright, which has no argument for it
BARE_NODE = Path(__file__).with_name("bare_node.sh")
FLAGS = (
    # The network: the proxy of `launch` carries loopback requests too (Playwright adds "<-loopback>"), and nothing else carries any.
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",  # resolve no name, also no prefetched one; the proxy is on 127.0.0.1
    "--webrtc-ip-handling-policy=disable_non_proxied_udp",  # WebRTC would send UDP to any IP address
    "--force-webrtc-ip-handling-policy=disable_non_proxied_udp",  # the name of the same flag in older versions
    "--disable-quic",  # UDP too, also of WebTransport
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-domain-reliability",
    "--disable-sync",
    "--no-pings",
    # Resources.
    "--js-flags=--max-old-space-size=256",  # MB of JavaScript objects of one page; the memory watch limits the rest
    "--disable-dev-shm-usage",  # containers have 64 MB of shared memory
    "--disable-gpu",
    "--mute-audio",
)
MAX_START_SECONDS = 120.0  # of the browser, then of its first page; the first start in a container reads from a cold disk
MAX_PROCESS_BYTES = 640 * 1024 * 1024  # resident, of one process; a news page has 100 to 250 MB
MAX_BROWSER_BYTES = 2 * 1024 * 1024 * 1024  # resident, of all processes of the browser
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


# ---- the browser ----------------------------------------------------------------------------------------------------------------


class GuardedBrowserProvider:
    """Starts and ends Chromium, as scrapy-playwright's `BrowserProvider`. Each context has a password of the proxy, the browser none."""

    def __init__(self, proxy_url: str) -> None:
        self.proxy_url = proxy_url
        self.playwright: Playwright | None = None
        self._home = TemporaryDirectory(prefix="newsmill-browser-")  # Chromium keeps settings and caches in its home

    async def start(self) -> None:
        """Start Playwright's driver, a Node.js process, which ends when this process ends."""
        if NODE_VARIABLE not in os.environ:  # set by the user where Playwright comes without Node.js
            os.environ |= {NODE_VARIABLE: str(BARE_NODE)}
        self.playwright = await async_playwright().start()

    async def launch_browser(self) -> Browser:
        """Start Chromium and open a first, empty page, so that no later page spends its time on that.

        Raises NotSupported when it is not installed or does not start.
        """
        assert self.playwright is not None, "start() comes first"
        program = next(filter(None, map(shutil.which, PROGRAMS)), None)
        if program is None:
            raise NotSupported("Chromium is not installed; install the package chromium, or use the image with a browser")
        options: dict[str, Any] = {
            "executable_path": program,
            "args": FLAGS,
            "proxy": {"server": self.proxy_url},
            "env": filter_environment(os.environ) | {"HOME": self._home.name},  # no passwords of databases
            "timeout": MAX_START_SECONDS * 1000,
        }
        try:
            browser = await self._launch(self.playwright.chromium, options)
            try:
                async with asyncio.timeout(MAX_START_SECONDS):
                    first_page = await browser.new_page()
                    await first_page.close()
            except TimeoutError as error:
                await browser.close()
                raise NotSupported(f"{program} shows no page within {MAX_START_SECONDS:.0f} s") from error
        except PlaywrightError as error:
            raise NotSupported(f"{program} does not start: {_first_line(error)}") from error
        return browser

    async def _launch(self, chromium: BrowserType, options: dict[str, Any]) -> Browser:
        if os.geteuid() != 0:  # Chromium's sandbox refuses root
            with suppress(PlaywrightError):
                return await chromium.launch(**options, chromium_sandbox=True)
            log.warning("Chromium's sandbox cannot be used (no user namespaces?); Chromium runs without it")
        return await chromium.launch(**options, chromium_sandbox=False)

    async def launch_persistent_context(self, context_kwargs: dict[str, Any]) -> BrowserContext:
        """Refused: a persistent context is a browser of its own, with its own network options."""
        raise NotSupported("a persistent context (user_data_dir) is not possible in Newsmill's browser")

    async def close(self) -> None:
        if self.playwright is not None:
            await self.playwright.stop()
        self._home.cleanup()


class MemoryWatch:
    """Kills the processes of Chromium that use too much memory. Linux only: other systems have no /proc."""

    def __init__(self) -> None:
        self.kills: list[str] = []  # reasons, newest last

    def check(self) -> None:
        """Kill each process above MAX_PROCESS_BYTES, and the largest if all together are above MAX_BROWSER_BYTES."""
        sizes = {pid: _resident_bytes(pid) for pid in find_browser_processes(os.getpid())}
        for pid, size in sizes.items():
            if size > MAX_PROCESS_BYTES:
                self._kill(pid, f"more than {MAX_PROCESS_BYTES >> 20} MB of memory")
        if sum(sizes.values()) > MAX_BROWSER_BYTES:
            self._kill(max(sizes, key=sizes.__getitem__), f"all pages together more than {MAX_BROWSER_BYTES >> 20} MB of memory")

    def _kill(self, pid: int, reason: str) -> None:
        self.kills.append(reason)
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def find_browser_processes(root: int) -> list[int]:
    """The ids of the Chromium processes below process `root`: those below its child processes that have a `--type`, as renderers do."""
    children = defaultdict(list)
    for pid in _process_ids():
        children[_parent(pid)].append(pid)
    below, new = set[int](), [root]
    while new:
        new = [child for pid in new for child in children[pid] if child not in below]
        below.update(new)
    return sorted(pid for pid in below if b"--type=" in _read(pid, "cmdline"))


def _process_ids() -> list[int]:
    proc = Path("/proc")
    return [int(path.name) for path in proc.iterdir() if path.name.isdecimal()] if proc.is_dir() else []


def _parent(pid: int) -> int | None:
    """The parent's id; None when the process has ended."""
    fields = _read(pid, "stat").rpartition(b")")[2].split()
    return int(fields[1]) if len(fields) > 1 else None


def _resident_bytes(pid: int) -> int:
    fields = _read(pid, "statm").split()
    return int(fields[1]) * os.sysconf("SC_PAGESIZE") if len(fields) > 1 else 0


def _read(pid: int, name: str) -> bytes:
    try:
        return Path(f"/proc/{pid}/{name}").read_bytes()
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return b""


# ---- one page -------------------------------------------------------------------------------------------------------------------


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
            raise RenderingError(f"the DOM has more than {MAX_DOM_CHARACTERS:,} characters")
        self.dom = f"<!DOCTYPE html>{html}".encode("utf-8", "replace") if html else None
        await page.goto("about:blank")


def _decode(page: Page) -> bytes:
    try:
        return to_utf8(decode_body(page.header("Content-Encoding"), page.body), page.header("Content-Type"))
    except DecodeError as error:
        raise RenderingError(f"the body cannot be decoded: {error}") from error


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


# ---- the download handler -------------------------------------------------------------------------------------------------------

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
            raise DownloadTimeoutError(_first_line(error)) from error
        except PlaywrightError as error:
            raise DownloadFailedError(_first_line(error)) from error
        return response

    # ---- stops of owners

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

    # ---- pages of the renderer

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
            raise RenderingError(f"no DOM after {MAX_PAGE_SECONDS:.0f} s") from None
        except PlaywrightError as error:
            killed = self._memory_watch.kills[kills:]
            raise RenderingError(killed[-1] if killed else _first_line(error)) from error
        finally:
            account.close()
            await self._end_page(name)
        if rendering.dom is None:
            raise RenderingError("the browser did not display the page")
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

    # ---- the browser

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


def _first_line(error: PlaywrightError) -> str:
    """The message without the log of calls that follows it."""
    return str(error).partition("\n")[0]
