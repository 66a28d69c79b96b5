"""What one site must not do to another: take over, change, date, remove or stop its articles. Crawled for real, in both orders."""

from __future__ import annotations

from datetime import UTC, datetime
from email.utils import format_datetime
from html import escape

import pytest
from fake_site import Farm, Site
from world import World, now

from newsmill.model import Document, Outcome, State
from newsmill.storage.documents import Documents

FORGED = datetime(2019, 1, 1, 8, tzinfo=UTC)
STORIES = ("bridge", "budget", "storm", "harbour")


def write(site: Site, path: str, topic: str, title: str | None = None) -> str:
    """An article without a date and an author, as the fields of a feed's entry would complete it."""
    text = "".join(
        f"<p>{f'The {topic} was on the agenda of the council for the {part} time, and nobody had expected it. ' * 4}</p>"
        for part in ("first", "second", "third")
    )
    heading = title or f"The council and the {topic}"
    return site.page(path, f"<html><head><title>{heading}</title></head><body><article><h1>{heading}</h1>{text}</article></body></html>")


def list_entries(site: Site, path: str, *links: str, forged: bool = False) -> str:
    """A feed; a forged one states a date, an author and tags for each entry."""
    extra = (
        f"<pubDate>{format_datetime(FORGED)}</pubDate><author>m@x.example (Mallory)</author><category>forged</category>" if forged else ""
    )
    items = "".join(f"<item><title>Entry {number}</title><link>{escape(link)}</link>{extra}</item>" for number, link in enumerate(links))
    body = f'<rss version="2.0"><channel><title>F</title><link>{site.url()}</link>{items}</channel></rss>'
    return site.page(path, body, content_type="application/rss+xml")


def crawl(world: World) -> None:
    world.crawl(delay=0.0)
    world.extract()


def find(world: World, url: str) -> Document:
    found = Documents(world.engine).get(url)
    assert found is not None, world.states()
    return found


@pytest.mark.parametrize("first", ["hostile", "honest"])
def test_a_hostile_feed_changes_nothing_of_another_site(sites: Farm, world: World, first: str) -> None:
    honest, hostile = sites.site(), sites.site()
    stories = [write(honest, f"/{topic}", topic) for topic in STORIES]
    honest_feed = list_entries(honest, "/feed.xml", *stories[:2])
    locations = "".join(f"<url><loc>{story}</loc></url>" for story in stories[2:])
    honest_map = honest.page("/map.xml", f"<urlset>{locations}</urlset>", content_type="application/xml")
    head = '<head><link rel="alternate" type="application/rss+xml" href="/feed.xml"></head>'
    homepage = honest.page("/", f"{head}<p>News</p>")
    honest.robots(f"User-agent: *\nDisallow:\nSitemap: {honest_map}\n")
    trap = hostile.page("/r1", redirect=stories[0])
    named = (trap, stories[1], honest_feed, honest_map, homepage)
    hostile_feed = list_entries(hostile, "/feed.xml", *named, forged=True)

    plans = {"hostile": {"feeds": (hostile_feed,)}, "honest": {"homepage": homepage}}
    for name in sorted(plans, key=lambda name: name != first):
        world.source(name, **plans[name])
        crawl(world)
    for name in plans:
        world.ledger.sources.make_listings_due(name, now=now())
    crawl(world)

    assert world.outcome(trap) is Outcome.REDIRECTED
    assert [world.outcome(url) for url in (honest_feed, honest_map)] == [Outcome.LISTED] * 2
    assert [world.trace(url).source for url in (homepage, honest_feed, honest_map, *stories)] == ["honest"] * 7

    write(hostile, "/r1", "lie", title="The council and the bridge")
    world.ledger.retries.retry(urls=[trap], refetch=True, now=now())
    crawl(world)
    hostile.page("/r1", "gone", status=410)
    world.ledger.retries.retry(urls=[trap], refetch=True, now=now())
    crawl(world)

    for story, topic in zip(stories, STORIES, strict=True):
        document = find(world, story)
        assert (document.url, document.source, document.title) == (story, "honest", f"The council and the {topic}")
        assert (document.published_at, document.authors, document.tags) == (None, (), ())
        assert (document.revision, document.gone_at) == (1, None) and f"The {topic} was" in document.text
    assert Documents(world.engine).count("honest") == len(STORIES)


def test_a_feed_behind_a_counter_of_clicks_keeps_its_hints(sites: Farm, world: World) -> None:
    """The redirect leaves the site of the counter, and leads to a site of the source."""
    paper, counter = sites.site(), sites.site()
    story = write(paper, "/bridge", "bridge")
    feed = list_entries(paper, "/feed.xml", counter.page("/click/1", redirect=story), forged=True)
    world.source("paper", feeds=(feed,))
    crawl(world)
    document = find(world, counter.url("/click/1"))
    assert (document.url, document.requested_url, document.source, document.published_at) == (story, story, "paper", FORGED)
    assert world.trace(counter.url("/click/1")).detail == f"redirects to {story}"


def test_redirects_from_site_to_site_end(sites: Farm, world: World) -> None:
    """Each has a row of its own, so that a chain cannot be followed for ever."""
    hostile, other = sites.site(), sites.site()
    for number in range(20):
        for site, next_site in ((hostile, other), (other, hostile)):
            site.page(f"/{number}", redirect=next_site.url(f"/{number + 1}"))
    world.source("hostile", feeds=(list_entries(hostile, "/feed.xml", hostile.url("/0")),))
    crawl(world)
    outcomes = [trace.outcome for trace in world.rows() if trace.found_by == "feed"]
    assert outcomes == [Outcome.REDIRECTED] * 5 + [Outcome.REDIRECT_LOOP]


def test_news_of_a_site_is_fetched_before_what_another_site_links_to(sites: Farm, world: World) -> None:
    honest, hostile = sites.site(), sites.site()
    junk = [honest.url(f"/junk/{number}") for number in range(30)]
    story = write(honest, "/bridge", "bridge")
    world.source("hostile", feeds=(list_entries(hostile, "/feed.xml", *junk),))
    world.crawl(delay=1.0, done=lambda: world.ledger.traces.get(junk[-1]) is not None)  # ends before all junk is fetched, on any machine
    assert any(world.outcome(url) is State.DUE for url in junk)
    world.source("honest", feeds=(list_entries(honest, "/feed.xml", story),))
    world.crawl(delay=0.0)
    paths = [hit.path for hit in honest.log]
    assert paths.index("/bridge") == paths.index("/feed.xml") + 1, paths


def test_permission_and_pace_of_a_source_hold_on_its_own_sites(sites: Farm, world: World) -> None:
    """A source that need not obey robots.txt, and may be fetched without a delay, links to another site."""
    own, other = sites.site(), sites.site()
    for site in (own, other):
        site.robots("User-agent: *\nDisallow: /private/\n")
    private = [write(site, "/private/bridge", "bridge") for site in (own, other)]
    paced = [write(other, f"/{topic}", topic) for topic in STORIES]
    feed = list_entries(own, "/feed.xml", *private, *paced)
    world.source("paper", feeds=(feed,), robots=False)
    world.crawl(delay=0.4)
    assert [world.outcome(url) for url in private] == [State.FETCHED, Outcome.ROBOTS_DISALLOWED]
    assert len(other.log) == 1 + len(STORIES) and min(other.gaps()[1:]) >= 0.4
