"""`newsmill add`: inspect sites, show what would be stored of them, and follow them."""

from __future__ import annotations

import sys
import textwrap
from collections import Counter
from collections.abc import Iterable, Sequence
from concurrent.futures import Future
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from newsmill import context, site_inspection
from newsmill import settings as configuration
from newsmill.cli.terminal import Interrupt, format_count, note, note_next_step, now, print_json, printable
from newsmill.context import AppContext
from newsmill.exceptions import ConfigError, NewsmillError, ServiceError, UrlError
from newsmill.model import Kind, Outcome, OutcomeRecord, Source, describe_failure
from newsmill.settings import Settings
from newsmill.site_inspection import (
    Advice,
    FoundListing,
    Obstacle,
    SampleArticle,
    SiteInspection,
    add_scheme,
    find_advice,
    get_article_host,
    inspect_sites,
)
from newsmill.sources.additions import Action, Addition, SourceIndex, plan_addition
from newsmill.sources.files import MAX_LIST_BYTES, ListedSite, add_sources, extend_source, read_list, render_table
from newsmill.sources.table import make_name, parse_source
from newsmill.text.urls import get_host, normalize

MAX_BATCH_SITES = 100  # that are added at once without an inspection: sources.toml is read, checked and written once for them
FAILED = "failed"  # of `results`, beside the actions
DECLINED = "declined"
RESULTS = {
    "new": "added",
    "extended": "added to a source",
    "known": "followed already",
    DECLINED: "not added",
    "refused": "refused",
    FAILED: "failed",
}


@dataclass(frozen=True, slots=True)
class AddOptions:
    """The options of the command."""

    name: str | None
    every: str | None
    freshness: str | None
    language: str | None
    delay: float | None
    check: bool
    yes: bool
    as_json: bool

    def complete(self, table: dict[str, Any]) -> dict[str, Any]:
        """The table with the options that were given."""
        given: dict[str, Any] = {"every": self.every, "freshness": self.freshness, "language": self.language}
        table = table | {key: value for key, value in given.items() if value is not None}
        return table if self.delay is None else table | {"politeness": {"delay": float(self.delay)}}


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
    check: Annotated[bool, typer.Option("--check/--no-check", help="Inspect the site first; without, it is added as it is.")] = True,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Add without asking.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON line per site; adds only with --yes.")] = False,
) -> None:
    """Follow news sites: their feeds, sitemaps and sections are found and read regularly.

    Fetches the site, shows three of its articles and the table for sources.toml, asks, and adds it there (if the file exists) and to the
    store. Exits with 1 if a site cannot be followed. `newsmill up` fetches the rest.
    """
    if (not urls) == (file is None):
        raise typer.BadParameter("give either URLs or --file")
    settings, options = configuration.load(), AddOptions(name, every, freshness, language, delay, check, yes, as_json)
    if file is not None and is_toml(file):
        sources = configuration.read_sources(file)
        if not sources:
            raise ConfigError(f"{file}: no source in it; expected a table such as [sources.example]")
        add_tables(settings, sources)
        return
    sites = read_sites(urls or [], file, options)
    if name is not None and len(sites) > 1:
        raise typer.BadParameter("--name names one source; give one URL with it")
    checked = [site.url for site in sites] if check else []
    show = show_finding if len(sites) == 1 else None  # of several sites, four are inspected at once
    inspecting = closing(inspect_sites(checked, delay=delay, on_finding=show))
    with context.open_context(settings, create=True) as store, inspecting as inspections:
        run = AddRun(settings, store, options)
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


def is_toml(file: Path) -> bool:
    """Whether a file holds tables of sources: by its name, or by its first lines. Raises ConfigError if it cannot be read."""
    if file.suffix.lower() == ".toml":
        return True
    return any(line.strip().startswith(b"[sources") for line in read_file(file).splitlines()[:200])


def read_file(file: Path) -> bytes:
    """The content of a list of sources. Raises ConfigError."""
    try:
        with file.open("rb") as stream:
            return stream.read(MAX_LIST_BYTES + 1)
    except OSError as error:
        raise ConfigError(f"{file}: cannot be read ({error.strerror})") from None


