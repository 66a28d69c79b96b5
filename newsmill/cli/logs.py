"""`newsmill logs`: what the processes of `newsmill up` and `newsmill crawl` have logged, in the order of time."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from newsmill import context
from newsmill import settings as configuration
from newsmill.cli.completion import complete_sources
from newsmill.cli.interrupt import Interrupt
from newsmill.cli.terminal import printable
from newsmill.exceptions import NewsmillError

RECORD = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z [A-Z]+ (\S+) ")  # newsmill.cli.processes.process_start.configure_logging
REQUESTS_LOGGER = "newsmill.web.request_guard"  # one line for each request of a browser
SECONDS_PER_LOOK = 0.5


@dataclass
class LogFile:
    """The log of one process, with the place up to which it was read. A line without a time belongs to the record before it."""

    path: Path
    is_wanted: re.Pattern[str]
    offset: int = 0
    time: str = ""
    is_shown: bool = False

    def read_new(self) -> Iterator[tuple[str, str]]:
        """Time and text of each wanted line since the last call; a line that is not complete waits."""
        with self.path.open("rb") as file:
            if self.path.stat().st_size < self.offset:  # its content was moved to *.log.1
                self.offset = 0
            file.seek(self.offset)
            for line in file:
                if not line.endswith(b"\n"):
                    return
                self.offset += len(line)
                text = line.decode("utf-8", "replace").rstrip("\n")
                if record := RECORD.match(text):
                    self.time = text[: text.index(" ")]
                    self.is_shown = record[1] != REQUESTS_LOGGER and self.is_wanted.search(text) is not None
                if self.is_shown:
                    yield self.time, printable(f"{self.path.name.partition('.')[0]} | {text}")


def logs(
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Wait for further lines; stop with Ctrl-C.")] = False,
    source: Annotated[
        str | None, typer.Option("--source", autocompletion=complete_sources, help="Only failures, alarms and recoveries of this source.")
    ] = None,
    lines: Annotated[int, typer.Option("--lines", "-n", min=1, help="Number of lines, the newest ones.")] = 100,
) -> None:
    """Show the logs of all processes of the data folder, with one line for each failure, alarm and recovery.

    Requests to the web server are left out; web.log has them. Processes that you start one by one log to standard error.
    """
    folder = context.logs_folder(configuration.load())
    wanted = re.compile("" if source is None else rf"\bsource {re.escape(source)}(?![\w.:-]*[\w-])")
    read: dict[Path, LogFile] = {}
    older, newer = (read_new_lines(folder, pattern, wanted, files, lines) for pattern, files in (("*.log.1", {}), ("*.log", read)))
    if not read:
        raise NewsmillError(f"{folder} has no logs; `newsmill up` and `newsmill crawl` write there")
    for _, text in sorted(older + newer, key=get_time)[-lines:]:
        typer.echo(text)
    with Interrupt() as interrupt:
        while follow and not interrupt.wait(SECONDS_PER_LOOK):
            for _, text in sorted(read_new_lines(folder, "*.log", wanted, read, lines), key=get_time):
                typer.echo(text)


def get_time(line: tuple[str, str]) -> str:
    """The key to sort lines by: those of one record stay in order."""
    return line[0]


def read_new_lines(folder: Path, pattern: str, wanted: re.Pattern[str], read: dict[Path, LogFile], limit: int) -> list[tuple[str, str]]:
    """The last `limit` new lines of each file, which `read` gets if it is new."""
    found: list[tuple[str, str]] = []
    for path in sorted(folder.glob(pattern)):
        file = read.setdefault(path, LogFile(path, wanted))
        found += deque(file.read_new(), maxlen=limit)
    return found
