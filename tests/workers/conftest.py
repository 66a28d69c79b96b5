"""Each test has its own folder, database, archive and Redis."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest
import services
from workers_world import WorkersWorld

from newsmill.context import build_context
from newsmill.queue.embedded_redis import EmbeddedRedis
from newsmill.settings import load
from newsmill.storage import database


@pytest.fixture(params=["sqlite", "postgres"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A fresh database of each kind. A module that starts processes overrides this with one kind."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'newsmill.sqlite'}"
    return services.make_database(request.getfixturevalue("postgres_url"), f"works_{uuid4().hex[:12]}")


@pytest.fixture
def world(tmp_path: Path, database_url: str) -> Iterator[WorkersWorld]:
    data = tmp_path / "data"
    engine = database.connect(database_url)
    database.upgrade(engine)
    environ = {"DATABASE_URL": database_url, "ARCHIVE_URL": str(data / "archive"), "NEWSMILL_DATA": str(data)}
    with EmbeddedRedis(data) as redis:
        world = WorkersWorld(data, environ, build_context(engine, environ["ARCHIVE_URL"], settings=load(environ)), redis)
        try:
            yield world
        finally:
            for process in world.processes:
                process.kill()
                process.wait()
    engine.dispose()