def read_sites(urls: Sequence[str], file: Path | None, options: AddOptions) -> tuple[ListedSite, ...]:
    """The sites of the arguments or of the file. Raises ConfigError for a URL or an option that is invalid, before anything is added."""
    if file is not None:
        return read_list(read_file(file), str(file))
    for url in urls:
        make_source(
            url, name=options.name, every=options.every, language=options.language, delay=options.delay, freshness=options.freshness
        )
    return tuple(ListedSite(url) for url in dict.fromkeys(urls))


def make_source(
    url: str, *, name: str | None, every: str | None, language: str | None, delay: float | None, freshness: str | None = None
) -> Source:
    """The source for a homepage. Raises ConfigError, as for a table of sources.toml."""
    homepage = add_scheme(url)
    table: dict[str, object] = {"homepage": homepage, "every": every, "freshness": freshness, "language": language}
    if delay is not None:
        table["politeness"] = {"delay": float(delay)}
    table = {key: value for key, value in table.items() if value is not None}
    return parse_source(name or get_default_name(homepage), table, url)


def get_default_name(url: str) -> str:
    """The default name of a source with this homepage. Raises ConfigError if it is not a URL."""
    try:
        return make_name(url)
    except UrlError as error:
        reason = "" if str(error).startswith("not a URL") else f": {error}"
        raise ConfigError(f"{url!r} is not a URL of a site{reason}; expected a URL such as https://www.example.org/") from None


