"""Requests through a proxy: the target is resolved and checked by Newsmill, and the proxy is sent to the checked IP address."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
from certificates import Authority
from fake_proxy import Proxy, start_proxy
from fake_site import Farm, Site

from crawler.fetching.downloader import Downloader, FetchRequest
from newsmill.model import Outcome, OutcomeRecord, Page
from newsmill.network.address_guard import Guard

METADATA = "169.254.169.254"


class ProxiedEngine:
    """Fetches through a proxy with the real engine, as behind a middleware that sets `request.meta["proxy"]`."""

    def __init__(self, engine: Any) -> None:
        self.engine = engine

    def fetch(self, url: str, proxy: str, **fields: Any) -> Any:
        async def download(request: Any) -> Any:
            request.meta["proxy"] = proxy
            return await self.engine.crawler.engine.download_async(request)

        async def follow(_: str, __: str) -> None:
            return None

        downloader = Downloader(download, Guard.from_networks(("127.0.0.0/24",)), "Newsmill/0.1", has_middlewares=True)
        return self.engine.run(downloader.fetch(FetchRequest(url, **fields), follow))

    def handlers(self) -> list[Any]:
        handlers = self.engine.crawler.engine.downloader.handlers
        return [handlers._get_handler(scheme) for scheme in ("http", "https")]


@pytest.fixture
def proxied(engine: Any) -> ProxiedEngine:
    return ProxiedEngine(engine)


@pytest.fixture
def naming(proxied: ProxiedEngine, monkeypatch: pytest.MonkeyPatch) -> ProxiedEngine:
    """With NEWSMILL_PROXY_RESOLVES_NAMES=true."""
    for handler in proxied.handlers():
        monkeypatch.setattr(handler._proxy_client, "resolves_names", True)
    return proxied


@pytest.fixture(scope="module")
def site(sites: Farm) -> Site:
    return sites.site()


@pytest.fixture
def proxy(sites: Farm) -> Proxy:
    return start_proxy(sites)


def addresses(*ips: str) -> Any:
    """A name server: each lookup gives the next address, and the last one from then on."""
    left: Iterator[str] = iter(ips)
    return lambda: [next(left, ips[-1])]


# ---- pages


def test_http_goes_through_a_tunnel_to_the_checked_address_with_the_name_as_host(
    engine: Any, proxied: ProxiedEngine, site: Site, proxy: Proxy
) -> None:
    engine.names["paper.example"] = addresses(site.ip)
    site.page("/a", b"<p>a</p>")
    page = proxied.fetch(f"http://paper.example:{site.port}/a", proxy.url)
    assert isinstance(page, Page)
    assert (page.status, page.body, page.ip) == (200, b"<p>a</p>", site.ip)
    assert [(method, target) for method, target, _ in proxy.log] == [("CONNECT", f"{site.ip}:{site.port}")]
    assert site.hits("/a")[-1].headers["host"] == f"paper.example:{site.port}"


def test_https_keeps_its_certificate_check(engine: Any, proxied: ProxiedEngine, sites: Farm, proxy: Proxy, authority: Authority) -> None:
    good = sites.site("127.0.0.110", tls=authority.context("127.0.0.110"))
    page = proxied.fetch(good.page("/a", b"secure"), proxy.url)
    assert isinstance(page, Page) and page.body == b"secure"
    engine.names["other.example"] = addresses(good.ip)  # the certificate is for the IP address, not for this name
    assert proxied.fetch(f"https://other.example:{good.port}/a", proxy.url).outcome is Outcome.TLS
    assert proxy.targets == [f"{good.ip}:{good.port}"] * 2


def test_credentials_of_the_proxy_reach_the_proxy_and_not_the_site(proxied: ProxiedEngine, site: Site, proxy: Proxy) -> None:
    page = proxied.fetch(site.page("/auth", b"x"), f"http://us%65r:pass@{proxy.ip}:{proxy.port}")
    assert proxy.log[0][2]["proxy-authorization"] == "Basic dXNlcjpwYXNz"
    assert "proxy-authorization" not in site.hits("/auth")[-1].headers
    assert not any("authorization" in name.lower() for name, _ in page.request_headers)


def test_the_limits_hold_inside_a_tunnel(proxied: ProxiedEngine, site: Site, proxy: Proxy) -> None:
    async def many_headers(writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\n" + b"".join(b"X-%d: y\r\n" % n for n in range(100_000)) + b"\r\n")
        await writer.drain()

    assert proxied.fetch(site.raw("/headers", many_headers), proxy.url).outcome is Outcome.TOO_MANY_HEADERS
    assert proxied.fetch(site.page("/long", b"x" * 5000), proxy.url, max_body=4000).outcome is Outcome.TOO_LARGE


# ---- the guard


@pytest.mark.parametrize("url", ["http://{canary}/", "https://{canary}/", f"http://{METADATA}/latest/meta-data/", "http://0x7f.66.6.6:80/"])
def test_a_private_address_is_refused_before_the_proxy_hears_of_it(proxied: ProxiedEngine, proxy: Proxy, canary: Site, url: str) -> None:
    response = proxied.fetch(url.format(canary=canary.host), proxy.url)
    assert isinstance(response, OutcomeRecord) and response.outcome is Outcome.SSRF_BLOCKED
    assert "is not a public IP address" in (response.detail or "")
    assert proxy.log == []


def test_a_rebinding_name_cannot_pass(engine: Any, proxied: ProxiedEngine, site: Site, proxy: Proxy, canary: Site) -> None:
    """The proxy would resolve the name again. It gets the checked address, and the next request is checked again."""
    engine.names["rebind.example"] = addresses(site.ip, canary.ip)
    site.page("/r", b"first")
    url = f"http://rebind.example:{site.port}/r"
    first, second = proxied.fetch(url, proxy.url), proxied.fetch(url, proxy.url)
    assert isinstance(first, Page) and first.body == b"first"
    assert second == OutcomeRecord(
        Outcome.SSRF_BLOCKED, f"{canary.ip} is not a public IP address; NEWSMILL_ALLOW_NETS={canary.ip} permits it", may_pass=True
    )
    assert proxy.targets == [f"{site.ip}:{site.port}"]


def test_a_name_without_an_address_is_a_dns_failure(engine: Any, proxied: ProxiedEngine, proxy: Proxy) -> None:
    engine.names["nowhere.example"] = lambda: []
    assert proxied.fetch("http://nowhere.example/", proxy.url).outcome is Outcome.DNS


# ---- proxies that cannot be used


def test_a_proxy_in_a_private_network_is_not_used(engine: Any, proxied: ProxiedEngine, site: Site, canary: Site) -> None:
    engine.names["proxy.example"] = addresses(canary.ip)
    for name in (canary.ip, "proxy.example"):
        response = proxied.fetch(site.page("/p", b"x"), f"http://{name}:{canary.port}")
        assert response.outcome is Outcome.PROXY_ERROR and "NEWSMILL_ALLOW_NETS" in response.detail


@pytest.mark.parametrize("proxy", ["socks5://127.0.0.201:1080", "https://127.0.0.201:1080", "http://:80", "http://a:b:c"])
def test_other_kinds_of_proxies_are_refused(proxied: ProxiedEngine, site: Site, proxy: str) -> None:
    response = proxied.fetch(site.page("/p", b"x"), proxy)
    assert response.outcome is Outcome.PROXY_ERROR and "http://proxy.example.org:3128" in response.detail


@pytest.mark.parametrize(
    ("answer", "reason"),
    [(b"HTTP/1.1 403 Forbidden\r\n\r\n", "403"), (b"HTTP/1.1 407 Who\r\n\r\n", "407"), (b"x" * 100_000, "65536 bytes")],
)
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_proxy_that_opens_no_tunnel(proxied: ProxiedEngine, sites: Farm, site: Site, scheme: str, answer: bytes, reason: str) -> None:
    response = proxied.fetch(f"{scheme}://{site.host}/", start_proxy(sites, answer=answer).url)
    assert response.outcome is Outcome.PROXY_ERROR and reason in response.detail


def test_a_proxy_that_is_away_is_not_the_sites_failure(proxied: ProxiedEngine, site: Site) -> None:
    for url in (site.url("/"), f"https://{site.host}/"):
        assert proxied.fetch(url, "http://127.0.0.201:9").outcome is Outcome.PROXY_ERROR


def test_a_silent_proxy_meets_the_deadline(proxied: ProxiedEngine, sites: Farm, site: Site, short_deadline: float) -> None:
    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionResetError):
            await reader.read()  # until the crawler closes the connection
        writer.close()
        closed.append(True)

    closed: list[bool] = []
    server = sites._call(asyncio.start_server(silent, "127.0.0.201", 0))
    sites.servers.append(server)
    port = server.sockets[0].getsockname()[1]
    assert proxied.fetch(site.url("/"), f"http://127.0.0.201:{port}").outcome is Outcome.TIMEOUT
    proxied.engine.run(asyncio.sleep(0.5))
    assert closed == [True], "the connection stays open"


# ---- proxies that resolve names


def test_names_go_to_a_proxy_that_resolves_them(naming: ProxiedEngine, site: Site, proxy: Proxy, monkeypatch: pytest.MonkeyPatch) -> None:
    """The name is unknown here. The guard allows ports of the allowed networks only with an IP address, so the proxy maps port 80."""
    site.page("/named", b"named")
    proxy.names["inside.example"] = site.ip
    assert naming.fetch(f"http://inside.example:{site.port}/named", proxy.url).outcome is Outcome.SSRF_BLOCKED
    monkeypatch.setattr("crawler.network.proxy_route.WEB_PORTS", frozenset({site.port}))
    page = naming.fetch(f"http://inside.example:{site.port}/named", proxy.url)
    assert isinstance(page, Page)
    assert (page.body, page.ip) == (b"named", None)
    assert proxy.targets == [f"http://inside.example:{site.port}/named"]


@pytest.mark.parametrize("host", ["127.66.6.6", METADATA, "[::1]", "localhost", "a.localhost.", "0x7f.66.6.6"])
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_literal_private_addresses_are_refused_there_too(naming: ProxiedEngine, proxy: Proxy, canary: Site, scheme: str, host: str) -> None:
    from newsmill.text import urls

    url = urls.normalize(f"{scheme}://{host}/")  # as the ledger has it
    assert naming.fetch(url, proxy.url).outcome is Outcome.SSRF_BLOCKED
    assert proxy.log == []
