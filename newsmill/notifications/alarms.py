"""Watches the output of the whole installation, and sends the messages about alarms of sources."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import datetime

from newsmill.address_guard import Guard
from newsmill.context import AppContext
from newsmill.exceptions import ConfigError, ServiceError
from newsmill.health.causes import CAUSE_NAMES, Cause, Evidence, Finding
from newsmill.notifications.channels.command import run_command
from newsmill.notifications.channels.http_post import DeliveryError, post
from newsmill.notifications.channels.targets import AlertContent, AlertTarget, check_target, send_message
from newsmill.notifications.loop import RoundThread
from newsmill.settings import Settings, is_email_address
from newsmill.storage.alarms import AlarmMessage, AlarmMessages
from newsmill.storage.alerts import Channel
from newsmill.storage.source_checks import SourceAlarms

log = logging.getLogger(__name__)

MAX_CONCURRENT_ALARMS = 2  # messages at once
COMMAND = "command"  # the target of messages for NEWSMILL_HEALTH_COMMAND, which may hold a password
WATCH_SECONDS = 20.0  # between two looks at the newest document
PING_SECONDS = 60.0

AlarmWriter = Callable[[AlarmMessage], AlertContent]


class AlarmSender(RoundThread):
    """The thread that sends the messages about alarms, and watches the output of the whole installation.

    It is not part of crawler, worker or scheduler, so it notices when they stand still. Who watches this process is the service at
    NEWSMILL_HEALTH_PING, which is called as long as all is well and raises the alarm when it is not. Tests call `round` instead of `start`.
    """

    def __init__(self, context: AppContext, write: AlarmWriter) -> None:
        super().__init__("alarm-sender", MAX_CONCURRENT_ALARMS)
        self.context, self.write = context, write
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
        content = self.write(message)
        if message.target == COMMAND:
            if settings.health_command:
                run_command(settings.health_command, json.dumps(content.payload, ensure_ascii=False).encode())
        elif message.target in self.targets:  # else the administrator has removed it since
            secret = settings.health_secret
            send_message(self.context, AlertTarget(choose_channel(message.target), message.target, secret), content)

    def _guard(self) -> Guard:
        return Guard.from_networks(map(str, self.context.settings.allow_nets))


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
