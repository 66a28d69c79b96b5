"""The plan that follows from the inspection of a site, or the obstacle."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit

from newsmill.exceptions import UrlError
from newsmill.model import Kind, Outcome, OutcomeRecord, get_refusal
from newsmill.site_inspection.findings import FATAL, Advice, Obstacle, SiteInspection
from newsmill.text import urls

MIN_ARTICLE_LINKS = 3  # of a homepage without feeds and sitemaps; a section may be young
MAX_COUNTED_PAGES = 500  # of one listing
_HOMEPAGE_PATH = re.compile(  # "/", "/en/", "/home", "/index.html"
    r"/?(?:[a-z]{2}(?:[-_][a-z]{2})?/?)?(?:home/?)?(?:(?:index|home|default)\.\w+)?", re.I
)


def choose_site_url(given: str, final: str, article_links: int) -> str:
    """The homepage whose host has the feeds and sitemaps of a site: `final`, to which `given` redirects, if it is a page of the site.

    A consent dialog on another host has hardly a link to an article, and that host has no feeds.
    """
    hosts = {urls.get_host(url).removeprefix("www.") for url in (given, final)}
    return final if len(hosts) == 1 or article_links >= MIN_ARTICLE_LINKS else given


def is_homepage(url: str) -> bool:
    """Whether a page at this URL speaks for its whole host: the root, an index page, /home, or an edition such as /en/."""
    parts = urlsplit(url)
    return not parts.query and _HOMEPAGE_PATH.fullmatch(parts.path) is not None


def find_advice(failure: OutcomeRecord) -> Advice | None:
    """What helps with this failure; None: a later try may.

    >>> find_advice(OutcomeRecord(Outcome.HTTP_ERROR, "HTTP 403"))
    <Advice.REFUSED: 'refused'>
    """
    match failure.outcome:
        case Outcome.BLOCKED:
            return Advice.REFUSED
        case Outcome.REDIRECT_LOOP:
            return Advice.COOKIES
        case Outcome.CONSENT_WALL:
            return Advice.CONSENT
    return None if get_refusal(failure) in (None, "HTTP 429") else Advice.REFUSED


def make_plan(inspection: SiteInspection, *, delay: float | None = None) -> dict[str, Any]:
    """The table of sources.toml that follows the site. `delay`: seconds between two requests, if it differs from the default."""
    table: dict[str, Any] = {}
    feeds = [feed.url for feed in inspection.feeds if feed.is_usable]
    sitemaps = [sitemap.url for sitemap in inspection.sitemaps if sitemap.is_usable]
    if inspection.kind is Kind.HOMEPAGE:
        table = {"homepage": inspection.url, "feeds": feeds, "sitemaps": sitemaps}
    elif inspection.kind is Kind.SECTION:
        table = {"feeds": feeds, "sections": [inspection.url], "discover": False}
    elif inspection.kind is not None:
        table = {"feeds": feeds, "sitemaps": sitemaps, "discover": False}
    if inspection.language is not None:
        table["language"] = inspection.language
    if delay is not None:
        table["politeness"] = {"delay": float(delay)}
    return {key: value for key, value in table.items() if value not in ([], None)}


def find_obstacle(inspection: SiteInspection) -> Obstacle | None:
    """Why the listings that were found, or the articles that were fetched, cannot be used."""
    listings = (*inspection.feeds, *inspection.sitemaps)
    if inspection.kind in (Kind.FEED, Kind.SITEMAP) and not any(listing.is_usable for listing in listings):
        return Obstacle.EMPTY if inspection.failure is None else Obstacle.UNREACHABLE
    min_links = MIN_ARTICLE_LINKS if inspection.kind is Kind.HOMEPAGE else 1
    if not any(listing.is_usable for listing in listings) and inspection.article_links < min_links:
        return Obstacle.NO_LINKS
    return _judge_articles([article.outcome for article in inspection.articles])


def _judge_articles(outcomes: Sequence[Outcome]) -> Obstacle | None:
    if not outcomes or Outcome.STORED in outcomes:
        return None
    if Outcome.NEEDS_SCRIPT in outcomes:
        return Obstacle.NEEDS_SCRIPT
    if all(outcome is Outcome.ROBOTS_DISALLOWED for outcome in outcomes):
        return Obstacle.ARTICLES_FORBIDDEN
    return Obstacle.ARTICLES_FAIL


def complete(inspection: SiteInspection, *, delay: float | None = None) -> SiteInspection:
    """The inspection with what follows from its findings: language, obstacle and plan."""
    languages = {article.language for article in inspection.articles if article.outcome is Outcome.STORED}
    language = languages.pop() if len(languages) == 1 else None
    inspection = replace(inspection, language=language)
    if inspection.obstacle is None:
        inspection = replace(inspection, obstacle=find_obstacle(inspection))
    if inspection.obstacle in FATAL:
        return inspection
    return replace(inspection, plan=make_plan(inspection, delay=delay))


def get_article_host(inspection: SiteInspection) -> str | None:
    """The host that a source of this plan is named after: that of its articles where a feed is served elsewhere, else of its URL."""
    table = inspection.plan
    if "homepage" in table or "sections" in table or not inspection.articles:
        return urls.get_host(inspection.url)
    try:
        own, articles = urls.get_site(inspection.url), {urls.get_site(article.url) for article in inspection.articles}
        return urls.get_host(inspection.articles[0].url) if len(articles) == 1 and own not in articles else urls.get_host(inspection.url)
    except UrlError:
        return None
