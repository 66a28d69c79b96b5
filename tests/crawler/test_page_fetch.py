"""The fetcher of `newsmill extract URL` and of inspections obeys a Retry-After."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime

import pytest

from crawler.fetching.downloader import CheckRedirect, FetchRequest
from crawler.inspection.page_fetch import PoliteFetcher
from newsmill.model import Outcome, OutcomeRecord, Page

SITE = "https://paper.example"


class BusyServer:
    """A downloader whose server has no robots.txt, and answers the first request of each page with 429 and this Retry-After."""

    def __init__(self, retry_after: str) -> None:
        self.retry_after = retry_after
        self.requests: list[tuple[str, float]] = []

    async def fetch(self, request: FetchRequest, check_redirect: CheckRedirect) -> Page | OutcomeRecord:
        is_first = request.url not in [url for url, _ in self.requests]
        self.requests.append((request.url, time.monotonic()))
        status = 404 if request.url.endswith("/robots.txt") else 429 if is_first else 200
        return Page(request.url, request.url, datetime.now(UTC), status, (("Retry-After", self.retry_after),), b"<p>Text.</p>")


async def fetch_two(server: BusyServer) -> list[Page | OutcomeRecord]:
    fetcher = PoliteFetcher(server, "Newsmill", 0.0)  # type: ignore[arg-type]
    return [await fetcher.fetch(f"{SITE}/{name}") for name in ("one", "two")]


@pytest.mark.parametrize("retry_after", ["1", "0"])
def test_a_short_wait_is_kept_and_the_url_requested_once_more(retry_after: str) -> None:
    server = BusyServer(retry_after)
    pages = asyncio.run(fetch_two(server))
    assert [isinstance(page, Page) and page.status for page in pages] == [200, 200]
    assert [url.removeprefix(SITE) for url, _ in server.requests] == ["/robots.txt", "/one", "/one", "/two", "/two"]
    times = [at for _, at in server.requests]
    assert all(later - earlier >= float(retry_after) for earlier, later in ((times[1], times[2]), (times[3], times[4])))


def test_after_a_long_wait_nothing_more_is_requested_of_the_host() -> None:
    server = BusyServer("600")
    assert asyncio.run(fetch_two(server)) == [OutcomeRecord(Outcome.HTTP_ERROR, "HTTP 429, Retry-After 600 s")] * 2
    assert [url.removeprefix(SITE) for url, _ in server.requests] == ["/robots.txt", "/one"]
