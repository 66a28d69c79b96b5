"""Where a program outside Newsmill puts pages: into a data folder of this machine, or through the API of a server."""

from __future__ import annotations

import logging
import os
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol

from pydantic import TypeAdapter

from newsmill import context
from newsmill.client.api_connection import ApiConnection, ErrorResponse
from newsmill.exceptions import ConfigError
from newsmill.model import Link, Page, PageReceipt
from newsmill.settings import Settings
from newsmill.submission import MAX_REQUEST_PAGES, PagesRequest, encode_item, encode_page, make_enqueue, store_pages

log = logging.getLogger(__name__)

FOUND_BY = "spider"
MAX_REQUEST_BYTES = 10 << 20  # bodies of one request, or one body; Base64 makes it 14 MB, and the server takes 16 MB
MAX_REQUEST_URLS = 1_000
RETRIED_STATUSES = (408, 429)


class PageDestination(Protocol):
    """Every call may raise ServiceError, after which it may be repeated, and ConfigError."""

    def store(self, pages: Sequence[Page]) -> tuple[PageReceipt, ...]:
        """Store pages; a receipt per page, in order."""

    def add(self, links: Sequence[Link]) -> None:
        """Have Newsmill fetch those of the links that are new."""

    def close(self) -> None:
        """Release what the destination holds."""


def open_destination(data: str | os.PathLike[str] | None, url: str | None, token: str | None) -> PageDestination:
    """The destination for a data folder, which is made if it does not exist, or for the URL of a server. Raises NewsmillError."""
    if (data is None) == (url is None):
        raise ConfigError("expected exactly one of NEWSMILL_DATA (a data folder) and NEWSMILL_URL (the URL of a Newsmill server)")
    return HttpDestination(url, token) if url is not None else LocalDestination(os.fspath(data or ""))


class LocalDestination:
    """A data folder. A running `newsmill up` on it extracts the pages; without one, the next does."""

    def __init__(self, data: str) -> None:
        """Opens the store in the folder `data`. Raises NewsmillError."""
        if "://" in data:
            raise ConfigError(f"NEWSMILL_DATA {data.partition('://')[0]}://…: expected a folder; NEWSMILL_URL names a server")
        settings = Settings.model_validate({"data": data})
        self._open = ExitStack()
        self._context = self._open.enter_context(context.open_context(settings, create=True))
        self._enqueue = make_enqueue(settings)

    def store(self, pages: Sequence[Page]) -> tuple[PageReceipt, ...]:
        self._check_sources({page.source for page in pages})
        return store_pages(self._context, self._enqueue, pages, FOUND_BY)

    def add(self, links: Sequence[Link]) -> None:
        self._check_sources({link.source for link in links})
        self._context.ledger.add(links, now=datetime.now(UTC))

    def close(self) -> None:
        self._open.close()

    def _check_sources(self, names: set[str | None]) -> None:
        for name in sorted(name for name in names if name is not None):
            context.find_source(self._context, name)


@dataclass(frozen=True, slots=True)
class _Receipts:
    items: tuple[PageReceipt, ...]


_RECEIPTS = TypeAdapter(_Receipts)
_URLS: TypeAdapter[dict[str, object]] = TypeAdapter(dict[str, object])


ACCESS_REMEDY = "; set NEWSMILL_TOKEN to a token of `newsmill token add NAME --scope write`"


class HttpDestination(ApiConnection):
    """The API of a server, with a token of scope write."""

    def store(self, pages: Sequence[Page]) -> tuple[PageReceipt, ...]:
        receipts: dict[int, PageReceipt] = {}
        for numbers in _split(pages):
            batch = [pages[number] for number in numbers]
            request = PagesRequest(
                source=batch[0].source,
                pages=[encode_page(page) for page in batch if not page.is_item],
                items=[encode_item(page) for page in batch if page.is_item],
            )
            answer = self.read(_RECEIPTS, self._post("pages", request.model_dump_json(exclude_defaults=True).encode()))
            order = sorted(numbers, key=lambda number: pages[number].is_item)  # the answer has the receipts of items last
            receipts |= dict(zip(order, answer.items, strict=True))
        return tuple(receipts[number] for number in range(len(pages)))

    def add(self, links: Sequence[Link]) -> None:
        by_source = defaultdict(list)
        for link in links:
            by_source[link.source].append(link.url)
        for source, urls in by_source.items():
            for at in range(0, len(urls), MAX_REQUEST_URLS):
                self._submit(urls[at : at + MAX_REQUEST_URLS], source)

    def close(self) -> None:
        """Each request has its own connection."""

    def _submit(self, urls: Sequence[str], source: str | None) -> None:
        """Submit URLs. One that the server refuses, such as one in a private network, is logged and costs no other."""
        try:
            self._post("urls", _URLS.dump_json({"urls": urls, "source": source}))
        except ConfigError as error:
            if len(urls) == 1:
                log.warning("link %s is not stored: %s", urls[0][:200], error)
            for url in urls if len(urls) > 1 else ():
                self._submit([url], source)

    def _post(self, path: str, content: bytes) -> object:
        try:
            return self.post(path, content)
        except ErrorResponse as error:
            if 400 <= error.status < 500 and error.status not in RETRIED_STATUSES:  # the token or the request is wrong
                hint = ACCESS_REMEDY if error.status in (401, 403) else ""
                raise ConfigError(f"{error}{hint}") from None
            raise


def _split(pages: Sequence[Page]) -> Iterator[list[int]]:
    """The numbers of the pages of each request: of one source, and within the limits of a request."""
    batch: list[int] = []
    size = 0
    for number in sorted(range(len(pages)), key=lambda number: pages[number].source or ""):
        page = pages[number]
        is_other = bool(batch) and page.source != pages[batch[0]].source
        if is_other or len(batch) == MAX_REQUEST_PAGES or (batch and size + len(page.body) > MAX_REQUEST_BYTES):
            yield batch
            batch, size = [], 0
        batch.append(number)
        size += len(page.body)
    if batch:
        yield batch
