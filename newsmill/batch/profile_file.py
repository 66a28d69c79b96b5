"""A file of site profiles: an SQLite database with one row per site, read by site while pages are extracted."""

from __future__ import annotations

import shutil
import sqlite3
import zlib
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, closing
from dataclasses import replace
from datetime import datetime
from functools import lru_cache
from hashlib import blake2b
from multiprocessing.util import get_temp_dir
from pathlib import Path
from secrets import token_hex
from types import TracebackType

from newsmill.archive.remote_files import find_version, is_url, open_remote
from newsmill.exceptions import ConfigError
from newsmill.model import Profile
from newsmill.model.lazy_adapter import make_adapter
from newsmill.sandbox.page_messages import MAX_PROFILES, to_json
from newsmill.text.redaction import redact

FORMAT = 1
PROFILE_ADAPTER = make_adapter(Profile)


def write_profiles(path: Path, profiles: Iterable[Profile], sources: str) -> None:
    """Write the profiles, in order of their sites, to a new file. `sources` names what they were learned from.

    The digest in the file depends on the profiles alone.
    """
    digest = blake2b(digest_size=16)
    with closing(sqlite3.connect(path, isolation_level=None)) as database:
        database.execute("PRAGMA journal_mode = OFF")
        database.execute("CREATE TABLE about (format INTEGER NOT NULL, digest TEXT NOT NULL, sources TEXT NOT NULL)")
        database.execute("CREATE TABLE profiles (site TEXT PRIMARY KEY, pages INTEGER NOT NULL, data BLOB NOT NULL) WITHOUT ROWID")
        database.execute("BEGIN")
        for profile in profiles:
            data = to_json(PROFILE_ADAPTER, replace(profile, version=1))
            digest.update(len(data).to_bytes(8, "big") + data)
            database.execute("INSERT INTO profiles VALUES (?, ?, ?)", (profile.site, profile.pages, zlib.compress(data)))
        database.execute("INSERT INTO about VALUES (?, ?, ?)", (FORMAT, digest.hexdigest(), sources))
        database.execute("COMMIT")


class ProfileFile:
    """The profiles of a file, for one thread. A context manager."""

    def __init__(self, name: str) -> None:
        """`name`: a path or URL; a file at a URL is copied first. Raises ConfigError for a file that has no profiles of this format."""
        self._resources, self._name = ExitStack(), redact(name)
        try:
            self._database = self._open(name)
            form, digest, sources = self._database.execute("SELECT format, digest, sources FROM about").fetchone()
        except (OSError, sqlite3.Error, TypeError, ValueError) as error:
            self._resources.close()
            raise ConfigError(f"{redact(name)} cannot be read as a file of site profiles: {redact(str(error))}") from error
        if form != FORMAT:
            self._resources.close()
            raise ConfigError(f"{redact(name)} has site profiles in format {form}; this version reads format {FORMAT}: learn them again")
        self.digest, self.sources = str(digest), str(sources)
        # As many as the sandbox's child keeps, each as one object, by which the sandbox knows it.
        self.find = lru_cache(maxsize=MAX_PROFILES)(self._find)

    def _open(self, name: str) -> sqlite3.Connection:
        path = _copy(name) if is_url(name) else Path(name).expanduser().absolute()
        path.open("rb").close()  # whose error says more than SQLite's
        return self._resources.enter_context(closing(sqlite3.connect(f"{path.as_uri()}?mode=ro&immutable=1", uri=True)))

    def _find(self, site: str) -> Profile | None:
        """The profile of a site. Raises ConfigError if it is damaged."""
        return next(self._select("SELECT site, data FROM profiles WHERE site = ?", site), None)

    def at(self, site: str, fetched_at: datetime) -> Profile | None:
        """The profile for a page fetched at that time; None also for a page with an older layout."""
        profile = self.find(site)
        return None if profile is None or (profile.since is not None and fetched_at < profile.since) else profile

    def __iter__(self) -> Iterator[Profile]:
        """All profiles, in order of their sites. Raises ConfigError as `find`."""
        return self._select("SELECT site, data FROM profiles ORDER BY site")

    def _select(self, statement: str, *values: str) -> Iterator[Profile]:
        try:
            for site, data in self._database.execute(statement, values):
                yield self._read(site, data)
        except sqlite3.Error as error:
            raise ConfigError(f"{self._name} is damaged: {error}; learn or copy its profiles again") from error

    def _read(self, site: str, data: bytes) -> Profile:
        try:
            return PROFILE_ADAPTER.validate_json(zlib.decompress(data))
        except (zlib.error, TypeError, ValueError) as error:
            raise ConfigError(f"{self._name} has a damaged profile of {site}: {error}") from error

    def __enter__(self) -> ProfileFile:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._resources.close()


def _copy(url: str) -> Path:
    """A local copy of a file, which this process and those that it starts share. multiprocessing removes it at the end."""
    with open_remote(url) as file:
        name = blake2b(f"{url} {find_version(url)}".encode(errors="surrogateescape"), digest_size=8).hexdigest()
        copy = Path(get_temp_dir(), f"profiles-{name}")
        if not copy.exists():
            unfinished = copy.with_suffix(f".{token_hex(4)}")  # other threads may copy it, too
            with unfinished.open("wb") as out:
                shutil.copyfileobj(file, out)
            unfinished.rename(copy)
    return copy


def read_digest(name: str) -> str:
    """The digest of a file's profiles. Raises ConfigError for a file that has none."""
    with ProfileFile(name) as profiles:
        return profiles.digest
