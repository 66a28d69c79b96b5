"""The whole crawler on a real ledger, archive and Redis: what a source leads to."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from fake_site import Farm, Hit, Response, Site
from sqlalchemy import update
from world import World, now

from newsmill.cli.sources.state import describe_health
from newsmill.health.causes import Cause
from newsmill.model import Kind, Link, Outcome, State
from newsmill.queue.queue import Queue, connect_redis
from newsmill.storage.database import writing
from newsmill.storage.ledger.takedowns import Takedowns
from newsmill.storage.schema import ledger
from newsmill.storage.source_checks import SourceAlarms
from newsmill.storage.source_health import SourceHealthReader
from newsmill.web.pages import source_health_view
from newsmill.web.pages.translations import load_translations


def test_a_feed_and_its_articles(sites: Farm, world: World) -> None:
    site = sites.site()
    pages = [site.article(f"/a{n}") for n in range(5)]
    feed = site.feed("/feed.xml", *pages)
    world.source(feeds=(feed,))
    world.crawl()
    assert world.outcome(feed) is Outcome.LISTED
    assert [world.outcome(url) for url in pages] == [State.FETCHED] * 5
    page = world.page(pages[0])
    assert (page.url, page.status, page.source, page.hint.title, page.ip) == (pages[0], 200, "paper", "Item 0", site.ip)
    assert b"council met" in page.body
    assert [hit.path for hit in site.log][:2] == ["/robots.txt", "/feed.xml"]
    assert sorted(hit.path for hit in site.log[2:]) == ["/a0", "/a1", "/a2", "/a3", "/a4"]
    segment = world.trace(pages[0]).segment
    assert segment in Queue(connect_redis(world.redis_url)).waiting()


def test_a_redirect_to_a_barred_url_ends_as_a_takedown(sites: Farm, world: World) -> None:
    """The article is not requested, neither as the last page nor on the way to another one."""
    site = sites.site()
    barred = site.article("/barred")
    through = site.page("/through", redirect="/bridge")
    site.page("/bridge", redirect="/barred")
    world.submit(site.page("/short", redirect="/barred"), through)
    Takedowns(world.engine).add([barred], "court order", now=now())
    world.crawl(delay=0.0)
    traces = [world.trace(url) for url in (site.url("/short"), through)]
    assert [(one.outcome, one.detail) for one in traces] == [(Outcome.TAKEDOWN, "court order")] * 2
    assert site.hits("/barred") == []


def test_patterns_and_redirects_of_a_source(sites: Farm, world: World) -> None:
    """Denied URLs are never requested, not even through a redirect. Pages of a source stay on its sites; submitted URLs may go anywhere."""
    site, other = sites.site(), sites.site()
    away = site.page("/away", redirect=other.article("/a"))
    by_hand = site.page("/by-hand", redirect=other.url("/a"))
    denied = site.article("/tag/x")
    to_denied = site.page("/news/short", redirect="/tag/x")
    news, blog = site.article("/news/a"), site.article("/blog/a")
    feed = site.feed("/feed.xml", news, blog)
    world.source(feeds=(feed,), deny=("/tag/",), allow=("/news/", "/away"))
    world.submit(away, denied, to_denied, source="paper")
    world.submit(by_hand)
    world.crawl(delay=0.0)
    got = {url: world.outcome(url) for url in (away, by_hand, denied, to_denied, news, blog, feed)}
    assert got == {
        away: Outcome.OFF_SITE,
        by_hand: Outcome.REDIRECTED,
        denied: Outcome.DENIED,
        to_denied: Outcome.DENIED,
        news: State.FETCHED,
        blog: Outcome.DENIED,
        feed: Outcome.LISTED,
    }
    assert world.trace(by_hand).final_url == other.url("/a")
    assert world.page(other.url("/a")).requested_url == other.url("/a")
    assert {hit.path for hit in site.log}.isdisjoint({"/tag/x", "/blog/a"})
    assert [hit.path for hit in other.log] == ["/robots.txt", "/a"]


def test_a_listing_that_has_moved_for_good_changes_the_plan(sites: Farm, world: World) -> None:
    """301 and 308 are followed into the plan, once; not where one redirect of a chain is temporary, and not to another site."""
    site, other, third = sites.site(), sites.site(), sites.site()
    new = site.feed("/new.xml", site.article("/a"))
    site.page("/half.xml", redirect="/new.xml", status=302)
    away = other.feed("/away.xml", site.article("/b"))
    foreign = third.page("/map.xml", f"<urlset><url><loc>{site.article('/c')}</loc></url></urlset>", content_type="application/xml")
    moved = site.page("/old.xml", redirect="/step.xml", status=301)
    site.page("/step.xml", redirect="/new.xml", status=308)
    hosted = site.page("/hosted.xml", redirect=away, status=301)
    half = site.page("/chain.xml", redirect="/half.xml", status=301)
    sitemap = site.page("/sitemap.xml", redirect=foreign, status=301)
    world.source(feeds=(moved, hosted, half), sitemaps=(sitemap,))
    world.crawl(delay=0.0)
    source = world.ledger.sources.get("paper")
    assert source is not None and (source.feeds, source.sitemaps) == ((new, hosted, half), (sitemap,))
    assert [world.outcome(url) for url in (moved, hosted, half, sitemap)] == [
        Outcome.DENIED,
        Outcome.LISTED,
        Outcome.LISTED,
        Outcome.LISTED,
    ]
    assert world.trace(moved).detail == f"moved to {new}"
    assert world.outcome(new) is Outcome.LISTED and world.ledger.traces.get(away) is None
    alarms = {alarm.finding.evidence.url: alarm for alarm in SourceAlarms(world.engine).list_history("paper")}
    assert {alarm.finding.cause for alarm in alarms.values()} == {Cause.MOVED_LISTING}
    site.log.clear()
    world.ledger.sources.make_listings_due("paper", now=now())
    world.crawl(delay=0.0)
    assert "/old.xml" not in {hit.path for hit in site.log}


def test_a_redirect_to_another_spelling_of_a_listing_is_requested_once(sites: Farm, world: World) -> None:
    """Most feeds redirect to https, to www or to a slash at the end. These spellings are one row; the plan gets the new one."""
    site = sites.site()
    planned, home = site.page("/feed", redirect="/feed/", status=301), site.page("//", redirect="/", status=301)
    found = site.page("/news", redirect="/news/", status=308)
    site.feed("/feed/", site.article("/2026/11/25/the-council-meets-again"))
    site.page("/news/", links("/2026/11/25/the-old-bridge"))
    site.page("/", f'<nav><a href="/news">News</a></nav>{links("/2026/11/25/the-old-bridge")}')
    world.source(homepage=home, feeds=(planned,))
    world.crawl(delay=0.0)
    source = world.ledger.sources.get("paper")
    assert source is not None and (source.homepage, source.feeds) == (site.url("/"), (f"{planned}/",))
    assert [world.outcome(url) for url in (planned, found, home)] == [Outcome.LISTED] * 3
    site.log.clear()
    world.ledger.sources.make_listings_due("paper", now=now())
    world.crawl(delay=0.0)
    assert sorted(hit.path for hit in site.log if "2026" not in hit.path) == ["/", "/feed/", "/news/"]
    assert SourceAlarms(world.engine).list_history("paper") == []


def links(*hrefs: str) -> str:
    return "".join(f'<h2><a href="{href}">Council meets about the old bridge {n}</a></h2>' for n, href in enumerate(hrefs))


def test_a_feed_that_was_not_there_at_first_is_followed_when_the_homepage_names_it(sites: Farm, world: World) -> None:
    site = sites.site()
    article, feed = site.article("/2026/11/25/the-council-meets-again"), site.url("/feed.xml")
    home = site.page("/", '<head><link rel=alternate type="application/rss+xml" href="/feed.xml"></head><p>News</p>')
    world.source(homepage=home)
    world.crawl()
    assert world.outcome(feed) is Outcome.GONE
    world.ledger.sources.make_listings_due("paper", now=now())
    world.crawl()
    assert len(site.hits("/feed.xml")) == 1, "not with every read of the homepage"
    with writing(world.engine) as conn:
        hours_ago = now() - timedelta(hours=2)
        conn.execute(update(ledger).where(ledger.c.url == feed).values(ended_at=hours_ago, failing_since=hours_ago))
    site.feed("/feed.xml", article)
    world.ledger.sources.make_listings_due("paper", now=now())
    world.crawl()
    assert (world.outcome(feed), world.outcome(article)) == (Outcome.LISTED, State.FETCHED)


@pytest.mark.parametrize("is_moved", [True, False])
def test_a_homepage_on_another_domain_has_its_feeds_and_sitemaps_there(sites: Farm, world: World, is_moved: bool) -> None:
    """A paper that has moved, and a consent dialog: that has hardly a link, and the feeds stay where they were."""
    old, other = sites.site(), sites.site()
    site = other if is_moved else old
    articles = [site.article(f"/2026/11/25/the-council-meets-again-{n}") for n in range(5)]
    shown = [url.removeprefix(site.url("")) for url in articles[:3]]
    other.page("/front", links(*shown) if is_moved else "<h1>We value your privacy</h1>")
    feed = site.feed("/rss.xml", articles[3])
    named = site.page("/named.xml", sitemap(articles[4]), content_type="application/xml")
    site.robots(f"User-agent: *\nDisallow:\nSitemap: {named}\n")
    home = old.page("/", redirect=other.url("/front"))
    world.source(homepage=home)
    world.crawl(delay=0.0)
    assert [world.outcome(url) for url in (feed, named)] == [Outcome.LISTED] * 2
    assert [world.outcome(url) for url in articles[3:]] == [State.FETCHED] * 2
    elsewhere = {hit.path for hit in (old if is_moved else other).log}
    assert elsewhere <= {"/robots.txt", "/" if is_moved else "/front"}


def test_an_article_has_the_hints_of_the_homepage_and_of_the_feed(sites: Farm, world: World) -> None:
    """Both are due at once. The homepage is read first, and its link gives only a title."""
    site = sites.site()
    article = site.article("/2026/11/25/the-council-meets-again")
    entry = f"<item><link>{article}</link><pubDate>Wed, 25 Nov 2026 08:30:15 GMT</pubDate><category>Bridges</category></item>"
    feed = site.page("/feed.xml", f'<rss version="2.0"><channel>{entry}</channel></rss>', content_type="application/rss+xml")
    home = site.page(
        "/", f'<head><link rel=alternate type="application/rss+xml" href="{feed}"></head>{links("/2026/11/25/the-council-meets-again")}'
    )
    world.source(homepage=home)
    world.crawl()
    hint = world.page(article).hint
    assert (hint.title, hint.tags) == ("Council meets about the old bridge 0", ("Bridges",))
    assert hint.published_at is not None and hint.published_at.isoformat() == "2026-11-25T08:30:15+00:00"


def test_a_homepage_leads_to_feed_section_and_sitemap(sites: Farm, world: World) -> None:
    """Feed from its head, section from its menu, sitemap from robots.txt with its parts, and the section's further pages."""
    site = sites.site()
    today = f"{now():%Y/%m/%d}"  # the part of an index is read again while its URLs are of the last days
    articles = [site.article(f"/{today}/the-council-meets-again-{n}") for n in range(10)]
    paths = [url.removeprefix(site.url("")) for url in articles]
    head, menu = '<link rel=alternate type="application/rss+xml" href="/feed.xml">', '<nav><a href="/politics/">Politics</a></nav>'
    home = site.page("/", f"<head>{head}</head>{menu}{links(paths[0])}")
    feed = site.feed("/feed.xml", articles[1])
    section = site.page("/politics/", links(paths[2], paths[3]) + '<a rel="next" href="/politics/page/2">2</a>')
    second = site.page("/politics/page/2", links(paths[4]) + '<a rel="next" href="/politics/page/3">3</a>')
    third = site.page("/politics/page/3", links(paths[2], paths[4]) + '<a rel="next" href="/politics/page/4">4</a>')
    fourth = site.page("/politics/page/4", links(paths[5]))
    part = site.page("/part.xml.gz", sitemap(articles[6], articles[7]), content_type="application/gzip", zipped=True)
    index = site.page("/sitemap.xml", index_of(part), content_type="application/xml", headers={"ETag": '"static"'})
    site.robots(f"User-agent: *\nDisallow:\nSitemap: {index}\n")
    world.source(homepage=home)
    world.crawl()
    assert {world.trace(url).kind for url in (section, second, third)} == {Kind.SECTION}
    assert [world.outcome(url) for url in (home, feed, section, second, third, part, index)] == [Outcome.LISTED] * 7
    assert world.outcome(fourth) is Outcome.LISTED  # the third page had nothing new, but this one was unknown
    assert [world.outcome(url) for url in articles[:5]] == [State.FETCHED] * 5
    assert [world.outcome(url) for url in articles[6:8]] == [State.FETCHED] * 2
    assert {world.trace(url).source for url in articles[:5]} == {"paper"}
    assert site.hits("/feed/") == []  # nothing is guessed where a feed is named

    # A later round: the index says the same as before, but its part has grown.
    world.ledger.sources.make_listings_due("paper", now=now())
    site.page("/part.xml.gz", sitemap(*articles[6:10]), content_type="application/gzip", zipped=True)
    world.crawl()
    assert [world.outcome(url) for url in articles[8:10]] == [State.FETCHED] * 2
    assert "if-none-match" in site.hits("/sitemap.xml")[1].headers  # the part is polled by itself, so the index may be unchanged

    # Nothing new on the section's front: its further pages, all known, are not fetched again.
    world.ledger.links.add([Link(section, Kind.SECTION, "paper")], now=now(), again=True)
    world.crawl()
    assert (len(site.hits("/politics/")), len(site.hits("/politics/page/2"))) == (3, 1)


