"""The inspection of a site before it is followed: what it offers, what three of its articles look like, and the plan that follows from it.

The fetches run in a process of their own (`crawler.inspection.inspection_process`), so that a command or a web server without Scrapy
can ask for them.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from typing import Any
from urllib.parse import urlsplit

from pydantic import ValidationError

from newsmill.discovery.robots import Declaration
from newsmill.exceptions import NewsmillError, UrlError
from newsmill.model import Author, Kind, Outcome, OutcomeRecord, get_refusal
from newsmill.model.lazy_adapter import make_adapter
from newsmill.text import urls

MAX_INSPECTION_SECONDS = 90.0  # in the process; what was found until then is the result
MAX_PROCESS_SECONDS = 240.0  # the process with its start, and with three articles that take their whole time
NO_HTTPS = (Outcome.TLS, Outcome.REFUSED, Outcome.CONNECTION, Outcome.TIMEOUT)  # of a server that may know only http
MAX_PARALLEL = 4  # inspections of a list at once; processes of about 150 MB
MAX_AHEAD = 16  # inspections of a list that are begun before their turn
MIN_ARTICLE_LINKS = 3  # of a homepage without feeds and sitemaps; a section may be young
MAX_COUNTED_PAGES = 500  # of one listing

_WITHOUT_SCHEME = re.compile(r"[\w-]+(\.[\w-]+)+(:\d+)?(/|$)")
_HOMEPAGE_PATH = re.compile(  # "/", "/en/", "/home", "/index.html"
    r"/?(?:[a-z]{2}(?:[-_][a-z]{2})?/?)?(?:home/?)?(?:(?:index|home|default)\.\w+)?", re.I
)


class Obstacle(StrEnum):
    """Why a site cannot be followed as it is, or not well. `FATAL` ones leave nothing to follow."""

    UNREACHABLE = "unreachable"  # `failure` says how
    ROBOTS = "robots"  # robots.txt forbids the URL
    OPML = "opml"  # the URL is a list of feeds
    ARTICLE = "article"  # the URL is one article
    NOT_A_PAGE = "not_a_page"  # neither a web page, a feed nor a sitemap
    NO_LINKS = "no_links"  # no feed, no sitemap, and hardly a link to an article
    EMPTY = "empty"  # the feed or sitemap has no entry
    NEEDS_SCRIPT = "needs_script"  # the articles have no text without JavaScript
    ARTICLES_FORBIDDEN = "articles_forbidden"  # robots.txt forbids the articles
    ARTICLES_FAIL = "articles_fail"  # no article could be fetched, or none has a text


FATAL = frozenset(
    {Obstacle.UNREACHABLE, Obstacle.ROBOTS, Obstacle.OPML, Obstacle.ARTICLE, Obstacle.NOT_A_PAGE, Obstacle.NO_LINKS, Obstacle.EMPTY}
)


class Advice(StrEnum):
    """What helps with a URL that cannot be read, where a later try does not."""

    REFUSED = "refused"  # the server does not want this client
    COOKIES = "cookies"  # it redirects clients without cookies for ever
    CONSENT = "consent"  # it shows a consent dialog


# What would help: a key of sources.toml.
REMEDIES = {
    Obstacle.ROBOTS: "robots",
    Obstacle.NO_LINKS: "spider",
    Obstacle.NEEDS_SCRIPT: "render",
    Obstacle.ARTICLES_FORBIDDEN: "robots",
}


@dataclass(frozen=True, slots=True)
class FoundListing:
    """A feed, a sitemap or a section of the site. One that was not fetched has no number of pages."""

    url: str
    kind: Kind
    found_by: str  # given, homepage, robots, sitemap, guess
    pages: int | None = None  # links to articles; counted up to 500
    parts: int = 0  # further sitemaps that a sitemap index names
    newest: datetime | None = None  # the newest date of an entry
    is_news: bool = False  # a news sitemap: its entries have titles
    failure: OutcomeRecord | None = None  # why it cannot be read

    @property
    def is_usable(self) -> bool:
        """Whether it was read and leads to something."""
        return self.failure is None and bool(self.pages or self.parts)


@dataclass(frozen=True, slots=True)
class SampleArticle:
    """One article of the site, as Newsmill would store it, or the outcome that says why it would not."""

    url: str
    outcome: Outcome
    detail: str | None = None
    title: str | None = None
    published_at: datetime | None = None
    published_day: str | None = None
    authors: tuple[Author, ...] = ()
    language: str | None = None
    text: str = ""  # the first lines
    word_count: int = 0
    confidence: float | None = None


@dataclass(frozen=True, slots=True)
class RobotsSummary:
    """What the robots.txt of the site's host says to this crawler."""

    url: str
    is_reachable: bool
    is_allowed: bool  # whether the given URL may be fetched
    crawl_delay: float | None = None  # seconds
    sitemaps: int = 0  # Sitemap lines


