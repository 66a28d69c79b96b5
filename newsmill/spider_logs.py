"""The logs of spiders' runs: one file for each source in the data folder, and the file before it."""

from __future__ import annotations

from pathlib import Path

from newsmill.context import logs_folder
from newsmill.settings import Settings

MAX_LOG_BYTES = 1_000_000  # of one file; a run may write two
MAX_SHOWN_BYTES = 16_000  # of the end of a log, on a page


def spider_log(settings: Settings, source: str) -> Path:
    """The log of the last run of a source's spider on this machine. Names of sources are safe in file names (newsmill.sources.NAME)."""
    return logs_folder(settings) / "spiders" / f"{source}.log"


def read_log_end(path: Path, max_bytes: int = MAX_SHOWN_BYTES) -> str | None:
    """The last whole lines of a log; None if there is none."""
    try:
        with path.open("rb") as file:
            size = file.seek(0, 2)
            file.seek(max(0, size - max_bytes))
            text = file.read().decode("utf-8", "replace")
    except OSError:
        return None
    return text if size <= max_bytes else text.partition("\n")[2]
