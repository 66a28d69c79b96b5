"""Rendering with a real Chromium: the text of fetch(), every way out of the browser, and pages that use too much."""

from __future__ import annotations

import gzip
import os
import signal
import socket
import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from fake_site import Farm, Hit, Response, Site
from services import eventually
from world import AGENT

from crawler.browser.renderer import Renderer, needs_rendering
from newsmill.extraction.pipeline import read
from newsmill.model import Kind, LeasedUrl, Page, Render, Source
from newsmill.network.address_guard import Guard

ALLOWED = ("127.0.0.0/24",)
TEXT = "The council met on Monday to talk about the bridge."
APP = """<!DOCTYPE html><html><head><title>Bridge</title></head><body><article id="app"></article><script>
fetch("/api/article").then(r => r.json()).then(a => { document.getElementById("app").innerHTML = a.html })
</script></body></html>"""
PAPER = Source("paper", homepage="http://paper.example/", render=Render.ALWAYS)


@pytest.fixture
def renderer(engine: Any) -> Renderer:
    async def download(request: Any) -> Any:
        return await engine.crawler.engine.download_async(request)

    return Renderer(download, Guard.from_networks(ALLOWED), AGENT)


@pytest.fixture
def site(sites: Farm) -> Site:
    site = sites.site()
    site.page("/api/article", f'{{"html": "<p>{TEXT}</p>"}}', content_type="application/json")
    return site


def render(engine: Any, renderer: Renderer, url: str, source: Source = PAPER) -> Page:
    page = engine.fetch(url)
    assert isinstance(page, Page), page
    rendered = engine.run(renderer.render(page, source))
    assert isinstance(rendered, Page)
    return rendered


def dom(page: Page) -> str:
    assert page.rendered is not None, page.rendering_failure
    return page.rendered.decode()


def app(script: str, body: str = "") -> str:
    """A page whose last act is to show a text."""
    end = "document.getElementById('end').textContent = 'the ' + 'end'"
    return f"<html><body>{body}<p id=end></p><script>{script}\n{end}</script></body></html>"


def test_the_text_of_fetch_is_in_the_dom(engine: Any, renderer: Renderer, site: Site) -> None:
    url = site.page("/story", APP, zipped=True, headers={"Content-Security-Policy": "default-src 'self' 'unsafe-inline'"})
    page = render(engine, renderer, url)
    assert f"<p>{TEXT}</p>" in dom(page) and dom(page).startswith("<!DOCTYPE html><html>")
    assert gzip.decompress(page.body) == APP.encode()
    assert len(site.hits("/story")) == 1  # the browser shows the response that the crawler fetched
    (hit,) = site.hits("/api/article")
    assert hit.headers["user-agent"] == AGENT and hit.headers["referer"].startswith(site.url("/"))


def test_the_document_is_that_of_the_redirect(engine: Any, renderer: Renderer, site: Site) -> None:
    site.page("/to/story", APP.replace("/api", "../api"))
    assert TEXT in dom(render(engine, renderer, site.page("/from", redirect="/to/story")))


def test_the_document_is_decoded_as_the_extraction_decodes_it(engine: Any, renderer: Renderer, site: Site) -> None:
    """Headers that would make a download of it, and a wrong charset, do not matter."""
    headers = {"Content-Disposition": "attachment", "Content-Type": "text/html; charset=iso-8859-1", "Refresh": "0;url=/other"}
    page = render(engine, renderer, site.page("/legacy", app("", "<p>Zwölf Boxkämpfer</p>").encode(), headers=headers))
    assert "<p>Zwölf Boxkämpfer</p>" in dom(page) and not site.hits("/other")
    greek = app("", "<p>Καλημέρα</p>").replace("<body>", "<head><meta charset='iso-8859-7'></head><body>").encode("iso-8859-7")
    assert "<p>Καλημέρα</p>" in dom(render(engine, renderer, site.page("/greek", greek, content_type="text/html")))


def test_images_fonts_and_media_are_not_requested(engine: Any, renderer: Renderer, site: Site) -> None:
    style = "<style>@font-face { font-family: x; src: url(/font.woff2) } body { font-family: x; background: url(/background.png) }</style>"
    body = f'{style}<link rel="stylesheet" href="/style.css"><img src="/image.png"><video src="/video.mp4" autoplay></video>'
    render(engine, renderer, site.page("/media", app("", body)))
    assert {hit.path for hit in site.log} == {"/media", "/style.css"}


