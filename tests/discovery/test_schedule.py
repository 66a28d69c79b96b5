"""Schedule: the next due time is in the future whatever the clock does; a failed fetch waits longer each time and then ends; revisits."""

import importlib.util
import sys
from datetime import UTC, datetime, timedelta, timezone
from itertools import pairwise
from pathlib import Path
from statistics import fmean
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from newsmill.model import Kind, Source
from newsmill.polling.listings import (
    MAX_FEED_INTERVAL,
    MAX_INTERVAL,
    MINUTES_PER_POLL,
    ListingFacts,
    NextPoll,
    Reason,
    SourcePattern,
    choose_listings,
    compute_interval,
    compute_next_due,
    count_checks,
    fit_budget,
    is_stalled,
    plan_poll,
)
from newsmill.polling.publication_rates import PublicationRates, compute_today_factor, estimate_rates
from newsmill.polling.retries import MAX_RETRY_DELAY, compute_retry_delay
from newsmill.polling.revisits import RevisitResult, compute_next_revisit, find_age_start


def load_simulation():
    path = Path(__file__).parents[2] / "benchmarks" / "schedule.py"
    spec = importlib.util.spec_from_file_location("benchmark_schedule", path)
    module = sys.modules["benchmark_schedule"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


simulation = load_simulation()
NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)
zones = st.sampled_from(
    [UTC, ZoneInfo("Europe/Berlin"), ZoneInfo("America/New_York"), ZoneInfo("Australia/Lord_Howe"), timezone(timedelta(hours=14))]
)
times = st.datetimes(datetime(1971, 1, 1), datetime(2099, 1, 1), timezones=zones)  # noqa: DTZ001 - hypothesis wants naive bounds
crons = st.sampled_from(["*/15 * * * *", "0 2 * * *", "30 2 29 2 *", "59 23 31 12 *", "5 0 * * 0"])


def test_every_and_cron():
    assert compute_next_due(timedelta(minutes=15), None, NOW) == NOW + timedelta(minutes=15)
    assert compute_next_due(None, "30 2 * * *", NOW) == datetime(2026, 11, 26, 2, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    ("every", "cron"), [(None, None), (timedelta(1), "* * * * *"), (timedelta(0), None), (None, "61 * * * *"), (None, "x")]
)
def test_refused(every, cron):
    with pytest.raises(ValueError):
        compute_next_due(every, cron, NOW)


@given(times, crons)
def test_cron_ticks_lie_ahead_in_utc_and_none_is_left_out(after, cron):
    tick = compute_next_due(None, cron, after)
    assert tick.tzinfo is UTC or tick.utcoffset() == timedelta(0)
    assert tick > after
    assert (
        compute_next_due(None, cron, tick - timedelta(microseconds=1)) == tick
    )  # a later call, or one by another scheduler, gives the same time


@given(times, st.timedeltas(timedelta(seconds=1), timedelta(days=400)), st.timedeltas(timedelta(hours=-1), timedelta(hours=1)))
def test_a_clock_that_jumps_gives_one_tick_ahead(after, every, jump):
    tick = compute_next_due(every, None, after + jump)
    assert tick > after + jump
    assert tick - (after + jump).astimezone(UTC) == every  # missed ticks are made up once: the next lies one interval ahead


def test_missed_times_are_made_up_once():
    long_ago = compute_next_due(None, "*/5 * * * *", NOW - timedelta(days=30))
    assert long_ago < NOW < compute_next_due(None, "*/5 * * * *", NOW) <= NOW + timedelta(minutes=5)


def test_summer_time_neither_skips_nor_doubles_a_day():
    """In Berlin 02:30 does not exist on 29 March 2026 and comes twice on 25 October; in UTC each day has one."""
    after = datetime(2026, 3, 1, tzinfo=ZoneInfo("Europe/Berlin"))
    ticks = []
    for _ in range(300):
        after = compute_next_due(None, "30 2 * * *", after)
        ticks.append(after)
    assert {b - a for a, b in pairwise(ticks)} == {timedelta(days=1)}


