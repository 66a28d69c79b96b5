"""What a worker and the scheduler have in common as processes: they stop on a signal and show that they are alive."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from newsmill.context import AppContext
from newsmill.exceptions import ServiceError
from newsmill.storage.processes import Heartbeat


def stop_on_signals() -> threading.Event:
    """An event that SIGTERM and SIGINT set."""
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    return stop


@contextmanager
def open_heartbeat(context: AppContext, role: str) -> Iterator[Heartbeat]:
    """The heartbeat of this process. A clean end removes its row; if the database is away just then, the row expires."""
    heartbeat = Heartbeat(context.engine, role=role)
    try:
        yield heartbeat
    finally:
        with suppress(ServiceError):
            heartbeat.stop()
