"""The crawler's side: links, host leases, and how a leased row is released."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta

import pytest
from rows import HOST, NOON, SEGMENT, SITE, SOURCE, Mill, after, ended, links, saved

from newsmill.exceptions import UrlError
from newsmill.model import Hint, Kind, LeasedUrl, Link, Outcome, OutcomeRecord, Segment, State
from newsmill.storage.ledger import Ended, Fetched, Ledger, Postponed, Waiting

# ---- links


def test_an_address_has_one_row_in_any_spelling(ledger: Ledger) -> None:
    spellings = [f"{SITE}/a", f"http://{HOST}/a", f"{SITE}/a?utm_source=x", f"{SITE}:443/a#top", f"{SITE}/b"]
    added = ledger.links.add([Link(url, found_by="feed") for url in spellings], now=NOON)
    assert (added.new, added.known, added.bad) == (2, 0, 0)
    assert ledger.links.add([Link(url, found_by="feed") for url in spellings], now=NOON).known == 2
    assert ledger.progress.count().pages == 2


def test_the_hint_comes_with_the_work(ledger: Ledger) -> None:
    hint = Hint(title="T", authors=("A",), published_at=NOON, modified_at=after(days=1), language="en", tags=("x",))
    ledger.links.add([Link(f"{SITE}/a", hint=hint), Link(f"{SITE}/b")], now=NOON)
    assert [row.hint for row in sorted(Mill(ledger).lease(), key=lambda row: row.url)] == [hint, Hint()]


def test_the_hint_of_a_later_listing_completes_that_of_a_page_which_waits(ledger: Ledger) -> None:
    """The homepage and the sitemap are read first; the feed of the same minute has date, authors and tags."""
    ledger.links.add(
        [
            Link(f"{SITE}/a", found_by="homepage", found_on=SITE),
            Link(f"{SITE}/b", found_by="homepage", found_on=SITE, hint=Hint(title="Shown")),
        ],
        now=NOON,
    )
    ledger.links.add([Link(f"{SITE}/b", found_by="sitemap", found_on=SITE, hint=Hint(modified_at=NOON))], now=NOON)
    told = Hint(title="Told", authors=("A", "B"), published_at=after(days=-1), tags=("x",))
    ledger.links.add([Link(f"{SITE}/{name}", found_by="feed", found_on=SITE, hint=told) for name in "ab"], now=NOON)
    ledger.links.add([Link(f"{SITE}/{name}", found_by="homepage", found_on=SITE) for name in "ab"], now=NOON)
    leased = sorted(Mill(ledger).lease(), key=lambda row: row.url)
    assert [row.hint for row in leased] == [told, replace(told, title="Shown", modified_at=NOON)]
    ledger.links.add(
        [Link(f"{SITE}/a", found_by="feed", found_on=SITE, hint=Hint(language="de"))], now=NOON
    )  # the fetched page keeps what its fetch has
    found = ledger.traces.get(f"{SITE}/a")
    assert found is not None and found.state is State.FETCHING


def test_a_bad_address_has_a_row_only_when_somebody_waits_for_an_answer(ledger: Ledger) -> None:
    given = [Link("ftp://x/", found_by="manual"), Link("http://[::1", found_by="api"), Link("mailto:a@b", found_by="feed")]
    added = ledger.links.add(given, now=NOON)
    assert (added.new, added.bad) == (2, 1)
    found = ledger.traces.get("ftp://x/")
    assert found is not None and (found.state, found.outcome) == (State.FAILED, Outcome.BAD_URL)
    assert found.detail
    with pytest.raises(UrlError):
        ledger.traces.get("mailto:a@b")
    assert ledger.traces.get(f"{SITE}/never-seen") is None
    assert ledger.progress.count().outcomes == {Outcome.BAD_URL: 2}
    assert ledger.links.add(given, now=NOON, again=True).again == 0


def test_a_known_page_is_left_alone_unless_asked_again(ledger: Ledger) -> None:
    mill = Mill(ledger)
    ledger.links.add(links(2), now=NOON)
    first, second = mill.lease()
    ledger.url_endings.end([ended(first, Outcome.GONE), ended(second, Outcome.TIMEOUT)], now=NOON)
    assert ledger.links.add(links(2), now=NOON).again == 0
    assert ledger.progress.count().states == {State.DROPPED: 1, State.FAILED: 1, State.DUE: 0}
    assert ledger.links.add(links(2), now=after(days=1), again=True).again == 2
    assert ledger.progress.count().states == {State.DUE: 2}
    assert ledger.counters.list_outcomes() == []  # a page counts where it ended last, and now it has not ended
    assert ledger.links.add(links(2), now=after(days=1), again=True).again == 0  # already due


def test_many_links_at_once(ledger: Ledger) -> None:
    def stream() -> Iterator[Link]:
        yield from links(1_600)

    assert ledger.links.add(stream(), now=NOON).new == 1_600
    assert ledger.links.add(stream(), now=NOON, again=True).known == 1_600


# ---- hosts


def test_a_host_has_one_holder(ledger: Ledger) -> None:
    ledger.links.add([*links(1), *links(1, "https://b.example")], now=NOON)
    first = ledger.hosts.lease("one", limit=1, seconds=60, now=NOON)
    second = ledger.hosts.lease("two", limit=9, seconds=60, now=NOON)
    assert sorted(lease.host for lease in first + second) == ["b.example", HOST]
    assert ledger.hosts.lease("three", limit=9, seconds=60, now=NOON) == []
    late = ledger.hosts.lease("three", limit=9, seconds=60, now=after(seconds=61))
    assert [lease.fence for lease in late] == [2, 2]


def test_renewing_keeps_the_host_and_its_rows(ledger: Ledger) -> None:
    ledger.links.add(links(1), now=NOON)
    mill = Mill(ledger)
    mill.lease()
    assert ledger.hosts.renew(mill.crawler, [HOST, "other.example"], seconds=60, now=after(seconds=50)) == {HOST}
    assert ledger.url_leases.expire(now=after(seconds=100)) == 0
    assert ledger.hosts.renew("somebody", [HOST], seconds=60, now=after(seconds=50)) == set()
    assert ledger.hosts.renew(mill.crawler, [HOST], seconds=60, now=after(seconds=111)) == set()  # too late: it may be another's by now
    assert ledger.hosts.renew(mill.crawler, [], seconds=60, now=NOON) == set()
    assert ledger.url_leases.expire(now=after(seconds=111)) == 1


def test_politeness_survives_the_holder(ledger: Ledger) -> None:
    ledger.links.add(links(1), now=NOON)
    ledger.hosts.lease("one", limit=1, seconds=60, now=NOON)
    assert ledger.hosts.save_robots(HOST, "one", status=200, body=b"User-agent: *\n\xff", crawl_delay=2.5, now=NOON)
    assert ledger.hosts.pause(HOST, "one", until=after(seconds=90), failures=3, now=NOON)
    assert not ledger.hosts.pause(HOST, "two", until=None, failures=0, now=NOON)
    assert ledger.hosts.lease("two", limit=1, seconds=60, now=after(seconds=61)) == []  # the lease is over, the pause is not
    (lease,) = ledger.hosts.lease("two", limit=1, seconds=60, now=after(seconds=90))
    assert (lease.failures, lease.next_fetch_at) == (3, after(seconds=90))
    assert (lease.robots_status, lease.robots_body, lease.crawl_delay, lease.robots_fetched_at) == (200, b"User-agent: *\n\xff", 2.5, NOON)
    assert not ledger.hosts.release(HOST, "one", now=after(seconds=90))
    assert ledger.hosts.release(HOST, "two", now=after(seconds=91), next_fetch_at=after(seconds=99), failures=0)
    assert ledger.hosts.lease("three", limit=1, seconds=60, now=after(seconds=98)) == []
    (lease,) = ledger.hosts.lease("three", limit=1, seconds=60, now=after(seconds=99))
    assert lease.failures == 0
    assert ledger.hosts.release(HOST, "three", now=after(seconds=100))


def test_hosts_without_due_work_are_not_leased_and_the_longest_unserved_comes_first(ledger: Ledger) -> None:
    sites = [f"https://h{number}.example" for number in range(4)]
    for site in sites:
        ledger.links.add(links(2, site), now=NOON)
    served = []
    for turn in range(8):
        (lease,) = ledger.hosts.lease("one", limit=1, seconds=60, now=after(seconds=turn))
        (row,) = ledger.url_leases.lease(lease.host, "one", limit=1, seconds=60, now=after(seconds=turn))
        ledger.url_endings.end([ended(row, Outcome.GONE)], now=NOON)
        ledger.hosts.release(lease.host, "one", now=NOON)
        served.append(lease.host)
    assert served == [f"h{number}.example" for number in range(4)] * 2
    assert ledger.hosts.lease("one", limit=1, seconds=60, now=after(seconds=9)) == []


# ---- rows


def test_rows_are_leased_only_by_the_host_s_holder(ledger: Ledger) -> None:
    ledger.links.add(links(3), now=NOON)
    ledger.hosts.lease("one", limit=1, seconds=60, now=NOON)
    assert ledger.url_leases.lease(HOST, "two", limit=9, seconds=60, now=NOON) == []
    assert ledger.url_leases.lease(HOST, "one", limit=9, seconds=60, now=after(seconds=61)) == []
    assert len(ledger.url_leases.lease(HOST, "one", limit=2, seconds=60, now=NOON)) == 2
    assert len(ledger.url_leases.lease(HOST, "one", limit=2, seconds=60, now=NOON)) == 1
    assert ledger.url_leases.lease(HOST, "one", limit=2, seconds=60, now=NOON) == []


def test_one_commit_saves_segment_and_rows(ledger: Ledger) -> None:
    ledger.links.add(links(2), now=NOON)
    rows = Mill(ledger).lease()
    segment = Segment(SEGMENT, 2, 4321, NOON)
    assert ledger.url_leases.save_segment(segment, [saved(row, 7) for row in rows], now=after(seconds=1)) == 2
    assert ledger.segments.get(SEGMENT) == segment
    assert ledger.segments.get("20261125T120000Z-ffffffff") is None
    assert ledger.segments.filter_known([SEGMENT, "x"]) == {SEGMENT}
    found = ledger.traces.get(rows[0].url)
    assert found is not None
    assert (found.state, found.segment, found.offset, found.status) == (State.FETCHED, SEGMENT, 7, 200)
    assert (found.final_url, found.fetched_at) == (rows[0].url, after(seconds=1))
    # once more, after an answer that got lost: nothing is double
    assert ledger.url_leases.save_segment(segment, [saved(row, 7) for row in rows], now=NOON) == 0
    assert ledger.url_leases.save_segment(segment, [], now=NOON) == 0


def test_validators_come_back_with_the_next_lease(ledger: Ledger) -> None:
    mill = Mill(ledger)
    ledger.links.add(links(1), now=NOON)
    (row,) = mill.lease()
    assert row.etag is None
    ledger.url_endings.end(
        [Ended(row.id, row.fence, OutcomeRecord(Outcome.LISTED), etag='W/"1"', last_modified="Wed, 25 Nov 2026 12:00:00 GMT")], now=NOON
    )
    ledger.links.add(links(1), now=NOON, again=True)
    (row,) = mill.lease()
    assert (row.etag, row.last_modified) == ('W/"1"', "Wed, 25 Nov 2026 12:00:00 GMT")


@pytest.mark.parametrize("outcome", [Outcome.TIMEOUT, Outcome.GONE, Outcome.SSRF_BLOCKED, Outcome.NOT_MODIFIED])
def test_an_ending_is_counted_with_its_source_kind_and_day(ledger: Ledger, outcome: Outcome) -> None:
    ledger.links.add(links(3), now=NOON)
    rows = Mill(ledger).lease()
    assert ledger.url_endings.end([ended(row, outcome, "why") for row in rows], now=after(hours=13)) == 3
    (count,) = ledger.counters.list_outcomes()
    assert (str(count.day), count.source, count.kind, count.outcome, count.n) == ("2026-11-26", "paper", Kind.PAGE, outcome, 3)
    assert ledger.counters.list_outcomes(since=after(days=2).date()) == ledger.counters.list_outcomes(source="other") == []
    found = ledger.traces.get(rows[0].url)
    assert found is not None and (found.outcome, found.detail, found.ended_at) == (outcome, "why", after(hours=13))
    assert [trace.id for trace in ledger.traces.list_all(outcome=outcome, source="paper")] == sorted(row.id for row in rows)
    assert ledger.url_endings.end([], now=NOON) == 0


def test_postponing_counts_the_attempt_or_not(ledger: Ledger) -> None:
    ledger.links.add(links(2), now=NOON)
    mill = Mill(ledger)
    first, second = mill.lease()
    later = after(seconds=30)
    assert (
        ledger.url_endings.postpone(
            [Postponed(first.id, first.fence, later, "503"), Postponed(second.id, second.fence, later, None, False)], now=NOON
        )
        == 2
    )
    assert mill.lease() == []
    mill.now = later
    assert [(row.attempts, row.fence) for row in sorted(mill.lease(), key=lambda row: row.id)] == [(1, 2), (0, 2)]
    assert ledger.progress.count().pending == 2


def test_what_can_go_on_soon_and_what_later(ledger: Ledger) -> None:
    ledger.links.add([*links(3), *links(2, "https://slow.example", source="slow")], now=NOON)
    assert ledger.progress.count_waiting(until=NOON) == Waiting(5, 0, None)
    mill = Mill(ledger)
    first, *_ = mill.lease()
    ledger.url_endings.postpone([Postponed(first.id, first.fence, after(minutes=5))], now=NOON)
    ledger.hosts.pause("slow.example", mill.crawler, until=after(minutes=2), failures=1, now=NOON)
    assert ledger.progress.count_waiting(until=after(minutes=1)) == Waiting(2, 3, after(minutes=2))
    assert ledger.progress.count_waiting("paper", until=after(minutes=1)) == Waiting(2, 1, after(minutes=5))
    assert ledger.progress.count_waiting("slow", until=after(minutes=2)) == Waiting(2, 0, None)
    (claim, _) = mill.claim(mill.save([row for row in mill.leased_rows if row.id != first.id]))
    ledger.claims.report_crash(claim, "read", "died", now=NOON)
    assert ledger.progress.count_waiting("paper", until=NOON) == Waiting(1, 2, after(seconds=10))


def test_a_clean_stop_gives_rows_back_uncounted(ledger: Ledger) -> None:
    ledger.links.add(links(2), now=NOON)
    mill = Mill(ledger)
    rows = mill.lease()
    assert ledger.url_leases.release(rows, now=NOON) == 2
    assert [row.attempts for row in mill.lease()] == [0, 0]


def test_a_late_crawler_changes_nothing(ledger: Ledger) -> None:
    """Its lease ended, another has the rows: every way to give them back meets a higher fence."""
    ledger.links.add(links(4), now=NOON)
    late, mill = Mill(ledger), Mill(ledger, crawler="crawler-2", now=after(seconds=61))
    old = late.lease()
    assert ledger.url_leases.expire(now=mill.now) == 4
    before = [ledger.traces.get(row.url) for row in old]
    new: list[LeasedUrl] = []
    new: list[LeasedUrl] = []
    for _ in range(2):  # first while the rows are due again, then while another holds them
        if new:  # due again, they wait for just that page: see the test of spool recovery
            assert ledger.url_leases.save_segment(Segment(SEGMENT, 4, 1, NOON), [saved(row, 0) for row in old], now=mill.now) == 0
        assert ledger.url_endings.end([ended(row, Outcome.GONE) for row in old], now=mill.now) == 0
        assert ledger.url_endings.postpone([Postponed(row.id, row.fence, mill.now) for row in old], now=mill.now) == 0
        assert ledger.url_leases.release(old, now=mill.now) == 0
        assert [ledger.traces.get(row.url) for row in old] == before
        new = new or mill.lease()
        before = [ledger.traces.get(row.url) for row in old]
    assert ledger.counters.list_outcomes() == []
    assert ledger.url_endings.end([ended(row, Outcome.GONE) for row in new], now=mill.now) == 4


def test_a_late_row_beside_good_ones_is_left_out_alone(ledger: Ledger) -> None:
    ledger.links.add(links(3), now=NOON)
    mill = Mill(ledger)
    first, *others = mill.lease()
    ledger.url_leases.release([first], now=NOON)
    mill.lease()
    assert ledger.url_leases.save_segment(Segment(SEGMENT, 3, 1, NOON), [saved(row, 0) for row in [first, *others]], now=NOON) == 2


def test_expired_leases_are_due_at_once(ledger: Ledger) -> None:
    ledger.links.add(links(2), now=NOON)
    mill = Mill(ledger)
    mill.lease()
    assert ledger.url_leases.expire(now=after(seconds=59)) == 0
    assert ledger.url_leases.expire(now=after(seconds=60)) == 2
    mill.now = NOON + timedelta(seconds=60)
    assert len(mill.lease()) == 2


def test_listings_end_and_wait_for_the_tick(ledger: Ledger) -> None:
    ledger.sources.put(SOURCE, now=NOON)
    mill = Mill(ledger)
    rows = mill.lease()
    assert sorted(row.kind for row in rows) == [Kind.FEED, Kind.HOMEPAGE]
    ledger.url_endings.end([ended(row, Outcome.LISTED) for row in rows], now=NOON)
    assert mill.lease() == []
    assert ledger.progress.count("paper").listings == {State.DONE: 2}
    assert ledger.progress.count("paper").pending == 0


def test_an_heir_saves_what_nobody_has_taken(ledger: Ledger) -> None:
    """A dead crawler's rows, still leased or due again, are saved under its fences; leased, saved and ended ones are left alone."""
    mill = Mill(ledger)
    ledger.links.add(links(5), now=NOON)
    leased, due, claimed, saved, ended = mill.lease()
    ledger.url_endings.end([Ended(ended.id, ended.fence, OutcomeRecord(Outcome.GONE))], now=NOON)
    ledger.url_leases.save_segment(Segment(SEGMENT, 1, 100, NOON), [Fetched(saved.id, saved.fence, 0, saved.url, 200)], now=NOON)
    ledger.url_leases.release([due, claimed], now=NOON)
    late = ledger.url_leases.lease(HOST, mill.crawler, limit=5, seconds=60, now=NOON)
    ledger.url_leases.release([leased_rows for leased_rows in late if leased_rows.id == due.id], now=NOON)
    again = next(leased_rows for leased_rows in late if leased_rows.id == due.id)
    rows = [(leased_rows.id, leased_rows.fence) for leased_rows in (leased, again, claimed, saved, ended, due)]
    assert ledger.url_leases.find_awaited(rows) == {leased.id, due.id}
    successors = "20261125T120000Z-00000002"
    fetched = [Fetched(id_, fence, n, f"{SITE}/final", 200) for n, (id_, fence) in enumerate(rows)]
    assert ledger.url_leases.save_segment(Segment(successors, 6, 100, NOON), fetched, now=after(seconds=1)) == 2
    states = {trace.id: (trace.state, trace.segment) for trace in ledger.traces.list_all()}
    assert states[leased.id] == states[due.id] == (State.FETCHED, successors)
    assert states[claimed.id] == (State.FETCHING, None)
    assert states[saved.id] == (State.FETCHED, SEGMENT)
    assert states[ended.id][0] is State.DROPPED
