"""The pages that a site's profile is learned from: a stable sample, whatever the order of the pages."""

from __future__ import annotations

from collections import defaultdict
from hashlib import blake2b
from typing import Generic, TypeVar

from newsmill.model import Page
from newsmill.text.urls import get_profile_site

MAX_LEARNING_PAGES = 200  # per site; of more pages, those with the smallest hash

Kept = TypeVar("Kept")


class LearningSample(Generic[Kept]):
    """What is kept of the sampled pages, by site and by page hash."""

    def __init__(self, max_pages: int = MAX_LEARNING_PAGES) -> None:
        self.sites: dict[str, dict[bytes, Kept]] = defaultdict(dict)
        self._max_pages = max_pages

    def may_take(self, page: Page) -> bool:
        """Whether the page can still become part of the sample. A page without a URL belongs to no site."""
        pages = self.sites.get(get_profile_site(page.url), {})
        return bool(page.url) and (len(pages) < self._max_pages or hash_page(page) < max(pages))

    def add(self, page: Page, kept: Kept) -> None:
        """Add an article. A page that is in the sample already counts once."""
        site = get_profile_site(page.url)
        if not site:
            return
        pages = self.sites[site]
        pages[hash_page(page)] = kept
        if len(pages) > self._max_pages:
            del pages[max(pages)]


def hash_page(page: Page) -> bytes:
    """The hash of a page's URL and body."""
    return blake2b(page.body, key=page.url.encode("utf-8", "replace")[:64], digest_size=8).digest()
