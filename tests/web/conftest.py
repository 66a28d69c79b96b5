"""The application over a real store, on SQLite; what differs on Postgres is tested where the SQL is (tests/storage)."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from site_of_tests import Door, open_door

from newsmill.storage import database
from newsmill.web.config import WebConfig


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("template") / "template.sqlite"
    engine = database.connect(f"sqlite:///{path}")
    database.upgrade(engine)
    engine.dispose()
    return path


@pytest.fixture
def make_door(tmp_path: Path, template: Path) -> Iterator[Callable[..., Door]]:
    """`make_door(WebConfig(…))`: the application as clients see it, with an empty store of its own."""
    opened: list[Door] = []

    def make(config: WebConfig | None = None) -> Door:
        folder = tmp_path / str(len(opened))
        folder.mkdir()
        shutil.copy(template, folder / "newsmill.sqlite")
        opened.append(open_door(folder, config or WebConfig()))
        return opened[-1]

    yield make
    for door in opened:
        door.close()


@pytest.fixture
def door(make_door: Callable[..., Door]) -> Door:
    return make_door()
