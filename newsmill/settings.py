"""What an operator says: environment variables and config/sources.toml. The only file that reads either; everybody else gets values.

Every refusal is one sentence that names the variable (or file, table and key) and what was expected. Values of variables that may
hold a password are never repeated.
"""

from __future__ import annotations

import difflib
import ipaddress
import os
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from newsmill import __version__
from newsmill.exceptions import ConfigError
from newsmill.model import Source
from newsmill.redaction import redact
from newsmill.sources import parse_source

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

SECRET = frozenset({"REDIS_URL", "DATABASE_URL", "ARCHIVE_URL", "NEWSMILL_WEB_TOKEN"})  # may carry a password: never printed
SCHEMES = {"REDIS_URL": "redis rediss unix", "DATABASE_URL": "postgresql postgres sqlite", "ARCHIVE_URL": "file s3"}

# ---- the environment -------------------------------------------------------------------------------------------------------


def _split_networks(value: str) -> list[str]:
    return [part for part in re.split(r"[,\s]+", value) if part]


def _known_scheme(variable: str) -> AfterValidator:
    """A validator: `value` begins with one of the schemes of `variable`, or is a plain path where that makes sense."""

    def check(value: str) -> str:
        scheme, mark, _ = value.partition("://")
        if mark and scheme.partition("+")[0] not in SCHEMES[variable].split():
            raise ValueError(variable)
        if not mark and variable != "ARCHIVE_URL":
            raise ValueError(variable)
        return value

    return AfterValidator(check)


def _one_line(value: str) -> str:
    if not value.isprintable():  # a line break here would be a header of somebody else's choice in every request
        raise ValueError("line break")
    return value


def _place(value: str) -> str:
    host, _, port = value.rpartition(":")
    if value != "off" and not (host and port.isascii() and port.isdigit() and int(port) < 65536):
        raise ValueError("no place to listen on")
    return value


def _web_address(value: str) -> str:
    parts = urlsplit(value)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.path not in ("", "/") or parts.query or parts.username:
        raise ValueError("no address")
    return value


class Settings(BaseModel):
    """Everything the environment says, checked once.

    A field's description is what a refusal prints after "expected"; its title is what docs/reference/settings.md says.
    """

    model_config = ConfigDict(frozen=True, populate_by_name=True, arbitrary_types_allowed=True)

    redis_url: Annotated[str, _known_scheme("REDIS_URL")] | None = Field(
        default=None,
        alias="REDIS_URL",
        title="Queue. Default: a private Valkey in the data folder.",
        description="redis://[:password@]host[:port][/db], rediss://… or unix://[:password@]/path",
    )
    database_url: Annotated[str, _known_scheme("DATABASE_URL")] | None = Field(
        default=None,
        alias="DATABASE_URL",
        title="Database. Default: `newsmill.sqlite` in the data folder.",
        description="postgresql://user:password@host/name or sqlite:///path",
    )
    archive_url: Annotated[str, _known_scheme("ARCHIVE_URL")] | None = Field(
        default=None,
        alias="ARCHIVE_URL",
        title="Archive of fetched pages. Default: `archive/` in the data folder.",
        description="a folder, file:///path or s3://bucket/path",
    )
    log_level: Annotated[Literal["DEBUG", "INFO", "WARNING", "ERROR"], BeforeValidator(str.upper)] = Field(
        default="INFO",
        alias="LOG_LEVEL",
        title="Least severe log level that crawlers, workers and schedulers write.",
        description="DEBUG, INFO, WARNING or ERROR",
    )
    data: Path = Field(default=Path("newsmill-data"), alias="NEWSMILL_DATA", title="Data folder.", description="a folder")
    config: Path | None = Field(
        default=None,
        alias="NEWSMILL_CONFIG",
        title="Folder with `sources.toml`. Default: `./config`.",
        description="a folder that may hold sources.toml",
    )
    allow_nets: Annotated[tuple[Network, ...], BeforeValidator(_split_networks)] = Field(
        default=(),
        alias="NEWSMILL_ALLOW_NETS",
        title="Private networks that may be fetched from.",
        description="networks such as 10.0.0.0/8 or 127.0.0.1, separated by commas",
    )
    contact: Annotated[str, AfterValidator(_one_line)] | None = Field(
        default=None,
        alias="NEWSMILL_CONTACT",
        title="Your web page or e-mail address, shown to sites in the User-Agent header.",
        max_length=200,
        description="one line: the web or mail address a site's owner can write to",
    )
    user_agent: Annotated[str, AfterValidator(_one_line)] | None = Field(
        default=None,
        alias="NEWSMILL_USER_AGENT",
        title="The whole User-Agent header; robots.txt knows the part before `/`. Default: `Newsmill/VERSION (+CONTACT)`.",
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
        title="Segments (about 32 pages each) waiting for workers above which crawlers pause.",
        ge=1,
        description="a whole number of segments, 1 or more",
    )
    learn: bool = Field(
        default=True,
        alias="NEWSMILL_LEARN",
        title="Learn site profiles from stored pages, and use them to extract later pages.",
        description="true or false",
    )
    web: Annotated[str, AfterValidator(_place)] = Field(
        default="127.0.0.1:8470",
        alias="NEWSMILL_WEB",
        title="Where the web pages and the API listen. Any place but this machine needs a token first.",
        description="address:port, such as 127.0.0.1:8470 or [::]:8470, or off",
    )
    web_url: Annotated[str, AfterValidator(_web_address)] | None = Field(
        default=None,
        alias="NEWSMILL_WEB_URL",
        title="URL of the server as users see it. It stands in feeds and makes cookies secure.",
        description="http(s)://name[:port], without a path: how people call it from outside",
    )
    web_hosts: Annotated[tuple[str, ...], BeforeValidator(_split_networks)] = Field(
        default=(),
        alias="NEWSMILL_WEB_HOSTS",
        title="Further host names that requests may use.",
        description="host names, separated by commas",
    )
    web_token: str | None = Field(
        default=None,
        alias="NEWSMILL_WEB_TOKEN",
        title="A token with the scope admin, for installations that start without a person.",
        pattern="^[A-Za-z0-9]{24,100}$",
        description="24 to 100 letters and digits",
    )
    web_rate: int = Field(
        default=600,
        alias="NEWSMILL_WEB_RATE",
        title="Requests per minute for each token or client.",
        ge=1,
        description="a whole number of requests a minute, 1 or more",
    )
    open_redis: bool = Field(
        default=False, alias="NEWSMILL_ALLOW_OPEN_REDIS", title="Accept a Redis server without a password.", description="true or false"
    )

    @property
    def agent(self) -> str:
        """The User-Agent header: NEWSMILL_USER_AGENT as it stands, else our name with the operator's contact."""
        return self.user_agent or f"Newsmill/{__version__} ({f'+{self.contact}' if self.contact else 'no contact given'})"

    @property
    def worker_processes(self) -> int:
        """NEWSMILL_PROCESSES, else one worker per core."""
        return self.processes or os.cpu_count() or 1

    @property
    def web_place(self) -> tuple[str, int] | None:
        """Host and port of NEWSMILL_WEB, or None for "off"."""
        host, _, port = self.web.rpartition(":")
        return None if self.web == "off" else (host.strip("[]"), int(port))

    @property
    def sources_file(self) -> Path | None:
        """sources.toml in the folder of NEWSMILL_CONFIG (./config by default), or None where there is none. Raises ConfigError
        when the folder that NEWSMILL_CONFIG names is not there."""
        if self.config and not self.config.is_dir():
            raise ConfigError(f"NEWSMILL_CONFIG: expected a folder that may hold sources.toml, and {self.config} is none")
        path = (self.config or Path("config")) / "sources.toml"
        return path if path.exists() else None


