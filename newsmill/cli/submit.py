"""`newsmill add` (follow a site) and `newsmill submit` (queue single URLs)."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from newsmill import context
from newsmill import settings as configuration
from newsmill.cli.completion import complete_sources
from newsmill.cli.page_fetch import SiteCheck, check_site
from newsmill.cli.terminal import format_count, note, now, print_json, printable
from newsmill.context import AppContext
from newsmill.exceptions import ConfigError, UrlError
from newsmill.failures import describe_failure
from newsmill.model import Outcome, OutcomeRecord, Source
from newsmill.settings import Settings
from newsmill.sources import make_name, parse_source
from newsmill.submission import add_urls
from newsmill.urls import make_key, normalize

MAX_LISTINGS_SHOWN = 5  # of a kind
NO_HTTPS = (Outcome.TLS, Outcome.REFUSED, Outcome.CONNECTION, Outcome.TIMEOUT)  # of a server that may know only http


def add(
    url: Annotated[str | None, typer.Argument(metavar="URL", help="The homepage of the site.", show_default=False)] = None,
    file: Annotated[Path | None, typer.Option("--file", "-f", help="A sources.toml; adds or changes every source in it.")] = None,
    name: Annotated[str | None, typer.Option("--name", help="Name of the source; default: the host, such as example-org.")] = None,
    every: Annotated[str, typer.Option("--every", help='Check interval: "15m", "2h", "1d".')] = "15m",
    language: Annotated[str | None, typer.Option("--language", help="Default language (BCP 47), such as de.")] = None,
    delay: Annotated[
        float | None, typer.Option("--delay", min=0, help="Seconds between two requests to the site.", show_default="1")
    ] = None,
    check: Annotated[bool, typer.Option("--check/--no-check", help="Fetch the homepage now, and say what it leads to.")] = True,
) -> None:
    """Follow a news site: its feeds, sitemaps and sections are found and read regularly.

    Says what the homepage leads to; `newsmill up` fetches the rest. Adding a source whose name exists changes that source.
    """
    if (url is None) == (file is None):
        raise typer.BadParameter("give either a URL or --file")
    settings = configuration.load()
    if file is not None:
        sources = configuration.read_sources(file)
    else:
        sources = (make_source(str(url), name=name, every=every, language=language, delay=delay),)
    check_spiders(settings, [source for source in sources if source.spider is not None])
    with context.open_context(settings, create=True) as store:
        for source in sources:
            store.ledger.put_source(source, now=now())
            start = source.homepage or source.spider or "its listings"
            note(f"following {source.name} ({start})" if source.enabled else f"{source.name} is paused")
            if other := find_same_homepage(store, source):
                note(f"WARNING: source {other} follows this homepage already, and a URL belongs to one source")
        if url is not None and check and sources[0].homepage:
            report_check(find_site(store, url, sources[0]))
    note("run `newsmill up` to fetch it, if no crawler is running")


def find_same_homepage(store: AppContext, source: Source) -> str | None:
    """The name of another source with the same homepage."""
    if source.homepage is None:
        return None
    key = make_key(normalize(source.homepage))
    others = (other for other in store.ledger.sources() if other.name != source.name and other.homepage)
    return next((other.name for other in others if make_key(normalize(str(other.homepage))) == key), None)


def find_site(store: AppContext, url: str, source: Source) -> tuple[str, SiteCheck | OutcomeRecord]:
    """Fetch the homepage of a source: its URL, and what it leads to. If `url` has no scheme and https fails, http is tried and followed."""
    homepage = str(source.homepage)
    found = check_site(homepage)
    if homepage != url and isinstance(found, OutcomeRecord) and found.outcome in NO_HTTPS:
        plain = f"http://{url}"
        if not isinstance(other := check_site(plain), OutcomeRecord):
            store.ledger.put_source(replace(source, homepage=plain), now=now())
            note(printable(f"https: {describe_failure(found)}; following {plain}"))
            return plain, other
    return homepage, found


def report_check(checked: tuple[str, SiteCheck | OutcomeRecord]) -> None:
    """Print what a homepage leads to, or why it cannot be used."""
    homepage, found = checked
    if isinstance(found, OutcomeRecord):
        note(printable(f"WARNING: {homepage} cannot be read now: {describe_failure(found)}; Newsmill tries again on its schedule"))
        return
    counts = [format_count(len(found.feeds), "feed"), format_count(len(found.sitemaps), "sitemap")]
    counts += [format_count(found.sections, "section"), f"{format_count(found.articles, 'link')} to articles"]
    note(f"found on the homepage: {', '.join(counts)}")
    for kind, urls in (("feed", found.feeds), ("sitemap", found.sitemaps)):
        for url in urls[:MAX_LISTINGS_SHOWN]:
            note(printable(f"  {kind} {url}"))
    if not found.feeds and not found.sitemaps:
        note("no feed and no sitemap is named; Newsmill tries their usual URLs")


def check_spiders(settings: Settings, sources: Iterable[Source]) -> None:
    """Raise ConfigError for an argument that a source's spider does not take. A spider that only the crawlers may have is noted."""
    for source in sources:
        # Scrapy costs 0.5 s of CPU, which sources without a spider need not spend
        from crawler.spider_loader import check_arguments, load_spider

        try:
            spider_class = load_spider(settings, source)
        except ConfigError as error:
            note(f"{error}; the machine of each crawler needs it")
            continue
        check_arguments(spider_class, source)


