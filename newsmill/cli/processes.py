"""The commands that run processes: `newsmill up` runs all of them and restarts those that end; `crawler`, `worker`, `scheduler` and `web`
run one.
"""

from __future__ import annotations

import fcntl
import logging
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Annotated

import typer

from newsmill import context
from newsmill import settings as configuration
from newsmill.cli.supervisor import Child, Supervised, Supervisor, prepare
from newsmill.cli.terminal import Interrupt, format_count, note, now, program_name
from newsmill.context import AppContext
from newsmill.exceptions import MovedFileError, NewsmillError
from newsmill.sandbox.child import restrict_proc_access
from newsmill.settings import Settings
from newsmill.storage.database import describe_location
from newsmill.storage.moved_file import OpenFile
from newsmill.storage.owner_ids import make_owner_id
from newsmill.storage.tokens import Scope, TokenKind, Tokens
from newsmill.text.redaction import redact
from newsmill.version import __version__
from newsmill.web.config import WebConfig

log = logging.getLogger(__name__)

Processes = Annotated[int | None, typer.Option("--processes", "-p", min=1, max=256, help="Worker processes; default: one per core.")]

SECONDS_PER_CHECK = 0.5  # between two checks of the children and, with one PING, of the embedded Redis
SECONDS_PER_REPORT = 60.0  # between two lines about new documents
MAX_NAMES_SHOWN = 8  # of sources
UP_LOCK = "up.lock"  # in the folder of the logs: holds the id of the process


def up(processes: Processes = None) -> None:
    """Run everything in this terminal: crawler, workers, scheduler and web. A process that ends is restarted; Ctrl-C stops all.

    Follows the sources of config/sources.toml and those added with `newsmill add`, until it is stopped.
    """
    settings = configuration.load()
    check_scrapy_settings(settings)
    count = processes or settings.worker_processes
    logs, disk = context.logs_folder(settings), context.Disk(context.data_folder(settings))
    with context.open_context(settings, create=True) as store, only_one_up(logs):
        folder = OpenFile(context.data_folder(settings))
        disk.check()
        load_sources(store, settings)
        sources = store.ledger.sources.list_all()
        names = [source.name for source in sources if source.enabled]
        shown = ", ".join(names[:MAX_NAMES_SHOWN]) + (" …" if len(names) > MAX_NAMES_SHOWN else "")
        note(f"following {format_count(len(names), 'source')}{f': {shown}' if names else describe_missing(len(sources))}")
        with context.open_redis(settings) as redis:
            web = make_web_child(store, settings)
            processes_text = f"crawler, scheduler{', web' if web else ''} and {format_count(count, 'worker')}"
            note(f"running {processes_text}; logs in {logs}/; stop with Ctrl-C")
            reporter = DocumentReporter(store)
            keep_running([*make_children(count), *web], logs, [folder.check, redis.ensure, disk.check, reporter.report])
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
    has_table = settings.sources_file is not None and bool(configuration.read_scrapy_table(settings.sources_file))
    if has_table or settings.scrapy_settings is not None:
        # Scrapy costs 0.5 s of CPU, which a start without such settings need not spend
        from crawler.user_settings.merge import load_user_settings

        load_user_settings(settings)


def make_children(processes: int) -> list[Child]:
    """One scheduler, one crawler and `processes` workers."""
    return [Child("scheduler", ("scheduler",)), Child("crawler", ("crawler",)), *workers(processes)]


def make_web_child(store: AppContext, settings: Settings) -> list[Child]:
    """The process that serves pages and API, whose URL is printed. Empty if NEWSMILL_WEB is "off" or the server cannot start."""
    if settings.web_listen is None:
        return []
    from newsmill.web import server  # FastAPI costs 0.9 s of CPU, which crawlers and workers need not spend

    config = make_web_config(settings)
    try:
        tokens = Tokens(store.engine)
        tokens.set_environment_token(settings.web_token, now=now())
        server.require_token(tokens, config, now())
        with server.listen(config) as listener:  # a test of the port; the child opens it again
            port = listener.getsockname()[1]
    except NewsmillError as error:
        note(f"web pages and API are not available: {error}")
        return []
    note(format_sign_in(store, config, port))
    return [Child("web", ("web", "--port", str(port)))]


def workers(count: int) -> list[Child]:
    """`count` worker processes."""
    return [Child(f"worker-{number}", ("worker",)) for number in range(1, count + 1)]


