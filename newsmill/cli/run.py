"""`newsmill up`, and the processes it runs: `crawler`, `worker`, `scheduler`. A container runs one of these three."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from newsmill.cli.stack import Store
    from newsmill.cli.supervisor import Child
    from newsmill.settings import Settings

Supervised = Annotated[bool, typer.Option("--supervised", hidden=True)]
Processes = Annotated[int | None, typer.Option("--processes", "-p", min=1, max=256, help="Worker processes; one per core unless said.")]

ROLES = ("crawler", "worker", "scheduler")
PAUSE = 0.5  # seconds between two looks at the children and, with one PING, at our own Redis


def children(processes: int) -> list[Child]:
    """The processes of a whole Newsmill: one crawler, one scheduler and that many workers."""
    from newsmill.cli.supervisor import Child

    return [Child("scheduler", ("scheduler",)), Child("crawler", ("crawler",)), *workers(processes)]


def up(processes: Processes = None) -> None:
    """Run everything in this terminal: crawler, workers and scheduler. Whichever dies is started again; Ctrl-C stops all.

    Follows the sources of config/sources.toml and those added with `newsmill add`, for as long as it runs.
    """
    from newsmill import settings as configuration
    from newsmill.cli import stack
    from newsmill.cli.terminal import note

    settings = configuration.load()
    count = processes or settings.worker_processes
    with stack.open_store(settings, create=True) as store:
        load_sources(store, settings)
        names = [source.name for source in store.ledger.sources() if source.enabled]
    note(
        f"following {len(names)} sources"
        + (": " + ", ".join(names[:8]) + (" …" if len(names) > 8 else "") if names else "; add one: newsmill add URL")
    )
    note(f"running crawler, scheduler and {count} workers; logs in {stack.logs_folder(settings)}/; Ctrl-C stops")
    with stack.open_redis(settings) as redis:
        keep_running(children(count), stack.logs_folder(settings), redis.ensure)
    note("stopped. Nothing is lost: `newsmill up` goes on where it stopped, `newsmill status` shows what came in")


def keep_running(team: list[Child], logs: Path | None, ensure_redis: Callable[[], None]) -> None:
    """Run `team` until Ctrl-C or SIGTERM, with our own Redis beneath it. Their logs go to files in `logs`, or to standard error."""
    from newsmill.cli.interrupt import Interrupt
    from newsmill.cli.supervisor import Supervisor
    from newsmill.cli.terminal import note

    with Interrupt() as interrupt, Supervisor(team, environ=os.environ, logs=logs, say=note) as supervisor:
        while not interrupt.wait(PAUSE):
            supervisor.watch()
            ensure_redis()
        note("stopping; pages in hand are finished first …")


def load_sources(store: Store, settings: Settings) -> None:
    """Put config/sources.toml, where there is one, into the ledger. The file wins over what was paused or changed by hand."""
    from newsmill import settings as configuration
    from newsmill.cli.terminal import now

    if settings.sources_file is None:
        return
    for source in configuration.read_sources(settings.sources_file):
        if source not in store.ledger.sources():
            store.ledger.put_source(source, now=now())


def crawler(supervised: Supervised = False) -> None:
    """Run one crawler: it leases hosts with due addresses and fetches them politely. Run as many as you like."""
    from newsmill.cli import stack

    settings = ready(supervised)
    from crawler.process import CrawlerConfig, run

    with stack.open_redis(settings) as redis:
        config = CrawlerConfig(
            database_url=stack.database_url(settings),
            archive_url=stack.archive_url(settings),
            redis_url=redis.url,
            allow_no_password=settings.open_redis,
            user_agent=settings.agent,
            allow_nets=tuple(map(str, settings.allow_nets)),
            high_water=settings.high_water,
        )
        raise typer.Exit(run(config))


def worker(processes: Processes = 1, supervised: Supervised = False) -> None:
    """Run workers: they read archived pages and store documents."""
    from newsmill.cli import stack

    settings = ready(supervised)
    if (processes or 1) > 1:
        return keep_running(workers(processes or 1), None, lambda: None)
    from workers.worker import WorkerConfig, run

    config = WorkerConfig(
        database_url=stack.database_url(settings),
        archive_url=stack.archive_url(settings),
        data=stack.data_folder(settings),
        redis_url=settings.redis_url,
        allow_no_password=settings.open_redis,
    )
    raise typer.Exit(run(config))


def scheduler(supervised: Supervised = False) -> None:
    """Run the scheduler: makes sources come due, and announces again whatever is owed. A second one is harmless.

    Follows the sources of config/sources.toml and those added with `newsmill add`.
    """
    from newsmill.cli import stack

    settings = ready(supervised)
    with stack.open_store(settings, create=True) as store:
        if not supervised:  # `newsmill up` has done it
            load_sources(store, settings)
    from workers.scheduler import SchedulerConfig, run

    config = SchedulerConfig(
        database_url=stack.database_url(settings),
        archive_url=stack.archive_url(settings),
        data=stack.data_folder(settings),
        redis_url=settings.redis_url,
        allow_no_password=settings.open_redis,
    )
    raise typer.Exit(run(config))


def ready(supervised: bool) -> Settings:
    """What every process does first: read the settings, send the log to standard error, end with the parent where there is one."""
    from newsmill import settings as configuration
    from newsmill.cli import logs
    from newsmill.cli.supervisor import stop_with_parent

    settings = configuration.load()
    logs.configure(settings.log_level)
    if supervised:
        stop_with_parent()
    return settings


def workers(count: int) -> list[Child]:
    """That many worker processes."""
    from newsmill.cli.supervisor import Child

    return [Child(f"worker-{number}", ("worker",)) for number in range(1, count + 1)]


def health(role: Annotated[str, typer.Argument(metavar="ROLE", help="crawler, worker or scheduler")]) -> None:
    """Exit 0 when the process of this machine that plays ROLE is alive and at work; container health checks call it.

    Alive means that it got through a round that reached the database in the last minute and a half.
    """
    import socket

    from newsmill import settings as configuration
    from newsmill.cli import stack
    from newsmill.cli.terminal import note, now
    from newsmill.exceptions import ConfigError, NewsmillError
    from newsmill.keep.processes import alive

    if role not in ROLES:
        raise ConfigError(f"expected one of {', '.join(ROLES)}, not {role!r}")
    with stack.open_store(configuration.load()) as store:
        here = [process for process in alive(store.engine, now=now()) if process.role == role and process.machine == socket.gethostname()]
    if not here:
        raise NewsmillError(f"no {role} of this machine has done a round lately")
    note(f"{role} is alive: {', '.join(f'{process.name} at {process.beat_at:%H:%M:%S}' for process in here)}")
