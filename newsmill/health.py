"""What is wrong with a source, judged from its listings, its newest pages and its own history. Pure.

A cause is proven before it begins, and it ends with the first proof of the opposite. In between, retries change nothing: a listing whose
try is due again has neither succeeded nor failed.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

from newsmill.failures import get_refusal
from newsmill.model import Kind, Outcome, OutcomeRecord
from newsmill.source_rhythm import Rhythm


class HealthState(StrEnum):
    """What an administrator should know about a source first."""

    OK = "ok"
    QUIET = "quiet"  # fewer documents than usual, but its history knows such times
    STALE = "stale"  # nothing new for a time that its history makes improbable, or a listing has lost its entries
    BLOCKED = "blocked"  # the site answers, but refuses this client
    EXTRACTION_BROKEN = "extraction_broken"  # pages or listings arrive, but their content cannot be read as before
    MOVED = "moved"  # a listing is no longer at its URL
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
    Cause.MOVED_LISTING: HealthState.MOVED,
    Cause.EMPTIED_LISTING: HealthState.STALE,
    Cause.SILENT: HealthState.STALE,
    Cause.NO_OUTPUT: HealthState.STALE,
}
_HOST_FAILURES = frozenset(
    {Outcome.DNS, Outcome.REFUSED, Outcome.TIMEOUT, Outcome.TLS, Outcome.CONNECTION, Outcome.DATA_LOSS}
    | {Outcome.ROBOTS_UNREACHABLE, Outcome.PROXY_ERROR, Outcome.SSRF_BLOCKED}
)
_PAGE_CAUSES: Mapping[Outcome, Cause] = {
    Outcome.CONSENT_WALL: Cause.CONSENT_WALL,
    Outcome.PAYWALL: Cause.PAYWALL,
    Outcome.NO_TEXT: Cause.NO_TEXT,
    Outcome.NEEDS_SCRIPT: Cause.NEEDS_SCRIPT,
    Outcome.NOT_ARTICLE: Cause.NO_ARTICLES,
    Outcome.BLOCKED: Cause.BOT_FILTER,
}
HOST_CAUSES = frozenset({Cause.DEAD_HOST, Cause.SERVER_ERROR, Cause.REFUSED, Cause.BOT_FILTER})  # of a host rather than of one listing
FETCH_CAUSES = HOST_CAUSES | {Cause.ROBOTS, Cause.MISSING_LISTINGS}
EXTRACTION_CAUSES = frozenset(_PAGE_CAUSES.values()) - {Cause.BOT_FILTER}
# Other outcomes say nothing about extraction: a duplicate is a document, and a page that is gone was never there.
_READ_OUTCOMES = frozenset({Outcome.STORED, Outcome.UNCHANGED, Outcome.DUPLICATE, *_PAGE_CAUSES})

PROOF = timedelta(minutes=30)  # from the first failed try to a later one: a restart, or a wall of some minutes, is over by then
MISSING_PROOF = timedelta(hours=3)  # a listing that was found by discovery is not tried again after a 404
PART_PROOF = timedelta(hours=24)  # the same while other listings of the source are read
MIN_FAILING_PAGES = 3  # one broken page is not a broken source
MIN_PAGES = 5  # with the same outcome, in a row or nearly so
MIN_SHARE = 0.8  # of the newest pages
# Of a mix of outcomes that would be chance. 10,000 sources * 6 outcomes * 20 separate windows a week * 1e-8 = 0.012 false alarms a week.
MAX_CHANCE = 1e-8
CHANGE_IS_SHOWN = timedelta(hours=24)  # for which a moved listing or a changed layout stays open after Newsmill has followed it


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


@dataclass(frozen=True, slots=True)
class Finding:
    """A cause that is proven."""

    cause: Cause
    since: datetime
    evidence: Evidence = Evidence()


# ---- which causes are proven ------------------------------------------------------------------------------------------------


def find_causes(seen: Observation) -> list[Finding]:
    """The causes that are proven now, at most one finding of each, the heaviest first."""
    if not seen.is_enabled:
        return []
    found = [*_find_failing_listings(seen), *_find_lists_without_entries(seen), *_find_failing_pages(seen), *_find_unread_pages(seen)]
    found += [*_find_layout_change(seen), *_find_silence(seen)]
    first: dict[Cause, Finding] = {}
    for finding in found:
        first.setdefault(finding.cause, finding)
    return [first[cause] for cause in CAUSE_STATES if cause in first]


def classify_failure(failure: OutcomeRecord) -> Cause:
    """The cause of a failed listing or page."""
    if failure.outcome is Outcome.HTTP_ERROR:
        return Cause.REFUSED if get_refusal(failure) or (failure.detail or "").startswith("HTTP 4") else Cause.SERVER_ERROR
    if failure.outcome in (Outcome.GONE, Outcome.OFF_SITE):
        return Cause.MISSING_LISTINGS
    if failure.outcome in _HOST_FAILURES:
        return Cause.DEAD_HOST
    special = {Outcome.BLOCKED: Cause.BOT_FILTER, Outcome.ROBOTS_DISALLOWED: Cause.ROBOTS}
    return special.get(failure.outcome, Cause.INVALID_LISTING)


def _find_failing_listings(seen: Observation) -> Iterable[Finding]:
    read = [listing for listing in seen.listings if listing.tried_at is not None]
    failing = [listing for listing in read if listing.failure is not None and listing.failing_since is not None]
    if not failing:
        return
    if len(failing) == len(read) or _is_host_failing(failing, read):
        yield from _judge_whole(failing, seen)
        return
    for cause, some in _group(failing).items():
        since = min(_since(listing) for listing in some)
        moved = _find_new_place(some, seen.listings) if cause is Cause.MISSING_LISTINGS else None
        if moved is not None:
            listing, new_url = moved
            yield Finding(Cause.MOVED_LISTING, since, Evidence(listing.failure, listing.url, new_url, 1, len(read)))
        elif _is_part_proven(cause, some, since, seen.at):
            yield Finding(cause, since, Evidence(some[0].failure, some[0].url, None, len(some), len(read)))


def _is_host_failing(failing: Sequence[ListingRecord], read: Sequence[ListingRecord]) -> bool:
    """Whether the host may fail for all listings: nothing was read since the first failure. Copies of others are polled once a day."""
    begun = min(_since(listing) for listing in failing)
    causes = {classify_failure(listing.failure) for listing in failing if listing.failure is not None}
    is_read = any(listing.failure is None and listing.tried_at is not None and listing.tried_at >= begun for listing in read)
    return not is_read and causes <= HOST_CAUSES


def _is_part_proven(cause: Cause, some: Sequence[ListingRecord], since: datetime, at: datetime) -> bool:
    """Whether a part of the listings fails for long enough. robots.txt may rightly name some listings only."""
    if cause is Cause.MISSING_LISTINGS:
        return at - since >= MISSING_PROOF
    return cause is not Cause.ROBOTS and max(_tried(listing) for listing in some) - since >= PART_PROOF


def _judge_whole(failing: Sequence[ListingRecord], seen: Observation) -> Iterable[Finding]:
    """All listings fail, since the last of them began to fail. A source that never worked needs no second try."""
    groups = _group(failing)
    cause = max(groups, key=lambda cause: len(groups[cause]))
    since = max(_since(listing) for listing in failing)
    is_new = seen.last_document_at is None and not any(listing.had_entries for listing in failing)
    if is_new or max(_tried(listing) for listing in failing) - since >= PROOF:
        chosen = groups[cause]
        yield Finding(cause, since, Evidence(chosen[0].failure, chosen[0].url, None, len(failing), len(failing)))


def _group(failing: Iterable[ListingRecord]) -> dict[Cause, list[ListingRecord]]:
    groups: dict[Cause, list[ListingRecord]] = {}
    for listing in failing:
        if listing.failure is not None:
            groups.setdefault(classify_failure(listing.failure), []).append(listing)
    return groups


def _since(listing: ListingRecord) -> datetime:
    assert listing.failing_since is not None
    return listing.failing_since


def _tried(listing: ListingRecord) -> datetime:
    return listing.tried_at or _since(listing)


def _find_new_place(missing: Sequence[ListingRecord], listings: Sequence[ListingRecord]) -> tuple[ListingRecord, str] | None:
    """A missing feed or sitemap, and the URL of one of its kind that was found about when it began to fail, and that is read."""
    for old in missing:
        for new in listings:
            is_same_kind = new.kind is old.kind and new.kind is not Kind.HOMEPAGE
            if is_same_kind and new.failure is None and new.had_entries and _is_successor(old, new):
                return old, new.url
    return None


def _is_successor(old: ListingRecord, new: ListingRecord) -> bool:
    """Whether a listing was found about when the other one began to fail, and not together with it."""
    if old.first_seen_at is None or new.first_seen_at is None:
        return False
    return new.first_seen_at >= max(_since(old) - timedelta(hours=2), old.first_seen_at + timedelta(hours=1))


def _find_lists_without_entries(seen: Observation) -> Iterable[Finding]:
    """Feeds, sections and homepages that lost their entries. A news sitemap is empty whenever two days pass without news."""
    emptied = [one for one in seen.listings if one.emptied_at is not None and one.failure is None and one.kind is not Kind.SITEMAP]
    proven = [one for one in emptied if one.emptied_at is not None and (one.tried_at or one.emptied_at) - one.emptied_at >= PROOF]
    if proven:
        first = min(proven, key=lambda one: one.emptied_at or seen.at)
        with_entries = sum(one.had_entries for one in seen.listings)
        evidence = Evidence(None, first.url, None, len(proven), with_entries, last_at=seen.last_document_at)
        yield Finding(Cause.EMPTIED_LISTING, first.emptied_at or seen.at, evidence)


def _find_failing_pages(seen: Observation) -> Iterable[Finding]:
    pages = seen.pages
    if pages is not None and pages.count >= MIN_FAILING_PAGES and pages.tried_at - pages.since >= PROOF:
        cause = classify_failure(pages.failure)
        evidence = Evidence(pages.failure, pages.url, None, pages.count, 0, is_pages=True, last_at=seen.last_document_at)
        yield Finding(cause, pages.since, evidence)


def _find_unread_pages(seen: Observation) -> Iterable[Finding]:
    """Outcomes of the newest pages that the source's own history makes improbable."""
    for window in seen.windows:
        recent, earlier = _count_read(window.recent), _count_read(window.earlier)
        for outcome, cause in _PAGE_CAUSES.items():
            count = window.recent.get(outcome, 0)
            if count < MIN_PAGES or count < MIN_SHARE * recent:
                continue
            usual = window.earlier.get(outcome, 0) / earlier if earlier else None
            # a source that never gave a document is judged by its pages alone
            share = (window.earlier.get(outcome, 0) + 1) / (earlier + 2)
            chance = 0.0 if seen.last_document_at is None else binomial_tail(count, recent, share)
            if chance <= MAX_CHANCE:
                failure, probability = OutcomeRecord(outcome), None if usual is None else chance
                yield Finding(
                    cause,
                    window.since,
                    Evidence(
                        failure,
                        failing=count,
                        of=recent,
                        is_pages=True,
                        last_at=seen.last_document_at,
                        usual=usual,
                        probability=probability,
                    ),
                )


