"""Distinguishes an outage of this machine's network from failures of hosts: several sites that answered before fail, and none answers.

During an outage no attempt and no failure of a host is counted: after a night without network, pages would wait for half a day, and after
some days they would have failed. Only sites that answered the last time prove anything: a list of dead URLs never looks like an outage.
"""

from __future__ import annotations

import logging
import time
from datetime import timedelta

from newsmill.exceptions import ServiceError
from newsmill.health.outage_log import OutageLog
from newsmill.model import Outcome, OutcomeRecord
from newsmill.text import urls

log = logging.getLogger(__name__)

MIN_FAILED_SITES = 5  # in a row: sites of one publisher or one data centre fail together
MIN_WAIT_SECONDS, MAX_WAIT_SECONDS = 60.0, 600.0  # until a host is tried again
WAIT_SHARE = 0.1  # of the time since the outage began
# Without network, with a log-in page in the place of every site, or with a proxy that is down. A refused connection is an answer.
UNANSWERED = frozenset(
    {Outcome.DNS, Outcome.TIMEOUT, Outcome.CONNECTION, Outcome.TLS, Outcome.SSRF_BLOCKED, Outcome.PROXY_ERROR, Outcome.ROBOTS_UNREACHABLE}
)


class NetworkMonitor:
    """What the requests of one process say about its network."""

    def __init__(self) -> None:
        self._failed_sites: set[str] = set()  # since the last answer of any site
        self._failing_since = 0.0  # time.monotonic()
        self._outage = OutageLog(log, "the network answers again")

    def record_answer(self) -> None:
        """A server has answered, with any status."""
        self._failed_sites.clear()
        self._outage.report_success()

    def record_failure(self, url: str, failure: OutcomeRecord, *, has_answered: bool) -> timedelta | None:
        """Count a request without an answer. Returns how long the host waits if the network is down. `has_answered`: the last time."""
        is_final = failure.outcome is Outcome.SSRF_BLOCKED and not failure.may_pass
        if is_final or failure.outcome not in UNANSWERED:
            return None
        if not self._failed_sites:
            self._failing_since = time.monotonic()
        if has_answered and len(self._failed_sites) < MIN_FAILED_SITES:
            self._failed_sites.add(urls.get_site(url))
        if len(self._failed_sites) < MIN_FAILED_SITES:
            return None
        if not self._outage.is_open:
            reason = (
                f"the network does not answer: {MIN_FAILED_SITES} sites failed in a row, the last with {failure.outcome}: {failure.detail}"
            )
            self._outage.report_failure(ServiceError(reason), "the crawler tries each host again and counts no failure")
        seconds = WAIT_SHARE * (time.monotonic() - self._failing_since)
        return timedelta(seconds=min(max(seconds, MIN_WAIT_SECONDS), MAX_WAIT_SECONDS))
