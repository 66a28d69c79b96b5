"""Writes and sends the alerts of saved searches: a thread of the web process beside that of webhooks.

Each round matches the documents stored since the last one, begins the messages that are due, and sends those whose next try is due. A slow
target uses one of MAX_CONCURRENT threads for a limited time and holds no other alert up. Several web processes share the work by
compare-and-set on each row.

Titles come from pages and are hostile: HTML is escaped by the templates, headers are checked by build_mail.
"""

from __future__ import annotations

import logging
import secrets
import threading
import time
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from newsmill.context import AppContext
from newsmill.exceptions import ServiceError
from newsmill.search import Search
from newsmill.storage.documents import ChangePosition, Changes, StoredDocument
from newsmill.storage.saved_searches import (
    MATCH_AGE,
    MAX_WEBHOOK_DOCUMENTS,
    Alert,
    Alerts,
    Channel,
    MatchedPage,
    SavedSearch,
    SavedSearches,
)
from newsmill.web.alert_channels import AlertContent, TargetGoneError, one_line, send_alert
from newsmill.web.api.documents import summarize
from newsmill.web.http_client import DeliveryError
from newsmill.web.pages.rendering import link, shorten, template_environment
from newsmill.web.pages.translations import Translations, load_translations
from newsmill.web.round_thread import RoundThread

CLEANUP_SECONDS = 3600.0  # between two deletions of old matches
MAX_CONCURRENT = 4  # messages at once
MAX_TESTS = 2  # test messages at once, each of which holds one of the threads that serve requests
PAGE_DOCUMENTS = 200  # compared with a search at a time
MAX_STORING = timedelta(days=1)  # from the fetch of a page to the commit of its document, while workers are behind
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
        self._forget_done()
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

        A document that was found and fetched long before its search was saved, or longer than MATCH_AGE ago, is no news: its source was
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


# ---- the content of a message: text and HTML for people, JSON for programs -----------------------------------------------------

# Services cut a message at 1,000 to 4,000 characters.
MAX_LISTED = {Channel.EMAIL: 50, Channel.WEBHOOK: MAX_WEBHOOK_DOCUMENTS, Channel.APPRISE: 10}
MAX_TITLE_CHARACTERS = 200
MAX_SUBJECT_CHARACTERS = 200


@dataclass(frozen=True, slots=True)
class AlertMessage:
    """The new matches of a search. `documents`: some of them, newest first; `total`: all. `base`: the URL of the pages, if it is set."""

    id: str
    search: SavedSearch
    documents: Sequence[StoredDocument]
    total: int
    at: datetime
    words: Translations
    base: str | None
    is_test: bool = False

    @property
    def more(self) -> int:
        """Matches that are not listed."""
        return self.total - len(self.documents)

    @property
    def search_url(self) -> str | None:
        return f"{self.base}/searches/{self.search.id}" if self.base else None


def build_content(context: AppContext, alert: Alert, *, base: str | None) -> AlertContent | None:
    """The message in progress of an alert; None if its documents were removed. Raises ServiceError."""
    until = alert.until or 0
    documents = read_matches(context, alert, after=alert.notified, before=until + 1)
    if not documents:
        return None
    words = load_translations(alert.language)
    return render(AlertMessage(str(alert.delivery), alert.search, documents, until - alert.notified, context.now(), words, base))


def build_test_content(context: AppContext, alert: Alert, message_id: str, *, base: str | None) -> AlertContent:
    """A message that tests an alert, with some documents that matched before. Raises ServiceError."""
    documents = read_matches(context, alert, after=0, before=None, limit=3)
    words = load_translations(alert.language)
    return render(AlertMessage(message_id, alert.search, documents, len(documents), context.now(), words, base, is_test=True))


def render(message: AlertMessage) -> AlertContent:
    """The message for every channel."""
    title, rows = title_of(message), [describe(message, document) for document in message.documents]
    html = template_environment().get_template("alert_mail.html").render(t=message.words, message=message, title=title, documents=rows)
    return AlertContent(message.id, message.at, title, write_text(message), html, payload_of(message))


def read_matches(context: AppContext, alert: Alert, *, after: int, before: int | None, limit: int | None = None) -> list[StoredDocument]:
    """The newest matches with these numbers, newest first, as far as they are listed and still stored."""
    searches = SavedSearches(context.engine)
    found = searches.list_matches(alert.search.id, after=after, before=before, limit=limit or MAX_LISTED[alert.channel])
    by_id = {document.id: document for document in Changes(context.engine).get_many([match.document_id for match in found])}
    return [by_id[match.document_id] for match in found if match.document_id in by_id]


def title_of(message: AlertMessage) -> str:
    """The subject, on one line."""
    words, name = message.words, message.search.name
    title = words("alertmail.test", name=name) if message.is_test else words.n("alertmail.subject", message.total, name=name)
    return shorten(one_line(title), MAX_SUBJECT_CHARACTERS)


def write_text(message: AlertMessage) -> str:
    """The message as plain text."""
    words = message.words
    parts = [words("alertmail.intro", query=one_line(message.search.query))]
    parts += ["\n".join(filter(None, describe(message, document))) for document in message.documents]
    if message.more > 0:
        parts.append(words.n("alertmail.more", message.more))
    parts += [words("alertmail.manage", url=message.search_url)] if message.search_url else []
    return "\n\n".join(parts) + "\n"


def describe(message: AlertMessage, document: StoredDocument) -> tuple[str, str, str]:
    """The lines of one document: title, origin, URL."""
    title = shorten(one_line(document.title or message.words("document.untitled")), MAX_TITLE_CHARACTERS)
    origin = " · ".join(filter(None, (document.source, message.words.day(document.published_at or document.first_seen_at))))
    return title, origin, link(document.url) or ""


def payload_of(message: AlertMessage) -> dict[str, Any]:
    """The message in the envelope of Standard Webhooks, its documents oldest first."""
    search = {"id": message.search.id, "name": message.search.name, "query": message.search.query}
    data = {"search": search, "documents": [summarize(document) for document in reversed(message.documents)]}
    return {"type": "ping" if message.is_test else "search.matched", "timestamp": message.at.isoformat(), "data": data}
