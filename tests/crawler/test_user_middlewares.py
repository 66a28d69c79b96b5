"""Middlewares and extensions in a whole crawler: packages of PyPI as they are, and small ones that misbehave."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from fake_proxy import start_proxy
from fake_site import Farm, Hit, Response, Site
from forked_process import ForkedProcess
from scrapy import Request
from scrapy.exceptions import IgnoreRequest
from scrapy.http import Response as ScrapyResponse
from world import World, run_module

from crawler.browser.renderer import Renderer, RenderingError
from crawler.fetching.middleware_download import MiddlewareDownload
from crawler.network.cookies import BoundedCookiesMiddleware
from newsmill.cli.page_fetch import PageResponse, fetch_page
from newsmill.exceptions import NewsmillError
from newsmill.model import Outcome, OutcomeRecord, Page, Source, State
from newsmill.network.address_guard import Guard
from newsmill.site_inspection.processes import inspect_site

# A module of the operator. Its name server gives `rebind.example` an allowed IP address once, and then the canary's.
PACKAGES = """
import json, pathlib, socket
from spidermon import Monitor, MonitorSuite
FOLDER = pathlib.Path(__file__).parent
SITE_IP, CANARY_IP, PROXY = {names!r}
DOWNLOADER_MIDDLEWARES = {{
    "scrapy.downloadermiddlewares.useragent.UserAgentMiddleware": None,
    "scrapy_ua_rotator.middleware.RandomUserAgentMiddleware": 400,
    "rotating_proxies.middlewares.RotatingProxyMiddleware": 610,
    "rotating_proxies.middlewares.BanDetectionMiddleware": 620,
    "scrapy.downloadermiddlewares.stats.DownloaderStats": 850,
}}
EXTENSIONS = {{"spidermon.contrib.scrapy.extensions.Spidermon": 500}}
USERAGENT_PROVIDERS = ["scrapy_ua_rotator.providers.FakerProvider"]
ROTATING_PROXY_LIST = [PROXY] if PROXY else []
SPIDERMON_ENABLED = True
SPIDERMON_SPIDER_CLOSE_MONITORS = ("package_settings.Suite",)

class ResponsesMonitor(Monitor):
    def test_responses(self):
        (FOLDER / "monitored.json").write_text(json.dumps(dict(self.data.stats), default=str))

class Suite(MonitorSuite):
    monitors = [ResponsesMonitor]

real, answers = socket.getaddrinfo, [SITE_IP]
def getaddrinfo(host, port, *rest, **more):
    if host == "rebind.example":
        host = answers.pop() if answers else CANARY_IP
    return real(host, port, *rest, **more)
socket.getaddrinfo = getaddrinfo
"""


def write_module(world: World, name: str, text: str) -> dict[str, str]:
    """Write a module of the operator's; returns the settings of a crawler that uses it."""
    (world.data / "config").mkdir(exist_ok=True)
    (world.data / "config" / f"{name}.py").write_text(text)
    return {"config": str(world.data / "config"), "scrapy_settings": name}


@pytest.mark.parametrize("is_proxied", [True, False], ids=["proxied", "direct"])
def test_packages_of_pypi_as_they_are_and_the_guard(sites: Farm, world: World, canary: Site, is_proxied: bool) -> None:
    """A rotating proxy, a random User-Agent and spidermon: articles are fetched through them, and nothing private is."""
    site, proxy = sites.site(), start_proxy(sites)
    pages = [site.article(f"/a{n}") for n in range(3)]
    site.robots("User-agent: *\nAllow: /")
    rebinding = [f"http://rebind.example:{site.port}/a{n}" for n in range(2)]
    private = [canary.url("/"), f"https://{canary.host}/x", "http://169.254.169.254/latest/meta-data/"]
    redirect = site.page("/go", redirect=canary.url("/"))
    world.submit(*pages, *rebinding, *private, redirect)
    how = write_module(world, "package_settings", PACKAGES.format(names=(site.ip, canary.ip, proxy.url if is_proxied else None)))
    world.crawl(delay=0.0, seconds=90, **how)
    assert [world.outcome(url) for url in pages] == [State.FETCHED] * 3
    assert [world.outcome(url) for url in [*private, redirect]] == [Outcome.SSRF_BLOCKED] * 3 + [Outcome.REDIRECTED]
    assert canary.connections == 0
    if is_proxied:  # each request of the name is resolved and checked anew
        assert [world.trace(url).failure for url in rebinding] == [Outcome.SSRF_BLOCKED] * 2
        assert set(proxy.targets) == {site.host}
    else:
        assert proxy.log == []
    assert world.page(pages[0]).ip == site.ip
    agents = {hit.headers["user-agent"] for hit in site.log}
    assert len(agents) > 1 and not any("Newsmill" in agent for agent in agents)
    assert world.log().count("a middleware sends the User-Agent") == 1
    assert "but the rules for 'Newsmill/" in world.log()
    stats = json.loads((world.data / "config" / "monitored.json").read_text())
    assert stats["downloader/response_status_count/200"] >= 4
    assert stats.get("proxies/good", 0) == is_proxied and "proxies/dead" not in stats, "a private URL made the proxy look dead"


