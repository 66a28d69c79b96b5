"""The Scrapy settings: Newsmill's have Scrapy's true defaults, and which of the operator's are merged or refused, and with which words."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import scrapy.settings
from scrapy.settings import default_settings
from scrapy.utils.misc import load_object

from crawler.settings import MAX_BODY_BYTES, SETTINGS, Setting, make_settings
from crawler.user_settings.components import MIDDLEWARES, UNUSED_COMPONENTS, USER_AGENT_MIDDLEWARE
from crawler.user_settings.merge import PLAYWRIGHT_HANDLER, check_user_settings, crawl_settings, load_user_settings
from crawler.user_settings.protection import CAPPED, CRAWL_PROTECTED, PROTECTED, Protected, find_changed_protection
from newsmill.exceptions import ConfigError
from newsmill.settings import Settings, load

STATS = "scrapy.downloadermiddlewares.stats.DownloaderStats"


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A config folder; what is imported from it is forgotten."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    known = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - known:
        if getattr(sys.modules[name], "__file__", None) and str(sys.modules[name].__file__).startswith(str(tmp_path)):
            del sys.modules[name]


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


def refusal(user: dict[str, Any], **how: Any) -> str:
    with pytest.raises(ConfigError) as caught:
        check_user_settings(user, "here", **how)
    return str(caught.value)


def test_without_settings_of_the_operator_nothing_is_loaded(config: Path) -> None:
    settings = Settings(config=config)
    assert load_user_settings(settings) == {}
    values = crawl_settings(settings, {})
    assert "DOWNLOADER_MIDDLEWARES" not in values and "EXTENSIONS" not in values
    assert values["DOWNLOADER_MIDDLEWARES_BASE"] == values["EXTENSIONS_BASE"] == {}


def test_a_module_and_the_table_are_merged_and_the_table_has_priority(config: Path) -> None:
    (config / "my_settings.py").write_text(f'EXTENSIONS = {{"{STATS}": 1}}\nMY_KEY, MY_OTHER = 1, 2\nlower = 3\n')
    (config / "sources.toml").write_text(f'[scrapy]\nMY_OTHER = 4\n[scrapy.DOWNLOADER_MIDDLEWARES]\n"{STATS}" = 850\n')
    settings = Settings(config=config, scrapy_settings="my_settings")
    user = load_user_settings(settings)
    assert user == {"EXTENSIONS": {STATS: 1}, "MY_KEY": 1, "MY_OTHER": 4, "DOWNLOADER_MIDDLEWARES": {STATS: 850}}
    values = crawl_settings(settings, user)
    assert values["DOWNLOADER_MIDDLEWARES"] == {STATS: 850, USER_AGENT_MIDDLEWARE: 500}
    assert values["TWISTED_DNS_RESOLVER"] == "crawler.network.guarded_resolver.GuardedResolver"


@pytest.mark.parametrize("setting", [*PROTECTED, *CRAWL_PROTECTED], ids=lambda setting: setting.name)
def test_a_protected_setting_is_refused_with_reason_and_remedy(setting: Protected) -> None:
    message = refusal({setting.name: getattr(default_settings, setting.name)})
    assert message == f"here: {setting.name} cannot be changed: {setting.reason}; {setting.remedy}"
    if setting in CRAWL_PROTECTED:
        assert check_user_settings({setting.name: None}, "here", continuous=False) == {setting.name: None}
    else:
        refusal({setting.name: None}, continuous=False)


@pytest.mark.parametrize("value", [0, -1, MAX_BODY_BYTES + 1, 10**12, "much", None, float("nan"), float("inf")])
def test_a_limit_can_only_be_lowered(value: object) -> None:
    for cap in CAPPED:
        assert cap.name in refusal({cap.name: value})
        assert check_user_settings({cap.name: 1}, "here") == {cap.name: 1}


def test_only_the_handler_of_scrapy_playwright_is_accepted_and_not_used() -> None:
    assert check_user_settings({"DOWNLOAD_HANDLERS": {"https": PLAYWRIGHT_HANDLER, "ftp": None}}, "here") == {}
    for handlers in ({"https": "scrapy.core.downloader.handlers.http11.HTTP11DownloadHandler"}, {"http": None}, ["x"], {"gopher": STATS}):
        assert "address guard" in refusal({"DOWNLOAD_HANDLERS": handlers})


def test_settings_of_newsmill_are_no_scrapy_settings() -> None:
    assert "environment variable" in refusal({"NEWSMILL_ALLOW_NETS": ["127.0.0.0/8"]})


@pytest.mark.parametrize("name", ["DOWNLOADER_MIDDLEWARES", "EXTENSIONS", "ADDONS"])
def test_a_component_that_cannot_be_imported_is_named(name: str) -> None:
    for path in ("no_such_package.Middleware", f"{STATS}X", "nodots"):
        assert f"{name}: {path} cannot be imported" in refusal({name: {path: 1}})
    assert f"expected a number for {STATS}" in refusal({name: {STATS: "first"}})
    assert "expected a table" in refusal({name: [STATS]})


@pytest.mark.parametrize(
    ("text", "path", "remedy"),
    [
        ("", "no_such_package.M", "install its package or correct the path"),
        ("", "sick_component.no_such_module.M", "correct the path"),
        ("", "sick_component.NoSuchName", "correct the path"),
        ("import no_such_package", "sick_component.M", "install the package of no_such_package, which sick_component needs"),
        ("import scrapy.no_such_module", "sick_component.M", "sick_component is installed but does not work with"),
        ("from scrapy import no_such_name", "sick_component.M", "sick_component is installed but does not work with"),
        ("1/0", "sick_component.M", "sick_component is installed but does not work with"),
    ],
)
def test_only_a_package_that_is_missing_is_to_be_installed(config: Path, text: str, path: str, remedy: str) -> None:
    (config / "sick_component.py").write_text(text)
    sys.path.append(str(config))
    message = refusal({"DOWNLOADER_MIDDLEWARES": {path: 1}})
    assert message.startswith(f"here: DOWNLOADER_MIDDLEWARES: {path} cannot be imported (")
    assert f"); {remedy}" in message


@pytest.mark.parametrize("name", UNUSED_COMPONENTS)
def test_components_without_use_in_the_continuous_crawl_are_not_imported(name: str) -> None:
    user = check_user_settings({name: {"no_such_package.Component": 1}}, "here")
    assert crawl_settings(Settings(), user)[name] == {}
    assert "install its package" in refusal({name: {"no_such_package.Component": 1}}, continuous=False)


def test_a_setting_brings_its_middleware() -> None:
    for name, (path, priority) in MIDDLEWARES.items():
        value: Any = True if name.endswith("_ENABLED") else {"X": "y"}
        assert crawl_settings(Settings(), {name: value})["DOWNLOADER_MIDDLEWARES"][path] == priority
        assert path not in crawl_settings(Settings(), {name: "false" if value is True else None})["DOWNLOADER_MIDDLEWARES"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "expected a module in"),
        ("1/0", "ZeroDivisionError"),
        ("import no_such_package", "no_such_package"),
        ("TELNETCONSOLE_ENABLED = True", "it opens a port that runs Python"),
    ],
)
def test_a_module_that_cannot_be_used(config: Path, text: str, message: str) -> None:
    if text:
        (config / "broken_settings.py").write_text(text)
    with pytest.raises(ConfigError, match=r"^NEWSMILL_SCRAPY_SETTINGS=broken_settings: ") as caught:
        load_user_settings(Settings(config=config, scrapy_settings="broken_settings"))
    assert message in str(caught.value)


@pytest.mark.parametrize("table", ["scrapy = 1", "[scrapy]\ncookies = true", '[scrapy]\nUSER_AGENT = "Mozilla"', "[Scrapy]\nA = 1"])
def test_a_table_that_cannot_be_used(config: Path, table: str) -> None:
    from newsmill.sources.config_file import read_sources

    (config / "sources.toml").write_text(table)
    with pytest.raises(ConfigError, match=r"sources\.toml: "):
        load_user_settings(Settings(config=config))
        read_sources(config / "sources.toml")


def test_a_setting_that_changed_after_the_check_is_found() -> None:
    values = crawl_settings(Settings(), {"COOKIES_ENABLED": True, "DOWNLOAD_MAXSIZE": 5000})
    assert find_changed_protection(scrapy.settings.Settings(values), values) is None
    changes = {"TWISTED_DNS_RESOLVER": "x.Y", "DOWNLOAD_HANDLERS": {"https": STATS}, "DOWNLOAD_MAXSIZE": 0, "DOWNLOADER": STATS}
    for name, value in changes.items():
        assert find_changed_protection(scrapy.settings.Settings(values | {name: value}), values) == name
    assert find_changed_protection(scrapy.settings.Settings(values | {"DNS_RESOLVER": "x.Y"}), values) == "DNS_RESOLVER"
