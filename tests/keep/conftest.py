"""Every test of the store runs twice: on SQLite, and on a real Postgres."""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest
import services
from psycopg import sql
from sqlalchemy import Engine

from newsmill.find import urls
from newsmill.keep import database
from newsmill.keep.documents import Documents
from newsmill.keep.ledger import Ledger


NUMBERS = itertools.count(1)
NewDatabase = Callable[..., str]  # () or (empty=True) → the URL of a fresh database


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
def postgres_template(postgres_url: str) -> str:
    make_database(postgres_url, "newsmill_template")
    engine = database.connect(named(postgres_url, "newsmill_template"))
    database.upgrade(engine)
    engine.dispose()
    return "newsmill_template"


@pytest.fixture(params=["sqlite", "postgres"])
def new_database(request: pytest.FixtureRequest, tmp_path: Path) -> NewDatabase:
    """Makes fresh databases of one kind, with the schema, or `empty`."""

    def sqlite(empty: bool = False) -> str:
        path = tmp_path / f"{next(NUMBERS)}.db"
        if not empty:
            shutil.copy(request.getfixturevalue("sqlite_template"), path)
        return f"sqlite:///{path}"

    def postgres(empty: bool = False) -> str:
        server = request.getfixturevalue("postgres_url")
        name = f"newsmill_{next(NUMBERS)}"
        make_database(server, name, None if empty else request.getfixturevalue("postgres_template"))
        return named(server, name)

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
    return Ledger(engine, urls)


@pytest.fixture
def documents(engine: Engine) -> Documents:
    return Documents(engine, urls)


def make_database(server: str, name: str, template: str | None = None) -> None:
    statement = sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name))
    if template is not None:
        statement += sql.SQL(" TEMPLATE {}").format(sql.Identifier(template))
    with psycopg.connect(server, autocommit=True) as conn:
        conn.execute(sql.SQL("DROP DATABASE IF EXISTS {}").format(sql.Identifier(name)))
        conn.execute(statement)


def named(server: str, name: str) -> str:
    """The same server, another database."""
    head, _, query = server.partition("?")
    return f"{head.rpartition('/')[0]}/{name}" + (f"?{query}" if query else "")
