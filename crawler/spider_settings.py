"""Scrapy's settings for the run of a spider: Scrapy's own scheduler and middlewares are on, Newsmill's limits stay."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from scrapy.settings import SETTINGS_PRIORITIES, BaseSettings, default_settings

from crawler.settings import NETWORK_SETTINGS, make_settings
from crawler.user_settings import CAPPED, PROTECTED, is_within
from newsmill.settings import Settings

MIDDLEWARE = "crawler.spider_middleware.SpiderMiddleware"
MIDDLEWARE_ORDER = 10_000  # nearest to the network, so that retries and redirects of every other middleware pass it


def default_spider_settings(settings: Settings, user: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of a run, which the spider's custom_settings may change. `user` are the operator's, checked by user_settings."""
    changed = {
        "HTTPPROXY_ENABLED": False,  # as in the continuous crawl: proxies of the environment only where the operator says so
        "LOG_INSTALL_ROOT_HANDLER": False,
        "LOG_VERSIONS": [],
    }
    return _network_settings(settings) | changed | dict(user)


def fixed_spider_settings(settings: Settings, current: BaseSettings) -> dict[str, Any]:
    """The settings that neither the operator's settings nor the spider's custom_settings change. `current` has both."""
    own = _network_settings(settings)
    names = {setting.name for setting in PROTECTED} | {"DOWNLOAD_HANDLERS"}
    fixed = {name: value for name, value in own.items() if name in names or name.startswith("NEWSMILL_")}
    too_high = {cap.name: own[cap.name] for cap in CAPPED if not is_within(current.get(cap.name), cap)}
    base = default_settings.DOWNLOADER_MIDDLEWARES_BASE | {MIDDLEWARE: MIDDLEWARE_ORDER}
    return fixed | too_high | {"ROBOTSTXT_OBEY": False, "DOWNLOADER_MIDDLEWARES_BASE": base}  # SpiderMiddleware decides on robots.txt


def list_ignored_settings(current: BaseSettings, fixed: Mapping[str, Any]) -> list[str]:
    """The names in the spider's custom_settings that have no effect, because Newsmill decides them."""
    actual = BaseSettings(dict(fixed))
    of_spider = SETTINGS_PRIORITIES["spider"]
    return sorted(name for name in fixed if current.getpriority(name) == of_spider and current.get(name) != actual.get(name))


def _network_settings(settings: Settings) -> dict[str, Any]:
    allow_nets = tuple(map(str, settings.allow_nets))
    return make_settings(NETWORK_SETTINGS, settings.agent, allow_nets, proxy_resolves_names=settings.proxy_resolves_names)
