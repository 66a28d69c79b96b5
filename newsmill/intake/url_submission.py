"""URLs of single pages that are submitted for the crawler to fetch, by `newsmill submit`, `newsmill.submit` or the API."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path

from newsmill.context import AppContext, data_folder, open_context
from newsmill.exceptions import ConfigError
from newsmill.model import Link, SubmissionCounts
from newsmill.settings import Settings, load
from newsmill.storage.ledger import Ledger
from newsmill.storage.private_files import make_private_folder
from newsmill.text.urls import find_normal

BATCH_URLS = 500  # of one transaction, which keeps the write lock short


def submit(urls: Iterable[str], source: str | None, again: bool, where: str | os.PathLike[str] | None) -> SubmissionCounts:
    """See `newsmill.submit`."""
    if isinstance(urls, str):  # it would be submitted letter by letter
        raise ConfigError("newsmill.submit expects a list of URLs, not one string; write [url]")
    with open_target(source, where) as app:
        return add_urls(app.ledger, _check_strings(urls), now=datetime.now(UTC), source=source, again=again)


@contextmanager
def open_target(source: str | None, where: str | os.PathLike[str] | None) -> Iterator[AppContext]:
    """The store to submit to, and a check of the source that is submitted for. Raises ConfigError."""
    if source is not None and not isinstance(source, str):
        raise ConfigError(f"source= expects the name of a source, not {type(source).__name__}")
    settings = load() if where is None else settings_for(os.fspath(where))
    is_folder = settings.database_url is None
    if is_folder:
        make_folder(data_folder(settings))
    with open_context(settings, create=is_folder) as app:
        if source is not None and app.ledger.sources.get(source) is None:
            raise ConfigError(f"source {source!r} does not exist; add it with `newsmill add`")
        yield app


def _check_strings(urls: Iterable[str]) -> Iterator[str]:
    for url in urls:
        if not isinstance(url, str):  # such as the NaN that pandas has for a missing value
            raise ConfigError(f"newsmill.submit expects URLs as strings, not {type(url).__name__}: {url!r}"[:200])
        yield url


def add_urls(ledger: Ledger, urls: Iterable[str], *, now: datetime, source: str | None = None, again: bool = False) -> SubmissionCounts:
    """Add URLs to the ledger, also those that cannot be fetched. Returns how many were new, known and bad."""
    new = known = bad = queued_again = 0
    rest = iter(urls)
    while batch := list(islice(rest, BATCH_URLS)):
        good = [url for url in batch if find_normal(url)]
        added = ledger.links.add([Link(url=url, source=source) for url in good], now=now, again=again)
        ledger.links.add([Link(url=url, source=source) for url in batch if not find_normal(url)], now=now)
        new, known, bad = new + added.new, known + added.known, bad + len(batch) - len(good)
        queued_again += added.again
    return SubmissionCounts(new, known, bad, queued_again)


def settings_for(where: str) -> Settings:
    """The settings for a data folder or a database URL. Raises ConfigError for other URLs."""
    scheme, separator, _ = where.partition("://")
    if not separator:
        return Settings.model_validate({"data": Path(where)})
    if scheme.partition("+")[0] not in ("sqlite", "postgresql", "postgres"):
        raise ConfigError(
            f"newsmill.submit cannot write to {scheme}://…; expected a data folder or a database URL (over HTTP: POST /api/v1/urls)"
        )
    return Settings.model_validate({"database_url": where})


def make_folder(folder: Path) -> None:
    """Make a data folder. Raises ConfigError."""
    try:
        make_private_folder(folder)
    except OSError as error:
        raise ConfigError(f"the data folder {folder} cannot be made ({error.strerror}); name another folder") from None
