"""`newsmill backfill`: fetch a source's older articles, after all new ones.

It finds the listings that lead into the archive of the source, and makes them due. The crawler does the rest
(`crawler.frontier.listing_task`): parts of sitemap indexes, next pages of sections, and pages of the wanted days.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, fields
from datetime import datetime, timedelta
from typing import Annotated, Any

import typer

from newsmill import context
from newsmill import settings as configuration
from newsmill.cli.backfill_plan import BackfillPlan, estimate_time, make_period, plan_backfill, start_backfill
from newsmill.cli.interrupt import Interrupt
from newsmill.cli.progress import format_seconds
from newsmill.cli.terminal import format_count, note, print_json, printable
from newsmill.context import AppContext
from newsmill.exceptions import ConfigError
from newsmill.model import Source
from newsmill.storage.ledger import Backfill, PendingBackfill

POLL_SECONDS = 5.0
MAX_SHOWN = 30  # archives in a dry run
SHOWN_AFTER_END = timedelta(days=7)  # in `newsmill status`


def backfill(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Name of the source, as in `newsmill sources list`.")],
    since: Annotated[str | None, typer.Option("--since", help="First day, month or year: 2024-05-17, 2024-05 or 2024.")] = None,
    until: Annotated[str | None, typer.Option("--until", help="Last day, month or year; default: today.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show where it would begin, and change nothing.")] = False,
    stop: Annotated[bool, typer.Option("--stop", help="End the backfill, and show what is left out.")] = False,
    wait: Annotated[bool, typer.Option("--wait/--no-wait", help="Show the progress until it is done.")] = True,
    as_json: Annotated[bool, typer.Option("--json", help="Print the state as JSON, and do not wait.")] = False,
) -> None:
    """Fetch a source's older articles, after all new ones.

    The crawler of a running `newsmill up` reads parts of sitemap indexes, next pages of sections, and dated archive pages.
    Ctrl-C ends only this display; --stop ends the backfill. Without --since, shows the last backfill. Run the same command again to resume.
    """
    if stop and (since is not None or until is not None or dry_run):
        raise typer.BadParameter("--stop takes no other option of a backfill")
    with context.open_context(configuration.load()) as store:
        source = context.find_source(store, name)
        found = store.ledger.backfills.get(name)
        if since is not None:
            plan = plan_backfill(store, source, make_period(since, until, store.now().date()))
            if dry_run:
                show_plan(plan, source)
                return
            if plan.is_empty:
                raise ConfigError(
                    f"{name}: no sitemap, section or dated archive is known; run `newsmill up` until its homepage has been read"
                )
            found = start_backfill(store, source, plan)
        elif until is not None or dry_run:
            raise typer.BadParameter("--until and --dry-run need --since")
        if found is None:
            raise ConfigError(f"{name}: no backfill was started; begin one with --since 2024-01")
        if stop:
            found, is_over = store.ledger.backfills.stop(name, now=store.now()) or found, found.ended_at is not None
            if is_over and not as_json:
                note(f"{name}: no backfill is in progress")
        if as_json:
            print_json(make_record(store, source, found))
        elif wait and not stop:
            watch(store, source)
        else:
            note(describe(store, source, found))


def show_plan(plan: BackfillPlan, source: Source) -> None:
    """Print where a backfill would begin."""
    typer.echo(f"{source.name}: articles from {plan.period.first} to {plan.period.last}")
    for title, links in (("read again", plan.polled), ("tried", plan.archives)):
        for link in links[:MAX_SHOWN]:
            typer.echo(printable(f"  {title}: {link.kind} {link.url}"))
        if len(links) > MAX_SHOWN:
            typer.echo(f"  {title}: {len(links) - MAX_SHOWN:,} more")
    first = format_seconds((len(plan.polled) + len(plan.archives)) * source.politeness.delay)
    typer.echo(f"  these {format_count(len(plan.polled) + len(plan.archives), 'listing')} take at least {first}; they lead to the articles")


def make_record(store: AppContext, source: Source, found: Backfill) -> dict[str, Any]:
    """The state of a backfill as JSON. `remaining` is a number of seconds."""
    return make_records(store, [source], [found])[0]


def make_records(store: AppContext, sources: Iterable[Source], backfills: Iterable[Backfill]) -> list[dict[str, Any]]:
    """The states of the backfills of these sources as JSON."""
    by_name = {source.name: source for source in sources}
    known = [found for found in backfills if found.source in by_name]
    open_ones = [found.source for found in known if found.ended_at is None]
    pending = store.ledger.backfills.count_pending(open_ones)
    return [_to_record(by_name[one.source], one, pending.get(one.source, PendingBackfill(0, 0)), store.now()) for one in known]


def _to_record(source: Source, found: Backfill, pending: PendingBackfill, now: datetime) -> dict[str, Any]:
    done = found.listings + found.pages - pending.total
    rest = estimate_time(source, pending.total, max(done, 0), (found.ended_at or now) - found.started_at)
    return {**asdict(found), "pending_listings": pending.listings, "pending_pages": pending.pages, "remaining": rest.total_seconds()}


def describe(store: AppContext, source: Source, found: Backfill) -> str:
    """The state of a backfill in one line."""
    return describe_record(make_record(store, source, found))


def describe_record(record: Mapping[str, Any]) -> str:
    """The state of a backfill in one line, from its JSON."""
    found = Backfill(**{field.name: record[field.name] for field in fields(Backfill)})
    read = found.listings - record["pending_listings"] - (found.left_listings or 0)
    fetched = found.pages - record["pending_pages"] - (found.left_pages or 0)
    days = f"{found.first_day} to {found.last_day}"
    counts = f"{read:,} of {format_count(found.listings, 'listing')} read, {fetched:,} of {format_count(found.pages, 'page')} fetched"
    if found.ended_at is None:
        return f"{found.source}: {days}: {counts}; about {format_seconds(record['remaining'])} left"
    ended = f"{'stopped' if found.is_stopped else 'done'} {found.ended_at:%Y-%m-%d %H:%M} UTC"
    if not found.is_stopped:
        return f"{found.source}: {days}: {ended}; {counts}"
    left = f"{format_count(found.left_listings or 0, 'listing')} and {format_count(found.left_pages or 0, 'page')} left out"
    return f"{found.source}: {days}: {ended}; {counts}; {left}"


def describe_recent(records: Iterable[Mapping[str, Any]], now: datetime) -> list[str]:
    """One line for each backfill that is in progress, or has ended within SHOWN_AFTER_END; from their JSON."""
    recent = [record for record in records if record["ended_at"] is None or record["ended_at"] > now - SHOWN_AFTER_END]
    return [f"backfill of {describe_record(record)}" for record in recent]


def watch(store: AppContext, source: Source) -> None:
    """Show the progress until everything that was found is fetched, or until Ctrl-C."""
    last = ""
    with Interrupt() as interrupt:
        while True:
            store.ledger.backfills.end_finished(now=store.now())  # as the scheduler does, which may not have seen it yet
            found = store.ledger.backfills.get(source.name)
            if found is None:
                return
            if (line := describe(store, source, found)) != last:
                note(last := line)
            if found.ended_at is not None:
                return
            if not store.is_running("crawler"):
                note("no crawler is running: run `newsmill up` to continue the backfill")
                return
            if interrupt.wait(POLL_SECONDS):
                note("the crawler continues the backfill; run the same command to see the progress")
                return
