"""The crawler logs each failed fetch and each recovery in one line."""

from __future__ import annotations

from fake_site import Farm, Response
from sqlalchemy import update
from world import World, now

from newsmill.model import Kind
from newsmill.storage.database import writing
from newsmill.storage.schema import ledger


def test_failures_and_recoveries_are_lines_of_the_log(sites: Farm, world: World) -> None:
    site, dead = sites.site(), sites.site()
    dead.robots("", status=503)
    broken, missing, recovered = site.url("/rss"), site.page("/missing", status=404), site.feed("/again", site.url("/1"))
    site.pages["/rss"] = Response(500)
    world.source("paper", feeds=(broken, recovered))
    world.source("gone", feeds=(dead.url("/rss"),))
    world.submit(missing, source="paper")
    world.submit(*(dead.url(f"/{n}") for n in range(3)), source="gone")
    with writing(world.engine) as conn:
        conn.execute(update(ledger).where(ledger.c.url == recovered).values(failing_since=now()))
    rows = [broken, missing, recovered, dead.url("/rss")]
    world.crawl(delay=0.0, done=lambda: all(world.trace(url).failing_since or world.trace(url).ended_at for url in rows))
    log = (world.data / "crawler0.log").read_text()
    assert f"source paper: {Kind.FEED} {broken} failed: HTTP 500; next try at 2" in log
    assert f"source paper: {Kind.FEED} {recovered} works again" in log
    assert f"source gone: {Kind.FEED} {dead.url('/rss')} failed: robots.txt unreachable" in log
    assert f"source gone: 3 pages of {dead.host} failed: robots.txt unreachable" in log, "one line for the pages of a dead host"
    assert "/missing failed" not in log, "a page that is not there is no failure of the source"
