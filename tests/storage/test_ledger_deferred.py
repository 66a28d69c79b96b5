"""Deferred pages: pending like any other, apart from the queue, and each with one attempt at the full limit to come."""

from __future__ import annotations

from rows import NOON, Mill, after, good, links

from newsmill.model import ClaimedPage, Link, Outcome, State
from newsmill.storage.ledger import Ledger, WaitingOwner

REASON = "deadline 0.35 s of CPU"


def defer(mill: Mill, count: int = 1, of: int = 3) -> list[ClaimedPage]:
    """Of a segment of three pages, so many exceed their first attempt, the others are stored."""
    claims = mill.fetch(*links(of))
    for claim in claims[:count]:
        assert mill.ledger.claims.mark_in_progress(claim, now=mill.now)
        assert mill.ledger.deferred.put(claim, REASON, now=mill.now)
    mill.store(*(good(claim) for claim in claims[count:]))
    return claims[:count]


def take(mill: Mill) -> ClaimedPage | None:
    return mill.claim_deferred()


def test_it_is_pending_and_delays_no_other_work(ledger: Ledger) -> None:
    mill = Mill(ledger)
    (claim,) = defer(mill)
    assert ledger.segments.list_pending(now=after(days=1), limit=9) == [], "neither announced again nor the crawler's backlog"
    assert mill.claim(claim.segment) == []
    assert ledger.deferred.list_waiting(now=NOON) == [WaitingOwner("paper", claim.id)]
    assert ledger.deferred.count() == 1
    assert ledger.progress.count().pending == 1
    assert ledger.progress.count_waiting(until=NOON).soon == 1, "a crawl is not over before it had its attempt"
    trace = ledger.traces.get(claim.url)
    assert trace is not None
    assert (trace.state, trace.crashes, trace.stage) == (State.FETCHED, 1, "first attempt")
    assert trace.detail == f"{REASON} in its first attempt; deferred, and read when its source has its turn"


def test_its_full_attempt_ends_in_a_document(ledger: Ledger) -> None:
    mill = Mill(ledger)
    (first,) = defer(mill)
    claim = take(mill)
    assert claim is not None
    assert (claim.id, claim.crashes, claim.fence) == (first.id, 1, first.fence + 1)
    assert ledger.deferred.list_waiting(now=NOON) == []
    assert ledger.claims.mark_in_progress(claim, now=NOON)
    assert mill.store(good(claim)) == {Outcome.STORED: 1}
    trace = ledger.traces.get(claim.url)
    assert trace is not None
    assert (trace.stage, trace.detail) == (None, None)
    assert (ledger.deferred.count(), ledger.progress.count().pending) == (0, 0)


def test_a_whole_limit_used_up_needs_no_third_try(ledger: Ledger) -> None:
    mill = Mill(ledger)
    defer(mill)
    claim = take(mill)
    assert claim is not None
    assert ledger.claims.report_crash(claim, "read", "deadline 20 s of CPU", now=NOON, final=True)
    (quarantined,) = ledger.traces.list_quarantined()
    assert (quarantined.outcome, quarantined.stage, quarantined.detail, quarantined.crashes) == (
        Outcome.DEADLINE,
        "read",
        "deadline 20 s of CPU",
        2,
    )
    assert ledger.retries.retry(now=NOON, urls=[claim.url]) == 1
    (again,) = mill.claim(claim.segment)
    assert (again.crashes, ledger.deferred.count()) == (0, 0), "from the start, with a first attempt"


def test_another_death_in_the_whole_turn_is_tried_again_in_a_whole_turn(ledger: Ledger) -> None:
    """The machine may have stood still (deadline of the clock), or somebody killed the child."""
    mill = Mill(ledger)
    defer(mill)
    claim = take(mill)
    assert claim is not None
    assert not ledger.claims.report_crash(claim, "read", "deadline 30 s", now=mill.now)
    assert take(mill) is None
    mill.now = after(seconds=60)
    assert mill.claim(claim.segment) == []
    last = take(mill)
    assert last is not None
    assert last.crashes == 2
    assert ledger.claims.report_crash(last, "read", "deadline 30 s", now=mill.now)


def test_pages_of_one_owner_are_claimed_together_and_two_workers_share_them(ledger: Ledger) -> None:
    mill = Mill(ledger)
    claims = mill.fetch(*links(3))
    for claim in claims:
        assert ledger.deferred.put(claim, REASON, now=NOON)
    (waiting,) = ledger.deferred.list_waiting(now=NOON)
    claimed = [ledger.deferred.claim(waiting, f"worker-{n}", limit=2, seconds=60, now=NOON) for n in range(3)]
    assert [[claim.id for claim in batch] for batch in claimed] == [[claims[0].id, claims[1].id], [claims[2].id], []]


def test_a_worker_killed_in_a_whole_turn_costs_one_try(ledger: Ledger) -> None:
    mill = Mill(ledger)
    defer(mill)
    for crashes in (1, 2):
        claim = take(mill)
        assert claim is not None
        assert claim.crashes == crashes
        assert ledger.claims.mark_in_progress(claim, now=mill.now)
        assert take(mill) is None, "while it lives, its lease holds"
        assert ledger.dead_leases.end(lambda owner: owner == mill.worker, now=mill.now) == [mill.worker]  # seen dead on its machine
        assert ledger.segments.list_pending(now=mill.now, limit=9) == []
    assert take(mill) is None, "its third reader died: the next claim quarantines it"
    (quarantined,) = ledger.traces.list_quarantined()
    assert (quarantined.crashes, quarantined.outcome, quarantined.detail) == (3, Outcome.DIED, "its worker was gone when the lease ended")


