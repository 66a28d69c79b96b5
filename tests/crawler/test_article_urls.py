"""A real crawl of a site that shows its articles at many URLs: each article is one document, found by every one of them.

`tests/storage/test_article_urls.py` has more cases, in every order.
"""

from __future__ import annotations

import random
from html import escape

import pytest
from fake_site import Farm, Site
from world import World, now

from newsmill.model import Outcome
from newsmill.storage.documents import Documents
from newsmill.storage.source_checks import SourceAlarms

WORDS = "council bridge river mayor budget garden engine harbour winter report minister police village railway market doctor".split()  # noqa: SIM905


def article(site: Site, path: str, name: str, canonical: str | None = None) -> str:
    chosen = random.Random(name)
    text = "".join(f"<p>{' '.join(chosen.choices(WORDS, k=25)).capitalize()}.</p>" for _ in range(8))
    link = "" if canonical is None else f'<link rel="canonical" href="{canonical}">'
    title = f"What the {name} means for the town"
    return site.page(path, f"<html><head><title>{title}</title>{link}</head><body><article><h1>{title}</h1>{text}</article></body></html>")


def test_a_site_that_shows_its_articles_at_many_urls(sites: Farm, world: World) -> None:
    site = sites.site()
    shown = {
        "bridge": [
            article(site, "/the-bridge", "bridge", canonical="/the-bridge"),
            *(article(site, path, "bridge", canonical="/the-bridge") for path in ("/the-bridge/amp", "/print/the-bridge")),
            *(article(site, f"/the-bridge?{query}", "bridge") for query in ("ref=7&from=app", "from=mail")),
            site.page("/go/1", redirect="/the-bridge?utm_source=x", status=301),
        ],
        "harbour": [article(site, f"/story;v=1?id=7&sid={session}", "harbour") for session in ("a1b2", "c3d4", "e5f6")],
        "river": [article(site, "/river/", "river", canonical="/"), article(site, "/river/index.html", "river", canonical="/")],
        "garden": [article(site, "/garden", "garden", canonical="/market")],
        "market": [article(site, "/market", "market", canonical="https://elsewhere.example/market")],
        "police": [article(site, "/police", "police", canonical="/village"), article(site, "/village", "police", canonical="/police")],
    }
    site.page("/the-bridge?utm_source=x", redirect="/the-bridge")
    extra = {"bridge": [site.url("/the-bridge#top"), site.url("/the-bridge/?fbclid=x")], "river": [site.url("//river")]}
    feed = site.feed("/rss.xml", *(escape(url) for urls in (*shown.values(), *extra.values()) for url in urls))
    world.source(feeds=(feed,), discover=False)
    world.crawl(delay=0.0)
    world.extract()
    documents = Documents(world.engine)
    for name, page_urls in shown.items():
        found = {(document.id, document.title) for url in page_urls + extra.get(name, []) if (document := documents.get(url))}
        assert [title for _, title in found] == [f"What the {name} means for the town"], world.states()
    assert documents.count() == len(shown)
    assert all(trace.document_id for trace in world.rows() if trace.kind == "page"), world.states()


@pytest.mark.parametrize("is_on_paper", [True, False])
def test_a_feed_whose_links_lead_through_a_service_that_counts_clicks(sites: Farm, world: World, is_on_paper: bool) -> None:
    """A link is requested once, and its document has the URL of the article. Without a homepage, the feed may be on a third site."""
    paper, service = sites.site(), sites.site()
    names = ["bridge", "harbour"]
    articles = [article(paper, f"/the-{name}", name) for name in names]
    shown = [service.page(f"/click/{name}", redirect=url) for name, url in zip(names, articles, strict=True)]
    feed = (paper if is_on_paper else sites.site()).feed("/rss.xml", *shown)
    world.source(feeds=(feed,), discover=False)
    for _ in range(2):
        world.crawl(delay=0.0)
        world.extract()
        world.ledger.sources.make_listings_due("paper", now=now())
    documents = Documents(world.engine)
    for url, link in zip(articles, shown, strict=True):
        found = [documents.get(url), documents.get(link)]
        assert [document and (document.url, document.source) for document in found] == [(url, "paper")] * 2, world.states()
        assert [world.outcome(link), world.trace(link).final_url] == [Outcome.REDIRECTED, url]
        assert world.outcome(url) is Outcome.STORED
    assert len(service.hits("/click/bridge")) == len(paper.hits("/the-bridge")) == 1
    assert documents.count() == 2 and SourceAlarms(world.engine).list_history("paper") == []
