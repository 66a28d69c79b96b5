"""The composition root: settings are opened into one AppContext, which every process and command takes."""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import quote

from newsmill.exceptions import ConfigError, NewsmillError, ServiceError
from newsmill.queue.redis_socket import name_socket
from newsmill.settings import Settings
from newsmill.sources.table import format_suggestion
from newsmill.storage import database, schema_version
from newsmill.storage.clock import Clock
from newsmill.storage.database import Engine
from newsmill.storage.database_errors import describe_location
from newsmill.storage.private_files import DATABASE, make_private_folder
from newsmill.storage.processes import Heartbeat, list_live_processes
from newsmill.text.redaction import redact

if TYPE_CHECKING:
    from newsmill.archive.archive import Archive
    from newsmill.model import Source
    from newsmill.queue.queue import Queue
    from newsmill.search.search import Search
    from newsmill.storage.derived_files import DerivedFiles
    from newsmill.storage.documents import Documents
    from newsmill.storage.fast_path_stats import FastPathStats
    from newsmill.storage.fingerprints import NearDuplicates
    from newsmill.storage.ledger import Ledger
    from newsmill.storage.ledger.takedowns import Takedowns
    from newsmill.storage.past_documents import TakenDown
    from newsmill.storage.profiles import Profiles
    from newsmill.storage.tokens import Tokens

T = TypeVar("T")
MIN_FREE_BYTES = 16_000_000  # a few segments of pages (1.6 MB each) and the log of SQLite (4 MB) beside them
QUEUE_DEPTH_SECONDS = 3.0  # for which an answer of Redis is reused
QUEUE_TIMEOUT_SECONDS = 10.0  # for one answer of Redis


@dataclass(frozen=True, slots=True)
class AppContext:
    """What a process or command works with. Nothing in it needs Redis but `queue_depth`."""

    settings: Settings
    engine: Engine  # for functions of storage/ that take one, such as `list_live_processes`
    ledger: Ledger
    documents: Documents
    near_duplicates: NearDuplicates
    archive: Archive
    profiles: Profiles
    fast_path_stats: FastPathStats
    tokens: Tokens
    takedowns: Takedowns
    queue_depth: Callable[[], int | None]  # segments that wait; None: the embedded server is not running. Raises ServiceError
    now: Callable[[], datetime]  # aware, UTC: the clock that all processes on the database share

    @property
    def search(self) -> Search:
        """Search of the documents."""
        # it costs 0.2 s of CPU to import, which the commands that do not search need not spend
        from newsmill.search.search import Search

        return Search(self.engine)

    def is_running(self, role: str) -> bool:
        """Whether a process with this role is alive on any machine. Raises ServiceError."""
        return any(process.role == role for process in list_live_processes(self.engine, now=self.now()))


def build_context(
    engine: Engine,
    archive_url: str,
    *,
    settings: Settings | None = None,
    queue_depth: Callable[[], int | None] = lambda: None,
    now: Callable[[], datetime] | None = None,
) -> AppContext:
    """The context over an engine whose schema was checked. Without `now` it has the clock of the database."""
    # the store costs 0.3 s of CPU to import, which `newsmill health` need not spend
    from newsmill.archive.archive import Archive
    from newsmill.storage.documents import Documents
    from newsmill.storage.fast_path_stats import FastPathStats
    from newsmill.storage.fingerprints import NearDuplicates
    from newsmill.storage.ledger import Ledger
    from newsmill.storage.ledger.takedowns import Takedowns
    from newsmill.storage.profiles import Profiles
    from newsmill.storage.tokens import Tokens

    return AppContext(
        settings or Settings(),
        engine,
        Ledger(engine),
        Documents(engine),
        NearDuplicates(engine),
        Archive(archive_url),
        Profiles(engine),
        FastPathStats(engine),
        Tokens(engine),
        Takedowns(engine),
        QueueDepth(queue_depth),
        Clock(engine) if now is None else now,
    )


@dataclass(frozen=True, slots=True)
class PastContext:
    """What a process works with at a time of the past. Documents that were taken down since are listed by id."""

    context: AppContext  # its engine is read only
    at: datetime
    taken_down: Sequence[TakenDown]


