"""What a crawl works with: sources, the links that their listings yield, pages, and the outcomes of URLs.

A page is leased as a URL, fetched or submitted, archived in a segment, and claimed by a worker.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from enum import StrEnum
from typing import Literal

# ---- sources and links --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Politeness:
    """The request rate for the hosts of one source. Times in seconds."""

    delay: float = 1.0  # seconds between two requests to one host; a longer Crawl-delay of robots.txt has priority
    concurrency: int = 1  # requests in flight to one host


@dataclass(frozen=True, slots=True)
class Rules:
    """Extraction rules for one source: elements to drop or keep, whole lines (regular expressions) to drop, selectors of fields."""

    drop_css: tuple[str, ...] = ()
    drop_lines: tuple[str, ...] = ()
    drop_xpath: tuple[str, ...] = ()
    keep_css: tuple[str, ...] = ()  # if one of these matches, the body consists of the matched elements only
    keep_xpath: tuple[str, ...] = ()
    fields: Mapping[str, str] = field(default_factory=dict)  # title, authors, published_at …: the CSS selector of its element
    expires: date | None = None  # the rules apply to pages fetched up to this day, because sites change


class Render(StrEnum):
    """Whether the pages of a source are displayed in a browser, so that its scripts run, before the text is extracted."""

    NEVER = "never"
    AUTO = "auto"  # if the response has no text; all pages once this was so for several pages in a row
    ALWAYS = "always"


@dataclass(frozen=True, slots=True)
class SpiderLimits:
    """What one run of a source's spider may cost. When a limit is reached, the run ends; what it has handed over stays."""

    seconds: float = 1800.0  # of wall time
    memory_mb: int = 1024  # MB of address space that the spider may add to the process
    pages: int = 10_000  # pages, links and items that it may hand over


@dataclass(frozen=True, slots=True)
class Source:
    """One table of config/sources.toml, or one homepage that a user gives."""

    name: str
    homepage: str | None = None
    feeds: tuple[str, ...] = ()
    sitemaps: tuple[str, ...] = ()
    sections: tuple[str, ...] = ()
    language: str | None = None  # BCP 47; used if the page declares none
    every: timedelta | None = None  # `every` or `cron`: all listings are read at these times; neither: each when news is to be expected
    cron: str | None = None
    freshness: timedelta | None = None  # expected delay of a new article, without `every` and `cron`; None: NEWSMILL_FRESHNESS
    max_age: timedelta | None = None  # pages that a listing dates further back are not fetched; None: all
    allow: tuple[str, ...] = ()  # regular expressions searched in the URL of an article; empty: all URLs
    deny: tuple[str, ...] = ()
    rules: Rules = field(default_factory=Rules)
    politeness: Politeness = field(default_factory=Politeness)
    expect: Mapping[str, int] = field(default_factory=dict)  # expected amounts of the source, for example {"documents_per_day": 5}
    discover: bool = True  # search the homepage and robots.txt for feeds, sitemaps and sections
    enabled: bool = True
    robots: bool = True  # obey robots.txt; False only where the publisher permits it
    spider: str | None = None  # "package.module:ClassName" of a scrapy.Spider that runs when the source is due
    spider_args: Mapping[str, str] = field(default_factory=dict)  # keyword arguments of the spider, as `scrapy crawl -a`
    spider_limits: SpiderLimits = field(default_factory=SpiderLimits)
    render: Render = Render.NEVER
    # Ages, ascending, at which a stored article is fetched again to see whether it changed; empty: never.
    revisit: tuple[timedelta, ...] = (timedelta(hours=1), timedelta(hours=6), timedelta(days=1), timedelta(days=7))

    @property
    def is_adaptive(self) -> bool:
        """Whether the scheduler plans its polls by what its listings showed."""
        return self.every is None and self.cron is None