def _count_read(outcomes: Mapping[Outcome, int]) -> int:
    return sum(n for outcome, n in outcomes.items() if outcome in _READ_OUTCOMES)


def binomial_tail(count: int, of: int, share: float) -> float:
    """The probability of at least `count` of `of` where each has the probability `share`.

    >>> round(binomial_tail(5, 5, 0.1), 6)
    1e-05
    """
    logs = [
        math.lgamma(of + 1) - math.lgamma(k + 1) - math.lgamma(of - k + 1) + k * math.log(share) + (of - k) * math.log1p(-share)
        for k in range(count, of + 1)
    ]
    return min(1.0, sum(math.exp(log) for log in logs))


def _find_layout_change(seen: Observation) -> Iterable[Finding]:
    layout = seen.layout
    if layout is None:
        return
    if layout.has_changed or layout.version_since is not None:
        since = layout.version_since or seen.at
        yield Finding(Cause.LAYOUT_CHANGE, since, Evidence(site=layout.site, fit=layout.recent, usual=layout.usual))


def _find_silence(seen: Observation) -> Iterable[Finding]:
    last = seen.last_document_at
    if last is None:
        return
    chance = seen.rhythm.silence_probability(last, seen.at)
    if chance < seen.rhythm.level:
        yield Finding(Cause.SILENT, last, Evidence(last_at=last, expected=seen.rhythm.expect(last, seen.at), probability=chance))


