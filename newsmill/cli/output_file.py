"""The file a command writes to: a regular file appears when it is complete; a device, a pipe or an open descriptor is written through."""

from __future__ import annotations

import contextlib
import os
import re
import stat
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from newsmill.exceptions import ConfigError

_DESCRIPTOR = re.compile(r"/(?:dev/fd|proc/self/fd)/(\d{1,6})|/dev/(stdin|stdout|stderr)")
_STANDARD = {"stdin": 0, "stdout": 1, "stderr": 2}


@contextlib.contextmanager
def opened(path: Path | None) -> Iterator[BinaryIO]:
    """A binary file to write to; None means standard output.

    A regular file is written under another name in its folder, synced, and renamed at the end. It keeps the mode of the file it replaces.
    A symbolic link is followed. Everything else (/dev/null, a FIFO, /dev/fd/3) is never replaced. Raises ConfigError.
    """
    if path is None:
        sys.stdout.flush()
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    try:
        existing = _status(path)
        through = _through(path, existing)
        target = path.resolve()
        draft = target.with_name(f".{target.name}.{os.getpid()}")
        out = through or _new(draft)
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        said = error.strerror if isinstance(error, OSError) else error
        raise ConfigError(f"{path}: cannot be written ({said})") from None
    if through is not None:
        with through:
            yield through
        return
    try:
        with out:
            yield out
            out.flush()
            if existing is not None:
                os.fchmod(out.fileno(), stat.S_IMODE(existing.st_mode))
            os.fsync(out.fileno())
        draft.replace(target)
    finally:
        draft.unlink(missing_ok=True)


def _new(path: Path) -> BinaryIO:
    """A new file. In a folder that others may write to, a symbolic link may wait under its name; it is removed, never followed."""
    path.unlink(missing_ok=True)
    return path.open("xb")


def _status(path: Path) -> os.stat_result | None:
    try:
        return path.stat()
    except FileNotFoundError:
        return None


def _through(path: Path, existing: os.stat_result | None) -> BinaryIO | None:
    """What is written to directly; None for a regular file or a new one."""
    if descriptor := _DESCRIPTOR.fullmatch(os.fspath(path)):
        number = int(descriptor[1]) if descriptor[1] else _STANDARD[descriptor[2]]
        return os.fdopen(os.dup(number), "wb")
    return path.open("wb") if existing is not None and not stat.S_ISREG(existing.st_mode) else None