def sitemap(*page_urls: str) -> str:
    entries = "".join(f"<url><loc>{url}</loc></url>" for url in page_urls)
    return f'<urlset xmlns="http://www.sitemaps.org/schemas/sitemap/0.9">{entries}</urlset>'


def index_of(*page_urls: str) -> str:
    parts = "".join(f"<sitemap><loc>{url}</loc></sitemap>" for url in page_urls)
    return f'<sitemapindex xmlns="http://www.sitemaps.org/schemas/sitemap/0.9">{parts}</sitemapindex>'


def test_an_archive_in_an_index_without_dates_is_read_once(sites: Farm, world: World) -> None:
    """Its pages are years old. The pages of the other part have no date, so they may be news."""
    site = sites.site()
    old, new = site.article("/2015/03/the-old-bridge"), site.article("/the-new-bridge")
    parts = [site.page(path, sitemap(url), content_type="application/xml") for path, url in (("/1.xml", old), ("/2.xml", new))]
    world.source(sitemaps=(site.page("/sitemap.xml", index_of(*parts), content_type="application/xml"),))
    for _ in range(2):
        world.crawl(delay=0.0)
        world.ledger.sources.make_listings_due("paper", now=now())
    assert [world.outcome(url) for url in (old, new)] == [State.FETCHED] * 2
    assert [len(site.hits(path)) for path in ("/sitemap.xml", "/1.xml", "/2.xml")] == [2, 1, 2]