@contextmanager
def open_past(
    store: AppContext, at: datetime | None, *, with_index: bool, on_progress: Callable[[str, int], None] = lambda what, more: None
) -> Iterator[PastContext]:
    """The store as it was at a time; None: at the newest one. Raises ConfigError for a time of which it knows nothing, and ServiceError."""
    # importing the index costs CPU that most commands need not spend
    from newsmill.storage import frozen_stores, past_documents

    at = past_documents.settle(store.engine, at, now=store.now())
    engine = frozen_stores.freeze(store.engine, past_folder(store.settings), at, with_index=with_index, on_progress=on_progress)
    try:
        past = build_context(engine, archive_url(store.settings), settings=store.settings, now=store.now)
        yield PastContext(replace(past, archive=store.archive), at, past_documents.list_taken_down(store.engine, at))
    finally:
        engine.dispose()


def make_heartbeat(store: AppContext, role: str) -> Heartbeat:
    """The heartbeat of this process, which also applies takedowns to the files of this machine."""
    return Heartbeat(store.engine, role=role, apply_takedowns=find_derived_files(store).apply_takedowns)


def find_derived_files(store: AppContext) -> DerivedFiles:
    """The files that this machine derives from the database."""
    # importing the index costs CPU that most commands need not spend
    from newsmill.storage.derived_files import DerivedFiles

    return DerivedFiles(store.engine, past_folder(store.settings), images_folder(store.settings))


class QueueDepth:
    """The length of the queue, read every few seconds at most and by one thread at a time.

    So a Redis that does not answer delays one request by five seconds, and no other. Raises ServiceError as the last call did.
    """

    def __init__(self, ask: Callable[[], int | None], clock: Callable[[], float] = time.monotonic) -> None:
        self._ask, self._clock = ask, clock
        self._lock = threading.Lock()
        self._expires_at = 0.0
        self._depth: int | None = None
        self._error: ServiceError | None = None

    def __call__(self) -> int | None:
        if self._clock() >= self._expires_at and self._lock.acquire(blocking=False):
            try:
                self._depth, self._error = self._ask(), None
            except ServiceError as error:
                self._depth, self._error = None, error
            finally:
                self._expires_at = self._clock() + QUEUE_DEPTH_SECONDS
                self._lock.release()
        if self._error is not None:
            raise self._error
        return self._depth


def data_folder(settings: Settings) -> Path:
    return settings.data.expanduser().absolute()


def images_folder(settings: Settings) -> Path:
    """The cache of the web pages' images, on this machine."""
    return data_folder(settings) / "images"


def past_folder(settings: Settings) -> Path:
    """The folder of stores that were frozen at a time. They can be deleted at any time."""
    return data_folder(settings) / "past"


def make_folder(folder: Path) -> None:
    """Make the data folder, or take access to it from other users. Raises NewsmillError."""
    try:
        make_private_folder(folder)
    except OSError as error:
        raise _folder_error(folder, error) from None


def _folder_error(folder: Path, error: OSError) -> NewsmillError:
    reason = "it is not a folder" if isinstance(error, (FileExistsError, NotADirectoryError)) else error.strerror
    return NewsmillError(f"the data folder {folder} cannot be used ({reason}); set NEWSMILL_DATA to another folder")


def logs_folder(settings: Settings) -> Path:
    return data_folder(settings) / "logs"


def database_url(settings: Settings) -> str:
    return settings.database_url or f"sqlite:///{data_folder(settings) / DATABASE}"


def archive_url(settings: Settings) -> str:
    return settings.archive_url or str(data_folder(settings) / "archive")


@dataclass(frozen=True, slots=True)
class RedisServer:
    """The Redis in use. `ensure` starts the embedded server again after a crash, and does nothing for a configured one."""

    url: str
    ensure: Callable[[], None]


@dataclass(frozen=True, slots=True)
class Disk:
    """The disk with the data folder on it."""

    folder: Path

    def check(self) -> None:
        """Raises NewsmillError when less than MIN_FREE_BYTES are free: no process could store anything any more."""
        if shutil.disk_usage(self.folder).free < MIN_FREE_BYTES:
            room = f"less than {MIN_FREE_BYTES / 1e6:.0f} MB left"
            raise NewsmillError(f"the disk of {self.folder} is full ({room}); free some space to continue; stored data is not affected")


def has_store(settings: Settings) -> bool:
    """Whether the embedded database exists, or DATABASE_URL names another. Raises NewsmillError for a data folder that cannot be read."""
    if settings.database_url is not None:
        return True
    folder = data_folder(settings)
    try:
        (folder / DATABASE).stat()
    except FileNotFoundError:
        return False
    except OSError as error:
        raise _folder_error(folder, error) from None
    return True


def require_store(settings: Settings) -> None:
    """Raises NewsmillError if the embedded database does not exist or cannot be read, and DATABASE_URL names none."""
    if not has_store(settings):
        folder = data_folder(settings)
        raise NewsmillError(
            f"{folder} holds no documents yet; run `newsmill demo` or `newsmill crawl URL`, or set NEWSMILL_DATA to another folder"
        )


