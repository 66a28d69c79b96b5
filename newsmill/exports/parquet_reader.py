"""Documents and outcomes in the rows of Parquet files, of Newsmill or of a program that writes the same columns."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import date, datetime
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from newsmill.exceptions import ConfigError
from newsmill.model import Document
from newsmill.model.document_fields import BY_NAME, SCALARS, FieldType, list_fields_of

MAX_NUMBER = (1 << 31) - 1  # that the database stores
BATCH_ROWS = 500  # of a row group; other programs write groups of a million rows

_DOCUMENT = TypeAdapter(Document)
_NAMES = tuple(field.name for field in fields(Document))
_REQUIRED = frozenset(name for name in _NAMES if BY_NAME[name].required)
_PAIRS, _DAYS, _NUMBERS = (list_fields_of(one) for one in (FieldType.PAIRS, FieldType.DAY, FieldType.NUMBER))
_ID = re.compile("[0-9a-f]{1,64}")
_OUTCOME_COLUMNS = ("url", "at", "outcome", "detail")


@dataclass(frozen=True, slots=True)
class RowGroup:
    """A part of a file, which is read as a whole."""

    path: str
    number: int
    rows: int
    has_outcomes: bool = False  # of pages without a document


@dataclass(frozen=True, slots=True)
class BadRow:
    """A row that holds no document."""

    number: int  # in its row group
    reason: str


@dataclass(frozen=True, slots=True)
class OutcomeRow:
    """A record of a WARC file that gave no document."""

    url: str | None
    at: datetime | None
    outcome: str
    detail: str | None


def list_row_groups(path: Path) -> list[RowGroup]:
    """The parts of a file. Raises ConfigError for a file that has other columns."""
    import pyarrow.parquet  # type: ignore[import-untyped]  # without type hints

    try:
        with pyarrow.parquet.ParquetFile(path) as file:
            names = set(file.schema_arrow.names)
            has_outcomes = names.issuperset(_OUTCOME_COLUMNS)
            rows = [file.metadata.row_group(number).num_rows for number in range(file.num_row_groups)]
    except (OSError, pyarrow.ArrowInvalid) as error:
        raise ConfigError(f"{path}: not a whole Parquet file ({error})") from None
    if not has_outcomes and (missing := sorted(_REQUIRED - names)):
        raise ConfigError(f"{path} has no documents of Newsmill: the column {missing[0]} is missing")
    return [RowGroup(str(path), number, count, has_outcomes) for number, count in enumerate(rows)]


def read_documents(group: RowGroup) -> Iterator[list[Document | BadRow]]:
    """The rows of a part with documents, in batches. Raises ConfigError when the file cannot be read."""
    number = 0
    for rows in _read(group, _NAMES):
        yield [_read_row(at, row) for at, row in enumerate(rows, number)]
        number += len(rows)


def read_outcomes(group: RowGroup) -> Iterator[list[OutcomeRow]]:
    """The rows of a part with outcomes, in batches. Raises ConfigError when the file cannot be read."""
    for rows in _read(group, _OUTCOME_COLUMNS):
        yield [OutcomeRow(**row) for row in rows]


def _read(group: RowGroup, wanted: Sequence[str]) -> Iterator[list[dict[str, Any]]]:
    import pyarrow.parquet

    try:
        with pyarrow.parquet.ParquetFile(group.path) as file:
            names = [name for name in wanted if name in file.schema_arrow.names]
            for batch in file.iter_batches(BATCH_ROWS, row_groups=[group.number], columns=names):
                yield batch.to_pylist()
    except (OSError, pyarrow.ArrowException) as error:
        raise ConfigError(f"{group.path}: cannot be read ({error})") from None


def _read_row(number: int, row: Mapping[str, Any]) -> Document | BadRow:
    values: dict[str, Any] = {name: row.get(name) for name in _NAMES}
    for name, value in values.items():
        if value is None and BY_NAME[name].type not in SCALARS:
            values[name] = {} if name in _PAIRS else ()
        elif name in _PAIRS:
            values[name] = {pair["key"]: pair["value"] for pair in value}
        elif name in _DAYS and isinstance(value, date):
            values[name] = value.isoformat()
        elif name in _NUMBERS and isinstance(value, int) and not 0 <= value <= MAX_NUMBER:
            return BadRow(number, f"{name} is {value:,}")
    if not _ID.fullmatch(str(values["id"])):
        return BadRow(number, "id is not the ID of a document")
    try:
        return _DOCUMENT.validate_python(values)
    except (ValidationError, TypeError, KeyError) as error:
        first = error.errors()[0] if isinstance(error, ValidationError) else {"loc": (), "msg": str(error)}
        return BadRow(number, f"{'.'.join(map(str, first['loc']))}: {first['msg']}")
