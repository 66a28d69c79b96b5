"""One filled store for all tests of the pages, and one empty one."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from sample_store import SampleStore, open_sample_store
from screens import ids_of
from site_of_tests import BASE, RunningApp
from starlette.testclient import TestClient

from newsmill.web.app import create_app


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SampleStore]:
    with open_sample_store(tmp_path_factory.mktemp("world")) as world:
        yield world


@pytest.fixture(scope="session")
def ids(world: SampleStore) -> dict[str, str]:
    """The documents that are looked at, by name."""
    return ids_of(world)


@pytest.fixture(scope="session")
def filled(world: SampleStore) -> Iterator[RunningApp]:
    """The application over the filled store."""
    app = create_app(world.context)
    with TestClient(app, base_url=BASE, raise_server_exceptions=False, follow_redirects=False) as stranger:
        yield RunningApp(world.context, app, stranger)
