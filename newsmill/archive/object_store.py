"""Object stores: a folder, or a bucket (buckets.py). An object appears whole or not at all."""

from __future__ import annotations

import errno
import fcntl
import io
import os
import re
import secrets
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO, Protocol, TypeVar, cast

from newsmill.archive.buckets import client_errors, open_buckets
from newsmill.exceptions import ConfigError, ServiceError
from newsmill.text.redaction import redact

T = TypeVar("T")
TEMPORARY_SUFFIX = ".tmp"
_SHARED_NAME = re.compile(r"\.[0-9a-f]{8}\.tmp$")
SCHEMES = ("file", "s3")
EXPECTED = "expected a folder, file:///path or s3://bucket/prefix"
FULL_MESSAGES = {errno.ENOSPC: "the disk is full", errno.EDQUOT: "the quota is used up", errno.EFBIG: "the file would be over a limit"}


@dataclass(frozen=True, slots=True)
class StoredObject:
    """An object in a store."""

    path: str  # relative, with slashes
    length: int  # bytes
    modified_at: datetime


@dataclass(frozen=True, slots=True)
class DiskUsage:
    """The disk of a folder, in bytes."""

    total: int
    free: int  # for this user, not for the superuser


class ObjectStore(Protocol):
    def put(self, path: str, fill: Callable[[BinaryIO], T], *, defer_sync: bool = False, is_shared: bool = False) -> T:
        """Write a new object with `fill` and return its result, once the object is on disk. Raises ServiceError without leaving an object.

        `defer_sync`: the object is there at once, but survives a power loss only after the next `sync`.
        `is_shared`: several processes may write the object at once. Each has an unfinished file of its own, which a kill leaves behind;
        without it, the next writer of the object replaces that file.
        """

    def remove_unfinished(self, folder: str) -> None:
        """Remove the unfinished files of `is_shared` in a folder that no process writes to. Raises ServiceError."""

    def sync(self) -> None:
        """Bring objects to disk that were put with `defer_sync`."""

    def open(self, path: str) -> BinaryIO:
        """Raises FileNotFoundError, ServiceError."""

    def list_objects(self, folder: str) -> Iterator[StoredObject]:
        """Every object under a folder, also unfinished ones of crashed writers. Raises ServiceError."""

    def remove(self, path: str) -> None:
        """Remove an object, if it exists."""

    def move(self, path: str, target: str) -> None:
        """Give an object another path, if it exists. Raises ServiceError."""

    def is_empty(self) -> bool:
        """Whether the store has no object. Unfinished files of crashed writers do not count. Raises ServiceError."""

    def disk_usage(self) -> DiskUsage | None:
        """The disk of the store; None for a bucket."""

    def lock(self) -> AbstractContextManager[None]:
        """An exclusive lock on the store. Raises ServiceError when another process holds it. A bucket has no locks."""


def open_object_store(
    url: str, options: Mapping[str, Any] | None = None, *, setting: str = "ARCHIVE_URL", what: str = "archive"
) -> ObjectStore:
    """The store at a URL or path. `options` go to the client of a bucket; error messages name `setting` and `what`. Raises ConfigError."""
    scheme, mark, _ = url.partition("://")
    if "::" in url or (mark and scheme not in SCHEMES):  # other file systems of fsspec are not tested, and some connect at once
        raise ConfigError(f"{setting} {redact(url)!r} cannot be used; {EXPECTED}")
    bucket = url.removeprefix("s3://").partition("/")[0]
    if scheme == "s3" and re.search("[:@]", bucket) and not bucket.startswith("arn:"):
        raise ConfigError(f"{setting} {redact(url)!r} has credentials; give them in AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY")
    if scheme == "file" and not re.match("(localhost)?/", url.removeprefix("file://")):  # RFC 8089: it would be a host
        raise ConfigError(f"{setting} {redact(url)!r} is not the path of a folder; {EXPECTED}")
    if not url.startswith("s3://"):
        return LocalStore(find_local_path(url), what)
    try:
        files = open_buckets(options)
    except (ImportError, ValueError) as error:
        raise ConfigError(f"{setting} {redact(url)!r} cannot be used: {redact(str(error))}") from error
    return RemoteStore(files, url.removeprefix("s3://"), url, what)


