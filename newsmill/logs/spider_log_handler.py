"""The logging of a spider's run: records of any library and lines that the spider prints, without passwords, up to a size."""

from __future__ import annotations

import logging
import os
import re
import sys
import time
from io import TextIOWrapper
from logging.handlers import RotatingFileHandler
from pathlib import Path

from newsmill.text.redaction import redact

MAX_LOG_BYTES = 1_000_000  # of one file; a run may write two

CONTROL_CHARACTERS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029]")
MAX_RECORD_CHARACTERS = 20_000


class SpiderLogFormatter(logging.Formatter):
    """Hides passwords in URLs, and replaces control characters, which may come from a page."""

    def __init__(self) -> None:
        self.converter = time.gmtime
        super().__init__("%(asctime)s.%(msecs)03dZ %(levelname)s %(name)s %(message)s", "%Y-%m-%dT%H:%M:%S")

    def format(self, record: logging.LogRecord) -> str:
        return CONTROL_CHARACTERS.sub("\ufffd", redact(super().format(record)[:MAX_RECORD_CHARACTERS]))


class PrivateFileHandler(RotatingFileHandler):
    """Makes files that only their user can read."""

    def _open(self) -> TextIOWrapper:
        descriptor = os.open(self.baseFilename, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        return TextIOWrapper(os.fdopen(descriptor, "ab"), encoding=self.encoding, errors=self.errors, write_through=True)


class PrintedLines:
    """Standard output as a log: `print` in a spider writes records of the logger "print"."""

    encoding = "utf-8"

    def __init__(self) -> None:
        self._log = logging.getLogger("print")
        self._rest = ""

    def write(self, text: str) -> int:
        *lines, self._rest = (self._rest + text)[-MAX_RECORD_CHARACTERS:].split("\n")
        for line in lines:
            self._log.info("%s", line)
        return len(text)

    def flush(self) -> None:
        """Nothing is buffered but the begin of a line."""

    def isatty(self) -> bool:
        return False


def configure_spider_log(path: Path | None, level: str) -> None:
    """Send all records from `level` on to a new file, or to standard error. The file of the last run becomes `….log.1`."""
    handler: logging.Handler
    if path is None:
        handler = logging.StreamHandler()
    else:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        handler = PrivateFileHandler(path, maxBytes=MAX_LOG_BYTES, backupCount=1, encoding="utf-8", errors="backslashreplace")
        if path.stat().st_size:
            handler.doRollover()
    handler.setFormatter(SpiderLogFormatter())
    logging.basicConfig(handlers=[handler], level=level, force=True)
    logging.captureWarnings(True)
    if path is not None:
        sys.stdout = PrintedLines()
