"""A listing that is refused and read in turn: the schedule and the health of its source, without a database."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from rows import page_of

from crawler.politeness.response_policy import RetryAt, decide_response
from newsmill.health.assessment import decide_state, judge
from newsmill.health.causes import Finding, HealthState, ListingRecord, Observation
from newsmill.model import Kind, OutcomeRecord
from newsmill.polling.listings import ListingFacts, SourcePattern, plan_poll
from newsmill.polling.publication_rates import PublicationRates

START = datetime(2026, 11, 25, 12, 0, tzinfo=UTC)
PATTERN = SourcePattern(PublicationRates(60 / 1440), {1: 1.0})  # 60 articles a day: a poll every 11 minutes


def run_day(status: int, alternates: str) -> tuple[list[datetime], list[datetime], int, int, set[HealthState]]:
    """A day of a listing of which every second request or poll fails.

    The times of requests, those of successful ones, how many causes began and ended, and the states.
    """
    now, attempts, number = START, 0, 0
    record = ListingRecord("https://a.example/rss", Kind.FEED, first_seen_at=START - timedelta(days=30), had_entries=True)
    causes: list[Finding] = []
    requests, read, states, begun_count, over_count = [], [], set[HealthState](), 0, 0
    while now < START + timedelta(days=1):
        requests.append(now)
        decision = decide_response(page_of(record.url, status=status if number % 2 else 200), Kind.FEED, attempts, now)
        is_ended = not isinstance(decision, RetryAt)
        if decision is None:
            read.append(now)
            record = replace(record, failure=None, failing_since=None, tried_at=now)
        else:
            failure = decision if isinstance(decision, OutcomeRecord) else decision.failure
            record = replace(record, failure=failure, failing_since=record.failing_since or now, tried_at=now)
        seen = Observation(now, [record], last_document_at=read[-1])
        over, begun = judge(causes, seen)
        causes = [cause for cause in causes if cause not in over] + begun
        begun_count, over_count = begun_count + len(begun), over_count + len(over)
        states.add(decide_state(causes, seen))
        number += is_ended or alternates == "requests"
        attempts = 0 if is_ended else attempts + 1
        facts = ListingFacts(now, 99, failing_since=record.failing_since, is_feed=True)
        now = decision.at if isinstance(decision, RetryAt) else plan_poll(1, facts, PATTERN, copies=0, today=1.0, now=now).at
    return requests, read, begun_count, over_count, states


@pytest.mark.parametrize("status", [403, 503])
@pytest.mark.parametrize(("alternates", "longest", "max_requests"), [("requests", 15, 400), ("polls", 90, 80)])
def test_a_listing_that_fails_every_second_time_is_read_for_a_day(status: int, alternates: str, longest: int, max_requests: int) -> None:
    """Its interval neither grows nor falls below the usual one, and no alarm begins: no failure lasts for half an hour."""
    requests, read, begun, over, states = run_day(status, alternates)
    gaps = [later - earlier for earlier, later in pairwise(read)]
    assert max(gaps) <= timedelta(minutes=longest) and len(set(gaps)) == 1
    assert len(requests) <= max_requests
    assert (begun, over, states) == (0, 0, {HealthState.OK})
