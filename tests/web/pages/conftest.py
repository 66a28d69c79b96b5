"""One filled store for all tests of the pages, and one empty one."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from pages_world import World, open_world
from screens import ids_of


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with open_world(tmp_path_factory.mktemp("world")) as world:
        yield world


@pytest.fixture(scope="session")
def ids(world: World) -> dict[str, str]:
    """The documents that are looked at, by name."""
    return ids_of(world)
