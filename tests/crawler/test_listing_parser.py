"""Parsing listings in the child: the links, and what becomes of hostile listings."""

from __future__ import annotations

import asyncio
import gzip
import os
import signal
from collections.abc import Iterator
from contextlib import aclosing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import cache, partial
from multiprocessing import forkserver
from pathlib import Path
from typing import Any

import pytest
from services import is_running

from crawler.listings import parser as parser_module
from crawler.listings.messages import MAX_INDEX_SITEMAPS, ParsedLinks, ParseRequest
from crawler.listings.parser import LIMITS, MAX_CPU_SECONDS, MAX_SITEMAP_CPU_SECONDS, ListingParser, cpu_limit
from crawler.listings.reader import MAX_UNDATED_SITEMAPS
from newsmill.exceptions import DecodeError, ListingError
from newsmill.model import Kind
from newsmill.sandbox.child import Limits
from newsmill.sandbox.parent import ChildProcess
from newsmill.sandbox.process_limits import limit_cpu

NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)
SITE = "http://a.example"
HEAD = '<?xml version="1.0"?>'


def parse_request(kind: Kind, encoding: str | None = None) -> ParseRequest:
    return ParseRequest(kind, f"{SITE}/listed", f"{SITE}/final", "paper", frozenset({"a.example"}), NOW, "text/html", encoding)


@cache
def shared_parser() -> tuple[asyncio.Runner, ListingParser]:
    """A parser for the tests that only read."""
    return asyncio.Runner(), ListingParser()


