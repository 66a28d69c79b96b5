"""`newsmill sources preview`: archived pages read with the rules in use and with those of sources.toml, and the difference."""

from __future__ import annotations

from collections.abc import Sequence

import typer

from newsmill import reextract
from newsmill import settings as configuration
from newsmill.cli import context
from newsmill.cli.context import Store
from newsmill.cli.terminal import note, print_json, printable
from newsmill.exceptions import ConfigError
from newsmill.model import Source
from newsmill.reextract import Change
from newsmill.settings import Settings


def run(name: str, pages: int, as_json: bool) -> None:
    """The command."""
    settings = configuration.load()
    with context.open_store(settings) as store:
        used, wanted = both(store, settings, name)
        places = store.documents.newest_pages(name, pages)
        changes = list(reextract.compare(store.archive, store.profiles, used.rules, wanted, places))
    if as_json:
        print_json(changes)
    else:
        show(changes, name)


def both(store: Store, settings: Settings, name: str) -> tuple[Source, Source]:
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


def show(changes: Sequence[Change], name: str) -> None:
    """The pages that change, each with its difference; then the sum."""
    for one in (one for one in changes if one.is_one):
        typer.echo(one.url + (f"   {one.before} → {one.after}" if one.before != one.after else ""))
        for field, (before, after) in one.fields.items():
            typer.echo(printable(f"  {field}: {before or '–'} → {after or '–'}"))
        for line in one.diff[2:]:
            typer.echo(printable(f"  {line}"))
        typer.echo("")
    changed = sum(one.is_one for one in changes)
    lost = sum(one.before == "stored" != one.after for one in changes)
    note(
        f"{name}: {changed} of {len(changes)} pages change; {sum(one.removed for one in changes):,} words go, "
        f"{sum(one.added for one in changes):,} come, {lost} documents would be lost"
    )
    note("the rules are used when newsmill up starts again; for what is stored: newsmill retry --outcome stored --source " + name)