def test_feeds_and_sitemaps_are_guessed_where_none_is_named(sites: Farm, world: World) -> None:
    site = sites.site()
    site.feed("/rss.xml", site.article("/a"))
    world.source(homepage=site.page("/", "<p>Welcome"))
    world.crawl()
    assert world.outcome(site.url("/rss.xml")) is Outcome.LISTED
    assert world.outcome(site.url("/a")) is State.FETCHED
    assert world.outcome(site.url("/sitemap.xml")) is Outcome.GONE


def test_a_site_below_a_path_has_its_own_feeds_and_sitemaps(sites: Farm, world: World) -> None:
    """The rest of the host is another site: a company whose newsroom is followed, or a host with the blogs of many people."""
    site = sites.site()
    feed, news = site.feed("/news/rss.xml", site.article("/news/a")), site.article("/news/2026/11/25/the-council-meets-again")
    root, product = site.feed("/feed/", site.article("/other")), site.article("/products/a-pump-with-a-long-name")
    site.robots(f"User-agent: *\nDisallow:\nSitemap: {site.page('/sitemap.xml', sitemap(product), content_type='application/xml')}\n")
    world.source(homepage=site.page("/news/", links(news.removeprefix(site.url("")))))
    world.crawl(delay=0.0)
    assert [world.outcome(url) for url in (feed, news, site.url("/news/a"))] == [Outcome.LISTED, State.FETCHED, State.FETCHED]
    assert [site.hits(url.removeprefix(site.url(""))) for url in (root, product, site.url("/sitemap.xml"))] == [[], [], []]


