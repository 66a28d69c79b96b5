"""Deferred pages: pending like any other, behind all other work, and each with one attempt at the full limit to come."""

from __future__ import annotations

from rows import HOST, NOON, Mill, after, good, links

from newsmill.model import ClaimedPage, Outcome, State
from newsmill.storage.ledger import Ledger

REASON = "deadline 0.35 s of CPU"


def defer(mill: Mill, count: int = 1, of: int = 3) -> list[ClaimedPage]:
    """Of a segment of three pages, so many exceed their first attempt, the others are stored."""
    claims = mill.fetch(*links(of))
    for claim in claims[:count]:
        assert mill.ledger.mark_in_progress(claim, now=mill.now)
        assert mill.ledger.deferred.put(claim, REASON, now=mill.now)
    mill.store(*(good(claim) for claim in claims[count:]))
    return claims[:count]


def take(mill: Mill) -> ClaimedPage | None:
    return mill.ledger.deferred.claim(mill.worker, seconds=60, now=mill.now, heavy=True)


def test_it_is_pending_and_delays_no_other_work(ledger: Ledger) -> None:
    mill = Mill(ledger)
    (claim,) = defer(mill)
    assert ledger.pending_segments(now=after(days=1), limit=9) == [], "neither announced again nor the crawler's backlog"
    assert mill.claim(claim.segment) == []
    assert ledger.deferred.segments(now=NOON, limit=9, heavy=True) == [claim.segment]
    assert ledger.deferred.segments(now=NOON, limit=9, heavy=False) == []
    assert ledger.deferred.count() == 1
    assert ledger.progress().pending == 1
    assert ledger.waiting(until=NOON).soon == 1, "a crawl is not over before it had its attempt"
    trace = ledger.trace(claim.url)
    assert trace is not None
    assert (trace.state, trace.crashes, trace.stage) == (State.FETCHED, 1, "first attempt")
    assert trace.detail == f"{REASON} in its first attempt; deferred until no other work waits"


def test_its_full_attempt_ends_in_a_document(ledger: Ledger) -> None:
    mill = Mill(ledger)
    (first,) = defer(mill)
    claim = take(mill)
    assert claim is not None
    assert (claim.id, claim.crashes, claim.fence) == (first.id, 1, first.fence + 1)
    assert ledger.deferred.segments(now=NOON, limit=9, heavy=True) == []
    assert ledger.mark_in_progress(claim, now=NOON)
    assert mill.store(good(claim)) == {Outcome.STORED: 1}
    trace = ledger.trace(claim.url)
    assert trace is not None
    assert (trace.stage, trace.detail) == (None, None)
    assert (ledger.deferred.count(), ledger.progress().pending) == (0, 0)


def test_a_whole_limit_used_up_needs_no_third_try(ledger: Ledger) -> None:
    mill = Mill(ledger)
    defer(mill)
    claim = take(mill)
    assert claim is not None
    assert ledger.report_crash(claim, "read", "deadline 20 s of CPU", now=NOON, final=True)
    (quarantined,) = ledger.quarantined()
    assert (quarantined.outcome, quarantined.stage, quarantined.detail, quarantined.crashes) == (
        Outcome.DEADLINE,
        "read",
        "deadline 20 s of CPU",
        2,
    )
    assert ledger.retry(now=NOON, urls=[claim.url]) == 1
    (again,) = mill.claim(claim.segment)
    assert (again.crashes, ledger.deferred.count()) == (0, 0), "from the start, with a first attempt"


def test_another_death_in_the_whole_turn_is_tried_again_in_a_whole_turn(ledger: Ledger) -> None:
    """The machine may have stood still (deadline of the clock), or somebody killed the child."""
    mill = Mill(ledger)
    defer(mill)
    claim = take(mill)
    assert claim is not None
    assert not ledger.report_crash(claim, "read", "deadline 30 s", now=mill.now)
    assert take(mill) is None
    mill.now = after(seconds=60)
    assert mill.claim(claim.segment) == []
    last = take(mill)
    assert last is not None
    assert last.crashes == 2
    assert ledger.report_crash(last, "read", "deadline 30 s", now=mill.now)


