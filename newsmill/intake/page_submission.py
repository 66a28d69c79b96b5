"""Pages that were fetched outside the crawler, by a spider or another program: they are archived, recorded, then queued.

A kill at any point loses or doubles nothing: before the ledger's commit the caller submits the page again, and after it the scheduler
queues the segment.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import datetime

from newsmill.archive.archive import MAX_SEGMENT_BYTES, MAX_SEGMENT_PAGES, Archive
from newsmill.context import AppContext, data_folder, open_queue
from newsmill.exceptions import ArchiveDamaged, ServiceError, UrlError
from newsmill.extraction.article_item import dump_item
from newsmill.intake.page_checks import check_page, reject
from newsmill.model import ArticleItem, Kind, Link, Page, PageReceipt, PageStatus, Segment, State
from newsmill.settings import Settings
from newsmill.storage.ledger import ArchivedRow, SubmittedFetch
from newsmill.text.urls import make_key

log = logging.getLogger(__name__)
REFETCHED = frozenset({State.DUE, State.FETCHING})  # rows whose next page was requested, even if it is the same as the last one
_ITEM_HEADERS = (("Content-Type", "application/json"),)
Write = Callable[[Sequence[Page]], Segment]


def store_pages(
    context: AppContext,
    enqueue: Callable[[str], bool],
    pages: Sequence[Page],
    found_by: str,
    write: Write | None = None,
    *,
    is_own: bool = False,
) -> tuple[PageReceipt, ...]:
    """Archive pages, record them as fetched and queue them, in segments. Returns a receipt per page, in order.

    `enqueue` puts a segment's id on the queue; if it returns False, the scheduler does it later. `found_by` is stored in new rows. Of
    several pages of one URL the last is stored. A page that equals the archived one of its URL changes nothing. `write` makes a segment of
    pages; default: the archive does. `is_own`: the operator says that they fetched the pages at the stated times. Raises ServiceError; the
    pages of earlier segments are then stored, and all may be submitted again.
    """
    checked = [check_page(page) for page in pages]
    by_key = {make_key(page.requested_url): page for page in checked if isinstance(page, Page)}
    receipts: dict[str, PageReceipt] = {}
    pending: dict[str, Page] = {}
    chains = {key: list_url_keys(page) for key, page in by_key.items()}
    rows = context.ledger.submitted_pages.find_rows(sorted({key for chain in chains.values() for key in chain}))
    for key, page in by_key.items():
        barred = next((row for one in chains[key] if (row := rows.get(one)) is not None and row.takedown is not None), None)
        receipt = _compare(context.archive, page, barred or rows.get(key))
        if receipt is None:
            pending[key] = page
        else:
            receipts[key] = receipt
    for batch in _split(pending):
        segment = context.archive.write([*batch.values()], now=context.now()) if write is None else write([*batch.values()])
        receipts |= _record_segment(context, enqueue, batch, segment, found_by, is_own)
    return tuple(receipts[make_key(page.requested_url)] if isinstance(page, Page) else page for page in checked)


def make_item_page(item: ArticleItem, *, fetched_at: datetime, source: str | None = None) -> Page:
    """The page that carries an item: archived as a resource record, and extracted to a document with the item's fields."""
    return Page(item.url, item.url, fetched_at, 200, _ITEM_HEADERS, dump_item(item), source=source, is_item=True)


def make_enqueue(settings: Settings) -> Callable[[str], bool]:
    """A function that puts a segment's id on the queue of a running Newsmill and returns whether it could.

    It starts no embedded server: without one no worker runs, and the next scheduler queues the segment.
    """

    folder = data_folder(settings)

    def enqueue(segment_id: str) -> bool:
        if settings.redis_url is None and not folder.is_dir():
            return False
        # redis and RQ cost 0.17 s of CPU, which a process that submits nothing need not spend
        from newsmill.queue.embedded_redis import EmbeddedRedis

        try:
            open_queue(settings, settings.redis_url or EmbeddedRedis(folder).url).enqueue(segment_id)
        except ServiceError as error:
            log.debug(
                "segment %s is saved; the next `newsmill up` or scheduler enqueues it, because the queue is away: %s",
                segment_id,
                error,
            )
            return False
        return True

    return enqueue


def list_url_keys(page: Page) -> tuple[str, ...]:
    """The keys of the URLs that led to a page, and of its further pages. A redirect through a URL that is none cannot be barred."""
    keys = dict.fromkeys((make_key(page.requested_url), make_key(page.url)))
    for url in (*page.redirects, *(part.url for part in page.parts)):
        with suppress(UrlError):
            keys[make_key(url)] = None
    return tuple(keys)


def _compare(archive: Archive, page: Page, row: ArchivedRow | None) -> PageReceipt | None:
    """The receipt of a page that changes nothing; None for one to store."""
    if row is None:
        return None
    if row.takedown is not None:
        return reject(page, f"barred by a takedown: {row.takedown}; run `newsmill takedowns remove URL` to permit it")
    if row.kind is not Kind.PAGE:
        return reject(page, f"the URL is known as a {row.kind}; Newsmill reads it itself")
    if row.state not in REFETCHED and _is_archived(archive, page, row):
        return PageReceipt(page.requested_url, PageStatus.KNOWN)
    return None


def _is_archived(archive: Archive, page: Page, row: ArchivedRow) -> bool:
    if row.segment is None or row.offset is None:
        return False
    try:
        return _content(archive.read_page(row.segment, row.offset)) == _content(page)
    except ArchiveDamaged:
        return False


def _content(page: Page) -> tuple[bool, int, str | None, bytes, tuple[bytes, ...]]:
    return page.is_item, page.status, page.header("Content-Encoding"), page.body, tuple(part.body for part in page.parts)


def _split(pages: Mapping[str, Page]) -> Iterator[dict[str, Page]]:
    """The pages in segments' worth."""
    batch: dict[str, Page] = {}
    size = 0
    for key, page in pages.items():
        batch[key] = page
        size += page.size
        if len(batch) == MAX_SEGMENT_PAGES or size >= MAX_SEGMENT_BYTES:
            yield batch
            batch, size = {}, 0
    if batch:
        yield batch


def _record_segment(
    context: AppContext, enqueue: Callable[[str], bool], pages: Mapping[str, Page], segment: Segment, found_by: str, is_own: bool
) -> dict[str, PageReceipt]:
    offsets = zip(pages.values(), segment.offsets, strict=True)
    saved = context.ledger.submitted_pages.save(
        segment, [_submitted_page(page, offset, found_by, is_own) for page, offset in offsets], now=context.now()
    )
    enqueue(segment.id)
    became_other = "the URL became a listing's, or was barred, while it was submitted"
    return {
        key: PageReceipt(page.requested_url, PageStatus.QUEUED) if key in saved else reject(page, became_other)
        for key, page in pages.items()
    }


def _submitted_page(page: Page, offset: int, found_by: str, is_own: bool) -> SubmittedFetch:
    link = Link(page.requested_url, source=page.source, found_by=found_by, hint=page.hint)
    validators = page.header("ETag"), page.header("Last-Modified")
    parts = tuple(part.url for part in page.parts)
    return SubmittedFetch(link, offset, page.url, page.status, page.fetched_at, *validators, list_url_keys(page), parts, is_own=is_own)
