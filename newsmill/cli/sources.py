"""`newsmill sources`: what is followed, and how it fares."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Any

import typer

from newsmill import settings as configuration
from newsmill.cli import context
from newsmill.cli.context import Store
from newsmill.cli.terminal import note, now, plain, print_json, print_table
from newsmill.model import Kind, Outcome, Source, State
from newsmill.sources import format_duration
from newsmill.storage.ledger import Trace

app = typer.Typer(no_args_is_help=True, help="List, pause, resume and check the sources.")

Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Name = Annotated[str, typer.Argument(metavar="NAME", help="The source's name, as `newsmill sources list` prints it.")]


@app.command("list")
def list_sources(as_json: Json = False) -> None:
    """Every source with its plan and what came of it."""
    with context.open_store(configuration.load()) as store:
        sources = store.ledger.sources()
        if as_json:
            print_json([{"source": source_record(source), "progress": store.ledger.progress(source.name)} for source in sources])
        elif sources:
            print_table(COLUMNS, [row(store, source) for source in sources])
        else:
            note("no source yet: newsmill add URL")


COLUMNS = ("source", "read", "pages", "stored", "dropped", "failed", "owed")


def row(store: Store, source: Source) -> list[object]:
    """One line of the table of sources."""
    progress = store.ledger.progress(source.name)
    plan = plan_of(source) if source.enabled else "paused"
    states = (progress.states.get(State.DROPPED, 0), progress.states.get(State.FAILED, 0) + progress.states.get(State.QUARANTINED, 0))
    return [source.name, plan, progress.pages, progress.outcomes.get(Outcome.STORED, 0), *states, progress.owed]


def plan_of(source: Source) -> str:
    """`every 15m` or the cron line."""
    if source.every is None:
        return source.cron or "never"
    return f"every {format_duration(source.every)}"


def source_record(source: Source) -> dict[str, Any]:
    """A source in JSON; `every` is written as in sources.toml and in the API."""
    record: dict[str, Any] = plain(source)
    return record | {"every": None if source.every is None else format_duration(source.every)}


@app.command()
def pause(name: Name) -> None:
    """Stop reading a source's listings. What is stored stays; what is already due is still fetched."""
    _switch(name, False)


@app.command()
def resume(name: Name) -> None:
    """Follow a paused source again."""
    _switch(name, True)


def _switch(name: str, enabled: bool) -> None:
    settings = configuration.load()
    with context.open_store(settings) as store:
        if not store.ledger.set_enabled(name, enabled):
            raise context.unknown_source(store, name)
    note(f"{name} is {'followed again' if enabled else 'paused'}")
    if settings.sources_file is not None and any(source.name == name for source in configuration.read_sources(settings.sources_file)):
        note(f"it stands in {settings.sources_file}, which wins at the next start: write enabled = {str(enabled).lower()} there as well")


@app.command()
def preview(
    name: Name,
    pages: Annotated[int, typer.Option("--pages", "-n", min=1, max=1000, help="How many of the newest documents' pages.")] = 20,
    as_json: Json = False,
) -> None:
    """Show what a source's rules in sources.toml would change, before they are used.

    Reads the archived pages of the source's newest documents twice, with the rules in use and with those of the file. Stores nothing.
    """
    # `sources list` and the others need no page readers: 0.5 s of CPU
    from newsmill.cli import preview as trial

    trial.run(name, pages, as_json)


@app.command()
def profile(name: Name, as_json: Json = False) -> None:
    """What was learnt of a source's sites: where title, authors and date stand, which lines go, whether pages are read by it alone."""
    # as for preview
    from newsmill.cli import site_profiles

    site_profiles.run(name, as_json)


@app.command()
def check(
    name: Annotated[str | None, typer.Argument(metavar="NAME", help="One source; all unless said.")] = None, as_json: Json = False
) -> None:
    """How each feed, sitemap and section of a source was read last, and whether it yields what sources.toml expects.

    Exits with 1 when a listing failed, or a source yields less than expected.
    """
    with context.open_store(configuration.load()) as store:
        sources = [source for source in store.ledger.sources() if name in (None, source.name)]
        if name is not None and not sources:
            raise context.unknown_source(store, name)
        listings = {source.name: listings_of(store, source.name) for source in sources}
        alarms = [alarm for source in sources for alarm in alarms_of(store, source, listings[source.name])]
    if as_json:
        print_json({"listings": listings, "alarms": alarms})
    else:
        rows = [
            [trace.source, trace.kind, trace.url, trace.outcome, trace.ended_at, trace.detail]
            for found in listings.values()
            for trace in found
        ]
        print_table(("source", "kind", "listing", "last outcome", "at", "detail"), rows)
        for alarm in alarms:
            note(alarm)
    if alarms:
        raise typer.Exit(1)


def listings_of(store: Store, source: str) -> list[Trace]:
    """The rows of a source that are no pages, read in steps of 500."""
    found: list[Trace] = []
    after = 0
    while batch := store.ledger.traces(source=source, limit=500, after=after):
        found += [trace for trace in batch if trace.kind is not Kind.PAGE]
        after = batch[-1].id
    return found


def alarms_of(store: Store, source: Source, listings: list[Trace]) -> list[str]:
    """One sentence for each thing that is not as it should be."""
    today = now().date()
    alarms = [f"{source.name}: {trace.url} {trace.outcome} ({trace.detail})" for trace in listings if trace.state is State.FAILED]
    if source.rules.expires is not None and source.rules.expires < today:
        alarms.append(f"{source.name}: its rules expired on {source.rules.expires}; try them: newsmill sources preview {source.name}")
    wanted = source.expect.get("documents_per_day")
    if wanted is not None and source.enabled:
        day = now() - timedelta(days=1)
        counts = store.ledger.outcomes(day.date(), source.name)
        stored = sum(count.n for count in counts if count.kind is Kind.PAGE and count.outcome is Outcome.STORED)
        if stored < wanted:
            alarms.append(f"{source.name}: {stored} documents since yesterday, expected {wanted} a day")
    return alarms
