"""What a worker and the scheduler do alike as processes: stop on a signal, find Redis, and show that they live."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from newsmill.exceptions import ServiceError
from newsmill.queue.embedded_redis import EmbeddedRedis
from newsmill.storage.processes import Heartbeat


def stop_on_signals() -> threading.Event:
    """An event that SIGTERM and SIGINT set."""
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    return stop


@contextmanager
def open_redis(url: str | None, data: Path) -> Iterator[tuple[str, Callable[[], None]]]:
    """The address of Redis, and what brings it back: nothing for a configured one, a new start for the private one of `data`."""
    if url is not None:
        yield url, lambda: None
        return
    with EmbeddedRedis(data) as server:
        yield server.url, server.ensure


@contextmanager
def stopping_heartbeat(heartbeat: Heartbeat) -> Iterator[Heartbeat]:
    """A clean end leaves no row of this process behind; where the database is away just then, the row is forgotten by itself."""
    try:
        yield heartbeat
    finally:
        with suppress(ServiceError):
            heartbeat.stop()
