"""Reading a corpus from Python: `newsmill.open`. Over a store through newsmill.storage, over an API through HTTP, the same for both."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from newsmill.exceptions import ConfigError, NewsmillError

if TYPE_CHECKING:
    from newsmill.client.corpus import Corpus

DATABASE_FILE = "newsmill.sqlite"  # of a data folder
EXPECTED = "expected a data folder, sqlite:///path, postgresql://user:password@host/name or the http(s) address of a Newsmill"


def open_corpus(where: str | os.PathLike[str] | None = None, *, token: str | None = None) -> Corpus:
    """See `newsmill.open`."""
    place = _configured_location() if where is None else os.fspath(where)
    scheme, mark, _ = place.partition("://")
    if mark and scheme in ("http", "https"):
        # a reader of an API needs no SQL, and a reader of a store no HTTP client
        from newsmill.client.http import HttpCorpus

        return HttpCorpus(place, token)
    if token is not None:
        raise ConfigError("token= belongs to the http(s) address of a Newsmill")
    if mark and scheme.partition("+")[0] not in ("sqlite", "postgresql", "postgres"):
        raise ConfigError(f"newsmill.open: nothing can be read from {scheme}://…; {EXPECTED}")
    from newsmill.client.local import LocalCorpus

    return LocalCorpus(place if mark else f"sqlite:///{_database_path(Path(place))}")


def _configured_location() -> str:
    from newsmill import settings  # pydantic costs 0.1 s of CPU, which a named place need not spend

    found = settings.load()
    return found.database_url or str(found.data.expanduser())


def _database_path(path: Path) -> Path:
    found = path.expanduser().absolute()
    found = found / DATABASE_FILE if found.is_dir() else found
    if not found.is_file():
        raise NewsmillError(f"nothing is kept in {path}; {EXPECTED}")
    return found
