"""The output file of a command: complete or absent, unless it is a device or a pipe."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import secrets
import stat
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from newsmill.exceptions import ConfigError, NewsmillError
from newsmill.text.redaction import redact

URL = re.compile(r"[^/]*:(/|$)|.*::")  # of two slashes, a Path has one
DESCRIPTOR = re.compile(r"/(?:dev/fd|proc/self/fd)/(\d{1,6})|/dev/(stdin|stdout|stderr)")
STANDARD_DESCRIPTORS = {"stdin": 0, "stdout": 1, "stderr": 2}


def refuse_url(path: Path) -> None:
    """Raises ConfigError for a URL where only a path can be used. As a path it would be a folder such as "s3:"."""
    if URL.match(os.fspath(path)):
        raise ConfigError(f"{redact(os.fspath(path))[:200]!r} is a URL; give a path, and an absolute one if a folder is named so")


@contextlib.contextmanager
def open_output(path: Path | None) -> Iterator[BinaryIO]:
    """A binary file to write to; None means standard output.

    A regular file is written under another name in its folder, synced, and renamed at the end. It keeps the mode of the file it replaces.
    Symbolic links are followed. /dev/null, a FIFO or /dev/fd/3 is never replaced. Raises ConfigError if the file cannot be written.
    """
    if path is None:
        sys.stdout.flush()
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    refuse_url(path)
    try:
        existing = _stat(path)
        direct = _open_directly(path, existing)
        target = path.resolve()
        draft = target.with_name(f".{target.name}.{secrets.token_hex(4)}")  # containers on one volume have equal process ids
        out = direct or draft.open("xb")  # fails for a link: other users may have placed it in a shared folder
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        reason = error.strerror if isinstance(error, OSError) else error
        raise ConfigError(f"{path}: cannot be written ({reason})") from None
    if direct is not None:
        with direct:
            yield direct
        return
    try:
        with out:
            yield out
            out.flush()
            if existing is not None:
                os.fchmod(out.fileno(), stat.S_IMODE(existing.st_mode))
            os.fsync(out.fileno())
        draft.replace(target)
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise
        raise NewsmillError(f"{path}: nothing was written ({error.strerror})") from None
    finally:
        draft.unlink(missing_ok=True)


def _stat(path: Path) -> os.stat_result | None:
    try:
        return path.stat()
    except FileNotFoundError:
        return None


def _open_directly(path: Path, existing: os.stat_result | None) -> BinaryIO | None:
    """The open descriptor, device or pipe; None for a regular file or a new one."""
    if descriptor := DESCRIPTOR.fullmatch(os.fspath(path)):
        number = int(descriptor[1]) if descriptor[1] else STANDARD_DESCRIPTORS[descriptor[2]]
        return os.fdopen(os.dup(number), "wb")
    return path.open("wb") if existing is not None and not stat.S_ISREG(existing.st_mode) else None
