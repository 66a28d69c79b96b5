"""One installation of Newsmill that follows a live world on its clock, and what a reader of its store sees meanwhile."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import measure
import world as worlds
from follow_figures import Observation
from simulated import VARIABLE, SimulatedClock
from sqlalchemy import select

from newsmill import context
from newsmill.cli.sources import to_health_record
from newsmill.cli.supervisor import Child, Supervisor
from newsmill.discovery.schedule import find_age_start
from newsmill.settings import Settings
from newsmill.sources.table import parse_duration
from newsmill.storage import database
from newsmill.storage.schema import documents
from newsmill.storage.source_health import SourceHealthReader

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


def parse_span(text: str) -> timedelta:
    return parse_duration(text)


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


@dataclass(frozen=True, slots=True)
class HealthChange:
    """What the health of a source was from this simulated time on."""

    at: datetime
    site: str
    state: str
    record: Mapping[str, Any]


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
        yes = ("--yes",) if words[0] == "add" and "--yes" in self._help_of_add() else ()
        yes = yes or (("--no-check",) if words[0] == "add" and "--no-check" in self._help_of_add() else ())
        done = subprocess.run([*PROGRAM, *words, *yes], env=self.environ, capture_output=True, text=True, cwd=self.data)
        if done.returncode:
            sys.exit(f"newsmill {' '.join(words)}: {done.stderr.strip()[-600:]}")
        return done.stdout

    def _help_of_add(self) -> str:
        if not hasattr(self, "_help"):
            self._help = subprocess.run([*PROGRAM, "add", "--help"], env=self.environ, capture_output=True, text=True).stdout
        return self._help

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
            sources = app.ledger.sources()
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
                self.cpu_seconds[child.name] = round(sum(measure.cpu_by_kind(child.process.pid).values()) + own_cpu(child.process.pid), 1)
        self._supervisor.stop()
        self._supervisor = None
        self.reader.read()
        self.reader.close()


def own_cpu(pid: int) -> float:
    """CPU seconds of a process without its children."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / measure.TICK
