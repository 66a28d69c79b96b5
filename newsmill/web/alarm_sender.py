"""Writes and sends the messages about alarms of sources, and watches the output of the whole installation: a thread of the web process.

The thread is not part of crawler, worker or scheduler, so it notices when they stand still. Who watches this process is the service at
NEWSMILL_HEALTH_PING, which is called as long as all is well and raises the alarm when it is not.

URLs and details come from other sites and are hostile: HTML is escaped by the template, headers are checked by build_mail.
"""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import time
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import datetime

from newsmill.address_guard import Guard
from newsmill.context import AppContext
from newsmill.exceptions import ConfigError, ServiceError
from newsmill.health.causes import Cause, Evidence, Finding
from newsmill.settings import Settings, is_email_address
from newsmill.storage.alarms import AlarmMessage, AlarmMessages, Notified
from newsmill.storage.saved_searches import Channel
from newsmill.storage.source_health import SourceAlarms
from newsmill.web.alert_channels import AlertContent, AlertTarget, check_target, one_line, send_message
from newsmill.web.api.sources import to_alarm
from newsmill.web.http_client import DeliveryError, post
from newsmill.web.pages.rendering import shorten, template_environment
from newsmill.web.pages.source_health_view import describe_cause
from newsmill.web.pages.translations import load_translations
from newsmill.web.round_thread import RoundThread

MAX_CONCURRENT = 2  # messages at once
COMMAND = "command"  # the target of messages for NEWSMILL_HEALTH_COMMAND, which may hold a password
WATCH_SECONDS = 20.0  # between two looks at the newest document
PING_SECONDS = 60.0
MAX_COMMAND_SECONDS = 30.0
MAX_SUBJECT_CHARACTERS = 200
MAX_LINE_CHARACTERS = 1000

log = logging.getLogger(__name__)


class AlarmSender(RoundThread):
    """The thread. Tests call `round` instead of `start`."""

    def __init__(self, context: AppContext, base_url: str | None = None) -> None:
        super().__init__("alarm-sender", MAX_CONCURRENT)
        self.context, self.base_url = context, base_url.rstrip("/") if base_url else None
        self.messages, self.alarms = AlarmMessages(context.engine), SourceAlarms(context.engine)
        self.targets = list_targets(context.settings)
        self._next_watch = self._next_ping = time.monotonic()
        self._is_silent = False
        self._ping_problem: str | None = None

    def make_round(self, pool: ThreadPoolExecutor) -> bool:
        """One round; whether more messages wait."""
        return self.round(pool) >= MAX_CONCURRENT

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
        started: list[Future[None]] = [pool.submit(self.deliver, one) for one in self.messages.claim_due(now=now, limit=MAX_CONCURRENT)]
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
        elif not is_silent:
            for alarm in opened:
                self.alarms.end(alarm, now=now, has_message=limit is not None)
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
        content = build_content(message, settings.health_language, self.context.now(), base=self.base_url)
        if message.target == COMMAND:
            if settings.health_command:
                run_command(settings.health_command, json.dumps(content.payload, ensure_ascii=False).encode())
        elif message.target in self.targets:  # else the administrator has removed it since
            secret = settings.health_secret
            send_message(self.context, AlertTarget(choose_channel(message.target), message.target, secret), content)

    def _guard(self) -> Guard:
        return Guard.from_networks(map(str, self.context.settings.allow_nets))


def build_content(message: AlarmMessage, language: str, now: datetime, *, base: str | None) -> AlertContent:
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
