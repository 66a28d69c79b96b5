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
    folder = _make_folder(data)
    return folder, _choose_socket(folder)


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


def _choose_socket(folder: Path) -> Path:
    """`folder`/redis.sock, or a private folder in /tmp when that path is too long for a socket.

    Not TMPDIR: two commands with different environments must use the same socket.
    """
    path = folder / "redis.sock"
    if len(os.fsencode(path)) <= MAX_SOCKET_PATH_BYTES:
        return path
    name = hashlib.blake2b(os.fsencode(folder), digest_size=8).hexdigest()
    short = Path("/tmp") / f"newsmill-{os.geteuid()}-{name}"  # noqa: S108 — made 0700 and its owner is checked below
    short.mkdir(mode=0o700, exist_ok=True)
    status = short.lstat()
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.geteuid() or status.st_mode & 0o077:
        raise ServiceError(
            f"{short} is not a private folder of this user, so it cannot hold the socket; use a data folder with a shorter path"
        )
    return short / "redis.sock"
