"""Where the embedded server of a data folder listens. It imports no Redis client, so a command can see without it that no server runs."""

from __future__ import annotations

import hashlib
import os
import stat
from pathlib import Path

from newsmill.exceptions import ServiceError
from newsmill.storage.private_files import make_private_folder

# sockaddr_un holds 108 bytes on Linux and 104 on macOS, the closing NUL included. A server started with a relative path would bind,
# but no client could connect.
MAX_SOCKET_PATH_BYTES = 100


def find_socket(data: Path) -> tuple[Path, Path]:
    """The folder for the server's files, made if needed, and its socket. Raises ServiceError."""
    folder, path = _make_folder(data), name_socket(data)
    if path.parent != folder:
        _make_short_folder(path.parent)
    return folder, path


def name_socket(data: Path) -> Path:
    """The path of the socket, whether it exists or not. Makes nothing.

    It is in the folder `redis` of the data folder, or in a private folder in /tmp when that path is too long for a socket. Not TMPDIR: two
    commands with different environments must use the same socket.
    """
    folder = data.resolve() / "redis"
    path = folder / "redis.sock"
    if len(os.fsencode(path)) <= MAX_SOCKET_PATH_BYTES:
        return path
    name = hashlib.blake2b(os.fsencode(folder), digest_size=8).hexdigest()
    return Path("/tmp") / f"newsmill-{os.geteuid()}-{name}" / "redis.sock"  # noqa: S108 — made 0700 and its owner is checked below


def _make_folder(data: Path) -> Path:
    """`data`/redis, mode 0700."""
    try:
        make_private_folder(data)
        folder = data.resolve() / "redis"
        folder.mkdir(mode=0o700, exist_ok=True)
        folder.chmod(0o700)
    except OSError as error:
        raise ServiceError(f"the data folder {data} cannot be used ({error.strerror}); name another one in NEWSMILL_DATA") from error
    return folder


def _make_short_folder(folder: Path) -> None:
    """Make a private folder in /tmp. Raises ServiceError if another user has made it."""
    folder.mkdir(mode=0o700, exist_ok=True)
    status = folder.lstat()
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.geteuid() or status.st_mode & 0o077:
        raise ServiceError(
            f"{folder} is not a private folder of this user, so it cannot hold the socket; use a data folder with a shorter path"
        )
