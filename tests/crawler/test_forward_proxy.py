"""The proxy of the browser: what it refuses, what it passes on, and what a page may use."""

from __future__ import annotations

import asyncio
import base64
import socket
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from fake_site import Farm, Hit, Response, Site
from payloads import payloads

from crawler.browser.forward_proxy import ForwardProxy
from crawler.browser.proxy_account import ProxyAccount, ProxyLimits
from newsmill.network.address_guard import Guard

GUARD = Guard.from_networks(["127.0.0.0/24"])


def run(test: Callable[[ForwardProxy], Awaitable[Any]], lookup: Callable[..., list[Any]] = socket.getaddrinfo) -> Any:
    async def main() -> Any:
        proxy = ForwardProxy(lookup)
        await proxy.start()
        try:
            return await test(proxy)
        finally:
            await proxy.close()

    return asyncio.run(main())


def credentials(account: ProxyAccount | None, password: str | None = None) -> str:
    if account is None:
        return ""
    pair = f"{account.name}:{account.password if password is None else password}"
    return f"Proxy-Authorization: Basic {base64.b64encode(pair.encode()).decode()}\r\n"


async def send(proxy: ForwardProxy, request: str | bytes, then: bytes = b"") -> bytes:
    """Send bytes to the proxy, `then` after its first answer, and return everything that it sends until it closes."""
    host, _, port = proxy.url.removeprefix("http://").partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(request.encode("latin-1") if isinstance(request, str) else request)
    answer = b""
    try:
        if then:
            answer = await reader.read(65536)
            writer.write(then)
        async with asyncio.timeout(20):
            answer += await reader.read()
    except ConnectionError:
        pass
    finally:
        writer.close()
    return answer


async def get(proxy: ForwardProxy, account: ProxyAccount | None, url: str, *lines: str, method: str = "GET", body: str = "") -> bytes:
    """Request a URL in absolute form."""
    host = url.partition("://")[2].partition("/")[0]
    head = "".join(f"{line}\r\n" for line in lines)
    return await send(proxy, f"{method} {url} HTTP/1.1\r\nHost: {host}\r\n{head}{credentials(account)}\r\n{body}")


async def connect(proxy: ForwardProxy, account: ProxyAccount | None, authority: str, then: bytes = b"") -> bytes:
    return await send(proxy, f"CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\n{credentials(account)}\r\n", then)


def status(answer: bytes) -> int:
    return int(answer.split(b" ")[1]) if answer else 0


def resolve_to(*addresses: str) -> Callable[..., list[Any]]:
    return lambda host, port, *_: [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in addresses]


# ---- what is passed on


def test_absolute_form_reaches_an_allowed_site(sites: Farm) -> None:
    site = sites.site()
    site.page("/a?b=c", "<p>text</p>", headers={"Keep-Alive": "timeout=5", "X-Kept": "1"})

    async def test(proxy: ForwardProxy) -> tuple[bytes, ProxyAccount]:
        account = proxy.add_account("paper", GUARD)
        return await get(proxy, account, site.url("/a?b=c"), "X-Own: 2", "Connection: keep-alive, Upgrade", "Upgrade: h2c"), account

    answer, account = run(test)
    head, _, body = answer.partition(b"\r\n\r\n")
    assert status(answer) == 200 and body == b"<p>text</p>"
    assert b"connection: close" in head.lower() and b"keep-alive" not in head.lower() and b"x-kept: 1" in head.lower()
    (hit,) = site.hits("/a?b=c")
    assert hit.headers["host"] == site.host and hit.headers["x-own"] == "2" and hit.headers["connection"] == "close"
    assert not {"proxy-authorization", "upgrade", "proxy-connection"} & set(hit.headers)
    assert account.used_bytes > len(body) and account.connections == 1


def test_a_body_is_passed_on_and_nothing_after_it(sites: Farm) -> None:
    site = sites.site()
    site.page("/form", "thanks")
    smuggled = f"GET {site.url('/second')} HTTP/1.1\r\nHost: {site.host}\r\n\r\n"

    async def test(proxy: ForwardProxy) -> bytes:
        account = proxy.add_account("paper", GUARD)
        return await get(proxy, account, site.url("/form"), "Content-Length: 4", method="POST", body="a=bc" + smuggled)

    assert run(test).endswith(b"thanks")
    assert [hit.path for hit in site.log] == ["/form"]