@dataclass(frozen=True, slots=True)
class SiteInspection:
    """What a URL is and leads to. `kind` is None for a URL that is not a listing; `obstacle` says why a site cannot be followed."""

    url: str  # as given, in normal form
    kind: Kind | None = None  # homepage, section, feed or sitemap
    final_url: str | None = None
    feeds: tuple[FoundListing, ...] = ()
    sitemaps: tuple[FoundListing, ...] = ()
    sections: tuple[str, ...] = ()
    article_links: int = 0  # on the page itself, or on a section of a homepage that leads to nothing else
    language: str | None = None  # of all sample articles
    robots: RobotsSummary | None = None
    declarations: tuple[Declaration, ...] = ()
    articles: tuple[SampleArticle, ...] = ()
    obstacle: Obstacle | None = None
    failure: OutcomeRecord | None = None  # of the given URL
    note: str | None = None  # what was left out
    requests: int = 0
    plan: dict[str, Any] = field(default_factory=dict)  # a table of sources.toml; empty after a fatal obstacle

    @property
    def can_follow(self) -> bool:
        """Whether there is anything to follow."""
        return self.obstacle not in FATAL and bool(self.plan)

    @property
    def remedy(self) -> str | None:
        """The key of sources.toml that would help: "render", "spider" or "robots"."""
        return None if self.obstacle is None else REMEDIES.get(self.obstacle)


_JSON = make_adapter(SiteInspection)
_FINDING_JSON = make_adapter(FoundListing)
_FINDING_PREFIX = b"finding "  # of the lines that an inspection prints before its result


def dump_finding(finding: FoundListing) -> bytes:
    """The line about a listing, page or article that was just fetched."""
    return _FINDING_PREFIX + _FINDING_JSON.dump_json(finding) + b"\n"


def dump_inspection(inspection: SiteInspection) -> bytes:
    """The inspection as JSON, without lone surrogates."""
    return _JSON.dump_json(inspection)


def load_inspection(text: str | bytes) -> SiteInspection:
    """The inspection in JSON of `dump_inspection`. Raises ValueError."""
    return _JSON.validate_json(text)


def add_scheme(url: str) -> str:
    """`example.org/a` → `https://example.org/a`; anything else is unchanged."""
    return f"https://{url}" if _WITHOUT_SCHEME.match(url) else url


def choose_site_url(given: str, final: str, article_links: int) -> str:
    """The homepage whose host has the feeds and sitemaps of a site: `final`, to which `given` redirects, if it is a page of the site.

    A consent dialog on another host has hardly a link to an article, and that host has no feeds.
    """
    hosts = {urls.get_host(url).removeprefix("www.") for url in (given, final)}
    return final if len(hosts) == 1 or article_links >= MIN_ARTICLE_LINKS else given


def is_homepage(url: str) -> bool:
    """Whether a page at this URL speaks for its whole host: the root, an index page, /home, or an edition such as /en/."""
    parts = urlsplit(url)
    return not parts.query and _HOMEPAGE_PATH.fullmatch(parts.path) is not None


def find_advice(failure: OutcomeRecord) -> Advice | None:
    """What helps with this failure; None: a later try may.

    >>> find_advice(OutcomeRecord(Outcome.HTTP_ERROR, "HTTP 403"))
    <Advice.REFUSED: 'refused'>
    """
    match failure.outcome:
        case Outcome.BLOCKED:
            return Advice.REFUSED
        case Outcome.REDIRECT_LOOP:
            return Advice.COOKIES
        case Outcome.CONSENT_WALL:
            return Advice.CONSENT
    return None if get_refusal(failure) in (None, "HTTP 429") else Advice.REFUSED