def test_a_proxy_of_the_environment_is_used_only_where_the_operator_says_so(
    sites: Farm, world: World, canary: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    site, proxy = sites.site(), start_proxy(sites)
    for name in ("http_proxy", "https_proxy"):
        monkeypatch.setenv(name, proxy.url)
    monkeypatch.delenv("no_proxy", raising=False)
    world.submit(site.article("/direct"))
    world.crawl(delay=0.0)
    assert world.outcome(site.url("/direct")) is State.FETCHED and proxy.log == []
    config = world.data / "config"
    config.mkdir()
    (config / "sources.toml").write_text("[scrapy]\nHTTPPROXY_ENABLED = true\n")
    world.submit(site.article("/proxied"), canary.url("/"))
    world.crawl(delay=0.0, config=str(config))
    assert world.outcome(site.url("/proxied")) is State.FETCHED and set(proxy.targets) == {site.host}
    assert world.outcome(canary.url("/")) is Outcome.SSRF_BLOCKED


def test_a_single_page_and_an_inspection_go_through_the_proxy_of_the_operator(
    sites: Farm, world: World, canary: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`newsmill extract URL` and `newsmill add URL`, each in its process; later fetches are forked from one that has loaded Scrapy."""

    def run_forked(command: list[str], **_: Any) -> subprocess.CompletedProcess[str]:
        _, _, _, module, *arguments = command
        output, log = world.data / "output", world.data / "log"
        options = {"module": module, "arguments": arguments, "output": str(output)}
        code = ForkedProcess(run_module, options, environ=os.environ, log=log).wait()
        return subprocess.CompletedProcess(command, code, output.read_text(), log.read_text())

    site, proxy = sites.site(), start_proxy(sites)
    story = site.article("/story")
    home = site.page("/", '<link rel="alternate" type="application/rss+xml" href="/feed">')
    feed = site.feed("/feed", story)
    config = world.data / "config"
    config.mkdir()
    for name, value in {**world.environ(), "NEWSMILL_CONFIG": str(config), "http_proxy": proxy.url}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("no_proxy", raising=False)
    assert isinstance(fetch_page(story), PageResponse) and proxy.log == [], "nobody asked for a proxy"
    monkeypatch.setattr(subprocess, "run", run_forked)
    (config / "sources.toml").write_text("[scrapy]\nHTTPPROXY_ENABLED = true\n")
    page = fetch_page(story)
    assert isinstance(page, PageResponse) and b"The council met" in page.body
    assert proxy.targets == [site.host]
    assert [(one.url, one.pages) for one in inspect_site(home, delay=0.0).feeds] == [(feed, 1)]
    assert len(proxy.targets) > 1 and set(proxy.targets) == {site.host}
    refused = fetch_page(canary.url("/"))
    assert isinstance(refused, OutcomeRecord) and refused.outcome is Outcome.SSRF_BLOCKED
    monkeypatch.setenv("NEWSMILL_PROXY_RESOLVES_NAMES", "true")
    fetch_page("http://paper.invalid/")
    assert proxy.targets[-1] == "http://paper.invalid/robots.txt"
    (config / "sources.toml").write_text("[scrapy]\nUSER_AGENT = 'x'\n")
    for ask in (fetch_page, inspect_site):
        with pytest.raises(NewsmillError, match="USER_AGENT cannot be changed"):
            ask(story)


# ---- small middlewares that misbehave

OWN = """
from scrapy import Request
from scrapy.exceptions import IgnoreRequest
from scrapy.http import HtmlResponse

DOWNLOADER_MIDDLEWARES = {"own_settings.Middleware": 500}
DOWNLOAD_MAXSIZE = 100_000
DOWNLOAD_TIMEOUT = 3

class Middleware:
    def process_request(self, request):
        if "/refused" in request.url:
            raise IgnoreRequest("not on a Sunday")
        if "/raises" in request.url:
            raise KeyError("no such key")
        if "/value" in request.url:
            raise ValueError("no such value")
        if "/elsewhere" in request.url:
            return request.replace(url=request.url.replace("/elsewhere", "/a0"))
        if "/forever" in request.url:
            return request.copy()
        if "/answered" in request.url:
            return HtmlResponse(request.url, body=b"<p>from a cache</p>", headers={"Content-Type": "text/html"}, request=request)
        if "/huge" in request.url:
            return HtmlResponse(request.url, body=b"x" * 200_000, request=request)
        if "/uncapped" in request.url:
            request.meta["download_maxsize"] = 0
        request.headers["X-Own"] = "yes"
        request.headers["Cookie"] = "secret=1"

    def process_response(self, request, response):
        return None if "/nothing" in request.url else response
"""


def test_what_a_middleware_does_is_an_outcome_and_the_crawl_goes_on(sites: Farm, world: World) -> None:
    names = ("refused", "raises", "value", "elsewhere", "forever", "answered", "huge", "uncapped", "nothing")
    pages = {}
    for name in names:  # a host each: failures pause their host
        site = sites.site()
        pages[name] = site.page(f"/{name}", b"x" * 200_000 if name == "uncapped" else b"<p>text</p>")
    feed = sites.site().feed("/refused.xml")
    world.source("denied", feeds=(feed,), discover=False)
    last = sites.site()
    good = [last.article(f"/a{n}") for n in range(2)]
    world.submit(*pages.values(), *good)
    world.crawl(delay=0.0, seconds=90, **write_module(world, "own_settings", OWN))
    got = {name: (world.outcome(url), world.trace(url).detail) for name, url in pages.items()}
    assert [world.outcome(url) for url in good] == [State.FETCHED] * 2
    assert got["refused"] == (Outcome.DENIED, "a middleware refused it: IgnoreRequest: not on a Sunday")
    assert world.trace(feed).detail == "middleware_error: a middleware refused it: IgnoreRequest: not on a Sunday", "it would end for good"
    assert got["raises"] == (State.DUE, "middleware_error: KeyError: 'no such key'")
    assert got["value"] == (State.DUE, "middleware_error: ValueError: no such value")
    assert got["nothing"][0] is State.DUE and "middleware_error: _InvalidOutput" in str(got["nothing"][1])
    assert got["elsewhere"][0] is Outcome.DENIED and "/a0 instead" in str(got["elsewhere"][1])
    assert got["forever"][0] is State.DUE and str(got["forever"][1]).startswith("timeout")
    assert got["huge"] == (Outcome.TOO_LARGE, "a middleware returned 200,000 bytes")
    assert got["uncapped"][0] is Outcome.TOO_LARGE
    assert got["answered"][0] is State.FETCHED
    answered = world.page(pages["answered"])
    assert (answered.body, answered.ip) == (b"<p>from a cache</p>", None)
    assert last.hits("/a0")[0].headers["x-own"] == "yes"
    assert last.hits("/a0")[0].headers["user-agent"] == "Newsmill/0.1 (+mailto:desk@example.org)"
    assert b"secret" not in b"".join(path.read_bytes() for path in world.data.rglob("*.warc*")), "a cookie was archived"


def test_a_middleware_that_refuses_robots_txt(sites: Farm, world: World) -> None:
    """Without robots.txt nothing may be fetched, and the reason is the middleware's."""
    text = (
        "from scrapy.exceptions import IgnoreRequest\nDOWNLOADER_MIDDLEWARES = {'wall_settings.Wall': 1}\nclass Wall:\n"
        "    def process_request(self, request):\n        raise IgnoreRequest('closed')\n"
    )
    url = sites.site().article("/a")
    world.submit(url)
    world.crawl(**write_module(world, "wall_settings", text))
    assert world.trace(url).detail == "robots.txt: a middleware refused it: IgnoreRequest: closed"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("TWISTED_REACTOR = 'x'", "TWISTED_REACTOR cannot be changed: crawler/ runs on asyncio; remove it"),
        (
            "EXTENSIONS = {'failing_settings.E': 1}\nclass E:\n    def __init__(self):\n        raise OSError('no disk')\n",
            "OSError: no disk",
        ),
        (
            "ADDONS = {'failing_settings.A': 1}\nclass A:\n    def update_settings(self, settings):\n"
            "        settings.set('DOWNLOAD_VERIFY_CERTIFICATES', False, 'cmdline')\n",
            "DOWNLOAD_VERIFY_CERTIFICATES was changed",
        ),
    ],
    ids=["protected", "failing", "addon"],
)
def test_wrong_settings_end_the_crawler_at_its_start(world: World, text: str, message: str) -> None:
    crawler = world.start(**write_module(world, "failing_settings", text))
    assert crawler.wait(60) != 0
    assert message in world.log()