def find_local_path(url: str) -> Path:
    """The path of a file URL, or of a path."""
    return Path(re.sub("^file:(//(localhost)?(?=/))?", "", url, flags=re.IGNORECASE)).expanduser().absolute()


@contextmanager
def translate_errors(where: str, *errors: type[Exception], keep_missing: bool = False) -> Iterator[None]:
    """OSError and `errors` become ServiceError. With `keep_missing`, a missing file stays a FileNotFoundError."""
    foreign: tuple[type[Exception], ...] = (OSError, *errors)
    try:
        yield
    except foreign as error:
        if keep_missing and isinstance(error, FileNotFoundError):
            raise
        message = FULL_MESSAGES.get(getattr(error, "errno", None) or 0, " ".join(str(error).split()))
        raise ServiceError(f"{where}: {message}; nothing was written") from error


class LocalStore:
    """A folder. Temporary file, fsync, rename, fsync of the folder: neither a kill nor a power loss leaves half a file."""

    def __init__(self, root: Path, what: str = "archive") -> None:
        self._root = root
        self._where = f"{what} {root}"

    def put(self, path: str, fill: Callable[[BinaryIO], T], *, defer_sync: bool = False, is_shared: bool = False) -> T:
        final = self._root / path
        with translate_errors(self._where):
            self._make_folder(final.parent)
            unfinished, opened = _open_shared(final) if is_shared else _open_unfinished(final, "")
            with ExitStack() as undo:
                undo.callback(unfinished.unlink, missing_ok=True)
                with opened as file:
                    result = fill(file)
                    file.flush()
                    if not defer_sync:
                        os.fsync(file.fileno())
                    unfinished.rename(final)  # before the lock ends, or `remove_unfinished` removes the file
                undo.pop_all()
            if not defer_sync:
                _sync_folder(final.parent)
        return result

    def remove_unfinished(self, folder: str) -> None:
        with translate_errors(self._where):
            paths = walk_files(self._root / folder)
        for path in paths:
            if _SHARED_NAME.search(path.name):
                with suppress(OSError), path.open("rb") as file:  # its writer has the lock, or the file system has none
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    path.unlink()

    def sync(self) -> None:
        os.sync()  # one call for thousands of small files, where an fsync for each takes minutes

    def _make_folder(self, folder: Path) -> None:
        """Make a folder that survives a power loss: each new level is synced in the level above."""
        if folder.is_dir():
            return
        missing = [level for level in (folder, *folder.parents) if not level.exists()]
        folder.mkdir(parents=True, exist_ok=True)
        for level in missing:
            _sync_folder(level.parent)

    def open(self, path: str) -> BinaryIO:
        with translate_errors(self._where, keep_missing=True):
            return (self._root / path).open("rb")

    def list_objects(self, folder: str) -> Iterator[StoredObject]:
        with translate_errors(self._where):
            paths = walk_files(self._root / folder)
        for path in paths:
            with suppress(FileNotFoundError):  # renamed or removed by another process since it was listed
                status = path.stat()
                modified = datetime.fromtimestamp(status.st_mtime, UTC)
                yield StoredObject(path.relative_to(self._root).as_posix(), status.st_size, modified)

    def remove(self, path: str) -> None:
        with translate_errors(self._where), suppress(FileNotFoundError):
            (self._root / path).unlink()

    def move(self, path: str, target: str) -> None:
        with translate_errors(self._where), suppress(FileNotFoundError):
            self._make_folder((self._root / target).parent)
            (self._root / path).rename(self._root / target)

    def is_empty(self) -> bool:
        with translate_errors(self._where), suppress(FileNotFoundError):
            return all(path.name.endswith(TEMPORARY_SUFFIX) for path in self._root.iterdir())
        return True

    @contextmanager
    def lock(self) -> Iterator[None]:
        with translate_errors(self._where):
            self._make_folder(self._root)
            handle = os.open(self._root, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            yield
        except BlockingIOError:
            raise ServiceError(f"{self._where}: another process writes there; wait for it, or name another folder") from None
        finally:
            os.close(handle)  # releases the lock, as the end of a killed process does

    def disk_usage(self) -> DiskUsage | None:
        """None while the folder does not exist."""
        try:
            disk = shutil.disk_usage(self._root)
        except OSError:
            return None
        return DiskUsage(disk.total, disk.free)


def _open_unfinished(final: Path, own: str) -> tuple[Path, BinaryIO]:
    unfinished = final.with_name(f"{final.name}{own}{TEMPORARY_SUFFIX}")
    return unfinished, unfinished.open("wb")


def _open_shared(final: Path) -> tuple[Path, BinaryIO]:
    """An unfinished file that is locked until it is closed: without a lock, `remove_unfinished` takes it for that of a killed writer."""
    while True:
        unfinished, file = _open_unfinished(final, f".{secrets.token_hex(4)}")
        with suppress(OSError):  # a file system without locks
            fcntl.flock(file, fcntl.LOCK_EX)
        if os.fstat(file.fileno()).st_nlink:  # else it was removed before it was locked
            return unfinished, file
        file.close()


def walk_files(folder: Path) -> list[Path]:
    """The files under a folder, in order; also those behind a link, as of a year that was moved to another disk.

    Raises OSError for a folder that exists and cannot be read: an archive that belongs to another user is not empty.
    """
    return sorted(Path(inner) / name for inner, _, names in os.walk(folder, followlinks=True, onerror=_refuse_unreadable) for name in names)


def _refuse_unreadable(error: OSError) -> None:
    if not isinstance(error, FileNotFoundError):
        raise error


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


class RemoteStore:
    """A bucket. An object appears whole when its upload ends, so there is nothing to rename."""

    def __init__(self, files: Any, root: str, url: str, what: str = "archive") -> None:
        self._files = files
        self._root = root.rstrip("/")
        self._where = f"{what} {redact(url)}"
        self._errors = client_errors()

    def put(self, path: str, fill: Callable[[BinaryIO], T], *, defer_sync: bool = False, is_shared: bool = False) -> T:
        with translate_errors(self._where, *self._errors), tempfile.NamedTemporaryFile() as file:
            result = fill(cast(BinaryIO, file))
            file.flush()
            try:
                self._files.put_file(file.name, f"{self._root}/{path}")
            except FileNotFoundError:
                raise ServiceError(f"{self._where}: the bucket does not exist") from None
        return result

    def remove_unfinished(self, folder: str) -> None:
        """Nothing to do: an upload that ends early leaves nothing."""

    def sync(self) -> None:
        """Nothing to do: an object is stored when its upload ends."""

    def open(self, path: str) -> BinaryIO:
        """Read the whole object: a segment is small, and one request is cheaper than one per page."""
        with translate_errors(self._where, *self._errors, keep_missing=True):
            return io.BytesIO(self._files.cat_file(f"{self._root}/{path}"))

    def list_objects(self, folder: str) -> Iterator[StoredObject]:
        with translate_errors(self._where, *self._errors):
            self._files.invalidate_cache()  # it does not have what other processes wrote
            found = self._files.find(f"{self._root}/{folder}", detail=True)
        for name, about in sorted(found.items()):
            yield StoredObject(name.removeprefix(f"{self._root}/"), about["size"], self._files.modified(name))

    def remove(self, path: str) -> None:
        with translate_errors(self._where, *self._errors), suppress(FileNotFoundError):
            self._files.rm_file(f"{self._root}/{path}")

    def move(self, path: str, target: str) -> None:
        with translate_errors(self._where, *self._errors), suppress(FileNotFoundError):
            self._files.mv(f"{self._root}/{path}", f"{self._root}/{target}")

    def is_empty(self) -> bool:
        with translate_errors(self._where, *self._errors), suppress(FileNotFoundError):
            self._files.invalidate_cache()
            return not self._files.ls(self._root, detail=False)
        return True

    @contextmanager
    def lock(self) -> Iterator[None]:
        yield

    def disk_usage(self) -> DiskUsage | None:
        return None
