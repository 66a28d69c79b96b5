"""Sends the alerts of saved searches: a thread of the web process beside that of webhooks.

Each round matches the documents stored since the last one, begins the messages that are due, and sends those whose next try is due. A slow
target uses one of MAX_CONCURRENT threads for a limited time and holds no other alert up. Several web processes share the work by
compare-and-set on each row.
"""

from __future__ import annotations

import logging
import secrets
import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import datetime

from newsmill.context import AppContext
from newsmill.exceptions import ServiceError
from newsmill.search import Search
from newsmill.storage.alerts import Alert, Alerts
from newsmill.storage.documents import ChangePosition, Changes
from newsmill.storage.saved_searches import MatchedPage, SavedSearch, SavedSearches
from newsmill.web.alert_channels import TargetGoneError, send_alert
from newsmill.web.http_client import DeliveryError
from newsmill.web.pages.alert_messages import build_content, build_test_content
from newsmill.web.round_thread import RoundThread

CLEANUP_SECONDS = 3600.0  # between two deletions of old matches
MAX_CONCURRENT = 4  # messages at once
MAX_TESTS = 2  # test messages at once, each of which holds one of the threads that serve requests
PAGE_DOCUMENTS = 200  # compared with a search at a time
MAX_PAGES = 50  # of one round, over all searches: at most a few seconds

log = logging.getLogger(__name__)


class AlertSender(RoundThread):
    """The thread. Tests call `round` instead of `start`."""

    def __init__(self, context: AppContext, base_url: str | None = None) -> None:
        super().__init__("alert-sender", MAX_CONCURRENT)
        self.context, self.base_url = context, base_url.rstrip("/") if base_url else None
        self.searches, self.alerts = SavedSearches(context.engine), Alerts(context.engine)
        self._running: dict[str, Future[None]] = {}  # by the ID of the alert
        self._next_cleanup = time.monotonic()

    def make_round(self, pool: ThreadPoolExecutor) -> bool:
        """One round, which only starts the messages; the next one follows after the usual time."""
        self.start_round(pool)
        return False

    def round(self, pool: ThreadPoolExecutor) -> int:
        """One round, to its end; the number of messages tried. Raises ServiceError."""
        started = self.start_round(pool)
        for future in started:
            future.result()
        return len(started)

    def start_round(self, pool: ThreadPoolExecutor) -> list[Future[None]]:
        """Match new documents and start the messages that are due. Raises ServiceError."""
        self._running = {alert_id: future for alert_id, future in self._running.items() if not future.done()}
        now = self.context.now()
        end = Changes(self.context.engine).end()
        self.match(end, now)
        self.alerts.begin_due(end, now=now)
        free = MAX_CONCURRENT - len(self._running)
        claimed = self.alerts.claim_due(now=now, limit=free, skipped=list(self._running)) if free > 0 else []
        started = {alert.id: pool.submit(self.deliver, alert) for alert in claimed}
        self._running |= started
        if time.monotonic() >= self._next_cleanup:
            self.searches.delete_old(now=now)
            self._next_cleanup = time.monotonic() + CLEANUP_SECONDS
        return list(started.values())

    def match(self, end: ChangePosition, now: datetime) -> None:
        """Match the documents stored before `end`, at most MAX_PAGES pages, with the searches that have not seen them."""
        left = MAX_PAGES
        while left > 0 and (behind := self.searches.list_behind(end, limit=left)):
            self.searches.record(self.match_pages(behind), now=now)
            left -= len(behind)

    def match_pages(self, behind: list[SavedSearch]) -> list[MatchedPage]:
        """The next page of each search. Searches at the same position share the reading."""
        changes, pages = Changes(self.context.engine), dict[ChangePosition, tuple[list[str], ChangePosition]]()
        matched = []
        for search in behind:
            if search.seen not in pages:
                pages[search.seen] = changes.page_after(search.seen, limit=PAGE_DOCUMENTS)
            ids, end = pages[search.seen]
            matched.append(MatchedPage(search, Search(self.context.engine, search.user).filter_ids(search.query, ids), end))
        return matched

    def deliver(self, alert: Alert) -> None:
        """Send the message in progress of an alert and store the result."""
        try:
            self._deliver(alert)
        except ServiceError as error:  # it is tried again when the lease ends
            log.warning("alert %s: %s", alert.id, error)

    def _deliver(self, alert: Alert) -> None:
        message = build_content(self.context, alert, base=self.base_url)
        try:
            if message is not None:
                send_alert(self.context, alert, message)
        except DeliveryError as error:
            is_gone = isinstance(error, TargetGoneError)
            self.alerts.mark_failed(alert, str(error), now=self.context.now(), is_gone=is_gone)
            return
        self.alerts.mark_sent(alert, now=self.context.now())


class TestSender:
    """Sends test messages while a request waits, MAX_TESTS at once."""

    __test__ = False  # no test of pytest

    def __init__(self, context: AppContext, base_url: str | None = None) -> None:
        self.context, self.base_url = context, base_url.rstrip("/") if base_url else None
        self._free = threading.BoundedSemaphore(MAX_TESTS)

    def send(self, alert: Alert) -> str | None:
        """Send a test message now; what went wrong, or None. Raises ServiceError."""
        if not self._free.acquire(blocking=False):
            return "other test messages are being sent; try again in a few seconds"
        try:
            message = build_test_content(self.context, alert, f"msg_{secrets.token_hex(12)}", base=self.base_url)
            send_alert(self.context, alert, message)
        except DeliveryError as error:
            return str(error)
        finally:
            self._free.release()
        return None
