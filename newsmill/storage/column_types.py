"""Column types that are the door of the database: what comes from outside is made storable here, and nowhere else.

Postgres refuses NUL in text and in JSON; both drivers refuse lone surrogates. URLs, hints, header values and details come from strangers.
"""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import JSON, BigInteger, DateTime, Dialect, Integer, Text, TypeDecorator
from sqlalchemy.dialects.postgresql import JSONB, TSVECTOR

SURROGATES = re.compile("[\ud800-\udfff]")

Id = BigInteger().with_variant(Integer, "sqlite")  # SQLite numbers rows by itself only in an INTEGER key


def storable(text: str) -> str:
    """The text without NUL, and with U+FFFD for each lone surrogate.

    >>> storable("a\\x00b\\ud800")
    'ab\ufffd'
    """
    if text.isascii():
        return text.replace("\0", "") if "\0" in text else text
    return SURROGATES.sub("\ufffd", text.replace("\0", ""))


def storable_json(value: Any) -> Any:
    """The same for every string in a JSON value, keys too."""
    if isinstance(value, str):
        return storable(value)
    if isinstance(value, dict):
        return {storable(str(key)): storable_json(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [storable_json(item) for item in value]
    return value


_ENCODE = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


def dump_json(value: Any) -> str:
    """The engine's JSON serialiser: compact, readable in a database shell, and without what no database stores."""
    dumped = _ENCODE(value)
    return dumped if _is_storable(dumped) else _ENCODE(storable_json(value))  # the walk is a sixth of what storing costs


def _is_storable(dumped: str) -> bool:
    return "\\u0000" not in dumped and (dumped.isascii() or SURROGATES.search(dumped) is None)


class Vector(TypeDecorator[str]):
    """The words of a document as Postgres indexes them; SQLite keeps its own in FTS5 tables, and NULL here."""

    impl = Text().with_variant(TSVECTOR(), "postgresql")
    cache_ok = True


class Words(TypeDecorator[str]):
    """Text from outside."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        return None if value is None else storable(value)


class Json(TypeDecorator[Any]):
    """JSON from outside, as the engine's serialiser writes it; JSONB on Postgres."""

    impl = JSON(none_as_null=True).with_variant(JSONB(none_as_null=True), "postgresql")
    cache_ok = True


class Utc(TypeDecorator[datetime]):
    """An aware datetime, UTC on both sides. SQLite keeps text of fixed width, so that order by text is order by time."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"a naive datetime reached the database: {value!r}")
        utc = value.astimezone(UTC)
        return utc.replace(tzinfo=None) if dialect.name == "sqlite" else utc

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)
