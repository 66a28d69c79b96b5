"""Dates: the formats of listings, and None for an ambiguous date; dates in URLs decide which parts of an archive are read."""

from __future__ import annotations

from calendar import month_name
from datetime import UTC, date, datetime, timedelta, timezone
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from newsmill.discovery.dates import parse_date, parse_day_or_time
from newsmill.discovery.url_dates import Period, find_newest_day, find_period, is_page_wanted, is_part_wanted, make_archive_urls
from newsmill.model import Hint
from newsmill.text.month_names import MONTH_NUMBERS, find_month_number, fold_word, load_month_names

NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)
NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)
DAY = datetime(2026, 11, 24, tzinfo=UTC)

NOONS = [
    # RFC 822 and its damaged forms
    "Tue, 24 Nov 2026 12:00:00 GMT",
    "Tue, 24 Nov 2026 12:00:00",
    "Tue, 24 Nov 26 12:00 UT",
    "24 November 2026 12:00 Z",
    "Tue,24 Nov, 2026 12:00:00 +0000",
    "Tue, 24 Nov 2026 12:00:00 0000",
    "Tue, Nov 24 2026 14:00:00 GMT+02:00",
    "Tues, 24th Nov 2026 13:00:00 (CET)",
    "Tue, 24 Nov 2026 07:00:00 EST",
    "Tue, 24 Nov 2026 07:00 ET",
    "Tue, 24 Nov 2026 05:00:00 G",
    "Tue, 24 Nov 2026 13:00:00 MEZ",
    "Tue, 24 Nov 2026 14:00:00 MEST",
    "Tue, 24 Nov 2026 04:00:00 America/Los_Angeles",
    "Tue, 24 Nov 2026 17:30:00 Asia/Kolkata",
    "Tue, 24 Nov 2026 17:00:00 Etc/GMT-5",
    "Tue, 24 Nov 2026 13:01:00 +01:01",
    "Tue, 24 Nov 2026 10:00:00 -2",
    "Tue, 24 Nov 2026 12:0:0 GMT",
    "2026-11-24T12:0:0Z",
    "Tue, 24 Nov 2026 14:00:00 CEST+0200",
    "Tue, 24 Nov 2026 07:00 EST-05:00",
    # asctime, RFC 850, Perforce, JavaScript
    "Tue Nov 24 12:00:00 2026",
    "Tue Nov 24 07:00:00 EST 2026",
    "Tue Nov 24 13:00:00 +0100 2026",
    "Tuesday, 24-Nov-26 12:00:00 GMT",
    "Tue, 2026/11/24 07:00:00 EST",
    "Tue Nov 24 2026 13:00:00 GMT+0100 (Central European Standard Time)",
    # ISO 8601 and W3C
    "2026-11-24T12:00:00Z",
    "2026-11-24T12:00:00.123456789+00:00",
    "2026-11-24t13:00:00+01",
    "2026-11-24 12:00",
    "2026-11-24 07:00:00 EST",
    "2026-11-24T07:00:00 -0500",
    "2026-11-24 T 12:00",
    "20261124T120000Z",
    "2026112412:00",
    "2026-328T12:00Z",
    "2026-W48-2T12:00Z",
    "261124T12:00Z",
    "2026-11-24T12:00:00\u221200:00",
    # Unix time
    "1795521600",
    "1795521600.75",
    "1795521600000",
    # twelve hours
    "November 24, 2026 at 12:00 PM",
    "Tuesday, November 24, 2026 - 12:00pm",
    "Nov. 24, 2026, 12 p.m.",
    "11/24/2026 7:00 am EST",
    # other languages
    "24. November 2026, 13:00 Uhr MEZ",
    "Di, 24 Nov 2026 13:00:00 +0100",
    "mar. 24 novembre 2026 à 12h00",
    "Птн, 24 ноября 2026 г. 12:00",
    "Κυρ, 24 Νοέ 2026 12:00:00 GMT",
    "2026-november-24T13:00+01:00",
    "2026년 11월 24일 21:00:00",
    "2026-11-24 오후 9:00:00",
    "2026年11月24日 12時00分",
    "\uff12\uff10\uff12\uff16-11-24 12:00",
]
DAYS = [
    "2026-11-24", "20261124", "2026-11-24Z", "20261124Z", "2026-328Z",
    "2026/11/24", "2026.11.24", "24.11.2026", "24.11.26", "24/11/2026", "11/24/2026",
    "24 Nov 2026",
    "Tue, 24 Nov 2026", "Tue, 24 Nov 2026 GMT", "Nov 24, 2026", "2026-328", "2026-11-23T24:00:00Z", "24 de noviembre de 2026",
    "mardi 24 nov. 2026", "24-Nov-2026", "2026年11月24日",
]  # fmt: skip
UNKNOWN = [
    "", " ", "IST", "yesterday", "2 hours ago", "12:00", "24 Nov", "November 2026", "Tue, 24 Nov 2026 12:00:00 IST",
    "Tue, 24 Nov 2026 12:00:00 XYZ", "Tue, 24 Nov 2026 12:00:00 Mars/Base", "Tue, 24 Nov 2026 12:00:00 America/Argentina",
    "Tue, 24 Nov 2026 12:00:00 J", "Tue, 24 Nov 2026 12:00:00 (Paris)", "2026-11-24T12:00:00-05:00Z", "2026-11-24T12:00:00Textra",
    "2026-11-24T12:00:00+00:xx", "2026-11-24T12:00:00+25:00", "2026-11-24T12:61:00Z", "2026-11-31", "31 Nov 2026", "2026-366",
    "11/10/2026", "10-11-2026", "24 lis 2026", "24 Nov 2026 Dec", "24 25 Nov 2026", "0000-00-00", "Mon, 01 Jan 0001 00:00:00 GMT",
    "Thu, 01 Jan 1970 00:00:00 GMT", "Fri, 09 Feb 1906 12:00:00 GMT", "Sat, 01 Jan 9999 00:00:00 GMT", "2026-11-27T12:00:00Z",
    "-1795521600", "Tue, 24 Nov 2026 12:00:00 EST+5",
    "24 Nov 2026 " + "x" * 100, "99999999999999",
]  # fmt: skip


