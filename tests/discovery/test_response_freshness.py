"""Freshness: the rules of RFC 9111, and values that no honest server sends."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from newsmill.discovery.response_freshness import MAX_FRESH_SECONDS, compute_fresh_seconds, parse_http_date

NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)
SOON, PAST = "Wed, 25 Nov 2026 12:05:00 GMT", "Wed, 25 Nov 2026 11:00:00 GMT"


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ([], None),
        ([("Cache-Control", "public")], None),
        ([("Cache-Control", "Public, Max-Age=60")], 60),
        ([("Cache-Control", "public"), ("cache-control", 'max-age="60"')], 60),
        ([("Cache-Control", "max-age=60, max-age=5")], 60),
        ([("Cache-Control", "max-age=60"), ("Expires", PAST)], 60),
        ([("Cache-Control", "max-age=60"), ("Age", "25")], 35),
        ([("Cache-Control", "max-age=60"), ("Age", "25, 50")], 35),
        ([("Cache-Control", "max-age=60"), ("Age", "90")], 0),
        ([("Cache-Control", "max-age=60"), ("Age", "-90")], 60),
        ([("Cache-Control", "max-age=60, no-cache")], 0),
        ([("Cache-Control", "no-store"), ("Expires", SOON)], 0),
        ([("Cache-Control", "max-age=-60")], 0),
        ([("Cache-Control", "max-age=NaN")], 0),
        ([("Cache-Control", "max-age=1e9")], 0),
        ([("Cache-Control", "max-age=\u0663\u0663")], 0),
        ([("Cache-Control", "max-age=" + "9" * 5000)], MAX_FRESH_SECONDS),
        ([("Cache-Control", "max-age=" + "0" * 5000 + "7")], 7),
        ([("Expires", SOON)], 300),
        ([("Expires", SOON), ("Date", "Wed, 25 Nov 2026 12:04:00 GMT")], 60),
        ([("Expires", SOON), ("Date", "today")], 300),
        ([("Expires", SOON), ("Age", "100")], 200),
        ([("Expires", PAST)], 0),
        ([("Expires", "0")], 0),
        ([("Expires", "9" * 5000)], 0),
        ([("Expires", "Mon, 01 Jan 99999999999 00:00:00 GMT")], 0),
        ([("Expires", "Mon, 01 Jan 0001 00:00:00 +2359")], 0),
    ],
)
def test_freshness(headers: list[tuple[str, str]], seconds: float | None) -> None:
    assert compute_fresh_seconds(headers, NOW) == seconds


header_values = st.text() | st.sampled_from([SOON, PAST]) | st.floats().map(lambda number: f"max-age={number}") | st.integers().map(str)


@given(st.lists(st.tuples(st.sampled_from(["Cache-Control", "Expires", "Age", "Date"]), header_values), max_size=4))
def test_freshness_is_none_or_within_68_years(headers: list[tuple[str, str]]) -> None:
    seconds = compute_fresh_seconds(headers, NOW)
    assert seconds is None or 0 <= seconds <= MAX_FRESH_SECONDS


@given(st.datetimes(datetime(1971, 1, 1), datetime(9998, 1, 1)))  # noqa: DTZ001 - hypothesis wants naive bounds
def test_a_date_is_read_as_written(at: datetime) -> None:
    assert parse_http_date(f"{at:%a, %d %b} {at.year:04} {at:%H:%M:%S} GMT") == at.replace(tzinfo=UTC, microsecond=0)


def test_a_date_of_an_unknown_zone_is_in_utc() -> None:
    assert parse_http_date("Wed, 25 Nov 2026 12:05:00 -0000") == NOW + timedelta(minutes=5)
