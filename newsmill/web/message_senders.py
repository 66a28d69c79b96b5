"""Writes and sends messages to people: alerts of saved searches, and alarms of sources. Two threads of the web process.

Each round begins the messages that are due, and sends those whose next try is due. A slow target uses one of a few threads for a limited
time and holds no other message up. Several web processes share the work by compare-and-set on each row.

Titles, URLs and details come from other sites and are hostile: HTML is escaped by the templates, headers are checked by build_mail.
"""

from __future__ import annotations

import json
import logging
import os
import secrets
import signal
import subprocess
import threading
import time
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from newsmill.address_guard import Guard
from newsmill.context import AppContext
from newsmill.exceptions import ConfigError, ServiceError
from newsmill.health.causes import CAUSE_NAMES, Cause, Evidence, Finding
from newsmill.search.search import Search
from newsmill.settings import Settings, is_email_address
from newsmill.storage.alarms import AlarmMessage, AlarmMessages, Notified
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
from newsmill.storage.source_health import SourceAlarms
from newsmill.web.alert_channels import AlertContent, AlertTarget, TargetGoneError, check_target, one_line, send_alert, send_message
from newsmill.web.api.documents import summarize
from newsmill.web.api.sources import to_alarm
from newsmill.web.http_client import DeliveryError, post
from newsmill.web.pages.rendering import link, shorten, template_environment
from newsmill.web.pages.source_health_view import describe_cause
from newsmill.web.pages.translations import Translations, load_translations
from newsmill.web.round_thread import RoundThread

log = logging.getLogger(__name__)

# ---- alerts of saved searches ---------------------------------------------------------------------------------------------------

CLEANUP_SECONDS = 3600.0  # between two deletions of old matches
MAX_CONCURRENT_ALERTS = 4  # messages at once
MAX_TESTS = 2  # test messages at once, each of which holds one of the threads that serve requests
PAGE_DOCUMENTS = 200  # compared with a search at a time
MAX_STORING = timedelta(days=1)  # from the fetch of a page to the commit of its document, while workers are behind
MAX_PAGES = 50  # of one round, over all searches: at most a few seconds


class AlertSender(RoundThread):
    """The thread that matches new documents with saved searches and sends their alerts. Tests call `round` instead of `start`."""

    def __init__(self, context: AppContext, base_url: str | None = None) -> None:
        super().__init__("alert-sender", MAX_CONCURRENT_ALERTS)
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
        message = build_alert_content(self.context, alert, base=self.base_url)
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


# ---- the content of an alert: text and HTML for people, JSON for programs -------------------------------------------------------

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


def build_alert_content(context: AppContext, alert: Alert, *, base: str | None) -> AlertContent | None:
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


# ---- alarms of sources ----------------------------------------------------------------------------------------------------------

MAX_CONCURRENT_ALARMS = 2  # messages at once
COMMAND = "command"  # the target of messages for NEWSMILL_HEALTH_COMMAND, which may hold a password
WATCH_SECONDS = 20.0  # between two looks at the newest document
PING_SECONDS = 60.0
MAX_COMMAND_SECONDS = 30.0
MAX_LINE_CHARACTERS = 1000


class AlarmSender(RoundThread):
    """The thread that sends the messages about alarms, and watches the output of the whole installation.

    It is not part of crawler, worker or scheduler, so it notices when they stand still. Who watches this process is the service at
    NEWSMILL_HEALTH_PING, which is called as long as all is well and raises the alarm when it is not. Tests call `round` instead of `start`.
    """

    def __init__(self, context: AppContext, base_url: str | None = None) -> None:
        super().__init__("alarm-sender", MAX_CONCURRENT_ALARMS)
        self.context, self.base_url = context, base_url.rstrip("/") if base_url else None
        self.messages, self.alarms = AlarmMessages(context.engine), SourceAlarms(context.engine)
        self.targets = list_targets(context.settings)
        self._next_watch = self._next_ping = time.monotonic()
        self._is_silent = False
        self._ping_problem: str | None = None

    def make_round(self, pool: ThreadPoolExecutor) -> bool:
        """One round; whether more messages wait."""
        return self.round(pool) >= MAX_CONCURRENT_ALARMS

    def round(self, pool: ThreadPoolExecutor) -> int:
        """Watch the output, and send the messages that are due; returns how many were tried. Raises ServiceError."""
        now = self.context.now()
        if time.monotonic() >= self._next_watch:
            self._next_watch = time.monotonic() + WATCH_SECONDS
            self._is_silent = self.watch_output(now)
        if not self._is_silent and time.monotonic() >= self._next_ping:
            self._next_ping = time.monotonic() + PING_SECONDS
            self.ping()
        if not self.targets:
            return 0
        self.messages.prepare(self.targets, now=now)
        started: list[Future[None]] = [
            pool.submit(self.deliver, one) for one in self.messages.claim_due(now=now, limit=MAX_CONCURRENT_ALARMS)
        ]
        for future in started:
            future.result()
        return len(started)

    def watch_output(self, now: datetime) -> bool:
        """Begin or end the alarm of the whole installation; whether it is open now. Raises ServiceError."""
        limit = self.context.settings.health_silence
        last = None if limit is None else self.context.documents.newest_time()
        is_silent = limit is not None and last is not None and now - last >= limit
        opened = [alarm for alarm in self.alarms.list_open() if not alarm.source]
        if is_silent and not opened and last is not None:
            self.alarms.begin("", Finding(Cause.NO_OUTPUT, last, Evidence(last_at=last)), now=now)
            log.warning("alarm: no source has given a document since %s", last.isoformat(timespec="minutes"))
        elif not is_silent:
            for alarm in opened:
                self.alarms.end(alarm, now=now, has_message=limit is not None)
                log.info("the alarm is over: %s", CAUSE_NAMES[alarm.finding.cause])
        return is_silent

    def ping(self) -> None:
        """Tell the watching service that all is well. A failure is logged once; the service notices it anyway."""
        url = self.context.settings.health_ping
        if url is None:
            return
        try:
            status = post(url, b"", {"User-Agent": self.context.settings.agent}, self._guard())
            problem = None if 200 <= status < 300 else f"the service answered {status}"
        except DeliveryError as error:
            problem = str(error)
        if problem is not None and problem != self._ping_problem:
            log.warning("NEWSMILL_HEALTH_PING: %s", problem)
        self._ping_problem = problem

    def deliver(self, message: AlarmMessage) -> None:
        """Send one message and store the result."""
        try:
            try:
                self._deliver(message)
            except DeliveryError as error:
                log.warning("message about %s of %s: %s", message.alarm.finding.cause, message.alarm.source or "all sources", error)
                self.messages.mark_failed(message, str(error), now=self.context.now())
                return
            self.messages.mark_sent(message, now=self.context.now())
        except ServiceError as error:  # it is tried again when the lease ends
            log.warning("alarm message %s: %s", message.id, error)

    def _deliver(self, message: AlarmMessage) -> None:
        settings = self.context.settings
        content = build_alarm_content(message, settings.health_language, self.context.now(), base=self.base_url)
        if message.target == COMMAND:
            if settings.health_command:
                run_command(settings.health_command, json.dumps(content.payload, ensure_ascii=False).encode())
        elif message.target in self.targets:  # else the administrator has removed it since
            secret = settings.health_secret
            send_message(self.context, AlertTarget(choose_channel(message.target), message.target, secret), content)

    def _guard(self) -> Guard:
        return Guard.from_networks(map(str, self.context.settings.allow_nets))