@pytest.mark.parametrize("text", NOONS)
def test_every_format_gives_the_same_time(text: str) -> None:
    assert parse_date(text, NOW) == NOON


@pytest.mark.parametrize("text", DAYS)
def test_a_date_without_a_time_is_midnight(text: str) -> None:
    assert parse_date(text, NOW) == DAY


@pytest.mark.parametrize("text", UNKNOWN)
def test_an_ambiguous_date_or_another_text_is_none(text: str) -> None:
    assert parse_date(text, NOW) is None


def test_a_weekday_decides_which_number_is_the_month() -> None:
    assert parse_date("Sun, 11/10/2026") == datetime(2026, 10, 11, tzinfo=UTC)
    assert parse_date("Tue, 10/11/2026") == datetime(2026, 11, 10, tzinfo=UTC)
    assert parse_date("Sat, 11/10/2026") is None


def test_a_day_has_no_time_and_a_month_or_year_no_day() -> None:
    for text in DAYS:
        assert parse_day_or_time(text, NOW) == (DAY if ":" in text else DAY.date()), text
    for text in ("2026-11-24T00:00Z", "Tue, 24 Nov 2026 00:00:00 GMT"):
        assert parse_day_or_time(text, NOW) == DAY, "midnight that is written is a time"
    for text in ("2026-10", "2026", "-26-10", "-2610", "2026-W48", "2026W48", "26-W48", "202610"):
        assert parse_date(text, NOW) is None, text


def test_summer_time_is_that_of_the_place() -> None:
    assert (
        parse_date("Fri, 24 Jul 2026 08:00 ET")
        == parse_date("Fri, 24 Jul 2026 14:00 Europe/Berlin")
        == datetime(2026, 7, 24, 12, tzinfo=UTC)
    )


def test_a_day_may_have_a_zone() -> None:
    assert parse_day_or_time("2026-11-24-05:00") == date(2026, 11, 24)
    assert parse_day_or_time("26 Sep 2022 -0500") == date(2022, 9, 26)


def test_a_leap_second_is_the_next_second() -> None:
    assert parse_date("Sat, 31 Dec 2016 23:59:60 GMT") == datetime(2017, 1, 1, tzinfo=UTC)


@given(st.integers(366 * 86_400, 7_200_000_000), st.integers(-14 * 60, 14 * 60))
def test_formatted_dates_are_parsed_back(seconds: int, minutes: int) -> None:
    at = datetime.fromtimestamp(seconds, UTC)
    local = at.astimezone(timezone(timedelta(minutes=minutes)))
    for text in (
        local.isoformat(),
        format_datetime(local),
        local.strftime("%d %B %Y %H:%M:%S %z"),
        local.strftime("%Y-%m-%d %I:%M:%S %p %z"),
    ):
        assert parse_date(text) == at, text


@given(st.text(max_size=60) | st.text("0123456789 :-/.,TZ+NovJanGMTapm年월", max_size=40))
def test_any_text_is_a_date_in_range_or_none(text: str) -> None:
    at = parse_date(text, NOW)
    assert at is None or (at.utcoffset() is not None and datetime(1970, 1, 2, tzinfo=UTC) <= at <= NOW + timedelta(days=1))