OnStart = Callable[["subprocess.Popen[bytes]"], object]
OnFinding = Callable[[FoundListing], object]


class InspectionProcesses:
    """The processes of running inspections, so that another thread can end them. Used by several threads."""

    def __init__(self) -> None:
        self._running: list[subprocess.Popen[bytes]] = []
        self._is_ended = False
        self._lock = threading.Lock()

    def keep(self, process: subprocess.Popen[bytes]) -> None:
        """Keep a process that has started; after `end` it is ended at once."""
        with self._lock:
            self._running = [one for one in self._running if one.poll() is None] + [process]
            is_ended = self._is_ended
        if is_ended:
            process.kill()

    def end(self) -> None:
        """End all processes, also those that start later."""
        with self._lock:
            self._is_ended, running = True, self._running
        for process in running:
            with suppress(ProcessLookupError):
                process.kill()


def inspect_site(
    url: str, *, delay: float | None = None, on_start: OnStart | None = None, on_finding: OnFinding | None = None
) -> SiteInspection:
    """Inspect the site of a homepage, section, feed or sitemap, in a process of its own. Takes 5 to 30 s, and at most MAX_PROCESS_SECONDS.

    If `url` has no scheme and https fails, http is tried. `delay`: seconds between two requests to a host (default 1).
    `on_start` is called with each process, so that another thread may kill it, and `on_finding` with each page and listing that is fetched.
    Raises NewsmillError if no process can do it, ConfigError for wrong settings, UrlError for a text that is not an http(s) URL.
    """
    normal = urls.normalize(add_scheme(url))
    inspection = _run(normal, delay, on_start, on_finding)
    failure = inspection.failure
    if normal.startswith("https:") and not url.startswith("https:") and failure is not None and failure.outcome in NO_HTTPS:
        plain = _run(urls.normalize(f"http://{url}"), delay, on_start, on_finding)
        return plain if plain.failure is None else inspection
    return inspection


def _run(url: str, delay: float | None, on_start: OnStart | None, on_finding: OnFinding | None) -> SiteInspection:
    command = [sys.executable, "-P", "-m", "crawler.inspection.inspection_process", url, *([] if delay is None else [str(delay)])]
    result, started_at = b"", time.monotonic()
    with (
        tempfile.TemporaryFile() as errors,
        subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=errors) as process,
    ):
        assert process.stdout is not None
        if on_start is not None:
            on_start(process)
        deadline = threading.Timer(MAX_PROCESS_SECONDS, process.kill)
        deadline.start()
        try:
            for line in process.stdout:
                if not line.startswith(_FINDING_PREFIX):
                    result += line
                elif on_finding is not None:
                    on_finding(_FINDING_JSON.validate_json(line.removeprefix(_FINDING_PREFIX)))
        finally:
            deadline.cancel()
            process.kill()  # after Ctrl-C; a process that has ended is left alone
        errors.seek(0)
        err = errors.read()
    if not result and time.monotonic() - started_at >= MAX_PROCESS_SECONDS:
        failure = OutcomeRecord(Outcome.TIMEOUT, f"no result within {MAX_PROCESS_SECONDS:.0f} s")
        return SiteInspection(url, obstacle=Obstacle.UNREACHABLE, failure=failure)
    try:
        return load_inspection(result)
    except ValidationError:
        lines = err.decode("utf-8", "replace").strip().splitlines() or ["no message"]
        raise NewsmillError(f"{url} cannot be inspected: {lines[-1]}") from None


