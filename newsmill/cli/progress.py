"""Progress of long commands: totals over several sources, and a bar on a terminal, otherwise a plain line every few seconds."""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from types import TracebackType
from typing import TypeVar

import typer
from rich.console import Console
from rich.progress import BarColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as RichProgress

from newsmill.context import AppContext
from newsmill.model import State
from newsmill.storage.ledger import Progress, Waiting

SECONDS_PER_LINE = 5.0  # between two plain lines

Key = TypeVar("Key")


def sum_progress(store: AppContext, sources: Sequence[str]) -> Progress:
    """The progress of several sources together."""
    each = [store.ledger.progress(source) for source in sources]
    return Progress(
        pages=sum(progress.pages for progress in each),
        states=_sum_counts(progress.states for progress in each),
        outcomes=_sum_counts(progress.outcomes for progress in each),
        listings=_sum_counts(progress.listings for progress in each),
    )


def sum_waiting(store: AppContext, sources: Sequence[str], until: datetime) -> Waiting:
    """How many URLs of several sources are due by `until`, and how many only later."""
    each = [store.ledger.waiting(source, until=until) for source in sources]
    times = [waiting.next_at for waiting in each if waiting.next_at is not None]
    return Waiting(sum(waiting.soon for waiting in each), sum(waiting.later for waiting in each), min(times, default=None))


def _sum_counts(counts: Iterable[Mapping[Key, int]]) -> dict[Key, int]:
    total: Counter[Key] = Counter()
    for count in counts:
        total.update(count)
    return dict(total)


def count_finished(progress: Progress) -> int:
    """Pages with an outcome."""
    return sum(progress.outcomes.values())


def count_unfetched(progress: Progress) -> int:
    """Pages that are not fetched yet."""
    return progress.states.get(State.DUE, 0) + progress.states.get(State.FETCHING, 0)


class ProgressBar:
    """One task with a total that may grow and a line of text; a context manager."""

    def __init__(self, label: str) -> None:
        self.label = label
        self._bar: RichProgress | None = None
        self._last = time.monotonic()

    def __enter__(self) -> ProgressBar:
        if sys.stderr.isatty():
            columns = (TextColumn("{task.description}"), BarColumn(bar_width=30), TextColumn("{task.fields[text]}"), TimeElapsedColumn())
            self._bar = RichProgress(*columns, console=Console(stderr=True), transient=True)
            self._bar.start()
            self._task = self._bar.add_task(self.label, total=None, text="")
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._bar is not None:
            self._bar.stop()

    def update(self, done: int, total: int | None, text: str) -> None:
        """Show the progress; may be called at any rate."""
        if self._bar is not None:
            self._bar.update(self._task, completed=done, total=total, text=text)
        elif time.monotonic() - self._last >= SECONDS_PER_LINE:
            self._last = time.monotonic()
            typer.echo(f"{self.label}: {text}", err=True)

    def print_line(self, line: str) -> None:
        """Print a line above the bar."""
        if self._bar is not None:
            self._bar.console.print(line, markup=False, highlight=False)
        else:
            typer.echo(line, err=True)


@contextmanager
def count_progress(label: str, total: int | None) -> Iterator[Callable[[int], None]]:
    """A bar for work that is counted. The function it yields takes the number of items done since the last call."""
    done, started_at = 0, time.monotonic()
    with ProgressBar(label) as bar:

        def advance(more: int) -> None:
            nonlocal done
            done += more
            bar.update(done, total, f"{done:,}{f' of {total:,}' if total else ''}, {format_rate(done, time.monotonic() - started_at)}")

        yield advance


def format_rate(done: int, seconds: float) -> str:
    """Items per second: "12.3/s"."""
    return f"{done / max(seconds, 0.001):.1f}/s"


def format_time_left(left: int, done: int, seconds: float) -> str:
    """The time for `left` items at the rate of `done` in `seconds`: "about 3 min left". Empty if it is unknown."""
    if not done or not left:
        return ""
    return f"about {format_seconds(left * seconds / done)} left"


def format_seconds(seconds: float) -> str:
    """A span in the largest unit of which it has a few: "90 s", "12 min", "30 h", "3 days"."""
    for unit, length, most in (("s", 1, 100), ("min", 60, 100), ("h", 3600, 48)):
        if seconds < length * most:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds / 86400:.0f} days"
