"""The works of each test: its own folder, database, archive and Redis."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from works import Works

from newsmill.find import urls
from newsmill.keep import database
from newsmill.keep.archive import Archive
from newsmill.keep.documents import Documents
from newsmill.keep.embedded import EmbeddedRedis
from newsmill.keep.ledger import Ledger


@pytest.fixture
def works(tmp_path: Path) -> Iterator[Works]:
    data = tmp_path / "data"
    data.mkdir()
    engine = database.connect(f"sqlite:///{data / 'newsmill.sqlite'}")
    database.upgrade(engine)
    with EmbeddedRedis(data) as redis:
        works = Works(data, engine, Ledger(engine, urls), Documents(engine, urls), Archive(str(data / "archive")), redis)
        try:
            yield works
        finally:
            for process in works.processes:
                process.kill()
                process.wait()
    engine.dispose()
