"""Scrapy's settings for the run of a spider: Scrapy's own scheduler and middlewares are on, Newsmill's limits stay."""

from __future__ import annotations

from typing import Any

from scrapy.settings import default_settings

from crawler.settings import SETTINGS
from newsmill.model import Politeness

MIDDLEWARE = "crawler.spider_middleware.SpiderMiddleware"
MIDDLEWARE_ORDER = 10_000  # nearest to the network: every other middleware's retries and redirects pass it

# Settings of the continuous crawl that a run shares. The other changed defaults switch Scrapy's components off, which a spider needs.
SHARED = frozenset(
    {
        "TELNETCONSOLE_ENABLED",
        "REMOTE_CONTROL_ENABLED",
        "HTTPPROXY_ENABLED",
        "LOG_INSTALL_ROOT_HANDLER",
        "LOG_VERSIONS",
        "TWISTED_DNS_RESOLVER",
        "DOWNLOAD_VERIFY_CERTIFICATES",
        "DOWNLOAD_HANDLERS",
        "DOWNLOAD_MAXSIZE",
        "DOWNLOAD_WARNSIZE",
        "DOWNLOAD_TIMEOUT",
    }
)


def spider_settings(user_agent: str, allow_nets: tuple[str, ...], politeness: Politeness) -> dict[str, Any]:
    """The settings of a run. They have a higher priority than the spider's custom_settings, which cannot lift a limit."""
    shared = {setting.name: setting.value for setting in SETTINGS if setting.name in SHARED}
    return shared | {
        "USER_AGENT": user_agent,
        "NEWSMILL_ALLOW_NETS": list(allow_nets),
        "ROBOTSTXT_OBEY": False,  # robots.txt is decided by SpiderMiddleware, as in the continuous crawl
        "DOWNLOAD_DELAY": 0,  # the host's throttle, shared with the continuous crawl, has the delay
        "DOWNLOAD_DELAY_JITTER": 0,
        "CONCURRENT_REQUESTS_PER_DOMAIN": max(8, politeness.concurrency),
        "DOWNLOADER_MIDDLEWARES_BASE": default_settings.DOWNLOADER_MIDDLEWARES_BASE | {MIDDLEWARE: MIDDLEWARE_ORDER},
    }
