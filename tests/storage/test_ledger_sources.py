"""Sources, their listings, and ticks under two schedulers and a clock that jumps."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import pairwise

import pytest
from rows import HOST, NOON, SITE, SOURCE, Mill, after, ended, links

from newsmill.exceptions import UrlError
from newsmill.model import Kind, Link, Outcome, Politeness, Rules, Source, State
from newsmill.storage.ledger import Ledger
from newsmill.storage.ledger.sources import decide_tick

QUARTER = timedelta(minutes=15)


def next_tick(source: Source, after: datetime) -> datetime:
    """What find.schedule does, with "hourly" for every cron."""
    if source.cron is not None:
        return after.replace(minute=0, second=0, microsecond=0) + timedelta(hours=1)
    assert source.every is not None
    return after + source.every


def test_a_source_comes_back_as_it_went_in(ledger: Ledger) -> None:
    full = Source(
        name="full \u2603",
        homepage=f"{SITE}/",
        feeds=(f"{SITE}/rss", f"{SITE}/atom"),
        sitemaps=(f"{SITE}/sitemap.xml",),
        sections=(f"{SITE}/sport",),
        language="de",
        every=None,
        cron="*/5 * * * *",
        allow=("/2026/",),
        deny=("/live/",),
        rules=Rules(("div.ad",), ("^Advert$",)),
        politeness=Politeness(2.5, 2),
        expect={"documents_per_day": 5},
        discover=True,
        enabled=False,
    )
    ledger.sources.put(full, now=NOON)
    ledger.sources.put(SOURCE, now=NOON)
    assert ledger.sources.list_all() == [full, SOURCE]
    assert ledger.sources.get(full.name) == full
    assert ledger.sources.get("nobody") is None
    assert ledger.sources.set_enabled(full.name, True, now=NOON)
    assert ledger.sources.get(full.name) == replace(full, enabled=True)
    assert not ledger.sources.set_enabled("nobody", True, now=NOON)


@pytest.mark.parametrize("first", range(8))
def test_the_homepage_is_read_before_the_sitemaps(ledger: Ledger, first: int) -> None:
    """A sitemap may have the sections among its articles; the homepage is read first and says what they are."""
    site = f"https://{first}.example"
    ledger.sources.put(Source("paper", homepage=f"{site}/", sitemaps=(f"{site}/sitemap.xml",)), now=NOON)
    assert [row.kind for row in Mill(ledger).lease(f"{first}.example", limit=1)] == [Kind.HOMEPAGE]


def test_the_plan_s_listings_are_due_at_once_and_only_once(ledger: Ledger) -> None:
    plan = replace(SOURCE, sitemaps=(f"{SITE}/map.xml",), sections=(f"{SITE}/sport",))
    ledger.sources.put(plan, now=NOON)
    mill = Mill(ledger)
    rows = mill.lease()
    assert sorted(row.kind for row in rows) == [Kind.FEED, Kind.HOMEPAGE, Kind.SECTION, Kind.SITEMAP]
    assert {row.source for row in rows} == {"paper"}
    ledger.url_endings.end([ended(row, Outcome.LISTED) for row in rows], now=NOON)
    ledger.sources.put(plan, now=NOON)  # every start of `newsmill up` says the same again
    ledger.sources.put(replace(plan, language="de"), now=NOON)
    assert mill.lease() == []


def test_the_plan_says_whether_https_or_http_is_fetched(ledger: Ledger) -> None:
    plain = f"http://{HOST}/"
    ledger.sources.put(replace(SOURCE, feeds=(), homepage=f"{SITE}/"), now=NOON)
    mill = Mill(ledger)
    (row,) = mill.lease()
    ledger.url_endings.end([ended(row, Outcome.TLS)], now=NOON)
    ledger.sources.put(replace(SOURCE, feeds=(), homepage=plain), now=NOON)
    assert [row.url for row in mill.lease()] == [plain]
    ledger.sources.put(replace(SOURCE, feeds=(), homepage=plain), now=NOON)
    assert mill.lease() == []  # nothing has changed


def test_a_homepage_that_need_not_be_looked_at_is_not(ledger: Ledger) -> None:
    ledger.sources.put(replace(SOURCE, discover=False), now=NOON)
    assert [row.kind for row in Mill(ledger).lease()] == [Kind.FEED]


def test_a_wrong_address_in_a_plan_changes_nothing(ledger: Ledger) -> None:
    with pytest.raises(UrlError):
        ledger.sources.put(replace(SOURCE, feeds=("ftp://x",)), now=NOON)
    assert ledger.sources.list_all() == []


def test_what_a_plan_no_longer_names_is_retired_and_comes_back_with_it(ledger: Ledger) -> None:
    ledger.sources.put(SOURCE, now=NOON)
    Mill(ledger).lease()
    ledger.sources.put(replace(SOURCE, feeds=()), now=NOON)
    feed = ledger.traces.get(f"{SITE}/rss")
    assert feed is not None
    assert (feed.state, feed.outcome, feed.detail) == (State.DROPPED, Outcome.DENIED, "no longer in the source's plan")
    assert ledger.sources.tick(now=after(hours=1), next_tick=next_tick) == ["paper"]
    assert ledger.progress.count().listings == {State.DROPPED: 1, State.FETCHING: 1}
    ledger.sources.put(SOURCE, now=after(hours=1))
    assert ledger.progress.count().listings == {State.DUE: 1, State.FETCHING: 1}


def test_without_discover_what_was_found_is_retired_and_comes_back_with_it(ledger: Ledger) -> None:
    """Parts of a sitemap index are listings of their own once they show news, so they go with the sitemap that named them."""
    planned, found = f"{SITE}/planned.xml", f"{SITE}/found.xml"
    source = replace(SOURCE, sitemaps=(planned,))
    ledger.sources.put(source, now=NOON)
    listings = [Link(f"{SITE}/sport/", Kind.SECTION, "paper", "homepage", f"{SITE}/"), Link(found, Kind.SITEMAP, "paper", "robots")]
    for sitemap, part in ((planned, f"{SITE}/planned-1.xml"), (found, f"{SITE}/index.xml"), (f"{SITE}/index.xml", f"{SITE}/found-1.xml")):
        listings.append(Link(part, Kind.SITEMAP, "paper", "sitemap", sitemap))
    ledger.links.add(listings, now=NOON)
    assert end_all(ledger, NOON) == 8

    def list_retired(source: Source) -> set[str]:
        ledger.sources.put(source, now=NOON)
        retired = {one.url for one in ledger.poll_plans.list_polled("paper") if one.outcome is Outcome.DENIED}
        return {url.removeprefix(SITE) for url in retired}

    by_hand = replace(source, discover=False)
    assert list_retired(source) == set()
    assert list_retired(by_hand) == {"/", "/sport/", "/found.xml", "/index.xml", "/found-1.xml"}
    assert end_all(ledger, after(hours=1)) == 0
    assert list_retired(source) == {"/index.xml", "/found-1.xml"}, "their sitemap is read again, and has them read"
    assert end_all(ledger, after(hours=1)) == 3
    assert list_retired(replace(source, sitemaps=())) == {"/index.xml", "/found-1.xml", "/planned.xml", "/planned-1.xml"}
    assert list_retired(replace(source, discover=False, sitemaps=(found,))) >= {"/", "/sport/", "/planned.xml"}
    assert ledger.progress.count().listings[State.DUE] == 1, "what was found may be planned"


def test_a_page_that_turns_out_to_be_a_listing_is_one(ledger: Ledger) -> None:
    mill = Mill(ledger)
    ledger.links.add([Link(f"{SITE}/", source=None, found_by="manual")], now=NOON)
    (row,) = mill.lease()
    ledger.url_endings.end([ended(row, Outcome.GONE)], now=NOON)
    ledger.sources.put(SOURCE, now=NOON)
    assert {(row.kind, row.source) for row in mill.lease()} == {(Kind.HOMEPAGE, "paper"), (Kind.FEED, "paper")}
    assert ledger.progress.count().pages == 0
    assert ledger.progress.count().outcomes == {}


def test_two_sources_that_name_one_feed_do_not_fight_over_it(ledger: Ledger) -> None:
    other = Source(name="other", feeds=SOURCE.feeds)
    for _ in range(2):
        ledger.sources.put(SOURCE, now=NOON)
        ledger.sources.put(other, now=NOON)
    rows = Mill(ledger).lease()
    assert sorted((row.kind, row.source) for row in rows) == [(Kind.FEED, "paper"), (Kind.HOMEPAGE, "paper")]
    ledger.sources.put(other, now=NOON)
    ledger.sources.put(SOURCE, now=NOON)
    assert ledger.progress.count().listings == {State.FETCHING: 2}  # nobody took it out of the crawler's hands


# ---- ticks


def end_all(ledger: Ledger, now: datetime, outcome: Outcome = Outcome.LISTED) -> int:
    mill = Mill(ledger, now=now)
    rows = mill.lease()
    ledger.url_endings.end([ended(row, outcome) for row in rows], now=now)
    ledger.hosts.release("paper.example", mill.crawler, now=now)
    return len(rows)


def test_a_tick_makes_listings_due_and_no_page(ledger: Ledger) -> None:
    ledger.sources.put(SOURCE, now=NOON)
    ledger.links.add(links(2), now=NOON)
    assert ledger.sources.tick(now=NOON, next_tick=next_tick) == ["paper"]
    assert end_all(ledger, NOON) == 4
    assert ledger.sources.tick(now=after(minutes=14, seconds=59), next_tick=next_tick) == []
    assert ledger.sources.tick(now=after(minutes=15), next_tick=next_tick) == ["paper"]
    assert end_all(ledger, after(minutes=15)) == 2


def test_missed_ticks_are_made_up_once(ledger: Ledger) -> None:
    ledger.sources.put(SOURCE, now=NOON)
    assert ledger.sources.tick(now=after(days=3), next_tick=next_tick) == ["paper"]
    assert ledger.sources.tick(now=after(days=3), next_tick=next_tick) == []
    assert ledger.sources.tick(now=after(days=3, minutes=15), next_tick=next_tick) == ["paper"]


def test_a_disabled_source_does_not_tick(ledger: Ledger) -> None:
    ledger.sources.put(replace(SOURCE, enabled=False), now=NOON)
    assert ledger.sources.tick(now=after(days=1), next_tick=next_tick) == []
    ledger.sources.set_enabled("paper", True, now=after(days=1))
    assert ledger.sources.tick(now=after(days=1), next_tick=next_tick) == ["paper"]


def test_a_source_that_is_added_paused_is_not_read_before_it_is_resumed(ledger: Ledger) -> None:
    mill = Mill(ledger)
    ledger.sources.put(replace(SOURCE, enabled=False), now=NOON)
    assert mill.lease() == []
    ledger.sources.set_enabled("paper", True, now=NOON)
    assert sorted(row.kind for row in mill.lease()) == [Kind.FEED, Kind.HOMEPAGE]


def test_a_new_schedule_counts_from_now(ledger: Ledger) -> None:
    ledger.sources.put(replace(SOURCE, every=timedelta(days=1)), now=NOON)
    ledger.sources.tick(now=NOON, next_tick=next_tick)
    ledger.sources.put(replace(SOURCE, every=QUARTER), now=after(minutes=1))
    assert ledger.sources.tick(now=after(minutes=1), next_tick=next_tick) == ["paper"]


@pytest.mark.parametrize(
    ("outcome", "found_by", "due"),
    [
        (Outcome.LISTED, "homepage", True),
        (Outcome.TIMEOUT, "homepage", True),
        (Outcome.BAD_LISTING, "homepage", True),
        (Outcome.ROBOTS_DISALLOWED, "homepage", True),
        (Outcome.GONE, "homepage", False),  # discovery guesses URLs; a wrong guess is not fetched every quarter of an hour
        (Outcome.DENIED, "homepage", False),
        (Outcome.LISTED, "robots", True),
        (Outcome.LISTED, "sitemap", False),  # a part of an index: the index will say when it changed
        (Outcome.LISTED, "section", False),  # a next page: followed from the first one while that gives new links
    ],
)
def test_which_discovered_listings_come_due_again(ledger: Ledger, outcome: Outcome, found_by: str, due: bool) -> None:
    ledger.sources.put(Source(name="paper", every=timedelta(minutes=15)), now=NOON)
    ledger.links.add([Link(f"{SITE}/found.xml", kind=Kind.SITEMAP, source="paper", found_by=found_by)], now=NOON)
    end_all(ledger, NOON, outcome)
    ledger.sources.tick(now=after(minutes=15), next_tick=next_tick)
    assert ledger.progress.count().listings == {State.DUE if due else ended_state(outcome): 1}


def ended_state(outcome: Outcome) -> State:
    from newsmill.model import OUTCOMES

    return OUTCOMES[outcome].state


def test_the_plan_s_own_listing_is_tried_again_though_it_was_gone(ledger: Ledger) -> None:
    ledger.sources.put(SOURCE, now=NOON)
    end_all(ledger, NOON, Outcome.GONE)
    ledger.sources.tick(now=after(minutes=15), next_tick=next_tick)
    assert ledger.progress.count().listings == {State.DUE: 2}


def test_a_listing_s_rounds_all_count(ledger: Ledger) -> None:
    ledger.sources.put(Source(name="paper", feeds=(f"{SITE}/rss",), every=timedelta(minutes=15)), now=NOON)
    for round_ in range(3):
        ledger.sources.tick(now=after(minutes=15 * round_), next_tick=next_tick)
        end_all(ledger, after(minutes=15 * round_))
    assert [(count.kind, count.n) for count in ledger.counters.list_outcomes()] == [(Kind.FEED, 3)]


# ---- decide: the clock


HOURLY = replace(SOURCE, every=None, cron="0 * * * *")


def test_a_clock_set_back_does_not_silence_an_interval() -> None:
    assert decide_tick(SOURCE, after(minutes=15), NOON, NOON - timedelta(hours=1), next_tick) == (False, after(minutes=-45))
    assert decide_tick(SOURCE, after(minutes=15), NOON, after(seconds=1), next_tick) == (False, None)
    assert decide_tick(SOURCE, after(minutes=15), NOON, NOON - timedelta(seconds=50), next_tick) == (False, None)  # another machine's clock


def test_a_clock_set_back_does_not_repeat_a_cron_tick() -> None:
    assert decide_tick(HOURLY, after(hours=1), after(seconds=3), NOON - timedelta(minutes=55), next_tick) == (False, None)


@pytest.mark.parametrize("source", [SOURCE, HOURLY], ids=["every", "cron"])
def test_two_schedulers_and_a_jumping_clock_tick_each_time_once(ledger: Ledger, source: Source) -> None:
    """1,000 passes of two schedulers, 30 s apart, over a wall clock that jumps an hour forward or back now and then."""
    chance = random.Random(7)
    ledger.sources.put(source, now=NOON)
    real, skew, jumps = NOON, timedelta(), 0
    ticks: list[tuple[datetime, datetime]] = []  # by the real clock, by the wall clock
    for _ in range(500):
        real += timedelta(seconds=30)
        if chance.random() < 0.02:
            skew, jumps = timedelta(hours=chance.choice([-1, 0, 1])), jumps + 1
        for scheduler in range(2):
            if ledger.sources.tick(now=real + skew + timedelta(seconds=scheduler), next_tick=next_tick):
                ticks.append((real, real + skew))
    gaps = [later[0] - earlier[0] for earlier, later in pairwise(ticks)]
    if source.cron is None:
        on_time = sum(QUARTER <= gap <= QUARTER + timedelta(minutes=1) for gap in gaps)
        assert on_time >= len(gaps) - jumps  # a jump moves one tick, never two
        assert timedelta(0) < min(gaps) <= max(gaps) < 2 * QUARTER  # none double, none lost
    else:
        hours = Counter(wall.replace(minute=0, second=0) for _, wall in ticks[1:])
        assert max(hours.values()) == 1
        assert len(hours) >= 4
