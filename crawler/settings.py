"""The Scrapy settings: every one that Newsmill changes, with its default and the reason."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from scrapy import Request, Spider
from scrapy.http import Response
from scrapy.logformatter import LogFormatter

from newsmill.network.message_signatures import find_agent_url
from newsmill.network.signing_keys import keys_folder
from newsmill.settings import Settings

DEADLINE_SECONDS = 30.0  # for one URL, redirects included
MAX_BODY_BYTES = 10 * 1024 * 1024  # on the wire; `newsmill.extraction.decode` has the same limit for the unpacked body
HANDLER = "crawler.network.download_handler.CappedHandler"
HANDLERS = {"http": HANDLER, "https": HANDLER, "file": None, "ftp": None, "s3": None, "data": None}


@dataclass(frozen=True, slots=True)
class Setting:
    """One changed Scrapy setting. A number as the `default` of a dictionary or list is its length."""

    name: str
    value: Any
    default: Any  # Scrapy 2.19's
    reason: str


# For every spider of the project: the network, the size of a response and its time.
NETWORK_SETTINGS: tuple[Setting, ...] = (
    Setting("TELNETCONSOLE_ENABLED", False, 1, "a shell on a port"),
    Setting("REMOTE_CONTROL_ENABLED", False, True, "a socket that runs Python"),
    Setting(
        "TWISTED_DNS_RESOLVER",
        "crawler.network.guarded_resolver.GuardedResolver",
        "scrapy.resolver.CachingThreadedResolver",
        "no private IP addresses",
    ),
    Setting("DOWNLOAD_VERIFY_CERTIFICATES", True, False, "Scrapy accepts any certificate"),
    Setting("DOWNLOAD_HANDLERS", HANDLERS, 0, "only http and https, with a limit on headers and checked proxies"),
    Setting("DOWNLOAD_MAXSIZE", MAX_BODY_BYTES, 1024**3, "1 GiB for one page is an attack"),
    Setting("DOWNLOAD_WARNSIZE", 0, 32 * 1024**2, "above DOWNLOAD_MAXSIZE; the outcome says the same"),
    Setting("DOWNLOAD_TIMEOUT", DEADLINE_SECONDS, 180, "to the last byte; every request has what is left of its URL's deadline"),
    Setting("REACTOR_THREADPOOL_MAXSIZE", 32, 10, "each slow name lookup occupies a thread, and many hosts are looked up at once"),
)

# For the continuous crawl: a HostWorker per host calls the downloader directly. Scrapy's own components are off; everything that happens
# is in crawler/, or is a component of the user's.
CRAWL_SETTINGS: tuple[Setting, ...] = (
    Setting("EXTENSIONS_BASE", {}, 11, "telnet, remote control and statistics are not used"),
    Setting("SPIDER_MIDDLEWARES_BASE", {}, 6, "the crawl has no callbacks, so none of them runs"),
    Setting("DOWNLOADER_MIDDLEWARES_BASE", {}, 14, "redirects, cookies, robots, retries and proxies are decided in crawler/, or off"),
    Setting("COOKIES_ENABLED", False, True, "no session is kept between pages or across a redirect; also off as a middleware"),
    Setting("REDIRECT_ENABLED", False, True, "the downloader follows and checks each redirect; also off as a middleware"),
    Setting("METAREFRESH_ENABLED", False, True, "the same for redirects in HTML"),
    Setting("RETRY_ENABLED", False, True, "the ledger's next_at is the retry; also off as a middleware"),
    Setting("COMPRESSION_ENABLED", False, True, "bodies are archived as sent, and a bomb never expands here; also off as a middleware"),
    Setting("HTTPPROXY_ENABLED", False, True, "the environment's proxies are used only where the user says so"),
    Setting("LOG_FORMATTER", "crawler.settings.QuietFormatter", "scrapy.logformatter.LogFormatter", "a line less to build per response"),
    Setting("LOG_INSTALL_ROOT_HANDLER", False, True, "the command sets up logging for all processes alike"),
    Setting("LOG_VERSIONS", [], 10, "looked up and printed at every start"),
    Setting("STATS_DUMP", False, True, "the ledger's counters are the statistics"),
    # Concurrency. Politeness is in crawler/politeness/throttle.py; these limits only have to be high enough for it.
    Setting("CONCURRENT_REQUESTS", 256, 16, "the real limit is the number of leased hosts times their concurrency"),
    Setting("CONCURRENT_REQUESTS_PER_DOMAIN", 16, 8, "the most a source may set, and the connections kept open to one host"),
    Setting("DOWNLOAD_DELAY_JITTER", 0, 0.5, "the slot's delay is 0 and stays 0"),
)

SETTINGS = (*NETWORK_SETTINGS, *CRAWL_SETTINGS)


def make_settings(changes: tuple[Setting, ...], settings: Settings) -> dict[str, Any]:
    """`changes` as Scrapy takes them, and what GuardedResolver, ProxyClient and RequestSigner read of Newsmill's own settings."""
    agent_url = find_agent_url(settings)
    return {setting.name: setting.value for setting in changes} | {
        "USER_AGENT": settings.agent,
        "NEWSMILL_ALLOW_NETS": list(map(str, settings.allow_nets)),
        "NEWSMILL_PROXY_RESOLVES_NAMES": settings.proxy_resolves_names,
        "NEWSMILL_SIGNING": [] if agent_url is None else [str(keys_folder(settings)), agent_url],
    }


class QuietFormatter(LogFormatter):
    """Skips the line per response, which Scrapy formats before it checks the log level."""

    def crawled(self, request: Request, response: Response, spider: Spider) -> None:  # type: ignore[override]
        return None
