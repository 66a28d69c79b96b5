"""`newsmill up`: everything in one terminal, kept running."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated

import typer

from newsmill import context
from newsmill import settings as configuration
from newsmill.cli.interrupt import Interrupt
from newsmill.cli.supervisor import Child, Supervisor
from newsmill.cli.terminal import note, now, program
from newsmill.cli.web import sign_in, web_config
from newsmill.context import AppContext
from newsmill.exceptions import NewsmillError
from newsmill.sandbox.child import restrict_proc_access
from newsmill.settings import Settings
from newsmill.storage.tokens import Tokens

Processes = Annotated[int | None, typer.Option("--processes", "-p", min=1, max=256, help="Worker processes; one per core unless said.")]

PAUSE = 0.5  # seconds between two looks at the children and, with one PING, at our own Redis
TELL_EVERY = 60.0  # seconds between two lines of `newsmill up`


def up(processes: Processes = None) -> None:
    """Run everything in this terminal: crawler, workers, scheduler and web. Whichever dies is started again; Ctrl-C stops all.

    Follows the sources of config/sources.toml and those added with `newsmill add`, for as long as it runs.
    """
    settings = configuration.load()
    count = processes or settings.worker_processes
    logs, disk = context.logs_folder(settings), context.Disk(context.data_folder(settings))
    with context.open_context(settings, create=True) as store:
        disk.check()
        load_sources(store, settings)
        names = [source.name for source in store.ledger.sources() if source.enabled]
        listed = f": {', '.join(names[:8])}{' …' if len(names) > 8 else ''}" if names else f"; add one: {program()} add URL"
        note(f"following {len(names)} sources{listed}")
        with context.open_redis(settings) as redis:
            web = web_child(store, settings)
            note(f"running crawler, scheduler{', web' if web else ''} and {count} workers; logs in {logs}/; Ctrl-C stops")
            pulse = Pulse(store)
            keep_running([*children(count), *web], logs, [redis.ensure, disk.check, pulse.beat])
    note(f"stopped. Nothing is lost: `{program()} up` goes on where it stopped, `{program()} status` shows what came in")


def children(processes: int) -> list[Child]:
    """The processes of a whole Newsmill: one crawler, one scheduler and that many workers."""
    return [Child("scheduler", ("scheduler",)), Child("crawler", ("crawler",)), *workers(processes)]


def web_child(store: AppContext, settings: Settings) -> list[Child]:
    """The process that serves pages and API, with a line that says where; none where that is off or cannot be."""
    if settings.web_place is None:
        return []
    from newsmill.web import serve  # FastAPI costs 0.9 s of CPU, which crawlers and workers need not spend

    config = web_config(settings)
    try:
        tokens = Tokens(store.engine)
        tokens.set_environment_token(settings.web_token, now=now())
        serve.require_token(tokens, config, now())
        with serve.listen(config) as door:  # tried here, and given up for the child
            port = door.getsockname()[1]
    except NewsmillError as error:
        note(f"no pages and no API: {error}")
        return []
    note(sign_in(store, config, port))
    return [Child("web", ("web", "--port", str(port)))]


def workers(count: int) -> list[Child]:
    """That many worker processes."""
    return [Child(f"worker-{number}", ("worker",)) for number in range(1, count + 1)]


def keep_running(team: list[Child], logs: Path | None, rounds: Sequence[Callable[[], None]] = ()) -> None:
    """Run `team` until Ctrl-C or SIGTERM; their logs go to files in `logs`, or to standard error.

    `rounds` are called again and again. Trouble with one of them (a full disk, a database that is away) is said once and does not end us.
    """
    restrict_proc_access()
    trouble = None
    with Interrupt() as interrupt, Supervisor(team, environ=os.environ, logs=logs, say=note) as supervisor:
        while not interrupt.wait(PAUSE):
            supervisor.watch()
            before, trouble = trouble, trouble_with(rounds)
            if trouble != before:
                note(trouble or "everything answers again")
        note("stopping; pages in hand are finished first …")


def trouble_with(rounds: Sequence[Callable[[], None]]) -> str | None:
    """Call each; the sentence of the first that could not be done."""
    try:
        for call in rounds:
            call()
    except NewsmillError as error:
        return str(error)
    return None


class Pulse:
    """Says every minute what came in, if anything did."""

    def __init__(self, store: AppContext) -> None:
        self._store = store
        self._told = store.documents.count()
        self._next = time.monotonic() + TELL_EVERY

    def beat(self) -> None:
        """One line when it is time and there is news. Raises ServiceError when the database is away."""
        if time.monotonic() < self._next:
            return
        self._next = time.monotonic() + TELL_EVERY
        stored = self._store.documents.count()
        if stored != self._told:
            owed = self._store.ledger.progress().pending
            note(f"{now():%H:%M} UTC  {stored - self._told:+,} documents, {stored:,} in all; {owed:,} addresses owed")
            self._told = stored


def load_sources(store: AppContext, settings: Settings) -> None:
    """Put config/sources.toml, where there is one, into the ledger. The file wins over what was paused or changed by hand."""
    if settings.sources_file is None:
        return
    for source in configuration.read_sources(settings.sources_file):
        if source not in store.ledger.sources():
            store.ledger.put_source(source, now=now())
