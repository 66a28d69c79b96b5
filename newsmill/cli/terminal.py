"""The terminal: results on stdout, notes on stderr, JSON for programs, tables for people; progress; Ctrl-C as a flag; and completion."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType, TracebackType
from typing import TYPE_CHECKING, Annotated, Any

import typer
from pydantic_core import to_jsonable_python

from newsmill.exceptions import NewsmillError

if TYPE_CHECKING:
    from rich.progress import Progress

    from newsmill.context import AppContext


Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
FILE_WIDTH = 240  # of a table that no terminal shows
MIN_CELL_WIDTH = 16  # of a table; narrower cells break words


def now() -> datetime:
    """The clock of the commands: aware, UTC."""
    return datetime.now(UTC)


def note(text: str) -> None:
    """Print a line for the user on stderr, so that stdout holds only the result."""
    typer.echo(text, err=True)


def program_name() -> str:
    """The name to call this program by: `newsmill`, or its path if it is neither the one on PATH nor that of the active environment."""
    called, active = Path(sys.argv[0]), os.environ.get("VIRTUAL_ENV")
    known = (shutil.which("newsmill"), active and f"{active}/bin/newsmill")
    if called.name != "newsmill" or any(path and Path(path).resolve() == called.resolve() for path in known):
        return "newsmill"
    return str(called)


def note_next_step(store: AppContext, role: str, purpose: str) -> None:
    """Name the command that starts the processes, unless one with this role runs."""
    if not store.is_running(role):
        note(f"run `{program_name()} up` to {purpose}")


def print_json(value: object) -> None:
    """Print one JSON line on stdout. Dataclasses become objects with their field names, datetimes ISO 8601."""
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    sys.stdout.write(json.dumps(to_json(value), ensure_ascii=encoding.lower() != "utf-8", allow_nan=False) + "\n")


def to_json(value: object) -> Any:
    """`value` in JSON types only."""
    return to_jsonable_python(value)


def print_table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print a table on stdout, as wide as the terminal. Columns of numbers are aligned to the right.

    Where the terminal is too narrow for the columns, each row is a block of lines `column: value`.
    """
    rows = [list(row) for row in rows]
    # A file or another program must not get lines cut to the width of a terminal.
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else FILE_WIDTH
    if sys.stdout.isatty() and width < needed_width(columns, rows):
        typer.echo(format_blocks(columns, rows, width))
        return
    are_numbers = [bool(rows) and all(isinstance(row[index], int | float) for row in rows) for index in range(len(columns))]
    cells = [[_format_cell(value) for value in row] for row in rows]
    sys.stdout.write(format_lines(columns, cells, are_numbers, width) or _wrap_table(columns, cells, are_numbers, width))


def format_lines(columns: Sequence[str], cells: Sequence[Sequence[str]], are_numbers: Sequence[bool], width: int) -> str | None:
    """The table with a line for each row, as rich would write it; None if a cell needs more than one line.

    rich takes 0.8 ms of CPU for a row of `newsmill status`, and this 0.01 ms.
    """
    from rich.cells import cell_len  # 0.02 s of CPU, which the health checks of containers need not spend

    lengths = [[cell_len(text) for text in row] for row in (columns, *cells)]
    widths = [max(column) for column in zip(*lengths, strict=True)]
    total = sum(widths) + 3 * (len(widths) - 1) + 2
    if total > width or any(not text.isprintable() for row in cells for text in row):
        return None

    def format_row(texts: Sequence[str], lengths: Sequence[int]) -> str:
        padded = [
            " " * (most - length) + text if is_number else text + " " * (most - length)
            for text, length, most, is_number in zip(texts, lengths, widths, are_numbers, strict=True)
        ]
        return f" {'   '.join(padded)} "

    head, *body = [format_row(texts, row) for texts, row in zip((columns, *cells), lengths, strict=True)]
    return "\n".join([" " * total, head, f" {'─' * (total - 2)} ", *body, " " * total, ""])