def test_retry_delay_grows_and_ends():
    delays = [compute_retry_delay(n) for n in range(1, 9)]
    assert delays == sorted(delays)
    assert sum(delays, timedelta()) > timedelta(days=2), "an outage of a weekend loses nothing"
    assert (compute_retry_delay(0), compute_retry_delay(9)) == (None, None)
    assert compute_retry_delay(3, Kind.FEED) is None, "a listing is read again by its schedule"


@given(st.integers(), st.sampled_from(Kind))
def test_retry_delay_takes_any_number(attempts, kind):
    wait = compute_retry_delay(attempts, kind)
    assert wait is None or timedelta(0) < wait <= MAX_RETRY_DELAY


# ---- rates

LEAD, COPY = 1, 2
SINCE = NOW - timedelta(days=14)


def daytime(days: int = 14, per_hour: int = 6) -> list[datetime]:
    """Articles between 08:00 and 20:00 UTC."""
    return [
        SINCE + timedelta(days=day, hours=hour - 12, minutes=60 * number / per_hour)
        for day in range(1, days)
        for hour in range(8, 20)
        for number in range(per_hour)
    ]


def test_rates_follow_the_hours_of_the_day():
    rates = estimate_rates(daytime(), SINCE, NOW)
    assert rates.at(NOW - timedelta(days=1)) * 60 == pytest.approx(6, rel=0.25)
    assert rates.at(NOW.replace(hour=2)) * 60 < 0.5
    assert rates.expect(NOW - timedelta(days=7), NOW) == pytest.approx(7 * 72, rel=0.15)


def test_without_articles_the_rate_falls_with_time_and_never_to_zero():
    rates = [estimate_rates([], NOW - timedelta(hours=hours), NOW).per_minute for hours in (1, 24, 240, 2400)]
    assert rates == sorted(rates, reverse=True)
    assert rates[-1] > 0


def test_one_day_of_another_kind_changes_today_only():
    rates = estimate_rates(daytime(), SINCE, NOW)
    assert compute_today_factor(rates, 60, NOW) > 2 > 1 > compute_today_factor(rates, 0, NOW) > 0.1


@given(st.lists(st.integers(0, 14 * 1440), max_size=200), st.integers(1, 14 * 1440))
def test_rates_are_positive_and_finite_for_any_articles(minutes, window):
    since = NOW - timedelta(minutes=window)
    rates = estimate_rates([NOW - timedelta(minutes=minute) for minute in minutes], since, NOW)
    assert all(0 < rates.at(NOW + timedelta(hours=hour)) < 1000 for hour in range(168))


# ---- polls


def pattern(shares: dict[int, float], per_day: float = 60) -> SourcePattern:
    return SourcePattern(PublicationRates(per_day / 1440), shares)


def plan(listing: int = LEAD, *, facts: ListingFacts | None = None, per_day: float = 60, **changes: float) -> NextPoll:
    facts = facts or ListingFacts(NOW, 9)
    return plan_poll(listing, facts, pattern({LEAD: 1.0}, per_day), copies=9, today=changes.get("today", 1.0), now=NOW)


def test_four_times_the_articles_are_polled_twice_as_often():
    intervals = [(plan(per_day=per_day).at - NOW).total_seconds() / 60 for per_day in (15, 60, 240)]
    assert intervals == [14, 7, 4]  # whole minutes above 13.9, 6.9 and 3.5


def test_what_shows_the_same_as_another_listing_is_polled_now_and_then():
    lead, copy = plan(LEAD), plan(COPY)
    assert (lead.reason, copy.reason) == (Reason.LEAD, Reason.COPY)
    assert (copy.at - NOW) > 20 * (lead.at - NOW)
    assert plan(COPY, facts=ListingFacts(NOW, 1)).at == NOW + timedelta(hours=1), "the second poll of a listing comes soon"
    assert plan(COPY, per_day=0.1).at <= NOW + MAX_INTERVAL


