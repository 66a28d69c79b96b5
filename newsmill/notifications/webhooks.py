"""Creates the deliveries of new documents and of finished submissions to web hooks, and sends those that are due."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Protocol

from newsmill.context import AppContext
from newsmill.network.address_guard import Guard
from newsmill.notifications.channels.http_post import post_message
from newsmill.notifications.loop import OutboxSender
from newsmill.storage.changes import ChangePosition, Changes, RemovedDocument, StoredDocument
from newsmill.storage.ledger.submissions import Submissions
from newsmill.storage.outbox import Message
from newsmill.storage.webhooks import MAX_UNNOTIFIED, UnnotifiedSubmission, Webhook, WebhookEvent, Webhooks

MAX_DOCUMENTS = 50  # in one message
MAX_MATCHED_DOCUMENTS = 2000  # that one round compares with the query of one webhook
MAX_COUNTED_URLS = 10_000  # of a submission


class ChangeWriter(Protocol):
    """Writes documents, and those that were removed, as the HTTP API shows them."""

    def __call__(self, documents: Sequence[StoredDocument], removed: Sequence[RemovedDocument]) -> dict[str, Any]: ...


class WebhookSender(OutboxSender):
    """Creates the messages about new documents and sends them.

    It runs in the web process and not in the scheduler, because a slow receiver must not delay the checks of sources. Messages are stored,
    so a crash loses none; a receiver may get one twice, with the same ID.
    """

    name = "webhook-sender"

    def __init__(self, context: AppContext, allow_nets: tuple[str, ...], write_changes: ChangeWriter) -> None:
        self.context, self.write_changes = context, write_changes
        self.webhooks = Webhooks(context.engine)
        self.outbox = self.webhooks.outbox
        self.guard = Guard.from_networks(allow_nets)
        self._last_looked_at: UnnotifiedSubmission | None = None  # None: begin with the oldest

    def prepare(self, now: datetime) -> None:
        for webhook in self.webhooks.list_idle():
            self.add_document_delivery(webhook, now)
        self.add_submission_deliveries(now)

    def send(self, job: Message) -> int | None:
        webhook = self.webhooks.get(job.owner)
        if webhook is None:  # it was removed meanwhile, with its messages
            return None
        return post_message(webhook.url, job.payload, job.id, webhook.secret, self.guard, self.context.now())

    def add_document_delivery(self, webhook: Webhook, now: datetime) -> None:
        """Create one delivery of up to MAX_DOCUMENTS documents that follow the webhook's position, and of removed ones among them."""
        documents, removed, end = self.find_documents(webhook)
        if documents or removed:
            data = self.write_changes(documents, removed) | {"cursor": end.cursor}
            message = build_message(WebhookEvent.DOCUMENTS, data, now)
            self.webhooks.move(webhook, message, until=end.stored_at, last=end.id, now=now)
        elif (end.stored_at, end.id) != (webhook.seen_at, webhook.seen_id):
            self.webhooks.move(webhook, None, until=end.stored_at, last=end.id, now=now)

    def find_documents(self, webhook: Webhook) -> tuple[list[StoredDocument], list[RemovedDocument], ChangePosition]:
        """Up to MAX_DOCUMENTS documents of the webhook that follow its position, removed ones, and the position of the last one.

        Whether a removed document matched the query is not known any more, so the receiver gets its ID.
        """
        changes, end = Changes(self.context.engine), ChangePosition(webhook.seen_at, webhook.seen_id)
        for _ in range(0, MAX_MATCHED_DOCUMENTS, MAX_DOCUMENTS):
            found = changes.after(end, limit=MAX_DOCUMENTS, source=webhook.source)
            documents = [one for one in found if isinstance(one, StoredDocument)]
            removed = [one for one in found if isinstance(one, RemovedDocument)]
            end = found[-1].place if found else end
            if webhook.query is not None:
                matching = set(self.context.search.filter_ids(webhook.query, [document.id for document in documents]))
                documents = [document for document in documents if document.id in matching]
            if documents or removed or len(found) < MAX_DOCUMENTS:
                return documents, removed, end
        return [], [], end

    def add_submission_deliveries(self, now: datetime) -> None:
        """Create the deliveries of submissions whose URLs all have an outcome.

        Each round looks at some submissions and the next one at those behind them, so that no number of open ones hides a finished one.
        """
        found = self.webhooks.list_unnotified(self._last_looked_at)
        for submission in found:
            self.add_submission_delivery(submission.id, submission.webhook, now)
        self._last_looked_at = found[-1] if len(found) == MAX_UNNOTIFIED else None

    def add_submission_delivery(self, submission_id: str, webhook_id: str, now: datetime) -> None:
        """Create one delivery when every URL of a submission has an outcome."""
        submissions = Submissions(self.context.engine)
        if not submissions.done(submission_id) or (submission := submissions.get(submission_id)) is None:
            return
        outcomes = Counter(str(row.outcome) for row in submissions.rows(submission_id, limit=MAX_COUNTED_URLS))
        data = {"submission": submission_id, "urls": submission.urls, "outcomes": dict(outcomes)}
        self.webhooks.notify_submission(submission_id, webhook_id, build_message(WebhookEvent.SUBMISSION, data, now), now=now)


def build_message(event: WebhookEvent, data: dict[str, Any], now: datetime) -> dict[str, Any]:
    """A message in the envelope of Standard Webhooks (standardwebhooks.com)."""
    return {"type": event.value, "timestamp": now.isoformat(), "data": data}
