"""The keys that sign requests: files in the folder `keys` of the data folder, which only their owner may read."""

from __future__ import annotations

import base64
import hashlib
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat, load_pem_private_key

from newsmill.context import data_folder
from newsmill.exceptions import ConfigError, NewsmillError
from newsmill.settings import Settings
from newsmill.storage.private_files import make_private_file

DIRECTORY_SECONDS = 86_400  # that verifiers may keep the directory
MAX_PUBLISHED = 4  # keys in the directory: below the size from which the server compresses, which would change what is signed
PUBLISHED_AHEAD = timedelta(seconds=2 * DIRECTORY_SECONDS)  # before a new key signs, so that every verifier has it

_FILE_TIME = "%Y%m%dT%H%M%SZ"
_FILE_NAME = re.compile(r"(\d{8}T\d{6}Z)-([\w-]{43})\.pem")


@dataclass(frozen=True, slots=True)
class SigningKey:
    """An Ed25519 key. `id` is the thumbprint of its public part (RFC 7638), by which verifiers know it."""

    id: str
    created_at: datetime
    public: str  # base64url
    private: Ed25519PrivateKey = field(repr=False, compare=False)


def make_key(now: datetime) -> SigningKey:
    """A new key. Its id does not begin with a hyphen (one thumbprint in 64 does), because a command would read it as an option."""
    while (key := _wrap(Ed25519PrivateKey.generate(), now)).id.startswith("-"):
        pass
    return key


def load_key(pem: bytes, created_at: datetime) -> SigningKey:
    """A key from its PKCS #8 file. Raises ConfigError."""
    try:
        private = load_pem_private_key(pem, None)
    except (ValueError, TypeError):  # TypeError: it is encrypted
        raise ConfigError("expected an unencrypted private key in PEM") from None
    if not isinstance(private, Ed25519PrivateKey):
        raise ConfigError("expected an Ed25519 key")
    return _wrap(private, created_at)


def dump_key(key: SigningKey) -> bytes:
    return key.private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def _wrap(private: Ed25519PrivateKey, created_at: datetime) -> SigningKey:
    public = _base64url(private.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw))
    thumbprint = hashlib.sha256(f'{{"crv":"Ed25519","kty":"OKP","x":"{public}"}}'.encode()).digest()
    return SigningKey(_base64url(thumbprint), created_at, public, private)


def _base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def keys_folder(settings: Settings) -> Path:
    return data_folder(settings) / "keys"


def read_keys(folder: Path) -> list[SigningKey]:
    """The keys in the order of their creation; other files are ignored. Raises ConfigError for a file that holds no key."""
    keys = []
    for path in sorted(folder.glob("*.pem")):
        match = _FILE_NAME.fullmatch(path.name)
        if match is None:
            continue
        try:
            make_private_file(path)  # takes access from other users, as a copy may have given it
            keys.append(load_key(path.read_bytes(), datetime.strptime(match[1], _FILE_TIME).replace(tzinfo=UTC)))
        except (OSError, ConfigError) as error:
            raise ConfigError(f"{path}: {error}; restore the file, or remove it") from None
    return keys


def add_key(folder: Path, *, now: datetime) -> SigningKey:
    """Create a key and its file, with mode 0600. Raises NewsmillError."""
    created_at = now.astimezone(UTC).replace(microsecond=0)
    if known := read_keys(folder):
        created_at = max(created_at, known[-1].created_at + timedelta(seconds=1))  # the names of the files are the order of the keys
    key = make_key(created_at)
    path = folder / f"{key.created_at.strftime(_FILE_TIME)}-{key.id}.pem"
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
    found = [path for path in folder.glob("*.pem") if (match := _FILE_NAME.fullmatch(path.name)) and match[2] == key_id]
    for path in found:
        path.unlink()
    return bool(found)


def find_start(keys: Sequence[SigningKey], number: int) -> datetime:
    """When a key (by its place in the order of creation) begins to sign: the first at once, others PUBLISHED_AHEAD after their creation."""
    return keys[number].created_at + (PUBLISHED_AHEAD if number else timedelta())


def choose_key(keys: Sequence[SigningKey], now: datetime) -> SigningKey | None:
    """The key that signs now: the newest that verifiers know. `keys` are in the order of creation."""
    started = [key for number, key in enumerate(keys) if find_start(keys, number) <= now]
    return started[-1] if started else keys[0] if keys else None


def choose_published(keys: Sequence[SigningKey], now: datetime) -> list[SigningKey]:
    """The keys of the directory: those that sign or will, and each older one until its last signatures were checked."""
    last = len(keys) - 1
    current = [key for number, key in enumerate(keys) if number == last or find_start(keys, number + 1) + PUBLISHED_AHEAD > now]
    return current[-MAX_PUBLISHED:]
