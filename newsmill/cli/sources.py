"""`newsmill sources`: list, export, poll, pause, resume, rename, remove, check and diagnose sources."""

from __future__ import annotations

import sys
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

import typer

from newsmill import context
from newsmill import settings as configuration
from newsmill.cli.source_reading import Name, poll_source, preview_rules, schedule_source, show_profiles, test_source
from newsmill.cli.terminal import Json, complete_sources, format_count, note, now, print_json, print_table, printable, to_json
from newsmill.context import AppContext
from newsmill.exceptions import ConfigError, NewsmillError
from newsmill.health.assessment import weigh
from newsmill.health.causes import (
    CAUSE_NAMES,
    EVIDENCE_TEXTS,
    REMEDIES,
    STATE_NAMES,
    Finding,
    Observation,
    ValueFormat,
    choose_evidence_text,
    format_values,
    summarize,
)
from newsmill.model import Kind, Outcome, Source, State, describe_failure
from newsmill.search.indexer import index_pending
from newsmill.settings import Settings
from newsmill.sources.files import ListFormat, write_list
from newsmill.sources.table import NAME, format_duration
from newsmill.storage.alarms import SourceAlarm
from newsmill.storage.ledger import Progress, Trace
from newsmill.storage.ledger.priority import FROM_PLAN
from newsmill.storage.ledger.source_changes import SourceChanges
from newsmill.storage.source_checks import SourceAlarms
from newsmill.storage.source_health import SourceHealth, SourceHealthReader

app = typer.Typer(no_args_is_help=True, help="List, export, poll, pause, resume, rename, remove, check, diagnose and test sources.")
app.command("test")(test_source)
app.command("schedule")(schedule_source)
app.command("poll")(poll_source)

MAX_LISTINGS = 100_000  # of one source, shown; an index of sitemaps may have 50,000 parts
COLUMNS = ("source", "state", "schedule", "pages", "stored", "dropped", "failed", "pending")


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


@dataclass(frozen=True, slots=True)
class ListedSource:
    """A source in a list, with its state and progress."""

    source: Source
    health: SourceHealth
    progress: Progress


def read_listed(store: AppContext) -> list[ListedSource]:
    """All sources by name. The number of statements does not grow with that of the sources."""
    sources, progress = store.ledger.sources.list_all(), store.ledger.progress.count_by_source()
    health = SourceHealthReader(store.engine).read_all(sources, now=now())
    return [ListedSource(source, health[source.name], progress.get(source.name, Progress(0))) for source in sources]


def to_row(listed: ListedSource) -> list[object]:
    """One row of COLUMNS."""
    source, health, progress = listed.source, listed.health, listed.progress
    return [
        source.name,
        describe_health(health, now()),
        format_schedule(source),
        progress.pages,
        progress.outcomes.get(Outcome.STORED, 0),
        progress.states.get(State.DROPPED, 0),
        progress.states.get(State.FAILED, 0) + progress.states.get(State.QUARANTINED, 0),
        progress.pending,
    ]


def format_schedule(source: Source) -> str:
    """`every 15m`, the cron expression, or `adaptive`."""
    if source.every is None:
        return source.cron or "adaptive"
    return f"every {format_duration(source.every)}"


def to_record(source: Source) -> dict[str, Any]:
    """A source as JSON, with `every` as in sources.toml and the API."""
    record: dict[str, Any] = to_json(source)
    spans = {"every": source.every, "freshness": source.freshness, "max_age": source.max_age}
    return record | {key: None if span is None else format_duration(span) for key, span in spans.items()}


