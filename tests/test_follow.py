"""Calculations of benchmarks/follow.py, without a live world."""

from __future__ import annotations

import random
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

BENCHMARKS = str(Path(__file__).resolve().parents[1] / "benchmarks")
START = datetime(2026, 11, 2, 6, tzinfo=UTC)


@pytest.fixture(autouse=True)
def _benchmarks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(BENCHMARKS)


class Truth:
    """As score_world.Truth of the shared data, for exact URLs."""

    def __init__(self, rows: list[dict[str, Any]]) -> None:
        self.articles = {row["url"]: row for row in rows if row["expected"] == "article"}
        self.others = {row["url"]: row for row in rows if row["expected"] == "not-article"}

    def article_of(self, document: dict[str, Any]) -> str | None:
        return document["url"] if document["url"] in self.articles else None

    def kind_of(self, document: dict[str, Any]) -> str:
        return self.others[document["url"]]["kind"] if document["url"] in self.others else "unlisted"


class Score:
    """As the module score_world."""

    Truth = Truth

    @staticmethod
    def url_key(url: str) -> str:
        return url


def at(minutes: float) -> datetime:
    return START + timedelta(minutes=minutes)


def article(url: str, published: float, *edits: tuple[float, str], gone: float | None = None) -> dict[str, Any]:
    """An article, and its further versions as (minute, change)."""
    versions = [{"at": at(published).isoformat(), "change": "first", "title": "Title", "paragraphs": ["One."]}]
    for minute, change in edits:
        last = versions[-1]
        title = f"Title at {minute}" if change == "headline" else last["title"]
        added = [f"Added at {minute}."] if change in ("body", "correction") else []
        versions.append({"at": at(minute).isoformat(), "change": change, "title": title, "paragraphs": [*last["paragraphs"], *added]})
    row = {"url": url, "site": "s", "kind": "article", "expected": "article", "section": "news", "published": at(published).isoformat()}
    return row | {"versions": versions, "gone_at": None if gone is None else at(gone).isoformat()}


def make_world(*rows: dict[str, Any], **site: Any) -> Any:
    import follow_figures

    base = {"url": "h/", "site": "s", "kind": "site", "expected": "none", "feed": "h/rss.xml", "hub": None, "crawl_delay": 0, "limit": 0}
    return follow_figures.World([base | site, *rows], Score)  # type: ignore[arg-type]


def request(url: str, minute: float, status: int = 200) -> dict[str, Any]:
    return {"url": url, "path": url[1:], "site": "s", "status": status, "sim": at(minute).isoformat()}


def test_each_request_has_the_class_of_the_truth() -> None:
    import follow_figures as figures

    world = make_world(
        article("h/old", -60),
        article("h/early", 10),
        article("h/new", 130),
        {"url": "h/wall", "site": "s", "kind": "consent-wall", "expected": "not-article"},
    )
    window = figures.Window(at(120), at(300))
    log = [
        *(request("h/", 1), request("h/early", 15), request("h/new", 140, 429), request("h/new", 141), request("h/new", 200)),
        *(request("h/early", 150), request("h/old", 160), request("h/wall", 161), request("h/robots.txt", 162), request("h/", 163)),
        *(request("h/rss.xml", 164), request("h/feed/", 164), request("h/feed/rss", 164, 404), request("h/sitemap-news.xml", 165)),
        *(request("h/sitemaps/a-1.xml.gz", 166), request("h/news/page/2/", 167), request("h/tag/a/", 168), request("h/events/", 169)),
        request("h/new", 301),
    ]
    counts = figures.count_requests(figures.classify(world, log, window))
    assert counts == {
        figures.NEW: 2,
        figures.HOMEPAGE: 1,
        figures.FEED: 2,
        figures.NEWS_SITEMAP: 1,
        figures.SITEMAP: 1,
        figures.SECTION: 1,
        figures.TAG: 1,
        figures.ROBOTS: 1,
        figures.MISSING: 1,
        figures.OTHER: 1,
        figures.REPEATED: 2,
        figures.IMPORT: 2,
    }
    assert figures.count_counted(counts) == 12


