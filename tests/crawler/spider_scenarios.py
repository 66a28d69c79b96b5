"""Sources with spiders beside one crawler: each scenario adds a source, yields what it waits for, and checks the result.

One crawler runs them all. One for each would cost its start and its end, and most scenarios only wait.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from datetime import timedelta

from fake_site import Farm, Site
from sqlalchemy import update
from world import World, now

from newsmill.logs.spider_log import read_log_end, spider_log
from newsmill.model import State
from newsmill.settings import Settings
from newsmill.storage.ledger import Trace
from newsmill.storage.schema import ledger
from newsmill.text.urls import make_spider_url

POLL_SECONDS = 0.2
HEAD = """import scrapy
from newsmill.scrapy import PageItem, link, page


class PaperSpider(scrapy.Spider):
    name = 'paper'

    async def start(self):
        yield scrapy.Request(self.url)

"""


class Paper:
    """A source with a spider, and its site. The source's name is also that of the spider's module."""

    def __init__(self, world: World, sites: Farm, name: str = "paper") -> None:
        self.world = world
        self.sites = sites
        self.name = name
        self.site: Site = sites.site()

    def write_spider(self, code: str) -> str:
        """A spider in the data folder; its class has start_urls in the argument `url`."""
        folder = self.world.data / "spiders"
        folder.mkdir(exist_ok=True)
        (folder / f"{self.name}.py").write_text(HEAD + code)
        return f"{self.name}:PaperSpider"

    def add(self, code: str, url: str, **plan: object) -> None:
        """Add the source with a spider that starts at `url`."""
        self.world.source(self.name, spider=self.write_spider(code), spider_args={"url": url}, **plan)

    def trace(self) -> Trace:
        """The row of the spider's runs."""
        return self.world.trace(make_spider_url(self.name))

    def detail(self) -> str:
        """The detail of the run's outcome."""
        return self.trace().detail or ""

    def has_ended(self) -> bool:
        """Whether a run has ended. After a failure its row is due again later."""
        trace = self.trace()
        return trace.attempts == 1 if trace.state is State.DUE else trace.state is not State.FETCHING

    def postpone_runs(self) -> None:
        """Have no further run start: a failed run is due again after a minute, and would take the place of another scenario's."""
        rows = update(ledger).where(ledger.c.url == make_spider_url(self.name), ledger.c.state == State.DUE)
        with self.world.engine.begin() as conn:
            conn.execute(rows.values(next_at=now() + timedelta(days=1)))

    def archived(self) -> list[str]:
        """The URLs of the source's rows with an archived page."""
        return sorted(trace.url for trace in self.world.rows() if trace.state is State.FETCHED and trace.source == self.name)

    def log(self) -> str:
        """The end of the spider's log."""
        return read_log_end(spider_log(Settings(data=self.world.data), self.name)) or ""


Steps = Iterator[Callable[[], bool]]
Scenario = Callable[[Paper], Steps]


def run_scenarios(
    world: World, sites: Farm, scenarios: Mapping[str, Scenario], *, seconds: float, **config: object
) -> dict[str, Exception | None]:
    """Run all scenarios beside one crawler with this configuration. The failure of each, by name."""
    failures: dict[str, Exception | None] = {}
    papers = {name: Paper(world, sites, name) for name in scenarios}
    waiting = {name: (scenario(papers[name]), lambda: True) for name, scenario in scenarios.items()}

    def end(name: str, failure: Exception | None) -> None:
        failures[name] = failure
        del waiting[name]
        papers[name].postpone_runs()

    def advance() -> None:
        for name, (steps, is_met) in list(waiting.items()):
            try:
                if is_met():
                    waiting[name] = steps, next(steps)
            except StopIteration:
                end(name, None)
            except Exception as failure:  # noqa: BLE001 - the scenario's test raises it
                end(name, failure)

    advance()
    until = time.monotonic() + seconds
    with world.crawler(**config):
        while waiting and time.monotonic() < until:
            advance()
            time.sleep(POLL_SECONDS)
    failures |= {name: AssertionError(f"not done after {seconds:g} s: {world.states()}\n{world.log()}") for name in waiting}
    return failures
