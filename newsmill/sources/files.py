"""The file sources.toml, to which sources and URLs are added."""

from __future__ import annotations

import os
import tempfile
import tomllib
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import tomlkit
from tomlkit.exceptions import TOMLKitError

from newsmill.exceptions import ConfigError
from newsmill.sources.table import parse_source

MAX_INLINE_CHARACTERS = 100  # of a list; a longer one has one value on each line


def render_table(name: str, table: Mapping[str, Any]) -> str:
    """The table of a source as it stands in sources.toml, with a line break at the end.

    >>> print(render_table("example-org", {"homepage": "https://www.example.org/", "politeness": {"delay": 2.0}}), end="")
    [sources.example-org]
    homepage = "https://www.example.org/"
    <BLANKLINE>
    [sources.example-org.politeness]
    delay = 2.0
    """
    sources = tomlkit.table(is_super_table=True)
    sources.add(name, _make_item(table))
    document = tomlkit.document()
    document.add("sources", sources)
    return tomlkit.dumps(document).strip("\n") + "\n"


def add_sources(path: Path, tables: Mapping[str, Mapping[str, Any]]) -> None:
    """Add tables, by the names of their sources, at the end of the file, whose comments, order and formatting stay as they are.

    Raises ConfigError if the file cannot be changed; it then stays as it is.
    """
    text = _read(path)
    newline = "\r\n" if "\r\n" in text else "\n"
    separator = "" if not text else newline if text.endswith("\n") else newline * 2
    added = "\n".join(render_table(name, table) for name, table in tables.items())
    _write(path, text, text + separator + added.replace("\n", newline), tables)


def extend_source(path: Path, name: str, added: Mapping[str, Sequence[str]]) -> None:
    """Add URLs to the lists (feeds, sitemaps, sections) of a source in the file. Raises ConfigError as `add_sources`."""
    text = _read(path)
    try:
        document = tomlkit.parse(text)
        tables: Any = document["sources"]
        key = next(key for key, table in tables.items() if name in (key, table.get("name")))
        table = tables[key]
        for field, urls in added.items():
            if field in table:
                _extend_list(table[field], urls)
            else:
                table.add(field, _make_item(list(urls)))
        changed = tomlkit.dumps(document)
    except (TOMLKitError, KeyError, StopIteration, AttributeError, TypeError) as error:
        raise ConfigError(f"{path}: [sources.{name}] cannot be changed ({type(error).__name__}); add the URLs there by hand") from None
    expected = dict(tomllib.loads(text)["sources"][key])
    for field, urls in added.items():
        expected[field] = [*expected.get(field, []), *urls]
    _write(path, text, changed, {key: expected})


def _extend_list(array: Any, urls: Sequence[str]) -> None:
    """Add to a list in its own layout: one value on each line, or all on one."""
    is_multiline = "\n" in array.as_string()
    for url in urls:
        if is_multiline:
            array.add_line(url)
        else:
            array.append(url)


def _make_item(value: Any) -> Any:
    if isinstance(value, Mapping):
        table = tomlkit.table()
        for key, item in sorted(value.items(), key=lambda pair: isinstance(pair[1], Mapping)):  # tables come last
            table.add(key, _make_item(item))
        return table
    if isinstance(value, (list, tuple)):
        array = tomlkit.array()
        array.extend(value)
        return array.multiline(len(value) > 1 and len(array.as_string()) > MAX_INLINE_CHARACTERS)
    return tomlkit.item(value)


def _read(path: Path) -> str:
    try:
        return path.read_bytes().decode("utf-8")  # a mark at the start and the line ends stay
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror})") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{path}: not UTF-8; save the file as UTF-8") from None


def _write(path: Path, before: str, after: str, expected: Mapping[str, Mapping[str, Any]]) -> None:
    """Replace the file in one step, if the new text says exactly what it should: the old tables and the expected ones."""
    try:
        old = tomllib.loads(before.removeprefix("\ufeff")).get("sources", {})
        new = tomllib.loads(after.removeprefix("\ufeff")).get("sources", {})
    except tomllib.TOMLDecodeError:
        raise ConfigError(f"{path}: its layout does not allow another table at its end; add the source there by hand") from None
    if not isinstance(old, dict) or new != {**old, **{name: dict(table) for name, table in expected.items()}}:
        raise ConfigError(f"{path}: its layout does not allow the change; add the source there by hand")
    for name, table in expected.items():
        parse_source(name, dict(table), f"{path}: [sources.{name}]")
    target = path.resolve()  # the file that a link leads to, not the link
    temporary = None
    try:
        with tempfile.NamedTemporaryFile("wb", dir=target.parent, prefix=".sources-", delete=False) as file:
            temporary = Path(file.name)
            file.write(after.encode())
            file.flush()
            os.fsync(file.fileno())
        temporary.chmod(target.stat().st_mode & 0o777)
        temporary.replace(target)
    except OSError as error:
        raise ConfigError(f"{path}: cannot be written ({error.strerror}); add the source there by hand") from None
    finally:
        if temporary is not None:
            with suppress(OSError):
                temporary.unlink()
