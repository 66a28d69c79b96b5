"""Files and folders that only their owner may read: pages of paying readers, secrets of web hooks, and logs are in them."""

from __future__ import annotations

import os
from hashlib import blake2b
from pathlib import Path

DATABASE = "newsmill.sqlite"
FOLDERS = ("archive", "images", "keys", "logs", "redis", "spool")  # what a data folder holds besides the database


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
    if all(entry.name in FOLDERS or entry.name.startswith(DATABASE) for entry in folder.iterdir()):
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


def _take_access_of_others(path: Path) -> None:
    status = path.stat()
    if status.st_uid == os.geteuid() and status.st_mode & 0o077:  # another owner decides for himself
        path.chmod(status.st_mode & 0o700)
