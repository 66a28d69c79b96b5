"""Hands listings to a child process, which may hang, crash or run out of memory; that costs only the listing it parses."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from pydantic import ValidationError

from crawler.listings.messages import REQUEST_JSON, RESPONSE_JSON, ParsedLinks, ParseRequest, ParseResponse
from newsmill.exceptions import DecodeError, ListingError
from newsmill.model import Kind
from newsmill.sandbox.child import Limits
from newsmill.sandbox.parent import ChildCrashError, ChildProcess, ChildTimeoutError, ResponseTooLongError
from newsmill.text.sentences import Sentence

HANDLER = "crawler.listings.reader:make_handler"
# CPU time of one listing: all hosts share the child. Three times the cost of the largest honest listings: 6.5 s for a news sitemap of
# 50 MB with 48,000 entries; 0.8 s for a feed, a section or a homepage of 10 MB.
MAX_SITEMAP_CPU_SECONDS, MAX_CPU_SECONDS = 20.0, 5.0
# An honest child sends at most 12 MB in a batch, and a sitemap of 50 MB takes 60 MB of memory.
LIMITS = Limits(wall=30.0, cpu=MAX_SITEMAP_CPU_SECONDS, memory=768 << 20, response=16 << 20)

T = TypeVar("T")


class ListingParser:
    """One persistent child, which parses one listing after the other. It is killed at its deadline and replaced."""

    def __init__(self, limits: Limits = LIMITS) -> None:
        self._child = ChildProcess(HANDLER, limits=limits)
        self._thread = ThreadPoolExecutor(1, "listing-parser")  # waits for the child, so that the event loop need not
        self._lock = asyncio.Lock()

    async def read(self, request: ParseRequest, body: bytes) -> AsyncGenerator[ParsedLinks, None]:
        """The links of a listing, in batches. Raises ListingError (also after a crash), DecodeError, and NewsmillError without a child."""
        async with self._lock:
            is_done = False
            try:
                response = await self._run(lambda: self._send(request, body))
                yield response.links
                while self._child.is_busy:
                    response = await self._run(self._receive)
                    yield response.links
                is_done = True
            except (ListingError, DecodeError):
                is_done = not self._child.is_busy
                raise
            except ChildTimeoutError:
                raise ListingError(Sentence("parsing the listing took longer than {n:g} seconds", n=self._child.limits.wall)) from None
            except ResponseTooLongError as error:
                size, limit = error.size, self._child.limits.response
                raise ListingError(
                    Sentence("a batch of its links takes {n:,} bytes; the limit is {limit:,}", n=size, limit=limit)
                ) from None
            except ChildCrashError as error:
                raise ListingError(Sentence("parsing the listing crashed the child process ({error})", error=error)) from None
            finally:
                if not is_done:  # also when the caller stops or is cancelled: the thread must not wait for this listing any longer
                    self._child.kill()

    async def close(self) -> None:
        """End the child."""
        self._child.kill()
        await self._run(self._child.close)
        self._thread.shutdown()

    async def _run(self, call: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, call)

    def _send(self, request: ParseRequest, body: bytes) -> ParseResponse:
        self._child.start()
        self._child.send(REQUEST_JSON.dump_json(request), body, cpu_limit(request.kind))
        return self._receive()

    def _receive(self) -> ParseResponse:
        """The next response. Raises its error, which is the last response to a request."""
        payload = self._child.receive()
        try:
            response = RESPONSE_JSON.validate_json(payload)
        except ValidationError as error:
            raise ChildCrashError(f"{error.error_count()} invalid fields in its response") from None
        if response.error is None:
            return response
        raise ListingError(response.error) if response.outcome is None else DecodeError(response.error, response.outcome)


def cpu_limit(kind: Kind) -> float:
    """The seconds of CPU time that parsing a listing of this kind may take."""
    return MAX_SITEMAP_CPU_SECONDS if kind is Kind.SITEMAP else MAX_CPU_SECONDS
