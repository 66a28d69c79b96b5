"""`newsmill up`: runs all processes."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from newsmill import context
from newsmill import settings as configuration
from newsmill.cli.processes.services import Processes, load_sources, workers
from newsmill.cli.processes.supervisor import Child
from newsmill.cli.processes.surveillance import keep_running
from newsmill.cli.processes.web import Port, announce, make_web_config, provide_token
from newsmill.cli.terminal import format_count, note, now, program_name
from newsmill.context import AppContext
from newsmill.exceptions import NewsmillError
from newsmill.settings import Settings
from newsmill.sources.config_file import read_scrapy_table
from newsmill.storage.moved_file import OpenFile
from newsmill.storage.private_files import DATABASE

SECONDS_PER_REPORT = 60.0  # between two lines about new documents
MAX_NAMES_SHOWN = 8  # of sources
UP_LOCK = "up.lock"  # in the folder of the logs: holds the id of the process


def up(processes: Processes = None, port: Port = None) -> None:
    """Run everything in this terminal: crawler, workers, scheduler and web. A process that ends is restarted; Ctrl-C stops all.

    Follows the sources of config/sources.toml, and sources that `newsmill add` added, until you stop it.
    """
    settings = configuration.load()
    check_scrapy_settings(settings)
    count = processes or settings.worker_processes
    logs, disk = context.logs_folder(settings), context.Disk(context.data_folder(settings))
    with context.open_context(settings, create=True) as store, only_one_up(logs):
        # While a folder is deleted, its files go first, and a child that misses its database ends.
        folder = context.data_folder(settings)
        opened = [OpenFile(folder), *([OpenFile(folder / DATABASE)] if settings.database_url is None else [])]
        disk.check()
        load_sources(store, settings)
        sources = store.ledger.sources.list_all()
        names = [source.name for source in sources if source.enabled]
        shown = ", ".join(names[:MAX_NAMES_SHOWN]) + (" …" if len(names) > MAX_NAMES_SHOWN else "")
        note(f"following {format_count(len(names), 'source')}{f': {shown}' if names else describe_missing(len(sources))}")
        with context.open_redis(settings) as redis:
            web = make_web_child(store, settings, port)
            processes_text = f"crawler, scheduler{', web' if web else ''} and {format_count(count, 'worker')}"
            note(f"running {processes_text}; logs in {logs}/; stop with Ctrl-C")
            reporter = DocumentReporter(store)
            keep_running([*make_children(count), *web], logs, [*(one.check for one in opened), redis.ensure, disk.check, reporter.report])
    note(f"stopped; `{program_name()} up` resumes, `{program_name()} status` shows the results")


def describe_missing(paused: int) -> str:
    """What to do when no source is followed."""
    if paused:
        return f"; {paused:,} paused, `{program_name()} sources list` shows {'it' if paused == 1 else 'them'}"
    return f"; add one: {program_name()} add URL"


@contextmanager
def only_one_up(logs: Path) -> Iterator[None]:
    """Hold the lock of the data folder's `newsmill up`; it ends with the process. Raises NewsmillError if another process holds it."""
    with ExitStack() as exit_stack:
        try:
            logs.mkdir(mode=0o700, parents=True, exist_ok=True)
            lock = exit_stack.enter_context((logs / UP_LOCK).open("a+"))
        except OSError as error:
            raise NewsmillError(
                f"the data folder {logs.parent} cannot be used ({error.strerror}); set NEWSMILL_DATA to another folder"
            ) from None
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            process = f" (process {number})" if (number := lock.read(20).strip()) else ""
            raise NewsmillError(
                f"`newsmill up` runs on {logs.parent} already{process}; stop it first, or set NEWSMILL_DATA to another folder"
            ) from None
        lock.truncate(0)
        lock.write(f"{os.getpid()}\n")
        lock.flush()
        yield


def check_scrapy_settings(settings: Settings) -> None:
    """Raises ConfigError for a Scrapy setting of the user that the crawler would refuse at its start."""
    has_table = settings.sources_file is not None and bool(read_scrapy_table(settings.sources_file))
    if has_table or settings.scrapy_settings is not None:
        # Scrapy costs 0.5 s of CPU, which a start without such settings need not spend
        from crawler.user_settings.merge import load_user_settings

        load_user_settings(settings)


def make_children(processes: int) -> list[Child]:
    """One scheduler, one crawler and `processes` workers."""
    return [Child("scheduler", ("scheduler",)), Child("crawler", ("crawler",)), *workers(processes)]


def make_web_child(store: AppContext, settings: Settings, port: int | None) -> list[Child]:
    """The process that serves pages and API, whose URL is printed. Empty if NEWSMILL_WEB is "off" or the server cannot start."""
    if settings.web_listen is None and port is None:
        return []
    from newsmill.web import serve  # FastAPI costs 0.9 s of CPU, which crawlers and workers need not spend

    try:
        config = make_web_config(settings, None, port, provide_token(store))
        with serve.listen(config) as listener:  # a test of the port; the child opens it again
            port = listener.getsockname()[1]
    except NewsmillError as error:
        note(f"web pages and API are not available: {error}")
        return []
    announce(store, config, port)
    return [Child("web", ("web", "--port", str(port)))]


class DocumentReporter:
    """Prints the number of new documents once a minute."""

    def __init__(self, store: AppContext) -> None:
        self._store = store
        self._reported = store.documents.count()
        self._next_at = time.monotonic() + SECONDS_PER_REPORT

    def report(self) -> None:
        """Print one line if a minute has passed and the number changed. Raises ServiceError if the database is unreachable."""
        if time.monotonic() < self._next_at:
            return
        self._next_at = time.monotonic() + SECONDS_PER_REPORT
        count = self._store.documents.count()
        if count != self._reported:
            pending = format_count(self._store.ledger.progress.count().pending, "URL")
            new = count - self._reported  # negative: a source was removed
            change = f"{new:,} new" if new > 0 else f"{-new:,} removed"
            note(f"{now():%H:%M} UTC  {change}, {format_count(count, 'document')} in total; {pending} pending")
            self._reported = count