@pytest.fixture(scope="module", autouse=True)
def forked_children() -> Iterator[None]:
    """A fork server makes the children: one as a crawler starts it, a new interpreter, takes a second of CPU until it reads."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(parser_module, "ChildProcess", partial(ChildProcess, preload=("crawler.listings.reader",)))
        yield
        runner, parser = shared_parser()
        runner.run(parser.close())
        runner.close()
    server: Any = forkserver._forkserver  # type: ignore[attr-defined]
    if server._forkserver_pid is not None:  # it would end with the last child of any test, and other files need one with another reader
        os.kill(server._forkserver_pid, signal.SIGKILL)
        server._stop()


def read(*listings: tuple[ParseRequest, bytes], limits: Limits | None = None) -> list[Any]:
    """The batches of each listing, or its error, all from one ListingParser: the shared one, unless it needs other limits."""

    async def read_with(parser: ListingParser) -> list[Any]:
        results: list[Any] = []
        for one, body in listings:
            try:
                results.append([links async for links in parser.read(one, body)])
            except (ListingError, DecodeError) as e:
                results.append(e)
        return results

    async def read_once() -> list[Any]:
        parser = ListingParser(limits or LIMITS)
        results = await read_with(parser)
        await parser.close()
        return results

    if limits is not None:
        return asyncio.run(read_once())
    runner, parser = shared_parser()
    return runner.run(read_with(parser))


def rss(*links: str) -> bytes:
    items = "".join(f"<item><title>T</title><link>{link}</link></item>" for link in links)
    return f'{HEAD}<rss version="2.0"><channel>{items}</channel></rss>'.encode()


def urlset(*links: str, lastmod: str = "") -> bytes:
    return f"{HEAD}<urlset>{''.join(f'<url><loc>{link}</loc>{lastmod}</url>' for link in links)}</urlset>".encode()


def test_links_name_their_source_and_listing() -> None:
    ((links,),) = read((parse_request(Kind.FEED), rss(f"{SITE}/a", "http://elsewhere.example/b")))
    assert [(link.url, link.source, link.found_by, link.found_on) for link in links.pages] == [
        (f"{SITE}/a", "paper", "feed", f"{SITE}/listed"),
        ("http://elsewhere.example/b", "paper", "feed", f"{SITE}/listed"),
    ]


def test_a_long_sitemap_comes_in_batches() -> None:
    body = gzip.compress(urlset(*(f"{SITE}/article-{n}" for n in range(5000)), "http://elsewhere.example/b", f"{SITE}/a/b/a/b/a/b/a/b"))
    (parts,) = read((parse_request(Kind.SITEMAP, "gzip"), body))
    assert len(parts) > 2
    assert [link.url for part in parts for link in part.pages] == [f"{SITE}/article-{n}" for n in range(5000)]


def test_the_longest_links_are_passed_on() -> None:
    """Fields are cut and links come in batches, so that no batch exceeds the limit."""
    long, long_url = "é" * 7_900, f"{SITE}/{'a' * 1_900}-story-number"
    news = f"<news:title>{long}</news:title><news:keywords>{long}</news:keywords><news:publication><news:language>{long}</news:language>"
    entries = "".join(f"<url><loc>{long_url}-{n}</loc><news:news>{news}</news:publication></news:news></url>" for n in range(600))
    items = "".join(f"<item><link>{long_url}-{n}</link><title>{long}</title></item>" for n in range(600))
    far = replace(parse_request(Kind.SITEMAP), listed_at=f"{SITE}/{'b' * 7_900}")
    sitemap, feed = read(
        (far, f"<urlset>{entries}</urlset>".encode()), (replace(far, kind=Kind.FEED), f"<rss>{items}</rss>".encode()[:9_900_000])
    )
    assert sum(len(part.pages) for part in sitemap) == 600
    assert {len(link.hint.title or "") for part in sitemap for link in part.pages} == {1_000}
    assert (len(feed), sum(len(part.pages) for part in feed) > 500) == (2, True)


def test_a_batch_that_is_too_long_is_an_error() -> None:
    long, short = read(
        (parse_request(Kind.FEED), rss(*(f"{SITE}/{n}" for n in range(9)))),
        (parse_request(Kind.FEED), rss(f"{SITE}/a")),
        limits=replace(LIMITS, response=1_000),
    )
    assert isinstance(long, ListingError)
    assert "the limit is 1,000" in str(long)
    assert len(short[0].pages) == 1


def test_the_parts_of_an_index() -> None:
    """Fetched again: those changed this week, and those without a date."""

    def entry(name: str, days: int | None) -> str:
        lastmod = "" if days is None else f"<lastmod>{(NOW - timedelta(days=days)).isoformat()}</lastmod>"
        return f"<sitemap><loc>{SITE}/{name}.xml</loc>{lastmod}</sitemap>"

    body = f"{HEAD}<sitemapindex>{entry('new', 1)}{entry('old', 30)}{entry('undated', None)}</sitemapindex>".encode()
    ((links,),) = read((parse_request(Kind.SITEMAP), body))
    assert [link.url for link in links.listings] == [f"{SITE}/old.xml"]
    assert [link.url for link in links.refetch] == [f"{SITE}/new.xml", f"{SITE}/undated.xml"]


@pytest.mark.parametrize(("step", "refetched"), [(timedelta(minutes=1), 1), (timedelta(hours=1), 12)])
def test_an_index_that_dates_all_parts_alike(step: timedelta, refetched: int) -> None:
    """The time of the request, or of the last rebuild, says of no part that it has changed: its archives by month are left."""
    names = [f"new-{NOW:%Y-%m}", *(f"old-{2010 + number}-01" for number in range(11))]
    dates = [(NOW - number * step).isoformat() for number in range(12)]
    entries = (f"<sitemap><loc>{SITE}/{name}.xml</loc><lastmod>{date}</lastmod></sitemap>" for name, date in zip(names, dates, strict=True))
    ((links,),) = read((parse_request(Kind.SITEMAP), f"{HEAD}<sitemapindex>{''.join(entries)}</sitemapindex>".encode()))
    assert [link.url for link in links.refetch] == [f"{SITE}/{name}.xml" for name in names[:refetched]]


def test_the_pages_of_a_sitemap_that_changed_lately_by_a_date_of_their_own() -> None:
    def find_modified(dates: list[datetime]) -> list[str]:
        entries = (f"<url><loc>{SITE}/{number}</loc><lastmod>{date.isoformat()}</lastmod></url>" for number, date in enumerate(dates))
        batches = read((parse_request(Kind.SITEMAP), f"{HEAD}<urlset>{''.join(entries)}</urlset>".encode()))[0]
        return [link.url.removeprefix(f"{SITE}/") for links in batches for link in links.modified]

    archive = [NOW - timedelta(days=9 + number) for number in range(20)]
    lately = [NOW - timedelta(hours=3), NOW - timedelta(hours=1), NOW + timedelta(hours=1)]
    assert find_modified([*archive, *lately]) == ["21", "20"], "the newest first; not one of the future"
    assert find_modified([*archive, *[NOW - timedelta(hours=1)] * 10]) == [], "ten moved together"
    assert find_modified([NOW] * 3) == find_modified([NOW]) == [], "the time at which the file was made"


def test_a_long_index_keeps_its_newest_parts() -> None:
    """Archives by day, the oldest first, or by lastmod in any order; a part without a date may be the newest."""
    days = [NOW - timedelta(days=number) for number in range(1_500)]
    named = "".join(f"<sitemap><loc>{SITE}/map-{day:%Y-%m-%d}.xml</loc></sitemap>" for day in reversed(days))
    changed = "".join(
        f"<sitemap><loc>{SITE}/{chr(97 + number % 26)}{number}x.xml</loc><lastmod>{day:%Y-%m-%d}</lastmod></sitemap>"
        for number, day in sorted(enumerate(days), key=lambda item: item[0] * 7 % 1_500)
    )
    latest = f"<sitemap><loc>{SITE}/latest.xml</loc></sitemap>"
    for parts, newest in ((named, f"{SITE}/map-{NOW:%Y-%m-%d}.xml"), (changed, f"{SITE}/a0x.xml")):
        ((links,),) = read((parse_request(Kind.SITEMAP), f"{HEAD}<sitemapindex>{parts}{latest}</sitemapindex>".encode()))
        assert {newest, f"{SITE}/latest.xml"} <= {link.url for link in links.refetch}
        assert len(links.refetch) + len(links.listings) == MAX_INDEX_SITEMAPS


@pytest.mark.parametrize("count", [300, 1_500])
@pytest.mark.parametrize("lastmod", ["", f"<lastmod>{NOW.isoformat()}</lastmod>"])
def test_of_numbered_parts_without_dates_both_ends_are_read(count: int, lastmod: str) -> None:
    """The newest part is the first one or the last one, and the date of the request says nothing."""
    parts = "".join(f"<sitemap><loc>{SITE}/posts-{number}.xml</loc>{lastmod}</sitemap>" for number in range(1, count + 1))
    ((links,),) = read((parse_request(Kind.SITEMAP), f"{HEAD}<sitemapindex>{parts}</sitemapindex>".encode()))
    assert {f"{SITE}/posts-1.xml", f"{SITE}/posts-{count}.xml"} <= {link.url for link in links.refetch}
    assert len(links.refetch) == MAX_UNDATED_SITEMAPS
    assert len(links.refetch) + len(links.listings) == min(count, MAX_INDEX_SITEMAPS)


def test_bodies_that_are_not_listings() -> None:
    binary, broken, bomb, good = read(
        (parse_request(Kind.FEED), b"\x89PNG\r\n\x1a\n" + b"\0" * 500),
        (parse_request(Kind.FEED, "gzip"), b"this is not gzip"),
        (parse_request(Kind.SECTION, "gzip"), gzip.compress(b"\0" * 60_000_000)),
        (parse_request(Kind.FEED), rss(f"{SITE}/a")),
    )
    assert isinstance(binary, ListingError)
    assert (isinstance(broken, DecodeError), isinstance(bomb, DecodeError)) == (True, True)
    assert (broken.outcome, bomb.outcome) == ("bad_encoding", "too_large")
    assert isinstance(good[0], ParsedLinks)


@pytest.mark.parametrize("kind", list(Kind))
def test_the_kernel_counts_the_cpu_time_of_each_listing(kind: Kind) -> None:
    limit_cpu(cpu_limit(kind))
    left, _ = signal.setitimer(signal.ITIMER_PROF, 0)
    assert round(left) == (MAX_SITEMAP_CPU_SECONDS if kind is Kind.SITEMAP else MAX_CPU_SECONDS)  # in ticks of the kernel


FEED = parse_request(Kind.FEED), rss(f"{SITE}/a")


async def read_feed(parser: ListingParser) -> list[str]:
    return [link.url async for links in parser.read(*FEED) for link in links.pages]


async def stop_child(parser: ListingParser) -> int:
    """Start the parser's child and suspend it; its process id."""
    assert await read_feed(parser) == [f"{SITE}/a"]
    pid = parser._child.pid
    assert pid is not None
    os.kill(pid, signal.SIGSTOP)
    return pid