def test_the_page_can_lead_nowhere(engine: Any, renderer: Renderer, site: Site) -> None:
    """Neither a script, a meta element, a form nor a window makes another document of it."""
    other = site.page("/other", "<p>another page</p>")
    scripts = (
        f"history.pushState({{}}, '', '/pushed'); location.href = '{other}';",
        f"window.open('{other}'); document.write(\"<meta http-equiv=refresh content='0;url={other}'>\");",
        f"const form = document.createElement('form'); form.action = '{other}'; document.body.append(form); form.submit();",
        "location.reload();",
    )
    for number, script in enumerate(scripts):
        page = render(engine, renderer, site.page(f"/leaving{number}", app(script)))
        assert "the end" in dom(page) and "another page" not in dom(page), script
    assert not site.hits("/other")


# ---- the ways out


ESCAPES = """
const to = %r;
for (const host of to) {
  fetch(`http://${host}/fetch`).catch(() => 0);
  fetch(`https://${host}/tls`, {mode: "no-cors"}).catch(() => 0);
  new Image().src = `http://${host}/image`;
  const frame = document.createElement("iframe"); frame.src = `http://${host}/frame`; document.body.append(frame);
  const link = document.createElement("link"); link.rel = "stylesheet"; link.href = `http://${host}/style`; document.head.append(link);
  const ahead = document.createElement("link"); ahead.rel = "preconnect"; ahead.href = `http://${host}/`; document.head.append(ahead);
  const script = document.createElement("script"); script.src = `http://${host}/script`; document.body.append(script);
  const xhr = new XMLHttpRequest(); xhr.open("POST", `http://${host}/xhr`); xhr.send("x");
  navigator.sendBeacon(`http://${host}/beacon`, "x");
  new WebSocket(`ws://${host}/socket`);
  new EventSource(`http://${host}/events`);
  new Worker(URL.createObjectURL(new Blob([`fetch("http://${host}/worker"); importScripts("http://${host}/import")`])));
  window.open(`http://${host}/window`);
}
fetch("/redirect").catch(() => 0);
const redirected = document.createElement("iframe"); redirected.src = "/redirect"; document.body.append(redirected);
"""


def test_no_way_leads_into_a_private_network(engine: Any, renderer: Renderer, site: Site, canary: Site) -> None:
    site.page("/redirect", redirect=f"http://{canary.host}/redirected")
    hosts = [canary.host, f"[::ffff:127.66.6.6]:{canary.port}", f"2135033350:{canary.port}", f"localhost:{canary.port}", "169.254.169.254"]
    page = render(engine, renderer, site.page("/escape", app(ESCAPES % hosts)))
    assert "the end" in dom(page)
    assert len(site.hits("/redirect")) == 2
    assert canary.connections == 0


def test_the_ways_work_where_they_are_allowed(engine: Any, renderer: Renderer, sites: Farm, site: Site) -> None:
    """Otherwise the test above would prove nothing."""
    other = sites.site()
    other.fallback = lambda _: Response(200, (("Access-Control-Allow-Origin", "*"), ("Content-Type", "text/plain")), b"")
    site.page("/redirect", redirect=other.url("/redirected"))
    render(engine, renderer, site.page("/allowed", app(ESCAPES % [other.host])))
    paths = {hit.path for hit in other.log}
    assert {"/fetch", "/frame", "/style", "/script", "/xhr", "/beacon", "/socket", "/events", "/worker", "/import", "/redirected"} <= paths
    assert "/image" not in paths


def test_a_public_page_reaches_no_private_network_at_all(engine: Any, renderer: Renderer, sites: Farm, site: Site) -> None:
    """Not even one that NEWSMILL_ALLOW_NETS opens for the crawler."""
    other = sites.site()
    page = engine.fetch(site.page("/public", app(ESCAPES % [other.host])))
    engine.run(renderer.render(replace(page, ip="93.184.216.34"), PAPER))
    assert other.connections == 0 and not site.hits("/redirect")


