"""The data model, in the order of processing: source → link → page → article → document.

All classes are frozen, and lists are tuples, so that an object can be shared between steps. All datetimes are timezone-aware UTC.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from enum import StrEnum
from typing import Self

# ---- source: what Newsmill follows ------------------------------------------------------------------------------------------------


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
    every: timedelta | None = timedelta(minutes=15)  # exactly one of `every` and `cron`
    cron: str | None = None
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


# ---- link: a URL and where it was found ---------------------------------------------------------------------------------------


class Kind(StrEnum):
    """The expected kind of a URL. All kinds except PAGE are listings: they yield links and become due again."""

    PAGE = "page"
    FEED = "feed"
    SITEMAP = "sitemap"
    SECTION = "section"
    HOMEPAGE = "homepage"
    SPIDER = "spider"  # a run of the source's spider; its URL is newsmill.urls.make_spider_url


@dataclass(frozen=True, slots=True)
class Hint:
    """Metadata of a page in a listing. It is used only for fields that the page does not have."""

    title: str | None = None
    authors: tuple[str, ...] = ()
    published_at: datetime | None = None
    modified_at: datetime | None = None
    language: str | None = None
    tags: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Link:
    """A URL from a listing, a user or a program."""

    url: str
    kind: Kind = Kind.PAGE
    source: str | None = None  # Source.name
    found_by: str = "manual"  # feed, sitemap, section, homepage, robots, manual, api, spider
    found_on: str | None = None  # URL of the listing
    hint: Hint = field(default_factory=Hint)


@dataclass(frozen=True, slots=True)
class SubmissionCounts:
    """The numbers of new, known and rejected URLs in a submission."""

    new: int  # queued
    known: int  # seen before; not changed, except for a request to fetch them again
    bad_url: int  # not http(s) URLs; the ledger records each with this outcome


@dataclass(frozen=True, slots=True)
class Listing:
    """The content of a feed, a sitemap, a section or a homepage: links to pages, and links to further listings."""

    pages: tuple[Link, ...] = ()
    listings: tuple[Link, ...] = ()
    language: str | None = None
    warnings: tuple[str, ...] = ()


# ---- outcome of a URL -------------------------------------------------------------------------------------------------------


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
    DISCARDED = "discarded"

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
    Outcome.DUPLICATE: (State.DROPPED, "Another URL of a stored document (same canonical URL)"),
    Outcome.NOT_ARTICLE: (State.DROPPED, "Not an article: an index, tag, author, search or other page (see detail)"),
    Outcome.NO_TEXT: (State.DROPPED, "The page has no article text"),
    Outcome.CONSENT_WALL: (State.DROPPED, "The site showed a consent dialog instead of the article"),
    Outcome.PAYWALL: (State.DROPPED, "Only a teaser is readable; the rest is behind a paywall"),
    Outcome.SOFT_404: (State.DROPPED, "The page says 'not found' with HTTP 200"),
    Outcome.NEEDS_SCRIPT: (State.DROPPED, "The page shows its text only with JavaScript"),
    Outcome.NOT_HTML: (State.DROPPED, "The body is not HTML (an image, a PDF, a binary file)"),
    Outcome.GONE: (State.DROPPED, "HTTP 404 or 410: not found"),
    Outcome.ROBOTS_DISALLOWED: (State.DROPPED, "Blocked by robots.txt"),
    Outcome.DENIED: (State.DROPPED, "Excluded by the allow or deny patterns of the source, or by a middleware"),
    Outcome.OFF_SITE: (State.DROPPED, "Redirected to a site that does not belong to the source"),
    Outcome.DISCARDED: (State.DROPPED, "Dropped from quarantine by a user"),
    Outcome.BAD_URL: (State.FAILED, "Not an http(s) URL that can be fetched"),
    Outcome.DNS: (State.FAILED, "Unknown host name"),
    Outcome.REFUSED: (State.FAILED, "The host refused the connection"),
    Outcome.TIMEOUT: (State.FAILED, "The response was not complete before the deadline"),
    Outcome.TLS: (State.FAILED, "The certificate is not valid for this host"),
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
    Outcome.SPIDER_FAILED: (State.FAILED, "The run of the source's spider crashed or exceeded a limit (see detail and the log)"),
    Outcome.DIED: (State.QUARANTINED, "Extraction crashed three times"),
    Outcome.DEADLINE: (State.QUARANTINED, "Extraction, or storing the document, exceeded its time limit"),
    Outcome.TOO_DEEP: (State.QUARANTINED, "The page is nested too deeply to parse"),
}


@dataclass(frozen=True, slots=True)
class OutcomeRecord:
    """The outcome of one URL, with details as text."""

    outcome: Outcome
    detail: str | None = None


# ---- page: bytes as fetched ------------------------------------------------------------------------------------------------

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
        """Bytes of the body and of the rendered DOM."""
        return len(self.body) + len(self.rendered or b"")

    def as_rendered(self) -> Page:
        """Return the page with the rendered DOM as its body, or the page itself if it was not rendered."""
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


# ---- article: the result of extraction --------------------------------------------------------------------------------


class BlockType(StrEnum):
    PARAGRAPH = "paragraph"
    HEADING = "heading"
    LIST = "list"
    QUOTE = "quote"
    TABLE = "table"
    CAPTION = "caption"
    CODE = "code"
    EMBED = "embed"


@dataclass(frozen=True, slots=True)
class TextLink:
    """A link inside a block. `start` and `end` count characters of the block's text."""

    start: int
    end: int
    url: str  # absolute; http, https or mailto


