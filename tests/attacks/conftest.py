"""A world with a hostile and an honest site, on both databases."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from fake_site import Farm, farm
from rows import Mill
from world import World

from newsmill.queue.embedded_redis import EmbeddedRedis
from newsmill.storage.ledger import Ledger


@pytest.fixture(scope="module")
def sites() -> Iterator[Farm]:
    with farm() as sites:
        yield sites


@pytest.fixture(scope="session")
def redis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with EmbeddedRedis(tmp_path_factory.mktemp("redis")) as redis:
        yield redis.url


@pytest.fixture
def world(tmp_path: Path, redis_url: str, url: str) -> Iterator[World]:
    world = World(tmp_path / "data", redis_url, url)
    yield world
    world.close()


@pytest.fixture
def mill(ledger: Ledger) -> Mill:
    return Mill(ledger)