@pytest.mark.parametrize("size", [0, 5_000_000])
def test_a_child_that_hangs_is_an_error(size: int) -> None:
    """The child is killed, also while it does not take a long request, and the next listing is read by a new one."""

    async def scenario() -> None:
        parser = ListingParser()
        pid = await stop_child(parser)
        parser._child.limits = replace(LIMITS, wall=0.2)
        with pytest.raises(ListingError, match=r"took longer than 0\.2 seconds"):
            [links async for links in parser.read(FEED[0], FEED[1] + b" " * size)]
        parser._child.limits = LIMITS
        assert await read_feed(parser) == [f"{SITE}/a"]
        assert parser._child.pid != pid
        await parser.close()

    asyncio.run(scenario())


def test_a_cancelled_caller_does_not_wait_for_the_child() -> None:
    """The next listing does not wait for it either: nobody would end the child before its deadline of ten hours."""

    async def scenario() -> None:
        parser = ListingParser(replace(LIMITS, wall=36_000.0))
        await stop_child(parser)
        task = asyncio.ensure_future(read_feed(parser))
        await asyncio.sleep(0.1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await read_feed(parser) == [f"{SITE}/a"]
        await parser.close()

    asyncio.run(scenario())


def test_closing_while_a_listing_is_parsed() -> None:
    async def scenario() -> None:
        parser = ListingParser(replace(LIMITS, wall=36_000.0))
        pid = await stop_child(parser)
        task = asyncio.ensure_future(read_feed(parser))
        await asyncio.sleep(0.1)
        await parser.close()
        with pytest.raises(ListingError, match="SIGKILL"):
            await task
        assert not is_running(pid)

    asyncio.run(scenario())


def test_a_caller_that_stops_early_gets_no_late_batches() -> None:
    async def scenario() -> None:
        parser = ListingParser()
        async with aclosing(parser.read(parse_request(Kind.SITEMAP), urlset(*(f"{SITE}/{n}" for n in range(5000))))) as batches:
            async for links in batches:
                assert links.pages
                break
        assert await read_feed(parser) == [f"{SITE}/a"]
        await parser.close()

    asyncio.run(scenario())


def test_one_child_without_passwords_reads_all_listings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Errors of listings keep it, and Ctrl-C does not reach it. The child is one as a crawler starts it."""
    monkeypatch.setattr(parser_module, "ChildProcess", ChildProcess)
    monkeypatch.setenv("DATABASE_URL", "postgresql://newsmill:hunter2@db/newsmill")

    async def scenario() -> None:
        parser = ListingParser()
        await read_feed(parser)
        pid = parser._child.pid
        assert pid is not None
        for request, body in [(FEED[0], b"\x89PNG"), (replace(FEED[0], content_encoding="gzip"), b"not gzip")]:
            with pytest.raises((ListingError, DecodeError)):
                [links async for links in parser.read(request, body)]
        assert await read_feed(parser) == [f"{SITE}/a"]
        assert parser._child.pid == pid
        assert os.getpgid(pid) != os.getpgid(0)
        environ = Path(f"/proc/{pid}/environ").read_text()
        assert "PATH=" in environ and "hunter2" not in environ
        await parser.close()

    asyncio.run(scenario())


def test_hostile_listings() -> None:
    """The next listing is read after each of them."""
    attributes = b" ".join(b'a%d="x"' % n for n in range(100_000))
    feed = HEAD.encode() + b'<rss version="2.0" ' + attributes + b"><channel/></rss>"
    nested = HEAD.encode() + b'<rss version="2.0"><channel>' + b"<a>" * 300_000
    laughs = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' for n in range(1, 10))
    bomb = f'{HEAD}<!DOCTYPE r [<!ENTITY l0 "ha">{laughs}]><urlset><url><loc>&l9;</loc></url></urlset>'.encode()
    *hostile, good = read(
        (parse_request(Kind.FEED), feed),
        (parse_request(Kind.FEED), nested),
        (parse_request(Kind.SITEMAP), bomb),
        (parse_request(Kind.FEED), rss(f"{SITE}/a")),
    )
    assert all(isinstance(one, (ListingError, DecodeError)) or not any(links.pages for links in one) for one in hostile)
    assert len(good[0].pages) == 1


def test_a_child_killed_from_outside_is_replaced() -> None:
    async def read_twice() -> list[Any]:
        parser = ListingParser()
        first = [links async for links in parser.read(parse_request(Kind.FEED), rss(f"{SITE}/a"))]
        assert parser._child.pid is not None
        os.kill(parser._child.pid, signal.SIGKILL)
        await asyncio.sleep(0.5)
        second = [links async for links in parser.read(parse_request(Kind.FEED), rss(f"{SITE}/a"))]
        await parser.close()
        return [first, second]

    first, second = asyncio.run(read_twice())
    assert first == second