def test_whoever_waits_longest_comes_first_and_two_workers_take_two(ledger: Ledger) -> None:
    mill = Mill(ledger)
    claims = mill.fetch(*links(3))
    for number, claim in enumerate((claims[2], claims[0], claims[1])):
        assert ledger.deferred.put(claim, REASON, now=after(seconds=number))
    claimed = [ledger.deferred.claim(f"worker-{n}", seconds=60, now=after(seconds=9), heavy=True) for n in range(4)]
    assert [claim.id if claim else None for claim in claimed] == [claims[2].id, claims[0].id, claims[1].id, None]


def test_a_worker_killed_in_a_whole_turn_costs_one_try(ledger: Ledger) -> None:
    mill = Mill(ledger)
    defer(mill)
    for crashes in (1, 2):
        claim = take(mill)
        assert claim is not None
        assert claim.crashes == crashes
        assert ledger.mark_in_progress(claim, now=mill.now)
        assert take(mill) is None, "while it lives, its lease holds"
        assert ledger.end_dead_leases(lambda owner: owner == mill.worker, now=mill.now) == [mill.worker]  # seen dead on its machine
        assert ledger.pending_segments(now=mill.now, limit=9) == []
    assert take(mill) is None, "its third reader died: the next claim quarantines it"
    (quarantined,) = ledger.quarantined()
    assert (quarantined.crashes, quarantined.outcome, quarantined.detail) == (3, Outcome.DIED, "its worker was gone when the lease ended")


def test_a_clean_stop_counts_nothing_and_it_waits_on(ledger: Ledger) -> None:
    mill = Mill(ledger)
    defer(mill)
    claim = take(mill)
    assert claim is not None
    ledger.mark_in_progress(claim, now=NOON)
    assert ledger.release_segment(claim.segment, mill.worker, now=NOON) == 1
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
    trace = ledger.trace(new.url)
    assert trace is not None
    assert trace.crashes == 1


def test_a_page_fetched_anew_starts_anew(ledger: Ledger) -> None:
    mill = Mill(ledger)
    defer(mill)
    claim = take(mill)
    assert claim is not None
    ledger.report_crash(claim, "read", REASON, now=NOON, final=True)
    ledger.retry(now=NOON, urls=[claim.url], refetch=True)
    mill.lease()
    (fresh,) = mill.claim(mill.save())
    assert (fresh.id, fresh.crashes) == (claim.id, 0)


def test_whoever_killed_its_reader_waits_too_but_not_behind_those_that_eat_time(ledger: Ledger) -> None:
    mill = Mill(ledger)
    first, second = mill.fetch(*links(2))
    ledger.deferred.put(first, REASON, now=NOON)
    ledger.report_crash(second, "read", "signal 11 (SIGSEGV)", now=NOON)
    assert ledger.deferred.claim("w", seconds=60, now=after(seconds=9), heavy=False) is None
    mill.now = after(seconds=10)
    assert mill.claim(first.segment) == []
    assert ledger.pending_segments(now=mill.now, limit=9) == []
    claimed = [ledger.deferred.claim("w", seconds=60, now=mill.now, heavy=heavy) for heavy in (False, False, True)]
    assert [claim.id if claim else None for claim in claimed] == [second.id, None, first.id]


def test_alone_when_nothing_else_could_go_on(ledger: Ledger) -> None:
    mill = Mill(ledger)
    assert ledger.deferred.is_only_work_left(now=NOON)
    defer(mill)
    assert ledger.deferred.is_only_work_left(now=NOON)
    ledger.add(links(9), now=NOON)
    assert not ledger.deferred.is_only_work_left(now=NOON), "pages are due"
    rows = mill.lease()
    assert not ledger.deferred.is_only_work_left(now=NOON), "pages are being fetched"
    segment = mill.save(rows)
    assert not ledger.deferred.is_only_work_left(now=NOON), "pages wait for a worker"
    mill.store(*(good(claim) for claim in mill.claim(segment)))
    assert ledger.deferred.is_only_work_left(now=NOON)
    ledger.add(links(20), now=NOON)
    ledger.lease_host(HOST, mill.crawler, seconds=60, now=NOON)
    ledger.release_host(HOST, mill.crawler, now=NOON, next_fetch_at=after(hours=1))
    assert ledger.deferred.is_only_work_left(now=NOON), "what is due on a host that sleeps cannot go on"
    assert not ledger.deferred.is_only_work_left(now=after(hours=2))
