"""Prints the results of a test run as JSON."""

from __future__ import annotations

import json
from typing import Any, BinaryIO

from newsmill.model import Document, Link, Page


class PrintingSink:
    """Writes one JSON object per page, link and article."""

    def __init__(self, pipe: BinaryIO) -> None:
        self.pipe = pipe

    async def put_page(self, page: Page, *, is_item: bool) -> None:
        """Extract the page as a worker would, without the profile of its site, and print the result."""
        # it costs 0.12 s of CPU, and only a printed page is read here
        from newsmill.extraction.pipeline import read

        result = read(page)
        document = result.document
        self._print(
            {
                "kind": "article" if is_item else "page",
                "url": page.requested_url,
                "outcome": result.ending.outcome.value,
                "detail": result.ending.detail,
                "title": None if document is None else document.title,
                "published_at": None if document is None else _format_published(document),
                "words": None if document is None else document.word_count,
            }
        )

    async def put_link(self, link: Link) -> None:
        published = link.hint.published
        self._print(
            {
                "kind": "link",
                "url": link.url,
                "title": link.hint.title,
                "published_at": None if published is None else published.isoformat(),
            }
        )

    async def flush(self) -> None:
        """Nothing is buffered."""

    def _print(self, found: dict[str, Any]) -> None:
        self.pipe.write(json.dumps(found, ensure_ascii=False).encode("utf-8", "replace") + b"\n")


def _format_published(document: Document) -> str | None:
    if document.published_at is None or document.published_precision == "day":
        return document.published_day
    return document.published_at.isoformat()
