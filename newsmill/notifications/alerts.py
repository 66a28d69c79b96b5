"""Matches new documents with saved searches, to send the alerts about them."""

from __future__ import annotations

import logging
import threading
from datetime import datetime, timedelta
from typing import Protocol

from newsmill.context import AppContext
from newsmill.notifications.channels.http_post import DeliveryError
from newsmill.notifications.channels.targets import MessageContent, send_message
from newsmill.notifications.loop import OutboxSender
from newsmill.search.search import Search
from newsmill.storage.alerts import Alert, Alerts
from newsmill.storage.changes import ChangePosition, Changes
from newsmill.storage.outbox import Message, make_message_id
from newsmill.storage.saved_searches import MATCH_AGE, MatchedPage, SavedSearch, SavedSearches

log = logging.getLogger(__name__)

MAX_TESTS = 2  # test messages at once, each of which holds one of the threads that serve requests
PAGE_DOCUMENTS = 200  # compared with a search at a time
MAX_STORING = timedelta(days=1)  # from the fetch of a page to the commit of its document, while workers are behind
MAX_PAGES = 50  # of one round, over all searches: at most a few seconds


class AlertWriter(Protocol):
    """Writes the content of messages."""

    def write(self, alert: Alert) -> MessageContent | None:
        """The message in progress of an alert; None if its documents were removed. Raises ServiceError."""

    def write_test(self, alert: Alert, message_id: str) -> MessageContent:
        """A message that tests an alert, with some documents that matched before. Raises ServiceError."""


class AlertSender(OutboxSender):
    """Matches the documents of each round before it begins and sends the messages about them."""

    name = "alert-sender"

    def __init__(self, context: AppContext, writer: AlertWriter) -> None:
        self.context, self.writer = context, writer
        self.searches, self.alerts = SavedSearches(context.engine), Alerts(context.engine)
        self.outbox = self.alerts.outbox

    def prepare(self, now: datetime) -> None:
        end = Changes(self.context.engine).end()
        self.match(end, now)
        self.match_stories(now)
        self.alerts.begin_due(end, now=now)

    def send(self, job: Message) -> None:
        """Send a message, unless its alert or its documents were removed."""
        alert = self.alerts.get(job.owner)
        if alert is not None and alert.delivery == job.id and (content := self.writer.write(alert)) is not None:
            send_message(self.context, alert.channel, alert.target, content, alert.secret)

    def match(self, end: ChangePosition, now: datetime) -> None:
        """Match the documents stored before `end`, at most MAX_PAGES pages, with the searches that have not seen them."""
        left = MAX_PAGES
        while left > 0 and (behind := self.searches.list_behind(end, limit=left)):
            self.searches.record(self.match_pages(behind, now), now=now)
            left -= len(behind)

    def match_stories(self, now: datetime) -> None:
        """Compare the stories that enough sources carry with the searches of stories."""
        for search in self.searches.list_all():
            if found := self.searches.list_wide_stories(search, now=now):
                ids = [document for story in found for document in story.document_ids]
                matched = set(Search(self.context.engine, search.user).filter_ids(search.query, ids))
                firsts = [(story, next((one for one in story.document_ids if one in matched), None)) for story in found]
                self.searches.record_stories(search, firsts, now=now)

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
            if search.story_sources is not None:
                matched.append(MatchedPage(search, [], end))
                continue
            news = changes.filter_new(ids, since=max(search.created_at - MAX_STORING, now - MATCH_AGE))
            matched.append(MatchedPage(search, Search(self.context.engine, search.user).filter_ids(search.query, news), end))
        return matched


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
            message = self.writer.write_test(alert, make_message_id())
            send_message(self.context, alert.channel, alert.target, message, alert.secret)
        except DeliveryError as error:
            return str(error)
        finally:
            self._free.release()
        return None
