"""What is submitted to Newsmill: URLs of single pages, which the crawler fetches, and pages that were fetched outside the crawler.

URLs come from `newsmill submit`, `newsmill.submit` and the API. Pages come from a spider or from another program: they are sent as JSON,
archived, recorded, then queued, and take the ordinary way from there on.
"""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import AfterValidator, AwareDatetime, Base64Bytes, BaseModel, ConfigDict, Field, field_validator, model_validator

from newsmill.archive.archive import MAX_SEGMENT_BYTES, MAX_SEGMENT_PAGES, Archive
from newsmill.context import AppContext, data_folder, open_context, open_queue
from newsmill.discovery.article_pages import MAX_ARTICLE_PAGES, is_page_of
from newsmill.exceptions import ArchiveDamaged, ConfigError, ServiceError, UrlError
from newsmill.extraction.article_item import dump_item
from newsmill.extraction.decode import MAX_BODY_BYTES
from newsmill.model import ArticleItem, Hint, Kind, Link, Page, PageReceipt, PageStatus, State, SubmissionCounts
from newsmill.model.lazy_adapter import make_adapter
from newsmill.settings import Settings, load
from newsmill.storage.ledger import ArchivedRow, Ledger, SubmittedFetch
from newsmill.storage.private_files import make_private_folder
from newsmill.text.urls import find_site, make_key, normalize

log = logging.getLogger(__name__)

# ---- URLs

BATCH_URLS = 500  # of one transaction, which keeps the write lock short


def submit(urls: Iterable[str], source: str | None, again: bool, where: str | os.PathLike[str] | None) -> SubmissionCounts:
    """See `newsmill.submit`."""
    if isinstance(urls, str):  # it would be submitted letter by letter
        raise ConfigError("newsmill.submit expects a list of URLs, not one string; write [url]")
    with open_target(source, where) as app:
        return add_urls(app.ledger, _check_strings(urls), now=datetime.now(UTC), source=source, again=again)


@contextmanager
def open_target(source: str | None, where: str | os.PathLike[str] | None) -> Iterator[AppContext]:
    """The store to submit to, and a check of the source that is submitted for. Raises ConfigError."""
    if source is not None and not isinstance(source, str):
        raise ConfigError(f"source= expects the name of a source, not {type(source).__name__}")
    settings = load() if where is None else settings_for(os.fspath(where))
    is_folder = settings.database_url is None
    if is_folder:
        make_folder(data_folder(settings))
    with open_context(settings, create=is_folder) as app:
        if source is not None and app.ledger.sources.get(source) is None:
            raise ConfigError(f"source {source!r} does not exist; add it with `newsmill add`")
        yield app


def _check_strings(urls: Iterable[str]) -> Iterator[str]:
    for url in urls:
        if not isinstance(url, str):  # such as the NaN that pandas has for a missing value
            raise ConfigError(f"newsmill.submit expects URLs as strings, not {type(url).__name__}: {url!r}"[:200])
        yield url


def add_urls(ledger: Ledger, urls: Iterable[str], *, now: datetime, source: str | None = None, again: bool = False) -> SubmissionCounts:
    """Add URLs to the ledger, also those that cannot be fetched. Returns how many were new, known and bad."""
    new = known = bad = queued_again = 0
    rest = iter(urls)
    while batch := list(islice(rest, BATCH_URLS)):
        good = [url for url in batch if is_url(url)]
        added = ledger.links.add([Link(url=url, source=source) for url in good], now=now, again=again)
        ledger.links.add([Link(url=url, source=source) for url in batch if not is_url(url)], now=now)
        new, known, bad = new + added.new, known + added.known, bad + len(batch) - len(good)
        queued_again += added.again
    return SubmissionCounts(new, known, bad, queued_again)


def is_url(text: str) -> bool:
    """Whether `text` is an http(s) URL that can be fetched."""
    try:
        normalize(text)
    except UrlError:
        return False
    return True


def settings_for(where: str) -> Settings:
    """The settings for a data folder or a database URL. Raises ConfigError for other URLs."""
    scheme, separator, _ = where.partition("://")
    if not separator:
        return Settings.model_validate({"data": Path(where)})
    if scheme.partition("+")[0] not in ("sqlite", "postgresql", "postgres"):
        raise ConfigError(
            f"newsmill.submit cannot write to {scheme}://…; expected a data folder or a database URL (over HTTP: POST /api/v1/urls)"
        )
    return Settings.model_validate({"database_url": where})


def make_folder(folder: Path) -> None:
    """Make a data folder. Raises ConfigError."""
    try:
        make_private_folder(folder)
    except OSError as error:
        raise ConfigError(f"the data folder {folder} cannot be made ({error.strerror}); name another folder") from None


# ---- pages

# A kill at any point loses or doubles nothing: before the ledger's commit the caller submits the page again, and after it the scheduler
# queues the segment.