def is_writable(folder: Path) -> bool:
    """Whether the embedded database may be changed: not on a medium or copy that is read-only."""
    return database.is_writable(folder) and database.is_writable(folder / DATABASE)


def upgrade_database(engine: Engine, settings: Settings) -> None:
    """Create the tables or upgrade an older schema. Raises ConfigError for an empty database with a filled archive.

    It is the archive of another database, such as one that was lost: the sweep for orphaned files would remove all its pages.
    """

    def refuse_filled_archive() -> None:
        from newsmill.archive.archive import Archive

        archive = archive_url(settings)
        if not Archive(archive).is_empty():
            raise ConfigError(
                f"the database {describe_location(engine)} is empty, but the archive {redact(archive)} has pages of another"
                " database; restore that database from a backup, copy an embedded one with `newsmill db copy`, or move the archive"
                " away to start with nothing"
            )

    schema_version.upgrade(engine, refuse_filled_archive)


@contextmanager
def open_context(settings: Settings, *, create: bool = False, upgrade: bool = True) -> Iterator[AppContext]:
    """The context over the store of `settings`, its schema checked.

    `create` makes a data folder that does not exist. `upgrade` brings the schema of an embedded database up to date first. A data folder
    that cannot be written to is opened for reading: every change of its database is refused.
    Raises NewsmillError when the store does not exist, SchemaError for the schema of another version, ServiceError when the database does
    not respond.
    """
    folder = data_folder(settings)
    if create:
        make_folder(folder)
    else:
        require_store(settings)
    is_read_only = not create and settings.database_url is None and not is_writable(folder)
    engine = database.connect(database_url(settings), read_only=is_read_only)
    try:
        if upgrade and settings.database_url is None and not is_read_only:
            upgrade_database(engine, settings)
        schema_version.check_schema(engine)
        yield build_context(engine, archive_url(settings), settings=settings, queue_depth=lambda: ask_queue(settings, lambda q: q.depth()))
    finally:
        engine.dispose()


@contextmanager
def open_redis(settings: Settings) -> Iterator[RedisServer]:
    """The server of REDIS_URL, or the embedded server of the data folder, which runs as long as one process has it open."""
    if settings.redis_url:
        yield RedisServer(settings.redis_url, lambda: None)
        return
    # redis and RQ cost 0.17 s of CPU, which the commands that only read a store need not spend
    from newsmill.queue.embedded_redis import EmbeddedRedis

    with EmbeddedRedis(data_folder(settings)) as redis:
        yield RedisServer(redis.url, redis.ensure)


def open_queue(settings: Settings, url: str, *, timeout: float = QUEUE_TIMEOUT_SECONDS) -> Queue:
    """The queue at `url`. Redis answers within `timeout` seconds, or the call fails.

    Raises ConfigError for a wrong URL, and ServiceError when Redis is away, refuses the password, or is configured to lose work.
    """
    # redis and RQ cost 0.17 s of CPU, which the commands that only read a store need not spend
    from newsmill.queue.queue import Queue, connect_redis

    return Queue(connect_redis(url, allow_no_password=settings.open_redis, timeout_seconds=timeout))


def queue_url(settings: Settings) -> str:
    """The URL of the queue: REDIS_URL, or that of the embedded server, whether it runs or not."""
    return settings.redis_url or f"unix://{quote(str(name_socket(data_folder(settings))))}"


def ask_queue(settings: Settings, ask: Callable[[Queue], T]) -> T | None:
    """The answer of the queue; None when the embedded server is not running, which is normal. Raises ServiceError otherwise."""
    if not settings.redis_url and not name_socket(data_folder(settings)).exists():  # Redis need not be imported to know
        return None
    try:
        with closing(open_queue(settings, queue_url(settings))) as queue:
            return ask(queue)
    except ConfigError as error:  # of REDIS_URL: the rest of the store can be shown
        raise ServiceError(str(error)) from None
    except ServiceError:
        if settings.redis_url:
            raise
        return None


def find_source(store: AppContext, name: str) -> Source:
    """The source with this name. Raises ConfigError if there is none."""
    source = store.ledger.sources.get(name)
    if source is None:
        raise unknown_source(store, name)
    return source


def unknown_source(store: AppContext, name: str) -> Exception:
    """The error for the name of a source that does not exist."""
    names = [source.name for source in store.ledger.sources.list_all()]
    return ConfigError(f"source {name!r} does not exist" + (format_suggestion(name, names) if names else "; add one: newsmill add URL"))
