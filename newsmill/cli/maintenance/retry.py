"""`newsmill retry`: requeue finished URLs."""

from __future__ import annotations

from typing import Annotated

import typer

from newsmill import context
from newsmill import settings as configuration
from newsmill.cli.completion import complete_from, complete_sources
from newsmill.cli.terminal import format_count, note, note_next_step, now
from newsmill.cli.trace import find_trace
from newsmill.exceptions import ConfigError
from newsmill.model import Outcome
from newsmill.site_inspection.processes import add_scheme
from newsmill.sources.table import format_suggestion


def retry(
    urls: Annotated[list[str] | None, typer.Argument(metavar="URL…", help="URLs to requeue.", show_default=False)] = None,
    outcome: Annotated[
        str | None, typer.Option("--outcome", autocompletion=complete_from(Outcome), help="All URLs with this outcome, such as timeout.")
    ] = None,
    source: Annotated[str | None, typer.Option("--source", autocompletion=complete_sources, help="Only URLs of this source.")] = None,
    refetch: Annotated[bool, typer.Option("--refetch", help="Also fetch pages that are in the archive.")] = False,
) -> None:
    """Requeue finished URLs. Archived pages are extracted again without network; other pages are fetched."""
    if bool(urls) == bool(outcome):
        raise typer.BadParameter("give either URLs or --outcome")
    with context.open_context(configuration.load()) as store:
        selected = parse_outcome(outcome) if outcome else None
        if source and not store.ledger.progress.count(source).pages:  # a removed source has pages
            context.find_source(store, source)
        urls = [add_scheme(url) for url in urls or ()]
        count = store.ledger.retries.retry(now=now(), urls=urls, outcome=selected, source=source, refetch=refetch)
        if count:
            note(f"{format_count(count, 'URL')} requeued")
            note_next_step(store, "worker", "process")
        else:
            for url in urls:
                find_trace(store, url)  # an unknown URL is an error
            note("No finished URL matches; nothing is requeued")
    if not count:
        raise typer.Exit(1)


def parse_outcome(name: str) -> Outcome:
    """The outcome with this name. Raises ConfigError with a similar name."""
    try:
        return Outcome(name)
    except ValueError:
        raise ConfigError(f"Unknown outcome {name!r}{format_suggestion(name, list(Outcome))}") from None
