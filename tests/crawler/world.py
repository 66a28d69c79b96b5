"""A real ledger, archive and Redis, and crawler processes on them, for tests of the whole crawler."""

from __future__ import annotations

import logging
import os
import shutil
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from importlib import import_module
from pathlib import Path
from typing import Any

from forked_process import ForkedProcess

from crawler import process
from crawler.state import crawl_state
from newsmill.archive.archive import Archive
from newsmill.context import open_context
from newsmill.extraction.pipeline import read
from newsmill.model import Kind, Link, Outcome, Page, Politeness, Source, State
from newsmill.settings import load
from newsmill.storage.database import connect
from newsmill.storage.ledger import Ledger, Result, Trace
from newsmill.storage.processes import list_live_processes
from newsmill.storage.schema_version import upgrade

AGENT = "Newsmill/0.1 (+mailto:desk@example.org)"
SETTINGS = {
    "database_url": "DATABASE_URL",
    "redis_url": "REDIS_URL",
    "user_agent": "NEWSMILL_USER_AGENT",
    "high_water": "NEWSMILL_HIGH_WATER",
    "config": "NEWSMILL_CONFIG",
    "scrapy_settings": "NEWSMILL_SCRAPY_SETTINGS",
}


def now() -> datetime:
    return datetime.now(UTC)


