"""Where the pages of a spider go: a data folder, or a server."""

from __future__ import annotations

import logging
import os
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import blake2b
from pathlib import Path
from typing import Protocol

from pydantic import TypeAdapter
from scrapy.utils.project import data_path

from newsmill import context
from newsmill.client.api_connection import ApiConnection, ErrorResponse, InvalidRequest
from newsmill.context import data_folder
from newsmill.exceptions import ConfigError
from newsmill.intake.page_requests import MAX_REQUEST_PAGES, PagesRequest, encode_item, encode_page
from newsmill.intake.page_submission import make_enqueue, store_pages
from newsmill.model import Link, Page, PageReceipt, PageStatus
from newsmill.settings import Settings

log = logging.getLogger(__name__)

FOUND_BY = "spider"
MAX_REQUEST_BYTES = 10 << 20  # bodies of one request, or one body; Base64 makes it 14 MB, and the server takes 16 MB
MAX_REQUEST_URLS = 1_000
RETRIED_STATUSES = (408, 429)


class PageDestination(Protocol):
    """Every call may raise ServiceError, after which it may be repeated, and ConfigError."""

    @property
    def spool_folder(self) -> Path:
        """The local folder of pages that are not stored yet. Projects with the same destination may share it."""

    def store(self, pages: Sequence[Page]) -> tuple[PageReceipt, ...]:
        """Store pages; a receipt per page, in order."""

    def add(self, links: Sequence[Link]) -> int:
        """Have Newsmill fetch those of the links that are new. Returns how many are refused; the log has their reasons."""

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
        self.spool_folder = data_folder(settings) / "spool" / "spiders"  # beside the files of Newsmill's own crawler

    def store(self, pages: Sequence[Page]) -> tuple[PageReceipt, ...]:
        unknown = self._find_unknown_sources({page.source for page in pages})
        stored = iter(store_pages(self._context, self._enqueue, [page for page in pages if page.source not in unknown], FOUND_BY))
        return tuple(
            next(stored) if page.source not in unknown else PageReceipt(page.requested_url, PageStatus.REJECTED, unknown[page.source])
            for page in pages
        )

    def add(self, links: Sequence[Link]) -> int:
        unknown = self._find_unknown_sources({link.source for link in links})
        known = [one for one in links if one.source not in unknown]
        for refused in (one for one in links if one.source in unknown):
            log.warning("link %s is not stored: %s", refused.url[:200], unknown[refused.source])
        self._context.ledger.links.add(known, now=datetime.now(UTC))
        return len(links) - len(known)

    def close(self) -> None:
        self._open.close()

    def _find_unknown_sources(self, names: set[str | None]) -> dict[str | None, str]:
        """Those of the sources that do not exist, and what to do."""
        unknown = [name for name in names if name is not None and self._context.ledger.sources.get(name) is None]
        return {name: str(context.unknown_source(self._context, name)) for name in unknown}


@dataclass(frozen=True, slots=True)
class _Receipts:
    items: tuple[PageReceipt, ...]


_URLS: TypeAdapter[dict[str, object]] = TypeAdapter(dict[str, object])

ACCESS_REMEDY = "; set NEWSMILL_TOKEN to a token of `newsmill token add NAME --scope write`"


class HttpDestination(ApiConnection):
    """The API of a server, with a token of scope write."""

    @property
    def spool_folder(self) -> Path:
        """In the project's folder `.scrapy`, one for each server: the pages for one do not belong on another."""
        return Path(data_path("newsmill")) / blake2b(self._base.encode(), digest_size=8).hexdigest()

    def store(self, pages: Sequence[Page]) -> tuple[PageReceipt, ...]:
        receipts: dict[int, PageReceipt] = {}
        for numbers in _split(pages):
            batch = [pages[number] for number in numbers]
            receipts |= dict(zip(numbers, self._store_batch(batch), strict=True))
        return tuple(receipts[number] for number in range(len(pages)))

    def _store_batch(self, batch: Sequence[Page]) -> list[PageReceipt]:
        """Send pages of one source. One that the server does not accept, as of an unknown source, is rejected alone."""
        request = PagesRequest(
            source=batch[0].source,
            pages=[encode_page(page) for page in batch if not page.is_item],
            items=[encode_item(page) for page in batch if page.is_item],
        )
        try:
            answer = self.read(_Receipts, self._post("pages", request.model_dump_json(exclude_defaults=True).encode()))
        except InvalidRequest as error:
            if len(batch) == 1:
                return [PageReceipt(batch[0].requested_url, PageStatus.REJECTED, str(error))]
            return [receipt for page in batch for receipt in self._store_batch([page])]
        order = sorted(range(len(batch)), key=lambda number: batch[number].is_item)  # the answer has the receipts of items last
        receipts = dict(zip(order, answer.items, strict=True))
        return [receipts[number] for number in range(len(batch))]

    def add(self, links: Sequence[Link]) -> int:
        refused = 0
        by_source = defaultdict(list)
        for wanted in links:
            by_source[wanted.source].append(wanted.url)
        for source, urls in by_source.items():
            for at in range(0, len(urls), MAX_REQUEST_URLS):
                refused += self._submit(urls[at : at + MAX_REQUEST_URLS], source)
        return refused

    def close(self) -> None:
        """Each request has its own connection."""

    def _submit(self, urls: Sequence[str], source: str | None) -> int:
        """Submit URLs. One that the server refuses, as in a private network, is logged and costs no other. Returns their number."""
        try:
            self._post("urls", _URLS.dump_json({"urls": urls, "source": source}))
        except InvalidRequest as error:
            if len(urls) > 1:
                return sum(self._submit([url], source) for url in urls)
            log.warning("link %s is not stored: %s", urls[0][:200], error)
            return 1
        return 0

    def _post(self, path: str, content: bytes) -> object:
        try:
            return self.post(path, content)
        except InvalidRequest:
            raise
        except ErrorResponse as error:
            if 400 <= error.status < 500 and error.status not in RETRIED_STATUSES:  # the token or the URL of the server is wrong
                hint = ACCESS_REMEDY if error.status in (401, 403) else ""
                raise ConfigError(f"{error.args[0]}{hint}") from None
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
