"""Settings from environment variables and config/sources.toml. Other modules get their values from here and read neither.

An error is one sentence with the variable (or file, table and key) and the expected value. Values of variables that may contain a
password are never shown.
"""

from __future__ import annotations

import difflib
import ipaddress
import json
import os
import re
from collections.abc import Mapping
from datetime import timedelta
from email.utils import getaddresses
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from newsmill.exceptions import ConfigError
from newsmill.polling.listings import DEFAULT_FRESHNESS
from newsmill.sources.table_values import parse_duration, parse_freshness
from newsmill.text.redaction import redact
from newsmill.version import __version__

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

SECRET_VARIABLES = frozenset(
    {"REDIS_URL", "DATABASE_URL", "ARCHIVE_URL", "NEWSMILL_WEB_TOKEN", "NEWSMILL_SMTP_URL"}
    | {"NEWSMILL_HEALTH_ALERTS", "NEWSMILL_HEALTH_COMMAND", "NEWSMILL_HEALTH_SECRET", "NEWSMILL_HEALTH_PING"}
)  # never shown in errors
OTHER_VARIABLES = frozenset({"NEWSMILL_TOKEN", "NEWSMILL_URL", "NEWSMILL_SOURCE"})  # of `newsmill mcp` and of projects that use Scrapy
# The headings of docs/reference/settings.md, by the first setting of each in `Settings`.
GROUP_STARTS = {
    "redis_url": "Data and services",
    "allow_nets": "Crawl",
    "web": "Web pages and API",
    "smtp_url": "Alerts on saved searches",
    "health_alerts": "Alarms of sources",
}
SCHEMES = {"REDIS_URL": "redis rediss unix", "DATABASE_URL": "postgresql postgres sqlite", "ARCHIVE_URL": "file s3"}

