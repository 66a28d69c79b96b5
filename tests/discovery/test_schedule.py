"""Schedule: the next due time is in the future whatever the clock does; a failed fetch waits longer each time and then ends."""

from datetime import UTC, datetime, timedelta, timezone
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from newsmill.discovery.schedule import compute_next_due, compute_retry_delay

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
    assert [compute_retry_delay(n) for n in range(6)] == [
        None,
        timedelta(minutes=1),
        timedelta(minutes=5),
        timedelta(minutes=30),
        timedelta(hours=2),
        None,
    ]


@given(st.integers())
def test_retry_delay_takes_any_number(attempts):
    wait = compute_retry_delay(attempts)
    assert wait is None or timedelta(0) < wait <= timedelta(hours=2)
