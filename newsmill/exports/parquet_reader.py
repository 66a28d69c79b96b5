"""Documents and outcomes in the rows of Parquet files, of Newsmill or of a program that writes the same columns.

SECURITY.md says what is evidence for what.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, fields, replace
from datetime import date, datetime, timedelta
from functools import partial
from multiprocessing.util import get_temp_dir
from pathlib import Path
from tempfile import NamedTemporaryFile
from types import TracebackType
from typing import Any, BinaryIO, TypeVar

from pydantic import TypeAdapter, ValidationError
from pydantic_core import from_json

from newsmill.archive.remote_files import is_url, open_remote
from newsmill.exceptions import ConfigError
from newsmill.extraction.body.markup import LINK_SCHEMES
from newsmill.extraction.document_identity import hash_text, make_document_id
from newsmill.extraction.document_size import MAX_DOCUMENT_CHARACTERS, count_characters
from newsmill.extraction.normalise import count_words
from newsmill.model import CaptureOutcome, Document
from newsmill.model.document_fields import BY_NAME, SCALARS, FieldType, list_fields_of
from newsmill.sandbox.child import Limits
from newsmill.sandbox.parent import ChildCrashError, ChildProcess
from newsmill.sources.table import NAME
from newsmill.text.redaction import redact
from newsmill.text.urls import find_site, normalize

T = TypeVar("T")
YEARS = range(1900, 2201)  # that pages and searches take
MAX_AHEAD = timedelta(days=1)  # of what a page states: a wrong time zone explains a day
MAX_NUMBER = (1 << 31) - 1  # that the database stores
BATCH_ROWS = 20  # of a row group, which the child has in memory
MAX_FOOTER_BYTES = 32 << 20  # of a file: 20,000 row groups
# Ordinary batches take 20 MB. A group of another program may have a million rows, which take as long as they take.
LIMITS = Limits(wall=60, cpu=86_400, memory=512 << 20)
HANDLER = "newsmill.exports.parquet_child:make_handler"
OUT_OF_MEMORY = "memory"  # as the child calls it

_DOCUMENT, _OUTCOME = TypeAdapter(Document), TypeAdapter(CaptureOutcome)
_NAMES = tuple(field.name for field in fields(Document))
_REQUIRED = frozenset(name for name in _NAMES if BY_NAME[name].required)
_PAIRS, _NUMBERS, _TIMES = (list_fields_of(one) for one in (FieldType.PAIRS, FieldType.NUMBER, FieldType.TIME))
_STATED_TIMES = ("published_at", "modified_at")  # by the page; the others are of Newsmill's own clock
_PAGE_URLS = ("url", "requested_url", "canonical_url")
_LANGUAGE = re.compile("[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8})*")  # BCP 47, whether it is registered or not
_OUTCOME_COLUMNS = ("url", "at", "outcome", "detail")


@dataclass(frozen=True, slots=True)
class RowGroup:
    """A part of a file, which is read as a whole."""

    path: str
    number: int
    rows: int
    has_outcomes: bool = False  # of pages without a document
    problem: str | None = None  # of a file that is not a whole Parquet file; it is one part


@dataclass(frozen=True, slots=True)
class BadRow:
    """A row that holds no document, or no outcome."""

    number: int  # in its row group
    reason: str


def list_row_groups(path: str) -> list[RowGroup]:
    """The parts of a file, by its path or URL. Raises ConfigError for a file that is missing or has other columns."""
    import pyarrow.parquet  # type: ignore[import-untyped]  # without type hints

    try:
        with _open(path) as opened, pyarrow.parquet.ParquetFile(_check_footer(opened)) as file:
            names = set(file.schema_arrow.names)
            has_outcomes = names.issuperset(_OUTCOME_COLUMNS)
            rows = [file.metadata.row_group(number).num_rows for number in range(file.num_row_groups)]
    except FileNotFoundError:
        raise ConfigError(f"{redact(path)}: no such file") from None
    except (OSError, ValueError, pyarrow.ArrowException) as error:
        return [RowGroup(path, 0, 0, problem=f"not a whole Parquet file ({redact(str(error))})")]
    if not has_outcomes and (missing := sorted(_REQUIRED - names)):
        raise ConfigError(f"{redact(path)} has no documents of Newsmill: the column {missing[0]} is missing")
    return [RowGroup(path, number, count, has_outcomes) for number, count in enumerate(rows)]


def _open(path: str) -> AbstractContextManager[BinaryIO]:
    return open_remote(path) if is_url(path) else Path(path).open("rb")


def _check_footer(file: BinaryIO) -> BinaryIO:
    """The file, whose end says how long its table of contents is. Raises ValueError if that is too long."""
    if file.seek(0, os.SEEK_END) >= 8:
        file.seek(-8, os.SEEK_END)
        if (size := int.from_bytes(file.read(4), "little")) > MAX_FOOTER_BYTES:
            raise ValueError(f"a footer of {size:,} bytes; the cap is {MAX_FOOTER_BYTES:,}")
    file.seek(0)
    return file


class ParquetReader:
    """Reads the rows of files in a child process under limits, whatever a file unpacks to. A context manager, for one thread."""

    def __init__(self) -> None:
        self._child = ChildProcess(HANDLER, limits=LIMITS)
        self._copy: tuple[str, Path] | None = None  # of the file at a URL that was read last

    def __enter__(self) -> ParquetReader:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """End the child, and remove what was copied."""
        self._child.close()
        self._drop_copy()

    def read_documents(self, group: RowGroup, now: datetime) -> Iterator[list[Document | BadRow]]:
        """The rows of a part with documents, in batches. Raises ConfigError when the file cannot be read."""
        return self._read(group, _NAMES, partial(_read_document, now=now))

    def read_outcomes(self, group: RowGroup, now: datetime) -> Iterator[list[CaptureOutcome | BadRow]]:
        """The rows of a part with outcomes, in batches. Raises ConfigError when the file cannot be read."""
        return self._read(group, _OUTCOME_COLUMNS, partial(_read_outcome, now=now))

    def _read(self, group: RowGroup, columns: Sequence[str], read: Callable[[Mapping[str, Any]], T]) -> Iterator[list[T | BadRow]]:
        if group.problem is not None:
            raise ConfigError(f"{redact(group.path)}: {group.problem}")
        try:
            path = self._find_path(group.path)
        except OSError as error:
            raise ConfigError(f"{redact(group.path)}: cannot be read ({redact(str(error))})") from None
        done = 0
        for batch_rows in (BATCH_ROWS, 1):  # rows that are too large together may be read one by one
            request = {"path": str(path), "group": group.number, "columns": list(columns), "batch_rows": batch_rows, "skipped": done}
            try:
                for rows in self._request(group, request):
                    done += len(rows)
                    yield [_read_row(number, row, read) for number, row in enumerate(rows, done - len(rows))]
                return
            except ChildCrashError as error:
                if str(error) != OUT_OF_MEMORY or batch_rows == 1:
                    row = f"{redact(group.path)}: row {done} of part {group.number}"
                    raise ConfigError(f"{row} cannot be read under {LIMITS.memory >> 20} MB of memory ({error})") from None

    def _request(self, group: RowGroup, request: Mapping[str, Any]) -> Iterator[list[Any]]:
        """The rows that the child finds; a row is an object, or the reason why it is none. Raises ChildCrashError and ConfigError."""
        self._child.start()
        self._child.send(json.dumps(request).encode(), b"")
        while self._child.is_busy:
            try:
                answer = from_json(bytes(self._child.receive()))
            except ValueError as error:  # unlike json, it refuses deep nesting in this way
                raise ConfigError(f"{redact(group.path)}: cannot be read ({error})") from None
            if "error" in answer:
                raise ConfigError(f"{redact(group.path)}: cannot be read ({redact(answer['error'])})")
            yield answer["rows"]

    def _find_path(self, name: str) -> Path:
        """The file, or a copy of the one at a URL, as the child has no network. multiprocessing removes it at the end at the latest."""
        if not is_url(name):
            return Path(name).absolute()
        if self._copy is None or self._copy[0] != name:
            self._drop_copy()
            with open_remote(name) as file, NamedTemporaryFile(dir=get_temp_dir(), suffix=".parquet", delete=False) as out:
                self._copy = name, Path(out.name)
                shutil.copyfileobj(file, out)
        assert self._copy is not None
        return self._copy[1]

    def _drop_copy(self) -> None:
        if self._copy is not None:
            self._copy[1].unlink(missing_ok=True)
            self._copy = None


def _read_row(number: int, row: Any, read: Callable[[Mapping[str, Any]], T]) -> T | BadRow:
    if not isinstance(row, dict):
        return BadRow(number, str(row))
    try:
        return read(row)
    except ValidationError as error:
        first = error.errors()[0]
        return BadRow(number, f"{'.'.join(map(str, first['loc']))}: {first['msg']}")
    except (ValueError, TypeError, ArithmeticError, LookupError) as error:
        return BadRow(number, str(error))


def _read_outcome(row: Mapping[str, Any], now: datetime) -> CaptureOutcome:
    outcome = _OUTCOME.validate_python(row)
    _check_time("at", outcome.at, now)
    return outcome


def _read_document(row: Mapping[str, Any], now: datetime) -> Document:
    """A document whose ID, digest and number of words follow from what it says, whatever the row states of them.

    Raises ValueError, TypeError, ArithmeticError or LookupError for a row that no worker writes.
    """
    values: dict[str, Any] = {name: row.get(name) for name in _NAMES}
    for name, value in values.items():
        if value is None and BY_NAME[name].type not in SCALARS:
            values[name] = {} if name in _PAIRS else ()
        elif name in _PAIRS:
            values[name] = {pair["key"]: pair["value"] for pair in value}
        elif name in _NUMBERS and isinstance(value, int) and not 0 <= value <= MAX_NUMBER:
            raise ValueError(f"{name} is {value:,}")
    document = _DOCUMENT.validate_python(values)
    _check_document(document, now)
    content_hash = hash_text(f"{document.title or ''}\n\n{document.text}")
    document_id = make_document_id(document.canonical_url, document.url, content_hash)
    return replace(document, id=document_id, content_hash=content_hash, word_count=count_words(document.text))


def _check_document(document: Document, now: datetime) -> None:
    """Refuse values of the right type that no worker stores. Raises ValueError."""
    if document.revision < 1:
        raise ValueError(f"revision is {document.revision}; the first is 1")
    if document.source is not None and not NAME.fullmatch(document.source):
        raise ValueError("source is not the name of a source")
    if document.language is not None and not _LANGUAGE.fullmatch(document.language):
        raise ValueError("language is not a language tag")
    if (characters := count_characters(document)) > MAX_DOCUMENT_CHARACTERS:
        raise ValueError(f"a document of {characters:,} characters; the cap is {MAX_DOCUMENT_CHARACTERS:,}")
    if document.confidence is not None and not 0 <= document.confidence <= 1:
        raise ValueError(f"confidence is {document.confidence}")
    day = document.published_day
    if day is not None and date.fromisoformat(day).isoformat() != day:
        raise ValueError("published_day is not a day such as 2026-12-02")
    if day is not None and day > (now + 2 * MAX_AHEAD).date().isoformat():  # where the site is, it may be a day more
        raise ValueError(f"published_day is {day}, in the future")
    for name in _TIMES:
        _check_time(name, getattr(document, name), now + MAX_AHEAD if name in _STATED_TIMES else now)
    for update in document.live_updates:
        _check_time("live_updates", update.at, now + MAX_AHEAD)
    for name in _PAGE_URLS:
        if (url := getattr(document, name)) is not None:
            normalize(url)
    if document.canonical_url is not None and find_site(document.canonical_url) != find_site(document.url):
        raise ValueError("canonical_url is on another site than url")
    links = (link.url for block in document.blocks if block.markup is not None for link in block.markup.links)
    if not all(url.startswith(LINK_SCHEMES) for url in (document.image or LINK_SCHEMES[0], *(one.url for one in document.images), *links)):
        raise ValueError("the URL of a link or an image begins with none of " + " ".join(LINK_SCHEMES))


def _check_time(name: str, at: datetime | None, latest: datetime) -> None:
    if at is None:
        return
    if at.tzinfo is None:
        raise ValueError(f"{name} has no time zone")
    if at.year not in YEARS:
        raise ValueError(f"{name} is {at.isoformat()}")
    if at > latest:
        raise ValueError(f"{name} is {at.isoformat()}, in the future")