def seen(url: str, minute: float, revision: int, title: str = "Title", text: str = "One.", fetched: float | None = None) -> Any:
    import follow_figures

    fetched_at = at(minute if fetched is None else fetched)
    return follow_figures.Observation(url, (url,), at(minute), fetched_at, revision, title, text)


def test_what_is_stored_is_compared_with_what_is_due() -> None:
    import follow_figures as figures

    wall = {"url": "h/", "site": "s", "kind": "fault", "expected": "none", "fault": "403", "at": at(200).isoformat()}
    world = make_world(
        article("h/a", 130), article("h/b", 140), article("h/brief", 150, gone=155), article("h/walled", 210), wall, feed=None
    )
    stored = figures.compare_stored(world, [seen("h/a", 131, 1), seen("h/tag/x/", 132, 1)], figures.Window(at(120), at(300)))
    assert (stored.share, stored.by_site, stored.missing) == (0.5, {"s": "1 of 2"}, ["h/b"])
    assert stored.by_kind == {figures.KINDS[0]: 0.5}
    assert stored.others == {"unlisted": 1}


def test_edits_are_due_at_the_visits_of_the_schedule() -> None:
    import follow_figures as figures

    # Fetched at minute 10, visited at 70 and 370: the first visit sees the headline, the second one the newest body.
    row = article("h/a", 0, (30, "headline"), (100, "body"), (120, "noise"), (150, "body"))
    world, window = make_world(row), figures.Window(at(-1), at(600))
    hours = [timedelta(hours=1), timedelta(hours=6)]
    old, edited = seen("h/a", 11, 1, fetched=10), seen("h/a", 71, 2, title="Title at 30", fetched=70)
    newest = seen("h/a", 371, 3, title="Title at 30", text="One.\nAdded at 100. Added at 150.", fetched=370)
    judged = figures.judge_edits(world, [old, edited, newest], window, {"h/a": at(10)}, hours)
    assert judged == figures.Edits(due=2, found=2, advert_changes=1, false_revisions=0)
    missed = figures.judge_edits(world, [old], window, {"h/a": at(10)}, hours)
    assert (missed.found, missed.missed) == (0, ("h/a (due 02 07:10)", "h/a (due 02 12:10)"))
    false = [old, edited, seen("h/a", 91, 3, title="Title at 30", fetched=90)]
    assert figures.judge_edits(world, false, window, {"h/a": at(10)}, hours).false_revisions == 1
    reextracted = [old, edited, seen("h/a", 91, 3, title="Title at 30", fetched=70)]
    assert figures.judge_edits(world, reextracted, window, {"h/a": at(10)}, hours).false_revisions == 0
    layout = {"url": "h/", "site": "s", "kind": "fault", "expected": "none", "fault": "layout", "at": at(85).isoformat()}
    again = [*false, seen("h/a", 96, 4, title="Title at 30", fetched=95)]
    changed = figures.judge_edits(make_world(row, layout), again, window, {"h/a": at(10)}, hours)
    assert changed.false_revisions == 1, "one revision is that of the new layout, the next one is false"
    wall = layout | {"fault": "403", "at": at(100).isoformat()}
    assert figures.judge_edits(make_world(row, wall), [old, edited], window, {"h/a": at(10)}, hours).due == 1


