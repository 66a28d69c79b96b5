"""Parquet files of documents and outcomes are stored, a batch per commit."""

from __future__ import annotations

import gc
import multiprocessing
import os
import re
import signal
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from itertools import groupby, takewhile
from operator import attrgetter
from pathlib import Path
from typing import TypeVar

from newsmill.archive.remote_files import is_url, list_remote
from newsmill.context import AppContext, open_context
from newsmill.exceptions import ConfigError, NewsmillError
from newsmill.exports.parquet import require_pyarrow
from newsmill.exports.parquet_reader import BadRow, ParquetReader, RowGroup, list_row_groups
from newsmill.model import CaptureOutcome, Document, Outcome
from newsmill.search.indexer import index_pending
from newsmill.settings import Settings
from newsmill.storage.ledger.imports import ImportedDocument, Imports
from newsmill.text.redaction import redact

T = TypeVar("T")
PARQUET_SUFFIX = ".parquet"
MAX_MESSAGES = 20  # of one part
INDEXED_PER_TASK = 1000  # documents
# The other outcomes of records are those of no page, or decisions of a store: a takedown bars a URL (SECURITY.md).
_PAGE_OUTCOMES = frozenset(Outcome) - {Outcome.STORED, Outcome.TAKEDOWN, Outcome.DISCARDED}

IsStopped = Callable[[], bool]
_has_outcomes = attrgetter("has_outcomes")
_HIDDEN = re.compile(r"/[_.]")


@dataclass(frozen=True, slots=True)
class ImportOptions:
    """What the operator says of the files. `is_own`: they are of a store of theirs, so that the times of first sight in them count.

    `replaces`: they replace documents that this store fetched itself, or has from another source.
    """

    is_own: bool = False
    replaces: bool = False


@dataclass(frozen=True, slots=True)
class ImportedPart:
    """What became of the rows of a part, by the fields of ImportCounts, and sentences about rows that hold no document."""

    counts: Counter[str]
    messages: tuple[str, ...] = ()
    problem: str | None = None  # the sentence of a file that cannot be read to its end; the rows before count


def list_parts(names: Sequence[str]) -> list[RowGroup]:
    """The parts of files, and of the files in folders, those with documents first. Raises ConfigError before anything is stored."""
    require_pyarrow()
    paths = dict.fromkeys(path for name in names for path in _list_files(name))
    return sorted((group for path in paths for group in list_row_groups(path)), key=_has_outcomes)


def _list_files(name: str) -> list[str]:
    """The file, or those of a folder; as for other readers of data sets, names that begin with "_" or "." are not data."""
    path = Path(name)
    if is_url(name):
        found = [url for url in list_remote(name, PARQUET_SUFFIX) if not _HIDDEN.search(url.removeprefix(name))]
    elif path.is_dir():
        inside = sorted(path.rglob(f"*{PARQUET_SUFFIX}"))
        found = [str(one) for one in inside if not _HIDDEN.search(f"/{one.relative_to(path).as_posix()}")]
    else:
        found = [name]
    if not found:
        raise ConfigError(f"{redact(name)} has no file that ends in {PARQUET_SUFFIX}")
    return found


def import_part(app: AppContext, reader: ParquetReader, part: RowGroup, options: ImportOptions = ImportOptions()) -> ImportedPart:
    """Store what a part has. A second call finds it stored. Raises ServiceError."""
    if part.has_outcomes:
        return _import(app, part, reader.read_outcomes, _add_outcomes)
    return _import(app, part, reader.read_documents, partial(_add_documents, options=options))


def _import(
    app: AppContext,
    part: RowGroup,
    read: Callable[[RowGroup, datetime], Iterator[list[T | BadRow]]],
    add: Callable[[AppContext, list[T], str], Counter[str]],
) -> ImportedPart:
    counts: Counter[str] = Counter()
    messages: list[str] = []
    problem = None
    try:
        for rows in read(part, app.now()):
            readable = [row for row in rows if not isinstance(row, BadRow)]
            messages += _describe_bad_rows(part, rows)
            counts["invalid"] += len(rows) - len(readable)
            counts += add(app, readable, Path(part.path).name)
    except ConfigError as error:
        problem = str(error)
    return ImportedPart(counts, tuple(messages[:MAX_MESSAGES]), problem)


