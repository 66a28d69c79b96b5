"""The worker's side: claims, marks and crashes, and the commit that stores."""

from __future__ import annotations

from dataclasses import replace

import pytest
from rows import HOST, NOON, SITE, Mill, after, bad, document_of, ended, good, links
from sqlalchemy import Engine, text

from newsmill.exceptions import SlowCommitError
from newsmill.model import Outcome, State
from newsmill.storage.database import reading
from newsmill.storage.documents import Documents
from newsmill.storage.ledger import Ledger
from newsmill.text import urls


def state_of(ledger: Ledger, url: str) -> tuple[State, Outcome | None]:
    found = ledger.traces.get(url)
    assert found is not None
    return found.state, found.outcome


def counted(ledger: Ledger) -> dict[Outcome, int]:
    return {count.outcome: count.n for count in ledger.counters.list_outcomes()}


# ---- claims


def test_a_segment_is_claimed_once_and_in_page_order(ledger: Ledger) -> None:
    mill = Mill(ledger)
    ledger.links.add(links(5), now=NOON)
    rows = mill.lease()
    segment = mill.save(rows[::-1])
    claims = mill.claim(segment)
    assert [claim.offset for claim in claims] == [0, 1, 2, 3, 4]
    assert [claim.url for claim in claims] == [row.url for row in rows[::-1]]
    assert {claim.first_seen_at for claim in claims} == {NOON}
    assert mill.claim(segment) == []
    assert ledger.claims.claim("20261125T120000Z-ffffffff", "x", seconds=1, now=NOON) == []


def test_pending_segments_are_those_a_worker_could_claim(ledger: Ledger) -> None:
    mill = Mill(ledger)
    ledger.links.add(links(4), now=NOON)
    rows = mill.lease()
    first, second = mill.save(rows[:2]), mill.save(rows[2:])
    assert ledger.segments.list_pending(now=NOON, limit=10) == [first, second]
    assert ledger.segments.list_pending(now=NOON, limit=1) == [first]
    claims = mill.claim(first)
    assert ledger.segments.list_pending(now=NOON, limit=10) == [second]
    mill.store(*(good(claim) for claim in claims))
    assert ledger.segments.list_pending(now=after(seconds=61), limit=10) == [second]  # a done page is not pending, however late
    mill.claim(second)
    assert ledger.segments.list_pending(now=after(seconds=59), limit=10) == []
    assert ledger.segments.list_pending(now=after(seconds=61), limit=10) == [second]


def test_a_dead_worker_s_rows_are_claimed_again_and_it_comes_too_late(ledger: Ledger, documents: Documents) -> None:
    mill = Mill(ledger)
    old = mill.fetch(*links(2))
    mill.now, mill.worker = after(seconds=61), "worker-2"
    new = mill.claim(old[0].segment)
    assert [claim.fence for claim in new] == [claim.fence + 1 for claim in old]
    assert not ledger.claims.mark_in_progress(old[0], now=mill.now)
    assert not ledger.claims.report_crash(old[0], "read", "died", now=mill.now)
    assert ledger.results.store([good(claim) for claim in old], now=mill.now, owner="worker-1", seconds=60) == {}
    assert documents.count() == 0
    assert counted(ledger) == {}
    assert mill.store(*(good(claim) for claim in new)) == {Outcome.STORED: 2}
    assert mill.store(*(good(claim) for claim in new)) == {}  # the same call again
    assert counted(ledger) == {Outcome.STORED: 2}
    assert {document.revision for document in documents.iterate()} == {1}


def test_renewal_and_each_commit_keep_the_rest_of_the_segment(ledger: Ledger) -> None:
    mill = Mill(ledger)
    claims = mill.fetch(*links(3))
    segment = claims[0].segment
    mill.now = after(seconds=50)
    assert ledger.claims.renew(segment, mill.worker, seconds=60, now=mill.now) == 3
    mill.now = after(seconds=100)
    mill.store(good(claims[0]))
    assert ledger.claims.claim(segment, "other", seconds=60, now=after(seconds=159)) == []
    assert ledger.claims.renew(segment, "other", seconds=60, now=after(seconds=159)) == 0
    assert len(ledger.claims.claim(segment, "other", seconds=60, now=after(seconds=160))) == 2