class Kind(StrEnum):
    """The expected kind of a URL. All kinds except PAGE are listings: they yield links and become due again."""

    PAGE = "page"
    FEED = "feed"
    SITEMAP = "sitemap"
    SECTION = "section"
    HOMEPAGE = "homepage"
    SPIDER = "spider"  # a run of the source's spider; its URL is newsmill.text.urls.make_spider_url


@dataclass(frozen=True, slots=True)
class Hint:
    """Metadata of a page in a listing. It is used only for fields that the page does not have."""

    title: str | None = None
    authors: tuple[str, ...] = ()
    published_at: datetime | None = None
    modified_at: datetime | None = None
    language: str | None = None
    tags: tuple[str, ...] = ()
    published_precision: Literal["second", "day"] = "second"  # day: `published_at` is the beginning of that day in UTC

    @property
    def published(self) -> datetime | date | None:
        """The publication: a time, or a day."""
        is_day = self.published_at is not None and self.published_precision == "day"
        return self.published_at.date() if self.published_at is not None and is_day else self.published_at


@dataclass(frozen=True, slots=True)
class Link:
    """A URL from a listing, a user or a program."""

    url: str
    kind: Kind = Kind.PAGE
    source: str | None = None  # Source.name
    found_by: str = "manual"  # feed, sitemap, section, homepage, robots, manual, api, spider, warc, source (its settings), backfill
    found_on: str | None = None  # URL of the listing
    hint: Hint = field(default_factory=Hint)


@dataclass(frozen=True, slots=True)
class SubmissionCounts:
    """The numbers of new, known and rejected URLs in a submission."""

    new: int  # queued
    known: int  # seen before
    bad_url: int  # not http(s) URLs; the ledger records each with this outcome
    again: int = 0  # of the known ones: queued again; the others are unchanged


@dataclass(frozen=True, slots=True)
class WarcCounts:
    """What became of the records of WARC files. `other` are records that are not HTTP responses, such as requests and metadata."""

    queued: int = 0  # pages that workers extract
    known: int = 0  # captures that are not newer than the stored page of their URL
    not_html: int = 0  # images, scripts, styles and other files
    http_error: int = 0  # responses with another status than 200
    revisit: int = 0  # revisit records, which refer to a response elsewhere
    filtered: int = 0  # left out by the filter of the caller
    rejected: int = 0  # an invalid URL, the URL of a listing, or a page that is too large
    damaged: int = 0  # records that cannot be read
    other: int = 0


@dataclass(frozen=True, slots=True)
class Listing:
    """The content of a feed, a sitemap, a section or a homepage: links to pages, and links to further listings."""

    pages: tuple[Link, ...] = ()
    listings: tuple[Link, ...] = ()
    language: str | None = None
    warnings: tuple[str, ...] = ()
    hub: str | None = None  # of a feed: the WebSub hub that it announces
    topic: str | None = None  # of a feed: its own URL as it announces it, which the hub knows it by
    update_interval: timedelta | None = None  # of a feed: how often it says that it changes


# ---- pages --------------------------------------------------------------------------------------------------------------------

RENDERED_TYPE = "text/html; charset=utf-8"  # media type of a rendered DOM


