"""The nouns, in the data's order: source → link → page → article → document. Frozen and typed; what they do follows from their fields.

All datetimes are timezone-aware UTC. A tuple stands for every list, so that a noun can be shared between steps without fear.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from enum import StrEnum
from typing import Self

# ---- source: what we follow ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Politeness:
    """How gently one source's hosts are fetched. Times in seconds."""

    delay: float = 1.0  # between two requests to one host; robots.txt's Crawl-delay wins when it is longer
    concurrency: int = 1  # requests in flight to one host


@dataclass(frozen=True, slots=True)
class Rules:
    """What an operator wrote for one source: elements to drop or keep, whole lines (regular expressions) to drop, where fields stand."""

    drop_css: tuple[str, ...] = ()
    drop_lines: tuple[str, ...] = ()
    drop_xpath: tuple[str, ...] = ()
    keep_css: tuple[str, ...] = ()  # where one of these matches, the body is what the matched elements hold and nothing else
    keep_xpath: tuple[str, ...] = ()
    fields: Mapping[str, str] = field(default_factory=dict)  # title, authors, published_at …: the CSS selector of the element that says it
    expires: date | None = None  # the last day whose pages they are for; sites change


@dataclass(frozen=True, slots=True)
class Source:
    """One table of config/sources.toml, or one homepage given by hand."""

    name: str
    homepage: str | None = None
    feeds: tuple[str, ...] = ()
    sitemaps: tuple[str, ...] = ()
    sections: tuple[str, ...] = ()
    language: str | None = None  # BCP 47; a fallback where the page does not say
    every: timedelta | None = timedelta(minutes=15)  # exactly one of `every` and `cron`
    cron: str | None = None
    allow: tuple[str, ...] = ()  # regular expressions searched in an article's URL; empty = all
    deny: tuple[str, ...] = ()
    rules: Rules = field(default_factory=Rules)
    politeness: Politeness = field(default_factory=Politeness)
    expect: Mapping[str, int] = field(default_factory=dict)  # what the source should yield, e.g. {"documents_per_day": 5}
    discover: bool = True  # look for feeds, sitemaps and sections on the homepage and in robots.txt
    enabled: bool = True


# ---- link: an address somebody found ---------------------------------------------------------------------------------------


class Kind(StrEnum):
    """What a ledger row's URL is expected to be. Everything but a page is a listing: it yields links and comes due again."""

    PAGE = "page"
    FEED = "feed"
    SITEMAP = "sitemap"
    SECTION = "section"
    HOMEPAGE = "homepage"


@dataclass(frozen=True, slots=True)
class Hint:
    """What a listing said about a page before it was fetched. Used only where the page itself is silent."""

    title: str | None = None
    authors: tuple[str, ...] = ()
    published_at: datetime | None = None
    modified_at: datetime | None = None
    language: str | None = None
    tags: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Link:
    """An address a listing, a person or a program gave us."""

    url: str
    kind: Kind = Kind.PAGE
    source: str | None = None  # Source.name
    found_by: str = "manual"  # feed, sitemap, section, homepage, robots, manual, api
    found_on: str | None = None  # URL of the listing
    hint: Hint = field(default_factory=Hint)


@dataclass(frozen=True, slots=True)
class SubmissionCounts:
    """What came of submitted URLs."""

    new: int  # queued
    known: int  # seen before, and left as they are unless they are to be fetched again
    bad_url: int  # not http(s) URLs; each is recorded with this outcome


@dataclass(frozen=True, slots=True)
class Listing:
    """What a feed, a sitemap, a section or a homepage held: links to pages, and links to further listings."""

    pages: tuple[Link, ...] = ()
    listings: tuple[Link, ...] = ()
    language: str | None = None
    warnings: tuple[str, ...] = ()


# ---- how a URL ended -------------------------------------------------------------------------------------------------------


class State(StrEnum):
    """Where a ledger row stands. `due → fetching → fetched → processing`, then one of the four ends."""

    DUE = "due"
    FETCHING = "fetching"
    FETCHED = "fetched"
    PROCESSING = "processing"
    DONE = "done"
    DROPPED = "dropped"
    FAILED = "failed"
    QUARANTINED = "quarantined"


class Outcome(StrEnum):
    """How a URL ended, one name each; `OUTCOMES` says which state it belongs to and what it means to an operator."""

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
    BAD_LISTING = "bad_listing"
    BAD_ENCODING = "bad_encoding"
    ARCHIVE_DAMAGED = "archive_damaged"

    DIED = "died"
    DEADLINE = "deadline"
    TOO_DEEP = "too_deep"