def test_a_clean_stop_counts_nothing_and_it_waits_on(ledger: Ledger) -> None:
    mill = Mill(ledger)
    defer(mill)
    claim = take(mill)
    assert claim is not None
    ledger.claims.mark_in_progress(claim, now=NOON)
    assert ledger.claims.release(claim.segment, mill.worker, now=NOON) == 1
    again = take(mill)
    assert again is not None
    assert again.crashes == 1


def test_late_words_change_nothing(ledger: Ledger) -> None:
    mill = Mill(ledger)
    (old,) = mill.fetch(*links(1))
    mill.now, mill.worker = after(seconds=61), "worker-2"
    (new,) = mill.claim(old.segment)
    assert not ledger.deferred.put(old, REASON, now=mill.now)
    assert ledger.deferred.put(new, REASON, now=mill.now)
    assert not ledger.deferred.put(new, REASON, now=mill.now)
    trace = ledger.traces.get(new.url)
    assert trace is not None
    assert trace.crashes == 1


def test_a_page_fetched_anew_starts_anew(ledger: Ledger) -> None:
    mill = Mill(ledger)
    defer(mill)
    claim = take(mill)
    assert claim is not None
    ledger.claims.report_crash(claim, "read", REASON, now=NOON, final=True)
    ledger.retries.retry(now=NOON, urls=[claim.url], refetch=True)
    mill.lease()
    (fresh,) = mill.claim(mill.save())
    assert (fresh.id, fresh.crashes) == (claim.id, 0)


def test_a_page_that_crashed_is_claimed_when_its_delay_is_over(ledger: Ledger) -> None:
    mill = Mill(ledger)
    first, second = mill.fetch(*links(2))
    ledger.deferred.put(first, REASON, now=NOON)
    ledger.claims.report_crash(second, "read", "signal 11 (SIGSEGV)", now=NOON)
    assert [claim.id for claim in (take(mill), take(mill)) if claim] == [first.id]
    mill.now = after(seconds=10)
    assert mill.claim(first.segment) == []
    assert ledger.segments.list_pending(now=mill.now, limit=10) == []
    assert [claim.id for claim in (take(mill), take(mill)) if claim] == [second.id]


def test_pages_of_an_owner_without_budget_wait_unread_and_nothing_is_counted(ledger: Ledger) -> None:
    mill = Mill(ledger)
    first, second, third = mill.fetch(*links(3))
    ledger.deferred.set_aside([second, first], now=NOON)
    assert ledger.segments.list_pending(now=after(days=1), limit=9) == [third.segment], "the third is claimed until its lease ends"
    mill.store(good(third))
    assert ledger.segments.list_pending(now=after(days=1), limit=9) == []
    assert (ledger.deferred.count(), ledger.progress.count().pending) == (2, 2)
    trace = ledger.traces.get(first.url)
    assert trace is not None
    assert (trace.state, trace.stage, trace.crashes) == (State.FETCHED, "over budget", 0)
    assert trace.detail == "its source used its share of CPU time; deferred, and read when its source has its turn"
    claims = [take(mill), take(mill)]
    assert [(claim.id, claim.crashes, claim.is_suspect) for claim in claims if claim] == [(first.id, 0, False), (second.id, 0, False)]
    assert claims[0] is not None and claims[1] is not None
    assert mill.store(good(claims[0])) == {Outcome.STORED: 1}
    assert ledger.claims.release(second.segment, mill.worker, now=NOON) == 1
    assert [owner.first_id for owner in ledger.deferred.list_waiting(now=NOON)] == [second.id], "it waits on"
    ledger.deferred.set_aside([second], now=NOON)  # an old claim
    assert ledger.claims.report_crash(claims[1], "read", "signal 11 (SIGSEGV)", now=NOON) is False


def test_a_page_that_was_extracted_before_waits_for_its_budget_as_such(ledger: Ledger) -> None:
    mill = Mill(ledger)
    (claim,) = mill.fetch(*links(1))
    mill.store(good(claim))
    assert ledger.retries.retry(now=NOON, urls=[claim.url]) == 1
    (again,) = mill.claim(claim.segment)
    assert again.again
    ledger.deferred.set_aside([again], now=NOON)
    deferred = take(mill)
    assert deferred is not None
    assert deferred.again


def test_pages_of_a_source_and_of_hosts_without_one_have_their_own_owners(ledger: Ledger) -> None:
    mill = Mill(ledger)
    ledger.links.add([*links(2), Link("https://other.example/1")], now=NOON)
    rows = [*mill.lease(), *mill.lease("other.example")]
    claims = mill.claim(mill.save(rows))
    ledger.deferred.set_aside(claims, now=NOON)
    assert {owner.name for owner in ledger.deferred.list_waiting(now=NOON)} == {"paper", "other.example"}


def test_a_page_over_budget_whose_worker_was_killed_three_times_is_quarantined(ledger: Ledger) -> None:
    mill = Mill(ledger)
    (claim,) = mill.fetch(*links(1))
    ledger.deferred.set_aside([claim], now=NOON)
    for _ in range(3):
        deferred = take(mill)
        assert deferred is not None
        ledger.claims.mark_in_progress(deferred, now=mill.now)
        ledger.dead_leases.end(lambda _: True, now=mill.now)
    assert take(mill) is None
    (quarantined,) = ledger.traces.list_quarantined()
    assert (quarantined.outcome, quarantined.detail) == (Outcome.DIED, "its worker was gone when the lease ended")
