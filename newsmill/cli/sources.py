"""`newsmill sources`: what is followed, and how it fares."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Annotated, Any

import typer

from newsmill import context, reextract
from newsmill import settings as configuration
from newsmill.cli.terminal import note, now, plain, print_json, print_table, printable
from newsmill.context import AppContext
from newsmill.exceptions import ConfigError
from newsmill.extraction.site_profile import apply_profile, fast_path, field_positions
from newsmill.model import Kind, Outcome, Profile, Source, State
from newsmill.reextract import ReextractionDiff
from newsmill.settings import Settings
from newsmill.sources import format_duration
from newsmill.storage.fast_path_stats import FastPathCounts, FastPathStats
from newsmill.storage.ledger import Trace

app = typer.Typer(no_args_is_help=True, help="List, pause, resume and check the sources.")

Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Name = Annotated[str, typer.Argument(metavar="NAME", help="The source's name, as `newsmill sources list` prints it.")]


@app.command("list")
def list_sources(as_json: Json = False) -> None:
    """Every source with its plan and what came of it."""
    with context.open_context(configuration.load()) as store:
        sources = store.ledger.sources()
        if as_json:
            print_json([{"source": source_record(source), "progress": store.ledger.progress(source.name)} for source in sources])
        elif sources:
            print_table(COLUMNS, [row(store, source) for source in sources])
        else:
            note("no source yet: newsmill add URL")


COLUMNS = ("source", "read", "pages", "stored", "dropped", "failed", "owed")


def row(store: AppContext, source: Source) -> list[object]:
    """One line of the table of sources."""
    progress = store.ledger.progress(source.name)
    plan = plan_of(source) if source.enabled else "paused"
    states = (progress.states.get(State.DROPPED, 0), progress.states.get(State.FAILED, 0) + progress.states.get(State.QUARANTINED, 0))
    return [source.name, plan, progress.pages, progress.outcomes.get(Outcome.STORED, 0), *states, progress.pending]


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
    with context.open_context(settings) as store:
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
    pass

    run_preview(name, pages, as_json)


@app.command()
def profile(name: Name, as_json: Json = False) -> None:
    """What was learnt of a source's sites: where title, authors and date stand, which lines go, whether pages are read by it alone."""
    # as for preview
    pass

    show_profiles(name, as_json)


@app.command()
def check(
    name: Annotated[str | None, typer.Argument(metavar="NAME", help="One source; all unless said.")] = None, as_json: Json = False
) -> None:
    """How each feed, sitemap and section of a source was read last, and whether it yields what sources.toml expects.

    Exits with 1 when a listing failed, or a source yields less than expected.
    """
    with context.open_context(configuration.load()) as store:
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


def listings_of(store: AppContext, source: str) -> list[Trace]:
    """The rows of a source that are no pages, read in steps of 500."""
    found: list[Trace] = []
    after = 0
    while batch := store.ledger.traces(source=source, limit=500, after=after):
        found += [trace for trace in batch if trace.kind is not Kind.PAGE]
        after = batch[-1].id
    return found


def alarms_of(store: AppContext, source: Source, listings: list[Trace]) -> list[str]:
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


# `newsmill sources profile`: what was learnt of the sites of a source.

LINES = 10  # of a site that are shown; `--json` has all


def show_profiles(name: str, as_json: bool) -> None:
    """Print it. Raises ConfigError for an unknown source."""
    with context.open_context(configuration.load()) as store:
        if all(source.name != name for source in store.ledger.sources()):
            raise context.unknown_source(store, name)
        found = [profile for site in store.profiles.sites_of_sources([name]) if (profile := store.profiles.latest(site)) is not None]
        if as_json:
            print_json([report_profiles(store, profile) for profile in found])
        elif found:
            for profile in found:
                print_profile(report_profiles(store, profile))
        else:
            note(f"nothing is known of the sites of {name} yet: they are learnt once they have five documents")


