"""What goes into the ledger and what comes out of it. Frozen; all times aware UTC; `seconds` are seconds of a lease."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime

from newsmill.model import ClaimedPage, ExtractionResult, Kind, Outcome, OutcomeRecord, State

# ---- the crawler's side ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Added:
    """What came of a batch of links. `bad` are addresses that cannot be fetched and that no person gave (those get a row)."""

    new: int = 0
    known: int = 0
    bad: int = 0
    again: int = 0  # of the known ones, those that are due again


@dataclass(frozen=True, slots=True)
class HostLease:
    """A host that is ours until the lease ends, with what the last holder learnt about it."""

    host: str
    fence: int
    next_fetch_at: datetime | None = None  # no request before this
    failures: int = 0  # in a row
    crawl_delay: float | None = None  # seconds, from robots.txt
    robots_status: int | None = None  # None: never read, or unreachable
    robots_body: bytes | None = None
    robots_fetched_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Fetched:
    """A leased row whose page now lies in the archive, at `offset` of the segment it is saved with."""

    id: int
    fence: int
    offset: int
    url: str  # final, after redirects
    status: int
    etag: str | None = None
    last_modified: str | None = None


@dataclass(frozen=True, slots=True)
class Ended:
    """A leased row that needs no worker: a listing that was read, a refusal, a failure."""

    id: int
    fence: int
    ending: OutcomeRecord
    etag: str | None = None  # kept for the next fetch; None forgets it
    last_modified: str | None = None


@dataclass(frozen=True, slots=True)
class Postponed:
    """A leased row to be tried again at `next_at`. `count_attempt` says whether this try counts against it."""

    id: int
    fence: int
    next_at: datetime
    detail: str | None = None
    count_attempt: bool = True


# ---- the worker's side -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Result:
    """What reading a claimed page gave. With `retry_at` its URL is fetched again then, and this reading is no outcome."""

    claim: ClaimedPage
    reading: ExtractionResult
    retry_at: datetime | None = None


# ---- what people ask ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Trace:
    """Everything the ledger knows about one address."""

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
    stage: str | None  # where a quarantined page killed its reader; of one that waits, "first turn" or "read again"
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


@dataclass(frozen=True, slots=True)
class OutcomeCount:
    """How many URLs of one kind ended one way on one day (UTC). A page counts once, where it ended last; a listing once per round."""

    day: date
    source: str | None
    kind: Kind
    outcome: Outcome
    n: int


@dataclass(frozen=True, slots=True)
class Progress:
    """Where the work stands, from counters and the small indexes of work in flight: cheap enough to ask every second."""

    pages: int  # page rows ever found
    states: Mapping[State, int] = field(default_factory=dict)  # of pages: due, fetching, fetched, processing and the four ends
    outcomes: Mapping[Outcome, int] = field(default_factory=dict)  # of pages that ended
    listings: Mapping[State, int] = field(default_factory=dict)

    @property
    def pending(self) -> int:
        """URLs, pages and listings, that have not ended yet. 0 means that nothing is left to do until the next tick."""
        open_states = (State.DUE, State.FETCHING, State.FETCHED, State.PROCESSING)
        return sum(self.states.get(state, 0) + self.listings.get(state, 0) for state in open_states)


@dataclass(frozen=True, slots=True)
class Waiting:
    """What has not ended yet, by when it can go on."""

    soon: int  # under way, or due by the time asked for
    later: int  # tried again after it: a retry, a host that asked for patience
    next_at: datetime | None  # when the first of the later ones comes due
