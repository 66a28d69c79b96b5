"""The log of an outage: one line when a service stops answering, one for each new reason, and one when it answers again."""

from __future__ import annotations

import logging


class OutageLog:
    """What one process logs about one service. Not for several threads at once."""

    def __init__(self, log: logging.Logger, recovery: str) -> None:
        """`recovery` is the line about the end, such as "the database answers again"."""
        self._log, self._recovery = log, recovery
        self._problem: str | None = None

    @property
    def is_open(self) -> bool:
        """Whether the last report was a failure."""
        return self._problem is not None

    def report_failure(self, error: Exception, consequence: str = "") -> None:
        """Log the error and its consequence, unless the error is the last one that was logged."""
        if (problem := str(error)) != self._problem:
            self._problem = problem
            self._log.warning("%s%s", problem, f"; {consequence}" if consequence else "")

    def report_success(self) -> None:
        """Log the end of the outage, if there was one."""
        if self._problem is not None:
            self._problem = None
            self._log.warning("%s", self._recovery)