OUTCOMES: Mapping[Outcome, tuple[State, str]] = {
    Outcome.STORED: (State.DONE, "the document is in the store"),
    Outcome.UNCHANGED: (State.DONE, "fetched again; the document's content is the same as before"),
    Outcome.LISTED: (State.DONE, "a feed, sitemap or section was read and gave links"),
    Outcome.NOT_MODIFIED: (State.DONE, "the server answered 304: nothing new since last time"),
    Outcome.EMPTY_LISTING: (State.DONE, "a feed, sitemap or section was read and held no links"),
    Outcome.DUPLICATE: (State.DROPPED, "another address of a document that is already stored (same canonical URL)"),
    Outcome.NOT_ARTICLE: (State.DROPPED, "an index, tag, author, search or other page that is no article; the detail says which"),
    Outcome.NO_TEXT: (State.DROPPED, "the page holds no article text"),
    Outcome.CONSENT_WALL: (State.DROPPED, "the site showed its consent dialogue instead of the article"),
    Outcome.PAYWALL: (State.DROPPED, "only a teaser stands before the paywall"),
    Outcome.SOFT_404: (State.DROPPED, "the page says 'not found' under status 200"),
    Outcome.NEEDS_SCRIPT: (State.DROPPED, "the page shows its text only to a browser with JavaScript"),
    Outcome.NOT_HTML: (State.DROPPED, "the body is no HTML (an image, a PDF, a binary file)"),
    Outcome.GONE: (State.DROPPED, "the server answered 404 or 410"),
    Outcome.ROBOTS_DISALLOWED: (State.DROPPED, "robots.txt forbids this address to us"),
    Outcome.DENIED: (State.DROPPED, "the source's allow or deny patterns leave this address out"),
    Outcome.OFF_SITE: (State.DROPPED, "the address redirects to a site that is not the source's"),
    Outcome.DISCARDED: (State.DROPPED, "a person took it out of quarantine and dropped it"),
    Outcome.BAD_URL: (State.FAILED, "not an http(s) address that can be fetched"),
    Outcome.DNS: (State.FAILED, "the host name is unknown"),
    Outcome.REFUSED: (State.FAILED, "the host refused the connection"),
    Outcome.TIMEOUT: (State.FAILED, "the answer was not complete before the deadline"),
    Outcome.TLS: (State.FAILED, "the certificate is not valid for this host"),
    Outcome.CONNECTION: (State.FAILED, "the connection broke, or the answer was not HTTP"),
    Outcome.DATA_LOSS: (State.FAILED, "the body was shorter than announced"),
    Outcome.HTTP_ERROR: (State.FAILED, "the server answered with an error status; the detail says which"),
    Outcome.BLOCKED: (State.FAILED, "a bot filter showed its own page instead of the article, twice; the detail says which"),
    Outcome.TOO_LARGE: (State.FAILED, "the body, or the document made of it, is larger than the cap"),
    Outcome.TOO_MANY_HEADERS: (State.FAILED, "the answer has more header lines than any honest server sends"),
    Outcome.REDIRECT_LOOP: (State.FAILED, "more redirects than the cap, or a circle"),
    Outcome.BAD_REDIRECT: (State.FAILED, "a redirect without a usable target"),
    Outcome.SSRF_BLOCKED: (State.FAILED, "the address leads into a private network; see NEWSMILL_ALLOW_NETS"),
    Outcome.ROBOTS_UNREACHABLE: (State.FAILED, "robots.txt could not be read (5xx or no answer), so nothing may be fetched (RFC 9309)"),
    Outcome.BAD_LISTING: (State.FAILED, "the feed or sitemap could not be read; the detail says why"),
    Outcome.BAD_ENCODING: (State.FAILED, "the body's compression is broken or unknown"),
    Outcome.ARCHIVE_DAMAGED: (State.FAILED, "the archived page could not be read back; it will be fetched again on retry"),
    Outcome.DIED: (State.QUARANTINED, "reading the page killed the process three times"),
    Outcome.DEADLINE: (State.QUARANTINED, "reading the page, or storing its document, took longer than its limit"),
    Outcome.TOO_DEEP: (State.QUARANTINED, "the page is nested deeper than any parser follows"),
}


@dataclass(frozen=True, slots=True)
class OutcomeRecord:
    """How one URL ended: a named outcome and, in words, the detail."""

    outcome: Outcome
    detail: str | None = None


