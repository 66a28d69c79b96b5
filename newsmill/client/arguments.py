"""Checks of the arguments of `Corpus`, the same for a store and for an API. Each raises ConfigError."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, datetime

from newsmill.exceptions import ConfigError

MAX_MARKED = 200  # documents of one call, as of one request


def list_ids(ids: Iterable[str]) -> list[str]:
    """The ids of documents, each once, at most MAX_MARKED."""
    wanted = sorted(set(list_strings("ids", ids)))
    if len(wanted) > MAX_MARKED:
        raise ConfigError(f"ids has at most {MAX_MARKED} documents, not {len(wanted)}; call it for each {MAX_MARKED}")
    return wanted


def list_strings(name: str, values: Iterable[str]) -> list[str]:
    """The strings of a list. One string is refused, because it would be read letter by letter."""
    if isinstance(values, str):
        raise ConfigError(f"{name} expects a list, not one string: write [{values!r}]")
    return list(values)


def check_choice(name: str, value: str | None, choices: tuple[str, ...]) -> None:
    """Refuses a value that is none of the choices."""
    if value is not None and value not in choices:
        raise ConfigError(f"{name}= is one of {', '.join(choices)}, not {value!r}")


def check_range(name: str, value: float, least: float, most: float | None = None) -> None:
    """Refuses a number that is too small or too large."""
    if value < least or (most is not None and value > most):
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
