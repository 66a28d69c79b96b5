"""`newsmill import`: load Parquet files of documents into the store."""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Sequence
from typing import Annotated

import typer

from newsmill import context
from newsmill import settings as configuration
from newsmill.cli.interrupt import Interrupt
from newsmill.cli.progress import ProgressBar, format_rate, format_time_left
from newsmill.cli.submit_warc import LimitedMessages
from newsmill.cli.terminal import format_count, note, print_json, printable
from newsmill.context import AppContext
from newsmill.exports.parquet_reader import RowGroup
from newsmill.intake.document_import import ImportOptions, import_parts, index_documents, list_parts
from newsmill.model import ImportCounts
from newsmill.search.indexer import count_pending


def import_documents(
    paths: Annotated[
        list[str], typer.Argument(metavar="FILE|FOLDER|URL…", help="Parquet files, or folders with them.", show_default=False)
    ],
    processes: Annotated[int | None, typer.Option("--processes", "-p", min=1, help="Number of processes; default: one per core.")] = None,
    replace: Annotated[
        bool, typer.Option("--replace", help="Also replace documents that this store fetched itself, or has from another source.")
    ] = False,
    own: Annotated[
        bool, typer.Option("--own", help="The files are of a store of yours: believe when they say that a text was first seen.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the counts as JSON.")] = False,
) -> None:
    """Load documents from Parquet files of `newsmill export` or `newsmill extract`.

    Run the same command again to resume after Ctrl-C or a kill; stored documents are skipped.
    A later text of a stored document becomes a revision, unless this store fetched the document itself or has it from another source.
    If a file cannot be read to its end, the others are stored; the command names the file and exits with 1.
    """
    settings, parts = configuration.load(), list_parts(paths)
    processes = min(processes or os.cpu_count() or 1, max(1, len(parts)))
    with context.open_context(settings, create=True) as store, Interrupt() as interrupt:
        counts, problems = run_import(store, parts, processes, interrupt, ImportOptions(is_own=own, replaces=replace))
        if waiting := count_pending(store.engine):
            run_index(store, waiting, processes, interrupt)
    if as_json:
        print_json(counts)
    else:
        note(describe_counts(counts))
    if interrupt.is_set:
        note("stopped; the same command continues")
        raise typer.Exit(130)
    if problems:
        for problem in problems:
            note(printable(problem))
        note(f"{format_count(len(problems), 'file')} could not be read to the end; the same command reads them again")
        raise typer.Exit(1)


def run_import(
    store: AppContext, parts: Sequence[RowGroup], processes: int, interrupt: Interrupt, options: ImportOptions
) -> tuple[ImportCounts, Sequence[str]]:
    """Store the documents of the parts, with a bar. Returns the counts, and a sentence for each file that cannot be read to its end."""
    total, done, started_at = sum(part.rows for part in parts), 0, time.monotonic()
    counts: Counter[str] = Counter()
    problems: dict[str, str] = {}  # the first of each file
    with ProgressBar("documents") as bar:
        messages = LimitedMessages(bar.print_line)
        for part, imported in import_parts(store, parts, processes, lambda: interrupt.is_set, options):
            done += part.rows
            counts += imported.counts
            if imported.problem is not None:
                problems.setdefault(part.path, imported.problem)
            for message in imported.messages:
                messages.add(message)
            seconds = time.monotonic() - started_at
            bar.update(done, total, f"{done:,} of {total:,}, {format_rate(done, seconds)} {format_time_left(total - done, done, seconds)}")
    if messages.left_out:
        note(f"{format_count(messages.left_out, 'further message')} left out")
    return ImportCounts(**counts, unreadable=len(problems)), [*problems.values()]


def run_index(store: AppContext, waiting: int, processes: int, interrupt: Interrupt) -> None:
    """Write the search index of new documents, with a bar."""
    done, started_at = 0, time.monotonic()
    with ProgressBar("search index") as bar:
        for number in index_documents(store, processes, lambda: interrupt.is_set):
            done += number
            bar.update(done, waiting, f"{done:,} of {waiting:,}, {format_rate(done, time.monotonic() - started_at)}")


def describe_counts(counts: ImportCounts) -> str:
    """The counts that are not 0, new documents first."""
    words = {
        "changed": "changed",
        "kept": "kept as they were (see --replace)",
        "known": "already known",
        "duplicate": "duplicates",
        "failed": "without a document",
        "other": "other records",
        "refused": "refused",
        "invalid": "invalid",
    }
    others = [f"{getattr(counts, name):,} {text}" for name, text in words.items() if getattr(counts, name)]
    return ", ".join([f"{format_count(counts.stored, 'document')} stored", *others])
