"""What the web door gets from the house: everything open, nothing global."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from newsmill import near_duplicates as newsmill_near_duplicates
from newsmill import urls
from newsmill.archive.archive import Archive
from newsmill.exceptions import ServiceError
from newsmill.storage.database import Clock, Engine
from newsmill.storage.documents import Documents
from newsmill.storage.duplicate_search import NearDuplicates
from newsmill.storage.ledger import Ledger
from newsmill.storage.profiles import Profiles
from newsmill.storage.tokens import Tokens

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


class Depth:
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


def open_house(
    engine: Engine,
    archive_url: str,
    *,
    queue_depth: Callable[[], int | None] = lambda: None,
    now: Callable[[], datetime] | None = None,
) -> House:
    """The house over an engine whose schema was checked. Without `now` it has the clock that all processes on the database share."""
    return House(
        engine,
        Ledger(engine, urls),
        Documents(engine, urls),
        NearDuplicates(engine, newsmill_near_duplicates),
        Archive(archive_url),
        Profiles(engine),
        Tokens(engine),
        Depth(queue_depth),
        Clock(engine) if now is None else now,
    )