@app.command("export")
def export_sources(
    format: Annotated[ListFormat, typer.Option("--format", help="opml (feed readers), csv or toml.")] = ListFormat.TOML,
) -> None:
    """Print all sources as OPML, CSV or TOML; `newsmill add --file` reads each of them.

    OPML holds feeds only, those that Newsmill found itself included.
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
def pause(name: Name) -> None:
    """Pause a source: its listings are not read. Documents stay, and URLs that are due are still fetched."""
    set_enabled(name, False)


@app.command()
def resume(name: Name) -> None:
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
    name: Name,
    keep_documents: Annotated[bool, typer.Option("--keep-documents", help="Keep its documents and their URLs.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Remove a source with its URLs and its documents. Archived pages stay in the archive.

    Asks before documents are removed. May be run while Newsmill runs, and again for documents that were left.
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
def rename(name: Name, new: Annotated[str, typer.Argument(metavar="NEW", help="The new name.")]) -> None:
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
    return settings.sources_file is not None and any(source.name == name for source in configuration.read_sources(settings.sources_file))


app.command("profile")(show_profiles)


@app.command()
def doctor(name: Name, as_json: Json = False) -> None:
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

    Exits with 1 if a listing failed or a source yields less than expected.
    """
    with context.open_context(configuration.load()) as store:
        sources = [source for source in store.ledger.sources.list_all() if name in (None, source.name)]
        if name is not None and not sources:
            raise context.unknown_source(store, name)
        listings = {source.name: store.ledger.traces.list_listings(source.name, limit=MAX_LISTINGS) for source in sources}
        alarms = [alarm for source in sources for alarm in find_alarms(store, source, listings[source.name])]
    if as_json:
        print_json({"listings": listings, "alarms": alarms})
    else:
        rows = [[trace.source, trace.kind, trace.url, *describe_last_try(trace)] for traces in listings.values() for trace in traces]
        print_table(("source", "kind", "listing", "last outcome", "at", "detail"), rows)
        for alarm in alarms:
            note(alarm)
    if alarms:
        raise typer.Exit(1)


