"""What keeps a store healthy: `retry`, `quarantine`, `db`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

import typer

from newsmill import context
from newsmill import settings as configuration
from newsmill.cli.explain import trace
from newsmill.cli.progress import counting
from newsmill.cli.search import finish_index
from newsmill.cli.terminal import note, now, print_json, print_table
from newsmill.context import AppContext
from newsmill.exceptions import ConfigError
from newsmill.model import Outcome
from newsmill.sources import format_suggestion
from newsmill.storage import database, fingerprints
from newsmill.storage.database import Engine
from newsmill.storage.ledger import Trace

Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def retry(
    urls: Annotated[list[str] | None, typer.Argument(metavar="URL…", help="Addresses to open again.", show_default=False)] = None,
    outcome: Annotated[str | None, typer.Option("--outcome", help="All that ended this way, such as timeout.")] = None,
    source: Annotated[str | None, typer.Option("--source", help="Only those of one source.")] = None,
    refetch: Annotated[bool, typer.Option("--refetch", help="Fetch again even where the archived page could be read again.")] = False,
) -> None:
    """Open ended addresses again. An archived page is read again without network; the others are fetched."""
    if bool(urls) == bool(outcome):
        raise typer.BadParameter("give either addresses or --outcome")
    with context.open_context(configuration.load()) as store:
        wanted = outcome_named(outcome) if outcome else None
        count = store.ledger.retry(now=now(), urls=urls or [], outcome=wanted, source=source, refetch=refetch)
    note(f"{count} addresses are due again; `newsmill up` processes them" if count else "nothing to open again: no such address has ended")
    if not count:
        raise typer.Exit(1)


def outcome_named(name: str) -> Outcome:
    """The outcome of that name. Raises ConfigError with the nearest one."""
    try:
        return Outcome(name)
    except ValueError:
        raise ConfigError(f"there is no outcome called {name}{format_suggestion(name, list(Outcome))}") from None


# ---- quarantine --------------------------------------------------------------------------------------------------------------

quarantine = typer.Typer(no_args_is_help=True, help="Pages whose reading killed the process three times, or took longer than its limit.")


@quarantine.command("list")
def list_quarantined(as_json: Json = False) -> None:
    """Every quarantined page with stage and reason."""
    with context.open_context(configuration.load()) as store:
        found = list(all_quarantined(store))
    if as_json:
        print_json(found)
    elif found:
        print_table(("since", "address", "stage", "reason"), [[trace.ended_at, trace.url, trace.stage, trace.detail] for trace in found])
    else:
        note("nothing is in quarantine")


def all_quarantined(store: AppContext) -> Iterator[Trace]:
    """Every quarantined row, read in steps of 500."""
    after = 0
    while batch := store.ledger.quarantined(limit=500, after=after):
        yield from batch
        after = batch[-1].id


@quarantine.command("show")
def show_quarantined(url: Annotated[str, typer.Argument(metavar="URL", help="The page's address.")], as_json: Json = False) -> None:
    """All the ledger knows about one quarantined page."""
    trace(url, as_json)


@quarantine.command("retry")
def retry_quarantined(
    urls: Annotated[list[str] | None, typer.Argument(metavar="URL…", help="Addresses; all unless said.", show_default=False)] = None,
) -> None:
    """Try quarantined pages again, with three lives each."""
    with context.open_context(configuration.load()) as store:
        wanted = urls or [trace.url for trace in all_quarantined(store)]
        count = store.ledger.retry(now=now(), urls=wanted)
    note(f"{count} pages are due again; `newsmill up` processes them")


@quarantine.command("drop")
def drop_quarantined(urls: Annotated[list[str], typer.Argument(metavar="URL…", help="Addresses to give up for good.")]) -> None:
    """Give quarantined pages up: outcome `discarded`. The archived bytes stay."""
    with context.open_context(configuration.load()) as store:
        count = store.ledger.discard(urls, now=now())
    note(f"{count} pages dropped")
    if count < len(urls):
        raise typer.Exit(1)


# ---- db ----------------------------------------------------------------------------------------------------------------------

db = typer.Typer(no_args_is_help=True, help="The database's schema.")


@db.command()
def upgrade() -> None:
    """Create the tables, or bring an older schema up to this program. Safe to run again."""
    settings = configuration.load()
    if settings.database_url is None:
        context.make_folder(context.data_folder(settings))
    engine = database.connect(context.database_url(settings))
    try:
        database.upgrade(engine)
        database.check_schema(engine)
        finish_index(engine)
        finish_fingerprints(engine)
    finally:
        engine.dispose()
    note("the database's schema is up to date")


def finish_fingerprints(engine: Engine) -> None:
    """Make those of documents that an older version stored, so that from now on copies of them are found."""
    waiting = fingerprints.pending(engine)
    if waiting:
        with counting("fingerprints made", total=waiting) as advance:
            while done := fingerprints.catch_up(engine):
                advance(done)


@db.command()
def check() -> None:
    """Exit 0 when the database answers and its schema fits this program."""
    engine = database.connect(context.database_url(configuration.load()))
    try:
        database.check_schema(engine)
    finally:
        engine.dispose()
    note("the database answers, and its schema fits")
