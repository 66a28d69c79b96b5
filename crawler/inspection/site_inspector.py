"""Fetches what an inspection of a site needs: its listings, robots.txt, declarations, three articles."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import replace
from typing import NamedTuple
from urllib.parse import urlsplit

from crawler.fetching.robots import robots_url
from crawler.inspection.page_fetch import PoliteFetcher
from crawler.inspection.samples import choose_articles, sort_date
from crawler.listings.messages import MAX_INDEX_SITEMAPS, ParseRequest
from crawler.listings.parser import ListingParser
from newsmill.discovery.body_kind import BodyKind, tell_body_kind
from newsmill.discovery.homepages import make_well_known_links
from newsmill.discovery.mining_declarations import (
    AI_TXT_PATH,
    TDMREP_PATH,
    Declaration,
    find_header_declarations,
    find_meta_declarations,
    find_robots_declarations,
    read_ai_txt,
    read_tdmrep,
)
from newsmill.discovery.source_sites import list_sites
from newsmill.exceptions import DecodeError, ListingError, UrlError
from newsmill.extraction.decode import decode_body
from newsmill.model import Kind, Link, Outcome, OutcomeRecord, Page
from newsmill.site_inspection.findings import FoundListing, Obstacle, RobotsSummary, SiteInspection
from newsmill.site_inspection.plan import MAX_COUNTED_PAGES, MIN_ARTICLE_LINKS, choose_site_url, is_homepage
from newsmill.site_inspection.processes import OnFinding
from newsmill.text import urls
from newsmill.text.sentences import Sentence, join_sentences

MAX_FEEDS = 4  # fetched; a site names one for each section
MAX_SITEMAPS = 4
MAX_GUESSES = 6  # of the usual URLs of feeds and sitemaps, for a site that names none
MAX_SECTIONS = 40
MAX_TRIED_SECTIONS = 3  # of a homepage that leads to nothing else
GUESSED_SITEMAPS = ("/news-sitemap.xml", "/sitemap_news.xml", "/sitemap.xml", "/sitemap_index.xml")

LISTING_KINDS = {BodyKind.FEED: Kind.FEED, BodyKind.SITEMAP: Kind.SITEMAP}


class ParsedListing(NamedTuple):
    """The links to listings and to pages, why the listing cannot be read, and what is wrong with one that can."""

    listings: list[Link]
    pages: list[Link]
    failure: OutcomeRecord | None
    damage: str | None = None


class SiteInspector:
    """The fetches of one inspection, in the order of what matters most: the time may end at any of them."""

    def __init__(self, url: str, fetcher: PoliteFetcher, parser: ListingParser, on_finding: OnFinding = lambda finding: None) -> None:
        self.found = SiteInspection(url)
        self.fetcher, self.parser, self.on_finding = fetcher, parser, on_finding
        self.given: Page | None = None
        self.articles: list[Page | OutcomeRecord] = []
        self.article_urls: list[str] = []
        self._links: list[Link] = []  # to articles, of the listings in the order of their fetches
        self._newest_parts: list[Link] = []  # of the sitemap index that was read last: its news sitemap, or the one that changed last
        self._listing_pages: list[frozenset[str]] = []  # of the feeds: two formats of one feed are one

    async def run(self) -> None:
        """Fetch; `found`, `given` and `articles` are the result."""
        page = await self.fetcher.fetch(self.found.url, Kind.HOMEPAGE)
        self.found = replace(self.found, robots=self._summarise_robots())
        if isinstance(page, OutcomeRecord):
            is_forbidden = page.outcome is Outcome.ROBOTS_DISALLOWED
            self.found = replace(self.found, obstacle=Obstacle.ROBOTS if is_forbidden else Obstacle.UNREACHABLE, failure=page)
            return
        self.given = page
        self.found = replace(self.found, final_url=page.url)
        try:
            body = decode_body(page.header("Content-Encoding"), page.body)
        except DecodeError as error:
            failure = OutcomeRecord(Outcome(error.outcome), str(error))
            self.found = replace(self.found, obstacle=Obstacle.UNREACHABLE, failure=failure)
            return
        kind = tell_body_kind(body, page.header("Content-Type"))
        if kind in LISTING_KINDS:
            await self._inspect_listing(page, LISTING_KINDS[kind])
        elif kind is BodyKind.HTML:
            await self._inspect_html(page, body)
        else:
            self.found = replace(self.found, obstacle=Obstacle.OPML if kind is BodyKind.OPML else Obstacle.NOT_A_PAGE)
        if self.found.obstacle is None:
            await self._fetch_articles()
            await self._read_declarations(page, body if kind is BodyKind.HTML else b"")

    async def _inspect_listing(self, page: Page, kind: Kind) -> None:
        listing = await self._read_listing(Link(self.found.url, kind, found_by="given"), page)
        self._add(listing)
        self.found = replace(self.found, kind=kind, failure=listing.failure)
        if self._newest_parts:  # of a sitemap index; its articles are the samples
            part = await self.fetcher.fetch(self._newest_parts[0].url, Kind.SITEMAP)
            if isinstance(part, Page):
                await self._read_listing(self._newest_parts[0], part)

    async def _inspect_html(self, page: Page, body: bytes) -> None:
        """Read a page as a homepage or a section: its feeds, sitemaps and sections, and the first of each kind itself."""
        whole = is_homepage(self.found.url)
        links, pages, failure, _ = await self._parse(page, Kind.HOMEPAGE, self.found.url)
        for target in [link.url for link in links if link.kind is Kind.HOMEPAGE]:  # of a redirect in HTML, or of frames
            found = await self.fetcher.fetch(target, Kind.HOMEPAGE)
            if isinstance(found, Page):
                self.given = page = found
                self.found = replace(self.found, final_url=page.url)
                links, pages, failure, _ = await self._parse(page, Kind.HOMEPAGE, self.found.url)
                if pages:
                    break
        if failure is not None:
            self.found = replace(self.found, obstacle=Obstacle.NOT_A_PAGE, failure=failure)
            return
        self._links += pages
        kind = Kind.HOMEPAGE if whole else Kind.SECTION
        self.found = replace(self.found, kind=kind, article_links=len(pages))
        self.on_finding(FoundListing(page.url, kind, "given", len(pages)))
        if whole:
            await self._follow_homepage(page, links, len(pages))
        else:  # a section is followed alone, with the feeds that it names and that are its own
            await self._try([link for link in links if link.kind is Kind.FEED and _is_feed_of(page.url, link.url)][:MAX_FEEDS])

    async def _follow_homepage(self, page: Page, links: Sequence[Link], article_links: int) -> None:
        """Read the feeds and sitemaps that a homepage or robots.txt names, or the usual ones. `links`: to listings."""
        sections = tuple(link.url for link in links if link.kind is Kind.SECTION)[:MAX_SECTIONS]
        self.found = replace(self.found, sections=sections)
        base = choose_site_url(self.found.url, page.url, article_links)
        guesses = make_well_known_links(base)
        if not await self._try([link for link in links if link.kind is Kind.FEED][:MAX_FEEDS]):
            await self._try([link for link in guesses if link.kind is Kind.FEED][:MAX_GUESSES], is_guess=True)
        sitemaps = [link for link in links if link.kind is Kind.SITEMAP] + self._list_robots_sitemaps(base)
        sitemaps.sort(key=lambda link: not _is_news_url(link.url))
        if not await self._try(sitemaps[:MAX_SITEMAPS]):
            guessed = [Link(urls.normalize(path, base), Kind.SITEMAP, found_by="guess") for path in GUESSED_SITEMAPS]
            await self._try(guessed, is_guess=True)
        if not self._links:  # a page of welcome, above a blog
            await self._count_section_links(sections[:MAX_TRIED_SECTIONS])

    async def _count_section_links(self, sections: Sequence[str]) -> None:
        """Read sections until one leads to articles: its links count as those of the homepage, which names it."""
        for url in sections:
            page = await self.fetcher.fetch(url, Kind.SECTION)
            if isinstance(page, Page):
                _, pages, _, _ = await self._parse(page, Kind.SECTION, url)
                self._links += pages
                self.found = replace(self.found, article_links=self.found.article_links + len(pages))
                if len(pages) >= MIN_ARTICLE_LINKS:
                    return

    async def _try(self, links: Sequence[Link], *, is_guess: bool = False) -> bool:
        """Fetch and read listings; of guesses, until one is right. Returns whether one can be used."""
        known = {listing.url for listing in (*self.found.feeds, *self.found.sitemaps)}
        pending = list(links)
        usable = False
        while pending:
            link = pending.pop(0)
            if link.url in known:  # robots.txt often names a sitemap and its index
                continue
            known.add(link.url)
            page = await self.fetcher.fetch(link.url, link.kind)
            if isinstance(page, OutcomeRecord):
                if not is_guess:
                    self._add(FoundListing(link.url, link.kind, link.found_by, failure=page))
                continue
            if link.found_by == "sitemap" and _is_feed(page):  # a part of an index: the feed of a section or a tag
                continue
            listing = await self._read_listing(replace(link, found_by="guess") if is_guess else link, page)
            if listing.is_usable or not is_guess:
                usable = self._add(listing) or usable
            if listing.is_usable and listing.parts:
                pending = [*(part for part in self._newest_parts if _is_news_url(part.url)), *pending]
            if usable and is_guess and not (listing.parts and pending):
                break
        return usable

    async def _read_listing(self, link: Link, page: Page) -> FoundListing:
        """What a fetched feed or sitemap holds. Its articles are kept for samples, and of an index the part with the news."""
        links, pages, failure, damage = await self._parse(page, link.kind, link.url)
        self._links += pages
        parts = [part for part in links if part.kind is Kind.SITEMAP][:MAX_INDEX_SITEMAPS]
        parts.sort(key=lambda part: (_is_news_url(part.url), sort_date(part.hint.modified_at)), reverse=True)
        self._newest_parts = [replace(part, found_by="sitemap") for part in parts[:1]]
        dates = [date for one in (*pages, *parts) if (date := one.hint.published_at or one.hint.modified_at) is not None]
        is_news = link.kind is Kind.SITEMAP and bool(pages) and all(one.hint.title for one in pages[:10])
        urls_found = frozenset(one.url for one in pages)
        if link.kind is Kind.FEED and urls_found and urls_found in self._listing_pages:
            failure = OutcomeRecord(Outcome.DENIED, Sentence("the same entries as another feed"))
        self._listing_pages.append(urls_found)
        newest = max(dates, default=None)
        return FoundListing(link.url, link.kind, link.found_by, len(pages), len(parts), newest, is_news, failure, damage)

    def _add(self, listing: FoundListing) -> bool:
        self.on_finding(listing)
        if listing.kind is Kind.FEED:
            self.found = replace(self.found, feeds=(*self.found.feeds, listing))
        else:
            sitemaps = sorted((*self.found.sitemaps, listing), key=lambda one: not one.is_news)  # news first
            self.found = replace(self.found, sitemaps=tuple(sitemaps))
        return listing.is_usable

    async def _parse(self, page: Page, kind: Kind, url: str) -> ParsedListing:
        """The content of a fetched listing. Reads until there are 500 links to pages."""
        request = ParseRequest(
            kind=kind,
            listed_at=url,
            url=page.url,
            source=None,
            sites=list_sites(None, url) | list_sites(None, self.found.url),  # robots.txt may name a sitemap on another host
            now=page.fetched_at,
            content_type=page.header("Content-Type"),
            content_encoding=page.header("Content-Encoding"),
        )
        listings: list[Link] = []
        pages: list[Link] = []
        warnings: list[str] = []
        try:
            async with aclosing(self.parser.read(request, page.body)) as batches:
                async for links in batches:
                    listings += (*links.listings, *links.refetch)
                    pages += links.pages
                    warnings += links.warnings
                    if len(pages) >= MAX_COUNTED_PAGES:
                        break
        except ListingError as error:
            return ParsedListing(listings, pages, OutcomeRecord(Outcome.BAD_LISTING, str(error)))
        except DecodeError as error:
            return ParsedListing(listings, pages, OutcomeRecord(Outcome(error.outcome), str(error)))
        return ParsedListing(listings, pages[:MAX_COUNTED_PAGES], None, join_sentences(warnings) if warnings else None)

    def _summarise_robots(self) -> RobotsSummary | None:
        throttle = self.fetcher.get_throttle(self.found.url)
        if (robots := throttle.robots) is None:
            return None
        return RobotsSummary(
            robots_url(self.found.url),
            robots.is_reachable,
            robots.can_fetch(self.found.url, throttle.agent),
            robots.crawl_delay(throttle.agent),
            len(robots.sitemaps),
        )

    def _list_robots_sitemaps(self, base: str) -> list[Link]:
        links: dict[str, Link] = {}
        for url in (base, self.found.url):
            robots = self.fetcher.get_throttle(url).robots
            for line in () if robots is None else robots.sitemaps[:MAX_INDEX_SITEMAPS]:
                with contextlib.suppress(UrlError):
                    link = Link(urls.normalize(line, url), Kind.SITEMAP, found_by="robots")
                    links.setdefault(link.url, link)
        return [*links.values()]

    async def _read_declarations(self, page: Page, html: bytes) -> None:
        found = [*find_header_declarations(page.headers), *find_meta_declarations(html, page.header("Content-Type"))]
        host = urls.get_host(self.found.url)
        if host in self.fetcher.robots:
            found += find_robots_declarations(self.fetcher.robots[host].body, robots_url(self.found.url))
        for path in (TDMREP_PATH, AI_TXT_PATH):
            found += await self._read_declaration_file(urls.normalize(path, self.found.url), path)
        self.found = replace(self.found, declarations=tuple(dict.fromkeys(found)))

    async def _read_declaration_file(self, url: str, path: str) -> list[Declaration]:
        page = await self.fetcher.fetch(url, Kind.FEED)
        if isinstance(page, OutcomeRecord):
            return []
        try:
            body = decode_body(page.header("Content-Encoding"), page.body)
        except DecodeError:
            return []
        return read_tdmrep(body, url) if path == TDMREP_PATH else read_ai_txt(body, page.header("Content-Type"), url)

    async def _fetch_articles(self) -> None:
        listings = {urls.make_key(url) for url in self.found.sections}  # a sitemap may have the sections of its site as well
        for link in choose_articles(link for link in self._links if urls.make_key(link.url) not in listings):
            self.article_urls.append(link.url)
            page = await self.fetcher.fetch(link.url)
            self.on_finding(FoundListing(link.url, Kind.PAGE, "sample", failure=page if isinstance(page, OutcomeRecord) else None))
            self.articles.append(page if isinstance(page, OutcomeRecord) else replace(page, hint=link.hint))


def _is_news_url(url: str) -> bool:
    parts = urlsplit(url)
    return "news" in f"{parts.path.rstrip('/').rpartition('/')[2]}?{parts.query}".lower()


def _is_feed(page: Page) -> bool:
    try:
        body = decode_body(page.header("Content-Encoding"), page.body)
    except DecodeError:
        return False
    return tell_body_kind(body, page.header("Content-Type")) is BodyKind.FEED


def _is_feed_of(section: str, url: str) -> bool:
    """Whether a feed that a section names is its own: below its path, or with its name in the URL ("/rss/sport.xml" of "/sport/")."""
    name = re.escape(urlsplit(section).path.rstrip("/").rpartition("/")[2].partition(".")[0])
    parts = urlsplit(url)
    is_named = bool(name) and re.search(rf"(?<![^\W_]){name}(?![^\W_])", f"{parts.path}?{parts.query}", re.I) is not None
    return is_named or url.startswith(section.rstrip("/") + "/")