def test_a_clean_stop_gives_the_rest_back(ledger: Ledger) -> None:
    mill = Mill(ledger)
    claims = mill.fetch(*links(2))
    assert ledger.claims.mark_in_progress(claims[1], now=NOON)
    mill.store(good(claims[0]))
    assert ledger.claims.release(claims[0].segment, "other", now=NOON) == 0
    assert ledger.claims.release(claims[0].segment, mill.worker, now=NOON) == 1
    assert [claim.crashes for claim in mill.claim(claims[0].segment)] == [0]


# ---- crashes


def test_a_mark_found_again_is_one_death_of_that_page_only(ledger: Ledger) -> None:
    mill = Mill(ledger)
    claims = mill.fetch(*links(3))
    guilty = claims[1]
    assert ledger.claims.mark_in_progress(guilty, now=mill.now)
    mill.now = after(seconds=61)
    claims = mill.claim(guilty.segment)
    assert {claim.id: claim.crashes for claim in claims}[guilty.id] == sum(claim.crashes for claim in claims) == 1, (
        "at once, with the others"
    )
    assert ledger.claims.mark_in_progress(next(claim for claim in claims if claim.id == guilty.id), now=mill.now)
    mill.now = after(seconds=122)
    assert guilty.id not in {claim.id for claim in mill.claim(guilty.segment)}, "the second time alone"
    claim = mill.take_aside()
    assert (claim.id, claim.crashes) == (guilty.id, 2)
    assert ledger.claims.mark_in_progress(claim, now=mill.now, stage="extract")
    mill.now = after(seconds=183)
    assert mill.claim_deferred() is None
    (quarantined,) = ledger.traces.list_quarantined()
    assert (quarantined.id, quarantined.state, quarantined.outcome, quarantined.stage, quarantined.crashes) == (
        guilty.id,
        State.QUARANTINED,
        Outcome.DIED,
        "extract",
        3,
    )
    assert counted(ledger) == {Outcome.DIED: 1}


def test_the_mark_goes_with_the_outcome(ledger: Ledger, engine: Engine) -> None:
    mill = Mill(ledger)
    (claim,) = mill.fetch(*links(1))
    ledger.claims.mark_in_progress(claim, now=NOON)
    mill.store(bad(claim, Outcome.NO_TEXT))
    with reading(engine) as conn:
        assert (
            conn.execute(
                text("SELECT count(*) FROM ledger WHERE stage_in_progress IS NOT NULL OR owner IS NOT NULL OR lease_until IS NOT NULL")
            ).scalar()
            == 0
        )


@pytest.mark.parametrize(("reason", "outcome"), [("died -11", Outcome.DIED), ("deadline: 30 s", Outcome.DEADLINE)])
def test_three_reported_deaths_quarantine_with_time_between(ledger: Ledger, reason: str, outcome: Outcome) -> None:
    mill = Mill(ledger)
    (claim,) = mill.fetch(*links(1))
    for wait in (10, 60):
        assert ledger.claims.mark_in_progress(claim, now=mill.now)
        assert not ledger.claims.report_crash(claim, "read", reason, now=mill.now)
        assert ledger.progress.count().states == {State.FETCHED: 1, State.DUE: 0}
        mill.now = mill.now + (after(seconds=wait - 1) - NOON)
        assert mill.claim(claim.segment) == []
        assert ledger.segments.list_pending(now=mill.now, limit=9) == []
        assert ledger.deferred.list_waiting(now=mill.now) == []
        mill.now = mill.now + (after(seconds=1) - NOON)
        assert mill.claim(claim.segment) == [], "its segment's others need not wait for it"
        claim = mill.take_aside()
    assert claim.crashes == 2
    assert ledger.claims.report_crash(claim, "read", reason, now=mill.now)
    (quarantined,) = ledger.traces.list_quarantined()
    assert (quarantined.outcome, quarantined.stage, quarantined.detail, quarantined.crashes) == (outcome, "read", reason, 3)
    assert counted(ledger) == {outcome: 1}
    assert mill.claim(claim.segment) == []


