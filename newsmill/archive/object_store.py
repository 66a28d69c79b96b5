"""Where files are kept: a folder, or an object store through fsspec, which only this file knows. A file appears whole or not at all."""

from __future__ import annotations

import errno
import fcntl
import io
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO, Protocol, TypeVar, cast

import fsspec  # type: ignore[import-untyped]  # it has no type hints
from fsspec.implementations.local import LocalFileSystem  # type: ignore[import-untyped]

from newsmill.exceptions import ConfigError, ServiceError
from newsmill.redaction import redact

T = TypeVar("T")
TEMPORARY_SUFFIX = ".tmp"
SCHEMES = ("file", "s3")
EXPECTED = "expected a folder, file:///path or s3://bucket/prefix"
FULL_MESSAGES = {errno.ENOSPC: "the disk is full", errno.EDQUOT: "the quota is used up", errno.EFBIG: "the file would be over a limit"}


@dataclass(frozen=True, slots=True)
class StoredObject:
    """A file of a place."""

    path: str  # relative, with slashes
    length: int  # bytes
    modified_at: datetime


@dataclass(frozen=True, slots=True)
class UsedSpace:
    """The disk a folder is on, in bytes."""

    total: int
    free: int  # to us, not to the superuser


class ObjectStore(Protocol):
    def put(self, path: str, fill: Callable[[BinaryIO], T], *, later: bool = False) -> T:
        """Write a new file by `fill`, whose result is given back once the file is safe. Raises ServiceError; then nothing is there.

        `later`: it is there at once, and safe from a power loss after the next `settle`.
        """

    def settle(self) -> None:
        """Make safe whatever was put with `later`."""

    def open(self, path: str) -> BinaryIO:
        """Raises FileNotFoundError, ServiceError."""

    def entries(self, under: str) -> Iterator[StoredObject]:
        """Every file under a folder, unfinished ones of crashed writers too."""

    def remove(self, path: str) -> None:
        """Remove a file; one that is gone already is no error."""

    def empty(self) -> bool:
        """Whether there is no file. Raises ServiceError."""

    def room(self) -> UsedSpace | None:
        """The disk; None where there is none to fill."""

    def claimed(self) -> AbstractContextManager[None]:
        """Inside it no other process may claim the place. Raises ServiceError where another one has. An object store has no locks."""


def open_object_store(
    url: str, options: Mapping[str, Any] | None = None, *, setting: str = "ARCHIVE_URL", what: str = "archive"
) -> ObjectStore:
    """The place a URL or a plain path names. `options` go to the object store's client; `setting` and `what` are how errors call it.
    Raises ConfigError."""
    scheme, mark, _ = url.partition("://")
    if "::" in url or (mark and scheme not in SCHEMES):  # some of fsspec's other file systems connect at once, and none is tested
        raise ConfigError(f"{setting} {redact(url)!r} cannot be used; {EXPECTED}")
    bucket = url.removeprefix("s3://").partition("/")[0]
    if scheme == "s3" and re.search("[:@]", bucket) and not bucket.startswith("arn:"):
        raise ConfigError(f"{setting} {redact(url)!r} has credentials; give them in AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY")
    try:
        files, root = fsspec.core.url_to_fs(url, **(options or {}))
    except (ImportError, ValueError) as error:
        extra = "pip install 'newsmill[s3]'" if isinstance(error, ImportError) else EXPECTED
        raise ConfigError(f"{setting} {redact(url)!r} cannot be used: {redact(str(error))}; {extra}") from error
    return LocalStore(Path(root), what) if isinstance(files, LocalFileSystem) else RemoteStore(files, root, url, what)


@contextmanager
def translate_errors(where: str, *errors: type[Exception]) -> Iterator[None]:
    """Foreign errors (OSError and `errors`) become ours here, once. A missing file stays a FileNotFoundError: callers expect it."""
    foreign: tuple[type[Exception], ...] = (OSError, *errors)
    try:
        yield
    except FileNotFoundError:
        raise
    except foreign as error:
        said = FULL_MESSAGES.get(getattr(error, "errno", None) or 0, str(error))
        raise ServiceError(f"{where}: {said}; what was being written is not there") from error


def client_errors(files: Any) -> tuple[type[Exception], ...]:
    """What a store's client raises besides the OSErrors that fsspec makes of the server's answers: no connection, no credentials."""
    if "s3" not in files.protocol:
        return ()
    from botocore.exceptions import BotoCoreError  # type: ignore[import-untyped]  # comes with the extra `s3`

    return (BotoCoreError,)


