"""Progress on standard error: a bar where somebody watches, a plain line now and then where nobody does."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import TracebackType

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

LINE_EVERY = 5.0  # seconds between two plain lines


class Bar:
    """One task with a total that may grow and a line of words; a context manager. `update` as often as you like."""

    def __init__(self, what: str) -> None:
        self.what = what
        self._bar: Progress | None = None
        self._last = time.monotonic()

    def __enter__(self) -> Bar:
        if sys.stderr.isatty():
            columns = (TextColumn("{task.description}"), BarColumn(bar_width=30), TextColumn("{task.fields[words]}"), TimeElapsedColumn())
            self._bar = Progress(*columns, console=Console(stderr=True), transient=True)
            self._bar.start()
            self._task = self._bar.add_task(self.what, total=None, words="")
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._bar is not None:
            self._bar.stop()

    def update(self, done: int, total: int | None, words: str) -> None:
        """Show where the work stands."""
        if self._bar is not None:
            self._bar.update(self._task, completed=done, total=total, words=words)
        elif time.monotonic() - self._last >= LINE_EVERY:
            self._last = time.monotonic()
            typer.echo(f"{self.what}: {words}", err=True)

    def say(self, line: str) -> None:
        """A line of its own, above the bar."""
        if self._bar is not None:
            self._bar.console.print(line, markup=False, highlight=False)
        else:
            typer.echo(line, err=True)


@contextmanager
def counting(what: str, total: int | None) -> Iterator[Callable[[int], None]]:
    """A bar for work that is counted one by one: call what is yielded with how many more are done."""
    done, began = 0, time.monotonic()
    with Bar(what) as bar:

        def advance(more: int) -> None:
            nonlocal done
            done += more
            bar.update(done, total, f"{done:,}{f' of {total:,}' if total else ''}, {rate(done, time.monotonic() - began)}")

        yield advance


def rate(done: int, seconds: float) -> str:
    """`12.3/s`"""
    return f"{done / max(seconds, 0.001):.1f}/s"


def eta(left: int, done: int, seconds: float) -> str:
    """How long `left` will take at the pace of `done` in `seconds`: `about 3 min left`; empty where that cannot be said."""
    if not done or not left:
        return ""
    remaining = left * seconds / done
    return f"about {remaining:.0f} s left" if remaining < 100 else f"about {remaining / 60:.0f} min left"
