"""Merges the user's Scrapy settings over Newsmill's.

They come from a module (NEWSMILL_SCRAPY_SETTINGS) and from the table [scrapy] of sources.toml, which has priority. They are checked
against the settings that Newsmill decides itself.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from crawler.settings import CRAWL_SETTINGS, HANDLERS, NETWORK_SETTINGS, make_settings
from crawler.user_settings.components import COMPONENT_SETTINGS, LAST_ADDON, UNUSED_COMPONENTS, add_middlewares, check_components
from crawler.user_settings.protection import CAPPED, CRAWL_PROTECTED, PROTECTED, is_within
from crawler.user_settings.user_modules import import_settings
from newsmill.exceptions import ConfigError, NewsmillError
from newsmill.settings import Settings
from newsmill.sources.config_file import read_scrapy_table

PLAYWRIGHT_HANDLER = "scrapy_playwright.handler.ScrapyPlaywrightDownloadHandler"


def load_user_settings(settings: Settings, *, continuous: bool = True) -> dict[str, Any]:
    """The user's settings, checked; empty if there are none. Raises ConfigError with origin, setting and remedy.

    `continuous`: for the continuous crawl, where more settings are protected than in a spider of the user's.
    """
    path = settings.sources_file
    values: dict[str, Any] = {}
    if settings.scrapy_settings is not None:
        folders = [Path.cwd(), *([] if path is None else [path.parent]), *([] if settings.config is None else [settings.config])]
        values = import_settings(settings.scrapy_settings, folders)
        values = check_user_settings(values, f"NEWSMILL_SCRAPY_SETTINGS={settings.scrapy_settings}", continuous=continuous)
    if path is not None and (table := read_scrapy_table(path)):
        values |= check_user_settings(table, f"{path}: [scrapy]", continuous=continuous)
    return values


def crawl_settings(settings: Settings, user: Mapping[str, Any]) -> dict[str, Any]:
    """All settings of the continuous crawl: Newsmill's, and the user's over them, without components that would not be used."""
    unused: dict[str, Any] = {name: {} for name in UNUSED_COMPONENTS}
    if user.get("ADDONS"):
        unused["ADDONS"] = {**user["ADDONS"], "crawler.user_settings.components.RemoveUnusedComponents": LAST_ADDON}
    return make_settings((*NETWORK_SETTINGS, *CRAWL_SETTINGS), settings) | add_middlewares(user) | unused


def check_user_settings(user: Mapping[str, Any], origin: str, *, continuous: bool = True) -> dict[str, Any]:
    """The settings that may be merged over Newsmill's. Pure, but for the import of the components that they name.

    Raises ConfigError with `origin`, the setting and the remedy for a protected setting, a value above its cap, and an unknown component.
    """
    protected = {setting.name: setting for setting in (*PROTECTED, *(CRAWL_PROTECTED if continuous else ()))}
    for name in user:
        if name.startswith("NEWSMILL_"):
            raise ConfigError(f"{origin}: {name} is not a Scrapy setting; set the environment variable of Newsmill")
        if name in protected:
            raise ConfigError(f"{origin}: {name} cannot be changed: {protected[name].reason}; {protected[name].remedy}")
    for cap in CAPPED:
        if cap.name in user and not is_within(user[cap.name], cap):
            expected = f"a number above 0 and up to {cap.maximum:g} {cap.unit}" if cap.unit != "bytes" else f"1 to {cap.maximum:,} bytes"
            raise ConfigError(f"{origin}: {cap.name}: expected {expected}, not {user[cap.name]!r}")
    _check_handlers(user.get("DOWNLOAD_HANDLERS", {}), origin)
    for name in COMPONENT_SETTINGS:
        if not (continuous and name in UNUSED_COMPONENTS):
            check_components(name, user.get(name, {}), origin)
    return {name: value for name, value in user.items() if name != "DOWNLOAD_HANDLERS"}


def _check_handlers(handlers: object, origin: str) -> None:
    """Accept scrapy-playwright's handler, which Newsmill replaces by a guarded one, and schemes that are off anyway."""
    known = isinstance(handlers, Mapping) and all(
        handler == PLAYWRIGHT_HANDLER or handler == HANDLERS.get(scheme) for scheme, handler in handlers.items()
    )
    if not known:
        raise ConfigError(
            f"{origin}: DOWNLOAD_HANDLERS cannot be changed: only Newsmill's handlers have the IP address guard and the limits; "
            f"only {PLAYWRIGHT_HANDLER} is accepted, and replaced by Newsmill's own"
        )


@contextmanager
def exit_with_message() -> Iterator[None]:
    """Turn a NewsmillError into its message and exit code 2."""
    try:
        yield
    except NewsmillError as error:
        print(f"scrapy: {error}", file=sys.stderr)
        sys.exit(2)