# ---- page: bytes as fetched ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Page:
    """A fetched page as it came from the network; never edited. `body` keeps its Content-Encoding, `headers` their order."""

    requested_url: str
    url: str  # final URL after redirects
    fetched_at: datetime
    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes
    ip: str | None = None
    redirects: tuple[str, ...] = ()  # every address on the way, requested first, final left out
    request_headers: tuple[tuple[str, str], ...] = ()
    source: str | None = None
    hint: Hint = field(default_factory=Hint)

    def header(self, name: str) -> str | None:
        """The first header of that name, or None."""
        wanted = name.lower()
        return next((value for key, value in self.headers if key.lower() == wanted), None)


@dataclass(frozen=True, slots=True)
class Segment:
    """One WARC file of the archive."""

    id: str
    pages: int
    length: int  # bytes of the file; a shorter file is a damaged one
    created_at: datetime
    offsets: tuple[int, ...] = ()  # of each page's response record, in the order given


# ---- article: what extraction found on a page --------------------------------------------------------------------------------


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
    depth: int = 0  # 0: of an outermost list
    number: int | None = None  # None: the list is unordered


@dataclass(frozen=True, slots=True)
class TableCell:
    """Text in a table cell; several pieces of one cell share row and column. `start` and `end` count characters of the block's text."""

    start: int
    end: int
    row: int  # within the block
    column: int  # of the grid that rowspan and colspan make (HTML standard, section 4.9.12)
    header: bool = False


@dataclass(frozen=True, slots=True)
class Markup:
    """What a block's plain text cannot say. Empty where the page does not say it."""

    level: int | None = None  # of a heading, 1 to 6
    links: tuple[TextLink, ...] = ()
    items: tuple[ListItem, ...] = ()
    cells: tuple[TableCell, ...] = ()


@dataclass(frozen=True, slots=True)
class Block:
    """One block of the page in page order: kept in the body, or removed by a layer with a reason."""

    type: BlockType
    text: str
    kept: bool = True
    layer: str | None = None  # trafilatura, model, gate (a rule over the model), script, profile, rules
    reason: str | None = None
    path: str | None = None  # tags and classes from the root, e.g. "body/main/article.story/p"
    markup: Markup | None = None  # None: only type and text are known, as of documents stored by an older version


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
The search index holds which documents are doubtful: another bound needs a migration like 0014.
"""

MIN_UPDATE_CHARACTERS = 30  # characters of an update from which the text holds it for sure; "Goal!" may stand in any lead
_WORD = re.compile(r"\w+")


def is_doubtful(confidence: float | None) -> bool:
    """True for a confidence (0 to 1) below DOUBTFUL_CONFIDENCE; one that is unknown is not."""
    return confidence is not None and confidence < DOUBTFUL_CONFIDENCE


@dataclass(frozen=True, slots=True)
class Document:
    """A clean, normalised article as stored and exported (DESIGN section 5). Unknown is None, never a guess."""

    id: str  # find.urls.key(canonical_url or url)
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
    published_source: str | None  # json-ld, meta, feed, dom, url, text
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
    provenance: Mapping[str, str]  # field name → where it came from
    revision: int = 1
    archive_ref: str | None = None  # "segment-id@offset"
    published_day: str | None = (
        None  # the day of published_at where the site is, as its readers see it (ISO); UTC may call it the day before
    )

    @property
    def doubtful(self) -> bool:
        """True where the confidence is below DOUBTFUL_CONFIDENCE: look at the text before you rely on it."""
        return is_doubtful(self.confidence)

    def text_with_updates(self) -> str:
        """The text and below it the updates of a live blog, as on the page; each is headed by its time (UTC) and title."""
        return "\n\n".join(filter(None, (self.text, *(block.text for block in self.update_blocks()))))

    def update_blocks(self) -> tuple[Block, ...]:
        """The updates that the text does not hold, in the page's order: of each a heading (time in UTC, title) and its paragraphs."""
        held = _words(self.text)
        return tuple(block for update in self.live_updates if not _holds(held, update) for block in _blocks_of(update))

    def with_updates(self) -> Self:
        """The document with its updates in `text` and `blocks`. All other fields, `word_count` among them, remain those of the article."""
        more = self.update_blocks()
        return replace(self, text=self.text_with_updates(), blocks=(*self.blocks, *more)) if more else self


def _words(text: str) -> str:
    """The words alone, with a blank at either end so that a part of a word is no match."""
    return f" {' '.join(_WORD.findall(text.casefold()))} "


