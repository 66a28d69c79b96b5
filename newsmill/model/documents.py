"""Documents: the articles that extraction makes of pages, with their blocks and revisions; and site profiles, which extraction uses."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from enum import StrEnum
from itertools import repeat
from typing import Self

from newsmill.model.crawl import OutcomeRecord
from newsmill.model.display import format_html, format_line


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

    def __str__(self) -> str:
        return self.name


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


@dataclass(frozen=True, slots=True, repr=False)
class Document:
    """An article as stored and exported. An unknown value is None, never a guess."""

    id: str  # newsmill.text.urls.make_key(canonical_url or url)
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
    gone_at: datetime | None = None  # when a visit first got HTTP 404 or 410; None while the page exists

    @property
    def doubtful(self) -> bool:
        """Whether the confidence is below DOUBTFUL_CONFIDENCE; such a text needs a check."""
        return is_doubtful(self.confidence)

    def __repr__(self) -> str:
        return format_line(type(self).__name__, self.title, (*self._list_facts(), self.url))

    def _repr_html_(self) -> str:
        """Show the document in a notebook."""
        return format_html(self.title, self.url, (*self._list_facts(), ", ".join(map(str, self.authors))), self.text)

    def _list_facts(self) -> tuple[str | None, ...]:
        day = self.published_day or (None if self.published_at is None else f"{self.published_at:%Y-%m-%d}")
        return day, self.source or self.site_name, f"{self.word_count:,} {'word' if self.word_count == 1 else 'words'}"

    def list_pairs(self, name: str) -> list[dict[str, str]]:
        """Return a mapping (`rights`, `provenance`) as a list of key and value: not all readers of tables support maps."""
        return [{"key": key, "value": value} for key, value in getattr(self, name).items()]

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
    seconds: float = 0.0  # of CPU, if a child process read it
    extraction_path: ExtractionPath | None = None  # None: its site has no proven profile
    rendering_failure: str | None = None  # why the body of the response was extracted in place of the rendered DOM
    next_page: str | None = None  # the URL at which the article surely continues, and which is not part of the document
    block_pages: tuple[str, ...] = ()  # the URL of each block's page, in the order of `blocks`; empty for an article on one page

    def list_blocks(self) -> Iterator[tuple[str | None, Block]]:
        """Each block with the URL of its page; None for an article on one page."""
        return zip(self.block_pages or repeat(None), self.blocks, strict=False)


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
    published_precision: str | None = None  # second, minute, day; an older server does not say


@dataclass(frozen=True, slots=True)
class DocumentCopy:
    """The main fields of a document in a group of copies, and how its text differs from that of the group's first document."""

    id: str
    url: str
    title: str | None
    source: str | None
    site_name: str | None
    language: str | None
    published_at: datetime | None
    published_precision: str | None
    first_seen_at: datetime
    wire_agency: str | None  # that it credits as an author or in its dateline
    words_added: int  # that the first document lacks
    words_removed: int


@dataclass(frozen=True, slots=True)
class CopyGroup:
    """A document and its copies, the earliest first."""

    duplicate_of: str | None  # the ID of the first document; None: the document itself is the first
    wire_agency: str | None  # that the earliest document names that names one
    total: int  # documents of the group; at most 100 are in `documents`
    documents: tuple[DocumentCopy, ...]


# ---- site profiles: what the pages of one site have in common -----------------------------------------------------------------


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


POSITION_FIELDS = ("title", "authors", "published_at")  # of a document, whose positions a profile may contain


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
    lines: Mapping[str, LineStats] = field(default_factory=dict)  # by site_profile.site_keys.make_line_key; lines on two pages or more
    paths: Mapping[str, PathStats] = field(default_factory=dict)
    fit: float | None = None  # mean fit of the pages of the profile, 0 to 1
    version: int = 0  # the store assigns it; 0 before
    since: datetime | None = None  # pages fetched before this time have an older layout; None: all pages have this layout
    fields: Mapping[str, Mapping[str, FieldStats]] = field(default_factory=dict)  # one of POSITION_FIELDS → path → statistics
    norm: ArticleNorm | None = None
    pathless: int | None = None  # pages whose text has no paths, because it is in a script; None: not counted
    reach: float | None = None  # share of its pages with text that the fast path finds, each with a profile of the other pages
    agreement: float | None = None  # mean F1 over words between the fast and the full path on these pages
    fast: bool = True  # False: the paths disagreed on later pages, so all pages take the full path
    site_tags: tuple[str, ...] = ()  # keywords in <meta> that nearly all pages have alike, so that they are not tags of an article
    looked_at: int = 0  # documents of the site at the last learning or check; the store updates it, like `fast`


class RevisionCause(StrEnum):
    """Why the content of a document is another than before."""

    FETCH = "fetch"  # a new fetch brought another page
    EXTRACTION = "extraction"  # the archived page is the same; newer rules or a newer site profile extracted it


@dataclass(frozen=True, slots=True)
class Revision:
    """The content of a document at one revision. Fields mean what they mean in a document."""

    document_id: str
    revision: int
    stored_at: datetime  # the last time a field of the document changed while this was its content
    fetched_at: datetime  # the last fetch that showed this content
    modified_at: datetime | None
    title: str | None
    description: str | None
    text: str
    blocks: tuple[Block, ...]
    authors: tuple[Author, ...]
    live_updates: tuple[LiveUpdate, ...]
    word_count: int
    content_hash: str
    extractor: str
    profile_version: int | None
    archive_ref: str | None


@dataclass(frozen=True, slots=True)
class RevisionSummary:
    """A revision in a list, compared with the kept revision before it."""

    revision: int
    previous: int | None  # the revision with which it is compared; None for the first one that is kept
    stored_at: datetime
    fetched_at: datetime
    title: str | None
    word_count: int
    cause: RevisionCause | None  # None for the first one that is kept
    changed: tuple[str, ...]  # title, description, text, authors, live_updates
    words_added: int  # words of the text that the previous text does not have, or has less often
    words_removed: int
