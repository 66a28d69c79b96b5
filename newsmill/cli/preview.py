"""`newsmill sources preview`: archived pages read with the rules in use and with those of sources.toml, and the difference."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from newsmill.cli.stack import Store
    from newsmill.keep.documents import Archived
    from newsmill.model import Document, Page, Reading, Rules, Source
    from newsmill.sandbox import Death, Sandbox
    from newsmill.settings import Settings

FIELDS = ("title", "description", "authors", "published_at", "modified_at", "section", "language")  # that rules can change


@dataclass(frozen=True, slots=True)
class Change:
    """What new rules do to one page. `diff` is unified, line by line of the text; `fields` are those that change."""

    url: str
    before: str  # outcome
    after: str
    diff: tuple[str, ...]
    fields: dict[str, tuple[str | None, str | None]]
    removed: int  # words
    added: int

    @property
    def is_one(self) -> bool:
        return bool(self.diff or self.fields or self.before != self.after)


def run(name: str, pages: int, as_json: bool) -> None:
    """The command."""
    from newsmill import settings as configuration
    from newsmill.cli import stack
    from newsmill.cli.terminal import print_json

    settings = configuration.load()
    with stack.open_store(settings) as store:
        used, wanted = both(store, settings, name)
        changes = list(compare(store, used.rules, wanted, store.documents.newest_pages(name, pages)))
    if as_json:
        print_json(changes)
    else:
        show(changes, name)


def both(store: Store, settings: Settings, name: str) -> tuple[Source, Source]:
    """The source as it is in use, and as sources.toml has it. Raises ConfigError where either is missing."""
    from newsmill import settings as configuration
    from newsmill.cli.sources import unknown_source
    from newsmill.exceptions import ConfigError

    used = store.ledger.source(name)
    if used is None:
        raise unknown_source(store, name)
    if settings.sources_file is None:
        raise ConfigError(f"there is no sources.toml; write one with a table [sources.{name}] and the rules to try")
    wanted = next((source for source in configuration.read_sources(settings.sources_file) if source.name == name), None)
    if wanted is None:
        raise ConfigError(f"{settings.sources_file} has no source called {name}; expected a table [sources.{name}] with the rules to try")
    return used, wanted


def compare(store: Store, used: Rules, wanted: Source, places: Sequence[Archived]) -> Iterator[Change]:
    """Read each page both ways. Pages that cannot be read back are left out; `sources check` and `trace` tell of them."""
    from newsmill.exceptions import ArchiveDamaged
    from newsmill.sandbox import Sandbox

    with Sandbox() as sandbox:
        for place in places:
            try:
                page = store.archive.read_page(place.segment, place.offset)
            except ArchiveDamaged:
                continue
            yield change(page, read(store, sandbox, page, used, wanted), read(store, sandbox, page, wanted.rules, wanted))


def read(store: Store, sandbox: Sandbox, page: Page, rules: Rules, source: Source) -> Reading | Death:
    from newsmill.cli.learn import site_of

    return sandbox.read(page, rules=rules, language=source.language, profile=store.profiles.at(site_of(page), page.fetched_at))


def change(page: Page, before: Reading | Death, after: Reading | Death) -> Change:
    """The difference between two readings of one page."""
    old, new = document_of(before), document_of(after)
    was, now = (found.text.split("\n") if found else [] for found in (old, new))
    diff = list(difflib.unified_diff(was, now, lineterm="", n=1))
    return Change(
        url=page.url,
        before=outcome_of(before),
        after=outcome_of(after),
        diff=tuple(diff),
        fields={name: pair for name in FIELDS if (pair := (said(old, name), said(new, name)))[0] != pair[1]} if old and new else {},
        removed=sum(len(line.split()) for line in diff[2:] if line.startswith("-")),
        added=sum(len(line.split()) for line in diff[2:] if line.startswith("+")),
    )


def document_of(reading: Reading | Death) -> Document | None:
    return getattr(reading, "document", None)


def outcome_of(reading: Reading | Death) -> str:
    from newsmill.model import Outcome, Reading

    return str(reading.ending.outcome if isinstance(reading, Reading) else Outcome.DIED)


def said(document: Document | None, name: str) -> str | None:
    """A field in words."""
    value = getattr(document, name, None)
    return ", ".join(author.name for author in value) if name == "authors" and value else None if value in (None, ()) else str(value)


def show(changes: Sequence[Change], name: str) -> None:
    """The pages that change, each with its difference; then the sum."""
    from newsmill.cli.terminal import note, printable

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