@dataclass(frozen=True, slots=True)
class Page:
    """A fetched page as the server sent it. `body` keeps its Content-Encoding, and `headers` keep their order.

    A page that was rendered has the DOM as HTML in `rendered`, or the reason why there is none.
    """

    requested_url: str
    url: str  # final URL after redirects
    fetched_at: datetime
    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes
    ip: str | None = None
    redirects: tuple[str, ...] = ()  # from the requested URL on, without the final one
    request_headers: tuple[tuple[str, str], ...] = ()
    source: str | None = None
    hint: Hint = field(default_factory=Hint)
    is_item: bool = False  # no server sent it: the body is an ArticleItem as JSON
    rendered: bytes | None = None  # UTF-8; None: not rendered
    rendering_failure: str | None = None
    is_moved: bool = False  # all its redirects are permanent (301, 308)
    parts: tuple[Page, ...] = ()  # the further pages of its article, in their order

    def header(self, name: str) -> str | None:
        """Return the value of the first header with that name (case-insensitive), or None."""
        wanted = name.lower()
        return next((value for key, value in self.headers if key.lower() == wanted), None)

    @property
    def rendering(self) -> Rendering | None:
        """Whether the page was rendered; None if that was not tried."""
        if self.rendered is not None:
            return Rendering.DONE
        return None if self.rendering_failure is None else Rendering.FAILED

    @property
    def size(self) -> int:
        """Bytes of the body, of the rendered DOM and of the further pages."""
        return len(self.body) + len(self.rendered or b"") + sum(part.size for part in self.parts)

    def as_rendered(self) -> Page:
        """Return the page with the rendered DOM as its body, or the page itself if it was not rendered; so, too, its further pages."""
        if self.parts:
            return replace(replace(self, parts=()).as_rendered(), parts=tuple(part.as_rendered() for part in self.parts))
        if self.rendered is None:
            return self
        headers = [(name, value) for name, value in self.headers if name.lower() not in ("content-type", "content-encoding")]
        return replace(self, headers=(*headers, ("Content-Type", RENDERED_TYPE)), body=self.rendered, rendered=None)


class Rendering(StrEnum):
    """What the ledger knows about the rendering of a page."""

    WANTED = "wanted"  # the response had no text: the next fetch renders the page
    DONE = "done"  # the archived page has a rendered DOM
    FAILED = "failed"  # a browser gave no DOM


SPIDER = "spider"
"""The provenance of the fields that an ArticleItem gives, and the extractor of its document."""


@dataclass(frozen=True, slots=True)
class ArticleItem:
    """An article whose fields a spider or another program has read. An unknown value is None or empty.

    A blank line of `text` separates paragraphs. The time zone of a time is that of the site; one without is read as UTC.
    """

    url: str
    title: str
    text: str
    description: str | None = None
    authors: tuple[str, ...] = ()
    published_at: datetime | date | None = None
    modified_at: datetime | date | None = None
    language: str | None = None  # BCP 47; None: that of the text
    section: str | None = None
    tags: tuple[str, ...] = ()
    image: str | None = None  # URL
    canonical_url: str | None = None
    site_name: str | None = None
    article_type: str | None = None


@dataclass(frozen=True, slots=True)
class Segment:
    """One WARC file of the archive."""

    id: str
    pages: int
    length: int  # bytes of the file; a shorter file is damaged
    created_at: datetime
    offsets: tuple[int, ...] = ()  # byte offset of the first record of each page, in the given order


@dataclass(frozen=True, slots=True)
class LeasedUrl:
    """A row that a crawler leased: fetch this URL. The result must be saved with its `fence`."""

    id: int
    url: str
    kind: Kind
    host: str
    source: str | None
    fence: int
    attempts: int  # fetches before this one
    etag: str | None = None
    last_modified: str | None = None
    hint: Hint = field(default_factory=Hint)
    is_rendering_wanted: bool = False  # the response of the last fetch had no text
    has_parts: bool = False  # its article continues on further pages, which are fetched with it
    is_revisit: bool = False  # the page has a document and an outcome, and both stay unless it has changed
    found_by: str = "manual"  # Link.found_by
    found_on: str | None = None  # Link.found_on
    is_failing: bool = False  # the last try failed


@dataclass(frozen=True, slots=True)
class ClaimedPage:
    """A row that a worker claimed: extract this page of the segment."""

    id: int
    url: str
    source: str | None
    fence: int
    segment: str
    offset: int
    crashes: int  # attempts that crashed a reader process or exceeded a limit
    first_seen_at: datetime
    is_suspect: bool = False  # an earlier worker disappeared while it processed the page, or the page crashed a reader process
    again: bool = False  # the page was extracted before and is extracted again
    attempts: int = 0  # fetches before the one that returned this page
    rendering: Rendering | None = None  # None: the fetch was not meant to render the page
    has_parts: bool = False  # the fetch was meant to bring the further pages of the article
    is_revisit: bool = False  # a stored article was fetched again