def build_alarm_content(message: AlarmMessage, language: str, now: datetime, *, base: str | None) -> AlertContent:
    """The message in that language. `base`: the URL of the pages, if it is set."""
    words, alarm = load_translations(language), message.alarm
    name = alarm.source or words("alarmmail.all")
    cause = describe_cause(alarm.source, alarm.finding, words, now)
    is_over = message.event is Notified.END
    title = words("alarmmail.over", name=name, cause=cause.title) if is_over else words("alarmmail.begun", name=name, cause=cause.title)
    lines = [f"{words('source_health.evidence')} {cause.evidence}"]
    lines += [] if is_over else [f"{words('source_health.remedy')} {cause.remedy}"]
    lines = [shorten(one_line(line), MAX_LINE_CHARACTERS) for line in lines]
    url = f"{base}/{f'sources/{alarm.source}' if alarm.source else ''}" if base else None
    title = shorten(one_line(title), MAX_SUBJECT_CHARACTERS)
    html = template_environment().get_template("alarm_mail.html").render(t=words, title=title, lines=lines, url=url)
    payload = {
        "type": "source.alarm.ended" if is_over else "source.alarm.begun",
        "timestamp": now.isoformat(),
        "data": {"source": alarm.source or None, "title": title, "alarm": to_alarm(alarm).model_dump(mode="json"), "id": alarm.id},
    }
    return AlertContent(message.id, now, title, "\n\n".join([*lines, *([url] if url else [])]) + "\n", html, payload)


def list_targets(settings: Settings) -> list[str]:
    """The targets of messages. One that is not allowed is logged and left out."""
    targets = [COMMAND] if settings.health_command else []
    for number, target in enumerate(settings.health_alerts, 1):
        try:
            targets.append(check_target(choose_channel(target), target, settings))
        except ConfigError as error:
            log.warning("NEWSMILL_HEALTH_ALERTS, entry %d: %s", number, error)
    return targets


def choose_channel(target: str) -> Channel:
    """The channel of a target: an e-mail address, a web hook, or a service of Apprise.

    >>> [choose_channel(target).value for target in ("ann@example.org", "https://example.org/hook", "ntfys://ntfy.example.org/news")]
    ['email', 'webhook', 'apprise']
    """
    if is_email_address(target):
        return Channel.EMAIL
    return Channel.WEBHOOK if target.lower().startswith(("http://", "https://")) else Channel.APPRISE


def run_command(arguments: Sequence[str], message: bytes, seconds: float = MAX_COMMAND_SECONDS) -> None:
    """Run the administrator's program with the message on its standard input. Raises DeliveryError if it fails or exceeds the time limit.

    It runs without a shell and with no environment but PATH, because ours holds passwords. After the limit, it is killed with its children.
    """
    try:
        process = subprocess.Popen(
            list(arguments),
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env={"PATH": os.defpath},
            start_new_session=True,
        )
    except OSError as error:
        raise DeliveryError(f"the command cannot be started ({error.strerror})") from None
    try:
        process.communicate(message, timeout=seconds)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        raise DeliveryError(f"the command took longer than {seconds:.0f} s") from None
    if process.returncode:
        raise DeliveryError(f"the command ended with exit code {process.returncode}")
