"""The Scrapy settings: every one that Newsmill changes, with its default and the reason, and those of the user, merged over them.

The user's come from a module (NEWSMILL_SCRAPY_SETTINGS) and from the table [scrapy] of sources.toml, which has priority. They are checked
against the settings that Newsmill decides itself.
"""

from __future__ import annotations

import asyncio
import importlib
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import scrapy.settings
from scrapy import Request, Spider
from scrapy.http import Response
from scrapy.logformatter import LogFormatter
from scrapy.settings import SETTINGS_PRIORITIES, BaseSettings, default_settings
from scrapy.utils.misc import load_object

from newsmill.exceptions import ConfigError, NewsmillError
from newsmill.message_signatures import find_agent_url, keys_folder
from newsmill.settings import Settings, read_scrapy_table

DEADLINE_SECONDS = 30.0  # for one URL, redirects included
MAX_BODY_BYTES = 10 * 1024 * 1024  # on the wire; `newsmill.extraction.decode` has the same limit for the unpacked body
HANDLER = "crawler.fetching.downloader.CappedHandler"
HANDLERS = {"http": HANDLER, "https": HANDLER, "file": None, "ftp": None, "s3": None, "data": None}


@dataclass(frozen=True, slots=True)
class Setting:
    """One changed Scrapy setting. A number as the `default` of a dictionary or list is its length."""

    name: str
    value: Any
    default: Any  # Scrapy 2.19's
    reason: str


# For every spider of the project: the network, the size of a response and its time.
NETWORK_SETTINGS: tuple[Setting, ...] = (
    Setting("TELNETCONSOLE_ENABLED", False, 1, "a shell on a port"),
    Setting("REMOTE_CONTROL_ENABLED", False, True, "a socket that runs Python"),
    Setting(
        "TWISTED_DNS_RESOLVER",
        "crawler.fetching.downloader.GuardedResolver",
        "scrapy.resolver.CachingThreadedResolver",
        "no private IP addresses",
    ),
    Setting("DOWNLOAD_VERIFY_CERTIFICATES", True, False, "Scrapy accepts any certificate"),
    Setting("DOWNLOAD_HANDLERS", HANDLERS, 0, "only http and https, with a limit on headers and checked proxies"),
    Setting("DOWNLOAD_MAXSIZE", MAX_BODY_BYTES, 1024**3, "1 GiB for one page is an attack"),
    Setting("DOWNLOAD_WARNSIZE", 0, 32 * 1024**2, "above DOWNLOAD_MAXSIZE; the outcome says the same"),
    Setting("DOWNLOAD_TIMEOUT", DEADLINE_SECONDS, 180, "to the last byte; every request has what is left of its URL's deadline"),
    Setting("REACTOR_THREADPOOL_MAXSIZE", 32, 10, "each slow name lookup occupies a thread, and many hosts are looked up at once"),
)

# For the continuous crawl: a HostWorker per host calls the downloader directly. Scrapy's own components are off; everything that happens
# is in crawler/, or is a component of the user's.
CRAWL_SETTINGS: tuple[Setting, ...] = (
    Setting("EXTENSIONS_BASE", {}, 11, "telnet, remote control and statistics are not used"),
    Setting("SPIDER_MIDDLEWARES_BASE", {}, 6, "the crawl has no callbacks, so none of them runs"),
    Setting("DOWNLOADER_MIDDLEWARES_BASE", {}, 14, "redirects, cookies, robots, retries and proxies are decided in crawler/, or off"),
    Setting("COOKIES_ENABLED", False, True, "no session is kept between pages or across a redirect; also off as a middleware"),
    Setting("REDIRECT_ENABLED", False, True, "the downloader follows and checks each redirect; also off as a middleware"),
    Setting("METAREFRESH_ENABLED", False, True, "the same for redirects in HTML"),
    Setting("RETRY_ENABLED", False, True, "the ledger's next_at is the retry; also off as a middleware"),
    Setting("COMPRESSION_ENABLED", False, True, "bodies are archived as sent, and a bomb never expands here; also off as a middleware"),
    Setting("HTTPPROXY_ENABLED", False, True, "the environment's proxies are used only where the user says so"),
    Setting("LOG_FORMATTER", "crawler.settings.QuietFormatter", "scrapy.logformatter.LogFormatter", "a line less to build per response"),
    Setting("LOG_INSTALL_ROOT_HANDLER", False, True, "the command sets up logging for all processes alike"),
    Setting("LOG_VERSIONS", [], 10, "looked up and printed at every start"),
    Setting("STATS_DUMP", False, True, "the ledger's counters are the statistics"),
    # Concurrency. Politeness is in crawler/politeness/throttle.py; these limits only have to be high enough for it.
    Setting("CONCURRENT_REQUESTS", 256, 16, "the real limit is the number of leased hosts times their concurrency"),
    Setting("CONCURRENT_REQUESTS_PER_DOMAIN", 16, 8, "the most a source may set, and the connections kept open to one host"),
    Setting("DOWNLOAD_DELAY_JITTER", 0, 0.5, "the slot's delay is 0 and stays 0"),
)

SETTINGS = (*NETWORK_SETTINGS, *CRAWL_SETTINGS)


def make_settings(changes: tuple[Setting, ...], settings: Settings) -> dict[str, Any]:
    """`changes` as Scrapy takes them, and what GuardedResolver, ProxyClient and RequestSigner read of Newsmill's own settings."""
    agent_url = find_agent_url(settings)
    return {setting.name: setting.value for setting in changes} | {
        "USER_AGENT": settings.agent,
        "NEWSMILL_ALLOW_NETS": list(map(str, settings.allow_nets)),
        "NEWSMILL_PROXY_RESOLVES_NAMES": settings.proxy_resolves_names,
        "NEWSMILL_SIGNING": [] if agent_url is None else [str(keys_folder(settings)), agent_url],
    }