@pytest.fixture
def datagrams() -> Iterator[tuple[int, list[bytes]]]:
    """A UDP port of 127.0.0.1 and what arrives there."""
    heard: list[bytes] = []
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as listener:
        listener.bind(("127.0.0.1", 0))
        listener.settimeout(0.2)
        done = threading.Event()

        def listen() -> None:
            while not done.is_set():
                try:
                    heard.append(listener.recv(2000))
                except TimeoutError:
                    continue

        thread = threading.Thread(target=listen)
        thread.start()
        yield listener.getsockname()[1], heard
        done.set()
        thread.join()


WEBRTC = """
const peer = new RTCPeerConnection({iceServers: [{urls: "stun:127.0.0.1:%(port)d"},
  {urls: ["turn:127.0.0.1:%(port)d", "turn:%(canary)s?transport=tcp"], username: "a", credential: "b"}]});
peer.createDataChannel("x");
peer.onicecandidate = event => { if (event.candidate) document.body.append(event.candidate.candidate + " ") };
peer.createOffer().then(offer => peer.setLocalDescription(offer));
"""
WEBTRANSPORT = 'new WebTransport("https://127.0.0.1:%d/").ready.catch(() => 0);'


def test_nothing_is_sent_over_udp(engine: Any, renderer: Renderer, site: Site, canary: Site, datagrams: tuple[int, list[bytes]]) -> None:
    """The page of a spider tests the flags of the browser, because it has WebRTC."""
    port, heard = datagrams
    script = WEBRTC % {"port": port, "canary": canary.host}
    assert "the end" not in dom(render(engine, renderer, site.page("/rtc", app(script))))  # there is no WebRTC
    assert "the end" in dom(render(engine, renderer, site.page("/transport", app(WEBTRANSPORT % port))))
    response = engine.run(download(engine, site.page("/own", app(script + WEBTRANSPORT % port)), wait=2000))
    assert "the end" in response.text and "candidate:" not in response.text
    assert heard == [] and canary.connections == 0


# ---- what a page may use


