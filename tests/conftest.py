"""Fixtures and hooks of all tests."""

from __future__ import annotations

import gc
import itertools
import os
import re
import shutil
import signal
import sqlite3
import tempfile
from collections.abc import Callable, Generator, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import services
from hypothesis import HealthCheck, settings
from rows import NewDatabase
from shared_database import SharedDatabase
from sqlalchemy import Connection, Engine, event
from sqlalchemy.engine import Dialect
from sqlalchemy.util import LRUCache

from newsmill.storage import database, schema_version
from newsmill.storage.documents import Documents
from newsmill.storage.ledger import Ledger
from newsmill.storage.moved_file import HANDLERS

# Five processes import every test file. What they import is never freed, so looking for garbage in it takes a third of their start.
gc.disable()

# The wall time of an example depends on the load of the machine.
settings.register_profile("newsmill", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("newsmill")

# Files that take minutes, or wait more than they compute, come first, so that no process runs one of them alone at the end.
# `pytest --durations=60` measures them.
FIRST = (
    "tests/crawler/test_spiders.py",
    "tests/cli/test_up.py",
    "tests/chaos",
    "tests/docs/test_cookbook.py",
    "tests/web/pages/test_in_a_browser.py",
    "tests/crawler/test_rendering.py",
    "tests/crawler/test_spider_kills.py",
    "tests/web/test_scrapy_project.py",
    "tests/cli/test_source_test.py",
    "tests/cost",
    "tests/test_newspaper_crawl.py",
    "tests/crawler/test_rendered_sources.py",
    "tests/crawler/test_stopping.py",
    "tests/workers",
    "tests/fuzz",
    "tests/cli/test_configured.py",
    "tests/crawler",
    "tests/web/test_schema.py",
    "tests/web/pages",
    "tests/growth",
    "tests/discovery/test_sitemaps.py",
    "tests/test_sandbox.py",
    "tests/test_hostile_bodies.py",
    "tests/cli",
    "tests/web",
    "tests/storage",
    "tests/extraction/test_memory.py",
    "tests/conformance",
)


NO_SHARED_DATA = "none"  # a value of NEWSMILL_SHARED
FAST = ("discovery", "extraction", "exports")  # folders of tests that need no server
FAST_FILES = ("test_imports.py", "test_docs.py", "test_settings.py", "test_charset.py", "test_redaction.py")
CHANGE = re.compile(r"\s*(?:CREATE|ALTER|DROP|INSERT|UPDATE|DELETE)\b", re.IGNORECASE)
# Words in the names of tests with large or many inputs.
LARGE = re.compile(r"hostile|50000|memory|long_|linear|real_|peoples|damage|bounded|corpus|conformance")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Put the longest files first and mark the fast tests. NEWSMILL_SHARED=none deselects the tests that need the shared data.

    Tests of an engine that is not installed are deselected too; the summary counts them.

    Tests stay together and in order within a file; `--no-loadscope-reorder` makes xdist hand the files out in this order.
    """
    if os.environ.get("NEWSMILL_SHARED") == NO_SHARED_DATA:
        needing = [item for item in items if "shared" in getattr(item, "fixturenames", ())]
        config.hook.pytest_deselected(items=needing)
        items[:] = [item for item in items if item not in needing]
    if os.environ.get("NEWSMILL_ENGINES") != "real":  # as in the nightly run, which installs Ray and Spark
        absent = [item for item in items if (mark := item.get_closest_marker("engine")) and find_spec(mark.args[0]) is None]
        config.hook.pytest_deselected(items=absent)
        items[:] = [item for item in items if item not in absent]
    items.sort(key=lambda item: rank(item.path.relative_to(config.rootpath).as_posix()))
    for item in items:
        if is_fast(item):
            item.add_marker("fast")


def pytest_collection_finish() -> None:
    """Look for garbage again, among what the tests themselves make."""
    gc.freeze()
    gc.enable()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """In CI a skipped test fails, because everything that a test needs is installed there."""
    report = yield
    if report.skipped and os.environ.get("CI") and not hasattr(report, "wasxfail"):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr
        report.outcome, report.longrepr = "failed", f"skipped in CI: {reason}"
    return report


def rank(path: str) -> int:
    """The place of a test file in FIRST; files that are not in it come last."""
    return next((number for number, start in enumerate(FIRST) if path.startswith(start)), len(FIRST))


def is_fast(item: pytest.Item) -> bool:
    """Whether a test is an example of pure code or of the rules of the tree. Properties and large inputs are left to ./tests/run."""
    path = item.path.relative_to(Path(__file__).parent)
    if path.parts[0] not in FAST and path.name not in FAST_FILES:
        return False
    is_property = getattr(getattr(item, "obj", None), "is_hypothesis_test", False)
    return not is_property and not LARGE.search(item.nodeid) and item.get_closest_marker("slow") is None


@pytest.fixture(scope="session", autouse=True)
def temporary_files() -> Iterator[None]:
    """A folder for the temporary files of processes that tests start, because those that tests kill cannot remove them."""
    with tempfile.TemporaryDirectory(prefix="nm-", ignore_cleanup_errors=True) as folder, pytest.MonkeyPatch.context() as patch:
        patch.setenv("TMPDIR", folder)
        yield


@pytest.fixture(scope="session", autouse=True)
def compiled_statements() -> Iterator[None]:
    """All engines of a process share the SQL that SQLAlchemy compiled: compiling it for each took half of the time of a test."""
    compiled, create_engine = LRUCache(5000), database.create_engine

    def create(*words: Any, **options: Any) -> Engine:
        engine = create_engine(*words, **options)
        engine._compiled_cache = compiled
        return engine

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(database, "create_engine", create)
        patch.setattr(Dialect, "__eq__", lambda dialect, other: type(dialect) is type(other))  # the dialect is a part of the key
        patch.setattr(Dialect, "__hash__", lambda dialect: hash(type(dialect)))
        yield


@pytest.fixture(autouse=True)
def signals_end_the_process() -> None:
    """A worker of RQ, a reactor or a command that an earlier test or a fixture ran in this process has left its handlers, which forked
    processes inherit: a pool that is terminated would go on for ever."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)


@pytest.fixture(autouse=True)
def process_goes_on() -> Iterator[None]:
    """A command that a test runs in this process registers what ends its process when the database is moved away, as tests do."""
    yield
    HANDLERS.clear()


@pytest.fixture(scope="session", autouse=True)
def migrations_run_once() -> Iterator[None]:
    """An empty SQLite database gets the statements that the migrations executed on the first one, which takes a quarter of the CPU."""
    run_migrations, folder = schema_version._run_migrations, schema_version.MIGRATIONS
    replayed = dict[tuple[int, ...], list[tuple[str, Any]]]()  # by SQLite's version, which tests pretend to be older

    def run(conn: Connection) -> None:
        is_new = conn.dialect.name == "sqlite" and schema_version.revision(conn) is None
        if not is_new or folder != schema_version.MIGRATIONS:  # a test has migrations of its own
            run_migrations(conn)
            return
        version = sqlite3.sqlite_version_info
        if version not in replayed:
            replayed[version] = record_changes(conn, run_migrations)
            return
        for statement, parameters in replayed[version]:
            conn.exec_driver_sql(statement, parameters)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(schema_version, "_run_migrations", run)
        yield


def record_changes(conn: Connection, run: Callable[[Connection], object]) -> list[tuple[str, Any]]:
    """The statements, with their parameters, by which `run` changes the database."""
    executed = list[tuple[str, Any]]()

    def record(conn: Connection, cursor: object, statement: str, parameters: Any, *_: object) -> None:
        if CHANGE.match(statement):
            executed.append((statement, parameters))

    event.listen(conn, "before_cursor_execute", record)
    run(conn)
    event.remove(conn, "before_cursor_execute", record)
    return executed


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of measured cases and pages beside the checkout (`../shared`), or the one NEWSMILL_SHARED names."""
    path = Path(os.environ.get("NEWSMILL_SHARED", Path(__file__).resolve().parents[2] / "shared"))
    if not path.is_dir():
        pytest.skip(f"{path} is missing: lay the shared data beside the checkout, name it in NEWSMILL_SHARED, or set that to none")
    return path


# ---- the store: every test runs twice, on SQLite and on a real Postgres ------------------------------------------------------------

NUMBERS = itertools.count(1)


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    with services.postgres() as url:
        yield url


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("template") / "template.db"
    engine = database.connect(f"sqlite:///{path}")
    schema_version.upgrade(engine)
    engine.dispose()  # the last connection closed folds the WAL into the file
    return path


@pytest.fixture
def sqlite_url(tmp_path: Path, sqlite_template: Path) -> str:
    """A fresh SQLite database with the schema, for tests that need no second kind of database."""
    return f"sqlite:///{shutil.copy(sqlite_template, tmp_path / 'newsmill.sqlite')}"


@pytest.fixture(scope="session")
def shared_database(postgres_url: str) -> Iterator[SharedDatabase]:
    shared = SharedDatabase(services.make_database(postgres_url, "newsmill_test"))
    yield shared
    shared.close()


@pytest.fixture(params=["sqlite", "postgres"])
def new_database(request: pytest.FixtureRequest, tmp_path: Path) -> NewDatabase:
    """Makes a fresh database of one kind: one with the schema, or any number of `empty` ones."""

    def sqlite(empty: bool = False) -> str:
        path = tmp_path / f"{next(NUMBERS)}.db"
        if not empty:
            shutil.copy(request.getfixturevalue("sqlite_template"), path)
        return f"sqlite:///{path}"

    def postgres(empty: bool = False) -> str:
        if empty:
            return services.make_database(request.getfixturevalue("postgres_url"), f"newsmill_{next(NUMBERS)}")
        shared: SharedDatabase = request.getfixturevalue("shared_database")
        shared.empty()
        return shared.url

    return sqlite if request.param == "sqlite" else postgres


@pytest.fixture
def url(new_database: NewDatabase) -> str:
    return new_database()


@pytest.fixture
def engine(request: pytest.FixtureRequest, url: str) -> Iterator[Engine]:
    if not url.startswith("sqlite"):
        yield request.getfixturevalue("shared_database").connect()
        return
    engine = database.connect(url)
    yield engine
    engine.dispose()


@pytest.fixture
def ledger(engine: Engine) -> Ledger:
    return Ledger(engine)


@pytest.fixture
def documents(engine: Engine) -> Documents:
    return Documents(engine)
