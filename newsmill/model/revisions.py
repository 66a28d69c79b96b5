"""Revisions: the contents that a document has had."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from newsmill.model.blocks import Block
from newsmill.model.documents import Author, LiveUpdate


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
