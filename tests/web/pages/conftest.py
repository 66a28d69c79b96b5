"""One filled store for all tests of the pages, and one empty one."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from pages_world import World, open_world
from screens import ids_of
from site_of_tests import BASE, Door
from starlette.testclient import TestClient

from newsmill.web.app import create_app


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with open_world(tmp_path_factory.mktemp("world")) as world:
        yield world


@pytest.fixture(scope="session")
def ids(world: World) -> dict[str, str]:
    """The documents that are looked at, by name."""
    return ids_of(world)


@pytest.fixture(scope="session")
def filled(world: World) -> Iterator[Door]:
    """The application over the filled store."""
    app = create_app(world.context)
    with TestClient(app, base_url=BASE, raise_server_exceptions=False, follow_redirects=False) as stranger:
        yield Door(world.context, app, stranger)
