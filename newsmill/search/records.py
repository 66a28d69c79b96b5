"""What a search gives back."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from newsmill.model import Document

MAX_TOTAL = 10_000  # documents counted exactly for one page of results; beyond, nobody reads on and counting costs more than finding

SOURCE_SAMPLE_MATCHES = 10_000  # matches whose sources a Spread counts: 6 ms on SQLite, where all of a common word would take 60

Order = Literal["relevance", "newest"]
Step = Literal["hour", "day"]
Snippet = tuple[tuple[str, bool], ...]  # text, and whether it is one of the words looked for


@dataclass(frozen=True, slots=True)
class Hit:
    """A document that matches, as a list of results shows it."""

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
    doubtful: bool
    snippet: Snippet


@dataclass(frozen=True, slots=True)
class SearchResults:
    """One page of hits. `cursor`: of the next page, None on the last. `total`: None when more than MOST match or counting takes long.

    `reached`: None, or the time down to which everything has been looked at, when looking further would have taken too long: the page is
    short, possibly empty, and the cursor goes on with what is older.
    """

    hits: tuple[Hit, ...]
    cursor: str | None
    total: int | None
    reached: datetime | None = None


@dataclass(frozen=True, slots=True)
class Breakdown:
    """How what matches lies in time and over sources, counted from the newest on as far as there was time.

    `days`: UTC, each named by its first moment, those without a match left out; every one of them is counted whole, `since` being the
    first, which is later than asked for when the time was up: only what is newer is known then. `sources`: the largest first, "" for
    documents without one; of the `among` newest matches. `total`: None unless everything was counted.
    """

    days: tuple[tuple[datetime, int], ...]
    since: datetime
    sources: tuple[tuple[str, int], ...]
    among: int
    total: int | None


@dataclass(frozen=True, slots=True)
class StoredHit:
    """A document on its way through `iterate`; its cursor goes on after it."""

    document: Document
    stored_at: datetime
    cursor: str