def test_a_sitemap_lists_its_own_site_only(sites: Farm, world: World) -> None:
    site, other = sites.site(), sites.site()
    there = other.article("/a")
    index = site.page("/sitemap.xml", sitemap(site.article("/a"), there), content_type="application/xml")
    world.source(sitemaps=(index,))
    world.crawl()
    assert world.outcome(site.url("/a")) is State.FETCHED
    assert world.ledger.traces.get(there) is None


def test_traps_are_bounded(sites: Farm, world: World) -> None:
    """A list with endless next pages: the crawler fetches from the other host meanwhile and leaves the list at its limit."""
    trap, neighbour = sites.site(), sites.site()

    def endless(hit: Hit) -> Response:
        number = int(hit.path.rpartition("=")[2]) if "=" in hit.path else 1
        fresh = links(*(f"/news/a-very-long-headline-number-{number}-{n}" for n in range(3)))
        return Response(200, (("Content-Type", "text/html"),), f'{fresh}<a rel="next" href="/list?page={number + 1}">next</a>'.encode())

    trap.fallback = endless
    trap.page("/robots.txt", "")
    world.source("trap", sections=(trap.url("/list"),))
    world.source("neighbour")
    world.submit(*(neighbour.article(f"/a{n}") for n in range(20)), source="neighbour")
    world.crawl(seconds=60)
    lists = [hit for hit in trap.log if hit.path.startswith("/list")]
    assert len(lists) == 51
    assert len(trap.log) <= 51 * 4 + 1
    assert len(neighbour.log) == 21


