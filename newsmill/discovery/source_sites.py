"""The sites that a source speaks for: those that its operator named. A listing may link to any site, but it speaks for none of them."""

from __future__ import annotations

from newsmill.model import Source
from newsmill.text import urls

# `Link.found_by` of what a listing or a robots.txt names. Anyone writes these; the others are an operator's, a program's or a spider's.
LISTED_BY = frozenset({"feed", "sitemap", "section", "homepage", "robots", "backfill"})
MAX_SITE_REDIRECTS = 5  # from site to site, as many as one fetch follows within a site


def list_sites(source: Source | None, *more: str) -> frozenset[str]:
    """The registered domains of the homepage, feeds, sitemaps and sections of a source, and of the URLs `more`.

    >>> sorted(list_sites(Source("paper", homepage="https://www.paper.example/"), "https://feeds.other.example/paper"))
    ['other.example', 'paper.example']
    """
    named = () if source is None else source.plan_urls
    sites = map(urls.find_site, (*named, *more))
    return frozenset(site for site in sites if site is not None)


def is_hint_trusted(sites: frozenset[str], found_by: str, found_on: str | None, url: str) -> bool:
    """Whether the hint of a link may describe the page at `url` (final, after redirects). `sites`: of its source.

    A listing describes the pages of its own site, that of `found_on`, and of the sites of its source. A hint that an operator, a program of
    theirs or a spider gives may describe any page.
    """
    if found_by not in LISTED_BY:
        return True
    site = urls.find_site(url)
    return site in sites or (found_on is not None and site == urls.find_site(found_on))


def covers(source: Source, url: str) -> bool:
    """Whether the operator's rules of politeness for a source apply to a URL: on its sites; for a source of a spider alone, everywhere."""
    sites = list_sites(source)
    return not sites or urls.find_site(url) in sites
