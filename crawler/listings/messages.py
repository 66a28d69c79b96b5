"""The messages between ListingParser and its child process, as JSON."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from pydantic import TypeAdapter

from newsmill.model import Kind, Link
from newsmill.text.sentences import Detail

MAX_INDEX_SITEMAPS = 1_000  # of one index, the newest: monthly sitemaps for 80 years, or daily ones for three


@dataclass(frozen=True, slots=True)
class ParseRequest:
    """A listing to parse, with the response's headers and the sites its source speaks for; or a page of an article, for its next one."""

    kind: Kind
    listed_at: str  # its URL in the ledger; the final one if that is on another site. Of an article: the URL of its first page
    url: str  # its final URL
    source: str | None
    sites: frozenset[str]
    now: datetime
    content_type: str | None = None
    content_encoding: str | None = None


@dataclass(frozen=True, slots=True)
class ParsedLinks:
    """The links of a listing, or a batch of a long one's."""

    pages: tuple[Link, ...] = ()
    listings: tuple[Link, ...] = ()
    refetch: tuple[Link, ...] = ()  # sitemaps of an index to fetch again although they are known
    modified: tuple[Link, ...] = ()  # pages whose `lastmod` says that they changed lately, and is theirs alone
    next_pages: tuple[Link, ...] = ()  # of a section: followed only while they give unknown links; of an article: the best first
    warnings: tuple[Detail, ...] = ()
    hub: str | None = None  # of a feed: model.Listing
    topic: str | None = None
    update_interval: timedelta | None = None


@dataclass(frozen=True, slots=True)
class ParseResponse:
    """A message of the child: a batch of links, or the error that ends the listing, with the outcome of a DecodeError."""

    links: ParsedLinks = ParsedLinks()
    error: Detail | None = None
    outcome: str | None = None


REQUEST_JSON: TypeAdapter[ParseRequest] = TypeAdapter(ParseRequest)
RESPONSE_JSON: TypeAdapter[ParseResponse] = TypeAdapter(ParseResponse)
