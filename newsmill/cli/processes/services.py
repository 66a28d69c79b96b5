"""The commands that run one process of a service: `newsmill crawler`, `worker` or `scheduler`."""

from __future__ import annotations

import logging
from contextlib import AbstractContextManager
from typing import Annotated

import typer

from newsmill import context
from newsmill.cli.processes.process_start import Supervised, prepare
from newsmill.cli.processes.supervisor import Child
from newsmill.cli.processes.surveillance import keep_running
from newsmill.cli.terminal import now
from newsmill.context import AppContext
from newsmill.settings import Settings
from newsmill.sources.config_file import read_sources
from newsmill.storage.database_errors import describe_location
from newsmill.text.redaction import redact
from newsmill.version import __version__

log = logging.getLogger(__name__)

Processes = Annotated[int | None, typer.Option("--processes", "-p", min=1, max=256, help="Worker processes; default: one per core.")]


def workers(count: int) -> list[Child]:
    """`count` worker processes."""
    return [Child(f"worker-{number}", ("worker",)) for number in range(1, count + 1)]


def load_sources(store: AppContext, settings: Settings) -> None:
    """Put config/sources.toml into the ledger, if it exists. The file overrides changes made by command, but not moves of listings."""
    if settings.sources_file is None:
        return
    known = {source.name: source for source in store.ledger.sources.list_all()}
    for source in store.ledger.listing_moves.apply(read_sources(settings.sources_file)):
        if source != known.get(source.name):
            store.ledger.sources.put(source, now=now())


def open_process_context(settings: Settings, *, supervised: bool) -> AbstractContextManager[AppContext]:
    """The context of a crawler or worker. It makes a data folder with its own database; that of DATABASE_URL is made by `db upgrade`."""
    is_own = settings.database_url is None and not supervised
    return context.open_context(settings, create=is_own, upgrade=is_own)


def log_start(role: str, app: AppContext) -> None:
    """The first line of a process's log."""
    archive = redact(context.archive_url(app.settings))
    log.info("%s of Newsmill %s starts; database %s, archive %s", role, __version__, describe_location(app.engine), archive)


def crawler(
    supervised: Supervised = False,
    documents: Annotated[int | None, typer.Option("--documents", hidden=True)] = None,
    of: Annotated[list[str] | None, typer.Option("--of", hidden=True)] = None,
) -> None:
    """Run one crawler: it leases hosts with due URLs and fetches them politely. Several crawlers may run."""
    settings = prepare(supervised)
    # Scrapy costs 0.5 s of CPU and 40 MB, which the other commands of this module need not spend
    from crawler.process import run

    with open_process_context(settings, supervised=supervised) as app:
        log_start("crawler", app)
        raise typer.Exit(run(app, sources=tuple(of or ()), documents=documents))


def worker(
    processes: Annotated[int, typer.Option("--processes", "-p", min=1, max=256, help="Number of worker processes.")] = 1,
    supervised: Supervised = False,
) -> None:
    """Run workers: they extract archived pages and store documents."""
    settings = prepare(supervised)
    if processes > 1:
        return keep_running(workers(processes), None)
    # with RQ, 0.4 s of CPU that the other commands of this module need not spend
    from workers.worker import run

    with open_process_context(settings, supervised=supervised) as app:
        log_start("worker", app)
        raise typer.Exit(run(app))


def scheduler(supervised: Supervised = False) -> None:
    """Run the scheduler: it makes sources due and queues pending segments again. A second scheduler is harmless.

    Follows the sources of config/sources.toml, and sources that `newsmill add` added.
    """
    settings = prepare(supervised)
    # with RQ, 0.2 s of CPU that the other commands of this module need not spend
    from workers.scheduler import run

    with context.open_context(settings, create=True) as app:
        if not supervised:  # `newsmill up` has loaded them
            load_sources(app, settings)
        log_start("scheduler", app)
        raise typer.Exit(run(app))