def test_components_that_the_crawl_has_no_use_for_are_not_built(sites: Farm, world: World) -> None:
    """Those of the user and those that an add-on adds; each would end the crawler at its start."""
    text = (
        "class Failing:\n    @classmethod\n    def from_crawler(cls, crawler):\n        raise RuntimeError('needs a scheduler')\n"
        "class AddOn:\n    def update_settings(self, settings):\n"
        "        settings['SPIDER_MIDDLEWARES']['unused_settings.Failing'] = 2\n"
        "        settings.set('ITEM_PIPELINES', {'unused_settings.Failing': 2}, 'cmdline')\n"
        "ADDONS = {'unused_settings.AddOn': 1}\n"
        "SPIDER_MIDDLEWARES = {'unused_settings.Failing': 1}\nITEM_PIPELINES = {'unused_settings.Failing': 1}\n"
    )
    url = sites.site().article("/a")
    world.submit(url)
    world.crawl(**write_module(world, "unused_settings", text))
    assert world.outcome(url) is State.FETCHED
    assert "a middleware sends the User-Agent" not in world.log()


def test_a_page_to_render_passes_with_the_limits_of_the_browser() -> None:
    """Its request has no deadline and no cap of the downloader. What a middleware does to it is the reason why there is no rendering."""
    page = Page("http://a.example/", "http://a.example/", datetime.now(UTC), 200, (), b"")

    async def render(answer: Exception | bytes) -> Page:
        async def download(request: Request) -> ScrapyResponse:
            if isinstance(answer, Exception):
                raise answer
            return ScrapyResponse("http://a.example/moved", body=answer, request=request)

        return await Renderer(MiddlewareDownload(download), Guard(), "Newsmill/0.1").render(page, Source("paper"))

    assert asyncio.run(render(b"<p>text</p>")).rendered == b"<p>text</p>"
    assert asyncio.run(render(RenderingError("no memory"))).rendering_failure == "no memory"
    assert asyncio.run(render(KeyError("key"))).rendering_failure == "KeyError: 'key'"
    assert "not on a Sunday" in str(asyncio.run(render(IgnoreRequest("not on a Sunday"))).rendering_failure)


