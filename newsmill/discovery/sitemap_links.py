"""The links a sitemap leads to, as its entries are found: URLs in normal form, with what is said about them."""

from __future__ import annotations

from datetime import datetime

from newsmill import urls
from newsmill.discovery.dates import parse_date
from newsmill.discovery.url_patterns import is_never_article
from newsmill.exceptions import UrlError
from newsmill.model import Hint, Kind, Link

MAX_URLS = 50_000  # sitemaps.org: one file holds at most 50,000 URLs


class SitemapLinks:
    """The links found so far, and how many entries were odd."""

    def __init__(self, url: str, now: datetime | None) -> None:
        self.known = False  # this is a sitemap, be it an empty one
        self.count = self.lost = self.left_out = self.relative = 0
        self._url, self._now = url, now
        self._links: list[Link] = []

    def take(self) -> list[Link]:
        """The links since the last call."""
        links, self._links = self._links, []
        return links

    def add(self, kind: Kind, url: str, fields: dict[str, str]) -> None:
        """One entry. Lists, forms and files are left out: sitemaps list tags, authors and pictures too."""
        self.known = True
        try:
            # sitemaps.org wants absolute URLs; a path is understood, anything else is no URL.
            normal = urls.normalize(url, self._url if url.startswith("/") else None)
        except UrlError:
            self.lost += 1
            return
        self.count += 1
        self.relative += url.startswith("/")
        if (
            kind is Kind.PAGE and "title" not in fields and is_never_article(normal)
        ):  # what has a news title is an article whatever it is called
            self.left_out += 1
        elif self.count <= MAX_URLS:
            self._links.append(Link(normal, kind, found_by="sitemap", found_on=self._url, hint=self._hint(fields)))

    def warnings(self) -> list[str]:
        """What was odd about the entries."""
        counts = {
            "entries without a usable URL": self.lost,
            "URLs without a host": self.relative,
            "URLs of lists, forms and files, left out": self.left_out,
        }
        return [f"{what}: {count:,}" for what, count in counts.items() if count]

    def _hint(self, fields: dict[str, str]) -> Hint:
        keywords = (word.strip() for word in fields.get("keywords", "").split(","))
        return Hint(
            title=fields.get("title"),
            published_at=parse_date(fields.get("published"), self._now),
            modified_at=parse_date(fields.get("lastmod") or fields.get("updated"), self._now),
            language=fields.get("language"),
            tags=tuple(dict.fromkeys(filter(None, keywords)))[:50],
        )
