"""What the web door must know besides the house."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from ipaddress import ip_address
from urllib.parse import urlsplit

from newsmill.archive.archive import Archive
from newsmill.exceptions import ServiceError
from newsmill.storage.database import Clock, Engine
from newsmill.storage.documents import Documents
from newsmill.storage.fingerprints import NearDuplicates
from newsmill.storage.ledger import Ledger
from newsmill.storage.profiles import Profiles
from newsmill.storage.tokens import Tokens


@dataclass(frozen=True, slots=True)
class WebConfig:
    """Where we listen and how much we take. The defaults are those of one person on one machine."""

    host: str = "127.0.0.1"  # the address we listen on
    port: int = 8470
    url: str | None = None  # how people call us from outside, e.g. "https://news.example.org"
    hosts: tuple[str, ...] = ()  # further names we answer to
    allow_nets: tuple[str, ...] = ()  # as NEWSMILL_ALLOW_NETS: for webhooks, and for what is refused at once
    rate: int = 600  # requests a minute, for each token or address
    largest: int = 2_000_000  # bytes of a request's body: 10,000 addresses of 200 characters
    body_seconds: float = 30.0  # until a request's body must be here
    streams: int = 50  # change streams open at once
    hooks: bool = True  # whether this process tells web hooks

    @property
    def exposed(self) -> bool:
        """Whether others than the users of this machine can reach us: then nobody reads without a token."""
        outside = urlsplit(self.url).hostname if self.url else None
        return not is_loopback(self.host) or (outside is not None and not is_loopback(outside))

    @property
    def secure(self) -> bool:
        """Whether people come over TLS."""
        return bool(self.url) and urlsplit(str(self.url)).scheme == "https"

    def answers_to(self, host: str) -> bool:
        """Whether a request's Host header names us. A web page can make a browser call us by its own name (DNS rebinding), not by
        an address or by "localhost"."""
        name = name_of(host)
        if name is None:
            return False
        if is_loopback(name) or name in {known.lower() for known in self.hosts}:
            return True
        if self.url and name == (urlsplit(self.url).hostname or ""):
            return True
        return name == self.host.lower() or (not is_loopback(self.host) and _is_address(name))


def name_of(host: str) -> str | None:
    """The name in a Host header, in lower case, without port and brackets; None for what is none."""
    try:
        parts = urlsplit(f"//{host}")
        _ = parts.port  # raises for what is no number
    except ValueError:
        return None
    return parts.hostname.removesuffix(".") if parts.hostname and parts.netloc == host and "@" not in host else None


def is_loopback(name: str) -> bool:
    """localhost, 127.0.0.0/8 or ::1."""
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        return ip_address(name).is_loopback
    except ValueError:
        return False


def _is_address(name: str) -> bool:
    try:
        ip_address(name)
    except ValueError:
        return False
    return True


# What the web door gets from the house: everything open, nothing global.

FRESH = 3.0  # seconds that an answer of Redis is good for


@dataclass(frozen=True)
class House:
    """Handed to `app.create_app` by whoever opened the store. Nothing in it needs Redis but `queue_depth`."""

    engine: Engine  # for the readers of keep/ that are functions, such as processes.alive
    ledger: Ledger
    documents: Documents
    near_duplicates: NearDuplicates
    archive: Archive
    profiles: Profiles
    tokens: Tokens
    queue_depth: Callable[[], int | None]  # segments waiting; None: our own Redis is not running. Raises ServiceError
    now: Callable[[], datetime]  # aware, UTC


class QueueDepth:
    """The queue's length, asked at most every few seconds and by one thread at a time: a Redis that does not answer holds up one request
    for five seconds, and no other. Raises ServiceError as the last asking did."""

    def __init__(self, ask: Callable[[], int | None], clock: Callable[[], float] = time.monotonic) -> None:
        self._ask, self._clock = ask, clock
        self._asking = threading.Lock()
        self._until = 0.0
        self._depth: int | None = None
        self._error: ServiceError | None = None

    def __call__(self) -> int | None:
        if self._clock() >= self._until and self._asking.acquire(blocking=False):
            try:
                self._depth, self._error = self._ask(), None
            except ServiceError as error:
                self._depth, self._error = None, error
            finally:
                self._until = self._clock() + FRESH
                self._asking.release()
        if self._error is not None:
            raise self._error
        return self._depth


def open_context(
    engine: Engine,
    archive_url: str,
    *,
    queue_depth: Callable[[], int | None] = lambda: None,
    now: Callable[[], datetime] | None = None,
) -> House:
    """The house over an engine whose schema was checked. Without `now` it has the clock that all processes on the database share."""
    return House(
        engine,
        Ledger(engine),
        Documents(engine),
        NearDuplicates(engine),
        Archive(archive_url),
        Profiles(engine),
        Tokens(engine),
        QueueDepth(queue_depth),
        Clock(engine) if now is None else now,
    )