@pytest.mark.parametrize("is_first", [False, True])
def test_a_list_that_repeats_a_page_behind_its_last_one_is_left(sites: Farm, world: World, is_first: bool) -> None:
    """Every page number is answered: behind the third page with that page, or with the first one."""
    site = sites.site()

    def section(hit: Hit) -> Response:
        number = int(hit.path.rpartition("=")[2]) if "=" in hit.path else 1
        shown = number if number <= 3 else 1 if is_first else 3
        headlines = links(*(f"/news/a-very-long-headline-number-{shown}-{n}" for n in range(3)))
        body = f'{headlines}<a rel="next" href="/list?page={number + 1}">next</a>'
        return Response(200, (("Content-Type", "text/html"),), body.encode())

    site.fallback = section
    site.page("/robots.txt", "")
    world.source(sections=(site.url("/list"),))
    world.crawl(seconds=30)
    assert sum(hit.path.startswith("/list") for hit in site.log) == (5 if is_first else 4)


def test_next_pages_whose_urls_change_are_not_followed_without_new_links(sites: Farm, world: World) -> None:
    """The link to older articles carries the newest one (a cursor). Only the first read of the section follows it to the end."""
    site = sites.site()
    newest = 20

    def section(hit: Hit) -> Response:
        cursor = int(hit.path.rpartition("=")[2]) if "=" in hit.path else newest
        shown = range(cursor, max(cursor - 3, 0), -1)
        headlines = links(*(f"/news/a-very-long-headline-number-{number}" for number in shown))
        older = f'<a rel="next" href="/list?before={cursor - 3}">older</a>' if cursor > 3 else ""
        return Response(200, (("Content-Type", "text/html"),), f"{headlines}{older}".encode())

    site.fallback = section
    site.page("/robots.txt", "")
    source = world.source(sections=(site.url("/list"),))

    def count_lists() -> int:
        before = sum(hit.path.startswith("/list") for hit in site.log)
        world.crawl(seconds=30)
        return sum(hit.path.startswith("/list") for hit in site.log) - before

    assert count_lists() == 7
    newest += 1
    world.ledger.sources.make_listings_due(source.name, now=now())
    assert count_lists() == 2


