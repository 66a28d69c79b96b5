"""One crawl over broken and hostile hosts, and the outcome of each URL.

URLs are not retried and have two seconds each. Pages of good hosts must be saved whatever the others do.
"""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from certificates import Authority
from fake_site import Farm, Site, farm
from world import World

from newsmill.model import Kind, Outcome, State

# The deadline is that of silent hosts, and long enough for a chain of redirects on a busy machine.
PATCH = {"newsmill.polling.retries._RETRY_DELAYS": [], "crawler.fetching.downloader.DEADLINE_SECONDS": 6.0}
NOT_FOUND = "no-such-host.invalid"


class BadHosts:
    """All hosts, and the expected outcomes of their URLs."""

    def __init__(self, sites: Farm, authority: Authority) -> None:
        self.sites = sites
        self.expected: dict[str, Outcome | State] = {}
        self.kinds: dict[str, Kind] = {}
        self.canary = sites.site("127.66.6.6")
        self.good = sites.site()
        self.bodies(self.good)
        self.statuses(sites.site())
        self.redirects(sites.site())
        self.connections(authority)
        self.listings(sites.site())
        self.robots()

    def expect(self, url: str, outcome: Outcome | State, kind: Kind = Kind.PAGE) -> None:
        self.expected[url] = outcome
        self.kinds[url] = kind

    def bodies(self, site: Site) -> None:
        self.expect(site.article("/fine"), State.FETCHED)
        self.expect(site.page("/bomb", gzip.compress(b"\0" * 60_000_000), headers={"Content-Encoding": "gzip"}), State.FETCHED)
        self.expect(site.page("/charset", b"\xff\xfe<p>?", content_type="text/html; charset=klingon"), State.FETCHED)
        self.expect(site.page("/empty", b""), State.FETCHED)
        self.expect(site.page("/binary.html", b"%PDF-1.7 \x00\x01"), Outcome.NOT_HTML)
        self.expect(site.page("/image", b"\x89PNG", content_type="image/png"), Outcome.NOT_HTML)
        self.expect(site.page("/50mb", b"<p>" + b"x" * 52_428_800), Outcome.TOO_LARGE)
        self.expect(site.page("/700-headers", headers={f"X-{n}": "y" for n in range(700)}), Outcome.TOO_MANY_HEADERS)

        async def headers(writer: asyncio.StreamWriter) -> None:
            writer.write(b"HTTP/1.1 200 OK\r\n" + b"".join(b"X-%d: y\r\n" % n for n in range(100_000)) + b"Content-Length: 0\r\n\r\n")
            await writer.drain()

        async def short(writer: asyncio.StreamWriter) -> None:
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\nonly this")
            await writer.drain()

        async def drip(writer: asyncio.StreamWriter) -> None:
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n")
            for _ in range(99):
                writer.write(b"x")
                await writer.drain()
                await asyncio.sleep(0.25)

        self.expect(site.raw("/100k-headers", headers), Outcome.TOO_MANY_HEADERS)
        self.expect(site.raw("/short", short), Outcome.DATA_LOSS)
        self.expect(site.raw("/drip", drip), Outcome.TIMEOUT)

    def statuses(self, site: Site) -> None:
        for status, outcome in (
            (404, Outcome.GONE),
            (410, Outcome.GONE),
            (400, Outcome.HTTP_ERROR),
            (403, Outcome.HTTP_ERROR),
            (451, Outcome.HTTP_ERROR),
            (500, Outcome.HTTP_ERROR),
            (204, Outcome.HTTP_ERROR),
        ):
            self.expect(site.page(f"/{status}", status=status), outcome)

    def redirects(self, site: Site) -> None:
        there = site.page("/there", b"<p>here")
        self.expect(site.page("/moved", redirect="/there", status=301), State.FETCHED)
        self.expect(there, State.FETCHED)
        self.expect(site.page("/circle", redirect="/circle2"), Outcome.REDIRECT_LOOP)
        site.page("/circle2", redirect="/circle")
        site.page("/endless", redirect="/endless1")
        for n in range(1, 9):
            site.page(f"/endless{n}", redirect=f"/endless{n + 1}")
        self.expect(site.url("/endless"), Outcome.REDIRECT_LOOP)
        self.expect(site.page("/inside", redirect=self.canary.url()), Outcome.REDIRECTED)
        self.expect(site.page("/metadata", redirect="http://169.254.169.254/latest/meta-data/"), Outcome.REDIRECTED)
        self.expect(site.page("/file", redirect="file:///etc/passwd"), Outcome.BAD_REDIRECT)
        self.expect(site.page("/gopher", redirect="gopher://127.0.0.1:6379/_FLUSHALL"), Outcome.BAD_REDIRECT)
        self.expect(site.page("/nowhere", status=302), Outcome.BAD_REDIRECT)

    def connections(self, authority: Authority) -> None:
        self.expect("http://127.0.0.9:9/refused", Outcome.REFUSED)
        self.expect(f"http://{NOT_FOUND}/", Outcome.DNS)
        self.expect(self.canary.url("/page"), Outcome.SSRF_BLOCKED)
        self.expect("http://2135033350/decimal", Outcome.SSRF_BLOCKED)
        self.expect("ftp://127.0.0.1/", Outcome.BAD_URL)
        self.expect("http://[::1", Outcome.BAD_URL)
        expired = self.sites.site("127.0.0.201", tls=authority.context("127.0.0.201", days=-1))
        trusted = self.sites.site("127.0.0.202", tls=authority.context("127.0.0.202"))
        self.expect(expired.article("/a"), Outcome.TLS)
        self.expect(trusted.article("/a"), State.FETCHED)

        async def garbage(writer: asyncio.StreamWriter) -> None:
            writer.write(b"220 smtp.example ESMTP\r\n\r\n")
            await writer.drain()

        odd = self.sites.site()
        self.expect(odd.raw("/garbage", garbage), Outcome.CONNECTION)

    def listings(self, site: Site) -> None:
        opml = "<?xml version='1.0'?><opml><body/></opml>"
        self.expect(site.page("/opml.xml", opml, content_type="application/rss+xml"), Outcome.BAD_LISTING, Kind.FEED)
        self.expect(site.page("/not.xml", "<html><p>no feed here", content_type="text/html"), Outcome.BAD_LISTING, Kind.FEED)
        self.expect(site.feed("/empty.xml"), Outcome.EMPTY_LISTING, Kind.FEED)
        home = '<html><head><link rel="alternate" type="application/rss+xml" href="/named.xml"></head><body><p>Soon.'
        self.expect(site.page("/home", home, content_type="text/html"), Outcome.EMPTY_LISTING, Kind.HOMEPAGE)
        self.expect(site.page("/not-sitemap.xml", "no xml at all"), Outcome.BAD_LISTING, Kind.SITEMAP)
        encoded = site.page("/encoded.xml", b"garbage", headers={"Content-Encoding": "gzip"}, content_type="application/rss+xml")
        self.expect(encoded, Outcome.BAD_ENCODING, Kind.FEED)
        self.expect(site.page("/missing.xml", status=404), Outcome.GONE, Kind.FEED)

    def robots(self) -> None:
        disallowing = self.sites.site()
        disallowing.robots("User-agent: newsmill\nDisallow: /private/\nUser-agent: *\nAllow: /")
        self.expect(disallowing.article("/private/a"), Outcome.ROBOTS_DISALLOWED)
        self.expect(disallowing.article("/public/a"), State.FETCHED)
        to_private = disallowing.page("/public/to-private", redirect="/private/a")
        self.expect(to_private, Outcome.ROBOTS_DISALLOWED)
        for how, outcome in (
            ({"status": 503}, Outcome.ROBOTS_UNREACHABLE),
            ({"status": 500}, Outcome.ROBOTS_UNREACHABLE),
            ({"delay": 30}, Outcome.ROBOTS_UNREACHABLE),
            ({"status": 403}, State.FETCHED),
            ({"status": 404}, State.FETCHED),
            ({"redirect": "/robots.txt"}, State.FETCHED),
            ({"redirect": "file:///etc/passwd"}, State.FETCHED),
        ):
            site = self.sites.site()
            site.robots("User-agent: *\nDisallow:", **how)
            self.expect(site.article("/a"), outcome)

        async def odd_status(writer: asyncio.StreamWriter) -> None:
            writer.write(b"HTTP/1.1 99999999999999999999 No\r\nContent-Length: 0\r\n\r\n")
            await writer.drain()

        odd = self.sites.site()
        odd.raw("/robots.txt", odd_status)
        self.expect(odd.article("/a"), Outcome.ROBOTS_UNREACHABLE)
        html = self.sites.site()
        html.page("/robots.txt", "<html><body>User-agent: *\nDisallow: /</body></html>")
        self.expect(html.article("/a"), State.FETCHED)
        long = self.sites.site()
        long.robots("User-agent: *\nDisallow: /private/\n" + "# filler\n" * 200_000 + "Disallow: /public/\n")
        self.expect(long.article("/private/a"), Outcome.ROBOTS_DISALLOWED)
        self.expect(long.article("/public/a"), State.FETCHED)