MAX_REQUEST_PAGES = MAX_SEGMENT_PAGES
MAX_HEADER_LINES = 500  # as the crawler's
MAX_HEADER_CHARACTERS = 64_000  # of all lines together; the crawler's cap
MAX_TEXT_CHARACTERS = 2_000_000  # of an item, as of a document
MIN_YEAR = 1990
HTML_TYPE = "text/html; charset=utf-8"
REFETCHED = frozenset({State.DUE, State.FETCHING})  # rows whose next page was requested, even if it is the same as the last one
_ITEM_HEADERS = (("Content-Type", "application/json"),)


def store_pages(context: AppContext, enqueue: Callable[[str], bool], pages: Sequence[Page], found_by: str) -> tuple[PageReceipt, ...]:
    """Archive pages, record them as fetched and queue them, in segments. Returns a receipt per page, in order.

    `enqueue` puts a segment's id on the queue; if it returns False, the scheduler does it later. `found_by` is stored in new rows. Of
    several pages of one URL the last is stored. A page that equals the archived one of its URL changes nothing. Raises ServiceError; the
    pages of earlier segments are then stored, and all may be submitted again.
    """
    checked = [_check(page) for page in pages]
    by_key = {make_key(page.requested_url): page for page in checked if isinstance(page, Page)}
    receipts: dict[str, PageReceipt] = {}
    pending: dict[str, Page] = {}
    chains = {key: _list_chain(page) for key, page in by_key.items()}
    rows = context.ledger.submitted_pages.find_rows(sorted({key for chain in chains.values() for key in chain}))
    for key, page in by_key.items():
        barred = next((row for one in chains[key] if (row := rows.get(one)) is not None and row.takedown is not None), None)
        receipt = _compare(context.archive, page, barred or rows.get(key))
        if receipt is None:
            pending[key] = page
        else:
            receipts[key] = receipt
    for batch in _split(pending):
        receipts |= _store_segment(context, enqueue, batch, found_by)
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


def _check(page: Page) -> Page | PageReceipt:
    """The page with normalised URLs, or the receipt that rejects it."""
    try:
        normal = _stay_on_site(replace(page, url=normalize(page.url), requested_url=normalize(page.requested_url)))
    except UrlError as error:
        return PageReceipt(page.requested_url, PageStatus.REJECTED, f"bad_url: {error}")
    normal = replace(normal, parts=_select_parts(normal))
    if len(page.body) > MAX_BODY_BYTES:
        return _reject(normal, f"the body has {len(page.body):,} bytes; the limit is {MAX_BODY_BYTES:,}")
    if len(page.headers) > MAX_HEADER_LINES or sum(len(name) + len(value) for name, value in page.headers) > MAX_HEADER_CHARACTERS:
        return _reject(normal, f"the headers have over {MAX_HEADER_LINES} lines or {MAX_HEADER_CHARACTERS:,} characters")
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
    if find_site(page.requested_url) == find_site(page.url):
        return page
    before = () if page.requested_url in page.redirects else (page.requested_url,)
    return replace(page, requested_url=page.url, redirects=(*before, *page.redirects))


def _reject(page: Page, reason: str) -> PageReceipt:
    return PageReceipt(page.requested_url, PageStatus.REJECTED, reason)


def _list_chain(page: Page) -> tuple[str, ...]:
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
        return _reject(page, f"barred by a takedown: {row.takedown}; run `newsmill takedowns remove URL` to permit it")
    if row.kind is not Kind.PAGE:
        return _reject(page, f"the URL is known as a {row.kind}; Newsmill reads it itself")
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


def _store_segment(context: AppContext, enqueue: Callable[[str], bool], pages: Mapping[str, Page], found_by: str) -> dict[str, PageReceipt]:
    segment = context.archive.write(list(pages.values()), now=context.now())
    offsets = zip(pages.values(), segment.offsets, strict=True)
    saved = context.ledger.submitted_pages.save(
        segment, [_submitted_page(page, offset, found_by) for page, offset in offsets], now=context.now()
    )
    enqueue(segment.id)
    became_other = "the URL became a listing's, or was barred, while it was submitted"
    return {
        key: PageReceipt(page.requested_url, PageStatus.QUEUED) if key in saved else _reject(page, became_other)
        for key, page in pages.items()
    }


def _submitted_page(page: Page, offset: int, found_by: str) -> SubmittedFetch:
    link = Link(page.requested_url, source=page.source, found_by=found_by, hint=page.hint)
    validators = page.header("ETag"), page.header("Last-Modified")
    return SubmittedFetch(
        link, offset, page.url, page.status, page.fetched_at, *validators, _list_chain(page), tuple(part.url for part in page.parts)
    )


# ---- the body of POST /api/v1/pages

