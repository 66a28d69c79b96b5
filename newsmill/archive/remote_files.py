"""Files at URLs of any file system that fsspec knows, for reading."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, BinaryIO, cast

from newsmill.archive.object_store import client_errors
from newsmill.exceptions import ConfigError
from newsmill.text.redaction import redact
from newsmill.version import install_hint

_URL = re.compile(r"[a-z][a-z0-9+.-]*://", re.IGNORECASE)


def is_url(name: str) -> bool:
    """Whether a file is named by a URL.

    >>> is_url("s3://bucket/pages.warc.gz"), is_url("pages.warc.gz")
    (True, False)
    """
    return _URL.match(name) is not None


def find_file_system(url: str) -> tuple[Any, str]:
    """The file system of a URL, and the path there. It connects to nothing. Raises ConfigError for a URL that cannot be read here."""
    # fsspec costs 0.05 s of CPU, which a path need not spend
    import fsspec  # type: ignore[import-untyped]  # it has no type hints

    try:
        files, path = fsspec.core.url_to_fs(url)
    except ImportError as error:
        hint = f"{error}; {install_hint('s3')}" if url.lower().startswith("s3://") else str(error)
        raise ConfigError(f"{redact(url)} cannot be read: {hint}") from error
    except (ValueError, OSError) as error:
        raise ConfigError(f"{redact(url)} cannot be read: {redact(str(error))}") from error
    return files, path


def list_remote(url: str, suffix: str) -> list[str]:
    """The URLs of the files below a folder that end in `suffix`, in order; of a file, its own. Raises ConfigError."""
    files, path = find_file_system(url)
    try:
        if not files.isdir(path):
            return [url]
        return [files.unstrip_protocol(one) for one in sorted(files.find(path)) if one.endswith(suffix)]
    except client_errors(files) as error:
        raise ConfigError(f"{redact(url)} cannot be read: {redact(str(error))}") from error


@contextmanager
def open_remote(url: str, block_bytes: int | None = None) -> Iterator[BinaryIO]:
    """The file at a URL. `block_bytes`: that are fetched at once, for a reader of single records; default: those of the file system.

    Raises ConfigError as `find_file_system`, and OSError, also in the block, if the file cannot be read.
    """
    files, path = find_file_system(url)
    try:
        with files.open(path, "rb", block_size=block_bytes) as file:
            if "http" in files.protocol:
                _require_ranges(file)
            yield cast(BinaryIO, file)
    except client_errors(files) as error:
        raise OSError(str(error)) from error


def _require_ranges(file: BinaryIO) -> None:
    """Raises OSError for a file of a server that sends only whole files."""
    try:
        file.seek(max(0, file.seek(0, io.SEEK_END) - 1))
        file.read(1)
        file.seek(0)
    except ValueError as error:
        raise OSError("the server does not send parts of files; download the file first") from error
