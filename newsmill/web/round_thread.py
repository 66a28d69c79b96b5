"""A thread that makes one round of work after another, as the senders of webhooks and alerts do."""

from __future__ import annotations

import logging
import threading
from abc import ABC, abstractmethod
from concurrent.futures import ThreadPoolExecutor

from newsmill.exceptions import ServiceError

ROUND_SECONDS = 2.0  # between two rounds
STOP_SECONDS = 15.0  # for what is running to end

log = logging.getLogger(__name__)


class RoundThread(ABC):
    """When the database is not available, one line is logged, and a later round does the work. So it is after a bug, with its traceback."""

    def __init__(self, name: str, max_concurrent: int) -> None:
        """`max_concurrent` is the number of threads in the pool of a round."""
        self._name, self._max_concurrent = name, max_concurrent
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._error: str | None = None

    @abstractmethod
    def make_round(self, pool: ThreadPoolExecutor) -> bool:
        """Make one round; whether the next one follows at once. Raises ServiceError."""

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Begin no more rounds, and wait a while for what is running."""
        self._stop.set()
        self._thread.join(STOP_SECONDS)

    def _run(self) -> None:
        with ThreadPoolExecutor(self._max_concurrent, thread_name_prefix=self._name) as pool:
            while not self._stop.is_set():
                if not self._try_round(pool):
                    self._stop.wait(ROUND_SECONDS)

    def _try_round(self, pool: ThreadPoolExecutor) -> bool:
        try:
            has_more, error = self.make_round(pool), None
        except ServiceError as problem:
            has_more, error = False, str(problem)
            if error != self._error:
                log.warning("%s: %s", self._name, error)
        except Exception as problem:  # the border of a thread: without it nothing more would be sent, and nobody would know
            has_more, error = False, repr(problem)
            if error != self._error:
                log.exception("%s failed; the next round follows", self._name)
        if error is None and self._error is not None:
            log.warning("%s: works again", self._name)
        self._error = error
        return has_more
