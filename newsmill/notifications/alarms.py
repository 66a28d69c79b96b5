"""Sends the messages about alarms of sources."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime

from newsmill.context import AppContext
from newsmill.exceptions import ConfigError
from newsmill.notifications.channels.command import run_command
from newsmill.notifications.channels.http_post import DeliveryError
from newsmill.notifications.channels.targets import MessageContent, check_target, send_message
from newsmill.notifications.loop import OutboxSender
from newsmill.settings import Settings, is_email_address
from newsmill.storage.alarms import Notified, SourceAlarm, find_alarm, prepare_messages
from newsmill.storage.alerts import Channel
from newsmill.storage.outbox import Message, MessageKind, Outbox

COMMAND = "command"  # the target of messages for NEWSMILL_HEALTH_COMMAND, which may hold a password

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class AlarmMessage:
    """What a message reports: the beginning or the end of an alarm."""

    id: str
    alarm: SourceAlarm
    event: Notified


AlarmWriter = Callable[[AlarmMessage], MessageContent]


class AlarmSender(OutboxSender):
    """The messages about alarms go to the targets of the settings."""

    name = "alarm-sender"
    max_concurrent = 2

    def __init__(self, context: AppContext, write: AlarmWriter) -> None:
        self.context, self.write = context, write
        self.outbox = Outbox(context.engine, MessageKind.ALARM)
        self.targets = list_targets(context.settings)

    def prepare(self, now: datetime) -> None:
        if self.targets:
            prepare_messages(self.context.engine, self.targets, now=now)

    def claim(self, now: datetime, limit: int) -> Mapping[str, Message]:
        """A process without targets leaves the messages to those that have some."""
        return super().claim(now, limit) if self.targets else {}

    def send(self, job: Message) -> None:
        """Send a message, unless the administrator has removed its target, or its alarm was deleted."""
        alarm, target, settings = find_alarm(self.context.engine, job.owner), job.payload["target"], self.context.settings
        if alarm is None or target not in self.targets:
            return
        content = self.write(AlarmMessage(job.id, alarm, Notified(job.payload["event"])))
        if target == COMMAND:
            run_command(settings.health_command or (), json.dumps(content.payload, ensure_ascii=False).encode())
        else:
            send_message(self.context, choose_channel(target), target, content, settings.health_secret)

    def mark_failed(self, job: Message, error: DeliveryError, now: datetime) -> None:
        if (alarm := find_alarm(self.context.engine, job.owner)) is not None:
            log.warning("message about %s of %s: %s", alarm.finding.cause, alarm.source or "all sources", error)
        super().mark_failed(job, error, now)


def list_targets(settings: Settings) -> list[str]:
    """The targets of messages, each once. One that is not allowed is logged and left out."""
    targets = [COMMAND] if settings.health_command else []
    for number, target in enumerate(settings.health_alerts, 1):
        try:
            targets.append(check_target(choose_channel(target), target, settings))
        except ConfigError as error:
            log.warning("NEWSMILL_HEALTH_ALERTS, entry %d: %s", number, error)
    return list(dict.fromkeys(targets))


def choose_channel(target: str) -> Channel:
    """The channel of a target: an e-mail address, a web hook, or a service of Apprise.

    >>> [choose_channel(target).value for target in ("ann@example.org", "https://example.org/hook", "ntfys://ntfy.example.org/news")]
    ['email', 'webhook', 'apprise']
    """
    if is_email_address(target):
        return Channel.EMAIL
    return Channel.WEBHOOK if target.lower().startswith(("http://", "https://")) else Channel.APPRISE
