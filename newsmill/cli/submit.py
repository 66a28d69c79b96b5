"""`newsmill add` (a source to follow) and `newsmill submit` (single addresses to fetch once)."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated

import typer

from newsmill import context, urls
from newsmill import settings as configuration
from newsmill.cli.terminal import note, now, print_json
from newsmill.exceptions import ConfigError, UrlError
from newsmill.model import Source
from newsmill.sources import parse_source
from newsmill.submission import add_urls


def add(
    url: Annotated[str | None, typer.Argument(metavar="URL", help="The site's homepage.", show_default=False)] = None,
    file: Annotated[Path | None, typer.Option("--file", "-f", help="A sources.toml: every source in it is added or changed.")] = None,
    name: Annotated[str | None, typer.Option("--name", help="What to call it; the host's name unless said.")] = None,
    every: Annotated[str, typer.Option("--every", help='How often to look for news: "15m", "2h", "1d".')] = "15m",
    language: Annotated[str | None, typer.Option("--language", help="Language tag for pages that do not say, such as de.")] = None,
    delay: Annotated[
        float | None, typer.Option("--delay", min=0, help="Seconds between two requests to the site.", show_default="1")
    ] = None,
) -> None:
    """Follow a news site: its feeds, sitemaps and sections are found by themselves and read again and again.

    Nothing is fetched here; `newsmill up` does it. The same name again changes the source.
    """
    if (url is None) == (file is None):
        raise typer.BadParameter("give either the address of a homepage or --file")
    settings = configuration.load()
    if file is not None:
        found = configuration.read_sources(file)
    else:
        found = (source_of(str(url), name=name, every=every, language=language, delay=delay),)
    with context.open_context(settings, create=True) as store:
        for source in found:
            store.ledger.put_source(source, now=now())
            note(f"following {source.name} ({source.homepage or 'its listings'})" if source.enabled else f"{source.name} is paused")
    note("fetch it with `newsmill up`")


def source_of(url: str, *, name: str | None, every: str | None, language: str | None, delay: float | None) -> Source:
    """The source a homepage given by hand stands for. Raises ConfigError as for a table of sources.toml."""
    address = with_scheme(url)
    table: dict[str, object] = {"homepage": address, "every": every, "language": language}
    if delay is not None:
        table["politeness"] = {"delay": float(delay)}
    table = {key: value for key, value in table.items() if value is not None}
    return parse_source(name or host_of(address), table, url)


def with_scheme(url: str) -> str:
    """`example.org/a` as people write it → `https://example.org/a`; anything else is left as it is."""
    return f"https://{url}" if re.match(r"[\w-]+(\.[\w-]+)+(:\d+)?(/|$)", url) else url


def host_of(url: str) -> str:
    """The host of a homepage. Raises ConfigError when the address is none."""
    try:
        return urls.get_host(url)
    except UrlError as error:
        raise ConfigError(f"{url} is no address of a site: {error}") from None


def submit(
    urls: Annotated[
        list[str] | None, typer.Argument(metavar="URL…", help="Addresses of pages; - reads them from standard input.", show_default=False)
    ] = None,
    file: Annotated[Path | None, typer.Option("--file", "-f", help="A text file with one address per line.")] = None,
    source: Annotated[str | None, typer.Option("--source", help="The source they belong to, by name.")] = None,
    again: Annotated[bool, typer.Option("--again", help="Fetch known addresses again.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the counts as JSON.")] = False,
) -> None:
    """Queue single addresses: they are fetched once and processed by the workers. `newsmill trace URL` says how each ended."""
    if not urls and file is None:
        raise typer.BadParameter("give addresses, --file, or - for standard input")
    with context.open_context(configuration.load(), create=True) as store:
        if source is not None and store.ledger.source(source) is None:
            raise context.unknown_source(store, source)
        found = add_urls(store.ledger, map(with_scheme, addresses(urls or [], file)), now=now(), source=source, again=again)
    if as_json:
        print_json(found)
    else:
        note(
            f"{found.new} addresses queued"
            + (f", {found.known} known already" if found.known else "")
            + (f", {found.bad_url} are no http(s) addresses" if found.bad_url else "")
        )
        note("`newsmill up` fetches them, `newsmill trace URL` says how each ended")
    if found.bad_url and not found.new and not found.known:
        raise typer.Exit(1)


def addresses(urls: list[str], file: Path | None) -> Iterator[str]:
    """The addresses of the arguments, of standard input where one is "-", and of the file; empty lines and # comments left out."""
    for url in urls:
        yield from _lines(sys.stdin.buffer) if url == "-" else [url]
    if file is not None:
        try:
            with file.open("rb") as lines:
                yield from _lines(lines)
        except OSError as error:
            raise ConfigError(f"{file}: cannot be read ({error.strerror})") from None


def _lines(lines: Iterable[bytes]) -> Iterator[str]:
    for line in lines:
        text = line.decode("utf-8-sig", "replace").strip()
        if text and not text.startswith("#"):
            yield text
