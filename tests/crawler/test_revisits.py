"""Stored articles are fetched again by a real crawler, with conditional requests."""

from __future__ import annotations

from datetime import timedelta

from fake_site import Farm, Hit, Response
from sqlalchemy import update
from world import World, now

from newsmill.model import Outcome, State
from newsmill.storage.database import writing
from newsmill.storage.documents import Documents
from newsmill.storage.schema import ledger

MODIFIED = "Wed, 25 Nov 2026 12:00:00 GMT"


def test_articles_are_fetched_again_with_conditions(sites: Farm, world: World) -> None:
    site = sites.site()
    names = ("same", "edited", "gone", "walled", "down")
    validators = {"ETag": '"v1"', "Last-Modified": MODIFIED}
    articles = {name: site.article(f"/2026/{name}", f"The {name} bridge") for name in names}
    for path, response in [*site.pages.items()]:
        assert isinstance(response, Response)
        site.pages[path] = Response(200, (*response.headers, *validators.items()), response.body)
    world.source(feeds=(site.feed("/rss.xml", *articles.values()),), discover=False)
    world.crawl()
    world.extract()
    documents = Documents(world.engine)
    before = {name: documents.get(url) for name, url in articles.items()}
    ended_at = {name: world.trace(url).ended_at for name, url in articles.items()}
    assert all(before.values()) and all("if-none-match" not in hit.headers for hit in site.log)

    def same(hit: Hit) -> Response:
        sent = (hit.headers.get("if-none-match"), hit.headers.get("if-modified-since"))
        return Response(304 if sent == ('"v1"', MODIFIED) else 200)

    site.pages["/2026/same"] = same
    site.article("/2026/edited", "The edited bridge is closed")
    site.page("/2026/gone", status=410)
    site.page("/2026/walled", status=403)
    site.page("/2026/down", status=503)
    site.log.clear()
    with writing(world.engine) as conn:
        conn.execute(update(ledger).where(ledger.c.revisit_at.is_not(None)).values(revisit_at=now()))
    assert world.ledger.due_revisits.make_due(now=now()) == len(names)
    world.crawl(done=lambda: all(world.trace(url).state not in (State.DUE, State.FETCHING) for url in articles.values()))
    assert sorted(hit.path for hit in site.log if hit.path != "/rss.xml") == sorted(
        [*(f"/2026/{name}" for name in names), *(hit.path for hit in site.log if hit.path == "/robots.txt")]
    )
    assert all(hit.headers["if-none-match"] == '"v1"' for hit in site.log if hit.path.startswith("/2026"))
    world.extract()
    after = {name: documents.get(url) for name, url in articles.items()}
    assert {name for name in names if after[name] == before[name]} == {"same", "walled", "down"}
    assert after["edited"] is not None and (after["edited"].title, after["edited"].revision) == ("The edited bridge is closed", 2)
    assert after["gone"] is not None and after["gone"].gone_at is not None and after["gone"].revision == 1
    for name, url in articles.items():
        trace = world.trace(url)
        assert (trace.state, trace.outcome, trace.ended_at) == (State.DONE, Outcome.STORED, ended_at[name])
        assert trace.revisit_at is not None and trace.revisit_at > now() + timedelta(minutes=30)
    failures = {name: world.trace(url).failure for name, url in articles.items() if world.trace(url).failure}
    assert failures == {"gone": Outcome.GONE, "walled": Outcome.HTTP_ERROR, "down": Outcome.HTTP_ERROR}

    # a sitemap says of one article that it changed meanwhile; dates have whole seconds
    with writing(world.engine) as conn:
        conn.execute(update(ledger).where(ledger.c.fetched_at.is_not(None)).values(fetched_at=now() - timedelta(minutes=1)))
    dates = {"same": now(), "edited": now() - timedelta(days=30), "walled": now() - timedelta(days=60)}
    entries = "".join(f"<url><loc>{articles[name]}</loc><lastmod>{at.isoformat()}</lastmod></url>" for name, at in dates.items())
    site_map = site.page("/map.xml", f"<urlset>{entries}</urlset>")
    world.source(feeds=(site.feed("/rss.xml", *articles.values()),), sitemaps=(site_map,), discover=False)

    def due() -> set[str]:
        return {name for name, url in articles.items() if (at := world.trace(url).revisit_at) is not None and at <= now()}

    world.crawl(done=lambda: bool(due()))  # the site sees the request for the sitemap before the crawler has read the answer
    assert due() == {"same"}
