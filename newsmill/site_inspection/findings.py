"""What the inspection of a site found: its listings, three of its articles and its robots.txt."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from newsmill.discovery.mining_declarations import Declaration
from newsmill.model import Author, Kind, Outcome, OutcomeRecord
from newsmill.model.lazy_adapter import make_adapter
from newsmill.text.sentences import PACKED, Detail


class Obstacle(StrEnum):
    """Why a site cannot be followed as it is, or not well. `FATAL` ones leave nothing to follow."""

    UNREACHABLE = "unreachable"  # `failure` says how
    ROBOTS = "robots"  # robots.txt forbids the URL
    OPML = "opml"  # the URL is a list of feeds
    ARTICLE = "article"  # the URL is one article
    NOT_A_PAGE = "not_a_page"  # neither a web page, a feed nor a sitemap
    NO_LINKS = "no_links"  # no feed, no sitemap, and hardly a link to an article
    EMPTY = "empty"  # the feed or sitemap has no entry
    NEEDS_SCRIPT = "needs_script"  # the articles have no text without JavaScript
    ARTICLES_FORBIDDEN = "articles_forbidden"  # robots.txt forbids the articles
    ARTICLES_FAIL = "articles_fail"  # no article could be fetched, or none has a text


FATAL = frozenset(
    {Obstacle.UNREACHABLE, Obstacle.ROBOTS, Obstacle.OPML, Obstacle.ARTICLE, Obstacle.NOT_A_PAGE, Obstacle.NO_LINKS, Obstacle.EMPTY}
)


class Advice(StrEnum):
    """What helps with a URL that cannot be read, where a later try does not."""

    REFUSED = "refused"  # the server does not want this client
    COOKIES = "cookies"  # it redirects clients without cookies for ever
    CONSENT = "consent"  # it shows a consent dialog


# What would help: a key of sources.toml.
REMEDIES = {
    Obstacle.ROBOTS: "robots",
    Obstacle.NO_LINKS: "spider",
    Obstacle.NEEDS_SCRIPT: "render",
    Obstacle.ARTICLES_FORBIDDEN: "robots",
}


@dataclass(frozen=True, slots=True)
class FoundListing:
    """A feed, a sitemap or a section of the site. If it was not fetched, it has no number of pages."""

    url: str
    kind: Kind
    found_by: str  # given, homepage, robots, sitemap, guess
    pages: int | None = None  # links to articles; counted up to 500
    parts: int = 0  # further sitemaps that a sitemap index names
    newest: datetime | None = None  # the newest date of an entry
    is_news: bool = False  # a news sitemap: its entries have titles
    failure: OutcomeRecord | None = None  # why it cannot be read
    damage: Detail | None = None  # what is wrong with a listing that was read

    @property
    def is_usable(self) -> bool:
        """Whether it was read and leads to something."""
        return self.failure is None and bool(self.pages or self.parts)


@dataclass(frozen=True, slots=True)
class SampleArticle:
    """One article of the site, as Newsmill would store it, or the outcome that says why it would not."""

    url: str
    outcome: Outcome
    detail: Detail | None = None
    title: str | None = None
    published_at: datetime | None = None
    published_day: str | None = None
    authors: tuple[Author, ...] = ()
    language: str | None = None
    text: str = ""  # the first lines
    word_count: int = 0
    confidence: float | None = None


@dataclass(frozen=True, slots=True)
class RobotsSummary:
    """What the robots.txt of the site's host says to this crawler."""

    url: str
    is_reachable: bool
    is_allowed: bool  # whether the given URL may be fetched
    crawl_delay: float | None = None  # seconds
    sitemaps: int = 0  # Sitemap lines


@dataclass(frozen=True, slots=True)
class SiteInspection:
    """What a URL is and leads to. `kind` is None for a URL that is not a listing; `obstacle` says why a site cannot be followed."""

    url: str  # as given, in normal form
    kind: Kind | None = None  # homepage, section, feed or sitemap
    final_url: str | None = None
    feeds: tuple[FoundListing, ...] = ()
    sitemaps: tuple[FoundListing, ...] = ()
    sections: tuple[str, ...] = ()
    article_links: int = 0  # on the page itself, or on a section of a homepage that leads to nothing else
    language: str | None = None  # of all sample articles
    robots: RobotsSummary | None = None
    declarations: tuple[Declaration, ...] = ()
    articles: tuple[SampleArticle, ...] = ()
    obstacle: Obstacle | None = None
    failure: OutcomeRecord | None = None  # of the given URL
    note: Detail | None = None  # what was left out
    requests: int = 0
    plan: dict[str, Any] = field(default_factory=dict)  # a table of sources.toml; empty after a fatal obstacle

    @property
    def can_follow(self) -> bool:
        """Whether there is anything to follow."""
        return self.obstacle not in FATAL and bool(self.plan)

    @property
    def remedy(self) -> str | None:
        """The key of sources.toml that would help: "render", "spider" or "robots"."""
        return None if self.obstacle is None else REMEDIES.get(self.obstacle)


_JSON = make_adapter(SiteInspection)
FINDING_JSON = make_adapter(FoundListing)
FINDING_PREFIX = b"finding "  # of the lines that an inspection prints before its result


def dump_finding(finding: FoundListing) -> bytes:
    """The line about a listing, page or article that was just fetched."""
    return FINDING_PREFIX + FINDING_JSON.dump_json(finding, context=PACKED) + b"\n"


def dump_inspection(inspection: SiteInspection) -> bytes:
    """The inspection as JSON, without lone surrogates, for the process that waits."""
    return _JSON.dump_json(inspection, context=PACKED)


def load_inspection(text: str | bytes) -> SiteInspection:
    """The inspection in JSON of `dump_inspection`. Raises ValueError."""
    return _JSON.validate_json(text)
