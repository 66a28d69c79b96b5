"""What is known about a source at a time, and the causes that are proven by it: records of the judgement of its health."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from newsmill.health.causes import Cause
from newsmill.health.rhythm import Rhythm
from newsmill.model import Kind, Outcome, OutcomeRecord

LONGEST_WINDOW = timedelta(hours=24)  # of outcomes


@dataclass(frozen=True, slots=True)
class ListingRecord:
    """What is known about one listing that the source needs."""

    url: str
    kind: Kind
    failure: OutcomeRecord | None = None  # None: the last try succeeded, or there was none
    failing_since: datetime | None = None
    tried_at: datetime | None = None  # the last try that ended, with success or without
    first_seen_at: datetime | None = None
    had_entries: bool = False  # at some time
    emptied_at: datetime | None = None  # when it was first seen without entries after it had some


@dataclass(frozen=True, slots=True)
class PageFailures:
    """Pages that failed since the newest document: how many, what most of them fail with, from when to when, and one of them."""

    count: int
    failure: OutcomeRecord
    since: datetime
    tried_at: datetime
    url: str
    is_all: bool = False  # no page of the source was fetched so far


@dataclass(frozen=True, slots=True)
class OutcomeWindow:
    """The outcomes of pages since a time, and of all pages before it."""

    since: datetime
    recent: Mapping[Outcome, int]
    earlier: Mapping[Outcome, int]


@dataclass(frozen=True, slots=True)
class LayoutFit:
    """How the newest documents fit the profile of their site. `version_since`: from when on the newest version has another layout."""

    site: str
    version: int
    recent: float | None = None  # median share of their words at known positions; None: too few documents
    usual: float | None = None
    words: int | None = None  # of the newest documents, in the median
    usual_words: int | None = None
    has_changed: bool = False
    version_since: datetime | None = None


@dataclass(frozen=True, slots=True)
class Observation:
    """What is known about a source at the time `at`."""

    at: datetime
    listings: Sequence[ListingRecord] = ()
    pages: PageFailures | None = None
    windows: Sequence[OutcomeWindow] = ()  # the shortest first
    layout: LayoutFit | None = None
    rhythm: Rhythm = field(default_factory=Rhythm)
    last_document_at: datetime | None = None
    active_hours_of_day: int = 0  # of the last 24 hours
    is_enabled: bool = True


@dataclass(frozen=True, slots=True)
class Evidence:
    """The numbers, times and URLs that prove a cause."""

    failure: OutcomeRecord | None = None
    url: str | None = None
    new_url: str | None = None
    failing: int = 0  # listings or pages with this failure
    of: int = 0
    is_pages: bool = False  # they are pages, not listings
    last_at: datetime | None = None  # of the newest document
    expected: float | None = None  # active hours since then
    probability: float | None = None  # that it is chance
    site: str | None = None
    fit: float | None = None  # share of the words of the newest documents at known positions
    usual: float | None = None  # of fit, or of the share of pages with this outcome
    words: int | None = None  # of the newest documents, in the median
    usual_words: int | None = None


@dataclass(frozen=True, slots=True)
class Finding:
    """A cause that is proven."""

    cause: Cause
    since: datetime
    evidence: Evidence = Evidence()
