"""Column types and JSON columns. They make text and JSON from outside storable, here and nowhere else.

Postgres refuses NUL in text and in JSON; both drivers refuse lone surrogates. URLs, hints, header values and details come from other sites.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    DateTime,
    Dialect,
    Float,
    Integer,
    MetaData,
    String,
    Text,
    TypeDecorator,
)
from sqlalchemy.dialects.postgresql import JSONB, TSVECTOR

from newsmill.model import Hint, Source
from newsmill.model.document_fields import DOCUMENT_FIELDS, FieldType, Use
from newsmill.model.lazy_adapter import make_adapter
from newsmill.text.sentences import MARK, Sentence, load_sentence, pack

_SURROGATES = re.compile("[\ud800-\udfff]")

_ENCODE = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode  # Postgres refuses NaN

metadata = MetaData(
    naming_convention={"pk": "pk_%(table_name)s", "fk": "fk_%(table_name)s_%(column_0_name)s", "uq": "uq_%(table_name)s_%(column_0_name)s"}
)

Id = BigInteger().with_variant(Integer, "sqlite")  # SQLite numbers rows only where the key is INTEGER


def make_storable(text: str) -> str:
    """The text without NUL, and with U+FFFD for each lone surrogate.

    >>> make_storable("a\\x00b\\ud800")
    'ab\ufffd'
    """
    if text.isascii():
        return text.replace("\0", "") if "\0" in text else text
    return _SURROGATES.sub("\ufffd", text.replace("\0", ""))


def make_storable_json(value: Any) -> Any:
    """The JSON value with every string and every key made storable."""
    if isinstance(value, str):
        return make_storable(value)
    if isinstance(value, dict):
        return {make_storable(str(key)): make_storable_json(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [make_storable_json(item) for item in value]
    return value


def dump_json(value: Any) -> str:
    """A value as compact, storable JSON, readable in a database shell: the engine's serialiser."""
    dumped = _ENCODE(value)
    return dumped if _is_storable(dumped) else _ENCODE(make_storable_json(value))  # walking every value costs a sixth of storing it


def _is_storable(dumped: str) -> bool:
    return "\\u0000" not in dumped and (dumped.isascii() or _SURROGATES.search(dumped) is None)


class Vector(TypeDecorator[str]):
    """The words of a document as Postgres indexes them; NULL on SQLite, which has FTS5 tables."""

    impl = Text().with_variant(TSVECTOR(), "postgresql")
    cache_ok = True


class StorableString(TypeDecorator[str]):
    """A string of limited length from outside, made storable: the id in a URL, which may name nothing."""

    impl = String
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        return None if value is None else make_storable(value)


class StorableText(StorableString):
    """Text from outside, made storable."""

    impl = Text
    cache_ok = True


class SentenceText(StorableText):
    """A text that may be a `Sentence`, which is stored as compact JSON behind a mark. Of two equal sentences the stored texts are equal."""

    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        if isinstance(value, Sentence):
            return MARK + dump_json(pack(value))
        return None if value is None else make_storable(value).lstrip(MARK)

    def process_result_value(self, value: str | None, dialect: Dialect) -> str | None:
        return None if value is None else load_sentence(value)


class Json(TypeDecorator[Any]):
    """JSON from outside, made storable by the engine's serialiser; JSONB on Postgres."""

    impl = JSON(none_as_null=True).with_variant(JSONB(none_as_null=True), "postgresql")
    cache_ok = True


class UtcDateTime(TypeDecorator[datetime]):
    """An aware datetime in UTC. SQLite stores text of fixed width, whose order is the order of time. Raises ValueError for a naive one."""

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


COLUMN_TYPES: Mapping[FieldType, Any] = {
    **dict.fromkeys((FieldType.TEXT, FieldType.URL, FieldType.DAY), StorableText),
    FieldType.TIME: UtcDateTime,
    FieldType.NUMBER: Integer,
    FieldType.FRACTION: Float,
    FieldType.FLAG: Boolean,
}


def list_document_columns(use: Use = Use.NONE) -> Iterator[Column[Any]]:
    """A column for each field of a document that has the use, but for its ID, which is a key. Lists and mappings are JSON."""
    for field in DOCUMENT_FIELDS:
        if use in field.uses and not field.derived and field.name != "id":
            yield Column(field.name, COLUMN_TYPES.get(field.type, Json), nullable=field.is_nullable)


_HINT = make_adapter(Hint)
_SOURCE = make_adapter(Source)
_NO_HINT = Hint()


def dump_hint(hint: Hint) -> Any:
    """JSON, or None for an empty hint (most rows of a section page)."""
    return None if hint == _NO_HINT else _HINT.dump_python(hint, mode="json", exclude_defaults=True)


def load_hint(value: Any) -> Hint:
    return _NO_HINT if value is None else _HINT.validate_python(value)


def dump_source(source: Source) -> Any:
    return _SOURCE.dump_python(source, mode="json")


def load_source(plan: Any, enabled: bool) -> Source:
    """`enabled` is the column, which `set_enabled` changes; the plan may hold an older value."""
    return _SOURCE.validate_python({**plan, "enabled": enabled})
