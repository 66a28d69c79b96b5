"""The works of each test: its own folder, database, archive and Redis."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest
import services
from works import Works

from newsmill.archive.archive import Archive
from newsmill.queue.embedded_redis import EmbeddedRedis
from newsmill.storage import database
from newsmill.storage.documents import Documents
from newsmill.storage.ledger import Ledger


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    with services.postgres() as url:
        yield url


@pytest.fixture(params=["sqlite", "postgres"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A fresh database of each kind. A module that starts processes overrides this with one kind."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'newsmill.sqlite'}"
    server = request.getfixturevalue("postgres_server")
    name = f"works_{uuid4().hex[:12]}"
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}"')
    head, mark, query = server.partition("?")
    return f"{head.rpartition('/')[0]}/{name}{mark}{query}"


@pytest.fixture
def works(tmp_path: Path, database_url: str) -> Iterator[Works]:
    data = tmp_path / "data"
    engine = database.connect(database_url)
    database.upgrade(engine)
    with EmbeddedRedis(data) as redis:
        archive = Archive(str(data / "archive"))
        works = Works(data, database_url, Ledger(engine), Documents(engine), archive, redis)
        try:
            yield works
        finally:
            for process in works.processes:
                process.kill()
                process.wait()
    engine.dispose()
