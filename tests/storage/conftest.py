"""Every test of the store runs twice: on SQLite, and on a real Postgres."""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
import services
from psycopg import sql
from rows import NewDatabase
from sqlalchemy import Engine

from newsmill.storage import database
from newsmill.storage.documents import Documents
from newsmill.storage.ledger import Ledger
from newsmill.storage.schema import metadata

NUMBERS = itertools.count(1)


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    with services.postgres() as url:
        yield url


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("template") / "template.db"
    engine = database.connect(f"sqlite:///{path}")
    database.upgrade(engine)
    engine.dispose()  # the last connection closed folds the WAL into the file
    return path


@pytest.fixture(scope="session")
def postgres_database(postgres_url: str) -> str:
    """One database for all tests, emptied before each: making one takes ten times as long."""
    url = services.make_database(postgres_url, "newsmill_test")
    engine = database.connect(url)
    database.upgrade(engine)
    engine.dispose()
    return url


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
        url: str = request.getfixturevalue("postgres_database")
        tables = sql.SQL(", ").join(sql.Identifier(name) for name in metadata.tables)
        with psycopg.connect(url, autocommit=True) as conn:
            conn.execute(sql.SQL("TRUNCATE {} RESTART IDENTITY").format(tables))
        return url

    return sqlite if request.param == "sqlite" else postgres


@pytest.fixture
def url(new_database: NewDatabase) -> str:
    return new_database()


@pytest.fixture
def engine(url: str) -> Iterator[Engine]:
    engine = database.connect(url)
    yield engine
    engine.dispose()


@pytest.fixture
def ledger(engine: Engine) -> Ledger:
    return Ledger(engine)


@pytest.fixture
def documents(engine: Engine) -> Documents:
    return Documents(engine)
