"""`newsmill export`: writes documents to a file, a folder or an object store."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Annotated

import typer

from newsmill import context
from newsmill import settings as configuration
from newsmill.cli.completion import complete_from, complete_sources
from newsmill.cli.documents import MAX_COUNTED_DOCUMENTS, USER_HELP, finish_index
from newsmill.cli.export_options import TABLES, check_export_options, check_options, choose_format, choose_table, read_query, read_since
from newsmill.cli.interrupt import Interrupt
from newsmill.cli.output_file import open_output
from newsmill.cli.past import AsOf, check_past_options, open_past, read_as_of
from newsmill.cli.progress import count_progress
from newsmill.cli.terminal import format_count, note, now, printable
from newsmill.context import AppContext, PastContext
from newsmill.exceptions import ConfigError, CursorError
from newsmill.exports.formats import FOLDER_FORMATS, FORMATS, ExportFormat, find_format
from newsmill.exports.layouts import Layout, one_file_layout, partitioned_layout, text_files_layout, warc_layout
from newsmill.exports.manifest import ExportedWeek, ExportPlan, ExportPosition, Manifest, TakenDownDocument
from newsmill.exports.peer_formats import PEER_FORMATS
from newsmill.exports.records import AnnotatedDocument
from newsmill.exports.sampling import sample_documents
from newsmill.exports.target import ExportTarget
from newsmill.exports.writer import Export, ExportScan, begin_export
from newsmill.model import Document
from newsmill.search.query import check_is_lasting
from newsmill.search.search import Search
from newsmill.storage import clock
from newsmill.storage.changes import ChangePosition, Changes
from newsmill.storage.completeness import CompletenessReader
from newsmill.storage.document_copies import DocumentCopies
from newsmill.storage.marks import Marks
from newsmill.storage.stories import Stories
from newsmill.version import __version__

MAX_SAMPLE = 100_000  # documents in memory: about 1 GB
ANNOTATED_BATCH = 200  # documents whose marks and groups are read at once
PARTITIONS = ("day", "month", "source")


def export(
    query: Annotated[
        list[str] | None, typer.Argument(metavar="[QUERY]…", help="A query as for `newsmill search`; default: all documents.")
    ] = None,
    output_format: Annotated[
        str | None,
        typer.Option(
            "--format",
            autocompletion=complete_from(dict.fromkeys((*FORMATS, *FOLDER_FORMATS, *TABLES))),
            help="jsonl, csv, xlsx, parquet, jsonld (NewsArticle), text or markdown (one file per document), or warc (archived pages);"
            " words (word counts) or kwic (keyword in context), as CSV;"
            " default: by the suffix of --output, else jsonl.",
        ),
    ] = None,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Output file; default and -: standard output.")] = None,
    to: Annotated[
        str | None,
        typer.Option(
            "--to", metavar="TARGET", help="A folder or s3://bucket/prefix: files with a manifest, resumable, can be extended later."
        ),
    ] = None,
    since_last: Annotated[
        bool, typer.Option("--since-last", help="With --to: add documents stored since the last export to TARGET.")
    ] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="With --to: replace the export in TARGET.")] = False,
    partition: Annotated[
        str | None,
        typer.Option(
            "--partition",
            autocompletion=complete_from(PARTITIONS),
            help="With --to: folders by day or month (of publication) or by source.",
        ),
    ] = None,
    names: Annotated[
        str | None,
        typer.Option(
            "--as",
            autocompletion=complete_from(PEER_FORMATS),
            help="Use the field names of zyte (zyte-common-items), news-please or trafilatura.",
        ),
    ] = None,
    include: Annotated[
        list[str] | None,
        typer.Option(
            "--include",
            metavar="FIELD",
            help="Add fields: markdown, fingerprint, duplicate_of and wire_agency (copies), story_id, or marks (stars, tags and notes).",
        ),
    ] = None,
    live_updates: Annotated[
        str | None, typer.Option("--live-updates", metavar="in-text", help="Include the updates of live blogs in the text.")
    ] = None,
    sample: Annotated[
        int | None, typer.Option("--sample", metavar="N", min=1, max=MAX_SAMPLE, help="Only N documents, at random, in random order.")
    ] = None,
    seed: Annotated[int | None, typer.Option("--seed", min=0, help="With --sample: another seed gives another sample.")] = None,
    keyword: Annotated[
        str | None, typer.Option("--keyword", metavar="WORDS", help="With --format kwic: a word, several in a row, or 'pric*'.")
    ] = None,
    source: Annotated[str | None, typer.Option("--source", autocompletion=complete_sources, help="Only documents of this source.")] = None,
    since: Annotated[
        str | None, typer.Option("--since", metavar="TIME", help="Only documents stored since then (UTC): 2026-11-30, yesterday, 24h.")
    ] = None,
    fold: Annotated[bool, typer.Option("--fold", help="Export only the first match of each group of copies.")] = False,
    as_of: AsOf = None,
    user: Annotated[str, typer.Option("--user", metavar="NAME", help=USER_HELP)] = "",
) -> None:
    """Export documents with all their fields. A file appears when it is complete; an interrupted export with --to resumes."""
    output = None if output == Path("-") else output
    output_format = output_format or choose_format(output)
    check_options(to, output, {"--since-last": since_last, "--overwrite": overwrite, "--partition": bool(partition)}, output_format)
    if seed is not None and sample is None:
        raise ConfigError("--seed works with --sample N; without it, every document is exported")
    after = read_since(since, datetime.now(UTC))
    fields = tuple(dict.fromkeys(include or ()))
    if to is not None:
        check_export_options(user, fields, is_sample=sample is not None, is_extended_fold=fold and since_last)
    at = read_as_of(as_of)
    check_past_options(
        at,
        {
            "--since-last": since_last,
            "--user": bool(user),
            "--include marks": "marks" in fields,
            "--include story_id": "story_id" in fields,
        },
    )
    table = choose_table(output_format, keyword, has_other_options=bool(to or names or fields))
    plan = ExportPlan(output_format, read_query(query, source), names, partition, after, live_updates, fields, fold, at)
    is_search = bool(query) or fold
    with context.open_context(configuration.load()) as today, open_moment(today, plan, is_search=is_search or to is not None) as past:
        store = past.context
        search = Search(store.engine, user)
        if source is not None and at is None:
            context.find_source(store, source)
        if at is None and (plan.query or fold):
            finish_index(store.engine)
        for one in search.check(plan.query):
            note(printable(one.message))
        if to is not None:
            export_to(past, plan, to, since_last=since_last, overwrite=overwrite)
        else:
            documents, total = find_documents(search, plan.query, after, fold) if is_search else list_documents(store, source, after)
            form = table or find_format(output_format, names, include=fields, live_updates=live_updates)
            if sample is not None:
                documents, total = draw_sample(documents, total, sample, seed or 0)
            documents = annotate(store, user, documents, fields) if {"marks", "duplicate_of", "story_id"} & {*fields} else documents
            export_to_file(form, documents, total, output)


@contextmanager
def open_moment(store: AppContext, plan: ExportPlan, *, is_search: bool) -> Iterator[PastContext]:
    """The store as it was at the time of the plan; that of today without a time."""
    if plan.as_of is None:
        yield PastContext(store, store.now(), ())
        return
    check_is_lasting(plan.query)
    with open_past(store, plan.as_of, with_index=is_search or "duplicate_of" in plan.include) as past:
        yield past


def list_documents(store: AppContext, source: str | None, after: datetime | None) -> tuple[Iterator[Document], int | None]:
    """All documents in the order they were first seen, and their number."""
    return store.documents.iterate(source, after), store.documents.count(source, after)


def find_documents(search: Search, query: str, after: datetime | None, fold: bool) -> tuple[Iterator[Document], int | None]:
    """The documents that match, in the order they were stored, and their number if it is known."""
    total = None if after else count_matches(search, query, fold)
    return (stored.document for stored in search.iterate(query, since=after, fold=fold)), total or None


def draw_sample(documents: Iterator[Document], total: int | None, size: int, seed: int) -> tuple[Iterator[Document], int]:
    """A random sample and its number of documents. Shows the progress, because all documents are read."""
    with count_progress("documents read", total=total) as advance:

        def count_read() -> Iterator[Document]:
            for document in documents:
                yield document
                advance(1)

        chosen = sample_documents(count_read(), size, seed)
    return iter(chosen), len(chosen)


def annotate(store: AppContext, user: str, documents: Iterator[Document], include: Collection[str]) -> Iterator[Document]:
    """The documents with the marks of a user, what they are copies of, and their stories, as far as `include` names them."""
    marks, copies, stories = Marks(store.engine, user), DocumentCopies(store.engine), Stories(store.engine)
    while batch := list(islice(documents, ANNOTATED_BATCH)):
        ids = [document.id for document in batch]
        marked = marks.get(ids) if "marks" in include else {}
        firsts = copies.list_firsts(ids) if "duplicate_of" in include else {}
        told = {one: story.id for one, story in stories.of_documents(ids).items()} if "story_id" in include else {}
        yield from (AnnotatedDocument.of(one, marked.get(one.id), firsts.get(one.id), told.get(one.id)) for one in batch)


def count_matches(search: Search, query: str, fold: bool = False) -> int | None:
    """The number of matches; None if it is above MAX_COUNTED_DOCUMENTS."""
    count = search.count(query, max_count=MAX_COUNTED_DOCUMENTS, fold=fold)
    return count if count <= MAX_COUNTED_DOCUMENTS else None


def export_to_file(form: ExportFormat, documents: Iterator[Document], total: int | None, output: Path | None) -> None:
    """Write documents to a file or to standard output, with a progress bar."""
    count = 0
    with open_output(output) as out, count_progress("documents", total=total) as advance:

        def count_documents() -> Iterator[Document]:
            nonlocal count
            for document in documents:
                yield document
                count += 1
                advance(1)

        places = form.write(out, count_documents())
    written = format_count(count, "document") if places is None else f"{format_count(places, 'place')} in {format_count(count, 'document')}"
    note(f"{written}{f' written to {output}' if output else ''}")


def export_to(past: PastContext, plan: ExportPlan, to: str, *, since_last: bool, overwrite: bool) -> None:
    """Write files with a manifest to a folder or an object store. Exits with 130 on an interrupt."""
    store = past.context
    layout, target = choose_layout(store, plan), ExportTarget(to)
    with target.lock():
        initial = begin_export(target, plan, since_last=since_last, overwrite=overwrite)
        check_place(store, initial.place, target.url)
        if initial.place.cursor is None and initial.removed_until is None:
            initial = replace(initial, removed_until=store.search.end_cursor())  # earlier removals concern no file of this export
        initial = replace(initial, taken_down=tuple(TakenDownDocument(one.id, one.reason) for one in past.taken_down))
        scan = ExportScan(store.search, plan, initial.place)
        is_whole_export = initial.place.cursor is None and plan.since is None
        total = count_matches(store.search, plan.query, plan.fold) if is_whole_export else None
        with Interrupt() as interrupt, count_progress("documents", total=total) as advance:
            job = Export(
                target,
                layout,
                initial,
                now=lambda: clock.read_clock(store.engine),
                version=__version__,
                read_weeks=lambda names: read_weeks(store, names) if plan.as_of is None else {},
                read_removed=Changes(store.engine).iterate_removed,
            )
            manifest = job.run(scan, stop=lambda: interrupt.is_set, advance=advance)
    report(manifest, initial, target.url)
    if not manifest.complete:
        raise typer.Exit(130)


def check_place(store: AppContext, place: ExportPosition, to: str) -> None:
    """Raises ConfigError for an export of another store, or of this one before an older backup was restored: its documents may be gone."""
    try:
        if place.cursor is not None:
            Changes(store.engine).check(ChangePosition.of(place.cursor))
    except CursorError:
        raise ConfigError(
            f"--to {to} has an export of another store, or of this one before an older backup was restored; --overwrite replaces it"
        ) from None


def read_weeks(store: AppContext, names: Collection[str]) -> dict[str, tuple[ExportedWeek, ...]]:
    """The completeness of these sources, for the manifest."""
    weeks = CompletenessReader(store.engine).read(names, now())
    return {name: tuple(ExportedWeek(one.week, one.articles, one.late, one.at_most, one.unknown) for one in weeks[name]) for name in weeks}


def choose_layout(store: AppContext, plan: ExportPlan) -> Layout:
    """The layout of the files. Raises ConfigError if options contradict each other."""
    if plan.partition and plan.partition not in PARTITIONS:
        raise ConfigError(f"--partition: expected one of {', '.join(PARTITIONS)}, not {plan.partition!r}")
    if plan.partition and plan.format in FOLDER_FORMATS:
        raise ConfigError(f"--partition cannot be combined with --format {plan.format}")
    if plan.format == "warc" and plan.names is None:
        if plan.include or plan.live_updates:
            raise ConfigError("--format warc contains the pages as they were fetched; omit --include and --live-updates")
        return warc_layout(store.archive, now())
    form = find_format(plan.format, plan.names, include=plan.include, live_updates=plan.live_updates)
    if plan.format in FOLDER_FORMATS:
        return text_files_layout(form)
    return partitioned_layout(form, plan.partition) if plan.partition else one_file_layout(form)


def report(manifest: Manifest, initial: Manifest, to: str) -> None:
    """Print what was written, what is missing, and how to resume."""
    written, missing = manifest.documents - initial.documents, manifest.missing_count - initial.missing_count
    note(f"{format_count(written, 'document')} written to {to}" + (f", {manifest.documents:,} in total" if initial.documents else ""))
    if missing:
        first = manifest.missing[initial.missing_count].reason if initial.missing_count < len(manifest.missing) else "as before"
        note(f"{format_count(missing, 'page')} of the archive not exported; manifest.json lists the reasons (first: {first})")
    if not manifest.complete:
        note("interrupted; run the same command again to resume")