@pytest.fixture(scope="module")
def hosts(authority: Authority, redis_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[BadHosts, World]]:
    with farm() as sites:
        hosts = BadHosts(sites, authority)
        world = World(Path(tmp_path_factory.mktemp("hosts")), redis_url)
        for url, kind in hosts.kinds.items():
            world.submit(url, kind=kind)
        world.crawl(patch=PATCH, seconds=60, delay=0.0)
        yield hosts, world
        world.close()


def test_every_url_has_its_outcome(hosts: tuple[BadHosts, World]) -> None:
    bad_hosts, world = hosts
    got = {url: world.outcome(url) for url in bad_hosts.expected}
    assert got == bad_hosts.expected


def test_every_failure_has_a_detail(hosts: tuple[BadHosts, World]) -> None:
    bad_hosts, world = hosts
    silent = {Outcome.NOT_MODIFIED, Outcome.ROBOTS_DISALLOWED}
    ended = [world.trace(url) for url, outcome in bad_hosts.expected.items() if isinstance(outcome, Outcome) and outcome not in silent]
    assert [t.url for t in ended if not t.detail] == []


def test_nothing_private_was_connected_to(hosts: tuple[BadHosts, World]) -> None:
    assert hosts[0].canary.connections == 0


def test_a_bomb_is_archived_as_sent(hosts: tuple[BadHosts, World]) -> None:
    bad_hosts, world = hosts
    assert len(world.page(bad_hosts.good.url("/bomb")).body) < 100_000


def test_no_traceback_in_the_log(hosts: tuple[BadHosts, World]) -> None:
    log: Any = hosts[1].log()
    assert "Traceback" not in log, log