def test_a_source_added_during_the_crawl_is_crawled_with_its_plan(sites: Farm, world: World) -> None:
    """Its homepage is due before the crawler reads changed sources. Its sitemaps must be found all the same."""
    site = sites.site()
    known = site.article("/2026/11/25/the-council-meets-again-1")
    listed = site.article("/2026/11/25/the-council-meets-again-2")
    index = site.page("/sitemap.xml", sitemap(listed), content_type="application/xml")
    site.robots(f"User-agent: *\nDisallow:\nSitemap: {index}\n")
    home = site.page("/", links("/2026/11/25/the-council-meets-again-1"))
    with world.crawler():
        world.submit(known)
        world.wait(lambda: world.outcome(known) is State.FETCHED)
        world.source(homepage=home)
        world.wait(lambda: world.ledger.traces.get(listed) is not None and world.outcome(listed) is State.FETCHED, seconds=12)


def test_no_entry_leads_into_a_private_network(sites: Farm, canary: Site, world: World) -> None:
    """Feed item, sitemap URL, sitemap part, `Sitemap:` line, section, feed link, redirects of each, canonical, meta refresh."""
    site = sites.site()
    private = canary.url
    page = site.page("/a", f'<link rel=canonical href="{private("/c")}"><meta http-equiv=refresh content="0;url={private("/m")}"><p>x')
    feed = site.feed("/feed.xml", private("/feed-item"), page, site.page("/moved", redirect=private("/redirect")))
    far = site.page("/far.xml", redirect=private("/sitemap"), content_type="application/xml")
    part = site.page("/index.xml", index_of(private("/part.xml"), far), content_type="application/xml")
    entries = site.page("/map.xml", sitemap(private("/entry")), content_type="application/xml")
    site.robots(f"User-agent: *\nDisallow:\nSitemap: {private('/robots.xml')}\nSitemap: {part}\n")
    head = f'<link rel=alternate type="application/rss+xml" href="{private("/alternate.xml")}">'
    body = f'<nav><a href="{private("/menu/")}">Menu</a></nav>{links(private("/2026/11/25/news-item-1"))}'
    home = site.page("/", f"<head>{head}</head>{body}")
    world.source(homepage=home, feeds=(feed,), sitemaps=(entries,))
    world.submit(private("/by-hand"), private("/feed.xml"))
    world.crawl(delay=0.0)
    blocked = {trace.url for trace in world.rows() if trace.outcome is Outcome.SSRF_BLOCKED}
    assert {private("/feed-item"), private("/by-hand"), private("/part.xml"), private("/robots.xml"), far} <= blocked
    assert (world.outcome(page), world.outcome(site.url("/moved"))) == (State.FETCHED, Outcome.OFF_SITE)