def test_the_fewest_listings_that_show_everything_are_chosen():
    every, sport = frozenset("abcdefgh"), frozenset("gh")
    assert choose_listings({1: sport, 2: every, 3: every}, [3, 2, 1]) == {3: 1.0}
    assert choose_listings({1: sport, 2: frozenset("abcdef"), 3: frozenset("abc")}, [1, 2, 3]) == {2: 0.75, 1: 0.25}
    assert choose_listings({}, [1]) == {}


def test_what_a_hub_sends_needs_no_other_listing() -> None:
    every, pushed, idle = frozenset("abcdefgh"), frozenset("abcdef"), frozenset[str]()
    assert choose_listings({1: every, 2: pushed, 3: idle}, [1, 2, 3]) == {1: 1.0}
    assert choose_listings({1: every, 2: pushed, 3: idle}, [1, 2, 3], {2, 3}) == {2: 0.75, 1: 0.25}


@pytest.mark.parametrize(
    ("failing", "interval"),
    [(timedelta(minutes=1), timedelta(hours=1)), (timedelta(days=2), timedelta(days=1)), (timedelta(days=90), timedelta(days=30))],
)
def test_a_failing_listing_is_probed_more_and_more_rarely_and_never_given_up(failing, interval):
    assert plan(facts=ListingFacts(NOW, 9, failing_since=NOW - failing)) == NextPoll(NOW + interval, Reason.FAILING)


def test_a_cache_and_a_hub_save_polls():
    assert plan(per_day=5000, facts=ListingFacts(NOW, 9, cache_seconds=300)) == NextPoll(NOW + timedelta(minutes=5), Reason.CACHED)
    assert plan(per_day=5000, facts=ListingFacts(NOW, 9, cache_seconds=1e9)).at <= NOW + timedelta(minutes=10), (
        "news does not wait for a day"
    )
    assert plan(facts=ListingFacts(NOW, 9, is_pushed=True)).at >= NOW + MAX_FEED_INTERVAL


def test_a_listing_that_lost_its_entries_is_read_again_within_the_hour() -> None:
    soon = NextPoll(NOW + timedelta(hours=1), Reason.EMPTIED)
    assert plan(COPY, facts=ListingFacts(NOW, 9, is_feed=True, is_emptied=True)) == soon
    assert plan(facts=ListingFacts(NOW, 9, is_pushed=True, is_emptied=True)) == soon
    assert plan(facts=ListingFacts(NOW, 9, is_emptied=True)) == plan(), "one that is read more often keeps its plan"


def test_a_silence_that_chance_does_not_explain_has_other_listings_read() -> None:
    """One after the other: each four articles that were to be expected."""
    rates = PublicationRates(4 / 60)
    assert [count_checks(rates, NOW - timedelta(minutes=minutes), NOW) for minutes in (0, 59, 61, 119, 121)] == [0, 0, 1, 1, 2]


@pytest.mark.parametrize(
    ("share", "missed", "stalled"),
    [(1.0, 0, False), (1.0, 2, False), (1.0, 3, True), (0.5, 6, False), (0.5, 7, True), (0.05, 80, False), (0.0, 10_000, False)],
)
def test_a_listing_has_stalled_when_it_misses_more_than_it_ever_left_out(share: float, missed: int, stalled: bool) -> None:
    assert is_stalled(share, missed) == stalled


def plan_first(update_interval: timedelta | None, *, polls: int = 1, shares: dict[int, float] | None = None) -> NextPoll:
    facts = ListingFacts(NOW, polls, update_interval=update_interval)
    return plan_poll(LEAD, facts, pattern(shares or {}, 10), copies=1, today=1.0, now=NOW)


def test_what_a_feed_says_of_itself_sets_the_first_interval_only() -> None:
    hours = [plan_first(timedelta(hours=hours)).at - NOW for hours in (0.1, 1, 24, 8760)]
    assert hours == sorted(hours) and hours[0] < hours[-1] == timedelta(hours=1), "an unknown site is polled again within an hour"
    assert plan_first(timedelta(hours=1)).reason is Reason.ANNOUNCED
    for polls, shares in ((2, None), (1, {LEAD: 1.0}), (1, {COPY: 1.0})):
        learnt = plan_first(timedelta(seconds=1), polls=polls, shares=shares)
        assert learnt == plan_first(None, polls=polls, shares=shares) and learnt.reason is not Reason.ANNOUNCED, "what was observed counts"


