"""Ctrl-C and SIGTERM as a question a loop can ask, instead of an exception in the middle of anything."""

from __future__ import annotations

import signal
import threading
from types import FrameType


class Interrupt:
    """A context manager; inside it the first Ctrl-C or SIGTERM only sets `asked`, a second one is a KeyboardInterrupt as ever."""

    def __init__(self) -> None:
        self._event = threading.Event()

    @property
    def asked(self) -> bool:
        return self._event.is_set()

    def wait(self, seconds: float) -> bool:
        """Sleep; True at once when somebody asked to stop."""
        return self._event.wait(seconds)

    def __enter__(self) -> Interrupt:
        self._before = {number: signal.signal(number, self._ask) for number in (signal.SIGINT, signal.SIGTERM)}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _ask(self, number: int, frame: FrameType | None) -> None:
        if self._event.is_set():
            raise KeyboardInterrupt
        self._event.set()