class PageStatus(StrEnum):
    """What happened to a page that a spider or another program submitted."""

    QUEUED = "queued"  # archived and recorded; a worker extracts it
    KNOWN = "known"  # the last page of this URL in the archive is the same one; nothing changed
    REJECTED = "rejected"  # not archived, for the reason of the receipt


@dataclass(frozen=True, slots=True)
class PageReceipt:
    """The answer for one submitted page. The ledger has the outcome of `url`."""

    url: str
    status: PageStatus
    reason: str | None = None


# ---- the states of a URL, its outcomes with their meaning, and failures in a few words: "blocked: HTTP 403", "host not found" ----


class State(StrEnum):
    """The state of a ledger row: `due → fetching → fetched → processing`, then one of the four final states."""

    DUE = "due"
    FETCHING = "fetching"
    FETCHED = "fetched"
    PROCESSING = "processing"
    DONE = "done"
    DROPPED = "dropped"
    FAILED = "failed"
    QUARANTINED = "quarantined"


class Outcome(StrEnum):
    """The outcome of a URL. `OUTCOMES` gives its state and its meaning."""

    STORED = "stored"
    UNCHANGED = "unchanged"
    LISTED = "listed"
    NOT_MODIFIED = "not_modified"
    EMPTY_LISTING = "empty_listing"

    DUPLICATE = "duplicate"
    NOT_ARTICLE = "not_article"
    NO_TEXT = "no_text"
    CONSENT_WALL = "consent_wall"
    PAYWALL = "paywall"
    SOFT_404 = "soft_404"
    NEEDS_SCRIPT = "needs_script"
    NOT_HTML = "not_html"
    GONE = "gone"
    ROBOTS_DISALLOWED = "robots_disallowed"
    DENIED = "denied"
    OFF_SITE = "off_site"
    REDIRECTED = "redirected"
    DISCARDED = "discarded"
    TAKEDOWN = "takedown"

    BAD_URL = "bad_url"
    DNS = "dns"
    REFUSED = "refused"
    TIMEOUT = "timeout"
    TLS = "tls"
    CONNECTION = "connection"
    DATA_LOSS = "data_loss"
    HTTP_ERROR = "http_error"
    BLOCKED = "blocked"
    TOO_LARGE = "too_large"
    TOO_MANY_HEADERS = "too_many_headers"
    REDIRECT_LOOP = "redirect_loop"
    BAD_REDIRECT = "bad_redirect"
    SSRF_BLOCKED = "ssrf_blocked"
    ROBOTS_UNREACHABLE = "robots_unreachable"
    PROXY_ERROR = "proxy_error"
    MIDDLEWARE_ERROR = "middleware_error"
    BAD_LISTING = "bad_listing"
    BAD_ENCODING = "bad_encoding"
    ARCHIVE_DAMAGED = "archive_damaged"
    SPIDER_FAILED = "spider_failed"

    DIED = "died"
    DEADLINE = "deadline"
    TOO_DEEP = "too_deep"


