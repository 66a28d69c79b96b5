"""`newsmill add`: inspect sites, show what would be stored of them, and follow them."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Annotated

import typer

from newsmill import context
from newsmill import settings as configuration
from newsmill.cli.add_input import AddOptions, check_spiders, is_toml, read_sites
from newsmill.cli.add_run import FAILED, AddRun
from newsmill.cli.inspection_report import show_finding
from newsmill.cli.terminal import note, note_next_step, now, printable
from newsmill.exceptions import ConfigError
from newsmill.model import Source
from newsmill.settings import Settings
from newsmill.site_inspection.processes import inspect_sites
from newsmill.sources.additions import Action
from newsmill.sources.config_file import read_sources


def add(
    urls: Annotated[
        list[str] | None, typer.Argument(metavar="URL…", help="Homepages, sections, feeds or sitemaps of sites.", show_default=False)
    ] = None,
    file: Annotated[Path | None, typer.Option("--file", "-f", help="A list of sites (OPML, CSV), or a sources.toml.")] = None,
    name: Annotated[str | None, typer.Option("--name", help="Name of the source; default: the host, such as example-org.")] = None,
    every: Annotated[str | None, typer.Option("--every", help='Fixed interval: "15m", "2h", "1d". Default: adaptive.')] = None,
    freshness: Annotated[
        str | None,
        typer.Option("--freshness", help='Expected delay of a new article, "1m" to "1d". Default: NEWSMILL_FRESHNESS.', show_default=False),
    ] = None,
    language: Annotated[str | None, typer.Option("--language", help="Default language (BCP 47), such as de.")] = None,
    delay: Annotated[
        float | None, typer.Option("--delay", min=0, help="Seconds between two requests to the site.", show_default="1")
    ] = None,
    check: Annotated[bool, typer.Option("--check/--no-check", help="Inspect the site first; --no-check adds it as it is.")] = True,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Add without asking.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON line per site; adds only with --yes.")] = False,
) -> None:
    """Follow news sites: find their feeds, sitemaps and sections, and read them regularly.

    Fetches the site, and shows three articles and the table for sources.toml. Then asks, and adds the source to the store and to the file,
    if it exists. Exits with 1 if a site cannot be followed. `newsmill up` fetches the rest.
    """
    if (not urls) == (file is None):
        raise typer.BadParameter("give either URLs or --file")
    settings, options = configuration.load(), AddOptions(name, every, freshness, language, delay, check, yes, as_json)
    if file is not None and is_toml(file):
        sources = read_sources(file)
        if not sources:
            raise ConfigError(f"{file}: no source in it; expected a table such as [sources.example]")
        add_tables(settings, sources)
        return
    sites = read_sites(urls or [], file, options)
    if name is not None and len(sites) > 1:
        raise typer.BadParameter("--name names one source; give one URL with it")
    checked = [site.url for site in sites] if check else []
    shows_findings = len(sites) == 1 and not as_json  # of several sites, four are inspected at once
    show = show_finding if shows_findings else None
    inspecting = closing(inspect_sites(checked, delay=delay, on_finding=show))
    with context.open_context(settings, create=True) as store, inspecting as inspections:
        run = AddRun(settings, store, options, shows_findings=shows_findings)
        try:
            for number, site in enumerate(sites, 1):
                note(printable(f"[{number}/{len(sites)}] {site.url}" if len(sites) > 1 else site.url))
                run.add(site, next(inspections, None))
        except KeyboardInterrupt:
            run.flush()
            run.summarise(len(sites))
            raise typer.Exit(130) from None
        run.flush()
        run.summarise(len(sites))
    if run.unconfirmed:
        raise ConfigError("nothing was added; confirm with --yes")
    if run.results[FAILED] or run.results[Action.REFUSED]:
        raise typer.Exit(1)


def add_tables(settings: Settings, sources: Sequence[Source]) -> None:
    """Add or change the sources of a file, without an inspection: the author of the file has chosen them."""
    check_spiders(settings, [source for source in sources if source.spider is not None])
    with context.open_context(settings, create=True) as store:
        for source in store.ledger.listing_moves.apply(sources):
            store.ledger.sources.put(source, now=now())
            start = source.homepage or source.spider or "its listings"
            note(f"following {source.name} ({start})" if source.enabled else f"{source.name} is paused")
        note_next_step(store, "crawler", "fetch it")