# ---- which causes are over, and the state -----------------------------------------------------------------------------------


def judge(open_causes: Sequence[Finding], seen: Observation) -> tuple[list[Finding], list[Finding]]:
    """The open causes that are over, and the proven ones that begin."""
    over = [one for one in open_causes if is_over(one, seen)]
    still = {one.cause for one in open_causes if one not in over}
    begun: list[Finding] = []
    for finding in find_causes(seen):
        if finding.cause not in still and not _is_explained(finding.cause, still):
            begun.append(finding)
            still.add(finding.cause)
    return over, begun


def _is_explained(cause: Cause, others: set[Cause]) -> bool:
    """Whether other open causes explain this one: a wall may answer 403 now and 503 then, and who cannot be read is silent."""
    return bool(others) and (cause is Cause.SILENT or (cause in FETCH_CAUSES and bool(others & FETCH_CAUSES)))


def is_over(one: Finding, seen: Observation) -> bool:
    """Whether something proves that an open cause has ended."""
    cause, evidence, has_fresh_document = one.cause, one.evidence, _has_document_after(one.since, seen)
    if not seen.is_enabled:
        return True
    if cause is Cause.SILENT or (evidence.is_pages and cause not in EXTRACTION_CAUSES):
        return has_fresh_document
    if cause in EXTRACTION_CAUSES:
        return _is_extraction_back(one.since, seen)
    if cause is Cause.LAYOUT_CHANGE:
        fit = seen.layout
        is_followed = fit is not None and not fit.has_changed and fit.version_since is None and fit.recent is not None
        return is_followed and seen.at - one.since >= CHANGE_IS_SHOWN
    if cause is Cause.MOVED_LISTING:
        return seen.at - one.since >= CHANGE_IS_SHOWN and not any(
            listing.url == evidence.new_url and listing.failure is not None for listing in seen.listings
        )
    if cause is Cause.EMPTIED_LISTING:
        return not any(listing.emptied_at is not None and listing.failure is None for listing in seen.listings)
    if evidence.failing < evidence.of:  # a part of the listings
        return not any(listing.failure is not None and classify_failure(listing.failure) is cause for listing in seen.listings)
    return any(_is_read(listing.url, one.since, [listing]) for listing in seen.listings)