# ---- cookies


def serve_cookies(name: str) -> Callable[[Hit], Response]:
    lines = (("Content-Type", "text/html"), ("Set-Cookie", f"{name}=1; Path=/"))
    return lambda hit: Response(200, lines, f"<p>{hit.path}</p>".encode())


def test_cookies_of_a_source_are_sent_to_it_and_never_for_another(sites: Farm, world: World) -> None:
    site = sites.site()
    first, second, third = ([f"/{name}{n}" for n in range(2)] for name in ("one", "two", "none"))
    for path in (*first, *second, *third):
        site.pages[path] = serve_cookies(path[1:-1])
    for name, paths in (("one", first), ("two", second)):
        world.source(name, feeds=(site.feed(f"/{name}.xml", *map(site.url, paths)),), discover=False)
    world.submit(*map(site.url, third))
    config = world.data / "config"
    config.mkdir()
    (config / "sources.toml").write_text("[scrapy]\nCOOKIES_ENABLED = true\n")
    world.crawl(delay=0.0, config=str(config))
    for name, paths in (("one", first), ("two", second), ("none", third)):
        sent = [hit.headers.get("cookie") for hit in site.log if hit.path in paths]
        assert sent == [None, f"{name}=1"], "the second page of a source gets the cookie of its first one, and no other"
    assert [hit.headers.get("cookie") for hit in site.hits("/robots.txt")] == [None]