class AddRun:
    """One run of the command: `results` counts what became of each site; what was added stays, also after Ctrl-C.

    New sites that need no inspection wait for `flush`, which adds and reports them.
    """

    def __init__(self, settings: Settings, store: AppContext, options: AddOptions) -> None:
        self.settings, self.store, self.options = settings, store, options
        self.results: Counter[str] = Counter()
        self.failures: list[str] = []
        self.unconfirmed = False  # a site was not added, because no terminal could show the question
        self._yes = options.yes or not options.check
        self._known: SourceIndex | None = None  # with the sites that wait
        self._waiting: list[tuple[ListedSite, Addition]] = []

    def add(self, site: ListedSite, inspected: Future[SiteInspection] | None) -> None:
        """Show one site, ask, and add it; without an inspection, as it is. A site that cannot be followed is counted and noted."""
        inspection: SiteInspection | None = None
        try:
            if inspected is not None:
                inspection = inspected.result()
                if not inspection.can_follow and site.homepage:
                    note(printable(f"{describe_obstacle(inspection)}; trying {site.homepage} instead"))
                    inspection = site_inspection.inspect_site(site.homepage, delay=self.options.delay)
                if not inspection.can_follow:
                    self._fail(site, describe_obstacle(inspection), inspection)
                    return
                addition = self._plan(site, {**inspection.plan, **_list_extras(site)}, get_article_host(inspection))
            else:
                table = dict(site.table) or {"homepage": site.url}
                if "homepage" in table:
                    table["homepage"] = add_scheme(table["homepage"])
                addition = self._plan(site, table, get_host(normalize(add_scheme(site.url))))
        except UrlError as error:
            self._fail(site, f"not the URL of a site: {error}", None)
            return
        except ServiceError:
            raise
        except NewsmillError as error:  # of one entry of a list; the next one may be right
            self._fail(site, str(error), inspection)
            return
        if inspection is not None and not self.options.as_json:
            print_inspection(inspection)
        if addition.action is Action.NEW and not self.options.check:
            if not self.options.as_json:
                show_plan(addition)
            self._waiting.append((site, addition))
            if addition.source is not None:
                self._read_known().add(addition.source)
            if len(self._waiting) == MAX_BATCH_SITES:
                self.flush()
            return
        self.flush()
        self._report(site, self._apply(addition), inspection, addition)

    def flush(self) -> None:
        """Add and report the sites that wait. Ctrl-C takes effect afterwards, so that the store has what the file has."""
        waiting, self._waiting = self._waiting, []
        with Interrupt() as interrupt:
            self._store_new([addition for _, addition in waiting])
            for site, addition in waiting:
                self._report(site, addition.action, None, addition)
        if interrupt.is_set:
            raise KeyboardInterrupt

    def _report(self, site: ListedSite, result: str, inspection: SiteInspection | None, addition: Addition) -> None:
        self.results[result] += 1
        if self.options.as_json:
            print_json(make_record(site, result, inspection, addition))

    def _plan(self, site: ListedSite, table: dict[str, Any], host: str | None) -> Addition:
        return plan_addition(self._read_known(), self.options.complete(table), host or "", self.options.name or site.name)

    def _read_known(self) -> SourceIndex:
        """The sources of the store and of the file, which is read at the next start. Inspections take long, so they read them anew."""
        if self._known is None or self.options.check:
            self._known = SourceIndex(self.store.ledger.sources.list_all())
            if (path := self.settings.sources_file) is not None:
                for source in configuration.read_sources(path):
                    if source.name not in self._known.by_name:
                        self._known.add(source)
        return self._known

    def _apply(self, addition: Addition) -> str:
        """Show the plan, ask, and add it. Returns the result."""
        if addition.action is Action.REFUSED:
            self.failures.append(f"{addition.name}: {addition.reason}")
            note(printable(f"refused: {addition.reason}"))
            return addition.action
        if addition.action is Action.KNOWN:
            note(f"source {addition.name} follows this already; nothing changes")
            return addition.action
        if not self.options.as_json:
            show_plan(addition)
        if not self._confirm(addition):
            return DECLINED
        self._store(addition)
        return addition.action

    def _confirm(self, addition: Addition) -> bool:
        if self._yes:
            return True
        if self.options.as_json or not sys.stdin.isatty():
            self.unconfirmed = True
            return False
        answer = typer.prompt(f"Add {addition.name}? [y]es, [n]o, [a]ll", default="y", err=True).strip().lower()
        self._yes = answer.startswith("a")
        return answer[:1] in ("y", "a", "j")

    def _store(self, addition: Addition) -> None:
        """Add a new source, or extend one. The file is written first: the store takes over what the file says at every start."""
        if addition.action is Action.NEW:
            self._store_new([addition])
            return
        assert addition.source is not None
        path = self.settings.sources_file
        if path is not None and any(source.name == addition.name for source in configuration.read_sources(path)):
            try:
                extend_source(path, addition.name, addition.added)
            except ConfigError as error:
                _warn(addition, error)
        self.store.ledger.sources.put(addition.source, now=now())
        self._known = None
        added = ", ".join(format_count(len(urls), key.removesuffix("s")) for key, urls in addition.added.items())
        note(f"source {addition.name} follows this site already: {added} added to it")

    def _store_new(self, additions: Sequence[Addition]) -> None:
        path = self.settings.sources_file
        if path is not None and additions:
            try:
                add_sources(path, {addition.name: addition.table for addition in additions})
            except ConfigError as error:
                if len(additions) > 1:  # because of one of them, perhaps
                    for addition in additions:
                        self._store_new([addition])
                    return
                _warn(additions[0], error)
        for addition in additions:
            assert addition.source is not None
            self.store.ledger.sources.put(addition.source, now=now())
            start = addition.source.homepage or next(
                iter((*addition.source.feeds, *addition.source.sitemaps, *addition.source.sections)), ""
            )
            note(printable(f"following {addition.name} ({start})"))

    def _fail(self, site: ListedSite, reason: str, inspection: SiteInspection | None) -> None:
        self.flush()
        self.results[FAILED] += 1
        self.failures.append(f"{site.url}: {reason}")
        note(printable(f"not added: {reason}"))
        if self.options.as_json:
            print_json(make_record(site, FAILED, inspection, None, reason))

    def summarise(self, total: int) -> None:
        """Print the summary of many sites, and what to do next."""
        done = sum(self.results.values())
        if total > 1:
            counts = ", ".join(f"{self.results[key]} {words}" for key, words in RESULTS.items() if self.results[key])
            left = f"; interrupted, {total - done} left: run the same command again" if done < total else ""
            note(f"{format_count(done, 'site')}: {counts or 'none'}{left}")
            for failure in self.failures:
                note(printable(f"  {failure}"))
        if self.results[Action.NEW] or self.results[Action.EXTENDED]:
            note_next_step(self.store, "crawler", "fetch it")
            note("`newsmill backfill NAME --since 2024-01` fetches older articles")


def _warn(addition: Addition, error: ConfigError) -> None:
    note(printable(f"WARNING: {error}; the store follows {addition.name} all the same"))


