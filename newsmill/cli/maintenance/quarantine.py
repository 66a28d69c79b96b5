"""`newsmill quarantine`: pages that failed too often."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

import typer

from newsmill import context
from newsmill import settings as configuration
from newsmill.cli.terminal import Json, format_count, note, note_next_step, now, print_json, print_table
from newsmill.cli.trace import find_trace, trace
from newsmill.context import AppContext
from newsmill.site_inspection.processes import add_scheme
from newsmill.storage.ledger import Trace

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
    while batch := store.ledger.traces.list_quarantined(limit=500, after=after):
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
        count = store.ledger.retries.retry_quarantined([*chosen], now=now())
        if count:
            note(f"{format_count(count, 'page')} requeued")
            note_next_step(store, "worker", "process")
        else:
            for url in urls or ():
                find_trace(store, url)  # an unknown URL is an error
            note("no quarantined page matches; nothing is requeued" if urls else "no page is in quarantine")
    if urls and not count:
        raise typer.Exit(1)


@quarantine.command("drop")
def drop_quarantined(urls: Annotated[list[str], typer.Argument(metavar="URL…", help="URLs of the pages.")]) -> None:
    """Drop quarantined pages (outcome `discarded`). The archived bytes stay."""
    with context.open_context(configuration.load()) as store:
        count = store.ledger.retries.discard(map(add_scheme, urls), now=now())
        if not count:
            for url in urls:
                find_trace(store, url)  # an unknown URL is an error
    note(f"{format_count(count, 'page')} dropped" if count else "no quarantined page matches; nothing is dropped")
    if count < len(urls):
        raise typer.Exit(1)