MAX_EMAIL_CHARACTERS = 254  # RFC 5321 by way of its erratum 1690
EMAIL_ADDRESS = re.compile(r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@(?:[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.)*[A-Za-z0-9-]{1,63}")
APPRISE_PATTERN = r"^[a-z0-9]+(://[A-Za-z0-9.-]+(:\d{1,5})?)?$"


def _split_list(value: str) -> list[str]:
    return [part for part in re.split(r"[,\s]+", value) if part]


def _check_scheme(variable: str) -> AfterValidator:
    """A validator for the scheme of a URL; ARCHIVE_URL may also be a path."""

    def check(value: str) -> str:
        scheme, separator, _ = value.partition("://")
        if separator and scheme.partition("+")[0] not in SCHEMES[variable].split():
            raise ValueError(variable)
        if not separator and variable != "ARCHIVE_URL":
            raise ValueError(variable)
        return value

    return AfterValidator(check)


def _refuse_url(value: Path) -> Path:
    if value.parts and value.parts[0].endswith(":"):  # it would be a new folder such as "s3:"
        raise ValueError("NEWSMILL_DATA")
    return value


def _check_one_line(value: str) -> str:
    if not value.isprintable():  # a line break would add another header to every request
        raise ValueError("line break")
    return value


def _check_contact(value: str) -> str:
    if not is_email_address(value) and (" " in value or not _check_one_line(_check_http_url(value))):
        raise ValueError("not a contact")
    return value


def _split_command(value: str) -> list[str]:
    arguments = json.loads(value)
    if not isinstance(arguments, list) or not arguments or not all(isinstance(one, str) and "\0" not in one for one in arguments):
        raise ValueError("not a list of arguments")
    return arguments


def _check_http_url(value: str) -> str:
    parts = urlsplit(value)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("not a URL")
    return value


def _check_listen_address(value: str) -> str:
    host, _, port = value.rpartition(":")
    if value != "off" and not (host and port.isascii() and port.isdigit() and int(port) < 65536):
        raise ValueError("not an IP address and port")
    return value


def _check_base_url(value: str) -> str:
    parts = urlsplit(value)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.path not in ("", "/") or parts.query or parts.username:
        raise ValueError("not a base URL")
    return value


def _check_smtp_url(value: str) -> str:
    parts = urlsplit(value)
    if parts.scheme not in ("smtp", "smtps") or not parts.hostname or parts.path not in ("", "/") or parts.query or parts.port == 0:
        raise ValueError("not the URL of a mail server")
    return value


def check_sender(value: str) -> str:
    """A value with one e-mail address, with or without a name. Raises ValueError."""
    found = getaddresses([value])
    if not value.isprintable() or len(found) != 1 or not is_email_address(found[0][1]):
        raise ValueError("not an e-mail address")
    return value


def is_email_address(text: str) -> bool:
    """Whether the text is one ASCII e-mail address of the plain form that every mail server accepts.

    >>> is_email_address("ann.lee+news@mail.example.org"), is_email_address("ann@example.org, bea@example.org")
    (True, False)
    """
    return len(text) <= MAX_EMAIL_CHARACTERS and EMAIL_ADDRESS.fullmatch(text) is not None


class Settings(BaseModel):
    """The validated environment variables.

    An error prints a field's description after "expected"; docs/reference/settings.md shows its title.
    """

    model_config = ConfigDict(frozen=True, populate_by_name=True, arbitrary_types_allowed=True)

    redis_url: Annotated[str, _check_scheme("REDIS_URL")] | None = Field(
        default=None,
        alias="REDIS_URL",
        title="Queue. Default: a private Valkey in the data folder.",
        description="redis://host[:port][/db], rediss://… or unix:///path, with :password@ after the slashes if it has one",
    )
    open_redis: bool = Field(
        default=False, alias="NEWSMILL_ALLOW_OPEN_REDIS", title="Accept a Redis server without a password.", description="true or false"
    )
    database_url: Annotated[str, _check_scheme("DATABASE_URL")] | None = Field(
        default=None,
        alias="DATABASE_URL",
        title="Database. Default: `newsmill.sqlite` in the data folder.",
        description="postgresql://user:password@host/name or sqlite:///path",
    )
    archive_url: Annotated[str, _check_scheme("ARCHIVE_URL")] | None = Field(
        default=None,
        alias="ARCHIVE_URL",
        title="Archive of fetched pages. Default: `archive/` in the data folder.",
        description="a folder, file:///path or s3://bucket/path",
    )
    log_level: Annotated[Literal["DEBUG", "INFO", "WARNING", "ERROR"], BeforeValidator(str.upper)] = Field(
        default="INFO",
        alias="LOG_LEVEL",
        title="Minimum level of log records.",
        description="DEBUG, INFO, WARNING or ERROR",
    )
    data: Annotated[Path, AfterValidator(_refuse_url)] = Field(
        default=Path("newsmill-data"), alias="NEWSMILL_DATA", title="Data folder.", description="a folder"
    )
    config: Path | None = Field(
        default=None,
        alias="NEWSMILL_CONFIG",
        title="Folder with `sources.toml`. Default: `./config`.",
        description="a folder that may contain sources.toml",
    )

    stories_across_languages: bool = Field(
        default=False,
        alias="NEWSMILL_STORIES_ACROSS_LANGUAGES",
        title="Put documents of different languages into one story.",
        description="true or false",
    )
    allow_nets: Annotated[tuple[Network, ...], BeforeValidator(_split_list)] = Field(
        default=(),
        alias="NEWSMILL_ALLOW_NETS",
        title="Private networks that crawlers, web hooks, images and files at `http(s)://` URLs may access.",
        description="networks such as 10.0.0.0/8 or 127.0.0.1, separated by commas",
    )
    contact: Annotated[str, AfterValidator(_check_contact)] | None = Field(
        default=None,
        alias="NEWSMILL_CONTACT",
        title="Your URL or e-mail address, sent in the User-Agent header.",
        max_length=200,
        description="one line: a URL that begins with http:// or https://, or an e-mail address",
    )
    user_agent: Annotated[str, AfterValidator(_check_one_line)] | None = Field(
        default=None,
        alias="NEWSMILL_USER_AGENT",
        title="User-Agent header; robots.txt rules match the part before `/`. Default: `Newsmill/VERSION (+CONTACT)`.",
        max_length=300,
        description="one line, such as: mybot/1.0 (+https://example.org/bot)",
    )
    processes: int | None = Field(
        default=None,
        alias="NEWSMILL_PROCESSES",
        title="Worker processes of `newsmill up` and `newsmill crawl`. Default: one per core.",
        ge=1,
        le=256,
        description="a whole number from 1 to 256",
    )
    high_water: int = Field(
        default=500,
        alias="NEWSMILL_HIGH_WATER",
        title="Crawlers pause while more segments (about 32 pages each) wait for workers.",
        ge=1,
        description="a whole number of segments, 1 or more",
    )
    polls_per_minute: int = Field(
        default=3000,
        alias="NEWSMILL_POLLS_PER_MINUTE",
        title="Maximum requests per minute for feeds, sitemaps, sections and homepages of all sources without `every` and `cron`.",
        ge=1,
        le=100_000,
        description="a whole number of requests a minute, from 1 to 100000",
    )
    freshness: Annotated[timedelta, BeforeValidator(parse_freshness)] = Field(
        default=DEFAULT_FRESHNESS,
        alias="NEWSMILL_FRESHNESS",
        title="Expected delay of a new article, for sources without `freshness`, `every` and `cron`; shorter costs more requests.",
        description="a duration from 1m to 1d",
    )
    learn: bool = Field(
        default=True,
        alias="NEWSMILL_LEARN",
        title="Learn site profiles from stored pages and use them for extraction.",
        description="true or false",
    )
    scrapy_settings: str | None = Field(
        default=None,
        alias="NEWSMILL_SCRAPY_SETTINGS",
        title="Python module with your Scrapy settings, in the folder of `sources.toml` or the working directory.",
        pattern=r"^[A-Za-z_]\w*(\.[A-Za-z_]\w*)*$",
        description="an import path such as my_settings or my_project.settings",
    )
    proxy_resolves_names: bool = Field(
        default=False,
        alias="NEWSMILL_PROXY_RESOLVES_NAMES",
        title="HTTP proxies resolve host names themselves; Newsmill then checks only URLs with an IP address.",
        description="true or false",
    )

    web: Annotated[str, AfterValidator(_check_listen_address)] = Field(
        default="127.0.0.1:8470",
        alias="NEWSMILL_WEB",
        title="IP address and port of the web pages and the API.",
        description="address:port, such as 127.0.0.1:8470 or [::]:8470, or off",
    )
    web_url: Annotated[str, AfterValidator(_check_base_url)] | None = Field(
        default=None,
        alias="NEWSMILL_WEB_URL",
        title="URL of the server as its users see it, for links and feeds. Sessions stay at its host. With https, cookies are secure.",
        description="http(s)://name[:port], without a path",
    )
    public_url: Annotated[str, AfterValidator(_check_base_url)] | None = Field(
        default=None,
        alias="NEWSMILL_PUBLIC_URL",
        title="URL under which hubs and publishers on the internet reach this server. Default: none, and no WebSub subscriptions.",
        description="http(s)://name[:port], without a path",
    )
    web_hosts: Annotated[tuple[str, ...], BeforeValidator(_split_list)] = Field(
        default=(),
        alias="NEWSMILL_WEB_HOSTS",
        title="Additional host names that requests may use.",
        description="host names, separated by commas",
    )
    web_token: str | None = Field(
        default=None,
        alias="NEWSMILL_WEB_TOKEN",
        title="A token with the scope admin, for automatic installations. Default: a token in the file web-token of the data folder.",
        pattern="^[A-Za-z0-9]{24,100}$",
        description="24 to 100 letters and digits",
    )
    web_rate: int = Field(
        default=600,
        alias="NEWSMILL_WEB_RATE",
        title="Maximum requests per minute for each token or client.",
        ge=1,
        description="a whole number of requests a minute, 1 or more",
    )
    web_images: bool = Field(
        default=True,
        alias="NEWSMILL_WEB_IMAGES",
        title="Show the main images of articles on the web pages. The server fetches them from their sites when a reader sees them.",
        description="true or false",
    )

    smtp_url: Annotated[str, AfterValidator(_check_smtp_url)] | None = Field(
        default=None,
        alias="NEWSMILL_SMTP_URL",
        title="Mail server for alerts. `smtps` uses TLS from the start; `smtp` uses STARTTLS, which a password requires.",
        description="smtp://host[:port] or smtps://…, with user:password@ before the host, its special characters percent-encoded",
    )
    mail_from: Annotated[str, AfterValidator(check_sender)] | None = Field(
        default=None,
        alias="NEWSMILL_MAIL_FROM",
        title="Sender of alerts by e-mail.",
        description="an e-mail address, such as news@example.org or Newsmill <news@example.org>",
    )
    mail_to: Annotated[tuple[str, ...], BeforeValidator(_split_list)] = Field(
        default=(),
        alias="NEWSMILL_MAIL_TO",
        title="E-mail addresses and domains to which alerts may be sent. Default: all.",
        description="e-mail addresses and domains such as example.org, separated by commas",
    )
    apprise: Annotated[tuple[Annotated[str, Field(pattern=APPRISE_PATTERN)], ...], BeforeValidator(_split_list)] = Field(
        default=(),
        alias="NEWSMILL_APPRISE",
        title="Services of Apprise to which alerts may be sent: a scheme, or a scheme and a host. Default: none.",
        description="schemes such as tgram and services such as ntfys://ntfy.example.org, separated by commas",
    )

    health_alerts: Annotated[tuple[str, ...], BeforeValidator(_split_list)] = Field(
        default=(),
        alias="NEWSMILL_HEALTH_ALERTS",
        title="Receivers of messages about sources' alarms; see NEWSMILL_SMTP_URL and NEWSMILL_APPRISE. Default: none.",
        description="e-mail addresses, URLs of web hooks and URLs of Apprise services, separated by commas or spaces",
    )
    health_command: Annotated[tuple[str, ...], BeforeValidator(_split_command)] = Field(
        default=(),
        alias="NEWSMILL_HEALTH_COMMAND",
        title="A program that gets each message about an alarm as JSON on its standard input, for at most 30 s and without a shell.",
        description='a JSON list of arguments, such as ["/usr/local/bin/notify", "--from", "newsmill"]',
    )
    health_secret: str | None = Field(
        default=None,
        alias="NEWSMILL_HEALTH_SECRET",
        title="Secret that signs messages about alarms to web hooks (Standard Webhooks). Default: messages are not signed.",
        pattern="^whsec_[A-Za-z0-9+/]{32,96}={0,2}$",
        description="whsec_ and 24 to 64 bytes in Base64",
    )
    health_language: Literal["en", "de"] = Field(
        default="en", alias="NEWSMILL_HEALTH_LANGUAGE", title="Language of messages about alarms.", description="en or de"
    )
    health_silence: Annotated[timedelta, BeforeValidator(parse_duration)] | None = Field(
        default=None,
        alias="NEWSMILL_HEALTH_SILENCE",
        title="An alarm begins when no source gave a document for this time. Default: never.",
        description="a duration such as 6h or 2d",
    )
    health_ping: Annotated[str, AfterValidator(_check_http_url)] | None = Field(
        default=None,
        alias="NEWSMILL_HEALTH_PING",
        title="URL of a watching service such as healthchecks.io. It gets a POST each minute, except while no source gives documents.",
        description="http(s)://…",
    )

    @property
    def agent(self) -> str:
        """The User-Agent header: NEWSMILL_USER_AGENT, or the default with NEWSMILL_CONTACT."""
        return self.user_agent or f"Newsmill/{__version__} ({f'+{self.contact}' if self.contact else 'no contact given'})"

    @property
    def worker_processes(self) -> int:
        """NEWSMILL_PROCESSES, or one worker per core."""
        return self.processes or os.cpu_count() or 1

    @property
    def web_listen(self) -> tuple[str, int] | None:
        """IP address or host and port of NEWSMILL_WEB; None for "off"."""
        host, _, port = self.web.rpartition(":")
        return None if self.web == "off" else (host.strip("[]"), int(port))

    @property
    def sources_file(self) -> Path | None:
        """sources.toml in NEWSMILL_CONFIG (default: ./config), or None if it does not exist. Raises ConfigError if NEWSMILL_CONFIG is not
        a folder."""
        if self.config and not self.config.is_dir():
            raise ConfigError(f"NEWSMILL_CONFIG: expected a folder that may contain sources.toml, not {str(self.config)!r}")
        path = (self.config or Path("config")) / "sources.toml"
        return path if path.exists() else None


def load(environ: Mapping[str, str] = os.environ) -> Settings:
    """The settings of the environment; an empty variable counts as unset. Raises ConfigError with one sentence."""
    names = {field.alias: field.description for field in Settings.model_fields.values()}
    _reject_misspelt(environ, names)
    try:
        return Settings.model_validate({name: environ[name].strip() for name in names if name and environ.get(name, "").strip()})
    except ValidationError as error:
        name = str(error.errors()[0]["loc"][0])
        value = "" if name in SECRET_VARIABLES else f", not {redact(environ[name])[:80]!r}"
        raise ConfigError(f"{name}: expected {names[name]}{value}") from None


def group_settings() -> dict[str, dict[str, str]]:
    """The variables by the name of their setting, by heading."""
    groups: dict[str, dict[str, str]] = {}
    for name, field in Settings.model_fields.items():
        if name in GROUP_STARTS:
            group = groups.setdefault(GROUP_STARTS[name], {})
        group[name] = field.alias or name
    return groups


def list_unknown(environ: Mapping[str, str]) -> list[str]:
    """The variables that begin with NEWSMILL_ and that no part of Newsmill reads."""
    known = {field.alias for field in Settings.model_fields.values()} | OTHER_VARIABLES
    return sorted(name for name in environ if name.startswith("NEWSMILL_") and name not in known)


def _reject_misspelt(environ: Mapping[str, str], names: Mapping[str | None, object]) -> None:
    """Raise ConfigError for a variable with a name similar to a setting.

    Other variables that begin with NEWSMILL_ are allowed: Kubernetes sets NEWSMILL_REDIS_PORT for a service called newsmill-redis.
    """
    known = [name for name in names if name]
    for name in list_unknown(environ):
        if near := difflib.get_close_matches(name, known, n=1, cutoff=0.85):
            raise ConfigError(f"{name}: unknown setting; did you mean {near[0]}?")