def make_source(url: str, *, name: str | None, every: str | None, language: str | None, delay: float | None) -> Source:
    """The source for a homepage. Raises ConfigError, as for a table of sources.toml."""
    homepage = add_scheme(url)
    table: dict[str, object] = {"homepage": homepage, "every": every, "language": language}
    if delay is not None:
        table["politeness"] = {"delay": float(delay)}
    table = {key: value for key, value in table.items() if value is not None}
    return parse_source(name or get_default_name(homepage), table, url)


def add_scheme(url: str) -> str:
    """`example.org/a` → `https://example.org/a`; anything else is unchanged."""
    return f"https://{url}" if re.match(r"[\w-]+(\.[\w-]+)+(:\d+)?(/|$)", url) else url


def get_default_name(url: str) -> str:
    """The default name of a source with this homepage. Raises ConfigError if it is not a URL."""
    try:
        return make_name(url)
    except UrlError as error:
        reason = "" if str(error).startswith("not a URL") else f": {error}"
        raise ConfigError(f"{url!r} is not a URL of a site{reason}; expected a URL such as https://www.example.org/") from None


def submit(
    urls: Annotated[
        list[str] | None, typer.Argument(metavar="URL…", help="URLs of pages; - reads them from standard input.", show_default=False)
    ] = None,
    file: Annotated[Path | None, typer.Option("--file", "-f", help="A text file with one URL per line.")] = None,
    source: Annotated[
        str | None, typer.Option("--source", autocompletion=complete_sources, help="Name of the source they belong to.")
    ] = None,
    again: Annotated[bool, typer.Option("--again", help="Fetch known URLs again.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the counts as JSON.")] = False,
) -> None:
    """Queue single URLs: each is fetched once and processed by the workers. `newsmill trace URL` shows the result."""
    if not urls and file is None:
        raise typer.BadParameter("give URLs, --file, or - for standard input")
    with context.open_context(configuration.load(), create=True) as store:
        if source is not None and store.ledger.source(source) is None:
            raise context.unknown_source(store, source)
        counts = add_urls(store.ledger, map(add_scheme, read_urls(urls or [], file)), now=now(), source=source, again=again)
    if as_json:
        print_json(counts)
    else:
        known = f", {counts.known:,} {'known queued again' if again else 'already known'}" if counts.known else ""
        invalid = f", {counts.bad_url:,} invalid" if counts.bad_url else ""
        note(f"{format_count(counts.new, 'URL')} queued{known}{invalid}")
        note("run `newsmill up` to fetch, if no crawler is running; `newsmill trace URL` shows the result")
    if counts.bad_url and not counts.new and not counts.known:
        raise typer.Exit(1)


def read_urls(urls: list[str], file: Path | None) -> Iterator[str]:
    """The URLs of the arguments, of standard input for "-", and of the file. Skips empty lines and # comments. Raises ConfigError."""
    for url in urls:
        yield from _read_lines(sys.stdin.buffer) if url == "-" else [url]
    if file is not None:
        try:
            with file.open("rb") as lines:
                yield from _read_lines(lines)
        except OSError as error:
            raise ConfigError(f"{file}: cannot be read ({error.strerror})") from None


def _read_lines(lines: Iterable[bytes]) -> Iterator[str]:
    for line in lines:
        text = line.decode("utf-8-sig", "replace").strip()
        if text and not text.startswith("#"):
            yield text
