"""Checks of arguments, the same for a store and for an API. Each raises ConfigError."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date, datetime
from math import inf
from numbers import Integral, Real

from newsmill.exceptions import ConfigError

MAX_MARKED = 200  # documents of one call, as of one request


def list_ids(ids: Iterable[str]) -> list[str]:
    """The ids of documents, each once, at most MAX_MARKED."""
    wanted = sorted(set(list_strings("ids", ids)))
    if len(wanted) > MAX_MARKED:
        raise ConfigError(f"ids has at most {MAX_MARKED} documents, not {len(wanted)}; call it for each {MAX_MARKED}")
    return wanted


def list_strings(name: str, values: Iterable[str]) -> list[str]:
    """The strings of a list. One string is refused, because it would be read letter by letter, and so is a document instead of its id."""
    if isinstance(values, str):
        raise ConfigError(f"{name} expects a list, not one string: write [{values!r}]")
    listed = list(values)
    for value in listed:
        if not isinstance(value, str):
            raise ConfigError(f"{name} expects strings, not {type(value).__name__}")
    return listed


def check_text(name: str, value: object) -> None:
    """Refuses a value that is not a string, such as None or the NaN that pandas has for a missing value."""
    if not isinstance(value, str):
        raise ConfigError(f"{name} expects a string, not {type(value).__name__}")


def check_table(table: object, name: object) -> None:
    """Refuses a table that is not a mapping, and a name that is not a string."""
    if not isinstance(table, Mapping):
        raise ConfigError(f'table expects a mapping such as {{"homepage": "https://www.example.org/"}}, not {type(table).__name__}')
    if name is not None:
        check_text("name=", name)


def check_story_query(query: object, since: datetime | None, order: str, limit: int) -> None:
    """Refuses arguments of `Corpus.stories`."""
    check_text("query", query)
    check_time("since", since)
    check_choice("order", order, ("newest", "biggest"))
    check_range("limit", limit, 1)


def check_search(query: object, order: str, limit: int | None) -> None:
    """Refuses arguments of `Corpus.search`."""
    check_text("query", query)
    check_choice("order", order, ("relevance", "newest"))
    if limit is not None:
        check_range("limit", limit, 1)


def check_choice(name: str, value: str | None, choices: tuple[str, ...]) -> None:
    """Refuses a value that is none of the choices."""
    if value is not None and value not in choices:
        raise ConfigError(f"{name}= is one of {', '.join(choices)}, not {value!r}")


def check_range(name: str, value: object, least: float, most: float | None = None, *, is_whole: bool = True) -> None:
    """Refuses a value that is not a number or not a whole one, and a number that is too small or too large."""
    if not isinstance(value, Integral if is_whole else Real):
        raise ConfigError(f"{name}= expects a {'whole number' if is_whole else 'number'}, not {value!r:.100}")
    if not least <= float(value) <= (inf if most is None else most):
        raise ConfigError(f"{name}= is {f'{least} or more' if most is None else f'from {least} to {most}'}, not {value}")


def check_time(name: str, at: object, *, may_be_cursor: bool = False) -> None:
    """Refuses a time without a time zone, which machines would read differently, and a time or a day in words."""
    if at is None or (isinstance(at, datetime) and at.tzinfo is not None):
        return
    if not (may_be_cursor and isinstance(at, str) and not _is_day(at[:10])):
        raise ConfigError(f"{name}= needs a time zone, such as datetime(2026, 11, 1, tzinfo=UTC); got {at!r}")


def _is_day(text: str) -> bool:
    try:
        date.fromisoformat(text)
    except ValueError:
        return False
    return True
