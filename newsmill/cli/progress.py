"""The progress of long commands: a bar on a terminal, otherwise a plain line every few seconds."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from rich.progress import Progress


SECONDS_PER_LINE = 5.0  # between two plain lines


class ProgressBar:
    """One task with a total that may grow and a line of text; a context manager."""

    def __init__(self, label: str) -> None:
        self.label = label
        self._bar: Progress | None = None
        self._last = time.monotonic()

    def __enter__(self) -> ProgressBar:
        if sys.stderr.isatty():
            # rich costs 0.05 s of CPU, which the health checks of containers need not spend
            from rich.console import Console
            from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

            columns = (TextColumn("{task.description}"), BarColumn(bar_width=30), TextColumn("{task.fields[text]}"), TimeElapsedColumn())
            self._bar = Progress(*columns, console=Console(stderr=True), transient=True)
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
