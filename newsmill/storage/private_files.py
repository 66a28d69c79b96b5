"""Files and folders that only their owner may read: pages of paying readers, secrets of web hooks, and logs are in them."""

from __future__ import annotations

import os
from hashlib import blake2b
from pathlib import Path

DATABASE = "newsmill.sqlite"
FOLDERS = ("archive", "images", "keys", "logs", "past", "redis", "spool")  # what a data folder holds besides the database and FILES
TOKEN_FILE = "web-token"  # noqa: S105 (a name)
SIGN_IN_PAGE = "sign-in.html"  # leads a browser to a sign-in link
FILES = (TOKEN_FILE, SIGN_IN_PAGE)
MAX_READ_CHARACTERS = 1000  # a token has 65


def make_image_name(url: str) -> str:
    """The name of the file that holds the image of a URL in the folder `images`."""
    return blake2b(url.encode("utf-8", "replace"), digest_size=16).hexdigest()


def make_image_mark(url: str, document_id: str) -> str:
    """The name of the empty file beside an image that tells of which document it is or was."""
    return f"{make_image_name(url)}.{document_id}"


def make_private_folder(folder: Path) -> None:
    """Create a data or backup folder with mode 0700, or take access from other users where it exists. Raises OSError.

    A folder that holds other files too (a home folder, /tmp) keeps its mode; only what Newsmill keeps in it becomes private.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if all(entry.name in (*FOLDERS, *FILES) or entry.name.startswith(DATABASE) for entry in folder.iterdir()):
        _take_access_of_others(folder)
    for name in FOLDERS:
        if (inner := folder / name).is_dir():
            _take_access_of_others(inner)


def make_private_file(path: Path) -> None:
    """Create an empty file with mode 0600 where there is none, or take access from other users. Raises OSError.

    SQLite gives its log and its shared index the mode of the database file.
    """
    os.close(os.open(path, os.O_RDONLY | os.O_CREAT | os.O_CLOEXEC, 0o600))
    _take_access_of_others(path)


def write_private_file(path: Path, text: str) -> None:
    """Replace a file by a new one that other users cannot read at any moment. Raises OSError."""
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "w", encoding="utf-8") as file:
        file.write(text)


def read_private_file(path: Path) -> tuple[str, bool]:
    """The text of a small file, and whether only this user could read and write it. ("", False) if it cannot be read."""
    try:
        with os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC), encoding="utf-8", errors="replace") as file:
            status = os.fstat(file.fileno())
            return file.read(MAX_READ_CHARACTERS), status.st_uid == os.geteuid() and not status.st_mode & 0o077
    except OSError:
        return "", False


def _take_access_of_others(path: Path) -> None:
    status = path.stat()
    if status.st_uid == os.geteuid() and status.st_mode & 0o077:  # another owner decides for himself
        path.chmod(status.st_mode & 0o700)
