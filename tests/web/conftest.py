"""The application over a real store, on SQLite; what differs on Postgres is tested where the SQL is (tests/storage)."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from site_of_tests import RunningApp, open_door

from newsmill.sandbox.pages import Sandbox
from newsmill.search import scanning
from newsmill.search import search as search_module
from newsmill.settings import Settings
from newsmill.storage import database, schema_version
from newsmill.web.config import WebConfig
from newsmill.web.pages import search


@pytest.fixture(autouse=True)
def unhurried_searches(monkeypatch: pytest.MonkeyPatch) -> None:
    """Searches have a minute: one collection of garbage in the process of the tests takes longer than a search may."""
    monkeypatch.setattr(search_module, "PAGE_SECONDS", 60.0)
    monkeypatch.setattr(scanning, "COUNT_SECONDS", 60.0)
    monkeypatch.setattr(search, "MAX_QUERY_SECONDS", 60.0)


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("template") / "template.sqlite"
    engine = database.connect(f"sqlite:///{path}")
    schema_version.upgrade(engine)
    engine.dispose()
    return path


@pytest.fixture(scope="session")
def sandbox() -> Iterator[Sandbox]:
    """Reads pages as a worker does; it takes a second to start."""
    with Sandbox() as sandbox:
        yield sandbox


@pytest.fixture
def make_web(tmp_path: Path, template: Path) -> Iterator[Callable[..., RunningApp]]:
    """`make_door(WebConfig(…))`: the application as clients see it, with an empty store of its own."""
    opened: list[RunningApp] = []

    def make(config: WebConfig | None = None, settings: Settings | None = None) -> RunningApp:
        folder = tmp_path / str(len(opened))
        folder.mkdir()
        shutil.copy(template, folder / "newsmill.sqlite")
        opened.append(open_door(folder, config or WebConfig(), settings))
        return opened[-1]

    yield make
    for web in opened:
        web.close()


@pytest.fixture
def web(make_web: Callable[..., RunningApp]) -> RunningApp:
    return make_web()
