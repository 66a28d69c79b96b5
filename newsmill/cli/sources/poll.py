"""`newsmill sources poll`: read all listings of a source now."""

from __future__ import annotations

import time

import typer

from newsmill import context
from newsmill import settings as configuration
from newsmill.cli.completion import SourceName
from newsmill.cli.interrupt import Interrupt
from newsmill.cli.terminal import format_count, note, printable
from newsmill.exceptions import ConfigError, NewsmillError
from newsmill.model import State, describe_failure
from newsmill.storage.listing_observations import find_failure

MAX_POLL_SECONDS = 60.0  # to wait for the crawler; a host may ask for a longer pause
SECONDS_PER_LOOK = 0.5
UNREAD_STATES = (State.DUE, State.FETCHING)  # of a listing, which has no other before its end


def poll_source(name: SourceName) -> None:
    """Read the listings of a source now, and show the result of each. The running crawler reads them.

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
                if trace.state in UNREAD_STATES and (trace.failed_at is None or trace.failed_at < begun_at):
                    continue
                waiting.remove(trace.id)
                failure = find_failure(trace)
                has_failed = has_failed or failure is not None
                result = ": ".join(filter(None, (trace.outcome, trace.detail))) if failure is None else describe_failure(failure)
                typer.echo(printable(f"{trace.kind} {trace.url}: {result}"))
    if waiting:
        note(f"{format_count(len(waiting), 'listing')} not read yet; `newsmill sources check {name}` shows the results later")
    if has_failed:
        raise typer.Exit(1)
