"""`newsmill.extract` and `newsmill.discover`: one page, without a store. newsmill/__init__.py documents them."""

from __future__ import annotations

from datetime import UTC, datetime

from newsmill.discovery.html_listings import read_homepage
from newsmill.exceptions import ExtractionError
from newsmill.extraction.pipeline import read
from newsmill.model import Document, Listing, Page
from newsmill.redaction import redact
from newsmill.urls import normalize

HTML = "text/html; charset=utf-8"  # of a page given as a str


def extract(html: str | bytes, url: str, content_type: str | None, language: str | None) -> Document:
    """See `newsmill.extract`."""
    body, declared = as_bytes(html, content_type)
    page = Page(url, url, datetime.now(UTC), 200, (("Content-Type", declared or "text/html"),), body)
    reading = read(page, language=language)
    if reading.document is None:
        detail = f" ({reading.ending.detail})" if reading.ending.detail else ""
        raise ExtractionError(f"{redact(url) or 'the page'} holds no document: {reading.ending.outcome}{detail}", reading.ending.outcome)
    return reading.document


def discover(html: str | bytes, url: str, content_type: str | None) -> Listing:
    """See `newsmill.discover`."""
    normalize(url)
    body, declared = as_bytes(html, content_type)
    return read_homepage(body, url, declared)


def as_bytes(html: str | bytes, content_type: str | None) -> tuple[bytes, str | None]:
    """The bytes and the Content-Type of a page."""
    return (html, content_type) if isinstance(html, bytes) else (html.encode("utf-8", "surrogatepass"), HTML)
