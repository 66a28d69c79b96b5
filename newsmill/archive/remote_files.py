"""Files at URLs, for reading: `file://`, `s3://` and `http(s)://`.

The URLs are typed by the operator, as arguments of a command or of a Python function, or were when the archive noted them. No URL of an
API, a job, a queue or a document comes here. The other file systems of fsspec connect where they like, so none can be named.

SECURITY.md says what is evidence for what.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, cast

from newsmill.archive.buckets import client_errors, open_buckets
from newsmill.archive.object_store import find_local_path
from newsmill.exceptions import ConfigError
from newsmill.text.redaction import redact

_URL = re.compile(r"[^/]*://")
_READABLE = re.compile(r"file://(localhost)?/.|s3://[^/:@]+(/|$)|https?://[^/]", re.IGNORECASE)


def is_url(name: str) -> bool:
    """Whether a file is named by a URL.

    >>> is_url("s3://bucket/pages.warc.gz"), is_url("pages.warc.gz")
    (True, False)
    """
    return _URL.match(name) is not None


def check_url(url: str) -> None:
    """Raises ConfigError for a URL that cannot be read here. It connects to nothing."""
    if "::" in url or not _READABLE.match(url):
        expected = "expected file:///path, s3://bucket/path or http(s)://host/path"
        raise ConfigError(f"{redact(url)[:200]!r} cannot be read; {expected}")
    if _is_in_bucket(url):
        _find_bucket(url)


def _is_in_bucket(url: str) -> bool:
    return url[:5].lower() == "s3://"


def _is_http(url: str) -> bool:
    return url[:4].lower() == "http"


def _find_bucket(url: str) -> tuple[Any, str]:
    """The file system of a bucket, and the path there. Raises ConfigError without the extra `s3`."""
    try:
        return open_buckets(), url[5:]
    except ImportError as error:
        raise ConfigError(f"{redact(url)} cannot be read: {error}") from error


def list_remote(url: str, suffix: str) -> list[str]:
    """The URLs of the files below a folder that end in `suffix`, in order; of a file, its own. On a web server, every URL is a file.

    Raises ConfigError.
    """
    check_url(url)
    if _is_http(url):
        return [url]
    if not _is_in_bucket(url):
        path = find_local_path(url)
        return [f"file://{one}" for one in sorted(path.rglob(f"*{suffix}"))] if path.is_dir() else [url]
    files, place = _find_bucket(url)
    errors: tuple[type[Exception], ...] = (OSError, *client_errors())
    try:
        if not files.isdir(place):
            return [url]
        return [f"s3://{one}" for one in sorted(files.find(place)) if one.endswith(suffix)]
    except errors as error:
        raise ConfigError(f"{redact(url)} cannot be read: {redact(str(error))}") from error


def read_version(name: str) -> str | None:
    """What another content of the file at a path or URL has otherwise: its size, and its time or what a server states in place of it.

    None for a file that is missing or cannot be reached. Raises ConfigError as `check_url`.
    """
    try:
        if is_url(name):
            return find_version(name)
        status = Path(name).stat()
    except OSError:
        return None
    return f"{status.st_size} {status.st_mtime_ns}"


@contextmanager
def open_remote(url: str, block_bytes: int | None = None) -> Iterator[BinaryIO]:
    """The file at a URL. `block_bytes`: that are fetched at once, for a reader of single records; default: 4 MB, and 50 MB of a bucket.

    Raises ConfigError as `check_url`, and OSError, also in the block, if the file cannot be read.
    """
    check_url(url)
    if _is_http(url):
        from newsmill.archive.http_file import open_http  # settings and h11 cost 0.1 s of CPU, which a path need not spend

        with open_http(url, block_bytes) as file:
            yield file
    elif not _is_in_bucket(url):
        with find_local_path(url).open("rb") as file:
            yield file
    else:
        files, place = _find_bucket(url)
        if "/" not in place.strip("/"):
            raise ConfigError(f"{redact(url)} is a bucket, not a file; add the path of the file")
        try:
            with files.open(place, "rb", block_size=block_bytes) as file:
                yield cast(BinaryIO, file)
        except client_errors() as error:
            raise OSError(str(error)) from error


def find_version(url: str) -> str:
    """What changes with the contents of the file. Raises ConfigError and OSError as `open_remote`."""
    check_url(url)
    if _is_http(url):
        from newsmill.archive.http_file import HttpFile  # see open_remote

        return HttpFile(url).version
    if not _is_in_bucket(url):
        status = find_local_path(url).stat()
        return f"{status.st_mtime_ns} {status.st_size}"
    files, place = _find_bucket(url)
    try:
        files.invalidate_cache()  # it does not have what other processes wrote
        return str(files.ukey(place))
    except client_errors() as error:
        raise OSError(str(error)) from error