def inspect_sites(
    sites: Sequence[str], *, delay: float | None = None, on_finding: OnFinding | None = None
) -> Generator[Future[SiteInspection]]:
    """Inspect the sites of a list, MAX_PARALLEL at once, and never two URLs of one host, so that its delay is kept.

    Yields one future for each URL, in the order of `sites`; its result is that of `inspect_site`, and raises the same errors.
    Closing the generator ends the processes that run.
    """
    processes = InspectionProcesses()
    hosts: dict[str, threading.Lock] = {}
    slots = threading.Semaphore(MAX_PARALLEL)

    def inspect(site: str) -> SiteInspection:
        with hosts.setdefault(_find_host(site), threading.Lock()), slots:
            return inspect_site(site, delay=delay, on_start=processes.keep, on_finding=on_finding)

    executor = ThreadPoolExecutor(MAX_AHEAD, thread_name_prefix="inspection")
    begun: deque[Future[SiteInspection]] = deque()
    try:
        for site in sites:
            begun.append(executor.submit(inspect, site))
            if len(begun) == MAX_AHEAD:
                yield begun.popleft()
        while begun:
            yield begun.popleft()
    finally:
        executor.shutdown(wait=False, cancel_futures=True)
        processes.end()
        executor.shutdown()


def _find_host(site: str) -> str:
    try:
        return urls.get_host(urls.normalize(add_scheme(site)))
    except UrlError:  # the inspection says so
        return site


# ---- the plan


def make_plan(inspection: SiteInspection, *, delay: float | None = None) -> dict[str, Any]:
    """The table of sources.toml that follows the site. `delay`: seconds between two requests, if it differs from the default."""
    table: dict[str, Any] = {}
    feeds = [feed.url for feed in inspection.feeds if feed.is_usable]
    sitemaps = [sitemap.url for sitemap in inspection.sitemaps if sitemap.is_usable]
    if inspection.kind is Kind.HOMEPAGE:
        table = {"homepage": inspection.url, "feeds": feeds, "sitemaps": sitemaps}
    elif inspection.kind is Kind.SECTION:
        table = {"feeds": feeds, "sections": [inspection.url], "discover": False}
    elif inspection.kind is not None:
        table = {"feeds": feeds, "sitemaps": sitemaps, "discover": False}
    if inspection.language is not None:
        table["language"] = inspection.language
    if delay is not None:
        table["politeness"] = {"delay": float(delay)}
    return {key: value for key, value in table.items() if value not in ([], None)}


def find_obstacle(inspection: SiteInspection) -> Obstacle | None:
    """Why the listings that were found, or the articles that were fetched, cannot be used."""
    listings = (*inspection.feeds, *inspection.sitemaps)
    if inspection.kind in (Kind.FEED, Kind.SITEMAP) and not any(listing.is_usable for listing in listings):
        return Obstacle.EMPTY
    min_links = MIN_ARTICLE_LINKS if inspection.kind is Kind.HOMEPAGE else 1
    if not any(listing.is_usable for listing in listings) and inspection.article_links < min_links:
        return Obstacle.NO_LINKS
    return _judge_articles([article.outcome for article in inspection.articles])


def _judge_articles(outcomes: Sequence[Outcome]) -> Obstacle | None:
    if not outcomes or Outcome.STORED in outcomes:
        return None
    if Outcome.NEEDS_SCRIPT in outcomes:
        return Obstacle.NEEDS_SCRIPT
    if all(outcome is Outcome.ROBOTS_DISALLOWED for outcome in outcomes):
        return Obstacle.ARTICLES_FORBIDDEN
    return Obstacle.ARTICLES_FAIL


def complete(inspection: SiteInspection, *, delay: float | None = None) -> SiteInspection:
    """The inspection with what follows from its findings: language, obstacle and plan."""
    languages = {article.language for article in inspection.articles if article.outcome is Outcome.STORED}
    language = languages.pop() if len(languages) == 1 else None
    inspection = replace(inspection, language=language)
    if inspection.obstacle is None:
        inspection = replace(inspection, obstacle=find_obstacle(inspection))
    if inspection.obstacle in FATAL:
        return inspection
    return replace(inspection, plan=make_plan(inspection, delay=delay))


def get_article_host(inspection: SiteInspection) -> str | None:
    """The host that a source of this plan is named after: that of its articles where a feed is served elsewhere, else of its URL."""
    table = inspection.plan
    if "homepage" in table or "sections" in table or not inspection.articles:
        return urls.get_host(inspection.url)
    try:
        own, articles = urls.get_site(inspection.url), {urls.get_site(article.url) for article in inspection.articles}
        return urls.get_host(inspection.articles[0].url) if len(articles) == 1 and own not in articles else urls.get_host(inspection.url)
    except UrlError:
        return None
