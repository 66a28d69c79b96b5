"""The settings module of the Scrapy project (scrapy.cfg): Newsmill's network settings, then the user's.

Scrapy's own middlewares and extensions are on here, as in every Scrapy project; the spider `news` has the settings of `newsmill crawler`.
"""

from __future__ import annotations

from crawler.settings import NETWORK_SETTINGS, make_settings
from crawler.user_settings.merge import exit_with_message, load_user_settings
from newsmill.settings import load

BOT_NAME = "newsmill"
SPIDER_MODULES = ["crawler.spiders", "crawler.process"]  # examples to copy, and the continuous crawl
ROBOTSTXT_OBEY = True
DOWNLOAD_DELAY = 1
CONCURRENT_REQUESTS_PER_DOMAIN = 1
NEWSMILL_PROJECT = True  # read by the spider `news`

with exit_with_message():
    _settings = load()
    LOG_LEVEL = _settings.log_level
    globals().update(make_settings(NETWORK_SETTINGS, _settings))
    globals().update(load_user_settings(_settings, continuous=False))