def test_quarantine_is_left_by_hand_only(ledger: Ledger) -> None:
    mill = Mill(ledger)
    claims = mill.fetch(*links(2))
    for _ in range(3):
        for claim in claims:
            ledger.claims.report_crash(claim, "read", "died", now=mill.now)
        mill.now = mill.now + (after(minutes=2) - NOON)
        if not ledger.traces.list_quarantined():
            claims = [mill.take_aside() for _ in claims]
    first, second = (claim.url for claim in claims)
    assert len(ledger.traces.list_quarantined()) == 2
    assert len(ledger.traces.list_quarantined(limit=1)) == 1
    assert ledger.retries.discard([first, f"{SITE}/unknown", "nonsense"], now=mill.now) == 1
    assert state_of(ledger, first) == (State.DROPPED, Outcome.DISCARDED)
    assert ledger.retries.retry(now=mill.now, urls=[second]) == 1
    assert state_of(ledger, second) == (State.FETCHED, None)
    (claim,) = mill.claim(claims[0].segment)
    assert claim.crashes == 0
    assert counted(ledger) == {Outcome.DISCARDED: 1}
    assert ledger.traces.list_quarantined() == []


# ---- storing


def test_outcomes_of_a_mixed_batch(ledger: Ledger, documents: Documents) -> None:
    mill = Mill(ledger)
    a, b, c, d = mill.fetch(*links(4))
    mill.now = after(minutes=1) - (after(seconds=5) - NOON)
    result = mill.store(good(a), bad(b, Outcome.NOT_ARTICLE, "tag page"), bad(c, Outcome.ARCHIVE_DAMAGED, "cut"), bad(d, Outcome.TOO_DEEP))
    assert result == {Outcome.STORED: 1, Outcome.NOT_ARTICLE: 1, Outcome.ARCHIVE_DAMAGED: 1, Outcome.TOO_DEEP: 1} == counted(ledger)
    assert [state_of(ledger, claim.url)[0] for claim in (a, b, c, d)] == [State.DONE, State.DROPPED, State.FAILED, State.QUARANTINED]
    assert documents.count() == 1
    assert ledger.progress.count().states == {State.DONE: 1, State.DROPPED: 1, State.FAILED: 1, State.QUARANTINED: 1, State.DUE: 0}
    assert mill.store() == {}


def test_stored_without_a_document_is_a_bug(ledger: Ledger) -> None:
    mill = Mill(ledger)
    (claim,) = mill.fetch(*links(1))
    with pytest.raises(ValueError, match="without a document"):
        mill.store(bad(claim, Outcome.STORED))
    assert mill.store(good(claim)) == {Outcome.STORED: 1}


def again(mill: Mill, url: str, content: str) -> dict[Outcome, int]:
    """Fetch and store a URL once more."""
    mill.ledger.retries.retry(now=mill.now, urls=[url], refetch=True)
    mill.lease()
    (claim,) = mill.claim(mill.save())
    return mill.store(good(claim, document_of(url, content=content, first_seen_at=mill.now)))


def test_the_same_page_again_is_unchanged_or_a_revision(ledger: Ledger, documents: Documents) -> None:
    mill = Mill(ledger)
    (claim,) = mill.fetch(*links(1))
    mill.store(good(claim, document_of(claim.url, content="one")))
    mill.now = after(seconds=30)
    assert again(mill, claim.url, "one") == {Outcome.UNCHANGED: 1}
    assert documents.count(since=mill.now) == 0
    assert again(mill, claim.url, "two") == {Outcome.STORED: 1}
    (document,) = documents.iterate(since=mill.now)
    assert (document.revision, document.first_seen_at, document.content_hash) == (2, NOON, "two")
    assert counted(ledger) == {Outcome.STORED: 1}  # one page, one outcome, however often it was fetched


