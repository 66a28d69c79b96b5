"""The example spiders under kill -9, with two crawlers: every article comes in once, and becomes one document."""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

import pytest
import services
from fake_site import Farm, Site
from forked_process import ForkedProcess
from run_processes import find_runs
from spider_sites import serve_api, serve_login, serve_stream
from sqlalchemy import func, select, update
from world import World, now

from newsmill.model import Outcome, State
from newsmill.storage.owner_ids import is_dead
from newsmill.storage.schema import documents, ledger, segments
from newsmill.text.urls import make_spider_url

ARTICLES = 30
KILLS = int(os.environ.get("NEWSMILL_SPIDER_KILLS") or 3)  # of each example; a nightly run of CI makes more
RUN = make_spider_url("paper")
LEASE_SECONDS = 30.0


class Killing:
    """Two crawlers that are killed and started again, and the runs that they start."""

    def __init__(self, world: World, seed: int) -> None:
        self.world = world
        self.random = random.Random(seed)
        self.crawlers = [world.start(lease_seconds=LEASE_SECONDS) for _ in range(2)]
        self.most_runs = 0  # at one time

    def kill_one(self) -> None:
        """Kill a run, or one time in four its crawler with it."""
        crawler, run = self.wait_for_run()
        time.sleep(self.random.uniform(0.0, 3.0))
        if self.random.random() < 0.25:
            crawler.kill()
            crawler.wait(20)
            self.crawlers[self.crawlers.index(crawler)] = self.world.start(lease_seconds=LEASE_SECONDS)
        else:
            with suppress(ProcessLookupError):
                os.kill(run, signal.SIGKILL)

    def wait_for_run(self) -> tuple[ForkedProcess, int]:
        """A crawler and the process id of its run."""
        found: list[tuple[ForkedProcess, int]] = []

        def has_run() -> bool:
            self.make_due()
            found[:] = [(crawler, run) for crawler in self.crawlers for run in find_runs(crawler.pid)]
            self.most_runs = max(self.most_runs, len(found))
            time.sleep(0.2)
            return bool(found)

        self.world.wait(has_run, 120)
        return found[0]

    def make_due(self) -> None:
        """Have the next run start now: the work of the scheduler."""
        self.world.ledger.sources.make_listings_due("paper", now=now())
        self.skip_waits()

    def skip_waits(self) -> None:
        """Have a run that was killed start again now: no lease and no pause after a failure is waited for."""
        self.world.ledger.dead_leases.end(is_dead, now=now())
        self.world.ledger.url_leases.expire(now=now())
        with self.world.engine.begin() as conn:
            due = update(ledger).where(ledger.c.kind == "spider", ledger.c.state == "due")
            conn.execute(due.values(next_at=now() - timedelta(seconds=1), attempts=0))

    def finish(self, detail: str) -> None:
        """Leave the crawlers alone until a run has ended by itself that brought nothing new."""

        def has_ended() -> bool:
            trace = self.world.trace(RUN)
            if trace.outcome is Outcome.LISTED and trace.detail != detail:
                self.make_due()
            self.skip_waits()  # the crawler may write the failure of the last killed run only now
            return trace.outcome is Outcome.LISTED and trace.detail == detail

        self.make_due()
        self.world.wait(has_ended, 180)
        for crawler in self.crawlers:
            assert self.world.stop(crawler, seconds=60) == 0


@pytest.fixture
def killed_world(request: pytest.FixtureRequest, tmp_path: Path, redis_url: str, database_kind: str) -> Iterator[World]:
    url = None if database_kind == "sqlite" else services.make_database(request.getfixturevalue("postgres_url"), "killed_spiders")
    world = World(tmp_path / "data", redis_url, url)
    yield world
    world.close()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("example", "serve", "arguments", "database_kind"),
    [
        ("json_api:JsonApiSpider", serve_api, {"url": "/api/articles"}, "sqlite"),
        ("cursor_scroll:CursorScrollSpider", serve_stream, {"url": "/stream", "link_css": "article a::attr(href)"}, "postgres"),
        ("form_login:FormLoginSpider", serve_login, {"login": "/login", "url": "/archive"}, "sqlite"),
    ],
    ids=["json_api", "cursor_scroll", "form_login"],
)
def test_every_article_comes_in_once(
    sites: Farm,
    killed_world: World,
    monkeypatch: pytest.MonkeyPatch,
    example: str,
    serve: Callable[[Site, int], list[str]],
    arguments: dict[str, str],
) -> None:
    monkeypatch.setenv("PAPER_USER", "ada")
    monkeypatch.setenv("PAPER_PASSWORD", "secret word")
    world, site = killed_world, sites.site()
    wanted = serve(site, ARTICLES)
    spider_args = {name: site.url(value) if value.startswith("/") else value for name, value in arguments.items()}
    is_api = example.startswith("json_api")
    delay = 0.8 if is_api else 0.07  # three requests, or 33
    world.source(spider=f"crawler.spiders.{example}", spider_args=spider_args, delay=delay)
    killing = Killing(world, seed=18)
    for _ in range(KILLS):
        killing.kill_one()
    killing.finish(f"{ARTICLES} finished articles (0 new, {ARTICLES} known)" if is_api else f"{ARTICLES} known pages skipped")
    pages = [trace for trace in world.rows() if trace.url != RUN]
    assert sorted(trace.url for trace in pages) == sorted(wanted)
    assert {trace.state for trace in pages} == {State.FETCHED}
    assert killing.most_runs == 1
    with world.engine.connect() as conn:
        assert conn.execute(select(func.sum(segments.c.pages))).scalar_one() == ARTICLES
    world.extract()
    with world.engine.connect() as conn:
        rows = conn.execute(select(documents.c.url, documents.c.revision, documents.c.source)).all()
    assert sorted(row.url for row in rows) == sorted(wanted)
    assert {(row.revision, row.source) for row in rows} == {(1, "paper")}
