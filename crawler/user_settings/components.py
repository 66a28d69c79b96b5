"""The middlewares, extensions and add-ons of the user."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from scrapy.settings import BaseSettings
from scrapy.utils.misc import load_object

from newsmill.exceptions import ConfigError

UNUSED_COMPONENTS = ("ITEM_PIPELINES", "SPIDER_MIDDLEWARES")  # in the continuous crawl, which has no items and no callbacks
COMPONENT_SETTINGS = ("ADDONS", "DOWNLOADER_MIDDLEWARES", "EXTENSIONS", *UNUSED_COMPONENTS)

# Setting → the middleware that it is for, and Scrapy's priority of that middleware. The continuous crawl loads only those in use.
MIDDLEWARES: Mapping[str, tuple[str, int]] = {
    "HTTPAUTH_USER": ("scrapy.downloadermiddlewares.httpauth.HttpAuthMiddleware", 300),
    "DEFAULT_REQUEST_HEADERS": ("scrapy.downloadermiddlewares.defaultheaders.DefaultHeadersMiddleware", 400),
    "COOKIES_ENABLED": ("crawler.network.cookies.BoundedCookiesMiddleware", 700),
    "HTTPPROXY_ENABLED": ("scrapy.downloadermiddlewares.httpproxy.HttpProxyMiddleware", 750),
}
# Sets the User-Agent header where no middleware of the user did.
USER_AGENT_MIDDLEWARE = "scrapy.downloadermiddlewares.useragent.UserAgentMiddleware"

LAST_ADDON = 1_000_000  # an order above those of the user's add-ons


class RemoveUnusedComponents:
    """A Scrapy add-on that removes what the add-ons before it have added in vain: its start could fail."""

    def update_settings(self, settings: BaseSettings) -> None:
        """Called by Scrapy."""
        for name in UNUSED_COMPONENTS:
            settings.set(name, {}, "cmdline")


def add_middlewares(user: Mapping[str, Any]) -> dict[str, Any]:
    """The user's settings, with the middlewares of Scrapy that they need, as far as the user gives them no other place."""
    if not user:
        return {}
    needed = dict(middleware for name, middleware in MIDDLEWARES.items() if _is_on(BaseSettings(user), name))
    return {**user, "DOWNLOADER_MIDDLEWARES": {USER_AGENT_MIDDLEWARE: 500, **needed, **user.get("DOWNLOADER_MIDDLEWARES", {})}}


def _is_on(user: BaseSettings, name: str) -> bool:
    return user.getbool(name) if name.endswith("_ENABLED") else bool(user.get(name))


def check_components(name: str, components: object, origin: str) -> None:
    if not isinstance(components, Mapping):
        raise ConfigError(f"{origin}: {name}: expected a table of import paths and numbers, not {str(components)[:80]!r}")
    for path, number in components.items():
        if not (number is None or isinstance(number, int)):
            raise ConfigError(f"{origin}: {name}: expected a number for {path}, not {number!r}")
        if number is None or not isinstance(path, str):
            continue
        try:
            load_object(path)
        except MemoryError:
            raise
        except Exception as error:  # noqa: BLE001 - code of the user: any error in it is a fault of the setting that names it
            remedy = _describe_import_remedy(path, error)
            raise ConfigError(f"{origin}: {name}: {path} cannot be imported ({type(error).__name__}: {error}); {remedy}") from None


def _describe_import_remedy(path: str, error: Exception) -> str:
    """What to do about a component that cannot be imported. Only a package that is not there can be installed."""
    package = path.partition(".")[0]
    missing = error.name or "" if isinstance(error, ModuleNotFoundError) else ""
    if missing == package and "." in path:
        return "install its package or correct the path"
    if f"{path}.".startswith(f"{missing}.") or isinstance(error, NameError | ValueError):
        return "correct the path"
    if missing and "." not in missing:
        return f"install the package of {missing}, which {package} needs"
    return f"{package} is installed but does not work with the other installed packages; update it or remove the line"


def check_components_started(task: asyncio.Task[None]) -> None:
    """Raise ConfigError if the task of a crawl with settings of the user failed: a component of theirs did not start."""
    if task.done() and not task.cancelled() and (error := task.exception()) is not None:
        raise ConfigError(f"your Scrapy settings: a component failed at the start: {type(error).__name__}: {error}") from error
