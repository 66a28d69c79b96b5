"""Every changed setting has Scrapy's true default, so that its reason stays true."""

from __future__ import annotations

import pytest
from scrapy.settings import default_settings
from scrapy.utils.misc import load_object

from crawler.settings import SETTINGS, Setting, make_settings
from newsmill.settings import load


@pytest.mark.parametrize("setting", SETTINGS, ids=lambda setting: setting.name)
def test_default_is_scrapys(setting: Setting) -> None:
    actual = getattr(default_settings, setting.name)
    assert setting.default == (len(actual) if isinstance(actual, dict | list) else actual)
    assert setting.reason


def test_named_classes_exist() -> None:
    settings = make_settings(SETTINGS, load({"NEWSMILL_ALLOW_NETS": "127.0.0.0/8"}))
    for path in (settings["TWISTED_DNS_RESOLVER"], settings["LOG_FORMATTER"], settings["DOWNLOAD_HANDLERS"]["https"]):
        assert load_object(path)
    assert settings["NEWSMILL_ALLOW_NETS"] == ["127.0.0.0/8"]


def test_no_name_is_set_twice() -> None:
    names = [setting.name for setting in SETTINGS]
    assert len(names) == len(set(names))