def test_a_second_address_is_a_duplicate(ledger: Ledger, documents: Documents) -> None:
    mill = Mill(ledger)
    first, second = mill.fetch(*links(2))
    mill.store(good(first))
    assert mill.store(good(second, document_of(second.url, canonical=first.url))) == {Outcome.DUPLICATE: 1}
    found = ledger.traces.get(second.url)
    assert found is not None
    assert (found.state, found.outcome, found.document_id) == (State.DROPPED, Outcome.DUPLICATE, urls.make_key(first.url))
    assert [document.url for document in documents.iterate()] == [first.url]


def test_two_strange_addresses_the_first_stays(ledger: Ledger, documents: Documents) -> None:
    mill = Mill(ledger)
    first, second = mill.fetch(*links(2))
    canonical = f"{SITE}/elsewhere"
    mill.store(good(first, document_of(first.url, canonical=canonical)))
    assert mill.store(good(second, document_of(second.url, canonical=canonical))) == {Outcome.DUPLICATE: 1}
    assert [document.url for document in documents.iterate()] == [first.url]


@pytest.mark.parametrize("together", [False, True])
def test_the_canonical_address_takes_the_document_over(ledger: Ledger, documents: Documents, together: bool) -> None:
    """Whether they come in one commit or a day apart: the counts say one stored, one duplicate."""
    mill = Mill(ledger)
    strange, home = mill.fetch(*links(2))
    results = good(strange, document_of(strange.url, canonical=home.url)), good(home)
    if together:
        assert mill.store(*results) == {Outcome.STORED: 1, Outcome.DUPLICATE: 1}
    else:
        assert mill.store(results[0]) == {Outcome.STORED: 1}
        ledger.claims.renew(home.segment, mill.worker, seconds=100_000, now=mill.now)
        mill.now = after(hours=13)
        assert mill.store(results[1]) == {Outcome.STORED: 1}
    assert [document.url for document in documents.iterate()] == [home.url]
    assert state_of(ledger, strange.url) == (State.DROPPED, Outcome.DUPLICATE)
    assert state_of(ledger, home.url)[0] == State.DONE
    assert ledger.progress.count().outcomes == {Outcome.STORED: 1, Outcome.DUPLICATE: 1}
    days = sorted((str(count.day), count.outcome) for count in ledger.counters.list_outcomes())
    assert days == [("2026-11-25", Outcome.DUPLICATE), ("2026-11-25" if together else "2026-11-26", Outcome.STORED)]


def test_a_displaced_address_being_fetched_again_finds_out_itself(ledger: Ledger, documents: Documents) -> None:
    mill = Mill(ledger)
    strange, home = mill.fetch(*links(2))
    mill.store(good(strange, document_of(strange.url, canonical=home.url)))
    ledger.retries.retry(now=NOON, urls=[strange.url], refetch=True)
    (row,) = mill.lease(HOST)
    mill.store(good(home))
    assert state_of(ledger, strange.url) == (State.FETCHING, None)
    (claim,) = mill.claim(mill.save([row]))
    assert mill.store(good(claim, document_of(strange.url, canonical=home.url))) == {Outcome.DUPLICATE: 1}
    assert documents.count() == 1


# ---- trying again


def test_a_page_to_be_fetched_again_ends_nothing(ledger: Ledger, documents: Documents) -> None:
    """It is due later, one attempt on, and counts nowhere; the fetch that follows keeps the count, and what comes of it ends the row."""
    mill = Mill(ledger)
    first, second = mill.fetch(*links(2))
    assert (first.attempts, second.attempts) == (0, 0)
    later = replace(bad(first, Outcome.BLOCKED, "a wall"), retry_at=after(minutes=1))
    assert mill.store(later, good(second)) == {Outcome.STORED: 1}
    assert mill.store(later) == {}  # late, and without the claim
    trace = ledger.traces.get(first.url)
    assert trace is not None
    assert (trace.state, trace.outcome, trace.attempts, trace.next_at) == (State.DUE, None, 1, after(minutes=1))
    assert trace.detail == "blocked: a wall"
    assert counted(ledger) == {Outcome.STORED: 1}
    assert mill.lease() == []
    mill.now = after(minutes=1)
    (leased_rows,) = mill.lease()
    (claim,) = mill.claim(mill.save())
    assert (leased_rows.attempts, claim.attempts) == (1, 1)
    mill.store(bad(claim, Outcome.BLOCKED, "a wall"))
    assert state_of(ledger, first.url) == (State.FAILED, Outcome.BLOCKED)
    assert counted(ledger) == {Outcome.STORED: 1, Outcome.BLOCKED: 1}
    assert ledger.retries.retry(outcome=Outcome.BLOCKED, now=mill.now) == 1  # its archived page is the wall's: it is fetched again
    assert [row.attempts for row in mill.lease()] == [0]
    assert documents.count() == 1


