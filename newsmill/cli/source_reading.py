"""How a source is read: `newsmill sources schedule`, `poll`, `profile`, and without storing anything `test` and `preview`.

The schedule says when each listing is polled and why, a poll reads all now, the profiles say what was learned of its sites. A test runs its
spider or reads its listings; a preview extracts its newest pages with changed rules.
"""

from __future__ import annotations

import asyncio
import json
import os
import tempfile
import time
from collections.abc import Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated, Any

import typer

from newsmill import context
from newsmill import settings as configuration
from newsmill.cli.terminal import Interrupt, Json, complete_sources, format_count, note, now, print_json, print_table, printable
from newsmill.context import AppContext
from newsmill.exceptions import ConfigError, NewsmillError
from newsmill.listing_schedule import ListingSchedule, describe_times, describe_why, read_schedule
from newsmill.model import Outcome, OutcomeRecord, Profile, Source, State, describe_failure
from newsmill.settings import Settings
from newsmill.sources.table import format_duration, format_suggestion
from newsmill.storage.profiles import FastPathCounts

if TYPE_CHECKING:
    from crawler.spider_runs.run_report import RunRequest
    from newsmill.intake.reextract import ReextractionDiff

Name = Annotated[
    str, typer.Argument(metavar="NAME", autocompletion=complete_sources, help="Name of the source, as in `newsmill sources list`.")
]


# ---- schedule ------------------------------------------------------------------------------------------------------------------

SCHEDULE_COLUMNS = ("kind", "listing", "articles only here", "every", "last poll", "last new page", "next poll", "why")


def schedule_source(name: Name, as_json: Json = False) -> None:
    """Show when each listing of a source is polled next, and why."""
    with context.open_context(configuration.load()) as store:
        source = context.find_source(store, name)
        schedule = read_schedule(store, source)
    if as_json:
        listings = schedule.listings
        print_json(
            {
                "source": name,
                "schedule": describe_times(source, store.settings.freshness),
                "pattern": schedule.pattern,
                "listings": listings,
            }
        )
        return
    if not schedule.listings:
        note(f"no listing of {name} has been polled yet")
        return
    print_table(SCHEDULE_COLUMNS, [to_schedule_row(listing) for listing in schedule.by_time])
    note(f"{name}: {describe_times(source, store.settings.freshness)}")
    if schedule.pattern is not None:
        rates, midnight = schedule.pattern.rates, now().replace(hour=0, minute=0, second=0, microsecond=0)
        a_day, today = rates.per_minute * 1440, rates.expect(midnight, now())
        note(f"it publishes about {a_day:.0f} articles a day; today {today:.0f} were to be expected so far")


def to_schedule_row(listing: ListingSchedule) -> list[object]:
    """One row of SCHEDULE_COLUMNS."""
    interval = listing.interval_seconds
    return [
        listing.kind,
        listing.url,
        "" if listing.share is None else f"{listing.share:.0%}",
        "" if interval is None else format_duration(timedelta(minutes=round(interval / 60))),
        listing.polled_at,
        listing.shown_at or "",
        listing.next_poll_at or ("due" if listing.is_due else ""),
        describe_why(listing),
    ]


# ---- poll ----------------------------------------------------------------------------------------------------------------------

MAX_POLL_SECONDS = 60.0  # to wait for the crawler; a host may ask for a longer pause
SECONDS_PER_LOOK = 0.5
UNREAD_STATES = (State.DUE, State.FETCHING)  # of a listing, which has no other before its end


def poll_source(name: Name) -> None:
    """Read the listings of a source now, and show what each gave. The running crawler reads them.

    Exits with 1 if no crawler runs, or a listing fails. Listings that are not read within a minute are read later.
    """
    with context.open_context(configuration.load()) as store, Interrupt() as interrupt:
        if not context.find_source(store, name).enabled:
            raise ConfigError(f"source {name} is paused; run `newsmill sources resume {name}` first")
        begun_at, deadline = store.now(), time.monotonic() + MAX_POLL_SECONDS
        store.ledger.sources.make_listings_due(name, now=begun_at)
        if not store.is_running("crawler"):
            raise NewsmillError(f"no crawler runs; the listings of {name} are due, and `newsmill up` reads them")
        waiting = {
            trace.id
            for trace in store.ledger.traces.list_listings(name)
            if trace.state in UNREAD_STATES or (trace.ended_at is not None and trace.ended_at >= begun_at)  # read in the meantime
        }
        has_failed = False
        while waiting and time.monotonic() < deadline and not interrupt.wait(SECONDS_PER_LOOK):
            for trace in [trace for trace in store.ledger.traces.list_listings(name) if trace.id in waiting]:
                failure = trace.last_failure if trace.failed_at is not None and trace.failed_at >= begun_at else None
                if failure is None and trace.state in UNREAD_STATES:
                    continue
                waiting.remove(trace.id)
                has_failed = has_failed or failure is not None or trace.state is State.FAILED
                result = describe_failure(failure) if failure is not None else ": ".join(filter(None, (trace.outcome, trace.detail)))
                typer.echo(printable(f"{trace.kind} {trace.url}: {result}"))
    if waiting:
        note(f"{format_count(len(waiting), 'listing')} not read yet; `newsmill sources check {name}` shows the results later")
    if has_failed:
        raise typer.Exit(1)


