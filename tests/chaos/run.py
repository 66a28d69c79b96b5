"""One run: build the world and the installation, inject the faults, wait until nothing is pending, check the result."""

from __future__ import annotations

import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy import func, select

from chaos.installation import Installation, Plan
from chaos.killer import Intent, Killer
from chaos.results import RunResult, back_to_progress, check_run, drained, spread
from chaos.site import World
from newsmill.exceptions import ServiceError
from newsmill.storage.database import reading
from newsmill.storage.schema import documents

POLL_SECONDS = 0.1  # the resolution of "back to progress"
STALLED_SECONDS = 400.0  # without progress, after which a run ends: longer than every lease, pause and retry


@dataclass
class Report:
    """All results of a run."""

    result: RunResult
    strikes: Counter[str]
    missed: int
    waits: list[float]
    seconds: float
    drained: list[str] = field(default_factory=list)  # one line per outage
    good_ones: str = ""  # when the last good page was stored
    starts: Counter[str] = field(default_factory=Counter)  # by role
    running: list[str] = field(default_factory=list)  # roles at the end
    after_retry: RunResult | None = None

    @property
    def good(self) -> bool:
        return self.result.good and (self.after_retry is None or (self.after_retry.good and not self.after_retry.innocent))

    def lines(self) -> list[str]:
        struck = ", ".join(f"{target} {n}" for target, n in sorted(self.strikes.items()))
        lines = [f"{self.strikes.total()} strikes ({struck}); {self.missed} met nobody; {self.seconds:.0f} s"]
        started = ", ".join(f"{role} {n}" for role, n in sorted(self.starts.items()))
        lines.append(f"started: {started}; running at the end: {', '.join(self.running)}")
        lines += self.result.lines()
        lines += [self.good_ones] if self.good_ones else []
        lines.append(f"back to progress: {spread(self.waits)}")
        lines += self.drained
        if self.after_retry is not None:
            lines.append("after `newsmill quarantine retry` of the good ones: " + next(self.after_retry.lines()))
        return lines


def chaos(
    world: World, plan: Plan, intents: Sequence[Intent], *, hold: float, say: Callable[[str], None], keep: Path | None = None
) -> Report:
    """Run it. `keep`: a folder for the logs and tables, which remains after the run."""
    with tempfile.TemporaryDirectory(prefix="nm-chaos-", dir="/tmp", ignore_cleanup_errors=True) as temporary:
        folder = keep or Path(temporary)
        with Installation(folder, world, plan) as installation:
            killer = Killer(installation, intents, hold)
            began = time.monotonic()
            watch = Watch(installation, killer, say)
            watch.until_done()
            report = Report(check_run(installation), Counter(s.target for s in killer.strikes), killer.missed, [], time.monotonic() - began)
            report.waits = back_to_progress(killer.strikes, watch.stored)
            report.drained = drained(killer.strikes, watch.waiting)
            report.good_ones = watch.good_ones
            report.starts = installation.starts()
            report.running = sorted(role for role in report.starts if installation.running(role))
            if report.result.innocent:
                _retry_innocent(installation, world)
                watch.until_done()
                report.after_retry = check_run(installation)
            return report


class Watch:
    """Keeps the installation running and lets the killer strike, until nothing is pending or there is no progress."""

    def __init__(self, installation: Installation, killer: Killer, say: Callable[[str], None]) -> None:
        self.installation, self.killer, self.say = installation, killer, say
        self.stored: list[tuple[float, int]] = [(time.monotonic(), 0)]  # each change, with its time
        self.waiting: list[tuple[float, int]] = []  # segments that wait for a worker, each second
        self.checked_at = self.logged_at = 0.0
        self.ended = 0  # pages with an outcome
        self.good = sum(installation.world.order(number) is None for number in range(installation.world.pages))
        self.good_ones = ""

    def until_done(self) -> None:
        began = moved = time.monotonic()
        while time.monotonic() - moved < STALLED_SECONDS:
            self.installation.tend()
            now, stored, ended = time.monotonic(), self._count(), self.ended
            if stored is not None and stored != self.stored[-1][1]:
                self.stored.append((now, stored))
                moved = now
                if stored >= self.good and not self.good_ones:
                    self.good_ones = (
                        f"all {stored} good pages stored after {now - began:.1f} s and {self.installation.cpu_seconds():.1f} s of CPU"
                    )
                    self.say(self.good_ones)
            if self._is_idle() and not self.killer.busy:
                return
            self.killer.look(self.stored[-1][1])  # behind the check: a server that was struck just now answers once more
            if self.ended != ended:  # a page in quarantine is progress too, though no document
                moved = now
            if now - self.logged_at > 30:
                self.logged_at = now
                self.say(f"{self.stored[-1][1]} of {self.installation.world.pages} stored, {len(self.killer.strikes)} strikes")
            time.sleep(POLL_SECONDS)

    def _count(self) -> int | None:
        with suppress(ServiceError), reading(self.installation.engine) as conn:
            return conn.execute(select(func.count()).select_from(documents)).scalar_one()
        return None

    def _is_idle(self) -> bool:
        """All pages were found, and nothing is pending. Checked once a second."""
        if time.monotonic() - self.checked_at < 1.0:
            return False
        self.checked_at = time.monotonic()
        with suppress(ServiceError):
            segments = self.installation.ledger.segments.list_pending(now=datetime.now(UTC), limit=100_000)
            self.waiting.append((self.checked_at, len(segments)))
            progress = self.installation.ledger.progress.count()
            self.ended = sum(progress.outcomes.values())
            return progress.pages >= self.installation.world.pages and progress.pending == 0
        return False


def _retry_innocent(installation: Installation, world: World) -> None:
    """Retry the good pages that were in progress at three kills, as an operator would."""
    good = [trace.url for trace in installation.ledger.traces.list_quarantined(limit=100_000) if world.order(world.urls[trace.url]) is None]
    installation.ledger.retries.retry(now=datetime.now(UTC), urls=good)
