"""`newsmill.open`: a corpus read from Python, from a store or from the HTTP API of a server."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from newsmill.exceptions import ConfigError, NewsmillError

if TYPE_CHECKING:
    from newsmill.client.corpus import Corpus

DATABASE_FILE = "newsmill.sqlite"  # of a data folder
EXPECTED = "expected a data folder, sqlite:///path, postgresql://user:password@host/name or the http(s) URL of a Newsmill server"


def open_corpus(where: str | os.PathLike[str] | None = None, *, token: str | None = None) -> Corpus:
    """See `newsmill.open`."""
    location = _configured_location() if where is None else os.fspath(where)
    scheme, separator, _ = location.partition("://")
    if separator and scheme in ("http", "https"):
        # reading an API needs no SQL, and reading a store no HTTP client
        from newsmill.client.http import HttpCorpus

        return HttpCorpus(location, token)
    if token is not None:
        raise ConfigError("token= belongs to the http(s) URL of a Newsmill server")
    if separator and scheme.partition("+")[0] not in ("sqlite", "postgresql", "postgres"):
        raise ConfigError(f"newsmill.open cannot read {scheme}://…; {EXPECTED}")
    from newsmill.client.local import LocalCorpus

    if separator and scheme.partition("+")[0] == "sqlite":
        path = location.partition("://")[2].removeprefix("/").partition("?")[0]
        if path and not Path(path).exists():
            raise NewsmillError(f"{path} does not exist; {EXPECTED}")
    return LocalCorpus(location if separator else f"sqlite:///{_database_path(Path(location))}")


def _configured_location() -> str:
    from newsmill import settings  # pydantic costs 0.1 s of CPU, which a given location does not need

    found = settings.load()
    return found.database_url or str(found.data.expanduser())


def _database_path(path: Path) -> Path:
    found = path.expanduser().absolute()
    found = found / DATABASE_FILE if found.is_dir() else found
    if not found.is_file():
        raise NewsmillError(f"{path} has no Newsmill database; {EXPECTED}")
    return found
