"""`newsmill sources schedule NAME`: when each listing of a source is polled next, and why."""

from __future__ import annotations

from typing import Annotated

import typer

from newsmill import context
from newsmill import settings as configuration
from newsmill.cli.terminal import format_count, note, now, print_json, print_table
from newsmill.discovery.schedule import Reason, SourcePattern
from newsmill.model import Source
from newsmill.sources import format_duration
from newsmill.storage.ledger.polls import PolledListing
from newsmill.storage.source_patterns import SourcePatterns

COLUMNS = ("kind", "listing", "articles only here", "last poll", "next poll", "why")


def schedule_source(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Name of the source, as in `newsmill sources list`.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show when each listing of a source is polled next, and why."""
    with context.open_context(configuration.load()) as store:
        source = store.ledger.source(name)
        if source is None:
            raise context.unknown_source(store, name)
        listings = [listing for listing in store.ledger.list_polled(name) if listing.next_poll_at is not None or listing.reason]
        pattern = SourcePatterns(store.engine).get(name)
    if as_json:
        print_json({"source": name, "schedule": describe_schedule(source), "pattern": pattern, "listings": listings})
        return
    if not listings:
        note(f"no listing of {name} has been polled yet")
        return
    print_table(
        COLUMNS,
        [
            to_row(listing, pattern, is_adaptive=source.is_adaptive)
            for listing in sorted(listings, key=lambda listing: listing.next_poll_at or now())
        ],
    )
    note(f"{name}: {describe_schedule(source)}")
    if source.is_adaptive and pattern is not None:
        a_day = pattern.rates.expect(now().replace(hour=0, minute=0, second=0, microsecond=0), now()) or 0.0
        note(f"it publishes about {pattern.rates.per_minute * 1440:.0f} articles a day; today {a_day:.0f} were to be expected so far")


def describe_schedule(source: Source) -> str:
    """How the polls of a source are timed."""
    if source.cron is not None:
        return f"all listings at the times of the cron expression {source.cron} (UTC)"
    if source.every is not None:
        return f"all listings every {format_duration(source.every)}"
    return "each listing when news is to be expected (adaptive)"


def to_row(listing: PolledListing, pattern: SourcePattern | None, *, is_adaptive: bool) -> list[object]:
    """One row of COLUMNS."""
    share = None if pattern is None else pattern.shares.get(listing.id, 0.0)
    return [
        listing.kind,
        listing.url,
        "" if share is None else f"{share:.0%}",
        listing.polled_at,
        listing.next_poll_at or "",
        explain(listing, is_adaptive=is_adaptive, is_learnt=bool(pattern is not None and pattern.shares)),
    ]


def explain(listing: PolledListing, *, is_adaptive: bool, is_learnt: bool) -> str:
    """The reason of a plan in a few words. `is_learnt`: it is known which listings show which articles."""
    match listing.reason:
        case Reason.LEAD:
            return "it shows articles first" if is_learnt else "nothing is learnt yet"
        case Reason.COPY:
            return "other listings show all that it shows"
        case Reason.SPIDER:
            return "a spider runs every quarter of an hour"
        case Reason.PUSHED:
            return "its hub sends every change"
        case Reason.CACHED:
            return f"the server caches it for {format_count(int(listing.cache_seconds or 0), 'second')}"
        case Reason.ANNOUNCED:
            return "nothing is learnt yet; the feed says how often it changes"
        case Reason.FAILING:
            return f"it fails since {listing.failing_since:%Y-%m-%d %H:%M} UTC" if listing.failing_since else "it fails"
        case _:
            if listing.failing_since is not None:
                return "it fails"
            return "polled from the listing that leads to it" if is_adaptive else "fixed times"
