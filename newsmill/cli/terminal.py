"""How commands print: results on stdout, notes on stderr, JSON where a program reads, tables where a person does."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

import typer
from pydantic_core import to_jsonable_python


def now() -> datetime:
    """The one clock of the command; everything below gets the time as a value."""
    return datetime.now(UTC)


def note(text: str) -> None:
    """A line for the person at the terminal; stdout stays clean for what was asked for."""
    typer.echo(text, err=True)


def program() -> str:
    """How this command was called, so that a line we print can be typed: `newsmill`, or its path where PATH does not lead there."""
    found = shutil.which("newsmill")
    called = Path(sys.argv[0])
    if called.name != "newsmill" or (found and Path(found).resolve() == called.resolve()):
        return "newsmill"
    return str(called)


def print_json(value: object, out: IO[str] | None = None) -> None:
    """One JSON line on stdout, or on `out`. Dataclasses of the model become objects with their field names, datetimes ISO 8601."""
    (out or sys.stdout).write(json.dumps(plain(value), ensure_ascii=False) + "\n")


def plain(value: object) -> Any:
    """`value` as JSON types only."""
    return to_jsonable_python(value)


def print_table(columns: Sequence[str], rows: Iterable[Sequence[object]], *, title: str | None = None) -> None:
    """A table on stdout, as wide as the terminal; columns of numbers stand right."""
    # rich costs 0.05 s of CPU, which the health checks of containers need not spend
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    rows = [list(row) for row in rows]
    table = Table(title=title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, pad_edge=False)
    for index, column in enumerate(columns):
        numbers = bool(rows) and all(isinstance(row[index], int | float) for row in rows)
        table.add_column(column, justify="right" if numbers else "left", overflow="fold")
    for row in rows:
        table.add_row(*(Text(_cell(value)) for value in row))  # Text: what a page says is never read as markup
    # What is piped into a file or another program must not be cut to some terminal's width.
    Console(width=None if sys.stdout.isatty() else 240).print(table)


def _cell(value: object) -> str:
    if value is None:
        return "–"
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%d %H:%M}"
    return f"{value:,}" if isinstance(value, int) else printable(str(value))


def printable(text: str) -> str:
    """`text` without control characters: what a page says must not move the cursor or change the terminal's state."""
    return "".join(char if char.isprintable() or char in "\n\t" else "�" for char in text)


def size(count: int) -> str:
    """Bytes for people: 1,536 → "1.5 kB"."""
    value = float(count)
    for unit in ("B", "kB", "MB", "GB"):
        if value < 1000:
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1000
    return f"{value:.1f} TB"
