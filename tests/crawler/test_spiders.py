"""Spiders of the operator: run when due, in a process of their own, with the limits of the continuous crawl."""

from __future__ import annotations

from fake_site import Farm
from spider_sites import serve_api
from world import World

from newsmill.model import Outcome, State
from newsmill.urls import make_spider_url

ROBOTS = "User-agent: *\nDisallow: /private\n"


def fetched(world: World) -> list[str]:
    return sorted(trace.url for trace in world.rows() if trace.state is State.FETCHED)


def test_a_json_api_becomes_articles(sites: Farm, world: World) -> None:
    site = sites.site()
    wanted = serve_api(site, 25)
    world.source(spider="crawler.spiders.json_api:JsonApiSpider", spider_args={"url": site.url("/api/articles")})
    world.crawl(seconds=60)
    print(world.states(), world.log())
    run = world.trace(make_spider_url("paper"))
    assert (run.outcome, run.detail) == (Outcome.LISTED, "25 new, 0 known; 25 finished articles")
    assert fetched(world) == sorted(wanted)
