"""Links that listings, users and programs give, with what a listing says about their pages."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from enum import StrEnum
from typing import Literal


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
    found_by: str = "manual"  # feed, sitemap, section, homepage, robots, manual, api, spider, warc, import, source (its settings), backfill
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


@dataclass(frozen=True, slots=True)
class ImportCounts:
    """What became of the rows of Parquet files. Every row that could be read counts once."""

    stored: int = 0  # new documents
    changed: int = 0  # stored documents with a new revision
    kept: int = 0  # rows with another text of a document that the store fetched itself, or has from another source
    known: int = 0  # the store has this content or a later one of the document, or an outcome of the URL
    duplicate: int = 0  # other URLs of stored documents
    refused: int = 0  # by a takedown, because the page is on another site than its URL, or because the URL is a listing's
    failed: int = 0  # pages that gave no document; the ledger has their outcomes
    other: int = 0  # records of WARC files that hold no page
    invalid: int = 0  # rows that hold no document
    unreadable: int = 0  # files, not rows, that could not be read to their end
