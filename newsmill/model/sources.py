"""Sources, each with its rules, its politeness and the limits of its spider."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta
from enum import StrEnum


@dataclass(frozen=True, slots=True)
class Politeness:
    """The request rate for the hosts of one source. Times in seconds."""

    delay: float = 1.0  # seconds between two requests to one host; a longer Crawl-delay of robots.txt has priority
    concurrency: int = 1  # requests in flight to one host


@dataclass(frozen=True, slots=True)
class Rules:
    """Extraction rules for one source: elements to drop or keep, whole lines (regular expressions) to drop, selectors of fields."""

    drop_css: tuple[str, ...] = ()
    drop_lines: tuple[str, ...] = ()
    drop_xpath: tuple[str, ...] = ()
    keep_css: tuple[str, ...] = ()  # if one of these matches, the body consists of the matched elements only
    keep_xpath: tuple[str, ...] = ()
    fields: Mapping[str, str] = field(default_factory=dict)  # title, authors, published_at …: the CSS selector of its element
    expires: date | None = None  # the rules apply to pages fetched up to this day, because sites change


class Render(StrEnum):
    """Whether the pages of a source are displayed in a browser, so that its scripts run, before the text is extracted."""

    NEVER = "never"
    AUTO = "auto"  # if the response has no text; all pages once this was so for several pages in a row
    ALWAYS = "always"


@dataclass(frozen=True, slots=True)
class SpiderLimits:
    """What one run of a source's spider may cost. When a limit is reached, the run ends; what it has handed over stays."""

    seconds: float = 1800.0  # of wall time
    memory_mb: int = 1024  # MB of address space that the spider may add to the process
    pages: int = 10_000  # pages, links and items that it may hand over


@dataclass(frozen=True, slots=True)
class Source:
    """One table of config/sources.toml, or one homepage that a user gives."""

    name: str
    homepage: str | None = None
    feeds: tuple[str, ...] = ()
    sitemaps: tuple[str, ...] = ()
    sections: tuple[str, ...] = ()
    language: str | None = None  # BCP 47; used if the page declares none
    every: timedelta | None = None  # `every` or `cron`: all listings are read at these times; neither: each when news is expected
    cron: str | None = None
    freshness: timedelta | None = None  # expected delay of a new article, without `every` and `cron`; None: NEWSMILL_FRESHNESS
    max_age: timedelta | None = None  # pages that a listing dates further back are not fetched; None: all
    allow: tuple[str, ...] = ()  # regular expressions searched in the URL of an article; empty: all URLs
    deny: tuple[str, ...] = ()
    rules: Rules = field(default_factory=Rules)
    politeness: Politeness = field(default_factory=Politeness)
    expect: Mapping[str, int] = field(default_factory=dict)  # expected amounts of the source, for example {"documents_per_day": 5}
    discover: bool = True  # search the homepage and robots.txt for feeds, sitemaps and sections
    enabled: bool = True
    robots: bool = True  # obey robots.txt; False only where the publisher permits it
    trusted: bool = False  # the dates that its pages state are evidence beside those of other trusted sources
    spider: str | None = None  # "package.module:ClassName" of a scrapy.Spider that runs when the source is due
    spider_args: Mapping[str, str] = field(default_factory=dict)  # keyword arguments of the spider, as `scrapy crawl -a`
    spider_limits: SpiderLimits = field(default_factory=SpiderLimits)
    render: Render = Render.NEVER
    # Ages, ascending, at which a stored article is fetched again to see whether it changed; empty: never.
    revisit: tuple[timedelta, ...] = (timedelta(hours=1), timedelta(hours=6), timedelta(days=1), timedelta(days=7))

    @property
    def plan_urls(self) -> tuple[str, ...]:
        """The URLs of its homepage, feeds, sitemaps and sections."""
        return (*(() if self.homepage is None else (self.homepage,)), *self.feeds, *self.sitemaps, *self.sections)

    @property
    def is_adaptive(self) -> bool:
        """Whether the scheduler plans its polls by what its listings showed."""
        return self.every is None and self.cron is None