OUTCOMES: Mapping[Outcome, tuple[State, str]] = {
    Outcome.STORED: (State.DONE, "Document stored"),
    Outcome.UNCHANGED: (State.DONE, "Fetched again; the content of the document is the same"),
    Outcome.LISTED: (State.DONE, "Feed, sitemap or section read, or spider run; it has links"),
    Outcome.NOT_MODIFIED: (State.DONE, "HTTP 304: not modified since the last fetch"),
    Outcome.EMPTY_LISTING: (State.DONE, "Feed, sitemap or section read, or spider run; it has no links"),
    Outcome.DUPLICATE: (State.DROPPED, "Another URL of a stored document (same canonical URL, or same text)"),
    Outcome.NOT_ARTICLE: (State.DROPPED, "Not an article: an index, tag, author, search or other page (see detail)"),
    Outcome.NO_TEXT: (State.DROPPED, "The page has no article text"),
    Outcome.CONSENT_WALL: (State.DROPPED, "The site showed a consent dialog instead of the article"),
    Outcome.PAYWALL: (State.DROPPED, "Only a teaser is readable; the rest is behind a paywall"),
    Outcome.SOFT_404: (State.DROPPED, "The page says 'not found' or 'out of order' with HTTP 200"),
    Outcome.NEEDS_SCRIPT: (State.DROPPED, "The page shows its text only with JavaScript"),
    Outcome.NOT_HTML: (State.DROPPED, "The body is not HTML (an image, a PDF, a binary file)"),
    Outcome.GONE: (State.DROPPED, "HTTP 404 or 410: not found"),
    Outcome.ROBOTS_DISALLOWED: (State.DROPPED, "Blocked by robots.txt"),
    Outcome.DENIED: (State.DROPPED, "Excluded by the allow or deny patterns of the source, or by a middleware"),
    Outcome.OFF_SITE: (State.DROPPED, "Redirected to a site that does not belong to the source"),
    Outcome.REDIRECTED: (State.DROPPED, "Redirects to another site, whose URL is fetched in its place (see detail)"),
    Outcome.DISCARDED: (State.DROPPED, "Dropped from quarantine by a user"),
    Outcome.TAKEDOWN: (State.DROPPED, "Removed at somebody's demand (see detail); it is not fetched or stored again"),
    Outcome.BAD_URL: (State.FAILED, "Not an http(s) URL that can be fetched"),
    Outcome.DNS: (State.FAILED, "Unknown host name"),
    Outcome.REFUSED: (State.FAILED, "The host refused the connection"),
    Outcome.TIMEOUT: (State.FAILED, "The response was not complete before the deadline"),
    Outcome.TLS: (State.FAILED, "The certificate is not valid, or the server refused TLS (see detail)"),
    Outcome.CONNECTION: (State.FAILED, "The connection broke, or the response was not HTTP"),
    Outcome.DATA_LOSS: (State.FAILED, "The body was shorter than announced"),
    Outcome.HTTP_ERROR: (State.FAILED, "HTTP error status (see detail)"),
    Outcome.BLOCKED: (State.FAILED, "Blocked by a bot filter, twice (see detail)"),
    Outcome.TOO_LARGE: (State.FAILED, "The body or its document is too large"),
    Outcome.TOO_MANY_HEADERS: (State.FAILED, "The response has too many header lines"),
    Outcome.REDIRECT_LOOP: (State.FAILED, "Too many redirects, or a redirect loop"),
    Outcome.BAD_REDIRECT: (State.FAILED, "Redirect without a valid target"),
    Outcome.SSRF_BLOCKED: (State.FAILED, "Private IP address; NEWSMILL_ALLOW_NETS permits networks"),
    Outcome.ROBOTS_UNREACHABLE: (State.FAILED, "robots.txt is unreachable (5xx or no response), so fetching is not allowed (RFC 9309)"),
    Outcome.PROXY_ERROR: (State.FAILED, "The proxy cannot be used, or refused the connection (see detail)"),
    Outcome.MIDDLEWARE_ERROR: (State.FAILED, "A Scrapy middleware of yours failed (see detail)"),
    Outcome.BAD_LISTING: (State.FAILED, "The feed or sitemap is invalid (see detail)"),
    Outcome.BAD_ENCODING: (State.FAILED, "The compression of the body is broken or unknown"),
    Outcome.ARCHIVE_DAMAGED: (State.FAILED, "The archived page cannot be read; a retry fetches it again"),
    Outcome.SPIDER_FAILED: (State.FAILED, "The source's spider crashed, exceeded a limit or had only errors (see detail and the log)"),
    Outcome.DIED: (State.QUARANTINED, "Extraction crashed three times"),
    Outcome.DEADLINE: (State.QUARANTINED, "Extraction, or storing the document, exceeded its time limit"),
    Outcome.TOO_DEEP: (State.QUARANTINED, "The page is nested too deeply to parse"),
}


