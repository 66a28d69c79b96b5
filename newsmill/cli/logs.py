"""How the long-running processes log: one line per event on standard error, `2026-11-25T13:52:21.401Z INFO crawler.host_worker …`."""

from __future__ import annotations

import logging
import time

from newsmill.cli.terminal import printable
from newsmill.redaction import redact

OURS = ("newsmill", "crawler", "workers")


def configure(level: str) -> None:
    """Send everything to standard error in one form, in UTC; ours from `level` on, the libraries' from WARNING on."""
    formatter = Redacting("%(asctime)s.%(msecs)03dZ %(levelname)s %(name)s %(message)s", "%Y-%m-%dT%H:%M:%S")
    formatter.converter = time.gmtime
    handler = logging.StreamHandler()
    handler.setFormatter(formatter)
    handler.addFilter(ours_or_serious)
    logging.basicConfig(handlers=[handler], level=level, force=True)


class Redacting(logging.Formatter):
    """Formats records and hides the passwords of URLs in them, those of tracebacks too. Control characters, which a page may have sent,
    become U+FFFD."""

    def format(self, record: logging.LogRecord) -> str:
        return printable(redact(super().format(record)))


def ours_or_serious(record: logging.LogRecord) -> bool:
    """Whether to print a record. A filter and not the libraries' levels, because Scrapy sets its own back."""
    return record.levelno >= logging.WARNING or record.name.partition(".")[0] in OURS
