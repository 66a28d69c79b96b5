"""The processes `crawler`, `worker` and `scheduler`, which `newsmill up` starts together, and `health` for container health checks."""

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
    """Run one crawler: it leases hosts with due URLs and fetches them politely. Several crawlers may run."""
    settings = prepare(supervised)
    # Scrapy costs 0.5 s of CPU and 40 MB, which the other commands of this module need not spend
    from crawler.process import run

    with context.open_context(settings, upgrade=False) as app:
        raise typer.Exit(run(app))


def worker(processes: Processes = 1, supervised: Supervised = False) -> None:
    """Run workers: they extract archived pages and store documents."""
    settings = prepare(supervised)
    if processes > 1:
        return keep_running(workers(processes), None)
    # with RQ, 0.4 s of CPU that the other commands of this module need not spend
    from workers.worker import run

    with context.open_context(settings, upgrade=False) as app:
        raise typer.Exit(run(app))


def scheduler(supervised: Supervised = False) -> None:
    """Run the scheduler: it makes sources come due and enqueues pending segments again. A second one is harmless.

    Follows the sources of config/sources.toml and those added with `newsmill add`.
    """
    settings = prepare(supervised)
    # with RQ, 0.2 s of CPU that the other commands of this module need not spend
    from workers.scheduler import run

    with context.open_context(settings, create=True) as app:
        if not supervised:  # `newsmill up` has loaded them
            up.load_sources(app, settings)
        raise typer.Exit(run(app))


def health(role: Annotated[str, typer.Argument(metavar="ROLE", help="crawler, worker, scheduler or web")]) -> None:
    """Exit 0 if a process with this ROLE is alive on this machine; for container health checks.

    Alive means that its loop has reached the database within the last 90 seconds.
    """
    if role not in ROLES:
        raise ConfigError(f"expected one of {', '.join(ROLES)}, not {role!r}")
    with context.open_context(configuration.load()) as app:
        live = [
            process
            for process in list_live_processes(app.engine, now=now())
            if process.role == role and process.machine == socket.gethostname()
        ]
    if not live:
        raise NewsmillError(f"no live {role} on this machine")
    note(f"{role} is alive: {', '.join(f'{process.name} at {process.beat_at:%H:%M:%S}' for process in live)}")
