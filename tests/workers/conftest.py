"""Each test has its own folder, database, archive and Redis."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from workers_world import WorkersWorld

from newsmill.context import build_context
from newsmill.queue.embedded_redis import EmbeddedRedis
from newsmill.sandbox.pages import Sandbox
from newsmill.settings import load
from newsmill.storage import database
from workers.process import WorkerContext


@pytest.fixture
def database_url(url: str) -> str:
    """An empty database of each kind. A module that starts processes overrides this with one kind."""
    return url


@pytest.fixture
def world(tmp_path: Path, database_url: str) -> Iterator[WorkersWorld]:
    data = tmp_path / "data"
    engine = database.connect(database_url)
    environ = {"DATABASE_URL": database_url, "ARCHIVE_URL": str(data / "archive"), "NEWSMILL_DATA": str(data)}
    with EmbeddedRedis(data) as redis:
        world = WorkersWorld(data, environ, build_context(engine, environ["ARCHIVE_URL"], settings=load(environ)), redis)
        try:
            yield world
        finally:
            for process in world.processes:
                process.kill()
                process.wait()
            for log in sorted(data.glob("*.log")):
                print(f"{log.name}:\n{log.read_text()}")  # pytest shows it if the test fails
    engine.dispose()


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with Sandbox() as box:
        yield box


@pytest.fixture
def context(world: WorkersWorld, sandbox: Sandbox) -> WorkerContext:
    return WorkerContext(world.app, sandbox, "worker-1")
