"""Dates in URLs decide which parts of an archive are read, and a doubtful one is."""

from __future__ import annotations

from datetime import UTC, date, datetime

import pytest

from newsmill.discovery.archive_dates import Period, find_newest_day, find_period, is_page_wanted, is_part_wanted, make_archive_urls
from newsmill.model import Hint

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
