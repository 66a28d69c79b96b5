"""How well Newsmill follows live sites unattended: completeness, freshness, requests, politeness, edits and alarms, against the truth.

    python benchmarks/follow.py --hours 24 --seeds 1,2 --speed 30 [--beside 15m] [--faults 4:403@50000,5:layout@60000]

A live world of the shared data changes on a simulated clock. Newsmill gets the homepages only; its crawler, workers and scheduler are the
real processes on a real Redis and SQLite, with the world's clock (simulated.py). `--beside` follows the same world a second time, with
another data folder and User-Agent, at a fixed interval. Requests and articles of the warm-up are left out: they are the import.

Politeness stays in real seconds, as the world counts it. A delay of 1 s between two requests to a site is therefore `speed` simulated
seconds; `--delay` changes it. A real hour is `speed` simulated hours: 24 hours take 48 minutes at speed 30 and 24 at speed 60, and the
warm-up comes on top. The lag of the pipeline is printed in real seconds: at the speed chosen it should be far below the freshness.
"""

from __future__ import annotations

import argparse
import importlib
import json
import math
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from types import ModuleType
from typing import Any
from urllib.parse import urlsplit

import simulated
import world as worlds
from follow_figures import Observation
from follow_report import HealthChange, Machine, describe, measure
from measure import TICK, cpu_by_kind
from simulated import VARIABLE, SimulatedClock
from sqlalchemy import select

from newsmill import context
from newsmill.cli.processes.supervisor import Child, Supervisor
from newsmill.cli.sources.state import to_health_record
from newsmill.polling.revisits import find_age_start
from newsmill.settings import Settings
from newsmill.storage import database
from newsmill.storage.schema import documents
from newsmill.storage.source_health import SourceHealthReader

FAST = "fast"
DEFAULT_NOW = "2026-11-02T06:00:00+00:00"


def main() -> int:
    options = arguments()
    reports = []
    for seed in map(int, options.seeds.split(",")):
        reports += run(options, seed)
        if options.json:
            options.json.write_text(json.dumps(reports, indent=1, default=str))
    return 0


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", default="1", help="worlds, one after the other (default: %(default)s)")
    parser.add_argument("--hours", type=float, default=24.0, help="simulated hours that are measured")
    parser.add_argument("--warm-up-hours", type=float, default=2.0, help="simulated hours before that, for the import")
    parser.add_argument(
        "--settle-minutes", type=float, default=30.0, help="simulated minutes after that, in which late articles still count"
    )
    parser.add_argument("--speed", type=float, default=30.0, help="simulated seconds per second")
    parser.add_argument("--sites", type=int, default=8)
    parser.add_argument("--pages", type=int, default=40, help="articles of each site before the start")
    parser.add_argument("--per-day", type=float, default=60, help="new articles of each site and day")
    parser.add_argument("--faults", default="", help="site:fault@seconds, separated by commas; see serve.py")
    parser.add_argument("--now", default=DEFAULT_NOW, help="the world's start (default: %(default)s)")
    parser.add_argument("--delay", type=float, help="real seconds between two requests to a site (default: that of Newsmill)")
    parser.add_argument("--every", help="fixed interval of the sources (default: that of `newsmill add`)")
    parser.add_argument("--beside", metavar="INTERVAL", help="also follow the same world at this fixed interval, such as 15m")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--web", action="store_true", help="also run the web process, which receives WebSub")
    parser.add_argument("--revisits", default="1h,6h,1d,7d", help="schedule by which edits should be found (default: %(default)s)")
    parser.add_argument("--port", type=int, default=8391)
    parser.add_argument("--json", type=Path, help="also write all figures into this file")
    parser.add_argument("--keep", type=Path, help="an empty folder with a short name that keeps truth, log, stores and logs")
    return parser.parse_args()


