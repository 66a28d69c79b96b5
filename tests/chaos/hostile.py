"""A site that does everything a site should not, and its effect on other sites and on our processes."""

from __future__ import annotations

import asyncio
import gzip
import tempfile
import threading
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from statistics import quantiles

from chaos.installation import Installation, Plan, children, free_port
from chaos.site import World
from newsmill.model import Kind, Link, Politeness, Source

HOST = "127.0.0.200"
MAX_RUN_SECONDS = 240.0
Serve = Callable[[asyncio.StreamWriter], Awaitable[None]]


class Peaks:
    """The most memory each process ever held, in MB by name; looks every 20 ms while the block runs."""

    def __init__(self, pids: Sequence[int] = (), named: Callable[[], dict[int, str]] | None = None) -> None:
        self.named = named or (lambda: dict.fromkeys(pids, "child"))
        self.megabytes: dict[str, float] = {}
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Peaks:
        self._look()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()
        self._look()

    def _watch(self) -> None:
        while not self._done.wait(0.02):
            self._look()

    def _look(self) -> None:
        for pid, name in self.named().items():
            with suppress(OSError, StopIteration):
                lines = Path(f"/proc/{pid}/status").read_text().splitlines()
                peak = int(next(line for line in lines if line.startswith("VmHWM")).split()[1]) / 1024
                self.megabytes[name] = max(peak, self.megabytes.get(name, 0.0))


@dataclass(frozen=True)
class Measurements:
    """The measurements of a run: seconds between two requests to one honest site, MB by process, outcomes of the hostile site's URLs."""

    stored: int
    gaps: list[float]
    megabytes: dict[str, float]
    endings: dict[str, str]
    seconds: float

    @property
    def p95(self) -> float:
        return quantiles(self.gaps, n=20)[18]

    def lines(self, name: str) -> Iterator[str]:
        cuts = quantiles(self.gaps, n=20)
        yield f"{name}: {self.stored} articles in {self.seconds:.0f} s; next request after p50 {cuts[9]:.3f} s, p95 {cuts[18]:.3f} s"
        yield "  " + ", ".join(f"{role} {peak:.0f} MB" for role, peak in sorted(self.megabytes.items()))
        yield from (f"  {path:24} {ending}" for path, ending in self.endings.items() if path in {**PAGES, **FEEDS, **SITEMAPS})


def neighbours(sites: int, pages: int, *, hostile: bool) -> Measurements:
    """Crawl `sites` honest sites of `pages` articles each, politely, with or without a hostile one among them."""
    world = World(free_port(), sites, sites * pages)
    with (
        served() as port,
        tempfile.TemporaryDirectory(prefix="nm-hostile-", dir="/tmp", ignore_cleanup_errors=True) as folder,
        Installation(Path(folder), world, Plan(workers=2, delay=0.2, concurrency=1)) as installation,
        Peaks(named=lambda: processes(installation)) as peaks,
    ):
        if hostile:
            invite(installation, f"http://{HOST}:{port}")
        began = time.monotonic()
        while time.monotonic() - began < MAX_RUN_SECONDS and not _done(installation, world):
            installation.tend()
            time.sleep(0.5)
        endings = {
            row.url.partition(str(port))[2]: f"{row.kind} {row.outcome or row.state}: {(row.detail or '')[:70]}"
            for row in installation.ledger.traces(limit=2000)
            if row.host.startswith(HOST)
        }
        return Measurements(
            installation.documents.count(), gaps(installation.requests), dict(peaks.megabytes), endings, time.monotonic() - began
        )


def invite(installation: Installation, home: str) -> None:
    """Have the hostile site fetched: its pages at once, its listings by the source."""
    politeness = Politeness(0.0, 8)
    feeds, sitemaps = tuple(f"{home}{path}" for path in FEEDS), tuple(f"{home}{path}" for path in SITEMAPS)
    source = Source("hostile", homepage=f"{home}/", feeds=feeds, sitemaps=sitemaps, sections=(f"{home}/calendar",), politeness=politeness)
    installation.ledger.put_source(source, now=datetime.now(UTC))
    installation.ledger.add([Link(f"{home}{path}", Kind.PAGE, "hostile") for path in PAGES], now=datetime.now(UTC))