def _holds(words: str, update: LiveUpdate) -> bool:
    """Whether the words of a text hold an update: a page without a lead keeps its updates in the text. A few words prove nothing."""
    said = [_words(part) for part in (update.title, update.text) if part]
    return sum(map(len, said)) >= MIN_UPDATE_CHARACTERS and all(part in words for part in said)


def _blocks_of(update: LiveUpdate) -> Iterator[Block]:
    at = "" if update.at is None else f"{update.at.astimezone(UTC):%Y-%m-%d %H:%M} UTC"
    if heading := " · ".join(filter(None, (at, update.title))):
        yield Block(BlockType.HEADING, heading, markup=Markup(level=3))
    if update.text != update.title:
        yield from (Block(BlockType.PARAGRAPH, part) for part in update.text.split("\n\n") if part)


class ExtractionPath(StrEnum):
    """How a page of a site with a proven profile was read; `newsmill status` counts them."""

    FAST = "fast"  # by the profile's paths alone
    UNFIT = "unfit"  # the long way: the page is not like those the profile knows
    AGREED = "agreed"  # both ways, as one page in twenty is, and they agreed
    DISAGREED = "disagreed"  # both ways, and they did not; the long way counts


@dataclass(frozen=True, slots=True)
class ExtractionResult:
    """What read/ made of one page: how it ends, the document when there is one, and every block with its reason."""

    ending: OutcomeRecord
    document: Document | None = None
    blocks: tuple[Block, ...] = ()  # kept and removed, in page order
    seconds: float = 0.0
    extraction_path: ExtractionPath | None = None  # how it was read, where its site's profile is proven


# ---- profile: what the pages of one site have in common ----------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class LineStats:
    """On how many of a profile's pages a line stands, digits masked."""

    pages: int
    kept: int  # of these, where it was part of the text
    ending: int  # of these, where it was one of the text's last lines
    sections: int  # of the site, by the first part of the address's path


@dataclass(frozen=True, slots=True)
class PathStats:
    """What stood under one path of blocks on a profile's pages."""

    pages: int
    kept: int  # of these, where most of its words were part of the text
    words: int
    kept_words: int
    sections: int


@dataclass(frozen=True, slots=True)
class FieldStats:
    """How often a place says what a field of the document says."""

    pages: int  # that have the place and the field
    agreed: int  # of these, where both say the same


@dataclass(frozen=True, slots=True)
class ArticleNorm:
    """What an article of the site is like: the words of its text, and how many of the profile's pages had a title and a date."""

    fewest: int
    median: int
    most: int
    titled: int
    dated: int


@dataclass(frozen=True, slots=True)
class Profile:
    """What Newsmill learnt about a site from its pages. Counts only: what they decide is read.profile's business."""

    site: str  # host without "www."
    pages: int  # that it rests on, copies left out
    sections: int
    lines: Mapping[str, LineStats] = field(default_factory=dict)  # by read.profile.line_key; only what stands on two pages or more
    paths: Mapping[str, PathStats] = field(default_factory=dict)
    fit: float | None = None  # mean fit of its own pages, 0 to 1
    version: int = 0  # counted by the store; 0 until it is there
    since: datetime | None = None  # pages fetched before have an older layout; None: all pages have this one
    fields: Mapping[str, Mapping[str, FieldStats]] = field(default_factory=dict)  # title, authors, published_at → path → what stands there
    norm: ArticleNorm | None = None
    reach: float | None = None  # share of its pages whose text its paths alone would find, each judged by the others
    agreement: float | None = None  # F1 over words between that and the long way, mean over these pages
    fast: bool = True  # False: the two ways were found to disagree on pages read since, so all go the long way
    looked_at: int = 0  # documents the site had when it was learnt last, be it that it taught nothing new; kept by the store, as `fast` is


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
    similarity: float  # 0 to 1: of the runs of five words that either text has, the share that both have


# ---- the ledger's view -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class LeasedUrl:
    """A row the crawler leased: fetch this URL. `fence` must be given back with what came of it."""

    id: int
    url: str
    kind: Kind
    host: str
    source: str | None
    fence: int
    attempts: int  # fetches tried before this one
    etag: str | None = None
    last_modified: str | None = None
    hint: Hint = field(default_factory=Hint)


@dataclass(frozen=True, slots=True)
class ClaimedPage:
    """A row a worker claimed: read this page of the segment."""

    id: int
    url: str
    source: str | None
    fence: int
    segment: str
    offset: int
    crashes: int
    first_seen_at: datetime
    is_suspect: bool = False  # whoever had it before was gone before it was read, or lost a reader over it
    again: bool = False  # it was read before, and is only to be read again
    attempts: int = 0  # fetches tried before the one that gave this page
