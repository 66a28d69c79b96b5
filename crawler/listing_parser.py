"""Reads listings in a child process, which may hang, crash or eat memory: a feed of 4 MB can keep feedparser busy for minutes."""

from __future__ import annotations

import asyncio
import os
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncGenerator
from contextlib import suppress

from crawler.listing_parser_child import BAD_BODY, BAD_LISTING, END, LINKS_JSON, REQUEST_JSON, SIZE
from crawler.listings import ParsedLinks, ParseRequest
from newsmill.exceptions import DecodeError, ListingError
from newsmill.sandbox.child import filter_environment

MAX_WAIT_SECONDS = 30.0  # until a listing is taken over, and until each of its parts; parser_child limits the CPU time of the whole
MAX_MESSAGE_BYTES = 16 << 20  # bytes of one part; the longest the child writes on purpose have 12 MB


class ListingParser:
    """One persistent child, fed listing by listing; killed at its deadline and replaced."""

    def __init__(self) -> None:
        self._child: Process | None = None
        self._turn = asyncio.Lock()

    async def read(self, order: ParseRequest, body: bytes) -> AsyncGenerator[ParsedLinks, None]:
        """The parts of a listing as they are found. Raises ListingError, also where reading it killed the child, and DecodeError."""
        async with self._turn:
            done = False
            try:
                async with asyncio.timeout(MAX_WAIT_SECONDS):
                    await self._send(order, body)
                while (found := await self._part()) is not None:
                    yield found
                done = True
            except (ListingError, DecodeError):
                done = self._child is not None
                raise
            except TimeoutError:
                raise ListingError(f"reading it took longer than {MAX_WAIT_SECONDS:g} seconds") from None
            finally:
                if not done:
                    await self._end_child()

    async def close(self) -> None:
        await self._end_child()

    async def _send(self, order: ParseRequest, body: bytes) -> None:
        if self._child is None or self._child.returncode is not None:
            # -P: a folder named "crawler" where we happen to stand is not ours. A process group of its own: Ctrl-C is for us to handle.
            command = (sys.executable, "-P", "-m", "crawler.listing_parser_child")
            bare = filter_environment(os.environ)
            self._child = await asyncio.create_subprocess_exec(*command, stdin=PIPE, stdout=PIPE, process_group=0, env=bare)
        pipe = self._child.stdin
        assert pipe is not None
        head = REQUEST_JSON.dump_json(order)
        for message in (head, body):
            pipe.write(SIZE.pack(len(message)))
            pipe.write(message)
        with suppress(ConnectionError):  # it died while we wrote; the answer that does not come will tell
            await pipe.drain()

    async def _part(self) -> ParsedLinks | None:
        assert self._child is not None and self._child.stdout is not None
        try:
            async with asyncio.timeout(MAX_WAIT_SECONDS):
                size = SIZE.unpack(await self._child.stdout.readexactly(SIZE.size))[0]
                if size > MAX_MESSAGE_BYTES:
                    await self._end_child()
                    raise ListingError(f"a part of its links takes {size:,} bytes")
                answer = await self._child.stdout.readexactly(size)
        except asyncio.IncompleteReadError:
            code = await self._end_child()
            raise ListingError(f"reading it killed the process (exit {code})") from None
        return _understand(answer[:1], answer[1:])

    async def _end_child(self) -> int | None:
        """Kill the child, if there is one; its exit code."""
        child, self._child = self._child, None
        if child is None:
            return None
        if child.returncode is None:
            child.kill()
        return await child.wait()


def _understand(kind: bytes, payload: bytes) -> ParsedLinks | None:
    if kind == END:
        return None
    if kind == BAD_LISTING:
        raise ListingError(payload.decode("utf-8", "replace"))
    if kind == BAD_BODY:
        outcome, _, why = payload.decode("utf-8", "replace").partition("\n")
        raise DecodeError(why, outcome)
    return LINKS_JSON.validate_json(payload)
