"""`newsmill sources`: list, export, poll, pause, resume, rename, remove, check and diagnose sources."""

from __future__ import annotations

import sys
from datetime import datetime, timedelta
from typing import Annotated

import typer

from newsmill import context
from newsmill import settings as configuration
from newsmill.cli.completion import SourceName, complete_sources
from newsmill.cli.sources.listed import COLUMNS, read_listed, to_record, to_row
from newsmill.cli.sources.poll import poll_source
from newsmill.cli.sources.preview import preview_rules
from newsmill.cli.sources.profiles import show_profiles
from newsmill.cli.sources.schedule import schedule_source
from newsmill.cli.sources.state import print_doctor, to_alarm_record, to_health_record
from newsmill.cli.sources.trial import test_source
from newsmill.cli.terminal import Json, format_count, note, now, print_json, print_table
from newsmill.context import AppContext
from newsmill.exceptions import ConfigError, NewsmillError
from newsmill.model import Kind, Outcome, Source, describe_failure
from newsmill.search.indexer import index_pending
from newsmill.settings import Settings
from newsmill.sources.config_file import read_sources
from newsmill.sources.source_lists import ListFormat, write_list
from newsmill.sources.table import NAME
from newsmill.storage.ledger import Trace
from newsmill.storage.ledger.source_changes import SourceChanges
from newsmill.storage.listing_observations import find_failure
from newsmill.storage.source_checks import SourceAlarms
from newsmill.storage.source_health import SourceHealth, SourceHealthReader

app = typer.Typer(no_args_is_help=True, help="List, export, poll, pause, resume, rename, remove, check, diagnose and test sources.")
app.command("test")(test_source)
app.command("schedule")(schedule_source)
app.command("poll")(poll_source)

MAX_LISTINGS = 100_000  # of one source, shown; an index of sitemaps may have 50,000 parts


@app.command("list")
def list_sources(as_json: Json = False) -> None:
    """List all sources with their state, schedule and progress."""
    with context.open_context(configuration.load()) as store:
        listed = read_listed(store)
    if as_json:
        print_json([{"source": to_record(one.source), "progress": one.progress, "health": to_health_record(one.health)} for one in listed])
    elif listed:
        print_table(COLUMNS, [to_row(one) for one in listed])
    else:
        note("no source exists; run `newsmill add URL`")


@app.command("export")
def export_sources(
    format: Annotated[ListFormat, typer.Option("--format", help="opml (feed readers), csv or toml.")] = ListFormat.TOML,
) -> None:
    """Print all sources as OPML, CSV or TOML; `newsmill add --file` reads each of them.

    OPML holds only feeds, including feeds that Newsmill found itself.
    """
    with context.open_context(configuration.load()) as store:
        sources = store.ledger.sources.list_all()
        feeds = {source.name: list_feeds(store, source.name) for source in sources} if format is ListFormat.OPML else {}
    typer.echo(write_list(format, sources, feeds), nl=False)


def list_feeds(store: AppContext, source: str) -> list[str]:
    """The feeds of a source that were read at least once without a failure."""
    listings = store.ledger.traces.list_listings(source)
    return [trace.url for trace in listings if trace.kind is Kind.FEED and trace.outcome in (Outcome.LISTED, Outcome.NOT_MODIFIED)]


@app.command()
def pause(name: SourceName) -> None:
    """Pause a source: its listings are not read. Documents stay, and URLs that are due are still fetched."""
    set_enabled(name, False)


@app.command()
def resume(name: SourceName) -> None:
    """Resume a paused source."""
    set_enabled(name, True)


def set_enabled(name: str, enabled: bool) -> None:
    """Pause or resume a source. Raises ConfigError if it is unknown."""
    settings = configuration.load()
    with context.open_context(settings) as store:
        if not store.ledger.sources.set_enabled(name, enabled, now=now()):
            raise context.unknown_source(store, name)
    note(f"{name} is {'resumed' if enabled else 'paused'}")
    if is_in_file(settings, name):
        note(f"{settings.sources_file} overrides this at the next start; also put enabled = {str(enabled).lower()} there to keep it")


