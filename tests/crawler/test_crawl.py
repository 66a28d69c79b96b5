"""The whole crawler on a real ledger, archive and Redis: what a source leads to."""

from __future__ import annotations

from fake_site import Farm
from world import World

from newsmill.keep.queues import Queue, connect_redis
from newsmill.model import Outcome, State


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


def test_patterns_and_redirects_of_a_source(sites: Farm, world: World) -> None:
    """What is denied is never asked for, not even through a redirect; a source's pages stay on its sites, a person's may go anywhere."""
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
        by_hand: State.FETCHED,
        denied: Outcome.DENIED,
        to_denied: Outcome.DENIED,
        news: State.FETCHED,
        blog: Outcome.DENIED,
        feed: Outcome.LISTED,
    }
    assert world.trace(by_hand).final_url == other.url("/a")
    assert world.page(by_hand).redirects == (by_hand,)
    assert {hit.path for hit in site.log}.isdisjoint({"/tag/x", "/blog/a"})
    assert [hit.path for hit in other.log] == ["/robots.txt", "/a"]
