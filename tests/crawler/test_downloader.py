"""One URL becomes its page as sent, or an outcome: hostile and broken servers over real sockets."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from certificates import Authority
from fake_site import Farm, Site

from newsmill.model import Outcome, OutcomeRecord, Page
from newsmill.network.address_guard import REFUSED_HOSTS
from newsmill.text import urls

MB = 1024 * 1024


@pytest.fixture(scope="module")
def site(sites: Farm) -> Site:
    return sites.site()


def test_a_page_is_kept_as_sent(engine: Any, site: Site) -> None:
    url = site.page("/a", b"<p>\xe4</p>", headers={"ETag": '"1"', "X-Two": "a"}, content_type="text/html; charset=latin-1")
    page = engine.fetch(url)
    assert isinstance(page, Page)
    assert (page.status, page.body, page.url, page.requested_url, page.ip) == (200, b"<p>\xe4</p>", url, url, site.ip)
    assert page.header("etag") == '"1"'
    assert page.header("Content-Type") == "text/html; charset=latin-1"
    headers = site.hits("/a")[0].headers
    assert headers["user-agent"] == "Newsmill/0.1 (+mailto:desk@example.org)"
    assert headers["accept-encoding"] == "gzip"
    assert "cookie" not in headers
    assert dict(page.request_headers)["User-Agent"] == headers["user-agent"]


def test_a_gzipped_body_stays_compressed(engine: Any, site: Site) -> None:
    bomb = gzip.compress(b"\0" * 60 * MB)
    page = engine.fetch(site.page("/bomb", bomb, headers={"Content-Encoding": "gzip"}))
    assert isinstance(page, Page)
    assert page.body == bomb
    assert page.header("Content-Encoding") == "gzip"


def test_conditional_request(engine: Any, site: Site) -> None:
    url = site.page("/cond", status=304)
    page = engine.fetch(url, etag='"x"', last_modified="Mon, 01 Jan 2024 00:00:00 GMT")
    assert (page.status, page.body) == (304, b"")
    headers = site.hits("/cond")[0].headers
    assert headers["if-none-match"] == '"x"'
    assert headers["if-modified-since"] == "Mon, 01 Jan 2024 00:00:00 GMT"


def test_redirects_are_followed_and_recorded(engine: Any, site: Site) -> None:
    first = site.page("/r1", redirect="/r2", headers={"Set-Cookie": "session=1"})
    second = site.page("/r2", redirect=site.url("/r3"), status=301)
    last = site.page("/r3", b"here")
    page = engine.fetch(first)
    assert (page.url, page.redirects, page.requested_url, page.body) == (last, (first, second), first, b"here")
    assert "cookie" not in site.hits("/r3")[0].headers


def test_redirects_are_limited(engine: Any, site: Site) -> None:
    for n in range(8):
        site.page(f"/chain{n}", redirect=f"/chain{n + 1}")
    site.page("/there", redirect="/back")
    site.page("/back", redirect="/there")
    assert engine.fetch(site.url("/chain0")).outcome is Outcome.REDIRECT_LOOP
    assert len([hit for hit in site.log if hit.path.startswith("/chain")]) == 6
    assert engine.fetch(site.url("/there")).outcome is Outcome.REDIRECT_LOOP
    assert engine.fetch(site.page("/self", redirect="/self")).outcome is Outcome.REDIRECT_LOOP
    wall = engine.fetch(site.page("/wall", redirect="/wall", headers={"Set-Cookie": "seen=1"}))
    assert wall.outcome is Outcome.REDIRECT_LOOP
    assert "COOKIES_ENABLED = true" in wall.detail
    assert len(site.hits("/wall")) == 1, "a site is not asked again for a page that only cookies open"


@pytest.mark.parametrize(
    "target",
    ["file:///etc/passwd", "ftp://127.66.6.6/", "data:text/html,x", "javascript:alert(1)", "http://", "http://a b/", "http://[::1"],
)
def test_redirects_to_something_else_than_a_web_url(engine: Any, site: Site, target: str) -> None:
    assert engine.fetch(site.page("/odd", redirect=target)).outcome is Outcome.BAD_REDIRECT


def test_redirect_without_location(engine: Any, site: Site) -> None:
    assert engine.fetch(site.page("/lost", status=302)).outcome is Outcome.BAD_REDIRECT


# ---- connections


def test_refused(engine: Any, sites: Farm) -> None:
    assert engine.fetch("http://127.0.0.9:9/").outcome is Outcome.REFUSED


def test_unknown_host(engine: Any) -> None:
    engine.names["nowhere.example"] = lambda: []
    assert engine.fetch("http://nowhere.example/").outcome is Outcome.DNS


def test_slow_headers_and_drips_meet_the_deadline(engine: Any, site: Site, short_deadline: float) -> None:
    async def drip(writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
        for _ in range(100):
            writer.write(b"x")
            await writer.drain()
            await asyncio.sleep(0.1)

    for url in (site.page("/slow", delay=20), site.raw("/drip", drip)):
        assert engine.fetch(url).outcome is Outcome.TIMEOUT, "waiting to the end gives a page, or a body that is cut off"


def test_the_deadline_covers_all_hops(engine: Any, site: Site, short_deadline: float) -> None:
    for n in range(4):
        site.page(f"/wait{n}", redirect=f"/wait{n + 1}", delay=0.8)
    assert engine.fetch(site.url("/wait0")).outcome is Outcome.TIMEOUT
    assert not site.hits("/wait3"), "three hops of 0.8 s are longer than the deadline of all"


def send(answer: bytes) -> Callable[[asyncio.StreamWriter], Awaitable[None]]:
    async def write(writer: asyncio.StreamWriter) -> None:
        writer.write(answer)
        await writer.drain()

    return write


short = send(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nonly this")
cut_chunk = send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1000\r\nabc")
garbage = send(b"SSH-2.0-OpenSSH_9.2\r\n\r\n")
huge = send(b"HTTP/1.1 200 OK\r\nContent-Length: 52428800\r\n\r\n<html>")
long_status = send(b"HTTP/1.1 99999999999999999999 OK\r\nContent-Length: 0\r\n\r\n")
negative_status = send(b"HTTP/1.1 -200 OK\r\nContent-Length: 0\r\n\r\n")
many_headers = send(b"HTTP/1.1 200 OK\r\n" + b"".join(b"X-%d: y\r\n" % n for n in range(100_000)) + b"Content-Length: 0\r\n\r\n")
long_header = send(b"HTTP/1.1 200 OK\r\nX: " + b"y" * 100_000 + b"\r\nContent-Length: 0\r\n\r\n")


async def silence(writer: asyncio.StreamWriter) -> None:
    return None


async def endless(writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    while True:
        writer.write(b"10000\r\n" + b"x" * 65536 + b"\r\n")
        await writer.drain()


async def endless_headers(writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\n")
    while True:
        writer.write(b"X-Again: and again\r\n" * 1000)
        await writer.drain()


async def endless_hints(writer: asyncio.StreamWriter) -> None:
    while True:
        writer.write(b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n" * 1000)
        await writer.drain()


@pytest.mark.parametrize(
    ("serve", "outcome"),
    [
        (short, Outcome.DATA_LOSS),
        (cut_chunk, Outcome.DATA_LOSS),
        (garbage, Outcome.CONNECTION),
        (silence, Outcome.CONNECTION),
        (endless, Outcome.TOO_LARGE),
        (huge, Outcome.TOO_LARGE),
        (long_status, Outcome.CONNECTION),
        (negative_status, Outcome.CONNECTION),
        (many_headers, Outcome.TOO_MANY_HEADERS),
        (endless_headers, Outcome.TOO_MANY_HEADERS),
        (endless_hints, Outcome.TOO_MANY_HEADERS),
        (long_header, Outcome.TOO_MANY_HEADERS),
    ],
    ids=lambda value: getattr(value, "__name__", str(value)),
)
def test_broken_and_hostile_responses(engine: Any, site: Site, serve: Any, outcome: Outcome) -> None:
    outcome_record = engine.fetch(site.raw("/broken", serve))
    assert isinstance(outcome_record, OutcomeRecord)
    assert (outcome_record.outcome, bool(outcome_record.detail)) == (outcome, True)
    assert "Failure" not in str(outcome_record.detail)


def test_six_hundred_headers_are_counted(engine: Any, site: Site) -> None:
    assert engine.fetch(site.page("/600", headers={f"X-{n}": "y" for n in range(600)})).outcome is Outcome.TOO_MANY_HEADERS
    assert engine.fetch(site.page("/60", headers={f"X-{n}": "y" for n in range(60)})).status == 200


@pytest.mark.parametrize(
    "line",
    [
        b"Content-Length : 3",
        "X-Gr\u00f6\u00dfe: 1".encode(),
        b": 1",
        b"no colon",
        b"X-Policy: " + b"y" * 60_000,
        b"Transfer-Encoding: identity",
    ],
    ids=["space", "umlaut", "no_name", "no_colon", "long", "identity"],
)
def test_header_lines_that_browsers_accept(engine: Any, site: Site, line: bytes) -> None:
    end = b"\r\nContent-Length: 3\r\n\r\nabc"
    page = engine.fetch(site.raw("/odd-header", send(b"HTTP/1.1 200 OK\r\nETag: 1\r\n" + line + end)))
    assert (page.body, page.header("ETag")) == (b"abc", "1")


# ---- TLS


def test_certificates_are_verified(engine: Any, sites: Farm, authority: Authority) -> None:
    good = sites.site("127.0.0.100", tls=authority.context("127.0.0.100"))
    assert engine.fetch(good.page("/", b"secret")).body == b"secret"
    for number, (context, reason) in enumerate(
        (
            ({"days": -1}, "the certificate has expired"),
            ({"since": 2}, "the certificate is not valid yet; check the clock of this machine"),
            ({"self_signed": True}, "the certificate is self-signed; SSL_CERT_FILE can name a file with certificates to trust"),
            ({"via": "Between"}, "the server does not send the certificate of its authority, or the authority is not trusted; "),
            ({"has_names": False}, "the certificate is for another host"),
        )
    ):
        ip = f"127.0.0.{101 + number}"
        check_refused(engine, sites.site(ip, tls=authority.context(ip, **context)), reason)  # type: ignore[arg-type]
    check_refused(engine, sites.site("127.0.0.110", tls=authority.context("127.0.0.1")), "the certificate is for another host")


def check_refused(engine: Any, bad: Site, reason: str) -> None:
    bad.page("/", b"secret")
    outcome_record = engine.fetch(bad.url("/"))
    assert (outcome_record.outcome, bad.log) == (Outcome.TLS, []), reason
    assert outcome_record.detail.startswith(reason)


# ---- requests into private networks


ODD = ["2135033350", "0x7f.0x42.6.6", "0177.0102.6.6", "127.4327942", "①②⑦.⑥⑥.⑥.⑥", "127。66。6。6", "[::ffff:127.66.6.6]", "127.66.6.6."]


@pytest.mark.parametrize("spelling", ["127.66.6.6", *ODD])
def test_no_spelling_of_a_private_ip_is_reached(engine: Any, site: Site, canary: Site, spelling: str) -> None:
    REFUSED_HOSTS.clear()
    target = f"http://{spelling}:{canary.port}/"
    assert engine.fetch(site.page("/trick", redirect=target)).outcome in (Outcome.SSRF_BLOCKED, Outcome.BAD_REDIRECT)
    assert engine.fetch(urls.normalize(target)).outcome is Outcome.SSRF_BLOCKED
    assert isinstance(engine.fetch(target), OutcomeRecord)  # also as written, although nothing requests it like this


@pytest.mark.parametrize("host", ["[::1]", "[::ffff:10.0.0.1]", "[64:ff9b::7f00:1]", "[2002:7f00:1::]", "10.0.0.1", "0", "224.0.0.1"])
def test_private_ips_on_web_ports(engine: Any, host: str) -> None:
    assert engine.fetch(urls.normalize(f"http://{host}/")).outcome is Outcome.SSRF_BLOCKED


def test_other_ports_of_public_ips_are_closed(engine: Any) -> None:
    remedy = "NEWSMILL_ALLOW_NETS=93.184.216.34 permits all ports of 93.184.216.34"
    engine.names["smtp.example"] = lambda: ["93.184.216.34"]
    outcome_record = engine.fetch("http://smtp.example:25/")
    assert (outcome_record.outcome, outcome_record.detail) == (Outcome.SSRF_BLOCKED, f"port 25 is not 80 or 443; {remedy}")


def test_a_name_that_points_inside(engine: Any, canary: Site) -> None:
    engine.names["inside.example"] = lambda: ["127.66.6.6"]
    outcome_record = engine.fetch(f"http://inside.example:{canary.port}/")
    assert (outcome_record.outcome, outcome_record.detail) == (
        Outcome.SSRF_BLOCKED,
        "127.66.6.6 is not a public IP address; NEWSMILL_ALLOW_NETS=127.66.6.6 permits it",
    )


def test_rebinding_names(engine: Any, site: Site, canary: Site) -> None:
    """Every other lookup gives a private IP address. The crawler connects only to the IP address that was checked."""
    turn = iter([site.ip, "127.66.6.6"] * 1000)
    engine.names["rebinding.example"] = lambda: [next(turn)]
    site.page("/", b"outside", headers={"Connection": "close"})
    outcomes = [engine.fetch(f"http://rebinding.example:{site.port}/") for _ in range(100)]
    assert {a.outcome if isinstance(a, OutcomeRecord) else a.ip for a in outcomes} <= {site.ip, Outcome.SSRF_BLOCKED}


def test_mixed_answers_are_reached_at_the_public_one(engine: Any, sites: Farm, canary: Site) -> None:
    site = sites.site(port=canary.port)
    site.page("/", b"outside")
    engine.names["mixed.example"] = lambda: ["127.66.6.6", site.ip]
    assert engine.fetch(f"http://mixed.example:{site.port}/").body == b"outside"
