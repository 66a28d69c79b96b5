"""URLs of single pages put into the ledger, by the command `newsmill submit` and by the function `newsmill.submit`."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path

from newsmill import settings
from newsmill.exceptions import ConfigError, UrlError
from newsmill.model import Link, SubmissionCounts
from newsmill.storage import database
from newsmill.storage.ledger import Ledger
from newsmill.storage.private_files import make_private_folder
from newsmill.urls import normalize

BATCH_URLS = 500  # URLs of one transaction, which keeps the write lock short


def submit(urls: Iterable[str], source: str | None, again: bool, where: str | os.PathLike[str] | None) -> SubmissionCounts:
    """See `newsmill.submit`."""
    with open_ledger(where) as ledger:
        if source is not None and ledger.source(source) is None:
            raise ConfigError(f"there is no source called {source}; `newsmill add` makes one")
        return add_urls(ledger, urls, now=datetime.now(UTC), source=source, again=again)


def add_urls(ledger: Ledger, urls: Iterable[str], *, now: datetime, source: str | None = None, again: bool = False) -> SubmissionCounts:
    """Put URLs into the ledger, each with a row, those that cannot be fetched too. Returns the counts of all."""
    new = known = bad = 0
    rest = iter(urls)
    while batch := list(islice(rest, BATCH_URLS)):
        good = [url for url in batch if is_url(url)]
        added = ledger.add([Link(url=url, source=source) for url in good], now=now, again=again)
        ledger.add([Link(url=url, source=source) for url in batch if not is_url(url)], now=now)
        new, known, bad = new + added.new, known + added.known, bad + len(batch) - len(good)
    return SubmissionCounts(new, known, bad)


def is_url(text: str) -> bool:
    """Whether `text` is an http(s) URL that can be fetched."""
    try:
        normalize(text)
    except UrlError:
        return False
    return True


@contextmanager
def open_ledger(where: str | os.PathLike[str] | None) -> Iterator[Ledger]:
    """The ledger of a data folder, whose schema is brought up to date, or of a database, whose schema must fit."""
    place = configured() if where is None else os.fspath(where)
    scheme, mark, _ = place.partition("://")
    if mark and scheme.partition("+")[0] not in ("sqlite", "postgresql", "postgres"):
        raise ConfigError(
            f"newsmill.submit cannot write to {scheme}://…; expected a data folder or a database URL (over HTTP: POST /api/v1/urls)"
        )
    if not mark:
        make_folder(Path(place).expanduser().absolute())
    engine = database.connect(place if mark else f"sqlite:///{Path(place).expanduser().absolute() / 'newsmill.sqlite'}")
    try:
        if not mark:
            database.upgrade(engine)
        database.check_schema(engine)
        yield Ledger(engine)
    finally:
        engine.dispose()


def make_folder(folder: Path) -> None:
    """Make a data folder. Raises ConfigError."""
    try:
        make_private_folder(folder)
    except OSError as error:
        raise ConfigError(f"the data folder {folder} cannot be made ({error.strerror}); name another one") from None


def configured() -> str:
    """The database URL of the settings, or their data folder."""
    found = settings.load()
    return found.database_url or str(found.data)