def _list_extras(site: ListedSite) -> dict[str, Any]:
    """The keys of a list that no inspection finds."""
    return {key: value for key, value in site.table.items() if key in ("language", "enabled")}


def show_plan(addition: Addition) -> None:
    """Print what sources.toml gets."""
    if addition.action is Action.NEW:
        typer.echo(printable(render_table(addition.name, addition.table)))
        return
    typer.echo(f"[sources.{addition.name}] gets:")
    for key, urls in addition.added.items():
        for url in urls:
            typer.echo(printable(f"  {key}: {url}"))


def make_record(
    site: ListedSite, result: str, inspection: SiteInspection | None, addition: Addition | None, reason: str | None = None
) -> dict[str, Any]:
    """The JSON line of one site."""
    record: dict[str, Any] = {"url": site.url, "result": result, "reason": reason, "inspection": inspection}
    if addition is not None:
        record |= {"name": addition.name, "table": addition.table, "added": addition.added, "reason": addition.reason}
    return record


# ---- a sources.toml ----------------------------------------------------------------------------------------------------------


def add_tables(settings: Settings, sources: Sequence[Source]) -> None:
    """Add or change the sources of a file, without an inspection: the author of the file has chosen them."""
    check_spiders(settings, [source for source in sources if source.spider is not None])
    with context.open_context(settings, create=True) as store:
        for source in store.ledger.listing_moves.apply(sources):
            store.ledger.sources.put(source, now=now())
            start = source.homepage or source.spider or "its listings"
            note(f"following {source.name} ({start})" if source.enabled else f"{source.name} is paused")
        note_next_step(store, "crawler", "fetch it")


def check_spiders(settings: Settings, sources: Iterable[Source]) -> None:
    """Raise ConfigError for an argument that a source's spider does not take. A spider that only the crawlers may have is noted."""
    for source in sources:
        # Scrapy costs 0.5 s of CPU, which sources without a spider need not spend
        from crawler.spider_runs.source_spider import check_arguments, load_spider

        try:
            spider_class = load_spider(settings, source)
        except ConfigError as error:
            note(f"{error}; the machine of each crawler needs it")
            continue
        check_arguments(spider_class, source)


# ---- an inspection in the terminal -------------------------------------------------------------------------------------------

MAX_SECTIONS_SHOWN = 5
SAMPLE_LINES = 3
LINE_CHARACTERS = 100

SENTENCES = {
    Obstacle.ROBOTS: "robots.txt forbids this URL; with the publisher's permission, set robots = false in sources.toml",
    Obstacle.OPML: "this is an OPML file, a list of feeds; save it and run `newsmill add --file FILE`",
    Obstacle.ARTICLE: "this is one article; give the homepage or a section of the site, or run `newsmill submit URL` for this page alone",
    Obstacle.NOT_A_PAGE: "this is neither a web page, a feed nor a sitemap; give the homepage of the site",
    Obstacle.NO_LINKS: (
        "no feed, no sitemap and hardly a link to an article was found; if the page makes its links with JavaScript, "
        "name sections in sources.toml or write a spider (docs/guides/spiders.md)"
    ),
    Obstacle.EMPTY: "the feed or sitemap has no entry",
    Obstacle.NEEDS_SCRIPT: 'the articles have no text without JavaScript; set render = "auto" in sources.toml (needs newsmill[render])',
    Obstacle.ARTICLES_FORBIDDEN: "robots.txt forbids the articles; with the publisher's permission, set robots = false in sources.toml",
    Obstacle.ARTICLES_FAIL: "none of the articles that were tried would be stored",
}
ADVICE: dict[Advice, str] = {
    Advice.REFUSED: "the site refuses this program; give the URL of a feed or a sitemap of the site, or ask the publisher",
    Advice.COOKIES: (
        "the site may want cookies; set COOKIES_ENABLED = true in the table [scrapy] of sources.toml (docs/guides/scrapy-settings.md), "
        "or give the URL of a feed or a sitemap of the site"
    ),
    Advice.CONSENT: "give the URL of a feed or a sitemap of the site",
}
NO_SERVER = "no server answers there; check the host and the port, or try again later"
OUTCOME_ADVICE: dict[Outcome, str] = {  # apart from ADVICE: members of two enumerations with the same text are the same key
    Outcome.REFUSED: NO_SERVER,
    Outcome.TIMEOUT: NO_SERVER,
    Outcome.DNS: "check the spelling of the host",
    Outcome.GONE: "check the URL, or give the homepage of the site",
    Outcome.SSRF_BLOCKED: "",  # the sentence names the setting
}