def load(environ: Mapping[str, str] = os.environ) -> Settings:
    """The settings as the environment gives them; an empty variable counts as unset. Raises ConfigError with one sentence."""
    names = {field.alias: field.description for field in Settings.model_fields.values()}
    _refuse_unknown(environ, names)
    try:
        return Settings.model_validate({name: environ[name].strip() for name in names if name and environ.get(name, "").strip()})
    except ValidationError as error:
        name = str(error.errors()[0]["loc"][0])
        found = "" if name in SECRET else f", not {redact(environ[name])[:80]!r}"
        raise ConfigError(f"{name}: expected {names[name]}{found}") from None


def _refuse_unknown(environ: Mapping[str, str], names: Mapping[str | None, object]) -> None:
    """A misspelt variable would silently do nothing. One that looks like none of ours may be somebody else's (an orchestrator
    sets NEWSMILL_REDIS_PORT for a service called newsmill-redis)."""
    known = [name for name in names if name]
    for name in sorted(environ):
        if name.startswith("NEWSMILL_") and name not in known and (near := difflib.get_close_matches(name, known, n=1, cutoff=0.85)):
            raise ConfigError(f"{name}: no such setting; did you mean {near[0]}?")


# ---- config/sources.toml ---------------------------------------------------------------------------------------------------


def read_sources(path: Path) -> tuple[Source, ...]:
    """The sources of one sources.toml, in the file's order. Raises ConfigError naming file, table, key and what was expected."""
    document = _read_toml(path)
    if unknown := [key for key in document if key != "sources"]:
        raise ConfigError(f"{path}: [{unknown[0]}] is no table of this file; a source is written [sources.{unknown[0]}]")
    tables = document.get("sources", {})
    if not isinstance(tables, dict):
        raise ConfigError(f"{path}: sources: expected one table per source, such as [sources.example]")
    found = tuple(parse_source(name, table, f"{path}: [sources.{name}]") for name, table in tables.items())
    for source in found:
        if sum(other.name == source.name for other in found) > 1:
            raise ConfigError(f"{path}: the name {source.name!r} is used by two sources; expected one each")
    return found


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror})") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{path}: expected UTF-8 text, and it is not") from None
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path}: expected TOML, but it breaks off: {str(error)[:1].lower()}{str(error)[1:]}") from None