@given(st.timedeltas())
def test_no_update_interval_costs_more_than_five_polls_in_an_hour(update_interval: timedelta) -> None:
    assert timedelta(minutes=12) <= plan_first(update_interval).at - NOW <= timedelta(hours=1)


@given(
    st.floats(0, 1), st.floats(0.001, 100), st.floats(0, 1e6), st.integers(0, 1000), st.integers(0, 500), st.booleans(),
    st.one_of(st.none(), st.integers(-1440, 10**6)),
)  # fmt: skip
def test_every_plan_lies_between_a_minute_and_thirty_days_ahead(share, today, per_day, cache, copies, pushed, failing):
    since = None if failing is None else NOW - timedelta(minutes=failing)
    facts = ListingFacts(NOW, 5, cache_seconds=cache, failing_since=since, is_pushed=pushed)
    found = plan_poll(LEAD, facts, pattern({LEAD: share}, per_day), copies=copies, today=today, now=NOW)
    assert timedelta(minutes=1) <= found.at - NOW <= timedelta(days=30)
    assert found.at - NOW <= timedelta(days=1) or found.reason is Reason.FAILING


@pytest.mark.parametrize(
    ("freshness", "lead", "copy", "spider"),  # minutes, at 60 articles a day: the law is a square root
    [(1, 3, 180, 15), (3, 7, 180, 15), (30, 70, 180, 60), (1440, 240, 1440, 1440)],
)
def test_freshness_sets_the_intervals_and_never_lets_ten_articles_pass(freshness, lead, copy, spider):
    def find_minutes(listing: int, **facts: Any) -> float:
        known = pattern({LEAD: 1.0})
        found = plan_poll(listing, ListingFacts(NOW, 9, **facts), known, copies=9, today=1, now=NOW, freshness=timedelta(minutes=freshness))
        return (found.at - NOW) / timedelta(minutes=1)

    assert (find_minutes(LEAD), find_minutes(COPY, is_feed=True), find_minutes(LEAD, is_spider=True)) == (lead, copy, spider)


@given(
    st.floats(1e-7, 50),
    st.lists(st.floats(0.001, 100), min_size=24, max_size=24),
    st.integers(0, 7 * 1440 * 60),
)  # fmt: skip
def test_an_interval_is_that_of_a_sum_minute_by_minute(per_minute, hours, offset):
    rates, start = PublicationRates(per_minute, tuple(hours)), NOW + timedelta(seconds=offset)
    waiting = delay = 0.0
    for minute in range(1440):
        rate = rates.at(start + timedelta(minutes=minute))
        delay, waiting = delay + waiting + rate / 2, waiting + rate
        if delay >= MINUTES_PER_POLL:
            break
    assert abs(compute_interval(rates, 1.0, start) - timedelta(minutes=minute + 1)) <= timedelta(minutes=1), "rounding may differ"


@given(
    st.lists(st.tuples(st.integers(60, 86_400), st.integers(0, 3600), st.booleans()), min_size=1, max_size=30), st.floats(0, 300)
)  # fmt: skip
def test_the_listings_of_a_host_take_a_tenth_of_its_requests(listings, delay):
    polled_at = {number: NOW - timedelta(seconds=ago) for number, (_, ago, _) in enumerate(listings)}
    plans = {
        number: NextPoll(polled_at[number] + timedelta(seconds=seconds), Reason.FAILING if fails else Reason.LEAD)
        for number, (seconds, _, fails) in enumerate(listings)
    }
    fitted = fit_budget(polled_at, plans, delay)
    load = {number: 10 * delay / (plan.at - polled_at[number]).total_seconds() for number, plan in fitted.items()}
    assert all(plan.at >= plans[number].at for number, plan in fitted.items())
    assert all(plan == plans[number] for number, plan in fitted.items() if plan.reason is not Reason.BUDGET)
    stretched = [number for number, plan in fitted.items() if plan.reason is Reason.BUDGET and plan.at < polled_at[number] + MAX_INTERVAL]
    assert sum(load[number] for number in stretched) <= 1 + 1e-9
    if sum(10 * delay / seconds for seconds, _, _ in listings) <= 1:
        assert fitted == plans


