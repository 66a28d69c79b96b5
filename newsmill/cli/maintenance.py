"""Maintenance of a store: `newsmill retry`, `quarantine`, `db`, `doctor` and `backup`."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from newsmill import context
from newsmill import settings as configuration
from newsmill.cli.documents import find_trace, finish_index, trace
from newsmill.cli.progress import count_progress
from newsmill.cli.terminal import Json, complete_from, complete_sources, format_count, note, now, print_json, print_table
from newsmill.context import AppContext
from newsmill.exceptions import ConfigError
from newsmill.model import Outcome
from newsmill.site_inspection import add_scheme
from newsmill.sources.table import format_suggestion
from newsmill.storage import database, fingerprints
from newsmill.storage.backup import back_up
from newsmill.storage.database import Engine
from newsmill.storage.doctor import Doctor
from newsmill.storage.ledger import Trace


def retry(
    urls: Annotated[list[str] | None, typer.Argument(metavar="URL…", help="URLs to requeue.", show_default=False)] = None,
    outcome: Annotated[
        str | None, typer.Option("--outcome", autocompletion=complete_from(Outcome), help="All URLs with this outcome, such as timeout.")
    ] = None,
    source: Annotated[str | None, typer.Option("--source", autocompletion=complete_sources, help="Only URLs of this source.")] = None,
    refetch: Annotated[bool, typer.Option("--refetch", help="Fetch also pages that are in the archive.")] = False,
) -> None:
    """Requeue finished URLs. Archived pages are extracted again without network; the others are fetched."""
    if bool(urls) == bool(outcome):
        raise typer.BadParameter("give either URLs or --outcome")
    with context.open_context(configuration.load()) as store:
        selected = parse_outcome(outcome) if outcome else None
        if source and not store.ledger.progress(source).pages:  # a removed source has pages
            context.find_source(store, source)
        urls = [add_scheme(url) for url in urls or ()]
        count = store.ledger.retry(now=now(), urls=urls, outcome=selected, source=source, refetch=refetch)
        if not count:
            for url in urls:
                find_trace(store, url)  # an unknown URL is an error
    note(
        f"{format_count(count, 'URL')} requeued; run `newsmill up` to process, if no worker is running"
        if count
        else "No finished URL matches; nothing is requeued"
    )
    if not count:
        raise typer.Exit(1)


def parse_outcome(name: str) -> Outcome:
    """The outcome with this name. Raises ConfigError with a similar name."""
    try:
        return Outcome(name)
    except ValueError:
        raise ConfigError(f"Unknown outcome {name!r}{format_suggestion(name, list(Outcome))}") from None


# ---- quarantine --------------------------------------------------------------------------------------------------------------

quarantine = typer.Typer(
    no_args_is_help=True, help="List, retry and drop quarantined pages. Their extraction crashed three times or exceeded a limit."
)


@quarantine.command("list")
def list_quarantined(as_json: Json = False) -> None:
    """List quarantined pages with stage and reason."""
    with context.open_context(configuration.load()) as store:
        found = list(iterate_quarantined(store))
    if as_json:
        print_json(found)
    elif found:
        print_table(("since", "URL", "stage", "reason"), [[trace.ended_at, trace.url, trace.stage, trace.detail] for trace in found])
    else:
        note("no page is in quarantine")


def iterate_quarantined(store: AppContext) -> Iterator[Trace]:
    """All quarantined pages, read in batches of 500."""
    after = 0
    while batch := store.ledger.quarantined(limit=500, after=after):
        yield from batch
        after = batch[-1].id


@quarantine.command("show")
def show_quarantined(url: Annotated[str, typer.Argument(metavar="URL", help="URL of the page.")], as_json: Json = False) -> None:
    """Show what happened to one quarantined page."""
    trace(url, as_json)


@quarantine.command("retry")
def retry_quarantined(
    urls: Annotated[list[str] | None, typer.Argument(metavar="URL…", help="URLs; default: all.", show_default=False)] = None,
) -> None:
    """Requeue quarantined pages; each gets three new attempts."""
    with context.open_context(configuration.load()) as store:
        chosen = map(add_scheme, urls) if urls else (trace.url for trace in iterate_quarantined(store))
        count = store.ledger.retry_quarantined([*chosen], now=now())
        if not count:
            for url in urls or ():
                find_trace(store, url)  # an unknown URL is an error
    if count:
        note(f"{format_count(count, 'page')} requeued; run `newsmill up` to process, if no worker is running")
    else:
        note("no quarantined page matches; nothing is requeued" if urls else "no page is in quarantine")
    if urls and not count:
        raise typer.Exit(1)


@quarantine.command("drop")
def drop_quarantined(urls: Annotated[list[str], typer.Argument(metavar="URL…", help="URLs of the pages.")]) -> None:
    """Drop quarantined pages (outcome `discarded`). The archived bytes stay."""
    with context.open_context(configuration.load()) as store:
        count = store.ledger.discard(map(add_scheme, urls), now=now())
        if not count:
            for url in urls:
                find_trace(store, url)  # an unknown URL is an error
    note(f"{format_count(count, 'page')} dropped" if count else "no quarantined page matches; nothing is dropped")
    if count < len(urls):
        raise typer.Exit(1)


# ---- db ----------------------------------------------------------------------------------------------------------------------

db = typer.Typer(no_args_is_help=True, help="Upgrade and check the schema of the database.")


@db.command()
def upgrade() -> None:
    """Create the tables or upgrade an older schema. Safe to run again."""
    settings = configuration.load()
    if settings.database_url is None:
        context.make_folder(context.data_folder(settings))
    engine = database.connect(context.database_url(settings))
    try:
        context.upgrade_database(engine, settings)
        database.check_schema(engine)
        finish_index(engine)
        finish_fingerprints(engine)
    finally:
        engine.dispose()
    note("the schema of the database is up to date")


def finish_fingerprints(engine: Engine) -> None:
    """Make the missing fingerprints, so that copies of older documents are found."""
    waiting = fingerprints.pending(engine)
    if waiting:
        with count_progress("fingerprints", total=waiting) as advance:
            while done := fingerprints.catch_up(engine):
                advance(done)


@db.command()
def check() -> None:
    """Exit with 0 if the database responds and has the schema of this version. Creates and changes nothing."""
    settings = configuration.load()
    context.require_store(settings)
    engine = database.connect(context.database_url(settings), read_only=True)
    try:
        database.check_schema(engine)
    finally:
        engine.dispose()
    note("the database responds and has the right schema")


# ---- doctor and backup -------------------------------------------------------------------------------------------------------


def doctor(
    repair: Annotated[bool, typer.Option("--repair", help="Repair what can be repaired safely.")] = False,
    deep: Annotated[bool, typer.Option("--deep", help="Also read every archived page; slow.")] = False,
    as_json: Json = False,
) -> None:
    """Check that ledger, archive and documents agree. Safe while Newsmill runs.

    Exits with 1 if there are findings (with --repair: if some remain).
    """
    with context.open_context(configuration.load()) as store:
        findings = Doctor(store.engine, store.ledger, store.archive).examine(now=now(), repair=repair, deep=deep)
    if as_json:
        print_json(findings)
    elif findings:
        rows = [
            (finding.check, finding.count, finding.says, "\n".join(finding.examples), _format_remedy(finding.repaired, finding.remedy))
            for finding in findings
        ]
        print_table(("check", "count", "meaning", "examples", "--repair"), rows)
    if not findings:
        note("ledger, archive and documents agree")
    if any(not finding.repaired for finding in findings):
        raise typer.Exit(1)


def _format_remedy(repaired: bool, remedy: str | None) -> str:
    if remedy is None:
        return "not available"
    return f"done: {remedy}" if repaired else remedy


def backup(
    folder: Annotated[str, typer.Argument(metavar="FOLDER", help="Target; an earlier backup in it is updated.")],
) -> None:
    """Copy the embedded store into FOLDER while Newsmill runs. The copy is a data folder: NEWSMILL_DATA=FOLDER uses it.

    For your own database or archive, use their tools: docs/guides/operating.md.
    """
    settings = configuration.load()
    if settings.database_url or settings.archive_url:
        raise ConfigError("`newsmill backup` copies only the embedded store; for DATABASE_URL and ARCHIVE_URL see docs/guides/operating.md")
    if not folder:  # an unset variable of a script; as a path it would be the current folder
        raise ConfigError("FOLDER is empty; name a folder")
    data = context.data_folder(settings)
    target = Path(folder).expanduser().absolute()
    if any(is_inside(target, inner) for inner in (data, data / "archive")):
        raise ConfigError(f"{folder} is inside the data folder; choose a folder outside")
    with context.open_context(settings):
        copied = back_up(data / "newsmill.sqlite", data / "archive", target)
    note(f"{target}: copied the database and {format_count(copied.segments, 'archive file')} ({copied.new:,} new)")


def is_inside(path: Path, folder: Path) -> bool:
    """Whether a path is a folder or in it, also through links and `..`."""
    real, outer = Path(os.path.realpath(path)), Path(os.path.realpath(folder))
    return real == outer or outer in real.parents