@app.command()
def remove(
    name: SourceName,
    keep_documents: Annotated[bool, typer.Option("--keep-documents", help="Keep its documents and their URLs.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Remove a source with its URLs and its documents. Archived pages stay in the archive.

    Asks before it removes documents. Safe while Newsmill runs; run it again if documents are left.
    """
    settings = configuration.load()
    with context.open_context(settings) as store:
        changes = SourceChanges(store.engine)
        stored = changes.count_documents(name)
        if not changes.has_rest(name):  # a part may be left of a source that was removed
            context.find_source(store, name)
        if stored and not keep_documents and not yes:
            confirm(f"Remove source {name} and its {format_count(stored, 'document')}?")
        removed = changes.remove(name, now=now(), keep_documents=keep_documents)
    kept = f"; {format_count(stored, 'document')} kept" if keep_documents and stored else ""
    note(f"removed {name}: {format_count(removed.documents, 'document')}, {format_count(removed.urls, 'URL')}{kept}")
    if is_in_file(settings, name):
        note(f"{settings.sources_file} still has it: remove its table there, or the next start follows it again")


@app.command()
def rename(name: SourceName, new: Annotated[str, typer.Argument(metavar="NEW", help="The new name.")]) -> None:
    """Rename a source, with its URLs, documents and counters."""
    settings = configuration.load()
    with context.open_context(settings) as store:
        changes, is_begun = SourceChanges(store.engine), False
        if store.ledger.sources.get(name) is None and store.ledger.sources.get(new) is not None:
            is_begun = changes.has_rest(name)  # a part may be left of a source that was renamed
        source = context.find_source(store, new if is_begun else name)
        if not NAME.fullmatch(new):
            raise ConfigError(f"{new!r}: expected a name of letters, digits and . : _ - (at most 100, no dot first)")
        if store.ledger.sources.get(new) is not None and not is_begun:
            raise ConfigError(f"source {new!r} exists already; choose another name, or remove that source first")
        count = changes.finish_rename(name, new, now=now()) if is_begun else changes.rename(source, new, now=now())
        while index_pending(store.engine):  # the search index holds the names
            pass
    note(f"renamed {name} to {new}, with {format_count(count, 'document')}")
    if is_in_file(settings, name):
        note(f"{settings.sources_file} still has {name}: rename its table there, or the next start follows it again")


def confirm(question: str) -> None:
    """Ask on the terminal. Raises ConfigError without a terminal, NewsmillError if the user refuses."""
    if not sys.stdin.isatty():
        raise ConfigError(f"{question} Confirm with --yes")
    if not typer.confirm(question, err=True):
        raise NewsmillError("nothing was removed")


def is_in_file(settings: Settings, name: str) -> bool:
    """Whether sources.toml has the source."""
    return settings.sources_file is not None and any(source.name == name for source in read_sources(settings.sources_file))


app.command("profile")(show_profiles)


@app.command()
def doctor(name: SourceName, as_json: Json = False) -> None:
    """Show what is wrong with a source: state, causes with evidence, what to do, its listings, its rhythm, and past alarms.

    Exits with 1 if the source needs an administrator.
    """
    with context.open_context(configuration.load()) as store:
        health = SourceHealthReader(store.engine).read(context.find_source(store, name), now=store.now())
        history = SourceAlarms(store.engine).list_history(name)
        if as_json:
            alarms = [to_alarm_record(alarm) for alarm in history]
            print_json({"source": name, "health": to_health_record(health), "alarms": alarms})
        else:
            print_doctor(name, health, history, store.now())
    if health.is_problem:
        raise typer.Exit(1)


@app.command()
def check(
    name: Annotated[str | None, typer.Argument(metavar="NAME", autocompletion=complete_sources, help="One source; default: all.")] = None,
    as_json: Json = False,
) -> None:
    """Check the feeds, sitemaps and sections of sources, and whether they yield the documents that sources.toml expects.

    Leaves out the usual URLs of listings that a site does not have; --json has all URLs.
    Exits with 1 if the last try of a listing failed or a source yields less than expected.
    """
    with context.open_context(configuration.load()) as store:
        sources = [source for source in store.ledger.sources.list_all() if name in (None, source.name)]
        if name is not None and not sources:
            raise context.unknown_source(store, name)
        health = SourceHealthReader(store.engine).read_all(sources, now=store.now())
        listings = {source.name: store.ledger.traces.list_listings(source.name, limit=MAX_LISTINGS) for source in sources}
        needed = {source.name: select_needed(listings[source.name], health[source.name]) for source in sources}
        alarms = [alarm for source in sources for alarm in find_alarms(store, source, needed[source.name])]
    if as_json:
        print_json({"listings": listings, "alarms": alarms})
    else:
        rows = [[trace.source, trace.kind, trace.url, *describe_last_try(trace)] for traces in needed.values() for trace in traces]
        print_table(("source", "kind", "listing", "last outcome", "at", "detail"), rows)
        for alarm in alarms:
            note(alarm)
    if alarms:
        raise typer.Exit(1)


def find_alarms(store: AppContext, source: Source, listings: list[Trace]) -> list[str]:
    """One sentence for each failed listing, expired rule and missed expectation."""
    alarms = [
        f"{source.name}: {trace.kind} {trace.url} failed: {describe_failure(failure)}"
        for trace in listings
        if (failure := find_failure(trace)) is not None
    ]
    if source.rules.expires is not None and source.rules.expires < now().date():
        alarms.append(f"{source.name}: its rules expired on {source.rules.expires}; run `newsmill sources preview {source.name}`")
    expected = source.expect.get("documents_per_day")
    if expected is not None and source.enabled:
        yesterday = now() - timedelta(days=1)
        counts = store.ledger.counters.list_outcomes(yesterday.date(), source.name)
        stored = sum(count.n for count in counts if count.kind is Kind.PAGE and count.outcome is Outcome.STORED)
        if stored < expected:
            alarms.append(f"{source.name}: {format_count(stored, 'document')} since yesterday, expected {expected:,} a day")
    return alarms


def describe_last_try(listing: Trace) -> tuple[Outcome | None, datetime | None, str | None]:
    """The outcome of the last try, its time and its detail. A listing that is tried again keeps the outcome of an earlier read."""
    failure, failed_at = listing.last_failure, listing.failed_at
    if failure is not None and failed_at is not None and (listing.ended_at is None or failed_at > listing.ended_at):
        return failure.outcome, failed_at, failure.detail
    return listing.outcome, listing.ended_at, listing.detail


def select_needed(listings: list[Trace], health: SourceHealth) -> list[Trace]:
    """The listings that count for the source's health."""
    needed = {record.url for record in (() if health.seen is None else health.seen.listings)}
    return [trace for trace in listings if trace.url in needed]


app.command("preview")(preview_rules)
