"""The results of a test run, printed as JSON lines and not stored."""

from __future__ import annotations

import json
from typing import Any, BinaryIO

from newsmill.extraction.pipeline import read
from newsmill.model import Link, Page


class PrintingSink:
    """Writes one JSON object per page, link and article."""

    def __init__(self, pipe: BinaryIO) -> None:
        self.pipe = pipe

    async def put_page(self, page: Page, *, is_item: bool) -> None:
        """Extract the page as a worker would, without the profile of its site, and print the result."""
        result = read(page)
        document = result.document
        self._print(
            {
                "kind": "article" if is_item else "page",
                "url": page.requested_url,
                "outcome": result.ending.outcome.value,
                "detail": result.ending.detail,
                "title": None if document is None else document.title,
                "published_at": None if document is None or document.published_at is None else document.published_at.isoformat(),
                "words": None if document is None else document.word_count,
            }
        )

    async def put_link(self, link: Link) -> None:
        published_at = link.hint.published_at
        self._print(
            {
                "kind": "link",
                "url": link.url,
                "title": link.hint.title,
                "published_at": None if published_at is None else published_at.isoformat(),
            }
        )

    async def flush(self) -> None:
        """Nothing is buffered."""

    def _print(self, found: dict[str, Any]) -> None:
        self.pipe.write(json.dumps(found, ensure_ascii=False).encode("utf-8", "replace") + b"\n")
