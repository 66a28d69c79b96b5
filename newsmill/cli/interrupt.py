"""Ctrl-C as a flag, so that a command ends where nothing is lost."""

from __future__ import annotations

import signal
import threading
from types import FrameType


class Interrupt:
    """A context manager. Inside it the first Ctrl-C or SIGTERM sets `is_set`; the second raises KeyboardInterrupt."""

    def __init__(self) -> None:
        self._event = threading.Event()

    @property
    def is_set(self) -> bool:
        return self._event.is_set()

    def wait(self, seconds: float) -> bool:
        """Sleep for `seconds`. Returns True, at once, if a stop was requested."""
        return self._event.wait(seconds)

    def __enter__(self) -> Interrupt:
        self._previous_handlers = {number: signal.signal(number, self._on_signal) for number in (signal.SIGINT, signal.SIGTERM)}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._previous_handlers.items():
            signal.signal(number, handler)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        if self._event.is_set():
            raise KeyboardInterrupt
        self._event.set()