# ---- site profiles -------------------------------------------------------------------------------------------------------------

MAX_LINES_SHOWN = 10  # per site; `--json` prints all
PROFILE_COLUMNS = ("site", "profile", "fast path", "checked", "disagreed")


def show_profiles(name: Name, as_json: Json = False) -> None:
    """Show the profiles of a source's sites: positions of fields, lines that are removed, use of the fast path."""
    with context.open_context(configuration.load()) as store:
        source = context.find_source(store, name)
        profiles = [
            profile for site in store.profiles.sites_of_sources([source.name]) if (profile := store.profiles.latest(site)) is not None
        ]
        if as_json:
            print_json([to_profile_record(store, profile) for profile in profiles])
        for record in [] if as_json else [to_profile_record(store, profile) for profile in profiles]:
            print_profile(record)
        if not profiles and not as_json:
            note(f"No site of {name} has a profile yet; a site gets one with its fifth document")


def to_profile_record(store: AppContext, profile: Profile) -> dict[str, Any]:
    """A profile as JSON: use of the fast path, field positions, and lines that are removed."""
    # these modules take 0.05 s of CPU, which `newsmill status` and `newsmill sources list` need not spend
    from newsmill.extraction.site_profile import apply_profile

    counts = next((to_status_record(counts) for counts in store.fast_path_stats.newest_counts() if counts.site == profile.site), {})
    removed = sorted(apply_profile.find_removed_lines(profile), key=lambda key: -profile.lines[key].pages)
    return counts | {
        "pages": profile.pages,
        "fit": profile.fit,
        "reach": profile.reach,
        "agreement": profile.agreement,
        "proven": apply_profile.is_proven(profile),
        "fields": {
            name: [
                {
                    "path": path,
                    "pages": seen.pages,
                    "agreed": seen.agreed,
                    "proven": path == apply_profile.find_field_position(profile, name),
                }
                for path, seen in positions.items()
            ]
            for name, positions in profile.fields.items()
        },
        "lines": {key: profile.lines[key].pages for key in removed},
    }


def to_status_record(counts: FastPathCounts) -> dict[str, Any]:
    """The use of a profile as JSON: pages by extraction path since the profile was learned."""
    pages = {f"{path.value}_pages": count for path, count in counts.pages.items()}
    return {"site": counts.site, "version": counts.version, "fast": counts.fast, "fast_share": counts.share, **pages}


def to_status_row(record: dict[str, Any]) -> list[object]:
    """One row of PROFILE_COLUMNS."""
    if record["fast_share"] is None:
        share = "not yet"
    else:
        share = f"{record['fast_share']:.0%} of pages" + ("" if record["fast"] else ", disabled after errors")
    checked = record["agreed_pages"] + record["disagreed_pages"]
    return [record["site"], record["version"], share, checked, record["disagreed_pages"]]


def print_profile(record: dict[str, Any]) -> None:
    """Print one profile as text and two tables."""
    path = "the fast path is in use" if record["proven"] else "every page gets full extraction"
    typer.echo(f"{record['site']}: profile {record['version']}, learned from {format_count(record['pages'], 'page')}; {path}")
    if record["agreement"] is not None:
        typer.echo(f"fast path: fits {record['reach']:.0%} of these pages; F1 against full extraction: {record['agreement']:.3f}")
    fields = [
        (name, f"{position['agreed']} of {position['pages']}", "yes" if position["proven"] else "no", printable(position["path"]))
        for name, positions in record["fields"].items()
        for position in positions[:1]
    ]
    if fields:
        print_table(("field", "agreed", "used", "position"), fields)
    lines = [(pages, printable(key.partition(" | ")[2])) for key, pages in list(record["lines"].items())[:MAX_LINES_SHOWN]]
    if lines:
        print_table(("pages", "removed line"), lines)


# ---- test ----------------------------------------------------------------------------------------------------------------------

TEST_COLUMNS = ("kind", "outcome", "title", "published_at", "words", "url")
SPIDER_ADVICE = "check the URLs that the spider starts with, and its selectors"
LISTINGS_ADVICE = "open its feeds, sitemaps and pages in a browser, and check that they link to articles"


