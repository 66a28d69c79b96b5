"""The types of the API's responses."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pydantic import TypeAdapter

from newsmill.client.corpus import FacetCount, SearchHit, SourceSummary, TimelineBar, UrlOutcome
from newsmill.model import CopyGroup, Document, DocumentMarks, NearDuplicate, Revision, RevisionSummary


@dataclass(frozen=True, slots=True)
class _ItemPage:
    items: list[dict[str, Any]]
    next: str | None


@dataclass(frozen=True, slots=True)
class _Removed:
    id: str
    source: str | None
    removed_at: datetime


@dataclass(frozen=True, slots=True)
class _SourceCount:
    source: str
    n: int


@dataclass(frozen=True, slots=True)
class _Changed:
    documents: int


@dataclass(frozen=True, slots=True)
class _Note:
    message: str


@dataclass(frozen=True, slots=True)
class _CheckedPage:
    notes: list[_Note]
    suggestion: str | None


@dataclass(frozen=True, slots=True)
class _FacetPage:
    items: tuple[FacetCount, ...]
    counted: int
    is_complete: bool


@dataclass(frozen=True, slots=True)
class _TimelinePage:
    items: list[TimelineBar]


ITEM_PAGE = TypeAdapter(_ItemPage)
MARKS = TypeAdapter(DocumentMarks)
CHANGED = TypeAdapter(_Changed)
SOURCE_COUNT = TypeAdapter(_SourceCount)
DOCUMENT = TypeAdapter(Document)
REMOVED = TypeAdapter(_Removed)
HIT = TypeAdapter(SearchHit)
OUTCOME = TypeAdapter(UrlOutcome)
NEAR = TypeAdapter(NearDuplicate)
COPIES = TypeAdapter(CopyGroup)
REVISION = TypeAdapter(Revision)
SUMMARY = TypeAdapter(RevisionSummary)
SOURCE = TypeAdapter(SourceSummary)
TIME = TypeAdapter(datetime)
CHECK = TypeAdapter(_CheckedPage)
FACETS = TypeAdapter(_FacetPage)
TIMELINE = TypeAdapter(_TimelinePage)
