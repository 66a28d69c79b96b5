"""Where everything meets: the settings become an open ledger, documents, archive and queue. Configured, or embedded in one data folder."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from newsmill.archive.archive import Archive
from newsmill.exceptions import ConfigError, NewsmillError, ServiceError
from newsmill.search import Search
from newsmill.settings import Settings
from newsmill.sources import suggestion
from newsmill.storage import database
from newsmill.storage.database import Engine
from newsmill.storage.documents import Documents
from newsmill.storage.ledger import Ledger
from newsmill.storage.private_files import make_private_folder
from newsmill.storage.profiles import Profiles

if TYPE_CHECKING:
    from newsmill.queue.queue import Queue

LEAST_FREE = 16_000_000  # bytes: a few segments of pages (1.6 MB each) and SQLite's log (4 MB) beside them


@dataclass(frozen=True, slots=True)
class Store:
    """What is kept: ledger, documents, archive and site profiles. Needs no Redis."""

    settings: Settings
    engine: Engine
    ledger: Ledger
    documents: Documents
    archive: Archive
    profiles: Profiles
    search: Search


def data_folder(settings: Settings) -> Path:
    return settings.data.expanduser().absolute()


def make_folder(folder: Path) -> None:
    """Make the data folder, or take access to it from other users. Raises NewsmillError."""
    try:
        make_private_folder(folder)
    except OSError as error:
        raise NewsmillError(f"the data folder {folder} cannot be made ({error.strerror}); name another one in NEWSMILL_DATA") from None


def logs_folder(settings: Settings) -> Path:
    return data_folder(settings) / "logs"


def database_url(settings: Settings) -> str:
    return settings.database_url or f"sqlite:///{data_folder(settings) / 'newsmill.sqlite'}"


def archive_url(settings: Settings) -> str:
    return settings.archive_url or str(data_folder(settings) / "archive")


@dataclass(frozen=True, slots=True)
class RedisPlace:
    """Where Redis is, and how to make sure that it runs (our own is started again when it died; a configured one is its operator's)."""

    url: str
    ensure: Callable[[], None]


@dataclass(frozen=True, slots=True)
class Disk:
    """The disk with the data folder on it."""

    folder: Path

    def check(self) -> None:
        """Raises NewsmillError when it is as good as full: from then on every process would wait for room that nobody makes."""
        if shutil.disk_usage(self.folder).free < LEAST_FREE:
            room = f"less than {LEAST_FREE / 1e6:.0f} MB left"
            raise NewsmillError(f"the disk of {self.folder} is full ({room}): make room, and it goes on; what is stored is not harmed")


@contextmanager
def open_store(settings: Settings, *, create: bool = False) -> Iterator[Store]:
    """The store, its schema checked. Embedded, the schema is upgraded by itself; `create` makes a data folder that is not there.
    Raises NewsmillError when there is none, SchemaError and ServiceError as database.py does."""
    folder = data_folder(settings)
    if create:
        make_folder(folder)
    elif settings.database_url is None and not (folder / "newsmill.sqlite").exists():
        raise NewsmillError(
            f"nothing is kept in {folder} yet: run `newsmill demo` or `newsmill crawl URL`, or name another folder in NEWSMILL_DATA"
        )
    engine = database.connect(database_url(settings))
    try:
        if settings.database_url is None:
            database.upgrade(engine)
        database.check_schema(engine)
        documents, archive = Documents(engine), Archive(archive_url(settings))
        yield Store(settings, engine, Ledger(engine), documents, archive, Profiles(engine), Search(engine))
    finally:
        engine.dispose()


@contextmanager
def open_redis(settings: Settings) -> Iterator[RedisPlace]:
    """The Redis to use: that of REDIS_URL, or the private one of the data folder, which runs as long as one command has it open."""
    if settings.redis_url:
        yield RedisPlace(settings.redis_url, lambda: None)
        return
    # redis and RQ cost 0.17 s of CPU, which the commands that only read a store need not spend
    from newsmill.queue.embedded_redis import EmbeddedRedis

    with EmbeddedRedis(data_folder(settings)) as redis:
        yield RedisPlace(redis.url, redis.ensure)


def open_queue(settings: Settings, url: str) -> Queue:
    """The queue at `url`. Raises ServiceError when Redis is away, refuses us, or would lose work."""
    # redis and RQ cost 0.17 s of CPU, which the commands that only read a store need not spend
    from newsmill.queue.queue import Queue, connect_redis

    return Queue(connect_redis(url, allow_no_password=settings.open_redis))


def queue_state(settings: Settings) -> tuple[int | None, int | None]:
    """Segments that wait for a worker, and jobs that were refused because somebody else wrote them.

    None, None when the embedded server is not running, which is no fault. Raises ServiceError otherwise.
    """
    # redis and RQ cost 0.17 s of CPU, which the commands that only read a store need not spend
    from newsmill.queue.embedded_redis import EmbeddedRedis

    try:
        queue = open_queue(settings, settings.redis_url or EmbeddedRedis(data_folder(settings)).url)
        return queue.depth(), queue.refused()
    except ServiceError:
        if settings.redis_url:
            raise
        return None, None


def unknown_source(store: Store, name: str) -> Exception:
    """The refusal of a name nobody knows."""
    names = [source.name for source in store.ledger.sources()]
    return ConfigError(f"there is no source called {name}" + (suggestion(name, names) if names else "; add one: newsmill add URL"))