def crawl(options: dict[str, Any]) -> int:
    """One crawler process, with its settings in the environment. `options`: keyword arguments of `run`, and what has no setting."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    ahead = options.pop("ahead", None)  # a file with the seconds by which this process's clock is ahead
    crawl_state.DEFAULT_POLITENESS = Politeness(options.pop("delay"))
    for name, value in options.pop("patch").items():
        module, _, attribute = name.rpartition(".")
        setattr(import_module(module), attribute, value)
    with open_context(load()) as context:
        if ahead:
            context = replace(context, now=lambda: datetime.now(UTC) + timedelta(seconds=float(Path(ahead).read_text())))
        return process.run(context, **options)


def run_scrapy(options: dict[str, Any]) -> int:
    """A `scrapy` command with its arguments, in a folder."""
    from scrapy.cmdline import execute

    os.chdir(options["folder"])
    sys.argv = ["scrapy", *options["arguments"]]
    execute()
    return 0


def run_module(options: dict[str, Any]) -> int:
    """A module of Newsmill as `python -m` runs it, with its arguments; its standard output goes to the file `output`."""
    os.dup2(os.open(options["output"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC), 1)
    sys.argv = [options["module"], *options["arguments"]]
    import_module(options["module"]).main()
    return 0


class World:
    def __init__(self, data: Path, redis_url: str, database_url: str | None = None, *, template: Path | None = None) -> None:
        """Without `database_url`, a SQLite file in the data folder: a copy of `template`, which has the schema already."""
        data.mkdir(parents=True, exist_ok=True)
        if template is not None:
            shutil.copy(template, data / "newsmill.db")
        self.data = data
        self.database_url = database_url or f"sqlite:///{data / 'newsmill.db'}"
        self.engine = connect(self.database_url)
        upgrade(self.engine)
        self.ledger = Ledger(self.engine)
        self.archive = Archive(str(data))
        self.redis_url = redis_url
        self.running: list[ForkedProcess] = []

    # ---- work to do

    def submit(self, *page_urls: str, kind: Kind = Kind.PAGE, source: str | None = None) -> None:
        self.ledger.links.add([Link(url, kind, source) for url in page_urls], now=now())

    def source(self, name: str = "paper", *, delay: float = 0.0, concurrency: int = 1, **plan: Any) -> Source:
        source = Source(name=name, politeness=Politeness(delay, concurrency), **plan)
        self.ledger.sources.put(source, now=now())
        return source

    # ---- crawlers

    def start(self, *, patch: dict[str, Any] | None = None, **config: Any) -> ForkedProcess:
        """A crawler. `config`: settings by the names of SETTINGS, and what `crawl` takes."""
        settings = self.environ()
        settings |= {variable: str(config.pop(name)) for name, variable in SETTINGS.items() if name in config}
        # the delay between requests for URLs without a source; 1.0 is Newsmill's default
        options = {"patch": patch or {}, "delay": 1.0, **config}
        log = self.data / f"crawler{len(self.running)}.log"
        crawler = ForkedProcess(crawl, options, environ={**os.environ, **settings}, log=log)
        self.running.append(crawler)
        return crawler

    def environ(self) -> dict[str, str]:
        """The settings of a process on this world."""
        return {
            "DATABASE_URL": self.database_url,
            "ARCHIVE_URL": str(self.data),
            "REDIS_URL": self.redis_url,
            "NEWSMILL_DATA": str(self.data),
            "NEWSMILL_USER_AGENT": AGENT,
            "NEWSMILL_ALLOW_NETS": "127.0.0.0/24",
        }

    def stop(self, crawler: ForkedProcess, *, how: int = signal.SIGTERM, seconds: float = 20) -> int:
        crawler.send_signal(how)
        return crawler.wait(seconds)

    @contextmanager
    def crawler(self, **config: Any) -> Iterator[ForkedProcess]:
        """A crawler for the length of a block; it must end cleanly."""
        crawler = self.start(**config)
        try:
            self.wait(lambda: self.alive(crawler))
            yield crawler
        finally:
            code = self.stop(crawler)
        assert code == 0, self.log()

    def crawl(self, *, seconds: float = 30, done: Callable[[], bool] | None = None, **config: Any) -> None:
        """Run one crawler until nothing is due now (or `done` says so)."""
        with self.crawler(**config):
            self.wait(done or self.quiet, seconds)

    def alive(self, crawler: ForkedProcess) -> bool:
        return any(f":{crawler.pid}:" in process.name for process in list_live_processes(self.engine, now=now()))

    def wait(self, done: Callable[[], bool], seconds: float = 30) -> None:
        until = time.monotonic() + seconds
        while not done():
            assert time.monotonic() < until, f"not done after {seconds} s; {self.states()}\n{self.log()}"
            time.sleep(0.1)

    def quiet(self) -> bool:
        """Nothing is being fetched, and nothing is due before a minute from now."""
        soon = time.time() + 20
        open_ = [t for t in self.rows() if t.state in (State.DUE, State.FETCHING)]
        return all(t.state is State.DUE and t.next_at.timestamp() > soon for t in open_)

    def log(self) -> str:
        return "\n".join(path.read_text() for path in sorted(self.data.glob("crawler*.log")))

    def extract(self) -> None:
        """Do the worker's part."""
        while segments := self.ledger.segments.list_pending(now=now(), limit=100):
            for segment in segments:
                claims = self.ledger.claims.claim(segment, "worker", seconds=60, now=now())
                pages = [(claim, self.archive.read_page(claim.segment, claim.offset)) for claim in claims]
                results = [Result(claim, read(page, first_seen_at=claim.first_seen_at)) for claim, page in pages]
                self.ledger.results.store(results, now=now(), owner="worker", seconds=60)

    # ---- what came of it

    def rows(self) -> list[Trace]:
        return self.ledger.traces.list_all(limit=100_000)

    def states(self) -> dict[str, str]:
        """The first rows, those without an outcome before the others."""
        rows = sorted(self.rows(), key=lambda row: row.state not in (State.DUE, State.FETCHING))
        return {row.url: f"{row.state} {row.outcome} {row.detail} {row.attempts} {row.next_at}" for row in rows[:40]}

    def trace(self, url: str) -> Trace:
        trace = self.ledger.traces.get(url)
        assert trace is not None, url
        return trace

    def outcome(self, url: str) -> Outcome | State:
        """How a URL ended, or the state it is in."""
        trace = self.trace(url)
        return trace.outcome or trace.state

    def page(self, url: str) -> Page:
        trace = self.trace(url)
        assert trace.segment is not None and trace.offset is not None, self.states()
        return self.archive.read_page(trace.segment, trace.offset)

    def close(self) -> None:
        for crawler in self.running:
            if crawler.poll() is None:
                crawler.kill()
                crawler.wait(10)
        self.engine.dispose()