@dataclass(frozen=True, slots=True)
class ListItem:
    """An item of a list. `start` and `end` count characters of the block's text."""

    start: int
    end: int
    depth: int = 0  # 0: an item of an outermost list
    number: int | None = None  # None: the list is unordered


@dataclass(frozen=True, slots=True)
class TableCell:
    """Text in a table cell; several pieces of one cell share row and column. `start` and `end` count characters of the block's text."""

    start: int
    end: int
    row: int  # within the block
    column: int  # column of the grid with rowspan and colspan (HTML standard, section 4.9.12)
    header: bool = False


@dataclass(frozen=True, slots=True)
class Markup:
    """The structure of a block that its plain text does not show."""

    level: int | None = None  # level of a heading, 1 to 6
    links: tuple[TextLink, ...] = ()
    items: tuple[ListItem, ...] = ()
    cells: tuple[TableCell, ...] = ()


@dataclass(frozen=True, slots=True)
class Block:
    """One block of a page: kept in the body, or removed by a layer for a reason."""

    type: BlockType
    text: str
    kept: bool = True
    layer: str | None = None  # trafilatura, model, gate (a rule that overrides the model), script, profile, rules
    reason: str | None = None
    path: str | None = None  # tags and classes from the root, e.g. "body/main/article.story/p"
    markup: Markup | None = None  # None: only type and text are known, as in documents of an older version


class AuthorType(StrEnum):
    PERSON = "person"
    ORGANISATION = "organisation"


@dataclass(frozen=True, slots=True)
class Author:
    name: str
    type: AuthorType = AuthorType.PERSON


@dataclass(frozen=True, slots=True)
class Image:
    url: str
    caption: str | None = None
    credit: str | None = None


@dataclass(frozen=True, slots=True)
class LiveUpdate:
    text: str
    title: str | None = None
    at: datetime | None = None


DOUBTFUL_CONFIDENCE = 0.85
"""Expected F1 over words, 0 to 1, below which a page is read a second time and a document is shown as doubtful.

Out of fold, 39 % of the pages below it have an F1 under 0.6, and 1.4 % of the others (`benchmarks/quality.py --folds DIR`, 984 pages).
The search index stores which documents are doubtful, so another value needs a migration that updates the index.
"""

