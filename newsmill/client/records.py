"""What reading a corpus gives besides documents."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from newsmill.model import Document


@dataclass(frozen=True, slots=True)
class Hit:
    """A search result: the main fields of a document. Times are aware and UTC."""

    id: str
    url: str
    title: str | None
    source: str | None
    site_name: str | None
    language: str | None
    section: str | None
    published_at: datetime | None
    first_seen_at: datetime
    authors: tuple[str, ...]
    word_count: int
    is_free: bool | None
    snippet: str  # of the text, around what was looked for
    doubtful: bool = False  # `Document.doubtful`; an older server does not say


@dataclass(frozen=True, slots=True)
class Change:
    """A document that was stored or whose content changed. `stream(since=cursor)` resumes after it."""

    document: Document
    cursor: str


@dataclass(frozen=True, slots=True)
class SourceSeen:
    """A source with its number of documents."""

    name: str
    documents: int
    homepage: str | None = None
    enabled: bool | None = None  # None: documents have it as their source, and it is not followed (any more)
