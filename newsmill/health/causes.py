"""Why a source needs an administrator: the states and causes of its health, what is observed of it, and what proves a cause. Pure.

The English texts of states, causes, evidence and remedies are here too. The web pages use the same keys; their German texts are in a
catalogue.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum

from newsmill.model import Kind, Outcome, OutcomeRecord, get_refusal

# ---- the rhythm of a source: when it usually publishes, by hour of the week, and how improbable its present silence is -----------
#
# The unit is the active hour: an hour (UTC) in which at least one document was first seen. A batch of documents, or the first import of an
# archive, is therefore one event. An hour of the week that was never observed counts as silent, so that a young source raises no alarm.
#
# **How improbable a silence must be.** Every silence ends with a document, so a source with `n` active hours a week has `n` silences a
# week. With the level `MAX_FALSE_ALARMS_PER_WEEK / (MANY_SOURCES * n)` for each of them, `MANY_SOURCES` sources together have on average
# at most MANY_SOURCES * n * level = MAX_FALSE_ALARMS_PER_WEEK = 0.01 false alarms a week: one in two years.
#
# The number of active hours in a span is modelled as negative binomial with the mean that the history gives. Its shape is that of the
# counts per day, at most MAX_DAY_SHAPE, times the number of days, and at most the number of active hours from which the mean was
# estimated: a mean that rests on few events proves little. The probability of none is then (1 + mean / shape) ** -shape.

HOURS_PER_WEEK = 168
HISTORY = timedelta(weeks=8)
MANY_SOURCES = 10_000
MAX_FALSE_ALARMS_PER_WEEK = 0.01  # of MANY_SOURCES together
QUIET_PROBABILITY = 0.05  # one silence in twenty is called quiet; nobody is alarmed
MAX_DAY_SHAPE = 8.0  # a public holiday with a tenth of the usual documents is possible for every source
MIN_DAY_SHAPE = 0.25
HOUR = timedelta(hours=1)
MONDAY = datetime(2024, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Rhythm:
    """For each hour of the week (Monday 0:00 UTC first): how often it was observed, and how often it was active."""

    observed: tuple[int, ...] = (0,) * HOURS_PER_WEEK
    active: tuple[int, ...] = (0,) * HOURS_PER_WEEK
    day_shape: float = MAX_DAY_SHAPE  # of the negative binomial distribution of the active hours of one day

    @property
    def events(self) -> int:
        """Active hours in the history."""
        return sum(self.active)

    @property
    def events_per_week(self) -> float:
        return sum(self._rate(hour) for hour in range(HOURS_PER_WEEK))

    @property
    def level(self) -> float:
        """The probability below which a silence is an alarm."""
        return MAX_FALSE_ALARMS_PER_WEEK / (MANY_SOURCES * max(1.0, self.events_per_week))

    def _rate(self, hour: int) -> float:
        return self.active[hour] / self.observed[hour] if self.observed[hour] else 0.0

    def expect(self, start: datetime, end: datetime) -> float:
        """The active hours that the history lets expect between two times."""
        if end <= start:
            return 0.0
        weeks = (end - start) // timedelta(weeks=1)
        total = weeks * self.events_per_week if weeks else 0.0
        at = start + weeks * timedelta(weeks=1)
        while at < end:
            following = min(end, at.replace(minute=0, second=0, microsecond=0) + HOUR)
            total += self._rate(hour_of_week(at)) * ((following - at) / HOUR)
            at = following
        return total

    def silence_probability(self, start: datetime, end: datetime) -> float:
        """The probability that a healthy source has no document between two times."""
        mean, shape = self.expect(start, end), self._shape(start, end)
        return math.pow(1 + mean / shape, -shape)

    def is_quiet(self, count: int, start: datetime, end: datetime) -> bool:
        """Whether `count` active hours between two times are fewer than in all but QUIET_PROBABILITY of such spans."""
        mean, shape = self.expect(start, end), self._shape(start, end)
        term = total = math.pow(1 + mean / shape, -shape)
        for number in range(1, count + 1):
            term *= (number - 1 + shape) / number * (mean / (mean + shape))
            total += term
        return total < QUIET_PROBABILITY

    def _shape(self, start: datetime, end: datetime) -> float:
        days = max(1.0, (end - start) / timedelta(days=1))
        return max(MIN_DAY_SHAPE, min(self.day_shape * days, float(self.events)))


def build_rhythm(times: Iterable[datetime], since: datetime, until: datetime) -> Rhythm:
    """The rhythm of documents first seen at `times`, of the last weeks of a history from `since` to `until` (aware)."""
    first = count_hours(max(since, until - HISTORY)) + 1  # the hour that is not observed whole is left out
    last = count_hours(until)
    seen = {hour for at in times if first <= (hour := count_hours(at)) < last}
    observed, active = [0] * HOURS_PER_WEEK, [0] * HOURS_PER_WEEK
    for hour in range(first, last):
        observed[hour % HOURS_PER_WEEK] += 1
    for hour in seen:
        active[hour % HOURS_PER_WEEK] += 1
    return Rhythm(tuple(observed), tuple(active), _estimate_day_shape(seen, first, last, observed, active))


def _estimate_day_shape(seen: set[int], first: int, last: int, observed: list[int], active: list[int]) -> float:
    """By the method of moments: the variance of the days' counts is mean + mean² / shape."""
    counts = Counter(hour // 24 for hour in seen)
    squares = excess = 0.0
    for day in range(-(-first // 24), last // 24):
        hours = [hour % HOURS_PER_WEEK for hour in range(day * 24, day * 24 + 24)]
        mean = sum(active[hour] / observed[hour] for hour in hours)
        squares += mean * mean
        excess += (counts[day] - mean) ** 2 - mean
    if excess <= 0 or not math.isfinite(squares / excess):
        return MAX_DAY_SHAPE
    return min(MAX_DAY_SHAPE, max(MIN_DAY_SHAPE, squares / excess))


def count_hours(at: datetime) -> int:
    """Whole hours from a Monday at midnight UTC to the time."""
    return (at - MONDAY) // HOUR


def hour_of_week(at: datetime) -> int:
    """0 for Monday from 0:00 to 1:00 UTC, 167 for Sunday from 23:00.

    >>> hour_of_week(datetime(2026, 11, 24, 13, 30, tzinfo=UTC))
    37
    """
    return count_hours(at) % HOURS_PER_WEEK


# ---- states and causes ------------------------------------------------------------------------------------------------------------


class HealthState(StrEnum):
    """What an administrator should know about a source first."""

    OK = "ok"
    FAILING = "failing"  # a listing, or every page so far, fails; nothing is proven yet
    QUIET = "quiet"  # fewer documents than usual, but its history knows such times
    STALE = "stale"  # nothing new for a time that its history makes improbable, or a listing has lost its entries
    BLOCKED = "blocked"  # the site answers, but refuses this client
    EXTRACTION_BROKEN = "extraction_broken"  # pages or listings arrive, but their content cannot be read as before
    MOVED = "moved"  # a listing has moved away from its URL
    GONE = "gone"  # no listing can be reached
    PAUSED = "paused"
    UNREAD = "unread"  # no listing has been read yet


class Cause(StrEnum):
    """Why a source needs an administrator."""

    REFUSED = "refused"
    BOT_FILTER = "bot_filter"
    ROBOTS = "robots"
    CONSENT_WALL = "consent_wall"
    PAYWALL = "paywall"
    LAYOUT_CHANGE = "layout_change"
    NO_TEXT = "no_text"
    NEEDS_SCRIPT = "needs_script"
    NO_ARTICLES = "no_articles"
    INVALID_LISTING = "invalid_listing"
    INVALID_PAGES = "invalid_pages"
    DEAD_HOST = "dead_host"
    SERVER_ERROR = "server_error"
    MISSING_LISTINGS = "missing_listings"
    MOVED_LISTING = "moved_listing"
    EMPTIED_LISTING = "emptied_listing"
    SILENT = "silent"
    NO_OUTPUT = "no_output"  # of the whole installation, not of a source


# In the order of their weight: the first open cause is the state of a source.
CAUSE_STATES: Mapping[Cause, HealthState] = {
    Cause.DEAD_HOST: HealthState.GONE,
    Cause.SERVER_ERROR: HealthState.GONE,
    Cause.REFUSED: HealthState.BLOCKED,
    Cause.BOT_FILTER: HealthState.BLOCKED,
    Cause.ROBOTS: HealthState.BLOCKED,
    Cause.CONSENT_WALL: HealthState.BLOCKED,
    Cause.PAYWALL: HealthState.BLOCKED,
    Cause.MISSING_LISTINGS: HealthState.GONE,
    Cause.LAYOUT_CHANGE: HealthState.EXTRACTION_BROKEN,
    Cause.NO_TEXT: HealthState.EXTRACTION_BROKEN,
    Cause.NEEDS_SCRIPT: HealthState.EXTRACTION_BROKEN,
    Cause.NO_ARTICLES: HealthState.EXTRACTION_BROKEN,
    Cause.INVALID_LISTING: HealthState.EXTRACTION_BROKEN,
    Cause.INVALID_PAGES: HealthState.EXTRACTION_BROKEN,
    Cause.MOVED_LISTING: HealthState.MOVED,
    Cause.EMPTIED_LISTING: HealthState.STALE,
    Cause.SILENT: HealthState.STALE,
    Cause.NO_OUTPUT: HealthState.STALE,
}
_HOST_FAILURES = frozenset(
    {Outcome.DNS, Outcome.REFUSED, Outcome.TIMEOUT, Outcome.TLS, Outcome.CONNECTION, Outcome.DATA_LOSS}
    | {Outcome.ROBOTS_UNREACHABLE, Outcome.PROXY_ERROR, Outcome.SSRF_BLOCKED}
)
PAGE_CAUSES: Mapping[Outcome, Cause] = {
    Outcome.CONSENT_WALL: Cause.CONSENT_WALL,
    Outcome.PAYWALL: Cause.PAYWALL,
    Outcome.NO_TEXT: Cause.NO_TEXT,
    Outcome.NEEDS_SCRIPT: Cause.NEEDS_SCRIPT,
    Outcome.NOT_ARTICLE: Cause.NO_ARTICLES,
    Outcome.BLOCKED: Cause.BOT_FILTER,
}
HOST_CAUSES = frozenset({Cause.DEAD_HOST, Cause.SERVER_ERROR, Cause.REFUSED, Cause.BOT_FILTER})  # of a host rather than of one listing
FETCH_CAUSES = HOST_CAUSES | {Cause.ROBOTS, Cause.MISSING_LISTINGS}
EXTRACTION_CAUSES = frozenset(PAGE_CAUSES.values()) - {Cause.BOT_FILTER}

LONGEST_WINDOW = timedelta(hours=24)  # of outcomes
PROOF = timedelta(minutes=30)  # from the first failed try to a later one: a restart, or a wall of some minutes, is over by then


def classify_failure(failure: OutcomeRecord, *, is_page: bool = False) -> Cause:
    """The cause of a failed listing or page."""
    if failure.outcome is Outcome.HTTP_ERROR:
        return Cause.REFUSED if get_refusal(failure) or (failure.detail or "").startswith("HTTP 4") else Cause.SERVER_ERROR
    if failure.outcome in (Outcome.GONE, Outcome.OFF_SITE):
        return Cause.MISSING_LISTINGS
    if failure.outcome in _HOST_FAILURES:
        return Cause.DEAD_HOST
    special = {Outcome.BLOCKED: Cause.BOT_FILTER, Outcome.ROBOTS_DISALLOWED: Cause.ROBOTS}
    return special.get(failure.outcome, Cause.INVALID_PAGES if is_page else Cause.INVALID_LISTING)


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
    is_recovering: bool = False  # it does not fail any more, but was not read twice since then


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
    has_waiting_pages: bool = False  # new pages that were not tried yet, or are not extracted yet

    @property
    def read_at(self) -> datetime | None:
        """When a listing was last read. Later nobody looked whether the source publishes. A clock that was ahead may have written it."""
        times = [one.tried_at for one in self.listings if one.failure is None and one.tried_at is not None]
        return min(max(times), self.at) if times else None


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


# ---- texts


STATE_NAMES: Mapping[HealthState, str] = {
    HealthState.OK: "ok",
    HealthState.FAILING: "failing",
    HealthState.QUIET: "quiet",
    HealthState.STALE: "stale",
    HealthState.BLOCKED: "blocked",
    HealthState.EXTRACTION_BROKEN: "extraction broken",
    HealthState.MOVED: "moved",
    HealthState.GONE: "gone",
    HealthState.PAUSED: "paused",
    HealthState.UNREAD: "not read yet",
}
CAUSE_NAMES: Mapping[Cause, str] = {
    Cause.REFUSED: "the site refuses access",
    Cause.BOT_FILTER: "a bot filter blocks access",
    Cause.ROBOTS: "robots.txt forbids access",
    Cause.CONSENT_WALL: "consent dialog instead of articles",
    Cause.PAYWALL: "paywall instead of articles",
    Cause.LAYOUT_CHANGE: "the layout has changed",
    Cause.NO_TEXT: "pages have no text",
    Cause.NEEDS_SCRIPT: "pages need JavaScript",
    Cause.NO_ARTICLES: "pages are not articles",
    Cause.INVALID_LISTING: "a listing cannot be read",
    Cause.INVALID_PAGES: "pages cannot be read",
    Cause.DEAD_HOST: "the host cannot be reached",
    Cause.SERVER_ERROR: "the server reports errors",
    Cause.MISSING_LISTINGS: "listings are not found",
    Cause.MOVED_LISTING: "a listing has moved",
    Cause.EMPTIED_LISTING: "a listing has lost its entries",
    Cause.SILENT: "no new documents",
    Cause.NO_OUTPUT: "no new documents from any source",
}
# A number that can be 1 stands beside its noun, not before it: "listings: 1 of 1".
EVIDENCE_TEXTS: Mapping[str, str] = {
    "listings": "Failing listings: {failing} of {of} ({failure}). Example: {url}",
    "pages": "{failing} pages fail: {failure}. One of them: {url}. Newest document: {last}",
    "outcomes": "{failing} of the newest {of} pages: {failure}; usual share: {usual}. Newest document: {last}",
    "layout": "Share of the words at known positions in the newest documents of {site}: {fit}; usual: {usual}. "
    "Median number of words of their texts: {words}; usual: {usual_words}",
    "emptied": "{url} has no entries any more. Newest document: {last}",
    "moved": "{url} was not found ({failure}). The new URL is {new_url}",
    "redirected": "{url} redirects permanently to {new_url}",
    "silent": "Newest document: {last}. Number of hours since then in which the source usually has new documents: {expected}",
    "no_output": "Newest document: {last}",
}
REMEDIES: Mapping[Cause, str] = {
    Cause.REFUSED: "Ask the publisher for access, and set NEWSMILL_CONTACT. A longer politeness.delay may help.",
    Cause.BOT_FILTER: "Ask the publisher to admit the User-Agent of this crawler.",
    Cause.ROBOTS: "Ask the publisher for permission. With it, set robots = false for this source.",
    Cause.CONSENT_WALL: 'Try render = "auto" for this source. If the dialog stays, ask the publisher for a feed with full texts.',
    Cause.PAYWALL: "Only teasers are readable. Ask the publisher for access, or exclude these pages with deny.",
    Cause.LAYOUT_CHANGE: "Texts as long as usual need nothing: Newsmill learns the new layout from about five documents. "
    "If they are shorter or longer, check the newest ones and the source's rules.",
    Cause.NO_TEXT: 'Open one of the newest pages with `newsmill trace URL`. If it has text, set rules.keep_css or try render = "auto".',
    Cause.NEEDS_SCRIPT: 'Set render = "auto" for this source.',
    Cause.NO_ARTICLES: "Check which pages the listings name. Exclude others with deny, or list the right sections.",
    Cause.INVALID_LISTING: "Open the listing in a browser. If it is not a feed or sitemap any more, change it in the source's settings.",
    Cause.INVALID_PAGES: "Open one of the pages in a browser. If the site needs cookies, set COOKIES_ENABLED (see the Scrapy settings).",
    Cause.DEAD_HOST: "Open the homepage in a browser. If the site has a new name, change the source; if it is gone, pause the source.",
    Cause.SERVER_ERROR: "Wait: the server has errors of its own. Newsmill continues to probe.",
    Cause.MISSING_LISTINGS: "Find the new URL on the homepage, and change it in the source's settings.",
    Cause.MOVED_LISTING: "Newsmill reads the new URL. Change it in sources.toml too, if the source is defined there.",
    Cause.EMPTIED_LISTING: "Open the listing in a browser. If the publisher has given it up, remove it; other listings are still read.",
    Cause.SILENT: "Open the homepage in a browser. If it has new articles, run `newsmill sources check NAME`.",
    Cause.NO_OUTPUT: "Run `newsmill status`: check that crawler, workers and scheduler run, and that the network works.",
}


@dataclass(frozen=True, slots=True)
class ValueFormat:
    """How values of evidence are written in one language."""

    number: Callable[[int], str]
    percent: Callable[[float], str]  # of a share from 0 to 1
    time: Callable[[datetime], str]
    failure: Callable[[OutcomeRecord], str]
    none: str  # in place of a value that is unknown


def choose_evidence_text(finding: Finding) -> str:
    """The key of EVIDENCE_TEXTS for a cause."""
    evidence, cause = finding.evidence, finding.cause
    special = {
        Cause.LAYOUT_CHANGE: "layout",
        Cause.EMPTIED_LISTING: "emptied",
        Cause.SILENT: "silent",
        Cause.NO_OUTPUT: "no_output",
        Cause.MOVED_LISTING: "redirected" if evidence.failure is None else "moved",
    }
    return special.get(cause) or ("listings" if not evidence.is_pages else "outcomes" if evidence.of else "pages")


def format_values(evidence: Evidence, written: ValueFormat) -> dict[str, str]:
    """The placeholders of EVIDENCE_TEXTS."""
    none = written.none
    return {
        "failure": none if evidence.failure is None else written.failure(evidence.failure),
        "url": evidence.url or none,
        "new_url": evidence.new_url or none,
        "failing": written.number(evidence.failing),
        "of": written.number(evidence.of),
        "last": none if evidence.last_at is None else written.time(evidence.last_at),
        "expected": none if evidence.expected is None else written.number(round(evidence.expected)),
        "site": evidence.site or none,
        "fit": none if evidence.fit is None else written.percent(evidence.fit),
        "usual": none if evidence.usual is None else written.percent(evidence.usual),
        "words": none if evidence.words is None else written.number(evidence.words),
        "usual_words": none if evidence.usual_words is None else written.number(evidence.usual_words),
    }


def summarize(state: str, finding: Finding, cause: str, written: ValueFormat) -> str:
    """A cause in a few words, after the name of the state: "blocked: HTTP 403", "stale: no new documents"."""
    failure = finding.evidence.failure
    if failure is None or finding.cause is Cause.MOVED_LISTING:
        return f"{state}: {cause}"
    if (status := get_refusal(failure)) is not None:
        return f"{state}: {status}"
    return f"{state}: {written.failure(failure)}"


def english_texts() -> dict[str, str]:
    """All texts by their keys in a catalogue of the web pages."""
    return {
        **{f"health.state.{state}": text for state, text in STATE_NAMES.items()},
        **{f"health.cause.{cause}": text for cause, text in CAUSE_NAMES.items()},
        **{f"health.evidence.{key}": text for key, text in EVIDENCE_TEXTS.items()},
        **{f"health.remedy.{cause}": text for cause, text in REMEDIES.items()},
    }
