"""The checks of a page from another program before it is extracted: normal URLs, and limits on its size."""

from __future__ import annotations

from dataclasses import replace

from newsmill.discovery.article_pages import MAX_ARTICLE_PAGES, is_page_of
from newsmill.exceptions import UrlError
from newsmill.extraction.decode import MAX_BODY_BYTES
from newsmill.model import Page, PageReceipt, PageStatus
from newsmill.text.urls import find_site, normalize

MAX_HEADER_LINES = 500  # as the crawler's
MAX_HEADER_CHARACTERS = 64_000  # of all lines together; the crawler's cap


def check_page(page: Page) -> Page | PageReceipt:
    """The page with normalised URLs, or the receipt that rejects it."""
    try:
        normal = _stay_on_site(replace(page, url=normalize(page.url), requested_url=normalize(page.requested_url)))
    except UrlError as error:
        return PageReceipt(page.requested_url, PageStatus.REJECTED, f"bad_url: {error}")
    normal = replace(normal, parts=_select_parts(normal))
    if len(page.body) > MAX_BODY_BYTES:
        return reject(normal, f"the body has {len(page.body):,} bytes; the limit is {MAX_BODY_BYTES:,}")
    if len(page.headers) > MAX_HEADER_LINES or sum(len(name) + len(value) for name, value in page.headers) > MAX_HEADER_CHARACTERS:
        return reject(normal, f"the headers have over {MAX_HEADER_LINES} lines or {MAX_HEADER_CHARACTERS:,} characters")
    return normal


def _select_parts(page: Page) -> tuple[Page, ...]:
    """The further pages of the article in another program's file: no others, and none that make it larger than a page may be."""
    parts = [part for part in page.parts[: MAX_ARTICLE_PAGES - 1] if not part.is_item and _is_part(part.url, page.url)]
    return tuple(parts) if sum(len(part.body) for part in (page, *parts)) <= MAX_BODY_BYTES else ()


def _is_part(url: str, first: str) -> bool:
    try:
        return is_page_of(normalize(url), first)
    except UrlError:
        return False


def _stay_on_site(page: Page) -> Page:
    """The page; after a redirect from another site, the ledger knows it by its final URL, so that no other site's row has its document."""
    if page.requested_url == page.url or find_site(page.requested_url) == find_site(page.url):
        return page
    before = () if page.requested_url in page.redirects else (page.requested_url,)
    return replace(page, requested_url=page.url, redirects=(*before, *page.redirects))


def reject(page: Page, reason: str) -> PageReceipt:
    """The receipt of a page that is not taken."""
    return PageReceipt(page.requested_url, PageStatus.REJECTED, reason)
