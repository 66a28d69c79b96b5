"""The first steps of every long-running process: settings, signals of the supervisor, and the log.

The log has one line per event on standard error: `2026-11-25T13:52:21.401Z INFO crawler.host_worker …`.
"""

from __future__ import annotations

import logging
import time
from typing import Annotated

import typer

from newsmill import settings as configuration
from newsmill.cli.supervisor import stop_with_parent
from newsmill.cli.terminal import printable
from newsmill.redaction import redact
from newsmill.sandbox.child import restrict_proc_access
from newsmill.settings import Settings

OURS = ("newsmill", "crawler", "workers")
Supervised = Annotated[bool, typer.Option("--supervised", hidden=True)]


def prepare(supervised: bool) -> Settings:
    """Read the settings, hide them from children that read hostile bytes, and send the log to standard error.

    A supervised process also ends with its parent. Raises ConfigError for a bad setting.
    """
    settings = configuration.load()
    restrict_proc_access()
    configure(settings.log_level)
    if supervised:
        stop_with_parent()
    return settings


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