MIN_UPDATE_CHARACTERS = 30  # characters of an update that is searched in the text; a short one ("Goal!") may be in any lead
_WORD = re.compile(r"\w+")


def is_doubtful(confidence: float | None) -> bool:
    """True for a confidence (0 to 1) below DOUBTFUL_CONFIDENCE, False for None."""
    return confidence is not None and confidence < DOUBTFUL_CONFIDENCE


@dataclass(frozen=True, slots=True)
class Document:
    """An article as stored and exported. An unknown value is None, never a guess."""

    id: str  # newsmill.urls.make_key(canonical_url or url)
    url: str  # final URL
    requested_url: str
    canonical_url: str | None
    source: str | None
    site_name: str | None
    title: str | None
    description: str | None
    text: str
    blocks: tuple[Block, ...]  # kept ones only
    authors: tuple[Author, ...]
    published_at: datetime | None
    modified_at: datetime | None
    first_seen_at: datetime
    fetched_at: datetime
    published_source: str | None  # json-ld, meta, feed, dom, url, text, spider
    published_precision: str | None  # second, minute, day
    language: str | None
    section: str | None
    tags: tuple[str, ...]
    image: str | None
    images: tuple[Image, ...]
    article_type: str | None
    live_updates: tuple[LiveUpdate, ...]
    is_free: bool | None
    is_free_reason: str | None
    license: str | None
    rights: Mapping[str, str]
    word_count: int
    extractor: str  # e.g. "trafilatura 2.3.1"
    profile_version: int | None
    confidence: float | None
    warnings: tuple[str, ...]
    content_hash: str
    provenance: Mapping[str, str]  # field name → origin of its value
    revision: int = 1
    archive_ref: str | None = None  # "segment-id@offset"
    published_day: str | None = None  # ISO date of published_at in the time zone of the site; the date in UTC may differ

    @property
    def doubtful(self) -> bool:
        """Whether the confidence is below DOUBTFUL_CONFIDENCE; such a text needs a check."""
        return is_doubtful(self.confidence)

    def text_with_updates(self) -> str:
        """Return the text, followed by the updates of a live blog. Each update has a heading with its time (UTC) and title."""
        return "\n\n".join(filter(None, (self.text, *(block.text for block in self.update_blocks()))))

    def update_blocks(self) -> tuple[Block, ...]:
        """Return the updates that the text does not contain, in page order: a heading (time in UTC, title) and paragraphs for each."""
        words = _join_words(self.text)
        return tuple(block for update in self.live_updates if not _contains(words, update) for block in _blocks_of(update))

    def with_updates(self) -> Self:
        """Return the document with its updates in `text` and `blocks`. All other fields, including `word_count`, describe the article."""
        blocks = self.update_blocks()
        return replace(self, text=self.text_with_updates(), blocks=(*self.blocks, *blocks)) if blocks else self


def _join_words(text: str) -> str:
    """Join the words, with a space at either end so that a part of a word does not match."""
    return f" {' '.join(_WORD.findall(text.casefold()))} "


def _contains(words: str, update: LiveUpdate) -> bool:
    """Whether the words of a text contain an update, as on a page without a lead. A match of a few words is not evidence."""
    parts = [_join_words(part) for part in (update.title, update.text) if part]
    return sum(map(len, parts)) >= MIN_UPDATE_CHARACTERS and all(part in words for part in parts)


def _blocks_of(update: LiveUpdate) -> Iterator[Block]:
    at = "" if update.at is None else f"{update.at.astimezone(UTC):%Y-%m-%d %H:%M} UTC"
    if heading := " · ".join(filter(None, (at, update.title))):
        yield Block(BlockType.HEADING, heading, markup=Markup(level=3))
    if update.text != update.title:
        yield from (Block(BlockType.PARAGRAPH, part) for part in update.text.split("\n\n") if part)


class MarkKind(StrEnum):
    """What a user may note about a document."""

    STAR = "star"
    READ = "read"
    TAG = "tag"
    NOTE = "note"