def _wrap_table(columns: Sequence[str], cells: Sequence[Sequence[str]], are_numbers: Sequence[bool], width: int) -> str:
    """The table with cells of several lines."""
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for column, is_number in zip(columns, are_numbers, strict=True):
        table.add_column(column, justify="right" if is_number else "left", overflow="fold")
    for row in cells:
        table.add_row(*map(Text, row))  # Text, because a page may contain the markup of rich
    console = Console(width=width)
    with console.capture() as capture:  # rich itself would end the program with 1 when the reader of the output has gone
        console.print(table)
    return capture.get()


def needed_width(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> int:
    """The characters that a table needs, where a cell is wrapped at MIN_CELL_WIDTH at the earliest."""
    cells = [[column, *(_format_cell(row[index]) for row in rows)] for index, column in enumerate(columns)]
    return sum(min(MIN_CELL_WIDTH, max(map(len, texts))) for texts in cells) + 2 * (len(columns) - 1)


def format_blocks(columns: Sequence[str], rows: Sequence[Sequence[object]], width: int) -> str:
    """Each row as a block of lines `column: value` of at most `width` characters, the blocks separated by a blank line."""
    longest = max(map(len, columns))
    blocks = [
        "\n".join(
            textwrap.fill(
                f"{column.ljust(longest)}  {_format_cell(value)}", max(width, longest + 12), subsequent_indent=" " * (longest + 2)
            )
            for column, value in zip(columns, row, strict=True)
        )
        for row in rows
    ]
    return "\n\n".join(blocks)


def _format_cell(value: object) -> str:
    if value is None:
        return "–"
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%d %H:%M}"
    return f"{value:,}" if isinstance(value, int) else printable(str(value))


def printable(text: str) -> str:
    """`text` with U+FFFD for control characters, because text of a page must not control the terminal."""
    return "".join(char if char.isprintable() or char in "\n\t" else "�" for char in text)


def format_size(count: int) -> str:
    """A number of bytes with its unit: 1536 → "1.5 kB"."""
    value = float(count)
    for unit in ("B", "kB", "MB", "GB"):
        if value < 1000:
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1000
    return f"{value:.1f} TB"


def format_count(count: int, noun: str) -> str:
    """A number with its noun: "1 URL", "2,000 URLs"."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


# ---- progress of long commands: a bar on a terminal, otherwise a plain line every few seconds ---

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


# ---- Ctrl-C ------------------------------------------------------------------------------------------------------------------


class Interrupt:
    """A context manager. Inside it the first Ctrl-C or SIGTERM sets `is_set`; the second raises KeyboardInterrupt."""

    def __init__(self) -> None:
        self._event = threading.Event()

    @property
    def is_set(self) -> bool:
        return self._event.is_set()

    def wait(self, seconds: float) -> bool:
        """Sleep for `seconds`. Returns True, at once, if a stop was requested."""
        return self._event.wait(seconds)

    def __enter__(self) -> Interrupt:
        self._previous_handlers = {number: signal.signal(number, self._on_signal) for number in (signal.SIGINT, signal.SIGTERM)}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._previous_handlers.items():
            signal.signal(number, handler)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        if self._event.is_set():
            raise KeyboardInterrupt
        self._event.set()


# ---- what the shell completes besides commands and options ---------------------------------------------------------------------


def complete_from(values: Iterable[str]) -> Callable[[str], list[str]]:
    """A completion of one of `values`."""
    choices = list(values)

    def complete(incomplete: str) -> list[str]:
        return [value for value in choices if value.startswith(incomplete)]

    return complete


def complete_sources(incomplete: str) -> list[str]:
    """The names of sources that begin so; none where the store cannot be read."""
    # SQL costs 0.3 s of CPU, which only this completion needs
    from newsmill import context, settings

    try:
        with context.open_context(settings.load(), upgrade=False) as store:
            return [source.name for source in store.ledger.sources.list_all() if source.name.startswith(incomplete)]
    except NewsmillError:
        return []
