"""Every Scrapy setting we change, with its default and our reason. test_scrapy_settings.py holds the defaults against Scrapy's own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from scrapy import Request, Spider
from scrapy.http import Response
from scrapy.logformatter import LogFormatter

DEADLINE_SECONDS = 30.0  # seconds for one URL, redirects included
MAX_BODY_BYTES = 10 * 1024 * 1024  # bytes on the wire; the decompressed body has the same cap, later, in read/decode
HANDLER = "crawler.downloader.CappedHandler"
HANDLERS = {"http": HANDLER, "https": HANDLER, "file": None, "ftp": None, "s3": None, "data": None}


@dataclass(frozen=True, slots=True)
class Setting:
    """One changed Scrapy setting. A `default` given as a number for a dictionary or list is its length."""

    name: str
    value: Any
    default: Any  # Scrapy 2.19's
    reason: str


SETTINGS: tuple[Setting, ...] = (
    # One way in: a task of ours per host calls the downloader. The stock stack is off whole: nothing happens that is not in crawler/.
    Setting("EXTENSIONS_BASE", {}, 11, "telnet, remote control, statistics: doors and costs we do not use"),
    Setting("SPIDER_MIDDLEWARES_BASE", {}, 6, "no callbacks, so none of them ever runs"),
    Setting("DOWNLOADER_MIDDLEWARES_BASE", {}, 14, "redirects, cookies, robots, retries and proxies are decided here, or off"),
    Setting("TELNETCONSOLE_ENABLED", False, 1, "a shell on a port; off twice"),
    Setting("REMOTE_CONTROL_ENABLED", False, True, "a socket that runs Python; off twice"),
    Setting("COOKIES_ENABLED", False, True, "no session goes from page to page or across a redirect; off twice"),
    Setting("REDIRECT_ENABLED", False, True, "each hop is ours: five at most, judged by guard, robots and site; off twice"),
    Setting("RETRY_ENABLED", False, True, "the ledger's next_at is the retry; off twice"),
    Setting("COMPRESSION_ENABLED", False, True, "bodies are archived as they came, and a bomb never expands here; off twice"),
    Setting("HTTPPROXY_ENABLED", False, True, "a proxy from the environment would blind the guard; off twice"),
    Setting("LOG_FORMATTER", "crawler.settings.QuietFormatter", "scrapy.logformatter.LogFormatter", "a line less to build per response"),
    Setting("LOG_INSTALL_ROOT_HANDLER", False, True, "the command sets up logging for all processes alike"),
    Setting("LOG_VERSIONS", [], 10, "looked up and printed at every start"),
    Setting("STATS_DUMP", False, True, "the ledger's counters are the statistics"),
    # What may be connected to.
    Setting("TWISTED_DNS_RESOLVER", "crawler.resolver.GuardedResolver", "scrapy.resolver.CachingThreadedResolver", "no private addresses"),
    Setting("DOWNLOAD_VERIFY_CERTIFICATES", True, False, "Scrapy accepts any certificate"),
    Setting("DOWNLOAD_HANDLERS", HANDLERS, 0, "http and https only, with a cap on headers"),
    # Size and time.
    Setting("DOWNLOAD_MAXSIZE", MAX_BODY_BYTES, 1024**3, "1 GiB of one page is an attack"),
    Setting("DOWNLOAD_WARNSIZE", 0, 32 * 1024**2, "above our cap; an outcome tells the same"),
    Setting("DOWNLOAD_TIMEOUT", DEADLINE_SECONDS, 180, "to the last byte; every request carries what is left of its URL's deadline"),
    Setting("REACTOR_THREADPOOL_MAXSIZE", 32, 10, "each slow name lookup holds a thread, and many hosts are asked at once"),
    # How many at once. Politeness itself lives in crawler/host_worker.py; these only have to be wide enough for it.
    Setting("CONCURRENT_REQUESTS", 256, 16, "leased hosts times their concurrency is the true limit"),
    Setting("CONCURRENT_REQUESTS_PER_DOMAIN", 16, 8, "the most a source may ask for, and connections kept open to one host"),
    Setting("DOWNLOAD_DELAY_JITTER", 0, 0.5, "the slot's delay is 0 and stays 0"),
)


def scrapy_settings(user_agent: str, allow_nets: tuple[str, ...] = ()) -> dict[str, Any]:
    """All of the above as Scrapy takes them, with the operator's user agent and allowed networks (read by crawler.resolver)."""
    return {setting.name: setting.value for setting in SETTINGS} | {"USER_AGENT": user_agent, "NEWSMILL_ALLOW_NETS": list(allow_nets)}


class QuietFormatter(LogFormatter):
    """Scrapy formats a line per response before it looks at the log level."""

    def crawled(self, request: Request, response: Response, spider: Spider) -> None:  # type: ignore[override]
        return None
