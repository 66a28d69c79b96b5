"""Parses listings in a child process, which may hang, crash or run out of memory: a feed of 4 MB can occupy feedparser for minutes."""

from __future__ import annotations

import asyncio
import os
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncGenerator
from contextlib import suppress

from crawler.listing_parser_child import BAD_BODY, BAD_LISTING, END, LENGTH, LINKS_JSON, REQUEST_JSON
from crawler.listings import ParsedLinks, ParseRequest
from newsmill.exceptions import DecodeError, ListingError
from newsmill.sandbox.child import filter_environment

MAX_WAIT_SECONDS = 30.0  # for the child to take a request, and for each message; the child limits the CPU time of the whole listing
MAX_MESSAGE_BYTES = 16 << 20  # an honest child writes at most 12 MB


class ListingParser:
    """One persistent child, which parses one listing after the other. It is killed at its deadline and replaced."""

    def __init__(self) -> None:
        self._child: Process | None = None
        self._lock = asyncio.Lock()

    async def read(self, request: ParseRequest, body: bytes) -> AsyncGenerator[ParsedLinks, None]:
        """The links of a listing, in batches. Raises ListingError, also if the child crashes or is too slow, and DecodeError."""
        async with self._lock:
            is_child_idle = False
            try:
                async with asyncio.timeout(MAX_WAIT_SECONDS):
                    await self._send(request, body)
                while (links := await self._receive()) is not None:
                    yield links
                is_child_idle = True
            except (ListingError, DecodeError):
                is_child_idle = self._child is not None
                raise
            except TimeoutError:
                raise ListingError(f"parsing the listing took longer than {MAX_WAIT_SECONDS:g} seconds") from None
            finally:
                if not is_child_idle:
                    await self._kill_child()

    async def close(self) -> None:
        """End the child."""
        await self._kill_child()

    async def _send(self, request: ParseRequest, body: bytes) -> None:
        if self._child is None or self._child.returncode is not None:
            self._child = await _start_child()
        pipe = self._child.stdin
        assert pipe is not None
        for message in (REQUEST_JSON.dump_json(request), body):
            pipe.write(LENGTH.pack(len(message)))
            pipe.write(message)
        with suppress(ConnectionError):  # the child has crashed; _receive reports it
            await pipe.drain()

    async def _receive(self) -> ParsedLinks | None:
        """The next batch, or None at the end of the listing."""
        assert self._child is not None and self._child.stdout is not None
        try:
            async with asyncio.timeout(MAX_WAIT_SECONDS):
                length = LENGTH.unpack(await self._child.stdout.readexactly(LENGTH.size))[0]
                if length > MAX_MESSAGE_BYTES:
                    await self._kill_child()
                    raise ListingError(f"a batch of its links takes {length:,} bytes; the limit is {MAX_MESSAGE_BYTES:,}")
                message = await self._child.stdout.readexactly(length)
        except asyncio.IncompleteReadError:
            code = await self._kill_child()
            raise ListingError(f"parsing the listing crashed the child process (exit {code})") from None
        return _parse_message(message[:1], message[1:])

    async def _kill_child(self) -> int | None:
        """Kill the child, if there is one. Returns its exit code."""
        child, self._child = self._child, None
        if child is None:
            return None
        if child.returncode is None:
            child.kill()
        return await child.wait()


async def _start_child() -> Process:
    """`-P` keeps a folder named "crawler" in the working directory out of the import path; in its own process group, Ctrl-C spares it."""
    command = (sys.executable, "-P", "-m", "crawler.listing_parser_child")
    return await asyncio.create_subprocess_exec(*command, stdin=PIPE, stdout=PIPE, process_group=0, env=filter_environment(os.environ))


def _parse_message(kind: bytes, payload: bytes) -> ParsedLinks | None:
    if kind == END:
        return None
    if kind == BAD_LISTING:
        raise ListingError(payload.decode("utf-8", "replace"))
    if kind == BAD_BODY:
        outcome, _, reason = payload.decode("utf-8", "replace").partition("\n")
        raise DecodeError(reason, outcome)
    return LINKS_JSON.validate_json(payload)
