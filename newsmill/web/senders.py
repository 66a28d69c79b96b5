"""The senders of messages, joined with the writers of their content."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from newsmill.context import AppContext
from newsmill.notifications.alarms import AlarmSender
from newsmill.notifications.alerts import AlertSender, TestSender
from newsmill.notifications.health_watch import HealthWatch
from newsmill.notifications.loop import Sender
from newsmill.notifications.webhooks import WebhookSender
from newsmill.notifications.websub import WebSubSubscriber
from newsmill.storage.changes import RemovedDocument, StoredDocument
from newsmill.web.alarm_messages import AlarmMessages
from newsmill.web.alert_messages import AlertMessages
from newsmill.web.api.change_stream import summarize
from newsmill.web.api.documents import RemovedDocumentResponse
from newsmill.web.config import WEBSUB_PATH, WebConfig


def make_senders(context: AppContext, config: WebConfig) -> list[Sender[Any]]:
    """The senders of the web process."""
    senders: list[Sender[Any]] = []
    if config.sends_webhooks:
        senders += [HealthWatch(context), make_alarm_sender(context, config.url), make_alert_sender(context, config.url)]
        senders.append(make_webhook_sender(context, config.allow_nets))
    if config.public_url is not None:
        senders.append(WebSubSubscriber(context, config.public_url, WEBSUB_PATH, config.allow_nets))
    return senders


def make_alert_sender(context: AppContext, base_url: str | None = None) -> AlertSender:
    """`base_url` is the URL of the pages, to which messages link."""
    return AlertSender(context, AlertMessages(context, base_url))


def make_test_sender(context: AppContext, base_url: str | None = None) -> TestSender:
    return TestSender(context, AlertMessages(context, base_url))


def make_alarm_sender(context: AppContext, base_url: str | None = None) -> AlarmSender:
    return AlarmSender(context, AlarmMessages(context, base_url).write)


def make_webhook_sender(context: AppContext, allow_nets: tuple[str, ...]) -> WebhookSender:
    return WebhookSender(context, allow_nets, write_changes)


def write_changes(documents: Sequence[StoredDocument], removed: Sequence[RemovedDocument]) -> dict[str, Any]:
    """Documents, and those that were removed, as the HTTP API shows them."""
    return {
        "documents": [summarize(document) for document in documents],
        "removed": [RemovedDocumentResponse.model_validate(one).model_dump(mode="json") for one in removed],
    }