@dataclass(frozen=True, slots=True)
class DocumentMarks:
    """What one user has noted about a document."""

    starred: bool = False
    read: bool = False
    tags: tuple[str, ...] = ()  # the user's own, not `Document.tags`
    note: str | None = None


class ExtractionPath(StrEnum):
    """How a page of a site with a proven profile was extracted; `newsmill status` counts them.

    The fast path uses only the block paths of the profile; the full path uses the block model.
    """

    FAST = "fast"  # by the fast path
    UNFIT = "unfit"  # by the full path, because the page is unlike the pages of the profile
    AGREED = "agreed"  # by both, with the same text; one page in twenty takes both paths
    DISAGREED = "disagreed"  # by both, with different texts; the document is that of the full path


@dataclass(frozen=True, slots=True)
class ExtractionResult:
    """The result of extraction for one page: its outcome, the document if there is one, and every block with its reason."""

    ending: OutcomeRecord
    document: Document | None = None
    blocks: tuple[Block, ...] = ()  # kept and removed, in page order
    seconds: float = 0.0
    extraction_path: ExtractionPath | None = None  # None: its site has no proven profile


# ---- profile: what the pages of one site have in common ----------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class LineStats:
    """The number of pages of a profile that contain a line. Digits in the line are masked."""

    pages: int
    kept: int  # of these, pages where it is part of the text
    ending: int  # of these, pages where it is one of the last lines of the text
    sections: int  # sections of the site, by the first part of the URL path


@dataclass(frozen=True, slots=True)
class PathStats:
    """The text under one block path on a profile's pages."""

    pages: int
    kept: int  # of these, pages where most of its words are part of the text
    words: int
    kept_words: int
    sections: int


@dataclass(frozen=True, slots=True)
class FieldStats:
    """The number of pages on which the element at a path has the value of a document field."""

    pages: int  # pages that have the element and the field
    agreed: int  # of these, pages where both have the same value


@dataclass(frozen=True, slots=True)
class ArticleNorm:
    """The typical article of a site: words of its text, and the number of the profile's pages with a title and with a date."""

    fewest: int
    median: int
    most: int
    titled: int
    dated: int


@dataclass(frozen=True, slots=True)
class Profile:
    """Statistics of the pages of a site. `extraction.site_profile` decides how extraction uses them."""

    site: str  # host without "www."
    pages: int  # pages from which it was learned, without copies
    sections: int
    lines: Mapping[str, LineStats] = field(default_factory=dict)  # by site_profile.profile.line_key; lines on two pages or more
    paths: Mapping[str, PathStats] = field(default_factory=dict)
    fit: float | None = None  # mean fit of the pages of the profile, 0 to 1
    version: int = 0  # the store assigns it; 0 before
    since: datetime | None = None  # pages fetched before this time have an older layout; None: all pages have this layout
    fields: Mapping[str, Mapping[str, FieldStats]] = field(default_factory=dict)  # title, authors, published_at → path → statistics
    norm: ArticleNorm | None = None
    reach: float | None = None  # share of its pages with text that the fast path finds, each with a profile of the other pages
    agreement: float | None = None  # mean F1 over words between the fast and the full path on these pages
    fast: bool = True  # False: the paths disagreed on later pages, so all pages take the full path
    looked_at: int = 0  # documents of the site at the last learning or check; the store updates it, like `fast`


@dataclass(frozen=True, slots=True)
class NearDuplicate:
    """The main fields of a document with nearly the same text as another. Times are aware and UTC."""

    id: str
    url: str
    title: str | None
    source: str | None
    site_name: str | None
    language: str | None
    published_at: datetime | None
    first_seen_at: datetime
    similarity: float  # 0 to 1: the share of common runs of five words among all runs of both texts


# ---- rows of the ledger -------------------------------------------------------------------------------------------------------


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


# ---- pages from outside -------------------------------------------------------------------------------------------------------


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
