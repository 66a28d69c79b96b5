"""The process of one inspection.

`python -m crawler.inspection.inspection_process URL [DELAY]` prints one JSON object (`SiteInspection`). The
requests are few and polite: one after the other, at the pace that robots.txt asks for. Listings and articles are parsed in child
processes.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from typing import Any

from scrapy import Spider

from crawler.inspection.page_fetch import DELAY_SECONDS, make_fetcher, run_spider
from crawler.inspection.samples import find_refusal, is_article, read_article
from crawler.inspection.site_inspector import SiteInspector
from crawler.listings.parser import ListingParser
from crawler.user_settings.merge import exit_with_message
from newsmill.health.assessment import MIN_SLOW_SECONDS
from newsmill.model import Kind, Outcome, OutcomeRecord
from newsmill.sandbox.pages import Sandbox
from newsmill.site_inspection import findings, plan
from newsmill.site_inspection.findings import FoundListing, Obstacle, SiteInspection
from newsmill.site_inspection.processes import MAX_INSPECTION_SECONDS
from newsmill.text.sentences import Sentence, join_sentences


class InspectionSpider(Spider):
    """Runs one SiteInspector in Scrapy's engine."""

    name = "site_inspection"

    def __init__(self, url: str, delay: float, values: Mapping[str, Any], has_middlewares: bool, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.url, self.delay, self.values, self.has_middlewares = url, delay, values, has_middlewares
        self.inspector: SiteInspector | None = None

    async def start(self) -> AsyncIterator[Any]:
        parser, notes = ListingParser(), list[str]()
        inspector = self.inspector = SiteInspector(self.url, make_fetcher(self, self.delay), parser, print_finding)
        try:
            async with asyncio.timeout(MAX_INSPECTION_SECONDS):
                await inspector.run()
        except TimeoutError:
            notes.append(Sentence("the inspection ended after {n:.0f} s", n=MAX_INSPECTION_SECONDS))
        finally:
            await parser.close()
        seconds = inspector.fetcher.get_throttle(self.url).response_seconds
        if seconds is not None and seconds >= MIN_SLOW_SECONDS:
            notes.append(Sentence("the site is slow: {n:.0f} s for a response", n=seconds))
        inspector.found = replace(inspector.found, requests=inspector.fetcher.requests, note=join_sentences(notes) if notes else None)
        return
        yield  # makes start() the generator that Scrapy expects; it yields no requests


def inspect(url: str, delay: float | None) -> SiteInspection:
    """The inspection of a URL in normal form. Runs Scrapy's reactor, so a process calls it once."""
    spider = run_spider(InspectionSpider, url=url, delay=DELAY_SECONDS if delay is None else delay)
    inspector = spider.inspector
    if inspector is None:
        return SiteInspection(
            url, obstacle=Obstacle.UNREACHABLE, failure=OutcomeRecord(Outcome.CONNECTION, Sentence("the fetch was interrupted"))
        )
    found = inspector.found
    if found.obstacle is None and found.kind is None:  # the time ended before the page was read
        found = replace(found, obstacle=Obstacle.UNREACHABLE, failure=OutcomeRecord(Outcome.TIMEOUT, found.note or "no page"))
    elif found.obstacle is None:
        with Sandbox() as sandbox:
            samples = tuple(
                read_article(sandbox, article_url, page)
                for article_url, page in zip(inspector.article_urls, inspector.articles, strict=False)
            )
            found = replace(found, articles=samples)
            if inspector.given is not None and found.kind is Kind.SECTION and is_article(sandbox, inspector.given, found):
                found = replace(found, obstacle=Obstacle.ARTICLE)
            elif inspector.given is not None and plan.find_obstacle(found) is Obstacle.NO_LINKS:
                refusal = find_refusal(sandbox, inspector.given)
                found = found if refusal is None else replace(found, obstacle=Obstacle.UNREACHABLE, failure=refusal)
    return plan.complete(found, delay=delay)


def print_finding(finding: FoundListing) -> None:
    """Print a line about what was just fetched, for the process that waits."""
    sys.stdout.buffer.write(findings.dump_finding(finding))
    sys.stdout.buffer.flush()


def main() -> None:
    """Print the findings and the inspection of the URL of the command line."""
    delay = float(sys.argv[2]) if len(sys.argv) > 2 else None
    with exit_with_message():
        sys.stdout.buffer.write(findings.dump_inspection(inspect(sys.argv[1], delay)))


if __name__ == "__main__":
    main()
