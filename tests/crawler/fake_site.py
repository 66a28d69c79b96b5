"""Real HTTP servers on 127.0.0.x with a small language: `site.page("/a", body=…, status=…, headers=…, delay=…, redirect=…)`.

Each site logs its requests, their times, and how many were in flight. `site.raw(path, serve)` writes bytes by hand.
"""

from __future__ import annotations

import asyncio
import gzip
import ssl
import threading
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.utils import formatdate
from itertools import pairwise

Serve = Callable[[asyncio.StreamWriter], Awaitable[None]]


@dataclass(frozen=True)
class Hit:
    path: str
    at: float  # time.monotonic() when the request had been read
    headers: Mapping[str, str]
    in_flight: int  # requests of this site at that moment, this one included
    body: bytes = b""


@dataclass(frozen=True)
class Response:
    status: int = 200
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""
    delay: float = 0.0


@dataclass(eq=False)
class Site:
    ip: str
    port: int = 0
    tls: ssl.SSLContext | None = None
    pages: dict[str, Response | Serve | Callable[[Hit], Response]] = field(default_factory=dict)
    log: list[Hit] = field(default_factory=list)
    connections: int = 0
    in_flight: int = 0
    fallback: Callable[[Hit], Response] | None = None
    writers: set[asyncio.StreamWriter] = field(default_factory=set)

    @property
    def host(self) -> str:
        return f"{self.ip}:{self.port}"

    def url(self, path: str = "/") -> str:
        return f"{'https' if self.tls else 'http'}://{self.host}{path}"

    def page(
        self,
        path: str,
        body: bytes | str = b"",
        *,
        status: int = 200,
        headers: Mapping[str, str] | None = None,
        delay: float = 0.0,
        redirect: str | None = None,
        content_type: str = "text/html; charset=utf-8",
        zipped: bool = False,
    ) -> str:
        """Set the response of `path`. Returns its URL."""
        raw = body.encode() if isinstance(body, str) else body
        lines = [("Content-Type", content_type), *(headers or {}).items()]
        if redirect is not None:
            status, lines = 302 if status == 200 else status, [*lines, ("Location", redirect)]
        if zipped:
            raw, lines = gzip.compress(raw), [*lines, ("Content-Encoding", "gzip")]
        self.pages[path] = Response(status, tuple(lines), raw, delay)
        return self.url(path)

    def article(self, path: str, title: str = "A headline") -> str:
        text = f"<p>{'The council met on Monday to talk about the bridge. ' * 12}</p>"
        return self.page(path, f"<html><head><title>{title}</title></head><body><article><h1>{title}</h1>{text}</article></body></html>")

    def feed(self, path: str, *links: str, headers: Mapping[str, str] | None = None) -> str:
        items = "".join(
            f"<item><title>Item {n}</title><link>{link}</link><pubDate>{formatdate()}</pubDate></item>" for n, link in enumerate(links)
        )
        body = f'<?xml version="1.0"?><rss version="2.0"><channel><title>F</title><link>{self.url()}</link>{items}</channel></rss>'
        return self.page(path, body, content_type="application/rss+xml", headers=headers)

    def robots(self, text: str, **how: object) -> None:
        self.page("/robots.txt", text, content_type="text/plain", **how)  # type: ignore[arg-type]

    def raw(self, path: str, serve: Serve) -> str:
        self.pages[path] = serve
        return self.url(path)

    def hits(self, path: str | None = None) -> list[Hit]:
        return [hit for hit in self.log if path is None or hit.path == path]

    def gaps(self) -> list[float]:
        """Seconds between one request and the next."""
        times = [hit.at for hit in self.log]
        return [later - earlier for earlier, later in pairwise(times)]

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.writers.add(writer)
        try:
            while await self._serve_request(reader, writer):
                pass
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError, ssl.SSLError):
            pass  # the client has gone, or the farm closes
        finally:
            self.writers.discard(writer)
            writer.close()

    async def _serve_request(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = await reader.readuntil(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines if line)}
        body = await reader.readexactly(int(headers.get("content-length", "0")))
        self.in_flight += 1
        hit = Hit(first.split(" ")[1], time.monotonic(), headers, self.in_flight, body)
        self.log.append(hit)
        try:
            return await self._respond(hit, writer)
        finally:
            self.in_flight -= 1

    async def _respond(self, hit: Hit, writer: asyncio.StreamWriter) -> bool:
        response = self.pages.get(hit.path)
        if response is None:
            response = self.fallback(hit) if self.fallback else Response(404, (("Content-Type", "text/plain"),), b"no such page")
        elif not isinstance(response, Response) and asyncio.iscoroutinefunction(response):
            await response(writer)
            return False
        elif not isinstance(response, Response):
            response = response(hit)  # type: ignore[arg-type,assignment]
        assert isinstance(response, Response)
        await asyncio.sleep(response.delay)
        has_body = response.status not in (204, 304)
        lines = [*response.headers, *((("Content-Length", str(len(response.body))),) if has_body else ())]
        head = "".join(f"{name}: {value}\r\n" for name, value in lines)
        writer.write(f"HTTP/1.1 {response.status} X\r\n{head}\r\n".encode() + (response.body if has_body else b""))
        await writer.drain()
        return True


class Farm:
    """An event loop in a thread, and the servers on it."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self.thread.start()
        self.servers: list[asyncio.Server] = []
        self.sites: list[Site] = []
        self.next_ip = 10

    def site(self, ip: str | None = None, *, port: int = 0, tls: ssl.SSLContext | None = None) -> Site:
        if ip is None:
            ip, self.next_ip = f"127.0.0.{self.next_ip}", self.next_ip + 1
        site = Site(ip, port, tls)
        server = self._call(asyncio.start_server(site.serve, ip, port, ssl=tls, limit=1 << 20))
        self.servers.append(server)
        self.sites.append(site)
        site.port = server.sockets[0].getsockname()[1]
        return site

    def _call(self, coroutine: Awaitable[asyncio.Server]) -> asyncio.Server:
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(10)  # type: ignore[arg-type]

    def close(self) -> None:
        async def end() -> None:
            for server in self.servers:
                server.close()
            for writer in [writer for site in self.sites for writer in site.writers]:
                writer.transport.abort()
            tasks = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await asyncio.sleep(0.1)  # for the transports to be closed

        asyncio.run_coroutine_threadsafe(end(), self.loop).result(10)
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(10)
        self.loop.close()


@contextmanager
def farm() -> Iterator[Farm]:
    sites = Farm()
    try:
        yield sites
    finally:
        sites.close()