def test_a_bug_pauses_one_host_and_is_logged(sites: Farm, world: World) -> None:
    """The bug is an invalid pattern: sources.toml would refuse it."""
    site, neighbour = sites.site(), sites.site()
    world.source("broken", allow=("(",))
    world.source("fine")
    bad = site.article("/a")
    world.submit(bad, source="broken")
    world.submit(*(neighbour.article(f"/a{n}") for n in range(3)), source="fine")
    with world.crawler():
        world.wait(lambda: len(neighbour.log) == 4 and "the worker of host" in world.log())
        world.wait(lambda: world.trace(bad).state is State.DUE)
    assert "Traceback" in world.log()
    assert world.ledger.hosts.lease("me", limit=9, seconds=9, now=now() + timedelta(minutes=5)) == []


def test_a_start_that_fails_ends_the_process(world: World) -> None:
    crawler = world.start(hosts="many")  # type: ignore[arg-type]
    assert crawler.wait(30) == 1
    assert "Traceback" in world.log()


def test_no_redis_no_schema(world: World) -> None:
    assert world.start(redis_url="redis://:secret@127.0.0.1:9/0").wait(30) == 1
    assert world.start(database_url=f"sqlite:///{world.data}/empty.db").wait(30) == 1
    assert "secret" not in world.log()


def test_a_site_without_articles_and_a_slow_site_are_named(sites: Farm, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """After the second read that found nothing, and after responses that take longer than the limit. Both are amber."""
    monkeypatch.setattr("newsmill.health.assessment.MIN_SLOW_SECONDS", 0.4)
    shop, slow = sites.site(), sites.site()
    world.source("shop", homepage=shop.page("/", "<html><body><p>Buy our things.</p></body></html>"))
    world.source("slow", feeds=(slow.feed("/rss", slow.article("/a")),))
    slow.pages = {path: replace(response, delay=0.8) for path, response in slow.pages.items() if isinstance(response, Response)}
    shown = []
    for _ in range(2):
        world.crawl(delay=0.0)
        healths = SourceHealthReader(world.engine).read_all(world.ledger.sources.list_all(), now=now())
        shown.append({name: describe_health(health, now()) for name, health in healths.items()})
        for name in ("shop", "slow"):
            world.ledger.sources.make_listings_due(name, now=now())
    assert (shown[0]["shop"], shown[1]["shop"]) == ("ok", "nothing found in 2 reads")
    assert shown[1]["slow"].startswith("slow: ") and shown[1]["slow"].endswith(" s for a response")
    views = {name: source_health_view.describe_health(name, one, load_translations("de"), now()) for name, one in healths.items()}
    assert (views["shop"].mark, views["shop"].text) == ("failing", "bei 2 Abrufen nichts gefunden")
    assert (views["slow"].mark, views["slow"].text) == ("failing", "langsam: 1 s je Antwort")


def test_the_first_articles_come_between_the_first_listings(sites: Farm, world: World) -> None:
    """After the homepage and one feed; one request after the other, each with its delay."""
    site = sites.site()
    paths = [f"/2026/11/2{n}/the-council-meets" for n in range(9)]
    names = ["politics", "sport", "culture", "science", "business", "world", "local", "travel", "health"]
    menu = f"<nav>{''.join(f'<a href=/{name}/>{name}</a>' for name in names)}</nav>"
    for path in paths:
        site.article(path)
    feed = site.feed("/feed.xml", site.url(paths[0]))
    site.page("/", f'<head><link rel=alternate type="application/rss+xml" href="{feed}"></head>{menu}{links(*paths)}')
    for name in names:
        site.page(f"/{name}/", links(*paths[:2]))
    world.source(homepage=site.url("/"), delay=0.1)
    world.crawl()
    kinds = ["page" if hit.path in paths else "listing" for hit in site.log if hit.path != "/robots.txt"]
    assert [hit.path for hit in site.log[:3]] == ["/robots.txt", "/", "/feed.xml"]
    assert kinds[2:18] == ["page", "listing"] * 8
    assert world.page(site.url(paths[0])).hint.published_at is not None, "the feed came first"
    assert min(site.gaps()[1:]) >= 0.1 - 0.03 and kinds.count("page") == 9