def run(options: argparse.Namespace, seed: int) -> list[dict[str, Any]]:
    """Follow one world and print a table for each follower."""
    hours = options.warm_up_hours + options.hours + options.settle_minutes / 60
    values = {"sites": options.sites, "pages": options.pages, "per-day": options.per_day, "seed": seed, "speed": options.speed}
    values |= {"days": math.ceil(hours / 24), "now": options.now, "faults": options.faults}
    score = load_scorer()
    with ExitStack() as stack:
        folder = stack.enter_context(open_folder(options.keep, seed))
        world = stack.enter_context(
            worlds.serve_live(folder / "world", options.port, [f"--{name}={value}" for name, value in values.items() if value != ""])
        )
        clock = read_world_clock(world)
        simulated.install(clock)
        followers = [stack.enter_context(Follower(FAST, folder / "a", clock, options)).start(world, options.every)]
        if options.beside:
            followers.append(stack.enter_context(Follower("fixed", folder / "b", clock, options)).start(world, options.beside))
        machine = watch(followers, clock, clock.start + timedelta(hours=hours), options)
        drift = abs((read_world_clock(world)() - clock()).total_seconds())
        rows, future, log = finish(followers, world)
        if options.keep:
            for name, lines in (("truth", future), ("log", log)):
                (folder / f"{name}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
        reports = []
        for follower in followers:
            report = measure(follower, rows, future, log, score, clock, machine, options)
            report |= {"seed": seed, "clock drift, simulated s": round(drift, 1)}
            print(describe(report), flush=True)
            reports.append(report)
        return reports


def watch(followers: Sequence[Follower], clock: SimulatedClock, until: datetime, options: argparse.Namespace) -> Machine:
    """Read the stores every second, and the health of the sources every few simulated minutes, until the simulated time `until`."""
    machine, reported = Machine(), time.monotonic()
    while clock() < until:
        time.sleep(1.0)
        for follower in followers:
            follower.observe()
        machine.sample()
        if time.monotonic() - reported > 60:
            reported = time.monotonic()
            counts = ", ".join(f"{follower.name} {follower.reader.count} documents" for follower in followers)
            print(f"{clock():%a %H:%M} of {until:%a %H:%M}, {counts}, load {os.getloadavg()[0]:.1f}", file=sys.stderr, flush=True)
    return machine


def finish(followers: Sequence[Follower], world: worlds.LiveWorld) -> tuple[list[Any], list[Any], list[Any]]:
    """Stop the followers; the truth so far, the truth with the future, and the log.

    The followers stop first: a truth that is older than the store lacks articles that the store has.
    """
    for follower in followers:
        follower.stop()
    return world.ask("truth.jsonl"), world.ask("truth.jsonl?all=1"), world.ask("log")


def read_world_clock(world: worlds.LiveWorld) -> SimulatedClock:
    facts: Any = world.ask("clock")[0]
    now, start = datetime.fromisoformat(facts["now"]), datetime.fromisoformat(facts["start"])
    elapsed = (now - start).total_seconds()
    return SimulatedClock(start, facts["real"] - elapsed / facts["speed"], facts["speed"])


def load_scorer() -> tuple[ModuleType, ModuleType]:
    """The modules score_world and score_live of the shared data."""
    sys.path.append(str(worlds.shared() / "site"))
    return importlib.import_module("score_world"), importlib.import_module("score_live")


@contextmanager
def open_folder(keep: Path | None, seed: int) -> Iterator[Path]:
    """A folder with a short name, because the socket of Redis lies in it."""
    if keep is not None:
        folder = (keep / str(seed)).absolute()
        folder.mkdir(parents=True)
        yield folder
        return
    with tempfile.TemporaryDirectory(prefix="nm-", dir="/tmp") as name:
        yield Path(name)


HERE = Path(__file__).resolve().parent
PROGRAM = (sys.executable, str(HERE / "simulated.py"))
HEALTH_INTERVAL = timedelta(minutes=10)  # simulated, between two looks at the health of the sources

_CHANGED = select(
    documents.c.id,
    documents.c.url,
    documents.c.requested_url,
    documents.c.canonical_url,
    *(documents.c[name] for name in ("stored_at", "first_seen_at", "fetched_at", "published_at", "published_precision", "gone_at")),
    documents.c.revision,
    documents.c.title,
    documents.c.text,
).order_by(documents.c.stored_at)


class StoreReader:
    """Reads what was stored since the last time. A document that changes twice in between is seen once."""

    def __init__(self, url: str) -> None:
        self._engine = database.connect(url)
        self.observations: list[Observation] = []
        self._documents: set[str] = set()

    @property
    def count(self) -> int:
        return len(self._documents)

    def read(self) -> None:
        last = self.observations[-1].stored_at if self.observations else datetime.fromtimestamp(0).astimezone()
        with database.reading(self._engine) as conn:
            rows = conn.execute(_CHANGED.where(documents.c.stored_at > last)).all()
        for row in rows:
            urls = tuple(url for url in (row.url, row.requested_url, row.canonical_url) if url)
            self._documents.add(row.id)
            seen = Observation(row.id, urls, row.stored_at, row.fetched_at, row.revision, row.title or "", row.text)
            start = find_age_start(row.first_seen_at, row.published_at, row.published_precision)
            self.observations.append(replace(seen, revisits_from=start, gone_at=row.gone_at))

    def close(self) -> None:
        self._engine.dispose()


class Follower:
    """An installation in its own data folder; a context manager that ends its processes."""

    def __init__(self, name: str, data: Path, clock: SimulatedClock, options: argparse.Namespace) -> None:
        self.name, self.data, self.clock, self.options = name, data, clock, options
        self.agent = f"follow-{name}/1.0 (+https://example.org/bot)"
        self.health: list[HealthChange] = []
        self.cpu_seconds: dict[str, float] = {}
        self._health_at = clock.start
        self._states: dict[str, str] = {}
        self._supervisor: Supervisor | None = None

    def __enter__(self) -> Follower:
        config = self.data / "config"
        config.mkdir(parents=True)
        self.settings = Settings(NEWSMILL_DATA=self.data, NEWSMILL_ALLOW_NETS="127.0.0.0/8", NEWSMILL_USER_AGENT=self.agent)
        self.environ = {name: value for name, value in os.environ.items() if not name.startswith("NEWSMILL_") and not name.endswith("_URL")}
        self.environ |= {"NEWSMILL_DATA": str(self.data), "NEWSMILL_CONFIG": str(config), "NEWSMILL_ALLOW_NETS": "127.0.0.0/8"}
        self.environ |= {"NEWSMILL_USER_AGENT": self.agent, VARIABLE: self.clock.to_variable(), "PYTHONPATH": str(HERE.parent)}
        if self.options.web:
            url = f"http://127.0.0.1:{self.web_port}"
            self.environ |= {"NEWSMILL_WEB": f"127.0.0.1:{self.web_port}", "NEWSMILL_WEB_URL": url, "NEWSMILL_PUBLIC_URL": url}
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def web_port(self) -> int:
        return self.options.port + 1 + (self.name != "fast")

    def start(self, world: worlds.LiveWorld, every: str | None) -> Follower:
        """Add the homepages, and start the processes."""
        for homepage in world.homepages.values():
            self.run_command(
                "add",
                homepage,
                *(("--every", every) if every else ()),
                *(("--delay", str(self.options.delay)) if self.options.delay else ()),
            )
        self.reader = StoreReader(context.database_url(self.settings))
        self._sites = {urlsplit(url).netloc: site for site, url in world.homepages.items()}
        children = [Child("scheduler", ("scheduler",)), Child("crawler", ("crawler",))]
        children += [Child(f"worker-{number}", ("worker",)) for number in range(1, self.options.workers + 1)]
        children += [Child("web", ("web",))] if self.options.web else []
        self._supervisor = Supervisor(children, environ=self.environ, logs=self.data / "logs", report=self.report, program=PROGRAM)
        self._supervisor.__enter__()
        return self

    def run_command(self, *words: str) -> str:
        """Run a command of Newsmill on the simulated clock; returns its output. Exit with its message if it fails."""
        yes = ("--yes",) if words[0] == "add" else ()
        done = subprocess.run([*PROGRAM, *words, *yes], env=self.environ, capture_output=True, text=True, cwd=self.data)
        if done.returncode:
            sys.exit(f"newsmill {' '.join(words)}: {done.stderr.strip()[-600:]}")
        return done.stdout

    def report(self, text: str) -> None:
        print(f"{self.name}: {text}", file=sys.stderr, flush=True)

    def observe(self) -> None:
        """Keep the processes running, read the store, and read the health when it is time."""
        assert self._supervisor is not None
        self._supervisor.watch()
        self.reader.read()
        if self.clock() >= self._health_at:
            self._health_at = self.clock() + HEALTH_INTERVAL
            self._read_health()

    def _read_health(self) -> None:
        with context.open_context(self.settings, upgrade=False) as app:
            sources = app.ledger.sources.list_all()
            found = SourceHealthReader(app.engine).read_all(sources, now=self.clock())
        for source in sources:
            health = to_health_record(found[source.name])
            state = str(health["state"])
            if self._states.get(source.name) != state:
                self._states[source.name] = state
                site = self._sites.get(urlsplit(source.homepage or "").netloc, source.name)
                self.health.append(HealthChange(self.clock(), site, state, health))

    def stop(self) -> None:
        """End the processes; their CPU time is kept."""
        if self._supervisor is None:
            return
        for child in self._supervisor.children:
            if child.process is not None:
                self.cpu_seconds[child.name] = round(sum(cpu_by_kind(child.process.pid).values()) + own_cpu(child.process.pid), 1)
        self._supervisor.stop()
        self._supervisor = None
        self.reader.read()
        self.reader.close()


def own_cpu(pid: int) -> float:
    """CPU seconds of a process without its children."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICK


if __name__ == "__main__":
    sys.exit(main())