def processes(installation: Installation) -> dict[int, str]:
    """Our processes with their roles."""
    found: dict[int, str] = {}
    for role in ("crawler", "worker", "scheduler"):
        for pid in installation.running(role):
            found[pid] = role
            for child in children(pid):
                found[child] = f"{role}'s child"
                found |= dict.fromkeys(children(child), f"{role}'s child")
    return found | {installation.redis.process.pid: "redis"}


def gaps(log: Path) -> list[float]:
    """Seconds between two requests to the same honest site."""
    times: dict[str, list[float]] = {}
    for line in log.read_text().splitlines():
        _, at, host = line.rsplit(" ", 2)
        times.setdefault(host, []).append(float(at))
    return [later - earlier for request_counts in times.values() for earlier, later in pairwise(request_counts)]


def _done(installation: Installation, world: World) -> bool:
    return installation.documents.count() >= world.pages and installation.ledger.waiting(until=datetime.now(UTC)).soon == 0


# ---- the site


@contextmanager
def served() -> Iterator[int]:
    """The hostile site in a thread of its own; its port."""
    loop, port = asyncio.new_event_loop(), free_port()
    server = loop.run_until_complete(asyncio.start_server(_serve, HOST, port))
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    yield port
    loop.call_soon_threadsafe(server.close)
    loop.call_soon_threadsafe(loop.stop)
    thread.join(5)


async def _serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
        head = await reader.readuntil(b"\r\n\r\n")
        path = head.split(b" ", 2)[1].decode("latin-1")
        serve = {**PAGES, **FEEDS, **SITEMAPS}.get(path)
        await (serve(writer) if serve else _trap(writer, path))
        await writer.drain()
    writer.close()


async def _trap(writer: asyncio.StreamWriter, path: str) -> None:
    """Everything else is a page that leads to ever more pages: calendars, session ids, the same under longer paths."""
    if path == "/robots.txt":
        _answer(writer, b"User-agent: *\nAllow: /\n" + b"Sitemap: /sitemap-0.xml?sid=%d\n" * 20_000, "text/plain")
        return
    if path.startswith("/sitemap"):
        number = sum(map(ord, path))
        parts = "".join(f"<sitemap><loc>/sitemap-{number + n}.xml</loc></sitemap>" for n in range(40))
        body = (
            f'<sitemapindex xmlns="http://www.sitemaps.org/schemas/sitemap/0.9">{parts}<sitemap><loc>{path}</loc></sitemap></sitemapindex>'
        )
        _answer(writer, body.encode(), "text/xml")
        return
    depth = path.count("/")
    links = (
        "".join(f'<a href="{path.rstrip("/")}/{n}">A headline of this very day, number {n}</a>' for n in range(30)) if depth < 60 else ""
    )
    links += f'<a rel="next" href="/calendar?month={len(path) * 7919 % 100_000}&sid={id(writer)}">next</a>'
    _answer(writer, f"<html><body>{links}</body></html>".encode())


def _answer(writer: asyncio.StreamWriter, body: bytes, kind: str = "text/html", *more: str) -> None:
    has_length = any(line.startswith("Content-Length") for line in more)
    lines = [f"Content-Type: {kind}", *([] if has_length else [f"Content-Length: {len(body)}"]), "Connection: close", *more]
    writer.write(("HTTP/1.1 200 OK\r\n" + "\r\n".join(lines) + "\r\n\r\n").encode() + body)


def fixed(body: bytes, kind: str = "text/html", *more: str) -> Serve:
    async def serve(writer: asyncio.StreamWriter) -> None:
        _answer(writer, body, kind, *more)

    return serve


def streamed(head: bytes, piece: bytes, pause: float) -> Serve:
    """The same piece repeatedly, until the client closes the connection."""

    async def serve(writer: asyncio.StreamWriter) -> None:
        writer.write(head)
        while True:
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(pause)

    return serve


