"""What an inspection finds on sites of every kind, and what it says of those that cannot be followed."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from crawler.fetching.robots import RobotsResponse
from crawler.inspection.samples import choose_articles, find_refusal, read_article
from crawler.inspection.site_inspector import SiteInspector
from crawler.listings.parser import ListingParser
from crawler.politeness.throttle import HostThrottle, StopSignal
from newsmill.discovery.robots import RobotsTxt
from newsmill.discovery.xml_elements import CUT_OFF
from newsmill.model import Hint, Kind, Link, Outcome, OutcomeRecord, Page
from newsmill.sandbox.pages import Sandbox
from newsmill.site_inspection.findings import FoundListing, Obstacle, SampleArticle, SiteInspection
from newsmill.site_inspection.plan import complete, get_article_host

SITE = "https://paper.example"
NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)


def rss(*paths: str, site: str = SITE) -> str:
    items = "".join(f"<item><link>{site}{path}</link><title>A title of {path}</title></item>" for path in paths)
    return f"<rss version='2.0'><channel>{items}</channel></rss>"


def home(*links: str, head: str = "") -> str:
    anchors = "".join(f'<h2><a href="{link}">Five words are a headline here</a></h2>' for link in links)
    return f'<html><head>{head}</head><body><nav><a href="/politics/">Politics</a></nav><main>{anchors}</main></body></html>'


INDEX = (
    "<sitemapindex><sitemap><loc>https://paper.example/old.xml</loc></sitemap>"
    "<sitemap><loc>https://paper.example/sitemap-news.xml</loc></sitemap></sitemapindex>"
)
NEWS = (
    '<urlset xmlns:news="http://www.google.com/schemas/sitemap-news/0.9"><url><loc>https://paper.example/2026/11/24/from-the-news-sitemap</loc>'
    "<news:news><news:publication_date>2026-11-24T10:00:00Z</news:publication_date><news:title>News</news:title></news:news></url></urlset>"
)
FEED_LINK = '<link rel="alternate" type="application/rss+xml" href="/feed">'
JSON_LINK = '<link rel="alternate" type="application/feed+json" href="/feed.json">'
JSON_FEED = '{"version": "https://jsonfeed.org/version/1.1", "items": [{"id": "1", "url": "https://paper.example/2026/json-story"}]}'
CONSENT = (
    "<html><head><title>Your privacy</title></head><body><h1>We value your privacy</h1><p>We and our 800 partners store and access "
    "cookies on your device and process personal data to show personalised ads. Please accept cookies or manage your consent choices.</p>"
    "</body></html>"
)
STORIES = [f"/2026/11/24/a-story-with-number-{number}" for number in range(5)]


class FakeFetcher:
    """Answers from a table of paths. Anything else is HTTP 404."""

    def __init__(self, pages: Mapping[str, str | bytes | OutcomeRecord], robots: str) -> None:
        self.pages, self.requests = pages, 0
        self.redirects: dict[str, str] = {}  # URL → final URL
        self.fetched: list[str] = []
        self.throttle = HostThrottle("paper.example", "Newsmill", StopSignal())
        self.throttle.robots = RobotsTxt.parse(robots.encode())
        self.robots = {"paper.example": RobotsResponse(200, robots.encode())}

    async def fetch(self, url: str, kind: Kind = Kind.PAGE) -> Page | OutcomeRecord:
        self.requests += 1
        path = url.removeprefix(SITE)
        self.fetched.append(path)
        if not self.throttle.robots or not self.throttle.robots.can_fetch(url, "Newsmill"):
            return OutcomeRecord(Outcome.ROBOTS_DISALLOWED)
        body = self.pages.get(path, OutcomeRecord(Outcome.GONE, "HTTP 404"))
        if isinstance(body, OutcomeRecord):
            return body
        return Page(
            url, self.redirects.get(url, url), NOW, 200, (("TDM-Reservation", "1"),), body.encode() if isinstance(body, str) else body
        )

    def get_throttle(self, url: str) -> HostThrottle:
        return self.throttle


async def run(
    parser: ListingParser,
    path: str,
    pages: Mapping[str, str | bytes | OutcomeRecord],
    robots: str = "",
    redirects: Mapping[str, str] | None = None,
) -> SiteInspector:
    fetcher = FakeFetcher(pages, robots)
    fetcher.redirects = dict(redirects or {})
    inspector = SiteInspector(f"{SITE}{path}", fetcher, parser)  # type: ignore[arg-type]
    await inspector.run()
    return inspector


def finish(inspector: SiteInspector, outcome: Outcome = Outcome.STORED) -> SiteInspection:
    """The inspection with articles of that outcome, which the process extracts after the fetches."""
    samples = tuple(SampleArticle(url, outcome, language="en") for url in inspector.article_urls)
    return complete(replace(inspector.found, articles=samples))


async def inspect_all() -> None:
    parser = ListingParser()
    try:
        # a homepage with everything: the news sitemap of the index comes first, two formats of one feed are one
        pages = {
            "/": home(*STORIES, head=FEED_LINK + JSON_LINK + '<meta name="robots" content="noai">'),
            "/feed": rss(*STORIES[:2]),
            "/feed.json": JSON_FEED,
            "/sitemap.xml": INDEX,
            "/sitemap-news.xml": NEWS,
            "/.well-known/tdmrep.json": '[{"location": "/", "tdm-reservation": 1}]',
        }
        whole = await run(
            parser, "/", pages, f"Sitemap: {SITE}/sitemap.xml\nSitemap: {SITE}/sitemap-news.xml\nContent-Signal: ai-train=no\n"
        )
        found = finish(whole)
        assert found.kind is Kind.HOMEPAGE and found.obstacle is None and found.language == "en"
        assert found.plan == {
            "homepage": f"{SITE}/",
            "feeds": [f"{SITE}/feed", f"{SITE}/feed.json"],
            "sitemaps": [f"{SITE}/sitemap-news.xml", f"{SITE}/sitemap.xml"],
            "language": "en",
        }
        assert found.sections == (f"{SITE}/politics/",)
        assert whole.article_urls[0] == f"{SITE}/2026/11/24/from-the-news-sitemap" and len(whole.article_urls) == 3
        assert {one.name for one in found.declarations} == {"tdm-reservation", "robots", "content-signal", "tdmrep"}
        assert len(whole.fetcher.fetched) == 10  # type: ignore[attr-defined]

        # a homepage that names nothing: usual URLs are tried until one is right
        guessed = await run(parser, "/", {"/": home(), "/rss.xml": rss("/1", "/2"), "/sitemap_index.xml": INDEX})
        assert finish(guessed).plan["feeds"] == [f"{SITE}/rss.xml"]
        assert [one.found_by for one in guessed.found.feeds] == ["guess"]
        assert "/atom.xml" not in guessed.fetcher.fetched  # type: ignore[attr-defined]

        # a feed and a sitemap are told by content, under any name
        feed = await run(parser, "/data", {"/data": rss("/a", site="https://other.example")})
        assert finish(feed).plan == {"feeds": [f"{SITE}/data"], "discover": False, "language": "en"}
        assert get_article_host(finish(feed)) == "other.example"
        sitemap = await run(parser, "/x.php", {"/x.php": INDEX, "/sitemap-news.xml": NEWS})
        assert finish(sitemap).plan["sitemaps"] == [f"{SITE}/x.php"] and len(sitemap.article_urls) == 1
        section = await run(parser, "/sport/", {"/sport/": home(*STORIES, head=FEED_LINK), "/feed": rss("/1")})
        assert finish(section).plan == {"sections": [f"{SITE}/sport/"], "discover": False, "language": "en"}

        # a section's own feed has its name in the URL, or is below its path
        head = "".join(
            f'<link rel="alternate" type="application/rss+xml" href="{path}">' for path in ("/feed", "/rss/sports.xml", "/rss/Sport.xml")
        )
        named = await run(parser, "/sport/", {"/sport/": home(*STORIES, head=head), "/feed": rss("/1"), "/rss/Sport.xml": rss("/2")})
        assert finish(named).plan["feeds"] == [f"{SITE}/rss/Sport.xml"] and len(named.fetcher.fetched) < 9  # type: ignore[attr-defined]

        # a homepage of frames: the news are in the second
        frames = '<frameset><frame src="menu.htm"><frame src="news.htm"></frameset>'
        framed = await run(parser, "/", {"/": frames, "/menu.htm": home(), "/news.htm": home(*STORIES)})
        assert finish(framed).plan == {"homepage": f"{SITE}/", "language": "en"}
        assert (framed.found.final_url, framed.found.article_links) == (f"{SITE}/news.htm", len(STORIES))

        # a homepage that redirects in HTML to that of a language
        refresh = '<html><head><meta http-equiv="refresh" content="0; url=/en/"></head></html>'
        edition = await run(parser, "/", {"/": refresh, "/en/": home(*STORIES, head=FEED_LINK), "/feed": rss("/1")})
        assert finish(edition).plan == {"homepage": f"{SITE}/", "feeds": [f"{SITE}/feed"], "language": "en"}
        assert (edition.found.final_url, edition.found.article_links) == (f"{SITE}/en/", len(STORIES))

        # a consent dialog on another host: the feeds are looked for on the given one
        asked = await run(
            parser, "/", {"/": CONSENT, "/rss.xml": rss(*STORIES)}, redirects={f"{SITE}/": "https://consent.example/ask?site=1"}
        )
        assert finish(asked).plan["feeds"] == [f"{SITE}/rss.xml"]
        assert not [url for url in asked.fetcher.fetched if "consent.example" in url]  # type: ignore[attr-defined]

        # a paper that has moved: the feeds are looked for on its new host
        new = "https://new.example"
        answers = {"/": home(*(f"{new}{story}" for story in STORIES)), f"{new}/rss.xml": rss(*STORIES, site=new)}
        moved = await run(parser, "/", answers, redirects={f"{SITE}/": f"{new}/"})
        assert finish(moved).plan["feeds"] == [f"{new}/rss.xml"]

        # a consent dialog on another host of the same domain
        asked = await run(parser, "/", {"/": CONSENT, "/rss.xml": rss(*STORIES)}, redirects={f"{SITE}/": "https://consent.paper.example/"})
        assert finish(asked).plan["feeds"] == [f"{SITE}/rss.xml"]

        # the news sitemap comes before others also in the URLs of Arc XP, and of more sitemaps than are read
        named = [f"{SITE}/outboundfeeds/sitemap-{name}/?outputType=xml" for name in ("index", "section", "video", "extra", "news-index")]
        arc = await run(parser, "/", {"/": home(), named[-1].removeprefix(SITE): NEWS}, "".join(f"Sitemap: {url}\n" for url in named))
        assert finish(arc).plan["sitemaps"] == [named[-1]] and named[-2].removeprefix(SITE) not in arc.fetcher.fetched  # type: ignore[attr-defined]

        # a sitemap that robots.txt names on another host (sitemaps.org, "Sitemaps & Cross Submits")
        elsewhere = "https://storage.example/paper/sitemap.xml"
        stored = await run(parser, "/", {"/": home(), elsewhere: NEWS}, f"Sitemap: {elsewhere}\n")
        assert finish(stored).plan["sitemaps"] == [elsewhere] and len(stored.article_urls) == 1

        # a feed that is cut off: named, whether it can be used or not
        for cut, kept in ((rss(*STORIES)[:60], None), (rss(*STORIES)[:-30], 5)):
            beside = await run(parser, "/", {"/": home(*STORIES, head=FEED_LINK), "/feed": cut})
            (one,) = beside.found.feeds
            assert finish(beside).can_follow and one.is_usable == bool(kept) and (one.damage is None) == (kept is None)
            assert str(one.damage or one.failure.detail) == CUT_OFF  # type: ignore[union-attr]
        alone = finish(await run(parser, "/f", {"/f": rss(*STORIES)[:60]}))
        assert (alone.obstacle, alone.failure) == (Obstacle.UNREACHABLE, OutcomeRecord(Outcome.DATA_LOSS, CUT_OFF))

        # what cannot be followed
        cases: list[tuple[str, Mapping[str, str | bytes | OutcomeRecord], str, Obstacle]] = [
            ("/", {}, "", Obstacle.UNREACHABLE),
            ("/", {"/": OutcomeRecord(Outcome.DNS, "no address")}, "", Obstacle.UNREACHABLE),
            ("/", {"/": home(*STORIES)}, "User-agent: *\nDisallow: /", Obstacle.ROBOTS),
            ("/l", {"/l": "<?xml version='1.0'?><opml><body/></opml>"}, "", Obstacle.OPML),
            ("/", {"/": "<html><body><div id=root></div><script src=/app.js></script></body></html>"}, "", Obstacle.NO_LINKS),
            ("/", {"/": b"%PDF-1.7 \0\0"}, "", Obstacle.NOT_A_PAGE),
            ("/f", {"/f": "<rss><channel/></rss>"}, "", Obstacle.EMPTY),
        ]
        for path, answers, robots, obstacle in cases:
            result = finish(await run(parser, path, answers, robots))
            assert (result.obstacle, result.can_follow, result.plan) == (obstacle, False, {}), path
        script = finish(whole, Outcome.NEEDS_SCRIPT)
        assert (script.obstacle, script.remedy, script.can_follow) == (Obstacle.NEEDS_SCRIPT, "render", True)
        assert finish(whole, Outcome.ROBOTS_DISALLOWED).remedy == "robots"
        assert finish(whole, Outcome.NO_TEXT).obstacle is Obstacle.ARTICLES_FAIL
    finally:
        await parser.close()


async def inspect_static_site() -> None:
    """As static site generators make them: the sitemap has the sections, and its index the feeds of tags and authors."""
    parser = ListingParser()
    try:
        sections = "<url><loc>https://paper.example/politics/</loc><lastmod>2026-11-24</lastmod></url>"
        pages = {
            "/": home(*STORIES),
            "/sitemapindex.xml": "<sitemapindex><sitemap><loc>https://paper.example/authors/newsdesk.xml</loc></sitemap>"
            "<sitemap><loc>https://paper.example/sitemap.xml</loc></sitemap></sitemapindex>",
            "/authors/newsdesk.xml": rss(*STORIES[:1]),
            "/sitemap.xml": f"<urlset>{sections}</urlset>",
        }
        robots = f"Sitemap: {SITE}/sitemapindex.xml\nSitemap: {SITE}/sitemap.xml\n"
        inspector = await run(parser, "/", pages, robots)
        found = finish(inspector)
        assert found.plan["sitemaps"] == [f"{SITE}/sitemapindex.xml", f"{SITE}/sitemap.xml"]
        assert found.sections == (f"{SITE}/politics/",)
        assert inspector.article_urls == [f"{SITE}{path}" for path in STORIES[:3]]
        # a page of welcome above a blog, without a feed and a sitemap
        welcome = '<html><body><nav><a href="/about/">About</a><a href="/blog/">Blog</a></nav><p>Welcome.</p></body></html>'
        inspector = await run(parser, "/", {"/": welcome, "/blog/": home(*STORIES)})
        found = finish(inspector)
        assert (found.obstacle, found.plan) == (None, {"homepage": f"{SITE}/", "language": "en"})
        assert inspector.article_urls == [f"{SITE}{path}" for path in STORIES[:3]]
    finally:
        await parser.close()


def test_static_sites() -> None:
    asyncio.run(inspect_static_site())


def test_sites_of_every_kind() -> None:
    asyncio.run(inspect_all())


@pytest.mark.parametrize(
    ("html", "outcome"),
    [
        (CONSENT, Outcome.CONSENT_WALL),
        (
            "<html><head><title>Just a moment...</title></head><body><p>Checking your browser before accessing</p></body></html>",
            Outcome.BLOCKED,
        ),
        (home("/one-story"), None),
        ("<html><body><div id=root></div></body></html>", None),
    ],
)
def test_homepages_that_refuse(html: str, outcome: Outcome | None) -> None:
    with Sandbox() as sandbox:
        refusal = find_refusal(sandbox, Page(f"{SITE}/", f"{SITE}/", NOW, 200, (("Content-Type", "text/html"),), html.encode()))
    assert (None if refusal is None else refusal.outcome) is outcome


def test_a_feed_whose_links_redirect_is_named_after_the_site_of_its_articles() -> None:
    """Its links lead to a service that counts clicks, on the host of the feed."""
    link, article = "https://feeds.example/~r/paper/1", f"{SITE}/2026/a-story-of-the-harbour"
    html = b"<html><body><article><h1>A story</h1><p>" + b"The council wants to build a bridge. " * 20 + b"</p></article></body></html>"
    with Sandbox() as sandbox:
        sample = read_article(sandbox, link, Page(link, article, NOW, 200, (("Content-Type", "text/html"),), html))
    feed = FoundListing("https://feeds.example/paper", Kind.FEED, "given", 1)
    found = complete(SiteInspection(feed.url, Kind.FEED, feeds=(feed,), articles=(sample,)))
    assert (sample.outcome, sample.url, get_article_host(found)) == (Outcome.STORED, article, "paper.example")


def test_samples_are_the_newest_articles() -> None:
    """The homepage links to an article without its date, and the feed gives it, maybe in another spelling of the URL."""
    undated = [Link(f"{SITE}/{number}/") for number in range(4)]
    dated = [Link(f"{SITE}/{number}/", hint=Hint(published_at=NOW + timedelta(hours=number))) for number in range(2, 5)]
    assert choose_articles([*undated, *dated]) == dated[::-1]
    spelled = Link("http://www.paper.example/3", hint=dated[1].hint)
    assert choose_articles([undated[3], undated[0], spelled]) == [spelled, undated[0]]


@pytest.mark.parametrize("url", ["x" * 9000, "ftp://a.example", "http://"])
def test_texts_that_are_no_url(url: str) -> None:
    from newsmill.exceptions import UrlError
    from newsmill.site_inspection.processes import inspect_site

    with pytest.raises(UrlError):
        inspect_site(url)