def keep_running(children: list[Child], logs: Path | None, checks: Sequence[Callable[[], None]] = ()) -> None:
    """Run `children` until Ctrl-C or SIGTERM. Their logs go to files in `logs`, or to standard error.

    `checks` are called regularly. A NewsmillError of one (full disk, unreachable database) is printed once and does not stop the children.
    """
    restrict_proc_access()
    problem = None
    with Interrupt() as interrupt, Supervisor(children, environ=os.environ, logs=logs, report=note) as supervisor:
        while not interrupt.wait(SECONDS_PER_CHECK):
            previous, problem = problem, find_problem(checks)
            supervisor.watch()
            if problem != previous:
                note(problem or "all services respond again")
        note("stopping after the pages in progress …")


def find_problem(checks: Sequence[Callable[[], None]]) -> str | None:
    """Call the checks in order; returns the message of the first that fails. Raises MovedFileError, which ends everything."""
    try:
        for check in checks:
            check()
    except MovedFileError:
        raise
    except NewsmillError as error:
        return str(error)
    return None


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


def load_sources(store: AppContext, settings: Settings) -> None:
    """Put config/sources.toml into the ledger, if it exists. The file overrides changes made by command, but not moves of listings."""
    if settings.sources_file is None:
        return
    known = {source.name: source for source in store.ledger.sources.list_all()}
    for source in store.ledger.listing_moves.apply(configuration.read_sources(settings.sources_file)):
        if source != known.get(source.name):
            store.ledger.sources.put(source, now=now())


# ---- single processes --------------------------------------------------------------------------------------------------------


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
    processes: Annotated[int, typer.Option("--processes", "-p", min=1, max=256, help="How many.")] = 1, supervised: Supervised = False
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
    """Run the scheduler: it makes sources come due and enqueues pending segments again. A second one is harmless.

    Follows the sources of config/sources.toml and those added with `newsmill add`.
    """
    settings = prepare(supervised)
    # with RQ, 0.2 s of CPU that the other commands of this module need not spend
    from workers.scheduler import run

    with context.open_context(settings, create=True) as app:
        if not supervised:  # `newsmill up` has loaded them
            load_sources(app, settings)
        log_start("scheduler", app)
        raise typer.Exit(run(app))


# ---- the web server ----------------------------------------------------------------------------------------------------------

LINK_HOURS = 24


def web(
    host: Annotated[str | None, typer.Option("--host", help="IP address to listen on; default: that of NEWSMILL_WEB.")] = None,
    port: Annotated[
        int | None, typer.Option("--port", min=0, max=65535, help="Port; 0 selects a free one; default: that of NEWSMILL_WEB.")
    ] = None,
    supervised: Supervised = False,
) -> None:
    """Serve the web pages and the HTTP API.

    On 127.0.0.1, the default, your browser has full access until the first token exists, and other users of this machine may read.
    Where the server cannot see whose browser it is, the printed link opens a session with full access.
    On another IP address every request needs a token, and the server starts only if one exists (`newsmill token add`).
    """
    # FastAPI costs 0.9 s of CPU, which the other commands of this module need not spend
    from newsmill.web import server

    settings = prepare(supervised)
    config = make_web_config(settings, host, port)
    with context.open_context(settings, create=True) as store:
        store.tokens.set_environment_token(settings.web_token, now=store.now())
        server.require_token(store.tokens, config, store.now())
        listener = server.listen(config)
        if not supervised:
            note(format_sign_in(store, config, listener.getsockname()[1]))
        raise typer.Exit(server.run(store, config, listener))


def make_web_config(settings: Settings, host: str | None = None, port: int | None = None) -> WebConfig:
    """The settings of the server; `host` and `port` of the command line override NEWSMILL_WEB."""
    default_host, default_port = settings.web_listen or ("127.0.0.1", 8470)
    return WebConfig(
        host=host or default_host,
        port=default_port if port is None else port,
        url=settings.web_url,
        hosts=settings.web_hosts,
        public_url=settings.public_url,
        allow_nets=tuple(map(str, settings.allow_nets)),
        rate=settings.web_rate,
        shows_images=settings.web_images,
    )


def format_sign_in(store: AppContext, config: WebConfig, port: int) -> str:
    """A line with the URL and, on the loopback interface, a link for one sign-in that ends with this process."""
    base = (config.url or f"http://{f'[{config.host}]' if ':' in config.host else config.host}:{port}").rstrip("/")
    if config.is_exposed:
        return f"web pages and API: {base}/ (sign in with a token)"
    key = add_link(store, make_owner_id())
    return f"web pages and API: {base}/   if a page is read-only, open {base}/login?key={key} (valid once, for {LINK_HOURS} hours)"


def add_link(store: AppContext, name: str = "link") -> str:
    """The secret of a new sign-in link. A link named after a process ends with that process."""
    return Tokens(store.engine).add(name, Scope.ADMIN, now=now(), kind=TokenKind.LINK, life=timedelta(hours=LINK_HOURS))
