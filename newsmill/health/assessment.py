"""Which causes of a source begin, which are over, and the state that follows from them. Pure.

A cause is proven (`proofs`) before it begins, and it ends with the proof of the opposite.
In between, retries change nothing: a listing whose try is due again has neither succeeded nor failed.
A listing that is read once between failures proves nothing either; two reads in a row do.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

from newsmill.health.causes import (
    CAUSE_STATES,
    EXTRACTION_CAUSES,
    FETCH_CAUSES,
    LONGEST_WINDOW,
    Cause,
    Finding,
    HealthState,
    ListingRecord,
    Observation,
    classify_failure,
)
from newsmill.health.proofs import MIN_FAILING_PAGES, count_documents, count_read, find_causes, is_emptied

MIN_EMPTY_READS = 2  # the first read may come before the site has anything
MIN_SLOW_SECONDS = 10.0  # a third of the deadline of a download; most sites respond within one second
CHANGE_IS_SHOWN = timedelta(hours=24)  # for which a moved listing or a changed layout stays open after Newsmill has followed it


def judge(open_causes: Sequence[Finding], seen: Observation) -> tuple[list[Finding], list[Finding]]:
    """The open causes that are over, and the proven ones that begin."""
    over = [one for one in open_causes if is_over(one, seen)]
    still = [one for one in open_causes if one not in over]
    begun: list[Finding] = []
    for finding in find_causes(seen):
        others = [*still, *begun]
        if all(one.cause is not finding.cause for one in others) and not _is_explained(finding, others):
            begun.append(finding)
    return over, begun


def _is_explained(finding: Finding, others: Iterable[Finding]) -> bool:
    """Whether another open cause explains this one: a wall may answer 403 now and 503 then, and a source that cannot be read is silent.

    A cause of some listings explains no fault of the whole source.
    """
    causes = {one.cause for one in others if _is_part(finding) or not _is_part(one)}
    return bool(causes) and (finding.cause is Cause.SILENT or (finding.cause in FETCH_CAUSES and bool(causes & FETCH_CAUSES)))


def _is_part(one: Finding) -> bool:
    """Whether other listings of the source work."""
    return not one.evidence.is_pages and one.evidence.failing < one.evidence.of


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
        return not any(is_emptied(listing) for listing in seen.listings)
    if _is_part(one):
        return not any(_is_in_part(listing, one) for listing in seen.listings)
    return any(_has_recovered(listing, one.since) for listing in seen.listings)


def _has_document_after(since: datetime, seen: Observation) -> bool:
    return seen.last_document_at is not None and seen.last_document_at > since


def _is_in_part(listing: ListingRecord, one: Finding) -> bool:
    """Whether a listing still has the cause of a part, whatever the listing that proved it fails with by now."""
    is_proof = listing.url == one.evidence.url
    if listing.failure is None:
        return is_proof and listing.is_recovering
    return is_proof or classify_failure(listing.failure) is one.cause


def _has_recovered(listing: ListingRecord, since: datetime) -> bool:
    return listing.failure is None and not listing.is_recovering and listing.tried_at is not None and listing.tried_at > since


def _is_extraction_back(since: datetime, seen: Observation) -> bool:
    """Whether of some newest pages at least half are documents. A source may have fewer than MIN_FAILING_PAGES pages in a day."""
    for window in seen.windows:
        recent = count_read(window.recent)
        is_enough = recent >= MIN_FAILING_PAGES or (recent > 0 and seen.at - window.since >= LONGEST_WINDOW)
        if is_enough and window.since >= since and count_documents(window.recent) * 2 >= recent:
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
    if seen.reads >= MIN_EMPTY_READS and not seen.has_pages and not any(listing.had_entries for listing in seen.listings):
        return HealthState.EMPTY
    if seen.response_seconds is not None and seen.response_seconds >= MIN_SLOW_SECONDS:
        return HealthState.SLOW
    return HealthState.QUIET if _is_quiet(seen) else HealthState.OK


def weigh(one: Finding) -> tuple[int, HealthState]:
    """The place of a cause in CAUSE_STATES, and its state. A part of the listings that is missing does not make a source gone."""
    is_part = one.cause is Cause.MISSING_LISTINGS and one.evidence.failing < one.evidence.of
    return list(CAUSE_STATES).index(one.cause), HealthState.MOVED if is_part else CAUSE_STATES[one.cause]


def _is_quiet(seen: Observation) -> bool:
    """Whether the source is silent for longer than usual, or had fewer active hours than usual in the last day."""
    last, until, day_ago = seen.last_document_at, seen.read_at, seen.at - timedelta(days=1)
    if last is None or until is None:
        return False
    return seen.rhythm.is_quiet(0, last, until) or (last > day_ago and seen.rhythm.is_quiet(seen.active_hours_of_day, day_ago, until))
