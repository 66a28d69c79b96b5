"""Matches new documents with saved searches, and sends the alerts about them.

Each round begins the messages that are due, and starts those whose next try is due. A slow target uses one of a few threads for a limited
time and holds no other message up. Several web processes share the work by compare-and-set on each row.
"""

from __future__ import annotations

import logging
import secrets
import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import datetime, timedelta
from typing import Protocol

from newsmill.context import AppContext
from newsmill.exceptions import ServiceError
from newsmill.notifications.channels.http_post import DeliveryError
from newsmill.notifications.channels.targets import AlertContent, TargetGoneError, send_alert
from newsmill.notifications.round_thread import RoundThread
from newsmill.search.search import Search
from newsmill.storage.alerts import Alert, Alerts
from newsmill.storage.documents import ChangePosition, Changes
from newsmill.storage.saved_searches import MATCH_AGE, MatchedPage, SavedSearch, SavedSearches

log = logging.getLogger(__name__)

CLEANUP_SECONDS = 3600.0  # between two deletions of old matches
MAX_CONCURRENT_ALERTS = 4  # messages at once
MAX_TESTS = 2  # test messages at once, each of which holds one of the threads that serve requests
PAGE_DOCUMENTS = 200  # compared with a search at a time
MAX_STORING = timedelta(days=1)  # from the fetch of a page to the commit of its document, while workers are behind
MAX_PAGES = 50  # of one round, over all searches: at most a few seconds


class AlertWriter(Protocol):
    """Writes the content of messages."""

    def write(self, alert: Alert) -> AlertContent | None:
        """The message in progress of an alert; None if its documents were removed. Raises ServiceError."""

    def write_test(self, alert: Alert, message_id: str) -> AlertContent:
        """A message that tests an alert, with some documents that matched before. Raises ServiceError."""


class AlertSender(RoundThread):
    """The thread that matches new documents with saved searches and sends their alerts. Tests call `round` instead of `start`."""

    def __init__(self, context: AppContext, writer: AlertWriter) -> None:
        super().__init__("alert-sender", MAX_CONCURRENT_ALERTS)
        self.context, self.writer = context, writer
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
        self._forget_done()
        now = self.context.now()
        end = Changes(self.context.engine).end()
        self.match(end, now)
        self.alerts.begin_due(end, now=now)
        free = MAX_CONCURRENT_ALERTS - len(self._running)
        claimed = self.alerts.claim_due(now=now, limit=free, skipped=list(self._running)) if free > 0 else []
        started = {alert.id: pool.submit(self.deliver, alert) for alert in claimed}
        self._running |= started
        if time.monotonic() >= self._next_cleanup:
            self.searches.delete_old(now=now)
            self._next_cleanup = time.monotonic() + CLEANUP_SECONDS
        return list(started.values())

    def _forget_done(self) -> None:
        """Forget the messages that have ended. A bug is logged; its alert is tried again when the lease ends."""
        done = {alert_id: future for alert_id, future in self._running.items() if future.done()}
        self._running = {alert_id: future for alert_id, future in self._running.items() if alert_id not in done}
        for alert_id, future in done.items():
            if (error := future.exception()) is not None:
                log.error("alert %s failed", alert_id, exc_info=error)

    def match(self, end: ChangePosition, now: datetime) -> None:
        """Match the documents stored before `end`, at most MAX_PAGES pages, with the searches that have not seen them."""
        left = MAX_PAGES
        while left > 0 and (behind := self.searches.list_behind(end, limit=left)):
            self.searches.record(self.match_pages(behind, now), now=now)
            left -= len(behind)

    def match_pages(self, behind: list[SavedSearch], now: datetime) -> list[MatchedPage]:
        """The next page of each search. Searches at the same position share the reading.

        A document that was found and fetched long before its search was saved, or longer than MATCH_AGE ago, is not new: its source was
        renamed, or its page was extracted again.
        """
        changes, pages = Changes(self.context.engine), dict[ChangePosition, tuple[list[str], ChangePosition]]()
        matched = []
        for search in behind:
            if search.seen not in pages:
                pages[search.seen] = changes.page_after(search.seen, limit=PAGE_DOCUMENTS)
            ids, end = pages[search.seen]
            news = changes.filter_new(ids, since=max(search.created_at - MAX_STORING, now - MATCH_AGE))
            matched.append(MatchedPage(search, Search(self.context.engine, search.user).filter_ids(search.query, news), end))
        return matched

    def deliver(self, alert: Alert) -> None:
        """Send the message in progress of an alert and store the result."""
        try:
            self._deliver(alert)
        except ServiceError as error:  # it is tried again when the lease ends
            log.warning("alert %s: %s", alert.id, error)

    def _deliver(self, alert: Alert) -> None:
        message = self.writer.write(alert)
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

    def __init__(self, context: AppContext, writer: AlertWriter) -> None:
        self.context, self.writer = context, writer
        self._free = threading.BoundedSemaphore(MAX_TESTS)

    def send(self, alert: Alert) -> str | None:
        """Send a test message now; what went wrong, or None. Raises ServiceError."""
        if not self._free.acquire(blocking=False):
            return "other test messages are being sent; try again in a few seconds"
        try:
            message = self.writer.write_test(alert, f"msg_{secrets.token_hex(12)}")
            send_alert(self.context, alert, message)
        except DeliveryError as error:
            return str(error)
        finally:
            self._free.release()
        return None
