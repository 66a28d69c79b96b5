"""A thread that makes one round of work after another, as the senders of webhooks and alerts do."""

from __future__ import annotations

import logging
import threading
from abc import ABC, abstractmethod
from concurrent.futures import ThreadPoolExecutor

from newsmill.exceptions import ServiceError
from newsmill.health.outage_log import OutageLog

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
        self._outage = OutageLog(log, f"{name}: works again")

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
            has_more = self.make_round(pool)
        except ServiceError as problem:
            if self._outage.is_new(str(problem)):
                log.warning("%s: %s", self._name, problem)
            return False
        except Exception as problem:  # the border of a thread: without it nothing more would be sent, and nobody would know
            if self._outage.is_new(repr(problem)):
                log.exception("%s failed; the next round follows", self._name)
            return False
        self._outage.report_success()
        return has_more