def _has_document_after(since: datetime, seen: Observation) -> bool:
    return seen.last_document_at is not None and seen.last_document_at > since


def _is_read(url: str | None, since: datetime, listings: Iterable[ListingRecord]) -> bool:
    return any(one.url == url and one.failure is None and one.tried_at is not None and one.tried_at > since for one in listings)


def _is_extraction_back(since: datetime, seen: Observation) -> bool:
    """Whether of some newest pages at least half are documents."""
    for window in seen.windows:
        recent = _count_read(window.recent)
        if recent >= MIN_FAILING_PAGES and window.since >= since:
            stored = sum(window.recent.get(outcome, 0) for outcome in (Outcome.STORED, Outcome.UNCHANGED))
            if stored * 2 >= recent:
                return True
    return False


def decide_state(open_causes: Iterable[Finding], seen: Observation) -> HealthState:
    """The state of a source with these open causes."""
    if not seen.is_enabled:
        return HealthState.PAUSED
    if states := sorted((weigh(one) for one in open_causes), key=lambda pair: pair[0]):
        return states[0][1]
    if not any(listing.tried_at is not None for listing in seen.listings):
        return HealthState.UNREAD
    return HealthState.QUIET if _is_quiet(seen) else HealthState.OK


def weigh(one: Finding) -> tuple[int, HealthState]:
    """The place of a cause in CAUSE_STATES, and its state. A part of the listings that is missing does not make a source gone."""
    is_part = one.cause is Cause.MISSING_LISTINGS and one.evidence.failing < one.evidence.of
    return list(CAUSE_STATES).index(one.cause), HealthState.MOVED if is_part else CAUSE_STATES[one.cause]


def _is_quiet(seen: Observation) -> bool:
    """Whether the source is silent for longer than usual, or had fewer active hours than usual in the last day."""
    last, day_ago = seen.last_document_at, seen.at - timedelta(days=1)
    if last is None:
        return False
    return seen.rhythm.is_quiet(0, last, seen.at) or (last > day_ago and seen.rhythm.is_quiet(seen.active_hours_of_day, day_ago, seen.at))
