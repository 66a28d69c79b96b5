"""A backfill reads the archive of a source behind what is new, only for the wanted days, and goes on after a stop."""

from __future__ import annotations

import contextlib
import sys
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import pytest
from fake_site import Farm
from world import World, now

from crawler.frontier.listing_task import ListingTask
from crawler.listings.messages import ParsedLinks
from newsmill.cli import main
from newsmill.cli.backfill_plan import estimate_time, make_period, plan_backfill, start_backfill
from newsmill.context import build_context
from newsmill.discovery.url_dates import Period
from newsmill.exceptions import ConfigError
from newsmill.model import Hint, Kind, LeasedUrl, Link, Source, State
from newsmill.storage.counter_repair import find_wrong_counters
from newsmill.storage.ledger import Added
from newsmill.storage.ledger.priority import FROM_BACKFILL, RANK_BACKFILL

JANUARY = Period(date(2024, 1, 1), date(2024, 1, 31))
NEXT = '<a rel="next" href="{}">older</a>'


def links(*paths: str) -> str:
    return "".join(f'<h2><a href="{path}">The council meets again about the bridge</a></h2>' for path in paths)


def test_an_archive_is_read_behind_the_news_and_only_once(
    sites: Farm, world: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    site = sites.site()
    wanted = [site.article(f"/2024/01/{day:02}/the-council-meets-again") for day in (2, 9, 16, 23, 30)]
    other = [site.article(f"/{path}/the-council-meets-again") for path in ("2023/12/30", "2024/02/03", "2026/11/25")]
    path_of = {url: url.removeprefix(site.url("")) for url in (*wanted, *other)}

    def sitemap(path: str, *urls: str) -> str:
        return site.page(path, f"<urlset>{''.join(f'<url><loc>{url}</loc></url>' for url in urls)}</urlset>")

    parts = [
        sitemap("/part-2024-01.xml", *wanted[:2], other[1]),
        sitemap("/part-2023-12.xml", other[0]),
        sitemap("/part-2024-02.xml", other[1]),
    ]
    changed = sitemap("/changed.xml", wanted[2])
    dates = [f"<lastmod>{now().date() - timedelta(days=20)}</lastmod>", "", "", f"<lastmod>{JANUARY.first - timedelta(days=9)}</lastmod>"]
    body = "".join(f"<sitemap><loc>{url}</loc>{lastmod}</sitemap>" for url, lastmod in zip([*parts, changed], dates, strict=True))
    index = site.page("/sitemap.xml", f"<sitemapindex>{body}</sitemapindex>")
    section = site.page("/news/", links(path_of[other[2]]) + NEXT.format("/news/page/2"))
    site.page("/news/page/2", links(path_of[other[2]], path_of[wanted[3]], path_of[wanted[4]]) + NEXT.format("/news/page/3"))
    site.page(
        "/news/page/3",
        links(path_of[other[0]], "/2023/12/01/the-council-meets", "/2023/11/01/the-council-meets") + NEXT.format("/news/page/4"),
    )
    source = world.source(sitemaps=(index,), sections=(section,), homepage=site.url("/"), discover=False)
    context = build_context(world.engine, str(world.data))

    # Without a backfill, the old parts of the index are left; the section is read as far as it has unknown links.
    world.crawl(patch={"crawler.frontier.listing_task.MAX_SECTION_DEPTH": 0})
    assert world.trace(index).detail is not None and "4 older parts left to a backfill" in str(world.trace(index).detail)
    assert [world.ledger.traces.get(url) for url in (*parts, changed, *wanted)] == [None] * 9
    assert world.outcome(other[2]) is State.FETCHED

    plan = plan_backfill(context, source, JANUARY)
    assert {link.url for link in plan.polled} == {index, section}
    backfill = start_backfill(context, source, plan)
    found = world.ledger.backfills
    assert found.get("paper") == backfill and found.count_pending(["paper"])["paper"].total == 0
    assert found.end_finished(now=now()) == []  # the index and the section have not been read
    # What is stopped in the middle goes on: the first crawler reads the index and the section, the second one the rest.
    world.crawl(done=lambda: world.ledger.traces.get(parts[0]) is not None, patch={"crawler.frontier.listing_task.MAX_SECTION_DEPTH": 0})
    world.ledger.links.add([Link(site.article("/2026/11/26/news"), Kind.PAGE, "paper", "feed")], now=now())
    again = start_backfill(context, source, plan)
    assert again.started_at == backfill.started_at and found.end_finished(now=now()) == []
    world.crawl(patch={"crawler.frontier.listing_task.MAX_SECTION_DEPTH": 0})
    assert [world.outcome(url) for url in (*wanted[:2], *wanted[3:])] == [State.FETCHED] * 4
    assert [world.ledger.traces.get(url) for url in (other[0], other[1], wanted[2], parts[1], parts[2], changed)] == [None] * 6
    assert site.hits("/news/page/4") == []  # all of page 3 is older
    assert {world.trace(url).found_by for url in wanted[:2]} == {FROM_BACKFILL}
    state = found.get("paper")
    assert state is not None and (state.listings, state.pages) == (3, 4) and found.count_pending(["paper"])["paper"].total == 0
    reads = len(site.hits("/part-2024-01.xml"))
    start_backfill(context, source, plan)
    world.crawl(patch={"crawler.frontier.listing_task.MAX_SECTION_DEPTH": 0})
    assert (reads, len(site.hits("/part-2024-01.xml"))) == (1, 1)

    # Another period reads the listings again; a finished one is not read any more.
    wider = start_backfill(context, source, plan_backfill(context, source, Period(date(2023, 12, 1), date(2024, 1, 31))))
    world.crawl(patch={"crawler.frontier.listing_task.MAX_SECTION_DEPTH": 0})
    assert wider.started_at > backfill.started_at and world.outcome(other[0]) is State.FETCHED
    assert found.end_finished(now=now()) == ["paper"] and found.end_finished(now=now()) == []
    for variable, value in world.environ().items():
        monkeypatch.setenv(variable, value)
    backfill_command, counts = ["backfill", "paper"], "6 of 6 listings read, 3 of 3 pages fetched"
    for command, text in (
        ([*backfill_command, "--since", "2023-12", "--until", "2024-01", "--dry-run"], f"read again: sitemap {index}"),
        (backfill_command, f"2023-12-01 to 2024-01-31: done {now():%Y-%m-%d}"),
        (backfill_command, counts),
        (["status"], f"backfill of paper: 2023-12-01 to 2024-01-31: done {now():%Y-%m-%d}"),
        ([*backfill_command, "--stop"], "paper: no backfill is in progress"),
        ([*backfill_command, "--since", "2024"], "no crawler is running: run `newsmill up`"),
        ([*backfill_command, "--stop", "--since", "2024"], "--stop takes no other option"),
        ([*backfill_command, "--stop"], "0 of 0 listings read, 0 of 0 pages fetched; 0 listings and 0 pages left out"),
        (["status"], f"backfill of paper: 2024-01-01 to {now():%Y-%m-%d}: stopped"),
        ([*backfill_command, "--until", "2024"], "need --since"),
    ):
        monkeypatch.setattr(sys, "argv", ["newsmill", *command])
        with contextlib.suppress(SystemExit):
            main.main()
        printed = capsys.readouterr()
        assert text in printed.out + printed.err


def test_rows_of_a_backfill_come_last(world: World) -> None:
    source = world.source(feeds=("https://a.example/feed",))
    backfill = world.ledger.backfills.start("paper", JANUARY.first, JANUARY.last, now=now())
    old = Link("https://a.example/old", Kind.PAGE, "paper", FROM_BACKFILL)
    part = Link("https://a.example/part.xml", Kind.SITEMAP, "paper", FROM_BACKFILL)
    assert world.ledger.backfills.add(backfill, [old, part], now=now()).new == 1
    pending = world.ledger.backfills.count_pending(["paper"])["paper"]
    assert (pending.listings, pending.pages) == (1, 1)
    world.ledger.sources.tick(now=now() + timedelta(days=1), next_tick=lambda source, after: after + timedelta(hours=1))
    assert world.trace(part.url).state is State.DUE  # it was due; a tick would not make it due again
    with world.engine.connect() as connection:
        ranks = dict(connection.exec_driver_sql("SELECT url, rank FROM ledger").all())
    assert ranks[old.url] == ranks[part.url] == RANK_BACKFILL == max(ranks.values())
    # A stop forgets what nobody else wants. A crawler that reads a listing at this moment adds nothing more.
    wanted = Link("https://a.example/wanted", Kind.PAGE, "paper", FROM_BACKFILL)
    world.ledger.backfills.add(backfill, [wanted], now=now())
    world.ledger.links.add([replace(wanted, found_by="feed")], now=now())
    stopped = world.ledger.backfills.stop("paper", now=now())
    assert stopped is not None and stopped.ended_at is not None
    assert (stopped.is_stopped, stopped.left_listings, stopped.left_pages, stopped.pages) == (True, 1, 1, 2)
    assert [world.ledger.traces.get(link.url) is None for link in (old, part, wanted)] == [True, True, False]
    assert world.ledger.backfills.add(backfill, [old, part], now=now()) == Added()
    assert world.ledger.backfills.stop("paper", now=now()) == stopped
    with world.engine.begin() as connection:
        assert find_wrong_counters(connection) == []
    again = world.ledger.backfills.start("paper", JANUARY.first, JANUARY.last, archives=[part], now=now())
    assert not again.is_stopped and world.ledger.backfills.add(again, [old], now=now()).new == 1
    assert world.ledger.backfills.end_finished(now=now()) == []
    assert estimate_time(source, 100, 0, timedelta(0)) == timedelta(0)
    assert estimate_time(Source("slow"), 100, 10, timedelta(seconds=40)) == timedelta(seconds=400)


def test_a_source_leaves_what_is_older_than_its_max_age() -> None:
    task = ListingTask(None, LeasedUrl(1, "https://a.example/feed", Kind.FEED, "a.example", "a", 1, 0), Source("a"), None)  # type: ignore[arg-type]
    pages = (
        Link("https://a.example/2024/05/01/old"),
        Link("https://a.example/2026/11/20/new"),
        Link("https://a.example/undated"),
        Link("https://a.example/dated", hint=Hint(published_at=datetime(2026, 1, 1, tzinfo=UTC))),
    )
    assert task._leave_old_pages(ParsedLinks(pages)).pages == pages
    task.source, task.read_at = Source("a", max_age=timedelta(days=30)), datetime(2026, 11, 28, tzinfo=UTC)
    assert task._leave_old_pages(ParsedLinks(pages)).pages == pages[1:3]


def test_periods() -> None:
    today = date(2026, 11, 28)
    assert make_period("2024", None, today) == Period(date(2024, 1, 1), today)
    assert make_period("2024-02", "2024-02", today) == Period(date(2024, 2, 1), date(2024, 2, 29))
    assert make_period("2024-02-03", "2030", today) == Period(date(2024, 2, 3), today)
    for since, until in (("2024-13", None), ("soon", None), ("2025", "2024"), ("2027", None)):
        with pytest.raises(ConfigError):
            make_period(since, until, today)
