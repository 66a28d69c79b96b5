"""A file or folder that is moved, replaced or deleted while a process has it open: the process would go on in it, and nobody would see it.

On Unix an open file follows its name nowhere: what is written after `mv` is in the moved file.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from newsmill.exceptions import MovedFileError

# Called before the error is raised. A long-running process ends itself here, because its loops take other errors for outages.
HANDLERS: list[Callable[[MovedFileError], None]] = []


class OpenFile:
    """The file or folder at a path, as it was when this object was made."""

    def __init__(self, path: Path) -> None:
        """`path` exists. Raises OSError."""
        self.path = path.absolute()
        self._identity = _identify(self.path)

    def check(self) -> None:
        """Raises MovedFileError if another one, or none, is at the path by now. One call of the system: 2 µs."""
        if _identify(self.path) == self._identity:
            return
        error = MovedFileError(
            f"{self.path} was moved, replaced or deleted while Newsmill had it open; nothing more is written to it:"
            " put it back, or start Newsmill again to use what is there now"
        )
        for handle in HANDLERS:
            handle(error)
        raise error


def _identify(path: Path) -> tuple[int, int] | None:
    """None if there is no file."""
    try:
        found = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    return found.st_dev, found.st_ino
