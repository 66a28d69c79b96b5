"""`newsmill extract --format parquet`: the pages of WARC files become Parquet files in a folder."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import NoReturn

import typer

from newsmill.archive.remote_files import is_url
from newsmill.batch.options import UNREADABLE, BatchOptions, FileCounts
from newsmill.batch.parts import PartsFolder, name_source
from newsmill.batch.processes import COLLECT, EXTRACT, FAILED, KILLED, Progress, process_files
from newsmill.cli.interrupt import Interrupt
from newsmill.cli.progress import ProgressBar, format_time_left
from newsmill.cli.terminal import format_count, format_size, note, printable
from newsmill.exceptions import ConfigError
from newsmill.exports.parquet import require_pyarrow
from newsmill.intake.warc_files import WARC_SUFFIXES
from newsmill.text.redaction import redact

MAX_REQUESTS = 16  # at once, about files at URLs
LEARNING_FOLDER = "_profiles"  # in the output folder; readers of data sets ignore names that begin with "_"


def extract_to_parquet(names: Sequence[str], folder: str, options: BatchOptions, *, processes: int, learn: bool = False) -> None:
    """Extract WARC files, and report the counts. Exits with 1 if a file could not be read, 130 after Ctrl-C. Raises NewsmillError.

    With `learn`, site profiles are learned from all files first, in a folder inside, and used.
    """
    require_pyarrow()
    sources = list(dict.fromkeys(map(name_source, list_sources(names))))
    if learn:
        PartsFolder(folder, options).claim(learns=True)
        inner = f"{folder.rstrip('/')}/{LEARNING_FOLDER}"
        total, failed = process_sources(COLLECT, sources, inner, options, processes=processes)
        note(f"{format_count(total['documents'], 'page')} to learn from")
        if {KILLED, FAILED} & total.keys():  # with this file's pages, the profiles are others
            fail_for(failed)
        from newsmill.batch.profile_learning import learn_profiles  # it loads the readers of pages, which only --learn needs here

        options = replace(options, profiles=learn_profiles(inner, processes=processes))
    total, failed = process_sources(EXTRACT, sources, folder, options, processes=processes)
    note(describe_total(total))
    if failed:
        fail_for(failed)


def fail_for(files: int) -> NoReturn:
    """Exit with the number of files that failed."""
    note(f"{format_count(files, 'file')} failed; the same command tries again")
    raise typer.Exit(1)


def process_sources(
    work: str, sources: Sequence[str], folder: str, options: BatchOptions, *, processes: int
) -> tuple[Mapping[str, int], int]:
    """Call `work` for each source that it has not finished. Returns the sum of the counts, and the number of files that failed."""
    parts = PartsFolder(folder, options)
    parts.claim()
    parts.remove_unfinished()
    with ThreadPoolExecutor(MAX_REQUESTS) as pool:
        finished = {source: counts for source, counts in zip(sources, pool.map(parts.find_counts, sources), strict=True) if counts}
        remaining = [source for source in sources if source not in finished]
        changed = sum(pool.map(parts.has_rows, remaining))
    if finished:
        note(f"{format_count(len(finished), 'file')} of {len(sources):,} finished before")
    if changed:
        note(f"{format_count(changed, 'file')} changed since then; the new rows replace those of before")
    total, failed = Counter[str](), 0
    with Interrupt() as interrupt, ProgressBar("learn" if work == COLLECT else "extract") as bar:
        progress = BatchProgress(bar, remaining)
        found = process_files(
            work, remaining, folder, options, processes=processes, on_progress=progress.show, is_stopped=lambda: interrupt.is_set
        )
        for counts in finished.values():
            count(counts, total)
        for counts in found:
            count(counts, total)
            progress.end_file(counts)
            if {UNREADABLE, KILLED, FAILED} & counts.outcomes.keys():
                failed += 1
                if work == EXTRACT or UNREADABLE not in counts.outcomes:  # an unreadable file is reported once
                    bar.print_line(printable(describe_failed_file(counts)))
    if interrupt.is_set:
        note(describe_total(total))
        note("stopped; the same command continues")
        raise typer.Exit(130)
    return total, failed


def list_sources(names: Sequence[str]) -> list[str]:
    """The WARC files of the arguments: files, URLs, and all WARC files in folders; a folder without one is named on standard error.

    Raises ConfigError for another argument, and if there is no file at all.
    """
    found, problems = list[str](), list[str]()
    for name in names:
        path = Path(name)
        if is_url(name):
            found.append(name)
        elif path.is_dir():
            inside = sorted(str(one) for one in path.rglob("*") if one.name.lower().endswith(WARC_SUFFIXES) and one.is_file())
            if not inside:
                problems.append(f"{name} has no WARC file; their names end with {', '.join(WARC_SUFFIXES)}")
            found += inside
        elif path.exists():
            found.append(name)
        else:
            raise ConfigError(f"{name}: no such file or folder")
    if not found:
        raise ConfigError("; ".join(problems) or "--format parquet: give WARC files, folders or URLs such as s3://bucket/pages.warc.gz")
    for problem in problems:
        note(printable(problem))
    return found


class BatchProgress:
    """Shows the files, documents and bytes that are done, and the time left at the rate so far."""

    def __init__(self, bar: ProgressBar, sources: Sequence[str]) -> None:
        self._bar, self._files, self._started_at = bar, len(sources), time.monotonic()
        self._sizes = {source: 0 if is_url(source) else Path(source).stat().st_size for source in sources}
        self._ended_files = self._ended_bytes = self._documents = 0
        self._are_sizes_known = not any(map(is_url, sources))

    def show(self, progress: Progress) -> None:
        """Show how far the current files are."""
        done_bytes = self._ended_bytes + sum(min(offset, self._sizes[source]) for source, offset in progress.offsets.items())
        done, total = (done_bytes, sum(self._sizes.values())) if self._are_sizes_known else (self._ended_files, self._files)
        left = format_time_left(total - done, done, time.monotonic() - self._started_at)
        size = f"{format_size(done)} of {format_size(total)}" if self._are_sizes_known else ""
        files = f"{self._ended_files:,} of {format_count(self._files, 'file')}"
        self._bar.update(done, total, ", ".join(filter(None, (files, size, format_count(self._documents, "document"), left))))

    def end_file(self, counts: FileCounts) -> None:
        """Count a file as done."""
        self._ended_files += 1
        self._ended_bytes += self._sizes.get(counts.source, 0)
        self._documents += counts.documents


def count(counts: FileCounts, total: Counter[str]) -> None:
    """Add the counts of a file."""
    total["documents"] += counts.documents
    total.update(counts.outcomes)


def describe_total(total: Mapping[str, int]) -> str:
    """The documents, then the outcomes that occurred, most frequent first."""
    outcomes = sorted((item for item in total.items() if item[0] != "documents" and item[1]), key=lambda item: (-item[1], item[0]))
    return ", ".join([format_count(total["documents"], "document"), *(f"{number:,} {name}" for name, number in outcomes)])


def describe_failed_file(counts: FileCounts) -> str:
    """Why a file is not done."""
    if KILLED in counts.outcomes:
        return f"{redact(counts.source)}: its process was killed twice, usually for memory; run fewer processes"
    if FAILED in counts.outcomes:
        return f"{redact(counts.source)}: extraction failed unexpectedly; the error is printed above"
    return f"{counts.source}: could not be read to its end; the file of outcomes has the reason"
