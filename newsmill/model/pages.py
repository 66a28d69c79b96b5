"""Pages on their way from a lease to the worker that extracts them."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import date, datetime
from enum import StrEnum

from newsmill.model.links import Hint, Kind
from newsmill.text.sentences import Detail

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
    rendering_failure: Detail | None = None
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
    received_at: datetime  # when the page was fetched; of a page from elsewhere, when it was submitted
    is_suspect: bool = False  # an earlier worker disappeared while it processed the page, or the page crashed a reader process
    again: bool = False  # the page was extracted before and is extracted again
    attempts: int = 0  # fetches before the one that returned this page
    rendering: Rendering | None = None  # None: the fetch was not meant to render the page
    has_parts: bool = False  # the fetch was meant to bring the further pages of the article
    is_revisit: bool = False  # a stored article was fetched again

    @property
    def archive_ref(self) -> str | None:
        """Document.archive_ref; None for a page that is in no segment: its document was imported."""
        return f"{self.segment}@{self.offset}" if self.segment else None


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