def test_connect_reaches_an_allowed_site(sites: Farm) -> None:
    site = sites.site()
    site.page("/", "hello", headers={"Connection": "close"})

    async def serve_once(writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello")
        await writer.drain()

    site.raw("/raw", serve_once)

    async def test(proxy: ForwardProxy) -> bytes:
        account = proxy.add_account("paper", GUARD)
        return await connect(proxy, account, site.host, then=f"GET /raw HTTP/1.1\r\nHost: {site.host}\r\n\r\n".encode())

    answer = run(test)
    assert status(answer) == 200 and answer.endswith(b"hello")


def test_a_chunked_response_comes_through(sites: Farm) -> None:
    site = sites.site()

    async def chunked(writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n")
        await writer.drain()

    site.raw("/chunked", chunked)
    answer = run(lambda proxy: get(proxy, proxy.add_account("paper", GUARD), site.url("/chunked")))
    assert status(answer) == 200 and b"3\r\nabc\r\n" in answer and answer.endswith(b"0\r\n\r\n")


# ---- what is refused


@pytest.mark.parametrize("address", ["127.66.6.6", "169.254.169.254", "10.0.0.1", "[::1]", "0x7f.0x42.6.6", "2135033350"])
def test_private_addresses_are_refused_in_both_forms(address: str, canary: Site) -> None:
    async def test(proxy: ForwardProxy) -> tuple[bytes, bytes, ProxyAccount]:
        account = proxy.add_account("paper", GUARD)
        first = await get(proxy, account, f"http://{address}:{canary.port}/")
        return first, await connect(proxy, account, f"{address}:{canary.port}"), account

    absolute, tunnel, account = run(test)
    assert status(absolute) == 403 and status(tunnel) == 403 and account.refused == 2
    assert address.encode() not in absolute + tunnel  # a page could read the reason


def test_no_payload_reaches_the_canary(canary: Site) -> None:
    async def test(proxy: ForwardProxy) -> set[int]:
        account = proxy.add_account("paper", GUARD, ProxyLimits(max_connections=10_000))
        answers = set()
        for payload in payloads(canary.ip, canary.port):
            line = payload.replace("\r", "").replace("\n", "")
            answers.add(status(await send(proxy, f"GET {line} HTTP/1.1\r\nHost: x\r\n{credentials(account)}\r\n".encode())))
            authority = line.partition("://")[2].partition("/")[0] or line
            answers.add(status(await send(proxy, f"CONNECT {authority} HTTP/1.1\r\nHost: x\r\n{credentials(account)}\r\n".encode())))
        return answers

    assert 200 not in run(test, lookup=lambda host, port, *rest: _only_addresses(host, port, *rest))


def _only_addresses(host: str, port: int, *rest: Any) -> list[Any]:
    """Resolve address literals only, so that the test asks no name server."""
    return socket.getaddrinfo(host, port, *rest[:2], 0, socket.AI_NUMERICHOST)


def test_a_name_with_private_addresses_is_refused(canary: Site) -> None:
    async def test(proxy: ForwardProxy) -> list[int]:
        account = proxy.add_account("paper", GUARD)
        absolute = await get(proxy, account, f"http://inside.example:{canary.port}/")
        return [status(absolute), status(await connect(proxy, account, f"inside.example:{canary.port}"))]

    assert run(test, lookup=resolve_to(canary.ip, "10.0.0.1")) == [403, 403]


def test_a_rebinding_name_is_reached_at_the_address_that_was_checked(sites: Farm, canary: Site) -> None:
    """Each lookup gives another address: the connection goes to the one that this lookup gave and the guard allowed."""
    site = sites.site(port=canary.port)
    site.page("/", "public")
    turns = iter([site.ip, canary.ip, site.ip, canary.ip])

    async def test(proxy: ForwardProxy) -> list[int]:
        account = proxy.add_account("paper", GUARD)
        return [status(await get(proxy, account, f"http://rebind.example:{canary.port}/")) for _ in range(4)]

    assert run(test, lookup=lambda host, port, *_: resolve_to(next(turns))(host, port)) == [200, 403, 200, 403]


def test_of_several_addresses_only_the_allowed_ones_are_tried(sites: Farm, canary: Site) -> None:
    site = sites.site(port=canary.port)
    site.page("/", "public")
    both = resolve_to(canary.ip, site.ip)
    answer = run(lambda proxy: get(proxy, proxy.add_account("paper", GUARD), f"http://mixed.example:{canary.port}/"), lookup=both)
    assert status(answer) == 200


def test_other_ports_are_refused_outside_allowed_networks() -> None:
    public = resolve_to("93.184.216.34")

    async def test(proxy: ForwardProxy) -> set[int]:
        account = proxy.add_account("paper", GUARD)
        return {status(await connect(proxy, account, f"site.example:{port}")) for port in (22, 25, 6379, 8080)}

    assert run(test, lookup=public) == {403}


def test_no_password_no_connection(sites: Farm) -> None:
    site = sites.site()
    site.page("/", "text")

    async def test(proxy: ForwardProxy) -> list[bytes]:
        account, other = proxy.add_account("paper", GUARD), proxy.add_account("other", GUARD)
        head = f"GET {site.url('/')} HTTP/1.1\r\nHost: {site.host}\r\n"
        lines = [
            credentials(None),
            credentials(account, other.password),
            credentials(account, ""),
            "Proxy-Authorization: Basic ???\r\n",
            f"Proxy-Authorization: Bearer {account.password}\r\n",
            "Proxy-Authorization: Basic bm9ib2R5Og==\r\n",
        ]
        answers = [await send(proxy, head + line + "\r\n") for line in lines]
        answers.append(await connect(proxy, None, site.host))
        proxy.remove_account("paper")
        return [*answers, await get(proxy, account, site.url("/"))]

    answers = run(test)
    assert {status(answer) for answer in answers} == {407} and all(b"proxy-authenticate: Basic" in answer for answer in answers)
    assert site.connections == 0


@pytest.mark.parametrize(
    "line",
    [
        *("GET / HTTP/1.1", "GET https://127.0.0.9/ HTTP/1.1", "GET ftp://127.0.0.9/ HTTP/1.1", "GET http://a@127.0.0.9/ HTTP/1.1"),
        *("GET http://127.0.0.9:x/ HTTP/1.1", "CONNECT 127.0.0.9 HTTP/1.1", "CONNECT 127.0.0.9:0 HTTP/1.1", "CONNECT :443 HTTP/1.1"),
    ],
)
def test_other_requests_are_refused(line: str) -> None:
    async def test(proxy: ForwardProxy) -> bytes:
        return await send(proxy, f"{line}\r\nHost: x\r\n{credentials(proxy.add_account('paper', GUARD))}\r\n")

    assert status(run(test)) == 400


@pytest.mark.parametrize(
    "data", [b"\x16\x03\x01\x02\x00", b"GET " + b"a" * 200_000, b"\r\n" * 40_000, b"GET http://x/ HTTP/1.1\r\nA: b\x00c\r\n\r\n"]
)
def test_what_is_not_http_ends_the_connection(data: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("crawler.browser.forward_proxy.HEAD_SECONDS", 1.0)
    assert status(run(lambda proxy: send(proxy, data + b"\r\n\r\n"))) in (0, 407)


def test_a_host_that_does_not_answer(sites: Farm) -> None:
    site = sites.site()
    free_port = socket.create_server(("127.0.0.1", 0))
    port = free_port.getsockname()[1]
    free_port.close()
    answer = run(lambda proxy: connect(proxy, proxy.add_account("paper", GUARD), f"{site.ip}:{port}"))
    assert status(answer) == 502
    unknown = run(lambda proxy: get(proxy, proxy.add_account("paper", GUARD), "http://unknown.example/"), lookup=resolve_to())
    assert status(unknown) == 502


# ---- what a page may use


def test_a_page_gets_no_more_than_its_bytes(sites: Farm) -> None:
    site = sites.site()
    site.page("/large", b"x" * 500_000)

    async def test(proxy: ForwardProxy) -> tuple[int, int, str | None, int, int]:
        account = proxy.add_account("paper", GUARD, ProxyLimits(max_bytes=200_000))
        first = await get(proxy, account, site.url("/large"))
        exceeded = account.exceeded
        refused = await get(proxy, account, site.url("/large"))
        tunnel = await connect(proxy, account, site.host)
        account.begin(GUARD)
        again = await get(proxy, account, site.url("/large"))
        return len(first), status(refused), exceeded, status(tunnel), status(again)

    size, refused, exceeded, tunnel, again = run(test)
    assert size < 300_000 and exceeded == "more than 200,000 bytes"
    assert (refused, tunnel, again) == (403, 403, 200)


def test_bytes_in_a_tunnel_count_too(sites: Farm) -> None:
    site = sites.site()
    site.page("/large", b"x" * 500_000)

    async def test(proxy: ForwardProxy) -> tuple[bytes, str | None]:
        account = proxy.add_account("paper", GUARD, ProxyLimits(max_bytes=200_000))
        answer = await connect(proxy, account, site.host, then=f"GET /large HTTP/1.1\r\nHost: {site.host}\r\n\r\n".encode())
        return answer, account.exceeded

    answer, exceeded = run(test)
    assert len(answer) < 300_000 and exceeded == "more than 200,000 bytes"


def test_a_page_gets_no_more_than_its_connections(sites: Farm) -> None:
    site = sites.site()
    site.page("/", "text")

    async def test(proxy: ForwardProxy) -> tuple[list[int], str | None]:
        account = proxy.add_account("paper", GUARD, ProxyLimits(max_connections=3))
        return [status(await get(proxy, account, site.url("/"))) for _ in range(5)], account.exceeded

    assert run(test) == ([200, 200, 200, 403, 403], "more than 3 connections")


def test_a_new_page_ends_the_connections_of_the_last(sites: Farm) -> None:
    """A tunnel that was left open carries nothing for the next page, and another account's stays."""
    site = sites.site()
    site.page("/slow", "text", delay=30)

    async def test(proxy: ForwardProxy) -> tuple[bytes, bool]:
        account, other = proxy.add_account("paper", GUARD), proxy.add_account("other", GUARD)
        request = f"GET /slow HTTP/1.1\r\nHost: {site.host}\r\n\r\n".encode()
        mine = asyncio.ensure_future(connect(proxy, account, site.host, then=request))
        theirs = asyncio.ensure_future(connect(proxy, other, site.host, then=request))
        while len(site.hits("/slow")) < 2:
            await asyncio.sleep(0.01)
        account.begin(GUARD)
        answer = await mine
        account.close()
        assert status(await get(proxy, account, site.url("/slow"))) == 403
        theirs_open = not theirs.done()
        theirs.cancel()
        await asyncio.gather(theirs, return_exceptions=True)
        return answer, theirs_open

    answer, theirs_open = run(test)
    assert status(answer) == 200 and b"text" not in answer and theirs_open


def test_the_guard_is_that_of_the_page(sites: Farm) -> None:
    """A public page reaches no private network, also none that NEWSMILL_ALLOW_NETS permits to the crawler."""
    site = sites.site()
    site.pages["/"] = lambda hit: Response(body=b"text") if isinstance(hit, Hit) else Response(404)

    async def test(proxy: ForwardProxy) -> list[int]:
        account = proxy.add_account("paper", GUARD)
        first = await get(proxy, account, site.url("/"))
        account.begin(Guard())
        return [status(first), status(await get(proxy, account, site.url("/")))]

    assert run(test) == [200, 403]


def test_no_connection_is_made_to_a_host_whose_owner_has_stopped_the_crawler(sites: Farm) -> None:
    stopped, other = sites.site(), sites.site()
    asked: list[str] = []

    async def is_stopped(url: str) -> bool:
        asked.append(url)
        return stopped.host in url

    async def main() -> tuple[list[int], list[str]]:
        proxy = ForwardProxy(is_stopped=is_stopped)
        await proxy.start()
        account = proxy.add_account("page", GUARD)
        try:
            answers = [await connect(proxy, account, stopped.host), await get(proxy, account, stopped.url("/a"))]
            return [status(answer) for answer in (*answers, await get(proxy, account, other.page("/a")))], asked
        finally:
            await proxy.close()

    statuses, urls = asyncio.run(main())
    assert (statuses, stopped.connections) == ([403, 403, 200], 0)
    assert urls == [f"http://{host}/" for host in (stopped.host, stopped.host, other.host)]
