"""The senders of the web process, joined with the writers of their content."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from newsmill.context import AppContext
from newsmill.notifications.alarms import AlarmSender
from newsmill.notifications.alerts import AlertSender
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
    senders: list[Sender[Any]] = []
    if config.sends_webhooks:
        senders += [HealthWatch(context), AlarmSender(context, AlarmMessages(context, config.url))]
        senders.append(AlertSender(context, AlertMessages(context, config.url)))
        senders.append(WebhookSender(context, config.allow_nets, write_changes))
    if config.public_url is not None:
        senders.append(WebSubSubscriber(context, config.public_url, WEBSUB_PATH, config.allow_nets))
    return senders


def write_changes(documents: Sequence[StoredDocument], removed: Sequence[RemovedDocument]) -> dict[str, Any]:
    """Documents, and those that were removed, as the HTTP API shows them."""
    return {
        "documents": [summarize(document) for document in documents],
        "removed": [RemovedDocumentResponse.model_validate(one).model_dump(mode="json") for one in removed],
    }