def test_reading_again_needs_no_network(ledger: Ledger) -> None:
    mill = Mill(ledger)
    a, b = mill.fetch(*links(2))
    mill.store(bad(a, Outcome.NO_TEXT), bad(b, Outcome.ARCHIVE_DAMAGED))
    assert ledger.retries.retry(now=NOON, outcome=Outcome.NO_TEXT) == 1
    assert ledger.retries.retry(now=NOON, outcome=Outcome.ARCHIVE_DAMAGED) == 1
    assert state_of(ledger, a.url) == (State.FETCHED, None)
    assert state_of(ledger, b.url) == (State.DUE, None)
    assert ledger.segments.list_pending(now=NOON, limit=9) == [a.segment]
    assert counted(ledger) == {}
    assert ledger.retries.retry(now=NOON, outcome=Outcome.NO_TEXT) == 0


def test_a_page_to_be_read_again_says_so_until_it_ends(ledger: Ledger) -> None:
    mill = Mill(ledger)
    (claim,) = mill.fetch(*links(1))
    assert not claim.again
    mill.store(good(claim))
    assert ledger.retries.retry(now=mill.now, outcome=Outcome.STORED) == 1
    for _ in range(2):  # the first owner releases it
        (claim,) = mill.claim(claim.segment)
        assert claim.again
        ledger.claims.release(claim.segment, mill.worker, now=mill.now)
    (claim,) = mill.claim(claim.segment)
    mill.store(good(claim))
    trace = ledger.traces.get(claim.url)
    assert trace is not None and trace.stage is None


def test_retry_of_many_by_outcome_source_and_kind(ledger: Ledger) -> None:
    ledger.links.add([*links(600), *links(3, SITE + "/x", source="other")], now=NOON)
    ledger.url_endings.end([ended(row, Outcome.TIMEOUT) for row in Mill(ledger).lease(limit=1000)], now=NOON)
    assert ledger.retries.retry(now=NOON, outcome=Outcome.TIMEOUT, source="other") == 3
    assert ledger.retries.retry(now=NOON, outcome=Outcome.TIMEOUT) == 600
    assert ledger.progress.count().states == {State.DUE: 603}
    assert ledger.retries.retry(now=NOON, urls=["nonsense", f"{SITE}/1"]) == 0


# ---- commits that take too long


def test_a_commit_that_takes_too_long_is_taken_back(ledger: Ledger, documents: Documents, monkeypatch: pytest.MonkeyPatch) -> None:
    """One document alone may take longer than several together."""
    mill = Mill(ledger)
    one, two = mill.fetch(*links(2))
    monkeypatch.setattr("newsmill.storage.ledger.result_commits.MAX_COMMIT_SECONDS", -1.0)
    with pytest.raises(SlowCommitError, match="2 results; the limit is -1 s"):
        mill.store(good(one), good(two))
    assert documents.count() == 0 and state_of(ledger, one.url)[0] is State.PROCESSING
    mill.store(good(one))
    assert documents.count() == 1
    monkeypatch.setattr("newsmill.storage.ledger.result_commits.MAX_SINGLE_COMMIT_SECONDS", -1.0)
    with pytest.raises(SlowCommitError):
        mill.store(good(two))
    assert documents.count() == 1