def test_source(
    name: Annotated[
        str, typer.Argument(metavar="NAME", autocompletion=complete_sources, help="Name of a source in sources.toml or in the store.")
    ],
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, max=1000, help="Number of pages, links and articles.")] = 20,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON line per result, then one for the run.")] = False,
) -> None:
    """Run the spider of a source, or read its listings, and show what would come in. Stores nothing.

    The log is printed on standard error; LOG_LEVEL=DEBUG shows every request. Exits with 1 if the run fails or finds nothing.
    """
    settings = configuration.load()
    source = find_configured_source(settings, name)
    with tempfile.TemporaryDirectory(prefix="newsmill-test-") as folder:
        if not context.has_store(settings):  # the run needs a ledger for the leases of hosts
            os.environ["NEWSMILL_DATA"] = folder
            with context.open_context(configuration.load(), create=True):
                pass
        # Scrapy costs 0.5 s of CPU and 40 MB, which the other commands of this module need not spend
        from crawler.spider_runs.listings_spider import make_test_request

        results, outcome = asyncio.run(run_test(make_test_request(source, limit), as_json))
    if as_json:
        print_json({"outcome": outcome.outcome, "detail": outcome.detail})
    else:
        if results:
            print_table(TEST_COLUMNS, [[result.get(column) for column in TEST_COLUMNS] for result in results])
        note(f"{name}: {outcome.outcome}: {outcome.detail}")
        if outcome.outcome is Outcome.EMPTY_LISTING:
            note(f"nothing found: {SPIDER_ADVICE if source.spider else LISTINGS_ADVICE}; LOG_LEVEL=DEBUG logs every request")
    if outcome.outcome is not Outcome.LISTED:
        raise typer.Exit(1)


async def run_test(request: RunRequest, as_json: bool) -> tuple[list[dict[str, Any]], OutcomeRecord]:
    """The results of a test run, and its outcome. JSON lines are printed as they come."""
    from crawler.spider_runs.run_outcome import describe_run
    from crawler.spider_runs.run_report import RunReport
    from crawler.spider_runs.spider_process import SpiderProcess

    results: list[dict[str, Any]] = []
    report = RunReport("crashed")
    process = await SpiderProcess.start(request)
    async for line in process.lines():
        if isinstance(line, RunReport):
            report = line
            continue
        result = json.loads(line)
        results.append(result)
        if as_json:
            print_json(result)
        else:
            note(f"{len(results)}: {result['url']}")
    return results, describe_run(report)


def find_configured_source(settings: Settings, name: str) -> Source:
    """The source of sources.toml, or that of the store. Raises ConfigError if there is none."""
    path = settings.sources_file
    sources = [] if path is None else list(configuration.read_sources(path))
    if context.has_store(settings):
        with context.open_context(settings) as store:
            sources += store.ledger.sources.list_all()
    found = next((source for source in sources if source.name == name), None)
    if found is None:
        names = sorted({source.name for source in sources})
        raise ConfigError(f"source {name!r} does not exist" + (format_suggestion(name, names) if names else "; add one: newsmill add URL"))
    return found


# ---- preview of changed rules --------------------------------------------------------------------------------------------------


def preview_rules(
    name: Name,
    pages: Annotated[int, typer.Option("--pages", "-n", min=1, max=1000, help="Number of documents, newest first.")] = 20,
    as_json: Json = False,
) -> None:
    """Preview changed rules of sources.toml: their effect on the newest documents of a source.

    Extracts archived pages with the rules in use and with those of the file, and stores nothing.
    """
    # the sandbox and its pipes cost 0.04 s of CPU to import, which `status` need not spend
    from newsmill.intake import reextract

    settings = configuration.load()
    with context.open_context(settings) as store:
        current, changed = find_versions(store, settings, name)
        archived = store.documents.newest_pages(name, pages)
        diffs = list(reextract.compare_rules(store.archive, store.profiles, current.rules, changed, archived))
    if as_json:
        print_json(diffs)
    else:
        print_diffs(diffs, name)


def find_versions(store: AppContext, settings: Settings, name: str) -> tuple[Source, Source]:
    """The source in use, and the source in sources.toml. Raises ConfigError if one is missing."""
    current = context.find_source(store, name)
    if settings.sources_file is None:
        raise ConfigError(f"config/sources.toml does not exist; create it with a table [sources.{name}] and the rules to try")
    changed = next((source for source in configuration.read_sources(settings.sources_file) if source.name == name), None)
    if changed is None:
        raise ConfigError(f"{settings.sources_file} has no source {name!r}; add a table [sources.{name}] with the rules to try")
    return current, changed


def print_diffs(diffs: Sequence[ReextractionDiff], name: str) -> None:
    """Print each page that changes with its differences, then the totals."""
    changed = [diff for diff in diffs if diff.has_changes]
    for page in changed:
        typer.echo(page.url + (f"   {page.before} → {page.after}" if page.before != page.after else ""))
        for field, (before, after) in page.fields.items():
            typer.echo(printable(f"  {field}: {before or '–'} → {after or '–'}"))
        for line in page.diff[2:]:
            typer.echo(printable(f"  {line}"))
        typer.echo("")
    removed, added = sum(diff.removed for diff in diffs), sum(diff.added for diff in diffs)
    lost = sum(diff.before == "stored" != diff.after for diff in diffs)
    note(
        f"{name}: {len(changed)} of {format_count(len(diffs), 'page')} changed; {format_count(removed, 'word')} removed, "
        f"{added:,} added; {format_count(lost, 'document')} lost"
    )
    note(
        "the rules apply when `newsmill up` starts again; for stored documents run `newsmill retry --outcome stored --source " + name + "`"
    )