def test_month_names_are_those_of_cldr() -> None:
    """Every name in these languages, without names that mean another month in one of them."""
    languages = "de fr es it pt nl pl cs sk sl hr sr bg mk ru uk be ro hu el tr sv da nb fi et lv lt is ca gl eu sq id ms"
    names = {fold_word(month_name[number]): number for number in range(1, 13)}
    clashes = set()
    for language in languages.split():
        for form in load_month_names(language).values():
            for number, name in (*form["wide"].items(), *form["abbreviated"].items()):
                word = fold_word(name).replace(".", "")
                if word.isalpha() and len(word) >= 3 and names.setdefault(word, number) != number:
                    clashes.add(word)
    assert clashes == {"lip", "lis", "listopad", "listopada", "srp"}
    assert {name: find_month_number(name.upper()) for name in names if name not in clashes} == {
        name: number for name, number in names.items() if name not in clashes
    }
    assert not clashes & set(MONTH_NUMBERS)


# ---- dates in URLs -----------------------------------------------------------------------------------------------------------


MAY = Period(date(2024, 5, 1), date(2024, 5, 31))
SITE = "https://a.example"


@pytest.mark.parametrize(
    ("path", "first", "last"),
    [
        ("/sitemap-2024-05.xml", "2024-05-01", "2024-05-31"),
        ("/sitemap_2023.xml.gz", "2023-01-01", "2023-12-31"),
        ("/sitemap.xml?yyyy=2024&mm=02&dd=29", "2024-02-29", "2024-02-29"),
        ("/sitemap/20240517.xml", "2024-05-17", "2024-05-17"),
        ("/2024/may/7/title", "2024-05-07", "2024-05-07"),
        ("/articles/2024-05-17-title", "2024-05-17", "2024-05-17"),
        ("/post-sitemap12.xml", None, None),
        ("/2024/02/31/title", None, None),
        ("/id/202405171234", None, None),
        ("/story-12024-05", None, None),
        ("/" + "2024-" * 5000, "2024-01-01", "2024-12-31"),
    ],
)
def test_periods_in_urls(path: str, first: str | None, last: str | None) -> None:
    expected = None if first is None or last is None else Period(date.fromisoformat(first), date.fromisoformat(last))
    assert find_period(SITE + path) == expected


@pytest.mark.parametrize(
    ("path", "published", "modified", "wanted"),
    [
        ("/a", "2024-05-17", None, True),
        ("/2024/05/17/a", "2023-05-17", None, False),  # its own date decides
        ("/2024/05/17/a", None, "2026-01-01", True),
        ("/2024/06/01/a", None, None, False),
        ("/a", None, "2024-04-30", False),  # not changed since, so it is older
        ("/a", None, "2026-01-01", True),
        ("/the-2023-budget", None, None, True),  # a year alone is no date of an article
        ("/a", None, None, True),
    ],
)
def test_articles_of_a_period(path: str, published: str | None, modified: str | None, wanted: bool) -> None:
    times = [None if text is None else datetime.fromisoformat(text).replace(tzinfo=UTC) for text in (published, modified)]
    assert is_page_wanted(SITE + path, Hint(published_at=times[0], modified_at=times[1]), MAY) is wanted


def test_parts_and_archives_of_a_period() -> None:
    changed = datetime(2024, 4, 30, tzinfo=UTC)
    assert is_part_wanted(f"{SITE}/sitemap-2024.xml", changed, MAY)
    assert not is_part_wanted(f"{SITE}/sitemap-2023.xml", None, MAY)
    assert not is_part_wanted(f"{SITE}/posts-7.xml", changed, MAY)
    assert is_part_wanted(f"{SITE}/posts-7.xml", None, MAY)
    days = [f"{SITE}/2024/05/{day:02}/title" for day in (1, 2, 3)]
    assert find_newest_day((url, Hint()) for url in days) == date(2024, 5, 3)
    assert find_newest_day((url, Hint()) for url in days[:2]) is None
    assert make_archive_urls(days, Period(date(2024, 4, 30), date(2024, 5, 1))) == [f"{SITE}/2024/05/01/", f"{SITE}/2024/04/30/"]
    months = [f"{SITE}/news/2024/05/title-{number}" for number in range(3)]
    assert make_archive_urls(months, MAY) == [f"{SITE}/news/2024/05/"]
    assert make_archive_urls(months[:2], MAY) == make_archive_urls(["https://a.example/x"], MAY) == []
    assert len(make_archive_urls(days, Period(date(1990, 1, 1), date(2024, 5, 1)))) == 2_000
