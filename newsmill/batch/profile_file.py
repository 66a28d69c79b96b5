"""A file of site profiles: JSON lines, packed with gzip. The first says the format and what the profiles were learned from.

The file may be a stranger's. It is checked as a whole when it is opened, and unpacked into a database of this process's own, in which pages
find their sites.

SECURITY.md says what is evidence for what.
"""

from __future__ import annotations

import gzip
import json
import sqlite3
import zlib
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, closing
from dataclasses import replace
from datetime import UTC, datetime
from functools import lru_cache
from hashlib import blake2b
from multiprocessing.util import get_temp_dir
from pathlib import Path
from secrets import token_hex
from types import TracebackType
from typing import BinaryIO

from pydantic_core import from_json

from newsmill.archive.remote_files import is_url, open_remote, read_version
from newsmill.exceptions import ConfigError
from newsmill.model import Profile
from newsmill.model.lazy_adapter import make_adapter
from newsmill.sandbox.page_messages import MAX_PROFILES, to_json
from newsmill.text.redaction import redact
from newsmill.text.urls import get_profile_site

FORMAT = 2
PROFILE_ADAPTER = make_adapter(Profile)
MAX_LINE_BYTES = 4 << 20  # of a profile
MAX_UNPACKED_BYTES = 1 << 30  # of a file; a profile has some 5 kB
MAX_PAGES = 1 << 31  # of which a profile was learned
_SQLITE = b"SQLite format 3\0"  # of format 1, which could run what a stranger wrote into it


def write_profiles(path: Path, profiles: Iterable[Profile], sources: str) -> None:
    """Write the profiles, in order of their sites, to a new file. `sources` names what they were learned from."""
    with path.open("wb") as out, gzip.GzipFile(filename="", mode="wb", fileobj=out, mtime=0) as packed:
        packed.write(json.dumps({"format": FORMAT, "sources": sources}).encode() + b"\n")
        for profile in profiles:
            packed.write(to_json(PROFILE_ADAPTER, replace(profile, version=1)) + b"\n")


class ProfileFile:
    """The profiles of a file, for one thread. A context manager. `digest` depends on the profiles alone."""

    def __init__(self, name: str) -> None:
        """`name`: a path or URL. Raises ConfigError for a file that has anything but profiles of this format."""
        self._resources = ExitStack()
        try:
            path = _unpack(name)
            self._database = self._resources.enter_context(closing(sqlite3.connect(f"{path.as_uri()}?mode=ro&immutable=1", uri=True)))
            digest, sources = self._database.execute("SELECT digest, sources FROM about").fetchone()
        except (OSError, EOFError, zlib.error, ValueError, TypeError) as error:
            self._resources.close()
            raise ConfigError(f"{redact(name)} cannot be read as a file of site profiles: {redact(str(error))}") from error
        self.digest, self.sources = str(digest), str(sources)
        # As many as the sandbox's child keeps, each as one object, by which the sandbox knows it.
        self.find = lru_cache(maxsize=MAX_PROFILES)(self._find)

    def _find(self, site: str) -> Profile | None:
        """The profile of a site."""
        return next(self._select("SELECT data FROM profiles WHERE site = ?", site), None)

    def at(self, site: str, fetched_at: datetime) -> Profile | None:
        """The profile for a page fetched at that time; None also for a page with an older layout."""
        profile = self.find(site)
        return None if profile is None or (profile.since is not None and fetched_at < profile.since) else profile

    def __iter__(self) -> Iterator[Profile]:
        """All profiles, in order of their sites."""
        return self._select("SELECT data FROM profiles ORDER BY site")

    def _select(self, statement: str, *values: str) -> Iterator[Profile]:
        for (data,) in self._database.execute(statement, values):
            yield PROFILE_ADAPTER.validate_json(zlib.decompress(data))

    def __enter__(self) -> ProfileFile:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._resources.close()


def _unpack(name: str) -> Path:
    """A database of a file's profiles, which this process and those that it starts share. multiprocessing removes it at the end.

    Raises OSError, EOFError, zlib.error or ValueError for a file that has anything else.
    """
    key = blake2b(f"{name if is_url(name) else Path(name).expanduser().absolute()} {read_version(name)}".encode(errors="surrogateescape"))
    made = Path(get_temp_dir(), f"profiles-{key.hexdigest()[:16]}")
    if not made.exists():
        unfinished = made.with_suffix(f".{token_hex(4)}")  # other threads may unpack it, too
        opened = open_remote(name) if is_url(name) else Path(name).expanduser().open("rb")
        try:
            with opened as file, closing(sqlite3.connect(unfinished, isolation_level=None)) as database:
                _fill(database, file)
            unfinished.rename(made)
        finally:
            unfinished.unlink(missing_ok=True)
    return made


def _fill(database: sqlite3.Connection, file: BinaryIO) -> None:
    if file.read(len(_SQLITE)) == _SQLITE:
        raise ValueError("it is of an older version; export or learn the profiles again")
    file.seek(0)
    digest = blake2b(digest_size=16)
    database.execute("PRAGMA journal_mode = OFF")
    database.execute("CREATE TABLE about (digest TEXT NOT NULL, sources TEXT NOT NULL)")
    database.execute("CREATE TABLE profiles (site TEXT PRIMARY KEY, data BLOB NOT NULL) WITHOUT ROWID")
    database.execute("BEGIN")
    lines = _read_lines(file)
    about = from_json(next(lines, b"null"))  # unlike json, it refuses deep nesting by a ValueError
    if not isinstance(about, dict) or about.get("format") != FORMAT or not isinstance(about.get("sources"), str):
        raise ValueError(f"its first line is not that of format {FORMAT}; export or learn the profiles again")
    last: str | None = None
    now = datetime.now(UTC)
    for number, line in enumerate(lines, 2):
        try:
            profile = PROFILE_ADAPTER.validate_json(line)
            _check(profile, last, now)
        except ValueError as error:
            raise ValueError(f"line {number}: {str(error).splitlines()[0]}") from None
        last, data = profile.site, to_json(PROFILE_ADAPTER, profile)
        digest.update(len(data).to_bytes(8, "big") + data)
        database.execute("INSERT INTO profiles VALUES (?, ?)", (profile.site, zlib.compress(data, 1)))
    database.execute("INSERT INTO about VALUES (?, ?)", (digest.hexdigest(), about["sources"]))
    database.execute("COMMIT")


def _read_lines(file: BinaryIO) -> Iterator[bytes]:
    size = 0
    with gzip.GzipFile(fileobj=file, mode="rb") as packed:
        while line := packed.readline(MAX_LINE_BYTES + 1):
            size += len(line)
            if len(line) > MAX_LINE_BYTES or size > MAX_UNPACKED_BYTES:
                raise ValueError(f"it unpacks to more than {MAX_LINE_BYTES:,} bytes a line, or {MAX_UNPACKED_BYTES:,} bytes")
            yield line


def _check(profile: Profile, last: str | None, now: datetime) -> None:
    """Raises ValueError for what no export has. `last`: the site before."""
    if get_profile_site(f"https://{profile.site}/") != profile.site or (last is not None and profile.site <= last):
        raise ValueError(f"{profile.site[:100]!r} is not the next site")
    if not 0 <= profile.pages < MAX_PAGES:
        raise ValueError(f"{profile.pages:,} pages")
    if profile.since is not None and (profile.since.tzinfo is None or profile.since > now):
        raise ValueError(f"a layout since {profile.since.isoformat()}")


def read_digest(name: str) -> str:
    """The digest of a file's profiles. Raises ConfigError for a file that has none."""
    with ProfileFile(name) as profiles:
        return profiles.digest
