"""No request reaches a private network: 120 payloads in every place that can hold a URL, and a canary that counts connections."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest
from fake_site import Farm, Site
from payloads import payloads
from world import World, now

from newsmill.exceptions import UrlError
from newsmill.model import Outcome, OutcomeRecord, Source, State
from newsmill.storage.ledger import Trace
from newsmill.text import urls

# The outcomes that a URL into a private network may have.
HARMLESS = {Outcome.SSRF_BLOCKED, Outcome.BAD_URL, Outcome.BAD_REDIRECT, Outcome.DNS}


@pytest.fixture(scope="module")
def outside(sites: Farm) -> Site:
    return sites.site("127.0.0.9")


def test_there_are_at_least_120_payloads() -> None:
    assert len(payloads("127.66.6.6", 8000)) >= 120


def test_no_payload_is_fetched_or_followed(engine: Any, sites: Farm, canary: Site) -> None:
    """As written, as the ledger would write it, and as the target of a redirect."""
    site = sites.site()
    outcomes = set()
    for payload in payloads(canary.ip, canary.port):
        for url in _spellings(payload, site):
            response = engine.fetch(url)
            if isinstance(response, OutcomeRecord):
                outcomes.add(response.outcome)
            else:  # two parsers could read it differently: this one saw an allowed host
                assert response.ip in (site.ip, "127.0.0.9"), payload
    assert outcomes <= HARMLESS | {Outcome.REFUSED, Outcome.CONNECTION}
    assert canary.connections == 0


def _spellings(payload: str, site: Site) -> list[str]:
    spellings = []
    with suppress(UrlError):  # Newsmill never requests what it cannot normalise
        spellings = [urls.normalize(payload), *([payload] if payload.isascii() and payload.isprintable() else [])]
    line = payload.replace("\r", "").replace("\n", "").replace("\0", "")
    return [*spellings, site.page("/go", redirect=line.encode().decode("latin-1"))] if line else spellings


def test_no_link_leads_into_a_private_network(sites: Farm, world: World, canary: Site) -> None:
    """Feeds, sitemaps, indexes, robots.txt, sections, homepages, canonical links, meta refresh, redirects, sources and submitted URLs."""
    bad = payloads(canary.ip, canary.port)
    site = sites.site()
    _plant(site, bad)
    robbed = sites.site()
    robbed.page("/robots.txt", redirect=f"http://{canary.host}/robots.txt")
    world.source("paper", homepage=site.url("/"))
    world.source("lists", feeds=(site.url("/feed.xml"),), sitemaps=(site.url("/sitemap.xml"), site.url("/index.xml")), discover=False)
    world.source("sections", sections=(site.url("/section"),), discover=False)
    for number, payload in enumerate(bad):  # `newsmill add` and sources.toml
        with suppress(UrlError):
            world.ledger.sources.put(Source(f"bad-{number}", homepage=payload, feeds=(payload,), sitemaps=(payload,)), now=now())
    world.submit(*bad, *_redirects(site, bad), site.url("/canonical"), site.url("/refresh"), robbed.url("/a"))
    world.crawl(seconds=90, delay=0.0)
    assert canary.connections == 0
    ends = [row for row in world.rows() if row.host.partition(":")[0] not in (site.ip, robbed.ip, "127.0.0.9")]
    assert len(ends) > 60 and {row.outcome for row in ends if not _is_retried(row)} <= HARMLESS, _describe(ends)
    assert {world.trace(url).outcome for url in _redirects(site, bad)} <= HARMLESS | {
        Outcome.OFF_SITE,
        Outcome.REDIRECTED,
        Outcome.GONE,
        Outcome.HTTP_ERROR,
        None,
    }
    assert world.outcome(robbed.url("/a")) is Outcome.SSRF_BLOCKED
    assert world.outcome(site.url("/canonical")) is State.FETCHED and world.outcome(site.url("/refresh")) is State.FETCHED


def _plant(site: Site, bad: list[str]) -> None:
    def escape(text: str) -> str:
        plain = "".join(char for char in text if char.isprintable() or char in "\t\n")
        return plain.replace("&", "&amp;").replace("<", "&lt;").replace('"', "&quot;")

    hrefs = [escape(url) for url in bad]
    site.feed("/feed.xml", *hrefs)
    locs = "".join(f"<url><loc>{url}</loc></url>" for url in hrefs)
    site.page("/sitemap.xml", f'<urlset xmlns="http://www.sitemaps.org/schemas/sitemap/0.9">{locs}</urlset>', content_type="text/xml")
    parts = locs.replace("url>", "sitemap>")
    site.page(
        "/index.xml", f'<sitemapindex xmlns="http://www.sitemaps.org/schemas/sitemap/0.9">{parts}</sitemapindex>', content_type="text/xml"
    )
    anchors = "".join(f'<li><a href="{url}">A headline long enough to be one of an article</a></li>' for url in hrefs)
    heads = "".join(f'<link rel="alternate" type="application/rss+xml" href="{url}"><link rel="next" href="{url}">' for url in hrefs)
    site.page("/section", f"<html><head>{heads}</head><body><ul>{anchors}</ul></body></html>")
    site.page("/", f"<html><head>{heads}</head><body><nav>{anchors}</nav></body></html>")
    site.robots("User-agent: *\nAllow: /\n" + "".join(f"Sitemap: {url}\n" for url in bad if url.isprintable()))
    canonical = "".join(f'<link rel="canonical" href="{url}"><link rel="amphtml" href="{url}">' for url in hrefs)
    site.page("/canonical", f"<html><head>{canonical}</head><body><p>text</p></body></html>")
    refresh = "".join(f'<meta http-equiv="refresh" content="0;url={url}"><base href="{url}"><img src="{url}">' for url in hrefs)
    site.page("/refresh", f"<html><head>{refresh}</head><body><iframe src='{hrefs[0]}'></iframe></body></html>")


def _redirects(site: Site, bad: list[str]) -> list[str]:
    lines = [(n, payload.encode().decode("latin-1")) for n, payload in enumerate(bad) if payload.replace("\t", "").isprintable()]
    return [site.page(f"/go{n}", redirect=line) for n, line in lines]


def _is_retried(row: Trace) -> bool:
    """Whether the URL is fetched again later, as after a failed name lookup."""
    return row.state is State.DUE and (row.detail or "").startswith(("dns", "robots", "ssrf_blocked"))


def _describe(rows: list[Trace]) -> list[str]:
    return [f"{row.kind} {row.url} {row.state} {row.outcome} {row.detail}" for row in rows if row.outcome not in HARMLESS]