def describe_obstacle(inspection: SiteInspection) -> str:
    """Why the site cannot be followed, and what would help."""
    if inspection.obstacle is None:
        return ""
    if inspection.obstacle is Obstacle.UNREACHABLE and inspection.failure is not None:
        found = find_advice(inspection.failure)
        advice = OUTCOME_ADVICE.get(inspection.failure.outcome, "try again later; --no-check adds it all the same")
        advice = advice if found is None else ADVICE[found]
        return f"{inspection.url} cannot be read: {describe_failure(inspection.failure)}" + (f"; {advice}" if advice else "")
    return SENTENCES.get(inspection.obstacle, str(inspection.obstacle))


def show_finding(finding: FoundListing) -> None:
    """Print what an inspection has just found, because it takes half a minute."""
    if finding.kind is not Kind.PAGE:
        note(printable(_describe_listing(finding)))
        return
    failure = "" if finding.failure is None else f": {describe_failure(finding.failure)}"
    note(printable(f"  article {finding.url}{failure}"))


def print_inspection(inspection: SiteInspection) -> None:
    """Print what was found on stdout."""
    lines = [f"{inspection.kind} {inspection.final_url or inspection.url}"]
    lines += [_describe_listing(listing) for listing in (*inspection.sitemaps, *inspection.feeds)]
    if inspection.sections:
        shown = " ".join(inspection.sections[:MAX_SECTIONS_SHOWN])
        more = len(inspection.sections) - MAX_SECTIONS_SHOWN
        lines.append(f"  {format_count(len(inspection.sections), 'section')}: {shown}" + (f" and {more} more" if more > 0 else ""))
    if inspection.article_links or len(lines) == 1:  # a feed has none
        lines.append(f"  {format_count(inspection.article_links, 'link')} to articles on the page")
    if inspection.language:
        lines.append(f"  language: {inspection.language}")
    if inspection.robots is not None:
        delay = f", Crawl-delay {inspection.robots.crawl_delay:g} s" if inspection.robots.crawl_delay else ""
        allowed = "allows" if inspection.robots.is_allowed else "forbids"
        lines.append(f"  robots.txt {allowed} this URL{delay}")
    lines += [f"  declares {one.name}: {one.value} ({one.place})" for one in inspection.declarations]
    for article in inspection.articles:
        lines += ["", *_describe_article(article)]
    if inspection.obstacle is not None:
        lines += ["", f"WARNING: {describe_obstacle(inspection)}"]
    if inspection.note is not None:
        lines.append(f"note: {inspection.note}")
    typer.echo(printable("\n".join([*lines, ""])))


def _describe_listing(listing: FoundListing) -> str:
    name = "news sitemap" if listing.is_news else str(listing.kind)
    if listing.failure is not None:
        reason = listing.failure.detail if listing.failure.outcome is Outcome.DENIED else describe_failure(listing.failure)
        return f"  {name} {listing.url}: not used ({reason})"
    counts = [format_count(listing.parts, "part")] if listing.parts else []
    counts += [format_count(listing.pages or 0, "article")] if listing.pages or not listing.parts else []
    newest = f", newest {listing.newest:%Y-%m-%d}" if listing.newest is not None else ""
    return f"  {name} {listing.url}: {', '.join(counts)}{newest}"


def _describe_article(article: SampleArticle) -> list[str]:
    if article.outcome is not Outcome.STORED:
        return [f"  {article.url}", f"    {describe_failure(OutcomeRecord(article.outcome, article.detail))}"]
    confidence = "" if article.confidence is None else f" · confidence {article.confidence:.2f}"
    day = article.published_day or "no date"
    lines = [line for paragraph in article.text.split("\n") for line in textwrap.wrap(paragraph, LINE_CHARACTERS)]
    return [
        f"  {article.title or 'no title'}",
        f"    {day} · {article.language or 'language unknown'} · {format_count(article.word_count, 'word')}{confidence} · {article.url}",
        *(f"    {line}" for line in lines[:SAMPLE_LINES]),
    ]