def report_profiles(store: AppContext, profile: Profile) -> dict[str, Any]:
    """What is known of a site, where its fields stand, which lines go, and how its pages are read."""
    taken = next((profile_of(taken) for taken in FastPathStats(store.engine).newest_counts() if taken.site == profile.site), {})
    return taken | {
        "pages": profile.pages,
        "fit": profile.fit,
        "reach": profile.reach,
        "agreement": profile.agreement,
        "proven": fast_path.is_proven(profile),
        "fields": {
            name: [
                {
                    "path": path,
                    "pages": seen.pages,
                    "agreed": seen.agreed,
                    "proven": path == field_positions.find_proven_position(profile, name),
                }
                for path, seen in found.items()
            ]
            for name, found in profile.fields.items()
        },
        "lines": {
            key: profile.lines[key].pages
            for key in sorted(apply_profile.find_removed_lines(profile), key=lambda key: -profile.lines[key].pages)
        },
    }


def print_profile(found: dict[str, Any]) -> None:
    """One site as a few lines and two small tables."""
    way = "its pages are read by it alone" if found["proven"] else "its pages go the long way"
    typer.echo(f"{found['site']}: profile {found['version']}, from {found['pages']} pages; {way}")
    if found["agreement"] is not None:
        typer.echo(f"on {found['reach']:.0%} of these pages its paths would find the text, F1 {found['agreement']:.3f} to the long way")
    rows = [
        (name, f"{place['agreed']} of {place['pages']}", "yes" if place["proven"] else "no", printable(place["path"]))
        for name, known in found["fields"].items()
        for place in known[:1]
    ]
    if rows:
        print_table(("field", "agreed", "sure", "stands at"), rows)
    lines = [(pages, printable(key.partition(" | ")[2])) for key, pages in list(found["lines"].items())[:LINES]]
    if lines:
        print_table(("pages", "a line that is no part of a text"), lines)


# `newsmill sources preview`: archived pages read with the rules in use and with those of sources.toml, and the difference.


def run_preview(name: str, pages: int, as_json: bool) -> None:
    """The command."""
    settings = configuration.load()
    with context.open_context(settings) as store:
        used, wanted = read_both_files(store, settings, name)
        places = store.documents.newest_pages(name, pages)
        changes = list(reextract.compare_rules(store.archive, store.profiles, used.rules, wanted, places))
    if as_json:
        print_json(changes)
    else:
        show_change(changes, name)


def read_both_files(store: AppContext, settings: Settings, name: str) -> tuple[Source, Source]:
    """The source as it is in use, and as sources.toml has it. Raises ConfigError where either is missing."""
    used = store.ledger.source(name)
    if used is None:
        raise context.unknown_source(store, name)
    if settings.sources_file is None:
        raise ConfigError(f"there is no sources.toml; write one with a table [sources.{name}] and the rules to try")
    wanted = next((source for source in configuration.read_sources(settings.sources_file) if source.name == name), None)
    if wanted is None:
        raise ConfigError(f"{settings.sources_file} has no source called {name}; expected a table [sources.{name}] with the rules to try")
    return used, wanted


def show_change(changes: Sequence[ReextractionDiff], name: str) -> None:
    """The pages that change, each with its difference; then the sum."""
    for one in (one for one in changes if one.has_changes):
        typer.echo(one.url + (f"   {one.before} → {one.after}" if one.before != one.after else ""))
        for field, (before, after) in one.fields.items():
            typer.echo(printable(f"  {field}: {before or '–'} → {after or '–'}"))
        for line in one.diff[2:]:
            typer.echo(printable(f"  {line}"))
        typer.echo("")
    changed = sum(one.has_changes for one in changes)
    lost = sum(one.before == "stored" != one.after for one in changes)
    note(
        f"{name}: {changed} of {len(changes)} pages change; {sum(one.removed for one in changes):,} words go, "
        f"{sum(one.added for one in changes):,} come, {lost} documents would be lost"
    )
    note("the rules are used when newsmill up starts again; for what is stored: newsmill retry --outcome stored --source " + name)


def profile_of(taken: FastPathCounts) -> dict[str, Any]:
    """What is known of a site, and how its pages were read since."""
    pages = {f"{way.value}_pages": count for way, count in taken.pages.items()}
    return {"site": taken.site, "version": taken.version, "fast": taken.fast, "fast_share": taken.share, **pages}