def find_alarms(store: AppContext, source: Source, listings: list[Trace]) -> list[str]:
    """One sentence for each failed listing, expired rule and missed expectation."""
    alarms = [
        f"{source.name}: {trace.kind} {trace.url} failed: {trace.outcome} ({trace.detail})" for trace in listings if has_failed(trace)
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


def has_failed(listing: Trace) -> bool:
    """Whether the last read of a listing failed. One of the plan should be there; others may be guessed, or forbidden by robots.txt."""
    is_missing = listing.state is State.DROPPED and listing.found_by == FROM_PLAN and listing.outcome is not Outcome.DENIED
    return listing.state is State.FAILED or is_missing


app.command("preview")(preview_rules)


# ---- the state of a source -----------------------------------------------------------------------------------------------------


def describe_health(health: SourceHealth, now: datetime) -> str:
    """ "ok", or what fails and since when: "blocked: HTTP 403 since 13:33 UTC"."""
    if (cause := health.cause) is not None:
        text = summarize(STATE_NAMES[weigh(cause)[1]], cause, CAUSE_NAMES[cause.cause], english(now))
        part = f" ({_count_failing(cause)})" if cause.evidence.failing < cause.evidence.of and not cause.evidence.is_pages else ""
        return f"{text}{part} since {format_since(cause.since, now)}"
    if health.failure is None or health.since is None:
        return STATE_NAMES[health.state]
    part = f" ({health.failing} of {format_count(health.of, 'listing')})" if health.failing < health.of else ""
    pages = "no article fetched yet, " if health.kind is Kind.PAGE else ""
    return f"{STATE_NAMES[health.state]} since {format_since(health.since, now)}: {pages}{describe_failure(health.failure)}{part}"


def _count_failing(cause: Finding) -> str:
    return f"{cause.evidence.failing} of {format_count(cause.evidence.of, 'listing')}"


def english(now: datetime) -> ValueFormat:
    """How this command line writes values."""
    return ValueFormat(lambda n: f"{n:,}", lambda share: f"{100 * share:.0f} %", lambda at: format_since(at, now), describe_failure, "none")


def format_since(since: datetime, now: datetime) -> str:
    """The time of day if it is today (UTC), else with the date."""
    since = since.astimezone(UTC)
    return f"{since:%H:%M} UTC" if since.date() == now.astimezone(UTC).date() else f"{since:%Y-%m-%d %H:%M} UTC"


def describe_cause(name: str, finding: Finding, now: datetime) -> tuple[str, str, str]:
    """What is wrong, the evidence, and what to do."""
    title = f"{STATE_NAMES[weigh(finding)[1]]}: {CAUSE_NAMES[finding.cause]} since {format_since(finding.since, now)}"
    evidence = EVIDENCE_TEXTS[choose_evidence_text(finding)].format(**format_values(finding.evidence, english(now)))
    return title, evidence, REMEDIES[finding.cause].replace("NAME", name)


def print_doctor(name: str, health: SourceHealth, history: list[SourceAlarm], now: datetime) -> None:
    """The state with all its evidence, and the alarms of the past."""
    typer.echo(f"{name}: {describe_health(health, now)}")
    for finding in health.causes:
        title, evidence, remedy = describe_cause(name, finding, now)
        typer.echo(printable(f"\n{title}\n  evidence: {evidence}\n  what to do: {remedy}"))
    if health.seen is not None:
        _print_observation(health.seen, now)
    if history:
        rows = [
            [
                STATE_NAMES[weigh(alarm.finding)[1]],
                CAUSE_NAMES[alarm.finding.cause],
                alarm.finding.since,
                alarm.until or "open",
                _where(alarm),
            ]
            for alarm in history
        ]
        typer.echo("")
        print_table(("state", "alarm", "since", "until", "URL"), rows)


def _where(alarm: SourceAlarm) -> str:
    evidence = alarm.finding.evidence
    return f"{evidence.url} → {evidence.new_url}" if evidence.new_url else evidence.url or ""


def _print_observation(seen: Observation, now: datetime) -> None:
    typer.echo("")
    if seen.last_document_at is None:
        note("no document yet")
    else:
        rhythm, last, until = seen.rhythm, seen.last_document_at, seen.read_at or seen.last_document_at
        typer.echo(f"The newest document is from {format_since(last, now)}; a listing was last read at {format_since(until, now)}.")
        if usual := round(rhythm.events_per_week):
            is_unusual = rhythm.silence_probability(last, until) < rhythm.level
            passed = f"about {rhythm.expect(last, until):.0f} of them passed without one, which is {'' if is_unusual else 'not '}unusual"
            typer.echo(f"Usually {format_count(usual, 'hour')} of a week have a new document; {passed}.")
    rows = [
        [
            listing.kind,
            listing.url,
            "ok" if listing.failure is None else describe_failure(listing.failure),
            listing.failing_since or "",
            listing.tried_at or "not read yet",
            "yes" if listing.had_entries and listing.emptied_at is None else "no",
        ]
        for listing in seen.listings
    ]
    print_table(("kind", "listing", "last result", "failing since", "last try", "entries"), rows)


def to_health_record(health: SourceHealth) -> dict[str, Any]:
    """The health in JSON: `state`, the causes with their evidence, and what fails."""
    failure = health.failure
    return {
        "state": health.state,
        "causes": [to_cause_record(finding) for finding in health.causes],
        "outcome": None if failure is None else failure.outcome,
        "detail": None if failure is None else failure.detail,
        "since": health.since,
        "url": health.url,
        "kind": health.kind,
        "failing": health.failing,
        "listings": health.of,
    }


def to_cause_record(finding: Finding) -> dict[str, Any]:
    """A cause in JSON."""
    evidence = {key: value for key, value in asdict(finding.evidence).items() if value not in (None, 0, False)}
    return {
        "cause": finding.cause,
        "state": weigh(finding)[1],
        "since": finding.since,
        "evidence": evidence,
        "remedy": REMEDIES[finding.cause],
    }


def to_alarm_record(alarm: SourceAlarm) -> dict[str, Any]:
    """An alarm in JSON."""
    return {**to_cause_record(alarm.finding), "begun_at": alarm.begun_at, "until": alarm.until}