@dataclass(frozen=True, slots=True)
class OutcomeRecord:
    """The outcome of one URL, with details as text. `may_pass`: a fetch is repeated although the outcome alone would be final."""

    outcome: Outcome
    detail: str | None = None
    may_pass: bool = False


# ---- failures

NETWORK_FAILURES = frozenset(
    {
        Outcome.DNS,
        Outcome.REFUSED,
        Outcome.TIMEOUT,
        Outcome.TLS,
        Outcome.CONNECTION,
        Outcome.DATA_LOSS,
        Outcome.ROBOTS_UNREACHABLE,
        Outcome.PROXY_ERROR,
        Outcome.MIDDLEWARE_ERROR,
    }
)
"""Failures of the host, the network or the operator's own code, which pass, rather than of the page."""

_REFUSALS = ("HTTP 401", "HTTP 403", "HTTP 429", "HTTP 451")  # the server does not want this client
_SHORT_NAMES = {
    Outcome.DNS: "host not found",
    Outcome.REFUSED: "connection refused",
    Outcome.TIMEOUT: "no response in time",
    Outcome.CONNECTION: "connection broken",
    Outcome.DATA_LOSS: "incomplete body",
    Outcome.BLOCKED: "blocked by a bot filter",
    Outcome.GONE: "not found",
    Outcome.ROBOTS_DISALLOWED: "blocked by robots.txt",
    Outcome.ROBOTS_UNREACHABLE: "robots.txt unreachable",
    Outcome.SSRF_BLOCKED: "private network (NEWSMILL_ALLOW_NETS permits networks)",
    Outcome.REDIRECT_LOOP: "redirect loop",
    Outcome.BAD_REDIRECT: "invalid redirect",
    Outcome.BAD_LISTING: "invalid feed, sitemap or page",
    Outcome.OFF_SITE: "redirected to another site",
    Outcome.TOO_LARGE: "too large",
    Outcome.SPIDER_FAILED: "spider failed",
    Outcome.PROXY_ERROR: "proxy error",
    Outcome.NEEDS_SCRIPT: "pages need JavaScript",
    Outcome.NOT_ARTICLE: "pages are not articles",
    Outcome.NO_TEXT: "pages have no text",
    Outcome.PAYWALL: "paywall",
    Outcome.CONSENT_WALL: "consent dialog instead of articles",
}
_NAMES_WITH_DETAIL = frozenset({Outcome.HTTP_ERROR, Outcome.GONE, Outcome.ROBOTS_UNREACHABLE, Outcome.TLS})


def get_refusal(failure: OutcomeRecord) -> str | None:
    """ "HTTP 403" if the server refuses this client with that status; None for other failures."""
    status = (failure.detail or "")[:8]
    return status if failure.outcome is Outcome.HTTP_ERROR and status in _REFUSALS else None


def describe_failure(failure: OutcomeRecord) -> str:
    """The failure in a few words.

    >>> describe_failure(OutcomeRecord(Outcome.HTTP_ERROR, "HTTP 403"))
    'blocked: HTTP 403'
    >>> describe_failure(OutcomeRecord(Outcome.DNS, "no address for paper.example"))
    'host not found'
    """
    if (status := get_refusal(failure)) is not None:
        return f"blocked: {status}"
    name = _SHORT_NAMES.get(failure.outcome)
    if failure.outcome in _NAMES_WITH_DETAIL and failure.detail:
        return f"{name}: {failure.detail}" if name else failure.detail
    return name or OUTCOMES[failure.outcome][1]