@pytest.mark.parametrize("per_day", [20, 60, 200])
def test_the_policy_costs_little_more_than_one_that_knows_the_rates(per_day):
    """Nine listings, eight of them copies, against one listing with known rates."""
    found, bound = [], []
    known = simulation.poll_by_true_rates(per_day, 3)
    for seed in range(3):
        times = simulation.publish(per_day, 3, seed)
        polls, seen = simulation.simulate(times, 3)
        found.append(simulation.measure(times, polls, seen.get))
        bound.append(simulation.measure(times, known, simulation.find_next(known, times)))
    for figure in ("polls", "median", "p95"):
        assert fmean(getattr(one, figure) for one in found) <= 1.3 * fmean(getattr(one, figure) for one in bound), figure


# ---- revisits: one row per fetch of an article, with the age at which it is fetched next ---


NOON = datetime(2026, 11, 25, 12, 0, tzinfo=UTC)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
STEPS = Source("paper").revisit
UNCHANGED, CHANGED, FAILED = RevisitResult.UNCHANGED, RevisitResult.CHANGED, RevisitResult.FAILED


@pytest.mark.parametrize(
    ("age", "result", "next_age"),
    [
        (0 * HOUR, UNCHANGED, HOUR),
        (HOUR, UNCHANGED, 6 * HOUR),
        (6 * HOUR, UNCHANGED, DAY),
        (25 * HOUR, UNCHANGED, 7 * DAY),
        (7 * DAY, UNCHANGED, None),
        (HOUR, CHANGED, 2 * HOUR),  # at least the first step apart
        (6 * HOUR, CHANGED, 9 * HOUR),
        (20 * HOUR, CHANGED, DAY),
        (8 * DAY, CHANGED, 12 * DAY),
        (20 * DAY, CHANGED, None),
        (HOUR, FAILED, 2 * HOUR),
        (2 * DAY, FAILED, 2.5 * DAY),
        (8 * DAY, FAILED, 10 * DAY),
        (12 * DAY, FAILED, None),
        (-2 * DAY, UNCHANGED, -2 * DAY + HOUR),  # the clock was ahead when the article was seen
    ],
)
def test_the_next_revisit_follows_from_the_age(age: timedelta, result: RevisitResult, next_age: timedelta | None) -> None:
    found = compute_next_revisit(STEPS, NOON, NOON + age, result)
    assert found == (None if next_age is None else NOON + next_age)
    assert compute_next_revisit((), NOON, NOON + age, result) is None


def test_an_article_that_always_changes_or_always_fails_is_left_in_the_end() -> None:
    for result in (CHANGED, FAILED):
        at, fetches = compute_next_revisit(STEPS, NOON, NOON, UNCHANGED), 0
        while at is not None:
            before, fetches = at, fetches + 1
            at = compute_next_revisit(STEPS, NOON, at, result)
            assert at is None or at > before
        assert fetches < 30


def test_an_old_article_has_few_steps_left() -> None:
    assert find_age_start(NOON, None, None) == NOON
    assert find_age_start(NOON, NOON + DAY, "second") == NOON
    assert find_age_start(NOON, NOON - DAY, "second") == NOON - DAY
    assert find_age_start(NOON, NOON - timedelta(hours=12), "day") == NOON  # published today, at an unknown time
    assert find_age_start(NOON, NOON - 3 * DAY, "day") == NOON - 2 * DAY
    assert compute_next_revisit(STEPS, NOON - 2 * DAY, NOON, UNCHANGED) == NOON + 5 * DAY
    assert compute_next_revisit(STEPS, NOON - 8 * DAY, NOON, UNCHANGED) is None
