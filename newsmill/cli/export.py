"""`newsmill export`: documents, out of the store and into a file, a folder or an object store."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from newsmill import __version__, context
from newsmill import settings as configuration
from newsmill.cli.interrupt import Interrupt
from newsmill.cli.output_file import opened
from newsmill.cli.progress import counting
from newsmill.cli.terminal import note, now
from newsmill.context import AppContext
from newsmill.exceptions import ConfigError
from newsmill.exports import layouts
from newsmill.exports.formats import FOLDER_FORMATS, ExportFormat, find_format
from newsmill.exports.layouts import Layout
from newsmill.exports.manifest import ExportPlan, Manifest
from newsmill.exports.scan import ExportScan
from newsmill.exports.target import ExportTarget
from newsmill.exports.writer import Export, begin_export
from newsmill.model import Document
from newsmill.storage import database

LEADING = re.compile(r"(?:\s*(?:OR|AND|[|])(?=\s|$))+")
MOST = 10_000_000  # documents counted for the progress line
TIMES = ["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S"]


def export(
    query: Annotated[
        list[str] | None, typer.Argument(metavar="[QUERY]…", help="A query as of `newsmill search`; all documents unless said.")
    ] = None,
    output_format: Annotated[
        str,
        typer.Option("--format", help="jsonl, csv, parquet, jsonld (NewsArticle), text or markdown (a file each), or warc (the pages)."),
    ] = "jsonl",
    output: Annotated[Path | None, typer.Option("--output", "-o", help="One file; standard output unless said.")] = None,
    to: Annotated[
        str | None,
        typer.Option(
            "--to", metavar="PLACE", help="A folder or s3://bucket/prefix: files with a manifest, resumable, and what is new later."
        ),
    ] = None,
    since_last: Annotated[bool, typer.Option("--since-last", help="With --to: add what was stored since the last export there.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="With --to: replace the export that is there.")] = False,
    partition: Annotated[
        str | None, typer.Option("--partition", help="With --to: folders by day, month (of publication) or source.")
    ] = None,
    names: Annotated[str | None, typer.Option("--as", help="Field names of zyte (zyte-common-items), news-please or trafilatura.")] = None,
    include: Annotated[
        list[str] | None, typer.Option("--include", metavar="FIELD", help="Add a field that is worked out on request: markdown.")
    ] = None,
    live_updates: Annotated[
        str | None, typer.Option("--live-updates", metavar="in-text", help="Put the updates of live blogs into the text.")
    ] = None,
    source: Annotated[str | None, typer.Option("--source", help="Only documents of one source.")] = None,
    since: Annotated[datetime | None, typer.Option("--since", formats=TIMES, help="Only those stored since (UTC).")] = None,
) -> None:
    """Write documents with all their fields. A file appears when it is complete; an export with --to goes on where it was stopped."""
    check(to, output, {"--since-last": since_last, "--overwrite": overwrite, "--partition": bool(partition)}, output_format)
    after = since.replace(tzinfo=UTC) if since else None
    fields = tuple(dict.fromkeys(include or ()))
    plan = ExportPlan(output_format, of_source(source, " ".join(query or ())), names, partition, after, live_updates, fields)
    with context.open_context(configuration.load()) as store:
        if source is not None and store.ledger.source(source) is None:
            raise context.unknown_source(store, source)
        if to is not None:
            export_to(store, plan, to, since_last=since_last, overwrite=overwrite)
        else:
            found, total = find(store, plan.query, after) if query else every(store, source, after)
            form = find_format(output_format, names, include=fields, live_updates=live_updates)
            to_one_file(form, found, total, output)


def check(to: str | None, output: Path | None, folder_only: dict[str, bool], output_format: str) -> None:
    """Raises ConfigError for options that contradict one another."""
    if to is None:
        if used := next((name for name, given in folder_only.items() if given), None):
            raise ConfigError(f"{used} belongs to an export with --to PLACE")
        if output_format in FOLDER_FORMATS:
            raise ConfigError(f"--format {output_format} writes a folder: say which with --to PLACE")
        if output_format == "parquet" and output is None and sys.stdout.isatty():
            raise ConfigError("--format parquet is nothing to look at: say -o FILE or --to PLACE")
    elif output is not None:
        raise ConfigError("-o names one file and --to a folder; expected one of the two")
    if folder_only["--since-last"] and folder_only["--overwrite"]:
        raise ConfigError("--since-last adds to an export and --overwrite replaces it; expected one of the two")


def of_source(source: str | None, query: str) -> str:
    """The query, of one source only. What stands first is always read, and an OR must have nothing before it."""
    if source is None:
        return query
    return f'source:"{source}" {query[match.end() :] if (match := LEADING.match(query)) else query}'.strip()


def every(store: AppContext, source: str | None, after: datetime | None) -> tuple[Iterator[Document], int | None]:
    """Documents in the order they were first seen, and how many."""
    return store.documents.iterate(source, after), store.documents.count(source, after)


def find(store: AppContext, query: str, after: datetime | None) -> tuple[Iterator[Document], int | None]:
    """Documents that match, in the order they were stored."""
    total = None if after else store.search.count(query, max_count=MOST)
    return (stored.document for stored in store.search.iterate(query, since=after)), total if total and total <= MOST else None


def to_one_file(form: ExportFormat, documents: Iterator[Document], total: int | None, output: Path | None) -> None:
    """To a file or to standard output."""
    count = 0
    with opened(output) as out, counting("documents", total=total) as advance:

        def counted() -> Iterator[Document]:
            nonlocal count
            for document in documents:
                yield document
                count += 1
                advance(1)

        form.write(out, counted())
    note(f"{count:,} documents{f' written to {output}' if output else ''}")


# `newsmill export --to`: files with a manifest in a folder or an object store; stopped and gone on with, or added to later.

PARTITIONS = ("day", "month", "source")


def export_to(store: AppContext, plan: ExportPlan, to: str, *, since_last: bool, overwrite: bool) -> None:
    """Write it, say what was written. Exits with 130 when somebody stopped it."""
    layout, target = find_layout(store, plan), ExportTarget(to)
    with target.lock():
        stand = begin_export(target, plan, since_last=since_last, overwrite=overwrite)

        def clock() -> datetime:
            return database.read_clock(store.engine)

        reading = ExportScan(store.search, plan.query, plan.since, stand.place)
        with Interrupt() as interrupt, counting("documents", total=total(store, plan, stand)) as advance:
            job = Export(target, layout, stand, now=clock, version=__version__)
            done = job.run(reading, stop=lambda: interrupt.asked, advance=advance)
    report(done, stand, target.url)
    if not done.complete:
        raise typer.Exit(130)


def find_layout(store: AppContext, plan: ExportPlan) -> Layout:
    """How documents become files. Raises ConfigError."""
    if plan.partition and plan.partition not in PARTITIONS:
        raise ConfigError(f"--partition: expected {', '.join(PARTITIONS)}, not {plan.partition!r}")
    if plan.partition and plan.format in FOLDER_FORMATS:
        raise ConfigError(f"--partition cannot be combined with --format {plan.format}")
    if plan.format == "warc" and plan.names is None:
        if plan.include or plan.live_updates:
            raise ConfigError("--format warc holds the pages as they were fetched; leave out --include and --live-updates")
        return layouts.warc_layout(store.archive, now())
    form = find_format(plan.format, plan.names, include=plan.include, live_updates=plan.live_updates)
    if plan.format in FOLDER_FORMATS:
        return layouts.text_files_layout(form)
    return layouts.partitioned_layout(form, plan.partition) if plan.partition else layouts.one_file_layout(form)


def total(store: AppContext, plan: ExportPlan, stand: Manifest) -> int | None:
    """How many documents there will be, where that is quickly said."""
    if stand.place.cursor is not None or plan.since is not None:
        return None
    most = 10_000_000
    found = store.search.count(plan.query, max_count=most)
    return found if found <= most else None


def report(done: Manifest, before: Manifest, to: str) -> None:
    """What was written, what is missing, and how to go on."""
    more, missing = done.documents - before.documents, done.missing_count - before.missing_count
    note(f"{more:,} documents written to {to}" + (f", {done.documents:,} in all" if before.documents else ""))
    if missing:
        first = done.missing[before.missing_count].reason if before.missing_count < len(done.missing) else "as before"
        note(f"{missing:,} pages could not be read back and are left out; manifest.json names them (first: {first})")
    if not done.complete:
        note("stopped; the same command goes on from here")