def test_a_page_that_is_never_quiet_is_read_anyway(engine: Any, renderer: Renderer, site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("crawler.browser.page_rendering.QUIET_SECONDS", 2.0)
    site.page("/slow", "x", delay=60)
    page = render(engine, renderer, site.page("/noisy", app("setInterval(() => fetch('/api/article'), 100); fetch('/slow');")))
    assert "the end" in dom(page)


@pytest.mark.parametrize("script", ["while (true) {}", "setTimeout(() => { while (true) {} }, 200)"])
def test_a_script_that_never_ends(engine: Any, renderer: Renderer, site: Site, script: str) -> None:
    with pytest.MonkeyPatch.context() as patch:  # the page after it has its whole time on a busy machine
        patch.setattr("crawler.browser.handler.MAX_PAGE_SECONDS", 4.0)
        page = render(engine, renderer, site.page("/loop", app(script)))
    assert page.rendered is None and page.rendering_failure == "no DOM after 4 s"
    assert TEXT in dom(render(engine, renderer, site.page("/story", APP)))  # the next page is fine


@pytest.mark.parametrize(
    "script",
    [
        "const all = []; setInterval(() => { for (let i = 0; i < 20; i++) all.push(new Uint8Array(1e7).fill(7)) }, 1);",
        "const all = []; setInterval(() => { for (let i = 0; i < 50; i++) all.push(new Array(1e5).fill(0).map(Math.random)) }, 1);",
        "setInterval(() => { for (let i = 0; i < 2e4; i++) document.body.append(document.createElement('div')) }, 1);",
    ],
    ids=["buffers", "objects", "elements"],
)
def test_a_page_that_eats_memory(engine: Any, renderer: Renderer, site: Site, monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    monkeypatch.setattr("crawler.browser.memory_watch.MAX_PROCESS_BYTES", 400 << 20)
    monkeypatch.setattr("crawler.browser.page_rendering.QUIET_SECONDS", 30.0)
    site.page("/slow", "x", delay=60)
    page = render(engine, renderer, site.page("/greedy", app(script + "fetch('/slow');")))
    assert page.rendered is None and page.rendering_failure is not None
    assert TEXT in dom(render(engine, renderer, site.page("/story", APP)))


def test_a_dom_that_is_too_large(engine: Any, renderer: Renderer, site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    page = render(engine, renderer, site.page("/large", app("document.body.title = 'x'.repeat(6e6);")))
    assert page.rendered is None and page.rendering_failure == "the DOM has more than 5,000,000 characters"


@pytest.mark.parametrize(
    "script",
    [
        "document.body.insertAdjacentHTML('beforeend', '<i>x</i>'.repeat(45000))",
        "let e = document.body; for (let i = 0; i < 3000; i++) e = e.appendChild(document.createElement('div'))",
        "document.body.title = 'é'.repeat(3e6)",
        "document.documentElement.innerHTML = ''",
        "document.documentElement.remove()",
        "while (true) {}",
    ],
)
def test_a_script_does_not_cost_the_article_of_its_page(
    engine: Any, renderer: Renderer, site: Site, monkeypatch: pytest.MonkeyPatch, script: str
) -> None:
    monkeypatch.setattr("crawler.browser.handler.MAX_PAGE_SECONDS", 3.0)
    monkeypatch.setattr("crawler.browser.page_rendering.QUIET_SECONDS", 0.5)
    text = f"<article><h1>The bridge of the town</h1>{f'<p>{TEXT} It took until midnight, and all spoke.</p>' * 12}</article>"
    page = render(engine, renderer, site.page("/exploding", f"<title>The bridge</title><body>{text}<script>{script}</script>"))
    document = read(page).document
    assert document is not None and TEXT in document.text
    assert document.warnings[-1].startswith("not rendered: ")


def test_a_page_gets_no_more_than_its_requests(engine: Any, renderer: Renderer, site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("crawler.browser.page_rendering.MAX_REQUESTS", 20)
    site.fallback = lambda _: Response(200, (), b"x")
    page = render(engine, renderer, site.page("/many", app("for (let i = 0; i < 200; i++) fetch('/' + i);")))
    assert "the end" in dom(page) and len(site.log) < 25


def test_a_page_cannot_fake_its_dom(engine: Any, renderer: Renderer, site: Site) -> None:
    script = "Object.defineProperty(Element.prototype, 'outerHTML', {get: () => 'fake'}); document.documentElement.dataset.real = 1;"
    assert 'data-real="1"' in dom(render(engine, renderer, site.page("/fake", app(script))))


def test_a_broken_body_is_not_rendered(engine: Any, renderer: Renderer, site: Site) -> None:
    page = render(engine, renderer, site.page("/broken", b"\x1f\x8b broken", headers={"Content-Encoding": "gzip"}))
    assert page.rendering_failure is not None and page.rendering_failure.startswith("the body cannot be decoded")


# ---- contexts


def test_sources_share_no_cookies(engine: Any, renderer: Renderer, sites: Farm, site: Site) -> None:
    site.pages["/cookie"] = _show_cookie
    url = site.page("/cookies", app("fetch('/cookie?' + Math.random());"))
    site.fallback = _show_cookie
    for name in ("paper", "paper", "other"):
        render(engine, renderer, url, replace(PAPER, name=name))
    cookies = [hit.headers.get("cookie") for hit in site.log if hit.path.startswith("/cookie?")]
    assert cookies == [None, "visited=1", None]


def _show_cookie(hit: Hit) -> Response:
    return Response(200, (("Set-Cookie", "visited=1"),), (hit.headers.get("cookie") or "none").encode())


def test_which_pages_are_rendered() -> None:
    page = Page("u", "u", datetime.now(UTC), 200, (("Content-Type", "text/html"),), b"")
    auto, urls = replace(PAPER, render=Render.AUTO), [f"https://paper.example/{number}" for number in range(400)]
    row = LeasedUrl(1, urls[0], Kind.PAGE, "paper.example", "paper", 1, 0)
    wanted = replace(row, is_rendering_wanted=True)
    assert needs_rendering(page, row, PAPER, ()) and needs_rendering(page, wanted, auto, ())
    assert not needs_rendering(page, row, auto, ()) and not needs_rendering(page, wanted, replace(PAPER, render=Render.NEVER), ("paper",))
    assert not needs_rendering(replace(page, headers=(("Content-Type", "text/plain"),)), row, PAPER, ())
    direct = [needs_rendering(page, replace(row, url=url), auto, {"paper"}) for url in urls]
    assert 360 < sum(direct) < 400  # one in twenty is tried without the browser


def test_contexts_are_closed_when_there_are_many(engine: Any, renderer: Renderer, site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    from crawler.network import download_handler

    monkeypatch.setattr("crawler.browser.handler.MAX_CONTEXTS", 2)
    url = site.page("/story", APP)
    for number in range(3):
        assert TEXT in dom(render(engine, renderer, url, replace(PAPER, name=f"source-{number}")))
    (handler,) = download_handler._BROWSER_HANDLERS.values()
    assert len(handler.context_wrappers) <= 2
    assert TEXT in dom(render(engine, renderer, url, replace(PAPER, name="source-0")))


def test_the_start_of_the_browser_is_not_the_time_of_a_page(
    engine: Any, renderer: Renderer, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    from crawler.browser.chromium import GuardedBrowserProvider
    from crawler.network import download_handler

    url = site.page("/story", APP)
    render(engine, renderer, url)
    (handler,) = download_handler._BROWSER_HANDLERS.values()
    engine.run(handler._close_browser())
    eventually(lambda: not hasattr(handler, "browser"))
    launch = GuardedBrowserProvider.launch_browser

    async def launch_slowly(provider: GuardedBrowserProvider) -> Any:
        browser = await launch(provider)
        monkeypatch.setattr("crawler.browser.handler.MAX_PAGE_SECONDS", 30.0)
        return browser

    monkeypatch.setattr("crawler.browser.handler.MAX_PAGE_SECONDS", 0.0)
    monkeypatch.setattr(GuardedBrowserProvider, "launch_browser", launch_slowly)
    assert TEXT in dom(render(engine, renderer, url))


def test_a_killed_browser_is_started_again(engine: Any, renderer: Renderer, site: Site) -> None:
    from crawler.browser.memory_watch import find_browser_processes

    url = site.page("/story", APP)
    render(engine, renderer, url)
    below = find_browser_processes(os.getpid())
    parents = {int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1]) for pid in below}
    for pid in parents - set(below):
        os.kill(pid, signal.SIGKILL)
    eventually(lambda: not find_browser_processes(os.getpid()))  # Playwright has not told the crawler yet
    assert TEXT in dom(render(engine, renderer, url))


# ---- the operator's own requests


def test_a_request_of_a_spider_goes_through_the_guard_too(engine: Any, site: Site, canary: Site) -> None:
    response = engine.run(download(engine, site.page("/story", APP)))
    assert response.status == 200 and TEXT in response.text
    bypass = {"proxy": {"server": f"http://{canary.host}"}}
    for number, meta in enumerate(({}, {"playwright_context": "own", "playwright_context_kwargs": bypass})):
        assert engine.run(download(engine, site.page(f"/own{number}", app(ESCAPES % [canary.host])), **meta)).status == 200
    assert engine.run(download(engine, f"http://{canary.host}/")).status == 403


def test_no_part_of_a_page_comes_from_a_stopped_host(engine: Any, renderer: Renderer, sites: Farm, site: Site) -> None:
    from crawler.politeness.publisher_orders import ORDER_LOOKUPS
    from crawler.politeness.response_policy import RequestOutcomeError
    from newsmill.storage.publishers import PublisherOrder

    open_site, stopped_site = sites.site(), sites.site()
    stopped = {stopped_site.host}
    calls = [f'fetch("http://{one.host}/a", {{mode: "no-cors"}}); new WebSocket("ws://{one.host}/b")' for one in (open_site, stopped_site)]
    url = site.page("/story", app("; ".join(calls)))

    async def find_order(host: str) -> PublisherOrder:
        return PublisherOrder(host, host in stopped, None, datetime.now(UTC))

    ORDER_LOOKUPS[engine.crawler] = find_order
    try:
        assert "the end" in dom(render(engine, renderer, url))
        assert engine.run(download(engine, url)).status == 200
        assert open_site.connections >= 2 and stopped_site.connections == 0
        stopped.add(site.host)
        requests = len(site.log)
        with pytest.raises(RequestOutcomeError):
            engine.run(download(engine, url))
        assert len(site.log) == requests
    finally:
        del ORDER_LOOKUPS[engine.crawler]


async def download(engine: Any, url: str, *, wait: int = 0, **meta: Any) -> Any:
    """The response to a request as an operator's spider makes it; `wait` in milliseconds before the DOM is read."""
    from scrapy import Request
    from scrapy_playwright.page import PageMethod

    methods = [PageMethod("wait_for_timeout", wait)] if wait else []
    meta |= {"playwright": True, "playwright_page_goto_kwargs": {"wait_until": "networkidle"}, "playwright_page_methods": methods}
    return await engine.crawler.engine.download_async(Request(url, meta=meta))
