"""The types of the API's responses."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from newsmill.client.corpus import FacetCount, TimelineBar


@dataclass(frozen=True, slots=True)
class ItemPage:
    """One page of a list."""

    items: list[dict[str, Any]]
    next: str | None


@dataclass(frozen=True, slots=True)
class FoundPage(ItemPage):
    """One page of matches."""

    total: int | None
    answers: int | None = None  # an older server does not say


@dataclass(frozen=True, slots=True)
class Removed:
    """A document that was removed."""

    id: str
    source: str | None
    removed_at: datetime


@dataclass(frozen=True, slots=True)
class SourceCount:
    """The number of documents of a source."""

    source: str
    n: int


@dataclass(frozen=True, slots=True)
class Changed:
    """The number of documents that were changed."""

    documents: int


@dataclass(frozen=True, slots=True)
class Note:
    """A mistake in a query."""

    message: str


@dataclass(frozen=True, slots=True)
class CheckedPage:
    """What a search says of its query."""

    notes: list[Note]
    suggestion: str | None


@dataclass(frozen=True, slots=True)
class FacetPage:
    """The values of facets."""

    items: tuple[FacetCount, ...]
    counted: int
    is_complete: bool


@dataclass(frozen=True, slots=True)
class TimelinePage:
    """The bars of a timeline."""

    items: list[TimelineBar]
