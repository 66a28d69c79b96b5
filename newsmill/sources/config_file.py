"""The file config/sources.toml."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

from newsmill.exceptions import ConfigError
from newsmill.model import Source
from newsmill.sources.table import parse_source


def read_sources(path: Path) -> tuple[Source, ...]:
    """The sources in a sources.toml, in order. Raises ConfigError with file, table, key and expected value."""
    document = _read_toml(path)
    if unknown := [key for key in document if key not in ("sources", "scrapy")]:
        raise ConfigError(f"{path}: unknown table [{unknown[0]}]; write [sources.{unknown[0]}] for a source")
    tables = document.get("sources", {})
    if not isinstance(tables, dict):
        raise ConfigError(f"{path}: sources: expected one table per source, such as [sources.example]")
    sources = tuple(parse_source(name, table, f"{path}: [sources.{name}]") for name, table in tables.items())
    for source in sources:
        if sum(other.name == source.name for other in sources) > 1:
            raise ConfigError(f"{path}: two sources have the name {source.name!r}; names must be unique")
    return sources


def read_scrapy_table(path: Path) -> dict[str, Any]:
    """The Scrapy settings in the table [scrapy] of a sources.toml; empty if there is none. Raises ConfigError with file and key."""
    table = _read_toml(path).get("scrapy", {})
    if not isinstance(table, dict):
        raise ConfigError(f"{path}: scrapy: expected a table [scrapy] of Scrapy settings")
    for name in table:
        if not re.fullmatch("[A-Z][A-Z0-9_]*", name):
            raise ConfigError(f"{path}: [scrapy]: {name}: expected the name of a Scrapy setting, in capitals, such as COOKIES_ENABLED")
    return table


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror})") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{path}: not UTF-8; save the file as UTF-8") from None
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path}: not valid TOML: {str(error)[:1].lower()}{str(error)[1:]}") from None