def test_a_page_behind_a_redirect_to_itself_is_read_with_the_cookie_of_the_redirect(sites: Farm, world: World) -> None:
    """/wall opens with its cookie, also by way of /gate; /never sets a new cookie each time and never opens."""
    site = sites.site()

    def redirect(target: str, name: str) -> Response:
        return Response(302, (("Location", target), ("Set-Cookie", f"{name}=1; Path=/")), b"")

    def open_with(cookie: str, closed: Response) -> Callable[[Hit], Response]:
        page = Response(200, (("Content-Type", "text/html"),), b"<p>the page</p>")
        return lambda hit: page if cookie in hit.headers.get("cookie", "") else closed

    site.pages["/wall"] = open_with("wall=1", redirect("/wall", "wall"))
    site.pages["/walled"] = open_with("gate=1", redirect("/gate", "other"))
    site.pages["/gate"] = lambda hit: redirect("/walled", "gate")
    site.pages["/never"] = lambda hit: redirect("/never", f"c{len(site.hits('/never'))}")
    urls = {path: site.url(path) for path in ("/wall", "/walled", "/never")}
    world.submit(*urls.values())
    config = world.data / "config"
    config.mkdir()
    (config / "sources.toml").write_text("[scrapy]\nCOOKIES_ENABLED = true\n")
    world.crawl(delay=0.0, config=str(config))
    assert world.outcome(urls["/never"]) is Outcome.REDIRECT_LOOP
    assert len(site.hits("/never")) == 6
    for path in ("/wall", "/walled"):
        assert world.page(urls[path]).body == b"<p>the page</p>"


def test_cookies_have_bounds_of_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """400 cookies empty the jar, one of 5,000 bytes is dropped alone, and jars of hosts make room for others."""
    middleware = BoundedCookiesMiddleware()
    request = Request("http://site.example/a", meta={"cookiejar": "source paper"})

    def answer(*cookies: str) -> str:
        middleware.process_response(request, ScrapyResponse(request.url, headers={"Set-Cookie": list(cookies)}))
        following = request.copy()
        middleware.process_request(following)
        return (following.headers.get("Cookie") or b"").decode()

    assert answer("big=" + "x" * 5000, "small=1") == "small=1"
    assert answer(*(f"c{n}=1" for n in range(400))) == ""
    assert answer("small=2") == "small=2"
    monkeypatch.setattr("crawler.network.cookies.MAX_COOKIE_JARS", 100)
    for n in range(1000):
        middleware.process_request(Request(f"http://h{n}.example/", meta={"cookiejar": f"host h{n}.example"}))
        assert len(middleware.jars) <= 101
    assert answer() == "small=2", "a source loses its cookies to hosts without a source"


# ---- robots = false


def test_only_a_source_with_robots_false_is_fetched_against_robots_txt(sites: Farm, world: World) -> None:
    closed, broken = sites.site(), sites.site()
    closed.robots("User-agent: *\nDisallow: /")
    broken.page("/robots.txt", status=500)
    urls = {}
    for site in (closed, broken):
        for name in ("permitted", "other"):
            urls[site.ip, name] = site.article(f"/{name}")
    world.source("permitted", homepage=closed.url("/"), sitemaps=(broken.url("/map.xml"),), discover=False, robots=False)
    world.source("other", homepage=closed.url("/"), discover=False)
    for (_, name), url in urls.items():
        world.submit(url, source=name)
    world.crawl(delay=0.0)
    assert world.outcome(urls[closed.ip, "permitted"]) is State.FETCHED
    assert world.outcome(urls[closed.ip, "other"]) is Outcome.ROBOTS_DISALLOWED
    assert world.outcome(urls[broken.ip, "permitted"]) is State.FETCHED
    assert (world.trace(urls[broken.ip, "other"]).detail or "").startswith("robots_unreachable")
    assert closed.hits("/robots.txt") and not closed.hits("/other") and not broken.hits("/other")


def test_the_module_is_found_beside_sources_toml(world: World, tmp_path: Path) -> None:
    crawler = world.start(config=str(tmp_path), scrapy_settings="not_there")
    assert crawler.wait(60) != 0
    assert f"expected a module in {Path.cwd()} or {tmp_path}" in world.log()
