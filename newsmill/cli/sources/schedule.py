"""`newsmill sources schedule`: when each listing is polled next."""

from __future__ import annotations

from datetime import timedelta

from newsmill import context
from newsmill import settings as configuration
from newsmill.cli.completion import SourceName
from newsmill.cli.terminal import Json, note, now, print_json, print_table
from newsmill.polling.listing_schedule import ListingSchedule, describe_times, describe_why, read_schedule
from newsmill.sources.table_values import format_duration

SCHEDULE_COLUMNS = ("kind", "listing", "articles only here", "every", "last poll", "last new page", "next poll", "why")


def schedule_source(name: SourceName, as_json: Json = False) -> None:
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
