"""The start that every long-running process shares: its log, its signals, its end with its parent.

The log has one line per event on standard error: `2026-11-25T13:52:21.401Z INFO crawler.frontier.host_worker …`.
"""

from __future__ import annotations

import logging
import os
import signal
import threading
import time
from typing import Annotated

import typer

from newsmill import settings as configuration
from newsmill.cli.terminal import printable
from newsmill.exceptions import MovedFileError
from newsmill.sandbox.process_limits import restrict_proc_access
from newsmill.settings import Settings
from newsmill.storage.moved_file import HANDLERS
from newsmill.text.redaction import redact

GRACE_SECONDS = 40.0  # that a child may take to stop: a worker finishes its page, which may take 30 s


def stop_with_parent() -> None:
    """Stop a supervised child when its standard input ends, as with its parent: SIGTERM to itself, and exit after GRACE_SECONDS."""

    def wait() -> None:
        while os.read(0, 1024):
            pass
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(GRACE_SECONDS)
        os._exit(1)

    threading.Thread(target=wait, name="parent", daemon=True).start()


PACKAGES = ("newsmill", "crawler", "workers")
COMPONENTS_LOGGER = "scrapy.middleware"  # names the middlewares and extensions that are enabled
DRIVER_LOGGER = "psycopg"  # its warnings follow an exception, which Newsmill logs or handles
Supervised = Annotated[bool, typer.Option("--supervised", hidden=True)]


def prepare(supervised: bool) -> Settings:
    """Read the settings, hide them from sandboxed children, and start the log. A supervised process stops with its parent."""
    settings = configuration.load()
    restrict_proc_access()
    configure_logging(settings.log_level)
    HANDLERS.append(end_process)
    if supervised:
        stop_with_parent()
    return settings


def end_process(error: MovedFileError) -> None:
    """End a process whose database was moved away, as a kill does, which loses nothing. A supervisor does not start it again."""
    typer.echo(f"newsmill: {printable(redact(str(error)))}", err=True)
    os._exit(2)


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
    """Whether to log a record: a filter, because Scrapy resets the levels of loggers. COMPONENTS_LOGGER is for settings of the user."""
    if record.name == DRIVER_LOGGER and record.levelno < logging.ERROR:
        return False
    return record.levelno >= logging.WARNING or record.name == COMPONENTS_LOGGER or record.name.partition(".")[0] in PACKAGES
