"""Output of commands: results on stdout, notes on stderr, JSON for programs, tables for people."""

from __future__ import annotations

import json
import os
import shutil
import sys
import textwrap
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from pydantic_core import to_jsonable_python

if TYPE_CHECKING:
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
    """The table with a line for each row, as rich would write it in 80 times the CPU time; None if a cell needs more than one line."""
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
