"""The log of an outage: one line when a service stops answering, one for each new reason, and one when it answers again."""

from __future__ import annotations

import logging

MAX_REASONS = 20  # of one outage that are logged; some messages name a file or a process, so that each is another one


class OutageLog:
    """What one process logs about one service. Not for several threads at once."""

    def __init__(self, log: logging.Logger, recovery: str) -> None:
        """`recovery` is the line about the end, such as "the database answers again"."""
        self._log, self._recovery = log, recovery
        self._reasons: set[str] = set()

    @property
    def is_open(self) -> bool:
        """Whether the last report was a failure."""
        return bool(self._reasons)

    def report_failure(self, error: Exception, consequence: str = "") -> None:
        """Log the error and its consequence, unless it was logged in this outage."""
        if self.is_new(str(error)):
            self._log.warning("%s%s", error, f"; {consequence}" if consequence else "")

    def is_new(self, reason: str) -> bool:
        """Note a reason; whether to log it. A server that restarts again and again gives three reasons in turn."""
        if reason in self._reasons or len(self._reasons) >= MAX_REASONS:
            return False
        self._reasons.add(reason)
        return True

    def report_success(self) -> None:
        """Log the end of the outage, if there was one."""
        if self._reasons:
            self._reasons.clear()
            self._log.warning("%s", self._recovery)
