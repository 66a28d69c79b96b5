"""The log of a spider's last run, in the data folder."""

from __future__ import annotations

from pathlib import Path

from newsmill.context import logs_folder
from newsmill.settings import Settings

MAX_SHOWN_BYTES = 16_000  # of the end of a log, on a page


def spider_log(settings: Settings, source: str) -> Path:
    """The log of the last run of a source's spider on this machine. A source name is safe in a file name (newsmill.sources.table.NAME)."""
    return logs_folder(settings) / "spiders" / f"{source}.log"


def read_log_end(path: Path) -> str | None:
    """The last whole lines of a log; None if there is none."""
    try:
        with path.open("rb") as file:
            size = file.seek(0, 2)
            file.seek(max(0, size - MAX_SHOWN_BYTES))
            text = file.read().decode("utf-8", "replace")
    except OSError:
        return None
    return text if size <= MAX_SHOWN_BYTES else text.partition("\n")[2]
