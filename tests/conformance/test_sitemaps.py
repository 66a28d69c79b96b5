"""Sitemaps against the suites of ultimate-sitemap-parser, crawler-commons and Scrapy; `pytest -s` shows the tables."""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import rates
from rates import Case, Result

from newsmill.discovery.robots import RobotsTxt
from newsmill.discovery.sitemaps import SitemapReader
from newsmill.discovery.url_patterns import is_never_article
from newsmill.exceptions import ListingError, UrlError
from newsmill.model import Hint, Kind, Link
from newsmill.text import urls

URL = "https://news.example/sitemap.xml"


def read(body: bytes, url: str = URL) -> list[Link]:
    reader = SitemapReader(url)
    return [*reader.feed(body), *reader.close()]


def normal_or_none(url: str, base: str | None = None) -> str | None:
    try:
        return urls.normalize(url.strip(), base)
    except UrlError:
        return None


def listed(shared: Path) -> Iterator[Result]:
    """The URLs each file lists, in order. Files that they do not count as a urlset (a feed, a text file) are sitemaps by the protocol."""
    for case in rates.cases(shared, "sitemaps", "scrapy", "crawler-commons", "crawler-commons-inline"):
        if "robots" in case:
            found = [normal_or_none(line, case["base"]) for line in RobotsTxt.parse(case["robots"].encode()).sitemaps]
            yield Result("robots.txt", found == [normal_or_none(url) for url in case["result"]], case["id"])
        elif wanted := [url for url in map(normal_or_none, locs(case)) if url is not None]:
            content = rates.body(case) if "files" in case else (case.get("xml") or case.get("input") or "").encode()
            pages = [url for url in wanted if b"<sitemapindex" in content or not is_never_article(url)]  # pictures are not pages
            yield Result(case["kind"], [link.url for link in read(content)] == pages, case["id"])


def locs(case: Case) -> list[str]:
    return case["locs"] if "locs" in case else [row["loc"] for row in case["result"] if isinstance(row, dict)]


def trees(shared: Path) -> Iterator[Result]:
    """Whole sites: by robots.txt and the well-known paths, each listing once; the pages and their hints."""
    for case in rates.cases(shared, "sitemaps", "usp"):
        for call in case["calls"]:
            if "homepage" not in call or not call.get("pages"):
                continue
            found = walk(case["mocks"], call["homepage"].rstrip("/"))
            pages = [page for page in call["pages"] if not is_never_article(urls.normalize(page["url"]))]  # "/about.html" is left out
            yield Result("pages of a site", set(found) == {urls.normalize(page["url"]) for page in pages}, case["id"])
            for page in pages:
                hint = found.get(urls.normalize(page["url"]))
                yield Result("hints of a page", hint is not None and agrees(hint, page), f"{case['id']} {page['url']}")


def agrees(hint: Hint, page: dict[str, Any]) -> bool:
    if news := page.get("news"):
        published = datetime.fromisoformat(news["publish_date"])
        return hint.title == " ".join(news["title"].split()) and published in (hint.published_at, hint.modified_at)  # Atom's "updated"
    if page["lastmod"] and hint.modified_at:
        return hint.modified_at == datetime.fromisoformat(page["lastmod"]).astimezone(UTC)
    return True


def walk(mocks: list[dict[str, Any]], site: str) -> dict[str, Hint]:
    """All pages of a mocked site."""
    answers = {mock["url"]: mock for mock in mocks}
    robots = answers.get(f"{site}/robots.txt", {"status": 404, "body": ""})
    due = [urls.normalize(url) for url in RobotsTxt.from_response(robots["status"], (robots["body"] or "").encode()).sitemaps]
    due += [f"{site}/sitemap.xml", f"{site}/sitemap_index.xml", f"{site}/sitemap-index.xml"]
    seen: set[str] = set()
    pages: dict[str, Hint] = {}
    while due:
        url = due.pop(0)
        if url in seen or answers.get(url, {"status": 404})["status"] != 200:
            continue
        seen.add(url)
        content = answers[url]["body"]
        try:
            links = read(b64decode(content["b64"]) if isinstance(content, dict) else content.encode(), url)
        except ListingError:
            continue
        due += [link.url for link in links if link.kind is Kind.SITEMAP]
        pages |= {link.url: link.hint for link in links if link.kind is Kind.PAGE}
    return pages


def test_files(shared: Path) -> None:
    rates.check("sitemaps: files", listed(shared), 1.0)


def test_sites(shared: Path) -> None:
    rates.check("sitemaps: sites", trees(shared), 1.0)