OK = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n"
BOMB = gzip.compress(b"\0" * (100 << 20), 9)
CHUNK = b"10000\r\n" + b"x" * 65536 + b"\r\n"
PAGES: dict[str, Serve] = {
    "/endless": streamed(OK + b"Transfer-Encoding: chunked\r\n\r\n", CHUNK, 0.001),
    "/endless-plain": streamed(OK + b"\r\n", b"x" * 65536, 0.001),
    "/drip": streamed(OK + b"Content-Length: 1000000\r\n\r\n", b"x", 0.25),
    "/drip-headers": streamed(OK, b"X-A: b\r\n", 0.25),
    "/drip-chunks": streamed(OK + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n", 0.25),
    "/endless-headers": streamed(OK, b"X-A: b\r\n" * 5000, 0.001),
    "/one-long-header": streamed(OK + b"X-A: ", b"b" * 65536, 0.001),
    "/100-continue": streamed(b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 100, 0.001),
    "/silent": streamed(b"", b"", 1.0),
    "/says-less": fixed(b"<p>more than declared" * 5000, "text/html", "Content-Length: 10"),
    "/says-more": fixed(b"<p>less than declared", "text/html", "Content-Length: 99999999999"),
    "/says-nonsense": fixed(b"<p>text", "text/html", "Content-Length: -1"),
    "/two-lengths-and-chunks": fixed(b"<p>text", "text/html", "Transfer-Encoding: chunked"),
    "/50-mb": fixed(b"x" * (50 << 20)),
    "/9-mb": fixed(b"<p>A paragraph of some length that says nothing at all.</p>" * 150_000),
    "/bomb": fixed(BOMB, "text/html", "Content-Encoding: gzip"),
    "/double-bomb": fixed(gzip.compress(BOMB), "text/html", "Content-Encoding: gzip, gzip"),
    "/attributes": fixed(b"<p " + b" ".join(b"a%d=1" % n for n in range(100_000)) + b">"),
    "/nested": fixed(b"<div>" * 100_000),
    "/links": fixed(b"".join(b'<a href="/%d">x</a>' % n for n in range(100_000))),
}
_LAUGHS = "<!DOCTYPE l [<!ENTITY a0 'lol'>" + "".join(f"<!ENTITY a{n} '{f'&a{n - 1};' * 10}'>" for n in range(1, 10)) + "]>"
FEEDS: dict[str, Serve] = {
    "/laughs.xml": fixed(
        f"<?xml version='1.0'?>{_LAUGHS}<rss version='2.0'><channel><title>&a9;</title></channel></rss>".encode(), "text/xml"
    ),
    "/entity.xml": fixed(
        b"<?xml version='1.0'?><!DOCTYPE r [<!ENTITY x SYSTEM 'file:///etc/passwd'>]>"
        b"<rss version='2.0'><channel><title>&x;</title></channel></rss>",
        "text/xml",
    ),
    "/4-mb.xml": fixed(
        b"<rss version='2.0'><channel>" + b"<item><title>x</title><link>/a</link></item>" * 90_000 + b"</channel></rss>", "text/xml"
    ),
    "/bomb.xml": fixed(BOMB, "text/xml", "Content-Encoding: gzip"),
    "/deep.json": fixed(b"[" * 2_000_000, "application/feed+json"),
    "/drip.xml": streamed(OK + b"Content-Length: 1000000\r\n\r\n", b"<", 0.25),
}
SITEMAPS: dict[str, Serve] = {
    "/laughs-map.xml": fixed(f"<?xml version='1.0'?>{_LAUGHS}<urlset><url><loc>&a9;</loc></url></urlset>".encode(), "text/xml"),
    "/bomb.xml.gz": fixed(BOMB, "application/gzip"),
    "/50-mb-map.xml": fixed(b"<urlset>" + b"<url><loc>/a</loc></url>" * 2_000_000, "text/xml"),
    "/circle.xml": fixed(
        b"<sitemapindex><sitemap><loc>/circle.xml</loc></sitemap><sitemap><loc>/sitemap-1.xml</loc></sitemap></sitemapindex>", "text/xml"
    ),
}