def test_the_schedule_counts_from_the_publication() -> None:
    """An edit after a revisit is due at the next one, and so is an absence. A revisit before the first fetch does not count."""
    import follow_figures as figures

    hours = [timedelta(hours=1), timedelta(hours=6)]
    world = make_world(article("h/a", 0, (62, "headline")), article("h/b", 0, gone=65), article("h/c", 0, gone=500))
    seen_first = [replace(seen(f"h/{name}", 11, 1, fetched=10), revisits_from=at(0)) for name in "abc"]
    gone = replace(seen("h/b", 361, 1, fetched=10), gone_at=at(361))
    fetched = {f"h/{name}": at(10) for name in "abc"}
    for end, due in ((120, 0), (600, 1)):
        window = figures.Window(at(-1), at(end))
        assert figures.judge_edits(world, seen_first, window, fetched, hours).due == due
        absences = figures.judge_absences(world, [*seen_first, gone], [request("h/b", 361, 410)], window, fetched, hours)
        assert (absences.vanished, absences.due, absences.recorded, absences.missed) == (1 + due, due, due, ())
    assert figures.list_visits(seen_first[0], at(100), hours, at(600)) == [at(360)]
    wall = {"url": "h/", "site": "s", "kind": "fault", "expected": "none", "fault": "403", "at": at(200).isoformat()}
    walled = make_world(article("h/b", 0, gone=65), wall)
    assert figures.judge_absences(walled, [seen_first[1]], [], window, fetched, hours).due == 0


def test_no_schedule_with_known_times_has_fewer_polls() -> None:
    from follow_figures import count_clairvoyant_polls

    def fewest(times: list[float], lag: float) -> int:
        """By trying every set of last moments."""
        if not times:
            return 0
        first = min(times)
        return 1 + min(
            fewest([t for t in times if not t <= poll <= t + lag], lag) for poll in (t + lag for t in times) if poll <= first + lag
        )

    rng = random.Random(7)
    for _ in range(200):
        times = [rng.uniform(0, 10) for _ in range(rng.randint(0, 7))]
        assert count_clairvoyant_polls(times, 1.0) == fewest(times, 1.0)


def test_polls_with_known_rates() -> None:
    from follow_figures import Cell, count_rate_polls, estimate_cells

    one = [Cell(10, 6.0)]
    # Evenly every p95 / 0.95 gives 95 % within p95; a tighter median needs more.
    assert count_rate_polls(one, 1.0, 1.0) == pytest.approx(9.5)
    assert count_rate_polls(one, 0.25, 0.5) == pytest.approx(10 * 0.95 / 0.5 + 10 * (0.5 - 0.475) / 0.5 * (1 / 0.25 - 1 / 0.5))
    # A quiet hour is worth fewer polls than a busy one.
    assert count_rate_polls([Cell(5, 11.0), Cell(5, 1.0)], 0.25, 0.5) < count_rate_polls(one, 0.25, 0.5)
    assert count_rate_polls([], 1.0, 1.0) == 0
    # Two sites with one rhythm: twice as many articles at 8 as at 9.
    cells = estimate_cells({"a": [8.1, 8.5, 9.5, 32.1, 32.4, 33.9], "b": [8.2, 9.2, 32.6]}, 0.0, 48.0, (8.0, 10.0))
    rates = sorted(round(cell.rate, 2) for cell in cells if cell.rate)
    assert rates == [0.5, 1.0, 1.0, 2.0]
    assert all(cell.hours == 1 for cell in cells)


def test_the_truth_is_read_after_the_followers_have_stopped() -> None:
    import follow

    calls: list[str] = []

    class FakeFollower:
        def stop(self) -> None:
            calls.append("stop")

    class FakeWorld:
        def ask(self, path: str) -> list[Any]:
            calls.append(path)
            return [path]

    fake: Any = FakeFollower()
    world: Any = FakeWorld()
    assert follow.finish([fake, fake], world) == (["truth.jsonl"], ["truth.jsonl?all=1"], ["log"])
    assert calls[:2] == ["stop", "stop"], "else the store may hold articles that the truth does not have yet"


def test_the_simulated_clock_runs_faster() -> None:
    from simulated import SimulatedClock, read_clock

    clock = read_clock(SimulatedClock(START, 1000.5, 30).to_variable())
    assert clock.at(1002.5) == START + timedelta(minutes=1)
