"""The processes: `crawler`, `worker`, `scheduler`, and the `health` that a container asks for. `newsmill up` starts all three."""

from __future__ import annotations

import socket
from typing import Annotated

import typer

from newsmill import context
from newsmill import settings as configuration
from newsmill.cli import up
from newsmill.cli.process_setup import Supervised, prepare
from newsmill.cli.terminal import note, now
from newsmill.cli.up import keep_running, workers
from newsmill.exceptions import ConfigError, NewsmillError
from newsmill.storage.processes import list_live_processes

Processes = Annotated[int, typer.Option("--processes", "-p", min=1, max=256, help="How many.")]

ROLES = ("crawler", "worker", "scheduler", "web")


def crawler(supervised: Supervised = False) -> None:
    """Run one crawler: it leases hosts with due addresses and fetches them politely. Run as many as you like."""
    settings = prepare(supervised)
    # Scrapy costs 0.5 s of CPU and 40 MB, which the other commands of this module need not spend
    from crawler.process import CrawlerConfig, run

    with context.open_redis(settings) as redis:
        config = CrawlerConfig(
            database_url=context.database_url(settings),
            archive_url=context.archive_url(settings),
            redis_url=redis.url,
            allow_no_password=settings.open_redis,
            user_agent=settings.agent,
            allow_nets=tuple(map(str, settings.allow_nets)),
            high_water=settings.high_water,
            spool=context.data_folder(settings) / "spool",
        )
        raise typer.Exit(run(config))


def worker(processes: Processes = 1, supervised: Supervised = False) -> None:
    """Run workers: they read archived pages and store documents."""
    settings = prepare(supervised)
    if processes > 1:
        return keep_running(workers(processes), None)
    # with the block model and RQ, 0.4 s of CPU that the other commands of this module need not spend
    from workers.worker import WorkerConfig, run

    config = WorkerConfig(
        database_url=context.database_url(settings),
        archive_url=context.archive_url(settings),
        data=context.data_folder(settings),
        redis_url=settings.redis_url,
        allow_no_password=settings.open_redis,
    )
    raise typer.Exit(run(config))


def scheduler(supervised: Supervised = False) -> None:
    """Run the scheduler: makes sources come due, and announces again whatever is owed. A second one is harmless.

    Follows the sources of config/sources.toml and those added with `newsmill add`.
    """
    settings = prepare(supervised)
    with context.open_context(settings, create=True) as store:
        if not supervised:  # `newsmill up` has done it
            up.load_sources(store, settings)
    # as for the worker
    from workers.scheduler import SchedulerConfig, run

    config = SchedulerConfig(
        database_url=context.database_url(settings),
        archive_url=context.archive_url(settings),
        data=context.data_folder(settings),
        redis_url=settings.redis_url,
        allow_no_password=settings.open_redis,
        learn=settings.learn,
    )
    raise typer.Exit(run(config))


def health(role: Annotated[str, typer.Argument(metavar="ROLE", help="crawler, worker, scheduler or web")]) -> None:
    """Exit 0 when the process of this machine that plays ROLE is alive and at work; container health checks call it.

    Alive means that it got through a round that reached the database in the last minute and a half.
    """
    if role not in ROLES:
        raise ConfigError(f"expected one of {', '.join(ROLES)}, not {role!r}")
    with context.open_context(configuration.load()) as store:
        here = [
            process
            for process in list_live_processes(store.engine, now=now())
            if process.role == role and process.machine == socket.gethostname()
        ]
    if not here:
        raise NewsmillError(f"no {role} of this machine has done a round lately")
    note(f"{role} is alive: {', '.join(f'{process.name} at {process.beat_at:%H:%M:%S}' for process in here)}")
