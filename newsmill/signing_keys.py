"""The keys that sign the crawler's requests: files in the folder `keys` of the data folder, which only their owner may read."""

from __future__ import annotations

import os
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

from newsmill.context import data_folder
from newsmill.exceptions import ConfigError, NewsmillError
from newsmill.message_signatures import SigningKey, dump_key, load_key, make_key
from newsmill.settings import Settings
from newsmill.storage.private_files import make_private_file

FOLDER = "keys"
_TIME = "%Y%m%dT%H%M%SZ"
_NAME = re.compile(r"(\d{8}T\d{6}Z)-([\w-]{43})\.pem")


def keys_folder(settings: Settings) -> Path:
    return data_folder(settings) / FOLDER


def read_keys(folder: Path) -> list[SigningKey]:
    """The keys in the order of their creation; other files are ignored. Raises ConfigError for a file that holds no key."""
    keys = []
    for path in sorted(folder.glob("*.pem")):
        match = _NAME.fullmatch(path.name)
        if match is None:
            continue
        try:
            make_private_file(path)  # takes access from other users, as a copy may have given it
            keys.append(load_key(path.read_bytes(), datetime.strptime(match[1], _TIME).replace(tzinfo=UTC)))
        except (OSError, ConfigError) as error:
            raise ConfigError(f"{path}: {error}; restore the file, or remove it") from None
    return keys


def add_key(folder: Path, *, now: datetime) -> SigningKey:
    """Create a key and its file, with mode 0600. Raises NewsmillError."""
    created_at = now.astimezone(UTC).replace(microsecond=0)
    if known := read_keys(folder):
        created_at = max(created_at, known[-1].created_at + timedelta(seconds=1))  # the names of the files are the order of the keys
    key = make_key(created_at)
    path = folder / f"{key.created_at.strftime(_TIME)}-{key.id}.pem"
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "wb") as file:
            file.write(dump_key(key))
            os.fsync(file.fileno())
    except OSError as error:
        raise NewsmillError(f"the key cannot be written to {path} ({error.strerror})") from None
    return key


def remove_key(folder: Path, key_id: str) -> bool:
    """Delete the file of a key. False: no key has this id."""
    found = [path for path in folder.glob("*.pem") if (match := _NAME.fullmatch(path.name)) and match[2] == key_id]
    for path in found:
        path.unlink()
    return bool(found)


def find_agent_url(settings: Settings) -> str | None:
    """The origin that requests name as the place of the key directory: NEWSMILL_PUBLIC_URL if it is https, as verifiers require."""
    url = (settings.public_url or "").rstrip("/")
    return url if url.startswith("https://") else None
