"""Arguments and results of the ledger's methods. All times are aware and in UTC."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta

from newsmill.model import ClaimedPage, ExtractionResult, Kind, Link, Outcome, OutcomeRecord, Rendering, State


@dataclass(frozen=True, slots=True)
class Added:
    """The counts of a batch of links. `bad`: invalid URLs, except those that a person or a program requested (they get a row)."""

    new: int = 0
    known: int = 0
    bad: int = 0
    again: int = 0  # known URLs that are due again


@dataclass(frozen=True, slots=True)
class HostLease:
    """A leased host, with what the last owner of the lease knew about it."""

    host: str
    fence: int
    is_abandoned: bool = False  # the last owner did not release it, so it may have requested something a moment ago
    next_fetch_at: datetime | None = None  # no request before it
    failures: int = 0  # in a row
    crawl_delay: float | None = None  # seconds, from robots.txt
    robots_status: int | None = None  # None: never fetched, or unreachable
    robots_body: bytes | None = None
    robots_fetched_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Fetched:
    """A leased row whose page is in the archive, at `offset` of the segment it is saved with."""

    id: int
    fence: int
    offset: int
    url: str  # final, after redirects
    status: int
    etag: str | None = None
    last_modified: str | None = None
    rendering: Rendering | None = None


@dataclass(frozen=True, slots=True)
class SubmittedFetch:
    """A page from outside the crawler that is in the archive, at `offset` of the segment it is saved with."""

    link: Link  # a valid URL
    offset: int
    url: str  # final, after redirects
    status: int
    fetched_at: datetime
    etag: str | None = None
    last_modified: str | None = None


@dataclass(frozen=True, slots=True)
class ArchivedRow:
    """A known row, with the place of its last page in the archive."""

    kind: Kind
    state: State
    segment: str | None
    offset: int | None


@dataclass(frozen=True, slots=True)
class Ended:
    """A leased row with an outcome that needs no worker: a listing, a refusal, a failure."""

    id: int
    fence: int
    ending: OutcomeRecord
    etag: str | None = None  # for the next fetch; None deletes the stored one
    last_modified: str | None = None
    cache_seconds: float | None = None  # of a listing: for how long the response may be reused; None keeps the stored value
    update_interval: timedelta | None = None  # of a feed: how often it says that it changes; None keeps the stored value


@dataclass(frozen=True, slots=True)
class Postponed:
    """A leased row to be tried again at `next_at`. `count_attempt`: whether this try counts. `failure`: how it failed, if it did."""

    id: int
    fence: int
    next_at: datetime
    detail: str | None = None
    count_attempt: bool = True
    failure: OutcomeRecord | None = None


@dataclass(frozen=True, slots=True)
class Result:
    """The result of a claimed page. With `retry_at`, the URL is fetched again at that time and gets no outcome now.

    With `wants_rendering`, that fetch renders the page, and is not counted as an attempt.
    """

    claim: ClaimedPage
    reading: ExtractionResult
    retry_at: datetime | None = None
    wants_rendering: bool = False


@dataclass(frozen=True, slots=True)
class Trace:
    """Everything the ledger knows about one URL."""

    id: int
    url: str
    key: str
    kind: Kind
    host: str
    source: str | None
    found_by: str
    found_on: str | None
    state: State
    outcome: Outcome | None
    detail: str | None
    stage: str | None  # of a quarantined page: where it crashed; of a waiting page: "first attempt" or "reextract"
    attempts: int
    claims: int
    crashes: int
    first_seen_at: datetime
    next_at: datetime
    fetched_at: datetime | None
    ended_at: datetime | None
    final_url: str | None
    status: int | None
    segment: str | None
    offset: int | None
    document_id: str | None
    rendering: Rendering | None = None
    failing_since: datetime | None = None  # the first failed try since the last success
    failure: Outcome | None = None  # the last failed try that has left outcome and detail
    failure_detail: str | None = None
    failed_at: datetime | None = None
    revisit_at: datetime | None = None  # when a stored article is fetched again

    @property
    def last_failure(self) -> OutcomeRecord | None:
        """The last failed try; None if there was none, or if it is the outcome."""
        if self.failure is None or self.failed_at is None or (self.outcome is not None and self.ended_at == self.failed_at):
            return None
        return OutcomeRecord(self.failure, self.failure_detail)


@dataclass(frozen=True, slots=True)
class OutcomeCount:
    """URLs of one kind with one outcome on one day (UTC). A page counts once, with its last outcome; a listing at every read."""

    day: date
    source: str | None
    kind: Kind
    outcome: Outcome
    n: int


@dataclass(frozen=True, slots=True)
class Progress:
    """The state of the work, from counters and the small indexes of work in progress: cheap enough to read every second."""

    pages: int  # rows of pages, in any state
    states: Mapping[State, int] = field(default_factory=dict)  # of pages: due, fetching, fetched, processing and the four ends
    outcomes: Mapping[Outcome, int] = field(default_factory=dict)  # of pages
    listings: Mapping[State, int] = field(default_factory=dict)

    @property
    def pending(self) -> int:
        """URLs of pages and listings without an outcome. 0: no work is left until the next tick."""
        open_states = (State.DUE, State.FETCHING, State.FETCHED, State.PROCESSING)
        return sum(self.states.get(state, 0) + self.listings.get(state, 0) for state in open_states)


@dataclass(frozen=True, slots=True)
class Waiting:
    """URLs without an outcome, by the time of their next step. Revisits of stored articles are not among them."""

    soon: int  # in progress, or due by the given time
    later: int  # due later: a retry, or a host that must not be fetched from yet
    next_at: datetime | None  # when the first of the later ones is due
