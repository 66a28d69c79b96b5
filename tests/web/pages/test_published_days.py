"""An article whose page states a day only has no time of day, in no list and in no time zone."""

from __future__ import annotations

from datetime import UTC, datetime

from page_client import read, text_of
from site_of_tests import RunningApp, stock

from newsmill.web.pages.reader_cookies import ZONE_COOKIE

TEXT = " ".join(f"The harbour wall number {n} stood for many years before the storm of that winter came." for n in range(20))


def test_a_publication_day_is_shown_without_a_time_in_every_zone(web: RunningApp) -> None:
    day = datetime(2026, 11, 20, tzinfo=UTC)
    first, _ = stock(web, 2, text=TEXT, published_at=day, published_precision="day")
    browser = web.browser()
    browser.cookies.set(ZONE_COOKIE, "America/New_York")
    for path in ("/search?q=harbour", "/search", f"/documents/{first.id}"):
        shown = [text_of(moment) for moment in read(browser, path).xpath("//main//time[starts-with(@datetime, '2026-11-20')]")]
        assert shown and set(shown) == {"20 Nov 2026"}, path
    assert read(browser, f"/documents/{first.id}").xpath("//section[.//h2[text()='Near duplicates']]//time/text()") == ["20 Nov 2026"]
    hits = web.program().get("/api/v1/search?q=harbour").json()["items"]
    assert [hit["published_precision"] for hit in hits] == ["day", "day"]
