"""`newsmill sources preview`: extract the newest pages of a source with changed rules, without storing anything."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from newsmill import context
from newsmill import settings as configuration
from newsmill.cli.completion import SourceName
from newsmill.cli.terminal import Json, format_count, note, print_json, printable
from newsmill.context import AppContext
from newsmill.exceptions import ConfigError
from newsmill.model import Source
from newsmill.settings import Settings

if TYPE_CHECKING:
    from newsmill.intake.reextract import ReextractionDiff
from newsmill.sources.config_file import read_sources


def preview_rules(
    name: SourceName,
    pages: Annotated[int, typer.Option("--pages", "-n", min=1, max=1000, help="Number of documents, newest first.")] = 20,
    as_json: Json = False,
) -> None:
    """Preview changed rules of sources.toml: their effect on the newest documents of a source.

    Extracts archived pages twice, with the rules in use and with the rules of the file, and stores nothing.
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
    changed = next((source for source in read_sources(settings.sources_file) if source.name == name), None)
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
