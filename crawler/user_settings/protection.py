"""The Scrapy settings that a user cannot change, or can only lower."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import scrapy.settings
from scrapy.settings import BaseSettings

from crawler.settings import DEADLINE_SECONDS, MAX_BODY_BYTES
from newsmill.exceptions import ConfigError


@dataclass(frozen=True, slots=True)
class Protected:
    """A setting that a user cannot change, why, and what to do in its place."""

    name: str
    reason: str
    remedy: str = "remove it"


@dataclass(frozen=True, slots=True)
class Capped:
    """A setting that a user can lower: a number above 0 and up to `maximum`."""

    name: str
    maximum: float
    unit: str


PROTECTED = (
    Protected("TWISTED_DNS_RESOLVER", "the IP address guard checks every IP address in it", "NEWSMILL_ALLOW_NETS permits private networks"),
    Protected("DNS_RESOLVER", "the IP address guard replaces it", "NEWSMILL_ALLOW_NETS permits private networks"),
    Protected("DOWNLOADER", "it holds the download handlers with the IP address guard and the limits"),
    Protected("DOWNLOAD_HANDLERS_BASE", "only Newsmill's handlers have the IP address guard and the limits"),
    Protected("DOWNLOAD_VERIFY_CERTIFICATES", "Newsmill verifies certificates", "make SSL_CERT_FILE name a file with your authority"),
    Protected("DOWNLOADER_CLIENTCONTEXTFACTORY", "Newsmill verifies certificates", "make SSL_CERT_FILE name a file with your authority"),
    Protected("TELNETCONSOLE_ENABLED", "it opens a port that runs Python"),
    Protected("REMOTE_CONTROL_ENABLED", "it opens a socket that runs Python"),
    Protected("TWISTED_REACTOR", "crawler/ runs on asyncio"),
    Protected("TWISTED_REACTOR_ENABLED", "crawler/ runs on Twisted's reactor"),
    Protected("ASYNCIO_EVENT_LOOP", "crawler/ is tested with the default event loop"),
    Protected("ROBOTSTXT_OBEY", "Newsmill obeys robots.txt itself", "set robots = false for a source whose publisher permits it"),
    Protected("ROBOTSTXT_USER_AGENT", "rules are matched with the product name", "set NEWSMILL_USER_AGENT"),
    Protected("USER_AGENT", "robots.txt rules are matched with it", "set NEWSMILL_USER_AGENT"),
)
CRAWL_PROTECTED = (
    Protected("SCHEDULER", "the ledger is the scheduler"),
    Protected("REDIRECT_ENABLED", "Newsmill follows redirects, and checks each"),
    Protected("METAREFRESH_ENABLED", "Newsmill follows redirects, and checks each"),
    Protected("RETRY_ENABLED", "the ledger retries"),
    Protected("COMPRESSION_ENABLED", "bodies are archived as sent"),
    Protected("DOWNLOAD_DELAY", "Newsmill has a throttle per host", "set politeness = { delay = … } for a source"),
    Protected("DOWNLOADER_MIDDLEWARES_BASE", "Scrapy's own middlewares are off", "name those you need in DOWNLOADER_MIDDLEWARES"),
    Protected("SPIDER_MIDDLEWARES_BASE", "Scrapy's own middlewares are off"),
    Protected("EXTENSIONS_BASE", "Scrapy's own extensions are off", "name those you need in EXTENSIONS"),
)
CAPPED = (
    Capped("DOWNLOAD_MAXSIZE", MAX_BODY_BYTES, "bytes"),
    Capped("DOWNLOAD_TIMEOUT", DEADLINE_SECONDS, "seconds"),
)


def is_within(value: object, cap: Capped) -> bool:
    """Whether a value is a number above 0 and up to the cap."""
    try:
        return 0 < float(value) <= cap.maximum  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return False


def find_changed_protection(actual: BaseSettings, expected: Mapping[str, Any]) -> str | None:
    """The first protected or capped setting of a running crawler that has not the value it was started with; None if all have it.

    An add-on, an extension or an option of the command line can change a setting after it was checked.
    """
    original = scrapy.settings.Settings(expected)
    if actual.getpriority("DNS_RESOLVER"):  # reading its value warns of a deprecated setting
        return "DNS_RESOLVER"
    for name in (*(setting.name for setting in (*PROTECTED, *CRAWL_PROTECTED) if setting.name != "DNS_RESOLVER"), "DOWNLOAD_HANDLERS"):
        if _plain(actual.get(name)) != _plain(original.get(name)):
            return name
    return next((cap.name for cap in CAPPED if not is_within(actual.get(cap.name), cap)), None)


def check_protection(actual: BaseSettings, expected: Mapping[str, Any]) -> None:
    """Raise ConfigError if a running crawler has a protected setting changed; see `find_changed_protection`."""
    if (changed := find_changed_protection(actual, expected)) is not None:
        raise ConfigError(f"{changed} was changed by an add-on, an extension or an option of the command line; Newsmill decides it")


def _plain(value: object) -> object:
    return value.copy_to_dict() if isinstance(value, BaseSettings) else value
