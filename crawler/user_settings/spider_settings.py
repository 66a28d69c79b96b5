"""The Scrapy settings of a spider's run: what the spider may change, and what Newsmill decides."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from scrapy.settings import SETTINGS_PRIORITIES, BaseSettings, default_settings

from crawler.settings import NETWORK_SETTINGS, make_settings
from crawler.user_settings.protection import CAPPED, PROTECTED, is_within
from newsmill.settings import Settings

MIDDLEWARE = "crawler.spider_runs.spider_middleware.SpiderMiddleware"
MIDDLEWARE_ORDER = 10_000  # nearest to the network, so that retries and redirects of every other middleware pass it


def default_spider_settings(settings: Settings, user: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of a run, which the spider's custom_settings may change. `user` are the user's, checked."""
    changed = {
        "HTTPPROXY_ENABLED": False,  # as in the continuous crawl: proxies of the environment only where the user says so
        "LOG_INSTALL_ROOT_HANDLER": False,
        "LOG_VERSIONS": [],
    }
    return make_settings(NETWORK_SETTINGS, settings) | changed | dict(user)


def fixed_spider_settings(settings: Settings, current: BaseSettings) -> dict[str, Any]:
    """The settings that neither the user's settings nor the spider's custom_settings change. `current` has both."""
    own = make_settings(NETWORK_SETTINGS, settings)
    names = {setting.name for setting in PROTECTED} | {"DOWNLOAD_HANDLERS"}
    fixed = {name: value for name, value in own.items() if name in names or name.startswith("NEWSMILL_")}
    too_high = {cap.name: own[cap.name] for cap in CAPPED if not is_within(current.get(cap.name), cap)}
    base = default_settings.DOWNLOADER_MIDDLEWARES_BASE | {MIDDLEWARE: MIDDLEWARE_ORDER}
    # SpiderMiddleware decides on robots.txt
    return fixed | too_high | {"ROBOTSTXT_OBEY": False, "DOWNLOADER_MIDDLEWARES_BASE": base, "NEWSMILL_SOURCE_SPIDER": True}


def list_ignored_settings(current: BaseSettings, fixed: Mapping[str, Any]) -> list[str]:
    """The names in the spider's custom_settings that have no effect, because Newsmill decides them."""
    actual = BaseSettings(dict(fixed))
    of_spider = SETTINGS_PRIORITIES["spider"]
    return sorted(name for name in fixed if current.getpriority(name) == of_spider and current.get(name) != actual.get(name))