def _add_documents(app: AppContext, rows: list[Document], name: str, *, options: ImportOptions) -> Counter[str]:
    now, imports = app.now(), Imports(app.engine)
    believed = rows if options.is_own else imports.drop_sources(rows)
    found = [ImportedDocument.of(row, name, now, is_own=options.is_own) for row in believed]
    return imports.add_documents(found, now, replaces=options.replaces)


def _add_outcomes(app: AppContext, rows: list[CaptureOutcome], name: str) -> Counter[str]:
    found = [row for row in rows if row.url is not None and row.outcome in _PAGE_OUTCOMES]
    return Imports(app.engine).add_outcomes(found, found_on=name, now=app.now()) + Counter(other=len(rows) - len(found))


def _describe_bad_rows(part: RowGroup, rows: Sequence[object]) -> list[str]:
    path = redact(part.path)
    return [f"{path}, row {row.number} of part {part.number}: {row.reason}" for row in rows if isinstance(row, BadRow)]


def import_parts(
    app: AppContext, parts: Sequence[RowGroup], processes: int, is_stopped: IsStopped, options: ImportOptions = ImportOptions()
) -> Iterator[tuple[RowGroup, ImportedPart]]:
    """Store all parts, as `list_parts` orders them, up to the end or a stop. Raises NewsmillError."""
    if processes == 1:
        with ParquetReader() as reader:
            yield from ((part, import_part(app, reader, part, options)) for part in takewhile(lambda _: not is_stopped(), parts))
        return
    with open_pool(app.settings, processes, is_stopped) as pool:
        for _, some in groupby(parts, _has_outcomes):  # all documents are stored before the first outcome, whatever the processes' speed
            running: dict[Future[ImportedPart], RowGroup] = {}
            while True:
                while len(running) < 2 * processes and not is_stopped() and (part := next(some, None)) is not None:
                    running[pool.submit(_import_part, part, options)] = part
                if not running:
                    break
                for done in wait(running, return_when=FIRST_COMPLETED).done:
                    yield running.pop(done), done.result()


def index_documents(app: AppContext, processes: int, is_stopped: IsStopped) -> Iterator[int]:
    """Write the search index of documents that are not in it; yields their numbers. Raises ServiceError."""
    if processes == 1:
        yield from takewhile(lambda number: number and not is_stopped(), iter(lambda: index_pending(app.engine), None))
        return
    with open_pool(app.settings, processes, is_stopped) as pool:
        while not is_stopped() and (done := sum(future.result() for future in [pool.submit(_index) for _ in range(processes)])):
            yield done


@contextmanager
def open_pool(settings: Settings, processes: int, is_stopped: IsStopped) -> Iterator[ProcessPoolExecutor]:
    """Processes with a context each. They end with this one, however that ends. Raises NewsmillError if one is killed before a stop."""
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(processes, spawn, initializer=_open, initargs=(settings,)) as pool:
        try:
            before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})  # the processes inherit it; this one ends them
            try:
                for _ in range(processes):
                    pool.submit(os.getpid)  # starts a process
            finally:
                signal.pthread_sigmask(signal.SIG_SETMASK, before)
            yield pool
        except BrokenProcessPool:
            if is_stopped():  # by a SIGTERM to all processes
                return
            raise NewsmillError("a process was killed, usually for memory; run the same command again, with fewer processes (-p)") from None
        finally:
            pool.shutdown(cancel_futures=True)


_app: AppContext  # of a process of the pool
_reader: ParquetReader


def _open(settings: Settings) -> None:
    global _app, _reader
    threading.Thread(target=_end_with_parent, daemon=True).start()
    _app = open_context(settings).__enter__()  # until the process ends
    _reader = ParquetReader()  # its child ends with this process
    gc.freeze()  # no collection visits the modules: a fifth of the CPU of an import


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


def _import_part(part: RowGroup, options: ImportOptions) -> ImportedPart:
    return import_part(_app, _reader, part, options)


def _index() -> int:
    return index_pending(_app.engine, INDEXED_PER_TASK)
