"""What a check of a source observes of its listings."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta

from newsmill.health.causes import ListingRecord
from newsmill.model import Outcome, OutcomeRecord
from newsmill.storage.check_histories import ListingHistory
from newsmill.storage.ledger import Trace
from newsmill.storage.ledger.priority import FROM_PLAN

FORGET_AFTER = timedelta(days=7)
UNCERTAIN = frozenset({Outcome.GONE, Outcome.BAD_LISTING, Outcome.ROBOTS_DISALLOWED, Outcome.OFF_SITE, Outcome.DENIED})


def is_relevant(trace: Trace, history: Mapping[int, ListingHistory]) -> bool:
    """Whether the source needs this listing: not parts and next pages, nor those that the plan no longer names.

    The homepage leads to listings at usual URLs that may not exist, so those of UNCERTAIN outcome do not count until they had entries.
    """
    if trace.outcome is Outcome.DENIED:
        return False
    if trace.found_by == FROM_PLAN:
        return True
    failure = find_failure(trace)
    return trace.found_by not in ("sitemap", "section") and (failure is None or failure.outcome not in UNCERTAIN or trace.id in history)


def is_forgotten(trace: Trace, now: datetime) -> bool:
    """Whether a listing that discovery found is missing for so long that the site has given it up."""
    is_missing = trace.outcome is Outcome.GONE and trace.failing_since is not None
    return is_missing and trace.found_by != FROM_PLAN and trace.failing_since is not None and now - trace.failing_since >= FORGET_AFTER


def to_record(trace: Trace, history: Mapping[int, ListingHistory], failed: Mapping[int, datetime | None]) -> ListingRecord:
    """The listing as the judgement needs it."""
    known = history.get(trace.id)
    return ListingRecord(
        trace.url,
        trace.kind,
        find_failure(trace),
        trace.failing_since,
        max(filter(None, (trace.ended_at, trace.failed_at)), default=None),
        trace.first_seen_at,
        known is not None or trace.outcome is Outcome.NOT_MODIFIED,  # of a listing that no check saw before, it is not known
        None if known is None else known.emptied_at,
        trace.id in failed and trace.failing_since is None,
    )


def find_failure(trace: Trace) -> OutcomeRecord | None:
    """What the URL fails with: its last failed try or its outcome, whichever is later; None if it does not fail."""
    if trace.failing_since is None:
        return None
    is_retried = trace.outcome is None or trace.ended_at is None or (trace.failed_at is not None and trace.failed_at > trace.ended_at)
    if is_retried and trace.failure is not None:
        return OutcomeRecord(trace.failure, trace.failure_detail)
    return None if trace.outcome is None else OutcomeRecord(trace.outcome, trace.detail)


def update_listings(traces: Iterable[Trace], history: Mapping[int, ListingHistory]) -> dict[int, ListingHistory]:
    """An unchanged or failed listing is as it was before."""
    known = {}
    for trace in traces:
        before = history.get(trace.id)
        if trace.outcome is Outcome.LISTED and trace.failing_since is None:
            known[trace.id] = ListingHistory()
        elif before is not None and trace.outcome is Outcome.EMPTY_LISTING and before.emptied_at is None:
            known[trace.id] = ListingHistory(trace.ended_at)
        elif before is not None:
            known[trace.id] = before
    return known


def update_failed(traces: Iterable[Trace], known: Mapping[int, datetime | None]) -> dict[int, datetime | None]:
    """The listings that fail, and those that were not read twice since they failed, with the time of the first such read that is known."""
    failed: dict[int, datetime | None] = {}
    for trace in traces:
        if trace.failing_since is not None:
            failed[trace.id] = None
        elif trace.id in known:
            first = known[trace.id]
            is_first = first is None or (trace.failed_at is not None and trace.failed_at > first)
            read_at = trace.ended_at if is_first else first
            if trace.ended_at in (None, read_at):  # no second read so far; one that seems earlier is a clock that was set back
                failed[trace.id] = read_at
    return failed
