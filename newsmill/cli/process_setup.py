"""The first steps of every long-running process: settings, supervision and the log.

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

PACKAGES = ("newsmill", "crawler", "workers")
Supervised = Annotated[bool, typer.Option("--supervised", hidden=True)]


def prepare(supervised: bool) -> Settings:
    """Read the settings, hide them from sandboxed children, and send the log to standard error.

    A supervised process also stops with its parent. Raises ConfigError for an invalid setting.
    """
    settings = configuration.load()
    restrict_proc_access()
    configure_logging(settings.log_level)
    if supervised:
        stop_with_parent()
    return settings


def configure_logging(level: str) -> None:
    """Send the log to standard error, in UTC: Newsmill's records from `level` on, those of libraries from WARNING on."""
    formatter = RedactingFormatter("%(asctime)s.%(msecs)03dZ %(levelname)s %(name)s %(message)s", "%Y-%m-%dT%H:%M:%S")
    formatter.converter = time.gmtime
    handler = logging.StreamHandler()
    handler.setFormatter(formatter)
    handler.addFilter(should_log)
    logging.basicConfig(handlers=[handler], level=level, force=True)


class RedactingFormatter(logging.Formatter):
    """Hides passwords in URLs, also in tracebacks, and replaces control characters, which may come from a page."""

    def format(self, record: logging.LogRecord) -> str:
        return printable(redact(super().format(record)))


def should_log(record: logging.LogRecord) -> bool:
    """Whether to log a record. This is a filter because Scrapy resets the levels of loggers."""
    return record.levelno >= logging.WARNING or record.name.partition(".")[0] in PACKAGES
