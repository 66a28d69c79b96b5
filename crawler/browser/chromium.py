"""Starts Chromium with the forward proxy as its only way to the network."""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from playwright.async_api import Browser, BrowserContext, BrowserType, Playwright, async_playwright
from playwright.async_api import Error as PlaywrightError
from scrapy.exceptions import NotSupported

from newsmill.sandbox.process_limits import filter_environment

log = logging.getLogger(__name__)

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
        """Start Chromium and open a first, empty page, so that no later page waits for it. Raises NotSupported when it does not start."""
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
            raise NotSupported(f"{program} does not start: {first_line(error)}") from error
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


def first_line(error: PlaywrightError) -> str:
    """The message without the log of calls that follows it."""
    return str(error).partition("\n")[0]
