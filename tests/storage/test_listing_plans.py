"""Polls of listings: what the crawler records, when the scheduler has each listing polled again, and what stays open."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from copy import copy, deepcopy
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from rows import HOST, NOON, SITE, SOURCE, Mill, after, document_of
from sqlalchemy import Connection, Engine, delete, insert, select, update

from newsmill.model import Hint, Kind, Link, Outcome, OutcomeRecord, Source, State
from newsmill.storage import listing_plans
from newsmill.storage.database import connect, writing
from newsmill.storage.documents import to_row
from newsmill.storage.ledger import Ended, Ledger
from newsmill.storage.ledger.poll_plans import list_unplanned
from newsmill.storage.ledger.priority import RANK_NEW, RANK_RECENT
from newsmill.storage.listing_plans import count_permitted, plan_listings
from newsmill.storage.schema import documents, hosts, listing_schedules, sightings, source_patterns
from newsmill.storage.schema import ledger as rows

ADAPTIVE = replace(SOURCE, every=None)
FEED, HOME = f"{SITE}/rss", f"{SITE}/"


class Site:
    """A source whose listings are polled by hand."""

    def __init__(self, ledger: Ledger, engine: Engine, source: Source = ADAPTIVE) -> None:
        self.ledger, self.engine, self.source, self.mill = ledger, engine, source, Mill(ledger)
        ledger.sources.put(source, now=NOON)

    def id_of(self, url: str) -> int:
        trace = self.ledger.traces.get(url)
        assert trace is not None
        return trace.id

    def poll(self, minutes: float, pages: dict[str, list[int]], outcome: Outcome = Outcome.LISTED) -> set[str]:
        """Poll all due listings and return their URLs. `pages` has the articles of each, and `outcome` is that of those without."""
        now = after(minutes=minutes)
        (host,) = self.ledger.hosts.lease("me", limit=1, seconds=60, now=now) or (None,)
        if host is None:
            return set()
        found = self.ledger.url_leases.lease(HOST, "me", limit=99, seconds=60, now=now)
        for row in found:
            if row.kind is Kind.PAGE:
                continue
            shown = [Link(f"{SITE}/{number}", source="paper", found_by=row.kind.value) for number in pages.get(row.url, ())]
            self.ledger.links.add(shown, now=now, listing_id=row.id)
            ending = Outcome.LISTED if shown else outcome
            self.ledger.url_endings.end([Ended(row.id, row.fence, OutcomeRecord(ending))], now=now)
        self.ledger.url_leases.release([row for row in found if row.kind is Kind.PAGE], now=now)
        self.ledger.hosts.release(HOST, "me", now=now)
        return {row.url for row in found if row.kind is not Kind.PAGE}

    def plan(self, minutes: float) -> dict[str, int]:
        return plan_listings(self.engine, after(minutes=minutes), pass_seconds=3, polls_per_minute=3000)

    def next_polls(self) -> dict[str, tuple[timedelta | None, str | None]]:
        polled = self.ledger.poll_plans.list_polled("paper")
        return {one.url: (None if one.next_poll_at is None else one.next_poll_at - one.polled_at, one.reason) for one in polled}


@pytest.fixture
def site(ledger: Ledger, engine: Engine) -> Site:
    return Site(ledger, engine)


def test_each_listing_is_polled_at_its_own_time(site: Site) -> None:
    assert site.poll(0, {FEED: [1, 2, 3], HOME: [1, 2]}) == {FEED, HOME}
    assert site.plan(0) == {}
    planned = site.next_polls()
    assert all(wait is not None and timedelta(minutes=1) <= wait <= timedelta(days=1) for wait, _ in planned.values())
    assert site.poll(0.5, {}) == set(), "nothing is due before its time"
    soonest = min(wait for wait, _ in planned.values() if wait is not None)
    assert site.plan(soonest.total_seconds() / 60) != {}
    assert site.poll(soonest.total_seconds() / 60, {})


def test_a_source_with_freshness_is_planned_anew_by_it(site: Site) -> None:
    site.poll(0, {FEED: [1, 2, 3], HOME: [1, 2]})
    site.plan(0)
    usual, _ = site.next_polls()[FEED]
    site.ledger.sources.put(replace(ADAPTIVE, freshness=timedelta(minutes=30)), now=NOON)
    site.plan(0)
    later, _ = site.next_polls()[FEED]
    plan_listings(site.engine, NOON, pass_seconds=3, polls_per_minute=3000, freshness=timedelta(minutes=1))
    assert usual is not None and later is not None and later > 5 * usual, "the key of a source comes before the setting"
    assert site.next_polls()[FEED][0] == later


def test_a_failing_listing_is_polled_once_an_hour_and_then_once_a_day(site: Site) -> None:
    site.poll(0, {}, Outcome.HTTP_ERROR)
    site.plan(0)
    assert set(site.next_polls().values()) == {(timedelta(hours=1), "failing")}
    site.plan(60)
    with site.engine.begin() as conn:
        conn.execute(update(rows).values(failing_since=after(days=-2)))
    site.poll(60, {}, Outcome.HTTP_ERROR)
    site.plan(60)
    assert set(site.next_polls().values()) == {(timedelta(days=1), "failing")}


def test_a_source_with_fixed_times_keeps_them_and_leaves_out_what_fails(ledger: Ledger, engine: Engine) -> None:
    site = Site(ledger, engine, SOURCE)
    site.poll(0, {FEED: [1]})
    site.plan(0)
    assert set(site.next_polls().values()) == {(None, "fixed")}
    with engine.begin() as conn:
        conn.execute(update(listing_schedules).where(listing_schedules.c.ledger_id == site.id_of(FEED)).values(next_poll_at=after(hours=9)))
    ledger.sources.tick(now=after(minutes=15), next_tick=lambda source, at: at + timedelta(minutes=15))
    assert site.poll(15, {}) == {HOME}
    ledger.sources.make_listings_due("paper", now=after(minutes=16))
    assert site.poll(16, {}) == {HOME, FEED}, "an administrator's crawl reads all"


def test_the_listings_of_a_slow_host_leave_most_of_its_requests_to_articles(ledger: Ledger, engine: Engine) -> None:
    site = Site(ledger, engine, replace(ADAPTIVE, sections=tuple(f"{SITE}/section-{number}/" for number in range(18))))
    site.poll(0, {FEED: [1]})
    with engine.begin() as conn:
        conn.execute(update(hosts).values(crawl_delay=120.0))
    site.plan(0)
    polls = site.next_polls()
    assert {reason for _, reason in polls.values()} == {"budget"} and len(polls) == 20
    assert sum(3600 / wait.total_seconds() for wait, _ in polls.values() if wait is not None) <= 3600 / 120 / 10
    assert site.plan(1) == {}


def test_the_listings_that_wait_longest_are_planned_first(ledger: Ledger, engine: Engine) -> None:
    """By name, the sources at the end of the alphabet would wait for ever while more polls end than can be planned."""
    first, last = (Site(ledger, engine, replace(ADAPTIVE, name=name, homepage=f"https://{name}.example/", feeds=())) for name in "az")
    for site, minute in ((last, 0), (first, 1)):
        host = urlsplit(site.source.homepage or "").netloc
        for row in Mill(ledger, after(minutes=minute)).lease(host):
            ledger.url_endings.end([Ended(row.id, row.fence, OutcomeRecord(Outcome.LISTED))], now=after(minutes=minute))
    with engine.connect() as conn:
        assert [listing.source for listing in list_unplanned(conn, 1)] == ["z"]


@pytest.mark.parametrize(("max_seconds", "transactions"), [(60.0, 1), (1e-9, 5)])
def test_the_write_lock_is_given_up_between_sources(
    ledger: Ledger, engine: Engine, monkeypatch: pytest.MonkeyPatch, max_seconds: float, transactions: int
) -> None:
    """The first passes after a start compute the patterns of all sources."""
    for number in range(5):
        name = f"paper{number}"
        ledger.sources.put(replace(ADAPTIVE, name=name, homepage=f"https://{name}.example/", feeds=()), now=NOON)
        ledger.url_endings.end(
            [Ended(row.id, row.fence, OutcomeRecord(Outcome.LISTED)) for row in Mill(ledger).lease(f"{name}.example")], now=NOON
        )
    counts: list[int] = []

    @contextmanager
    def count_plans(engine: Engine) -> Iterator[Connection]:
        with writing(engine) as conn:
            before = len(list_unplanned(conn, 99))
            yield conn
            counts.append(before - len(list_unplanned(conn, 99)))

    monkeypatch.setattr(listing_plans, "MAX_TRANSACTION_SECONDS", max_seconds)
    monkeypatch.setattr(listing_plans, "writing", count_plans)
    plan_listings(engine, NOON, pass_seconds=3, polls_per_minute=3000)
    assert [count for count in counts if count] == [5 // transactions] * transactions


@pytest.mark.parametrize(("seconds", "per_minute"), [(3, 3000), (3, 1), (30, 1), (3, 7), (29.5, 100)])
def test_all_passes_together_keep_to_the_budget_of_the_crawler(seconds: float, per_minute: int) -> None:
    passes = [count_permitted(after(seconds=number * seconds), seconds, per_minute) for number in range(400)]
    assert abs(sum(passes) - 400 * seconds * per_minute / 60) <= 1 and max(passes) - min(passes) <= 1


def test_a_paused_source_has_no_planned_polls_and_is_planned_again_when_it_is_resumed(site: Site) -> None:
    site.poll(0, {FEED: [1]})
    site.plan(0)
    site.ledger.sources.set_enabled("paper", False, now=NOON)
    assert {wait for wait, _ in site.next_polls().values()} == {None} and site.plan(1440) == {}
    site.ledger.sources.set_enabled("paper", True, now=after(days=1))
    assert site.plan(1440) == {"paper": 2}


def test_a_plan_by_a_clock_that_was_ahead_costs_no_interval(site: Site) -> None:
    site.poll(0, {FEED: [1]})
    site.plan(0)
    assert site.plan(1) == {}
    with site.engine.begin() as conn:
        conn.execute(update(listing_schedules).values(planned_at=after(days=2), next_poll_at=after(days=3)))
    assert site.plan(1) == {"paper": 2}


@pytest.mark.parametrize("every", [None, timedelta(minutes=15)])
def test_a_poll_by_a_clock_that_was_ahead_costs_no_more_than_an_interval(ledger: Ledger, engine: Engine, every: timedelta | None) -> None:
    """The clock is right again before the scheduler plans the listing."""
    site = Site(ledger, engine, replace(SOURCE, every=every))
    site.poll(2 * 1440, {}, Outcome.HTTP_ERROR)
    with engine.begin() as conn:
        conn.execute(update(rows).values(failing_since=NOON))
    site.plan(1)
    assert {one.next_poll_at for one in ledger.poll_plans.list_polled("paper")} == {after(minutes=61)}


def test_a_part_of_an_index_that_a_wrong_clock_read_is_polled_when_it_changes(site: Site) -> None:
    part = Link(f"{SITE}/dated.xml", Kind.SITEMAP, "paper", "sitemap", hint=Hint(modified_at=after(minutes=5)))
    site.ledger.links.add([part], now=NOON)
    site.poll(2 * 1440, {})
    assert site.ledger.polls.select_changed([part], now=after(minutes=6)) == []
    assert site.ledger.clock_repair.adjust(now=after(minutes=1)) > timedelta(days=1)
    assert site.ledger.polls.select_changed([part], now=after(minutes=6)) == [part]


def test_a_host_pause_by_a_clock_that_was_ahead_is_no_pause_and_a_long_one_is_kept(site: Site) -> None:
    ledger = site.ledger
    (host,) = ledger.hosts.lease("me", limit=1, seconds=60, now=NOON)
    ledger.hosts.release(host.host, "me", now=NOON, next_fetch_at=after(days=30), failures=64)
    assert ledger.hosts.lease("me", limit=1, seconds=60, now=after(days=29)) == []
    with site.engine.begin() as conn:
        conn.execute(update(hosts).values(paused_at=after(days=31)))
    assert ledger.hosts.lease("me", limit=1, seconds=60, now=after(days=29))


def test_sightings_are_recorded_once_with_those_that_came_late(site: Site) -> None:
    site.poll(0, {FEED: [1], HOME: [1]})
    site.ledger.sources.make_listings_due("paper", now=after(minutes=5))
    site.poll(5, {FEED: [1, 2]})  # the homepage does not show it yet
    site.ledger.sources.make_listings_due("paper", now=after(minutes=10))
    site.poll(10, {FEED: [1, 2], HOME: [2]})
    names = {site.id_of(f"{SITE}/{number}"): number for number in (1, 2)} | {site.id_of(FEED): "feed", site.id_of(HOME): "home"}
    with site.engine.connect() as conn:
        found = {(names[row.page_id], names[row.listing_id]): (row.sighted_at, row.is_late) for row in conn.execute(select(sightings))}
    assert found == {
        (1, "feed"): (NOON, False),
        (1, "home"): (NOON, False),
        (2, "feed"): (after(minutes=5), False),
        (2, "home"): (after(minutes=10), True),
    }


def test_news_goes_before_the_first_import(site: Site) -> None:
    site.poll(0, {FEED: [1], HOME: [2, 3]})
    site.ledger.sources.make_listings_due("paper", now=after(minutes=5))
    site.poll(5, {FEED: [4, 1], HOME: [3]})
    with site.engine.connect() as conn:
        ranks = {row.url.rpartition("/")[2]: row.rank for row in conn.execute(select(rows.c.url, rows.c.rank).where(rows.c.kind == "page"))}
    assert ranks == {"1": RANK_RECENT, "2": RANK_RECENT, "3": RANK_RECENT, "4": RANK_NEW}


@pytest.mark.parametrize(
    ("outcome", "detail", "is_open"),
    [
        (Outcome.HTTP_ERROR, "HTTP 403", True),
        (Outcome.HTTP_ERROR, "HTTP 503", True),
        (Outcome.TIMEOUT, None, True),
        (Outcome.DNS, None, True),
        (Outcome.HTTP_ERROR, "HTTP 406", False),
        (Outcome.TOO_LARGE, None, False),
        (Outcome.GONE, "HTTP 410", False),
        (Outcome.NO_TEXT, None, False),
    ],
)
def test_a_page_that_failed_for_a_passing_reason_stays_open_while_it_is_listed(
    site: Site, outcome: Outcome, detail: str | None, is_open: bool
) -> None:
    site.poll(0, {FEED: [1]})
    site.ledger.hosts.lease("me", limit=1, seconds=60, now=NOON)
    (page,) = site.ledger.url_leases.lease(HOST, "me", limit=9, seconds=60, now=NOON)
    site.ledger.url_endings.end([Ended(page.id, page.fence, OutcomeRecord(outcome, detail))], now=NOON)
    site.ledger.hosts.release(HOST, "me", now=NOON)
    for hours, expected in ((1, False), (25, is_open)):
        site.ledger.sources.make_listings_due("paper", now=after(hours=hours))
        site.poll(60 * hours, {FEED: [1]})
        trace = site.ledger.traces.get(f"{SITE}/1")
        assert trace is not None
        assert (trace.state is State.DUE) == expected


@pytest.mark.parametrize("missing", [OutcomeRecord(Outcome.GONE, "HTTP 404"), OutcomeRecord(Outcome.SOFT_404, "the page says '404'")])
def test_a_page_that_is_listed_before_it_is_there_is_not_lost(site: Site, missing: OutcomeRecord) -> None:
    """It is tried again while a listing shows it, at ages that double, so that a dead link costs few requests."""
    expected = [0, 10, 20, 40, 80, 160, 320, 640, 1280, 2560]
    tries = []
    for minute in sorted({*expected, *(minute - 10 for minute in expected[1:]), 2870}):
        now = after(minutes=minute)
        site.ledger.sources.make_listings_due("paper", now=now)
        site.poll(minute, {FEED: [1]})
        site.ledger.hosts.lease("me", limit=1, seconds=60, now=now)
        for page in site.ledger.url_leases.lease(HOST, "me", limit=9, seconds=60, now=now):
            site.ledger.url_endings.end([Ended(page.id, page.fence, missing)], now=now)
            tries.append(minute)
        site.ledger.hosts.release(HOST, "me", now=now)
    assert tries == expected


def test_parts_of_an_index_are_polled_when_they_changed(site: Site) -> None:
    dated = Link(f"{SITE}/dated.xml", Kind.SITEMAP, "paper", "sitemap", hint=Hint(modified_at=after(days=-1)))
    undated = Link(f"{SITE}/undated.xml", Kind.SITEMAP, "paper", "sitemap")
    site.ledger.links.add([dated, undated], now=NOON)
    assert len(site.ledger.polls.select_changed([dated, undated], now=NOON)) == 2
    site.poll(0, {})
    assert site.ledger.polls.select_changed([dated, undated], now=after(minutes=5)) == []
    changed = replace(dated, hint=Hint(modified_at=after(minutes=3)))
    assert site.ledger.polls.select_changed([changed, undated], now=after(minutes=5)) == [changed]
    assert site.ledger.polls.select_changed([dated, undated], now=after(days=7)) == [undated], "it may have news since"
    news = Link(f"{SITE}/9", source="paper", found_by="sitemap", hint=Hint(published_at=after(minutes=4)))
    site.ledger.links.add([news], now=after(minutes=5), listing_id=site.id_of(undated.url))
    assert site.ledger.polls.select_changed([undated], now=after(minutes=6)) == [undated], "it had news"


@pytest.mark.parametrize(
    ("path", "hint", "is_again"),
    [
        ("/story", Hint(modified_at=after(days=-900)), False),
        ("/2019/05/story", Hint(), False),
        ("/story", Hint(modified_at=after(days=-3)), True),
        ("/story", Hint(), True),
    ],
)
def test_the_first_read_of_an_archive_is_no_news(site: Site, path: str, hint: Hint, is_again: bool) -> None:
    """An index without dates would have all its archives polled for a week. Pages without a date may be news."""
    part = Link(f"{SITE}/undated.xml", Kind.SITEMAP, "paper", "sitemap")
    site.ledger.links.add([part], now=NOON)
    archive = Link(f"{SITE}/2018/01/story", source="paper", found_by="sitemap", hint=Hint(modified_at=after(days=-2000)))
    for page in (archive, Link(f"{SITE}{path}", source="paper", found_by="sitemap", hint=hint)):
        site.ledger.links.add([page], now=NOON, listing_id=site.id_of(part.url))
    site.poll(0, {})
    assert site.ledger.polls.select_changed([part], now=after(minutes=5)) == ([part] if is_again else [])
    late = Link(f"{SITE}/2018/02/story", source="paper", found_by="sitemap")
    site.ledger.links.add([late], now=after(minutes=6), listing_id=site.id_of(part.url))
    assert site.ledger.polls.select_changed([part], now=after(minutes=7)) == [part], "it grows"


def store_articles(site: Site, published: dict[int, datetime]) -> None:
    """Store articles by the times of their publication, and forget the pattern of the source."""
    with site.engine.begin() as conn:
        for number, at in published.items():
            document = document_of(f"{SITE}/{number}", published_at=at, published_precision="minute", first_seen_at=max(at, NOON))
            conn.execute(insert(documents).values(**to_row(document), ledger_id=site.id_of(document.url), stored_at=NOON))
        conn.execute(delete(source_patterns))


def test_the_articles_of_the_import_do_not_say_which_listing_shows_news(site: Site) -> None:
    """The homepage shows older articles beside the new ones; the feed shows all new ones, and is cheaper."""
    old, new = list(range(100, 130)), list(range(25))
    for minute, count in ((0, 0), (30, 25)):
        site.ledger.sources.make_listings_due("paper", now=after(minutes=minute))
        site.poll(minute, {FEED: new[:count], HOME: [*old, *new[:count]]})
        site.plan(minute)
    store_articles(
        site, {number: after(hours=-3, minutes=number - 100) for number in old} | {number: after(minutes=number) for number in new}
    )
    site.ledger.sources.make_listings_due("paper", now=after(minutes=31))
    site.poll(31, {FEED: new, HOME: [*old, *new]})
    site.plan(31)
    assert {url: reason for url, (_, reason) in site.next_polls().items()} == {FEED: "lead", HOME: "copy"}


@pytest.mark.parametrize(("ahead", "precision"), [(timedelta(hours=1), "second"), (timedelta(hours=-12), "day")])
def test_articles_without_a_usable_time_count_when_they_are_seen(site: Site, ahead: timedelta, precision: str) -> None:
    """A local time without a zone may be hours ahead, and many pages state only the day."""
    site.poll(0, {HOME: list(range(24))})
    seen = {number: after(minutes=15 + 5 * number) for number in range(24)}
    intervals = []
    for shift, stated in ((timedelta(0), "second"), (ahead, precision)):
        with site.engine.begin() as conn:
            conn.execute(delete(documents))
            conn.execute(delete(source_patterns))
            for number, at in seen.items():
                document = document_of(f"{SITE}/{number}", published_at=at + shift, published_precision=stated, first_seen_at=at)
                conn.execute(insert(documents).values(**to_row(document), ledger_id=site.id_of(document.url), stored_at=at))
            conn.execute(update(rows).where(rows.c.id == site.id_of(HOME)).values(state="due", next_at=after(minutes=135)))
        site.poll(135, {HOME: list(range(24))})
        site.plan(135)
        intervals.append(site.next_polls()[HOME])
    assert intervals[0] == intervals[1] and intervals[0][1] == "lead" and intervals[0][0] == timedelta(minutes=4)


def test_when_the_best_listing_fails_the_next_one_takes_its_place_at_once(site: Site) -> None:
    """Both listings show all articles, so one of them is a copy that is hardly polled."""
    for minute, newest in ((0, 20), (10, 22), (20, 24)):
        site.ledger.sources.make_listings_due("paper", now=after(minutes=minute))
        site.poll(minute, {FEED: list(range(newest)), HOME: list(range(newest))})
        site.plan(minute)
    store_articles(site, {number: after(minutes=number - 20) for number in range(24)})
    site.ledger.sources.make_listings_due("paper", now=after(minutes=21))
    site.poll(21, {FEED: list(range(24)), HOME: list(range(24))})
    site.plan(21)
    assert {url: reason for url, (_, reason) in site.next_polls().items()} == {FEED: "lead", HOME: "copy"}
    with site.engine.begin() as conn:
        conn.execute(update(rows).where(rows.c.id == site.id_of(FEED)).values(state="due", next_at=after(minutes=22)))
    site.poll(22, {}, Outcome.HTTP_ERROR)
    site.plan(22)
    polls = site.next_polls()
    assert (polls[FEED][1], polls[HOME][1]) == ("failing", "lead")
    assert polls[HOME][0] is not None and polls[HOME][0] < timedelta(hours=1)


@pytest.mark.parametrize("every", [None, timedelta(minutes=15)])
def test_a_feed_that_was_found_is_not_lost_when_it_is_missing_once(ledger: Ledger, engine: Engine, every: timedelta | None) -> None:
    """It is tried again like one of the plan; a URL that was guessed and never existed is not."""
    site = Site(ledger, engine, replace(SOURCE, feeds=(), every=every))
    guessed = f"{SITE}/feed/"
    ledger.links.add([Link(FEED, Kind.FEED, "paper", "homepage")], now=NOON)
    assert site.poll(0, {FEED: [1], HOME: [1]}) == {FEED, HOME}
    ledger.links.add([Link(guessed, Kind.FEED, "paper", "homepage")], now=NOON)
    ledger.sources.make_listings_due("paper", now=after(minutes=1))
    with engine.begin() as conn:
        conn.execute(update(rows).where(rows.c.kind == "homepage").values(state="done"))
    assert site.poll(1, {}, Outcome.GONE) == {FEED, guessed}
    site.plan(1)
    site.plan(61)
    assert site.poll(61, {FEED: [1]}) - {HOME} == {FEED}
    site.plan(61)
    for minute in range(65, 60 * 8, 5):
        ledger.sources.tick(now=after(minutes=minute), next_tick=lambda source, at: at + timedelta(minutes=15))
        site.plan(minute)
        if FEED in site.poll(minute, {FEED: [1]}):
            return
    pytest.fail("it is polled as before")


def test_a_feed_that_lost_its_entries_is_read_again_within_the_hour(site: Site) -> None:
    """The homepage shows all its articles and one more, so the feed is polled every three hours."""

    def read_feed(hour: int, pages: list[int], outcome: Outcome) -> tuple[timedelta | None, str | None]:
        with site.engine.begin() as conn:
            conn.execute(update(rows).where(rows.c.id == site.id_of(FEED)).values(state="due", next_at=after(hours=hour)))
        site.poll(60 * hour, {HOME: list(range(20)), FEED: pages}, outcome)
        site.plan(60 * hour)
        return site.next_polls()[FEED]

    site.poll(0, {HOME: list(range(20)), FEED: list(range(19))})
    store_articles(site, {number: after(days=number - 20) for number in range(20)})
    site.plan(0)
    with site.engine.begin() as conn:
        conn.execute(update(listing_schedules).values(reads=9))
    assert read_feed(1, list(range(19)), Outcome.LISTED)[0] == timedelta(hours=3)
    assert read_feed(2, [], Outcome.EMPTY_LISTING) == (timedelta(hours=1), "emptied")
    assert read_feed(3, [], Outcome.NOT_MODIFIED) == (timedelta(hours=1), "emptied"), "unchanged means: still without entries"
    assert read_feed(4, list(range(19)), Outcome.LISTED)[0] == timedelta(hours=3)
    assert read_feed(5, [], Outcome.NOT_MODIFIED)[0] == timedelta(hours=3)
    assert read_feed(8 * 24, [], Outcome.EMPTY_LISTING)[0] == timedelta(hours=3), "one without news for a week may well be empty"


class Newsroom:
    """A site with an article every ten minutes. Its homepage, feed and six sections show the last 20; passes are five minutes apart."""

    def __init__(self, ledger: Ledger, engine: Engine) -> None:
        sections = tuple(f"{SITE}/section-{number}/" for number in range(6))
        self.site = Site(ledger, engine, replace(ADAPTIVE, sections=sections))
        self.minute = 0
        self.polls: dict[str, list[int]] = {url: [] for url in (FEED, HOME, *sections)}  # minutes
        self.found: dict[int, int] = {}  # minute by article; the article with number n is published in minute 10 n
        ledger.sources.make_listings_due("paper", now=NOON)

    def resume(self, engine: Engine) -> Newsroom:
        """The same site on a copy of its store."""
        room = copy(self)
        room.site = copy(self.site)
        room.site.ledger, room.site.engine = Ledger(engine), engine
        room.polls, room.found = deepcopy(self.polls), dict(self.found)
        return room

    def follow(self, hours: int, feed_end: int | None = None, *, is_feed_empty: bool = False, last: int | None = None) -> None:
        """Follow the site until hour `hours`. The feed shows the articles before hour `feed_end`, or none. The last article is `last`."""
        outcome = Outcome.EMPTY_LISTING  # of the feed without articles; its later polls end with a 304
        while self.minute < hours * 60:
            self.minute += 5
            newest = self.minute // 10 if last is None else min(self.minute // 10, last)
            shown = {url: _newest(newest) for url in self.polls}
            if feed_end is not None:
                shown[FEED] = [] if is_feed_empty else _newest(feed_end * 6 - 1)
            for url in self.site.poll(self.minute, shown, outcome):
                self.polls[url].append(self.minute)
                outcome = outcome if shown[url] else Outcome.NOT_MODIFIED
                self._store(shown[url])
            self.site.plan(self.minute)

    def delays(self, start: int, end: int) -> list[int]:
        """Minutes from publication to discovery of the articles between two hours."""
        return [self.found[number] - 10 * number for number in range(start * 6, end * 6)]

    def count_polls(self, url: str, start: int, end: int) -> int:
        return sum(start * 60 < minute <= end * 60 for minute in self.polls[url])

    def _store(self, articles: list[int]) -> None:
        with self.site.engine.begin() as conn:
            for number in set(articles) - self.found.keys():
                self.found[number] = self.minute
                published, seen = after(minutes=10 * number), after(minutes=self.minute)
                document = document_of(f"{SITE}/{number}", published_at=published, published_precision="minute", first_seen_at=seen)
                conn.execute(insert(documents).values(**to_row(document), ledger_id=self.site.id_of(document.url), stored_at=seen))


def _newest(number: int) -> list[int]:
    return list(range(max(number - 19, 0), number + 1))


@pytest.fixture(scope="module")
def first_hours(sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Newsroom]:
    """The store of a site after twelve hours, which take three seconds. Their statements run on both databases above."""
    path = Path(shutil.copy(sqlite_template, tmp_path_factory.mktemp("newsroom")))
    engine = connect(f"sqlite:///{path}")
    room = Newsroom(Ledger(engine), engine)
    room.follow(12)
    engine.dispose()  # the last connection closed folds the WAL into the file
    return path, room


@pytest.fixture
def room(first_hours: tuple[Path, Newsroom], tmp_path: Path) -> Iterator[Newsroom]:
    """The site after its first twelve hours."""
    path, first = first_hours
    engine = connect(f"sqlite:///{shutil.copy(path, tmp_path)}")
    yield first.resume(engine)
    engine.dispose()


def test_a_feed_that_lost_its_entries_is_no_longer_relied_upon(room: Newsroom) -> None:
    """Whatever its later polls end with: an unchanged feed has no entries either."""
    room.follow(18, 12, is_feed_empty=True)
    assert room.count_polls(FEED, 13, 18) == 5, "once an hour"
    room.follow(24)
    assert max(room.delays(12, 23)) <= 10


def test_a_feed_that_stopped_changing_is_no_longer_relied_upon(room: Newsroom) -> None:
    """A feed that the site's software no longer writes looks like a quiet day, until another listing shows an article."""
    room.follow(18, 12)
    delays = room.delays(12, 17)
    assert max(delays) <= 90 and max(delays[15:]) <= 10
    room.follow(24)
    assert max(room.delays(18, 23)) <= 10
    assert all(room.count_polls(url, 12, 24) <= 2 for url in room.polls if url not in (HOME, FEED))


def test_on_a_quiet_day_each_listing_is_checked_once(room: Newsroom) -> None:
    room.follow(24, last=12 * 6)
    assert all(room.count_polls(url, 12, 24) == 1 for url in room.polls if url != FEED)
