"""One filled store for all tests of the pages, and one empty one."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from browsing import TITLES
from sample_store import SampleStore, open_sample_store
from site_of_tests import BASE, RunningApp
from starlette.testclient import TestClient

from newsmill.web.server import create_app


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SampleStore]:
    folder = tmp_path_factory.mktemp("world")
    shutil.copytree(filled_folder(tmp_path_factory), folder, dirs_exist_ok=True)
    with open_sample_store(folder) as world:
        yield world


def filled_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The filled store of this test run. The first process of pytest-xdist that needs it makes it, which takes 5 s of CPU."""
    base = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        base = base.parent  # of all processes
    folder = base / "sample-store"
    with (base / "sample-store.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.exists():
            unfinished = tmp_path_factory.mktemp("unfinished")
            with open_sample_store(unfinished):
                pass
            unfinished.rename(folder)
    return folder


@pytest.fixture(scope="session")
def ids(world: SampleStore) -> dict[str, str]:
    """The documents that are looked at, by name."""
    return {name: world.id_of(title) for name, title in TITLES.items()}


@pytest.fixture(scope="session")
def filled(world: SampleStore) -> Iterator[RunningApp]:
    """The application over the filled store."""
    app = create_app(world.context)
    with TestClient(app, base_url=BASE, raise_server_exceptions=False, follow_redirects=False) as stranger:
        yield RunningApp(world.context, app, stranger)