class QuietFormatter(LogFormatter):
    """Skips the line per response, which Scrapy formats before it checks the log level."""

    def crawled(self, request: Request, response: Response, spider: Spider) -> None:  # type: ignore[override]
        return None


# ---- the user's settings --------------------------------------------------------------------------------------------------------

PLAYWRIGHT_HANDLER = "scrapy_playwright.handler.ScrapyPlaywrightDownloadHandler"
UNUSED_COMPONENTS = ("ITEM_PIPELINES", "SPIDER_MIDDLEWARES")  # in the continuous crawl, which has no items and no callbacks
COMPONENT_SETTINGS = ("ADDONS", "DOWNLOADER_MIDDLEWARES", "EXTENSIONS", *UNUSED_COMPONENTS)


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

# Setting → the middleware that it is for, and Scrapy's priority of that middleware. The continuous crawl loads only those in use.
MIDDLEWARES: Mapping[str, tuple[str, int]] = {
    "HTTPAUTH_USER": ("scrapy.downloadermiddlewares.httpauth.HttpAuthMiddleware", 300),
    "DEFAULT_REQUEST_HEADERS": ("scrapy.downloadermiddlewares.defaultheaders.DefaultHeadersMiddleware", 400),
    "COOKIES_ENABLED": ("crawler.network.cookies.BoundedCookiesMiddleware", 700),
    "HTTPPROXY_ENABLED": ("scrapy.downloadermiddlewares.httpproxy.HttpProxyMiddleware", 750),
}
# Sets the User-Agent header where no middleware of the user did.
USER_AGENT_MIDDLEWARE = "scrapy.downloadermiddlewares.useragent.UserAgentMiddleware"


def load_user_settings(settings: Settings, *, continuous: bool = True) -> dict[str, Any]:
    """The user's settings, checked; empty if there are none. Raises ConfigError with origin, setting and remedy.

    `continuous`: for the continuous crawl, where more settings are protected than in a spider of the user's.
    """
    path = settings.sources_file
    values: dict[str, Any] = {}
    if settings.scrapy_settings is not None:
        folders = [Path.cwd(), *([] if path is None else [path.parent]), *([] if settings.config is None else [settings.config])]
        values = _import_settings(settings.scrapy_settings, folders)
        values = check_user_settings(values, f"NEWSMILL_SCRAPY_SETTINGS={settings.scrapy_settings}", continuous=continuous)
    if path is not None and (table := read_scrapy_table(path)):
        values |= check_user_settings(table, f"{path}: [scrapy]", continuous=continuous)
    return values


def crawl_settings(settings: Settings, user: Mapping[str, Any]) -> dict[str, Any]:
    """All settings of the continuous crawl: Newsmill's, and the user's over them, without components that would not be used."""
    unused: dict[str, Any] = {name: {} for name in UNUSED_COMPONENTS}
    if user.get("ADDONS"):
        unused["ADDONS"] = {**user["ADDONS"], "crawler.settings.RemoveUnusedComponents": LAST_ADDON}
    return make_settings((*NETWORK_SETTINGS, *CRAWL_SETTINGS), settings) | add_middlewares(user) | unused


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


# ---- checks


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
            _check_components(name, user.get(name, {}), origin)
    return {name: value for name, value in user.items() if name != "DOWNLOAD_HANDLERS"}


def is_within(value: object, cap: Capped) -> bool:
    """Whether a value is a number above 0 and up to the cap."""
    try:
        return 0 < float(value) <= cap.maximum  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return False


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


def _check_components(name: str, components: object, origin: str) -> None:
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


def check_components_started(task: asyncio.Task[None]) -> None:
    """Raise ConfigError if the task of a crawl with settings of the user failed: a component of theirs did not start."""
    if task.done() and not task.cancelled() and (error := task.exception()) is not None:
        raise ConfigError(f"your Scrapy settings: a component failed at the start: {type(error).__name__}: {error}") from error


def _plain(value: object) -> object:
    return value.copy_to_dict() if isinstance(value, BaseSettings) else value


# ---- import


def import_user_module(name: str, folders: Iterable[Path], describe: Callable[[str], str]) -> ModuleType:
    """Import a module that the user wrote. The folders are searched after all others, so that none of their files hides a library.

    Raises ConfigError with the text that `describe` makes of the reason; its cause is the error of the module.
    """
    sys.path.extend(str(folder) for folder in folders if str(folder) not in sys.path)
    try:
        return importlib.import_module(name)
    except MemoryError:
        raise
    except Exception as error:  # code of the user: any error in it is a fault of the setting that names it
        raise ConfigError(describe(f"{type(error).__name__}: {error}")) from error


def _import_settings(module_name: str, folders: Iterable[Path]) -> dict[str, Any]:
    """The names in capitals of a module."""
    folders = list(dict.fromkeys(folder.absolute() for folder in folders))
    searched = " or ".join(map(str, folders))
    module = import_user_module(
        module_name,
        folders,
        lambda reason: f"NEWSMILL_SCRAPY_SETTINGS={module_name}: cannot be imported ({reason}); expected a module in {searched}",
    )
    return {name: getattr(module, name) for name in dir(module) if name.isupper()}


# ---- the commands of Scrapy, and the runs of spiders


@contextmanager
def exit_with_message() -> Iterator[None]:
    """Turn a NewsmillError into its message and exit code 2."""
    try:
        yield
    except NewsmillError as error:
        print(f"scrapy: {error}", file=sys.stderr)
        sys.exit(2)


MIDDLEWARE = "crawler.spider_runs.spider_hosts.SpiderMiddleware"
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
