"""Documents with the same or nearly the same text as another one."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime


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
    text_seen_at: datetime | None = None  # when the store first got the text; an older server does not say


@dataclass(frozen=True, slots=True)
class CopyGroup:
    """A document and its copies: the first document, then the others in the order in which the store first saw their texts."""

    duplicate_of: str | None  # the ID of the first document; None: the document itself is the first
    wire_agency: str | None  # that the first of the documents names that names one
    total: int  # documents of the group; at most 100 are in `documents`
    documents: tuple[DocumentCopy, ...]
