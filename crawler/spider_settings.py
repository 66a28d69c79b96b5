"""Scrapy's settings for the run of a spider: Scrapy's own scheduler and middlewares are on, Newsmill's limits stay."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from scrapy.settings import BaseSettings, default_settings

from crawler.settings import NETWORK_SETTINGS, make_settings
from crawler.user_settings import CAPPED, PROTECTED
from newsmill.model import Source
from newsmill.settings import Settings

MIDDLEWARE = "crawler.spider_middleware.SpiderMiddleware"
MIDDLEWARE_ORDER = 10_000  # nearest to the network, so that retries and redirects of every other middleware pass it


def spider_settings(settings: Settings, source: Source, user: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The settings of a run: those that the spider's custom_settings may change, and those that they may not.

    `user` are the operator's settings (user_settings.load_user_settings), checked.
    """
    allow_nets = tuple(map(str, settings.allow_nets))
    own = make_settings(NETWORK_SETTINGS, settings.agent, allow_nets, proxy_resolves_names=settings.proxy_resolves_names)
    protected = {setting.name for setting in PROTECTED} | {cap.name for cap in CAPPED} | {"DOWNLOAD_HANDLERS", "HTTPPROXY_ENABLED"}
    fixed = {name: value for name, value in own.items() if name in protected or name.startswith("NEWSMILL_")}
    fixed |= {
        "ROBOTSTXT_OBEY": False,  # SpiderMiddleware decides, as the continuous crawl does
        "DOWNLOAD_DELAY": 0,  # the throttle of the host has the delay
        "DOWNLOAD_DELAY_JITTER": 0,
        "CONCURRENT_REQUESTS_PER_DOMAIN": max(8, source.politeness.concurrency),
        "DOWNLOADER_MIDDLEWARES_BASE": default_settings.DOWNLOADER_MIDDLEWARES_BASE | {MIDDLEWARE: MIDDLEWARE_ORDER},
    }
    free = {name: value for name, value in (own | dict(user)).items() if name not in fixed}
    lowered = {cap.name: user[cap.name] for cap in CAPPED if cap.name in user}
    return free, fixed | lowered


def list_ignored_settings(custom_settings: Mapping[str, Any], fixed: Mapping[str, Any]) -> list[str]:
    """The names in a spider's custom_settings that have no effect, because Newsmill decides them."""
    actual, wanted = BaseSettings(dict(fixed)), BaseSettings(dict(custom_settings))
    return [name for name in custom_settings if name in fixed and wanted.get(name) != actual.get(name)]
