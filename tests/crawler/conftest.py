"""A running Scrapy engine for tests of fetching, and farms of local servers. A connection to 127.66.6.6 is a failure."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest
from certificates import Authority
from fake_site import Farm, Site, farm
from world import World

from newsmill.queue.embedded_redis import EmbeddedRedis

ALLOWED = ("127.0.0.0/24",)
AGENT = "Newsmill/0.1 (+mailto:desk@example.org)"


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """Its certificate is the only one trusted in this process (Twisted and the crawlers we start read SSL_CERT_FILE)."""
    authority = Authority(tmp_path_factory.mktemp("ca"))
    os.environ["SSL_CERT_FILE"] = str(authority.path)
    return authority


@pytest.fixture(scope="module")
def sites() -> Iterator[Farm]:
    with farm() as sites:
        yield sites


@pytest.fixture
def canary(sites: Farm) -> Iterator[Site]:
    """A listener in a network that is not allowed; the test fails when anything connects to it."""
    site = sites.site("127.66.6.6")
    yield site
    assert site.connections == 0


class Engine:
    """Scrapy's engine in a thread of its own, with every setting the crawler has; `names` stands for the name servers of the world."""

    def __init__(self) -> None:
        self.names: dict[str, Callable[[], list[str]]] = {}
        self.ready: Future[asyncio.AbstractEventLoop] = Future()
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()
        self.loop = self.ready.result(20)

    def _run(self) -> None:
        from scrapy import Spider
        from scrapy.crawler import AsyncCrawlerProcess

        from crawler.settings import SETTINGS, make_settings
        from newsmill.network.address_guard import Guard, make_guarded_getaddrinfo
        from newsmill.settings import load

        engine = self

        class Idle(Spider):
            name = "idle"

            async def start(self) -> Any:
                from twisted.internet import reactor

                reactor.nameResolver._getaddrinfo = make_guarded_getaddrinfo(Guard.from_networks(ALLOWED), engine.lookup)
                engine.stop = asyncio.Event()
                engine.ready.set_result(asyncio.get_running_loop())
                await engine.stop.wait()
                yield

        settings = load({"NEWSMILL_USER_AGENT": AGENT, "NEWSMILL_ALLOW_NETS": ",".join(ALLOWED)})
        process = AsyncCrawlerProcess(make_settings(SETTINGS, settings))
        self.crawler = process.create_crawler(Idle)
        process.crawl(self.crawler)
        process.start(install_signal_handlers=False)

    def lookup(self, host: str, port: int, *rest: Any) -> list[Any]:
        import socket

        if host in self.names:
            return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (ip, port)) for ip in self.names[host]()]
        return socket.getaddrinfo(host, port, *rest)

    def run(self, coroutine: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(60)

    def fetch(self, url: str, **fields: Any) -> Any:
        """Through the real Downloader, following every redirect."""
        from crawler.fetching.downloader import Downloader, FetchRequest
        from newsmill.network.address_guard import Guard

        async def download(request: Any) -> Any:
            return await self.crawler.engine.download_async(request)

        async def follow(_: str, __: str) -> None:
            return None

        return self.run(Downloader(download, Guard.from_networks(ALLOWED), AGENT).fetch(FetchRequest(url, **fields), follow))

    def close(self) -> None:
        self.loop.call_soon_threadsafe(self.stop.set)
        self.thread.join(20)


@pytest.fixture(scope="session")
def engine(authority: Authority) -> Iterator[Engine]:
    engine = Engine()
    yield engine
    engine.close()


@pytest.fixture
def short_deadline(monkeypatch: pytest.MonkeyPatch) -> float:
    """Two seconds for one URL instead of thirty."""
    monkeypatch.setattr("crawler.fetching.downloader.DEADLINE_SECONDS", 2.0)
    return 2.0


@pytest.fixture(scope="session")
def redis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with EmbeddedRedis(tmp_path_factory.mktemp("redis")) as redis:
        yield redis.url


@pytest.fixture
def world(tmp_path: Path, redis_url: str, authority: Authority, sqlite_template: Path) -> Iterator[World]:
    world = World(tmp_path / "data", redis_url, template=sqlite_template)
    yield world
    world.close()
