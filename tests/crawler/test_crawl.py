"""The whole crawler on a real ledger, archive and Redis: what a source leads to."""

from __future__ import annotations

from fake_site import Farm
from world import World

from newsmill.keep.queues import Queue, connect_redis
from newsmill.model import Outcome, State


def test_a_feed_and_its_articles(sites: Farm, world: World) -> None:
    site = sites.site()
    pages = [site.article(f"/a{n}") for n in range(5)]
    feed = site.feed("/feed.xml", *pages, headers={"ETag": '"7"'})
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