_ITEM = make_adapter(ArticleItem)
HeaderText = Annotated[str, Field(max_length=8_000)]
UrlText = Annotated[str, Field(max_length=8_000, examples=["https://example.org/a"])]


_DAY = re.compile(r"\d{4}-\d\d-\d\d")


def _check_item(item: ArticleItem) -> ArticleItem:
    if len(item.text) > MAX_TEXT_CHARACTERS:
        raise ValueError(f"the text has over {MAX_TEXT_CHARACTERS:,} characters")
    return item


class SubmittedPage(BaseModel):
    """A fetched page: its URL with the HTML as text, or with the body and the headers that the server sent."""

    model_config = ConfigDict(extra="forbid")

    url: UrlText = Field(description="The final URL, after redirects.")
    html: str | None = Field(default=None, max_length=MAX_BODY_BYTES, description="The page as text.")
    body: Base64Bytes | None = Field(default=None, description="The body in Base64, in the Content-Encoding of the headers.")
    status: int = Field(default=200, ge=100, le=599)
    headers: list[tuple[HeaderText, HeaderText]] = Field(
        default=[], max_length=MAX_HEADER_LINES, description="Names and values, in their order."
    )
    requested_url: UrlText | None = Field(default=None, description="The URL before redirects, which the ledger names; default: `url`.")
    redirects: list[UrlText] = Field(default=[], max_length=20)
    fetched_at: AwareDatetime | None = Field(default=None, description="Default: now.")
    hint: Hint = Field(default=Hint(), description="Values for fields that the page does not have.")

    @field_validator("hint", mode="before")
    @classmethod
    def _keep_day(cls, hint: Any) -> Any:
        """A hint whose publication is a day has this precision: its type makes a day midnight."""
        is_day = isinstance(hint, dict) and isinstance(at := hint.get("published_at"), str) and _DAY.fullmatch(at) is not None
        return {"published_precision": "day", **hint} if is_day else hint

    @model_validator(mode="after")
    def _check_content(self) -> Self:
        if (self.html is None) == (self.body is None):
            raise ValueError("expected exactly one of html and body")
        return self


class PagesRequest(BaseModel):
    """Up to 32 pages and 32 items, and at least one of them."""

    model_config = ConfigDict(extra="forbid")

    pages: list[SubmittedPage] = Field(default=[], max_length=MAX_REQUEST_PAGES)
    items: list[Annotated[ArticleItem, AfterValidator(_check_item)]] = Field(
        default=[], max_length=MAX_REQUEST_PAGES, description="Articles with ready fields."
    )
    source: Annotated[str, Field(max_length=2_000)] | None = Field(default=None, description="Name of the source they belong to.")

    @model_validator(mode="after")
    def _check_number(self) -> Self:
        if not self.pages and not self.items:
            raise ValueError("expected at least one page or item")
        return self

    def to_pages(self, now: datetime) -> list[Page]:
        """The pages, then those of the items."""
        pages = [_decode_page(page, self.source, now) for page in self.pages]
        return pages + [make_item_page(item, fetched_at=now, source=self.source) for item in self.items]


def encode_page(page: Page) -> SubmittedPage:
    """A page as it is sent. Its source is that of the request."""
    return SubmittedPage.model_construct(
        url=page.url,
        body=page.body,
        status=page.status,
        headers=list(page.headers),
        requested_url=page.requested_url,
        redirects=list(page.redirects),
        fetched_at=page.fetched_at,
        hint=page.hint,
    )


def encode_item(page: Page) -> ArticleItem:
    """The item of a page as it is sent."""
    return _ITEM.validate_json(page.body)


def _decode_page(page: SubmittedPage, source: str | None, now: datetime) -> Page:
    headers = tuple(page.headers)
    if page.html is not None:  # text has no charset of its own any more
        headers = (*(line for line in headers if line[0].lower() not in ("content-type", "content-encoding")), ("Content-Type", HTML_TYPE))
    return Page(
        requested_url=page.requested_url or page.url,
        url=page.url,
        fetched_at=limit_time(page.fetched_at, now),
        status=page.status,
        headers=headers,
        body=page.body if page.html is None and page.body is not None else (page.html or "").encode("utf-8", "replace"),
        redirects=tuple(page.redirects),
        source=source,
        hint=replace(page.hint, published_at=_to_aware(page.hint.published_at), modified_at=_to_aware(page.hint.modified_at)),
    )


def _to_aware(at: datetime | None) -> datetime | None:
    """A time without a time zone is read as UTC."""
    return at if at is None or at.tzinfo is not None else at.replace(tzinfo=UTC)


def limit_time(at: datetime | None, now: datetime) -> datetime:
    """The time of a fetch; now for one in the future or before the web."""
    return now if at is None or at.year < MIN_YEAR or at > now else at.astimezone(UTC)