class LocalStore:
    """A folder: temporary file, fsync, rename, fsync of the folder, so that neither a kill nor a power loss shows half a file."""

    def __init__(self, root: Path, what: str = "archive") -> None:
        self._root = root
        self._where = f"{what} {root}"

    def put(self, path: str, fill: Callable[[BinaryIO], T], *, later: bool = False) -> T:
        final = self._root / path
        unfinished = final.with_name(final.name + TEMPORARY_SUFFIX)
        with translate_errors(self._where):
            self._make(final.parent)
            with ExitStack() as undo:
                undo.callback(unfinished.unlink, missing_ok=True)
                with unfinished.open("wb") as file:
                    result = fill(file)
                    file.flush()
                    if not later:
                        os.fsync(file.fileno())
                unfinished.rename(final)
                undo.pop_all()
            if not later:
                _sync_folder(final.parent)
        return result

    def settle(self) -> None:
        os.sync()  # every file system's everything: one call for thousands of small files, where an fsync for each takes minutes

    def _make(self, folder: Path) -> None:
        """Make a folder that outlives a power loss: each new level is synced in the level above."""
        if folder.is_dir():
            return
        missing = [level for level in (folder, *folder.parents) if not level.exists()]
        folder.mkdir(parents=True, exist_ok=True)
        for level in missing:
            _sync_folder(level.parent)

    def open(self, path: str) -> BinaryIO:
        with translate_errors(self._where):
            return (self._root / path).open("rb")

    def entries(self, under: str) -> Iterator[StoredObject]:
        for path in sorted((self._root / under).rglob("*")):
            with suppress(FileNotFoundError):  # finished or swept by another process since it was listed
                status = path.stat()
                if path.is_file():
                    modified = datetime.fromtimestamp(status.st_mtime, UTC)
                    yield StoredObject(path.relative_to(self._root).as_posix(), status.st_size, modified)

    def remove(self, path: str) -> None:
        with translate_errors(self._where), suppress(FileNotFoundError):
            (self._root / path).unlink()

    def empty(self) -> bool:
        with translate_errors(self._where), suppress(FileNotFoundError):
            return next(self._root.iterdir(), None) is None
        return True

    @contextmanager
    def claimed(self) -> Iterator[None]:
        with translate_errors(self._where):
            self._make(self._root)
            handle = os.open(self._root, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            yield
        except BlockingIOError:
            raise ServiceError(f"{self._where}: another process writes there; wait for it, or name another folder") from None
        finally:
            os.close(handle)  # which gives the lock back; a killed process gives it back too

    def room(self) -> UsedSpace | None:
        """None while the folder is not there yet."""
        try:
            disk = shutil.disk_usage(self._root)
        except OSError:
            return None
        return UsedSpace(disk.total, disk.free)


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


class RemoteStore:
    """An object store: an object appears whole when its upload ends, so there is nothing to rename."""

    def __init__(self, files: Any, root: str, url: str, what: str = "archive") -> None:
        self._files = files
        self._root = root.rstrip("/")
        self._where = f"{what} {redact(url)}"
        self._errors = client_errors(files)

    def put(self, path: str, fill: Callable[[BinaryIO], T], *, later: bool = False) -> T:
        with translate_errors(self._where, *self._errors), tempfile.NamedTemporaryFile() as file:
            result = fill(cast(BinaryIO, file))
            file.flush()
            self._files.put_file(file.name, f"{self._root}/{path}")
        return result

    def settle(self) -> None:
        """An object is safe when its upload has ended."""

    def open(self, path: str) -> BinaryIO:
        """The whole object at once: a segment is small, and one request is cheaper than one per page."""
        with translate_errors(self._where, *self._errors):
            return io.BytesIO(self._files.cat_file(f"{self._root}/{path}"))

    def entries(self, under: str) -> Iterator[StoredObject]:
        with translate_errors(self._where, *self._errors):
            self._files.invalidate_cache()  # it would not show what other processes wrote
            found = self._files.find(f"{self._root}/{under}", detail=True)
        for name, about in sorted(found.items()):
            yield StoredObject(name.removeprefix(f"{self._root}/"), about["size"], self._files.modified(name))

    def remove(self, path: str) -> None:
        with translate_errors(self._where, *self._errors), suppress(FileNotFoundError):
            self._files.rm_file(f"{self._root}/{path}")

    def empty(self) -> bool:
        with translate_errors(self._where, *self._errors), suppress(FileNotFoundError):
            self._files.invalidate_cache()
            return not self._files.ls(self._root, detail=False)
        return True

    @contextmanager
    def claimed(self) -> Iterator[None]:
        yield

    def room(self) -> UsedSpace | None:
        return None
