"""A temporary folder for the store of a past time, which another process deletes if its own was killed."""

from __future__ import annotations

import fcntl
import tempfile
from contextlib import suppress
from pathlib import Path
from shutil import rmtree

PREFIX = "newsmill-past-"
_LOCK = "lock"  # held as long as the process lives


class PastFolder:
    """Makes the folder, which only its owner can read. `close` deletes it."""

    def __init__(self) -> None:
        remove_left_folders()
        self._folder = tempfile.TemporaryDirectory(prefix=PREFIX)
        self.path = Path(self._folder.name)
        self._lock = (self.path / _LOCK).open("w")
        fcntl.flock(self._lock, fcntl.LOCK_EX)

    def close(self) -> None:
        """Delete the folder."""
        self._lock.close()
        self._folder.cleanup()


def remove_left_folders() -> None:
    """Delete the folders of killed processes."""
    for left in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        _remove_if_left(left)


def _remove_if_left(folder: Path) -> None:
    """Delete the folder of a process that was killed. Folders of other users cannot be opened, and those without a lock are being made."""
    with suppress(OSError):
        if folder.is_symlink():
            return
        with (folder / _LOCK).open("r+") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            rmtree(folder)
