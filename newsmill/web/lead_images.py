"""The main images of documents, fetched from their sites when a reader sees them, kept in a bounded cache.

Readers' browsers ask this server only, so that sites do not learn who reads what. A host gets one request at a time. What cannot be shown
is not tried again for an hour.
"""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from urllib.parse import urlsplit

from newsmill.exceptions import ServiceError, UrlError
from newsmill.network.address_guard import Guard
from newsmill.network.http_get import FetchError, Hop, fetch_hop
from newsmill.storage.private_files import make_image_mark, make_image_name
from newsmill.storage.publishers import PublisherOrder
from newsmill.text import urls
from newsmill.text.redaction import redact
from newsmill.text.sentences import Sentence
from newsmill.web.raster import read_raster

MAX_CACHE_BYTES = 200_000_000  # about 2,000 images
KEPT_SHARE = 0.8  # of the cache, after the oldest images were deleted
FAILURE_SECONDS = 3600.0
MAX_REDIRECTS = 4
ACCEPT = "image/webp,image/jpeg,image/png,image/gif;q=0.9"
MAX_IMAGE_BYTES = 8_000_000
MAX_HOP_SECONDS = 10.0
MAX_FETCHES = 4  # at once, each from another host
MAX_WAITING = 60  # images: three lists of results

log = logging.getLogger(__name__)


class ImageCache:
    """Files named by the hash of a URL. An empty file stands for an image that could not be fetched, and one with the ID of a document
    marks its images, which a takedown deletes. A folder that cannot be used keeps nothing. Used by one thread."""

    def __init__(self, folder: Path, max_bytes: int = MAX_CACHE_BYTES) -> None:
        self._folder, self._max_bytes = folder, max_bytes
        self._bytes: int | None = None  # None: not counted yet

    def get(self, url: str, document_id: str) -> bytes | None:
        """The image of a document; empty for a recent failure; None if it must be fetched."""
        path, mark = self._path(url), self._folder / make_image_mark(url, document_id)
        with suppress(OSError):
            self._folder.mkdir(mode=0o700, exist_ok=True)  # not its parent: a store elsewhere has no data folder
            is_new = not mark.exists()
            mark.touch()
            if is_new:
                self._add_bytes(mark.stat().st_blksize)
            content = path.read_bytes()
            if content or time.time() - path.stat().st_mtime < FAILURE_SECONDS:
                return content
        return None

    def put(self, url: str, content: bytes) -> None:
        """Keep an image, or b"" for a failure, unless no document has asked for it by `get`, or a takedown has removed all that did."""
        path = self._path(url)
        draft = path.with_name(f".{path.name}.{os.getpid()}")
        with suppress(OSError):
            self._folder.mkdir(mode=0o700, exist_ok=True)
            draft.write_bytes(content)
            draft.replace(path)
            if next(self._folder.glob(f"{path.name}.*"), None) is None:  # a takedown deleted it meanwhile
                path.unlink()
            self._add_bytes(len(content) + path.stat().st_blksize)

    def _add_bytes(self, added: int) -> None:
        self._bytes = self._count() if self._bytes is None else self._bytes + added
        if self._bytes > self._max_bytes:
            self._delete_oldest()

    def _path(self, url: str) -> Path:
        return self._folder / make_image_name(url)

    def _count(self) -> int:
        return sum(entry.stat().st_size + entry.stat().st_blksize for entry in os.scandir(self._folder))

    def _delete_oldest(self) -> None:
        """Delete the oldest files, drafts of killed processes among them. Other processes may do the same."""
        entries = sorted(((entry.stat(), entry.path) for entry in os.scandir(self._folder)), key=lambda pair: pair[0].st_mtime)
        total = sum(stat.st_size + stat.st_blksize for stat, _ in entries)
        for stat, path in entries:
            if total <= KEPT_SHARE * self._max_bytes:
                break
            Path(path).unlink(missing_ok=True)
            total -= stat.st_size + stat.st_blksize
        self._bytes = total


class LeadImages:
    """Fetches images for the web process. Its methods run in the event loop; `close` ends its threads."""

    def __init__(self, folder: Path, allow_nets: tuple[str, ...], agent: str, find_order: Callable[[str], PublisherOrder | None]) -> None:
        """`find_order` returns the order of the owner of a host. It may raise ServiceError."""
        self._cache = ImageCache(folder)
        self._guard, self._agent, self._find_order = Guard.from_networks(allow_nets), agent, find_order
        self._disk = ThreadPoolExecutor(1, thread_name_prefix="image-cache")
        self._network = ThreadPoolExecutor(MAX_FETCHES, thread_name_prefix="image")
        self._fetching: dict[str, asyncio.Task[bytes]] = {}
        self._requests = Counter[str]()  # running and waiting, by host
        self._locks: dict[str, asyncio.Lock] = {}

    async def get(self, url: str, document_id: str) -> bytes:
        """The raster image of a document, from the cache or its site. Raises FetchError."""
        content = await asyncio.get_running_loop().run_in_executor(self._disk, self._cache.get, url, document_id)
        if content is None:
            fetching = self._fetching.get(url)
            if fetching is None:
                if len(self._fetching) >= MAX_WAITING:
                    raise FetchError("too many images are being fetched")
                fetching = self._fetching[url] = asyncio.create_task(self._fetch_and_keep(url))
            content = await asyncio.shield(fetching)  # when a client disconnects, its host still has a request
        if not content:
            raise FetchError("the image could not be fetched")
        return content

    def close(self) -> None:
        """End the threads, without waiting for a site."""
        self._network.shutdown(wait=False, cancel_futures=True)
        self._disk.shutdown(cancel_futures=True)

    async def _fetch_and_keep(self, url: str) -> bytes:
        """The image, or b"" if it cannot be fetched."""
        try:
            content = await self._fetch(url)
        except FetchError as error:
            log.info("image %s: %s", redact(url), error)
            content = b""
        try:
            await asyncio.get_running_loop().run_in_executor(self._disk, self._cache.put, url, content)
        finally:
            del self._fetching[url]
        return content

    async def _fetch(self, url: str) -> bytes:
        for _ in range(1 + MAX_REDIRECTS):
            async with self._turn(urlsplit(url).netloc):
                hop = await asyncio.get_running_loop().run_in_executor(self._network, self._fetch_hop, url)
            if hop.redirect is None:
                if read_raster(hop.body) is None:
                    raise FetchError("it is not a JPEG, PNG, GIF or WebP image")
                return hop.body
            url = hop.redirect
        raise FetchError(Sentence("more than {n} redirects", n=MAX_REDIRECTS))

    def _fetch_hop(self, url: str) -> Hop:
        """The answer to one request, if the owner of the host allows it. Raises FetchError."""
        try:
            order = self._find_order(urls.get_host(url))
        except (UrlError, ServiceError) as error:
            raise FetchError(str(error)) from None
        if order is not None and order.is_stopped:
            raise FetchError(Sentence("the owner of the host has stopped the crawler"))
        return fetch_hop(url, self._guard, self._agent, MAX_HOP_SECONDS, accept=ACCEPT, max_bytes=MAX_IMAGE_BYTES)

    @asynccontextmanager
    async def _turn(self, host: str) -> AsyncIterator[None]:
        """Holds back other requests to the same host."""
        self._requests[host] += 1
        try:
            async with self._locks.setdefault(host, asyncio.Lock()):
                yield
        finally:
            self._requests[host] -= 1
            if not self._requests[host]:
                del self._requests[host], self._locks[host]
