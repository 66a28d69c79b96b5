"""Webhooks, with their messages in the outbox.

A webhook follows the order in which documents are stored, with at most one message of documents at a time. While its receiver is down,
messages do not accumulate: its position waits. Several processes may call every method at once.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import Connection, Engine, Text, and_, cast, delete, or_, select, update

from newsmill.storage.changes import Changes
from newsmill.storage.database import reading, writing
from newsmill.storage.outbox import (
    IS_DUE,
    MAX_AGE,
    Message,
    MessageKind,
    MessageState,
    Outbox,
    add_message,
    delete_messages,
    make_message_id,
    make_secret,
    retry_messages,
    to_message,
)
from newsmill.storage.schema import outbox, submissions, webhooks

MAX_UNNOTIFIED = 1000  # submissions that one round looks at


class WebhookEvent(StrEnum):
    """The events of webhooks."""

    DOCUMENTS = "documents.stored"  # documents were stored or changed, up to 50 together
    SUBMISSION = "submission.done"  # every URL of a submission has an outcome
    PING = "ping"  # a test


@dataclass(frozen=True, slots=True)
class Webhook:
    """A receiver of notifications. The secret signs deliveries; it is shown once, when the webhook is created."""

    id: str
    url: str
    secret: str
    event: WebhookEvent
    source: str | None
    query: str | None
    created_at: datetime
    enabled: bool
    seen_at: datetime
    seen_id: str


@dataclass(frozen=True, slots=True)
class UnnotifiedSubmission:
    """A submission whose webhook is to be called when all its URLs have an outcome."""

    id: str
    webhook: str
    created_at: datetime


class Webhooks:
    """Webhooks with their messages, of which those of enabled ones are sent. Every call may raise ServiceError."""

    def __init__(self, engine: Engine) -> None:
        is_enabled = outbox.c.owner.in_(select(webhooks.c.id).where(webhooks.c.enabled))
        self._engine = engine
        self.outbox = Outbox(engine, MessageKind.WEBHOOK, is_enabled, on_given_up=_note_given_up)

    def add(
        self,
        url: str,
        event: WebhookEvent,
        *,
        now: datetime,
        source: str | None = None,
        query: str | None = None,
        token: str | None = None,
    ) -> Webhook:
        """A new webhook for events from now on, of documents of a source and that match a query, if given."""
        row: dict[str, Any] = {
            "id": secrets.token_hex(8),
            "url": url,
            "secret": make_secret(),
            "event": event.value,
            "source": source,
            "query": query,
            "created_at": now,
        }
        position = Changes(self._engine).end()
        row |= {"enabled": True, "seen_at": position.stored_at, "seen_id": position.id}
        with writing(self._engine) as conn:
            conn.execute(webhooks.insert(), row | {"token": token})
        return _webhook(row)

    def list_all(self) -> list[Webhook]:
        """All webhooks, oldest first, without those of single submissions."""
        with reading(self._engine) as conn:
            wanted = (
                select(webhooks).where(webhooks.c.event != WebhookEvent.SUBMISSION.value).order_by(webhooks.c.created_at, webhooks.c.id)
            )
            return [_webhook(row) for row in conn.execute(wanted).mappings()]

    def get(self, webhook_id: str) -> Webhook | None:
        with reading(self._engine) as conn:
            row = conn.execute(select(webhooks).where(webhooks.c.id == webhook_id)).mappings().one_or_none()
        return None if row is None else _webhook(row)

    def remove(self, webhook_id: str) -> bool:
        """Delete a webhook and its deliveries. False: it does not exist."""
        with writing(self._engine) as conn:
            is_removed = conn.execute(delete(webhooks).where(webhooks.c.id == webhook_id)).rowcount == 1
            delete_messages(conn, MessageKind.WEBHOOK, [webhook_id])
        return is_removed

    def set_enabled(self, webhook_id: str, enabled: bool) -> bool:
        """Enable or disable a webhook; an enabled one continues where it stopped. False: it does not exist."""
        with writing(self._engine) as conn:
            return conn.execute(update(webhooks).where(webhooks.c.id == webhook_id).values(enabled=enabled)).rowcount == 1

    def list_deliveries(self, webhook_id: str, *, limit: int, after: str | None = None) -> list[Message]:
        """The messages of a webhook, newest first; only those after the message `after`, if given."""
        wanted = select(outbox).where(outbox.c.kind == MessageKind.WEBHOOK.value, outbox.c.owner == webhook_id)
        if after is not None:
            wanted = wanted.where(outbox.c.number < select(outbox.c.number).where(outbox.c.id == after).scalar_subquery())
        with reading(self._engine) as conn:
            return [to_message(row) for row in conn.execute(wanted.order_by(outbox.c.number.desc()).limit(limit)).mappings()]

    def ping(self, webhook_id: str, payload: Any, *, now: datetime) -> str | None:
        """Enqueue a test delivery, which waits for no other one. Returns its id; None: the webhook does not exist."""
        with writing(self._engine) as conn:
            return add_message(conn, MessageKind.WEBHOOK, webhook_id, payload, now) if _lock(conn, webhook_id) else None

    def list_idle(self) -> list[Webhook]:
        """Enabled webhooks for documents whose queue is empty."""
        busy = select(outbox.c.queue).where(outbox.c.kind == MessageKind.WEBHOOK.value, IS_DUE, outbox.c.queue.is_not(None))
        wanted = and_(webhooks.c.event == WebhookEvent.DOCUMENTS.value, webhooks.c.enabled, webhooks.c.id.not_in(busy))
        with reading(self._engine) as conn:
            return [_webhook(row) for row in conn.execute(select(webhooks).where(wanted).order_by(webhooks.c.id)).mappings()]

    def move(self, hook: Webhook, payload: Any | None, *, until: datetime, last: str, now: datetime) -> bool:
        """Move the webhook's position to (until, last) and enqueue a delivery, if there is a payload, in one commit.

        False: another process was faster.
        """
        is_unmoved = and_(webhooks.c.id == hook.id, webhooks.c.seen_at == hook.seen_at, webhooks.c.seen_id == hook.seen_id)
        with writing(self._engine) as conn:
            is_moved = conn.execute(update(webhooks).where(is_unmoved).values(seen_at=until, seen_id=last)).rowcount == 1
            if is_moved and payload is not None:
                add_message(conn, MessageKind.WEBHOOK, hook.id, payload, now, queue=hook.id)
        return is_moved

    def list_unnotified(self, after: UnnotifiedSubmission | None = None) -> list[UnnotifiedSubmission]:
        """Submissions whose webhook is not notified yet, oldest first: at most MAX_UNNOTIFIED of those that follow `after`."""
        wanted = and_(submissions.c.webhook.is_not(None), submissions.c.notified_at.is_(None))
        if after is not None:
            is_later = submissions.c.created_at > after.created_at
            wanted = and_(wanted, or_(is_later, and_(submissions.c.created_at == after.created_at, submissions.c.id > after.id)))
        columns = (submissions.c.id, submissions.c.webhook, submissions.c.created_at)
        statement = select(*columns).where(wanted).order_by(submissions.c.created_at, submissions.c.id).limit(MAX_UNNOTIFIED)
        with reading(self._engine) as conn:
            return [UnnotifiedSubmission(*row) for row in conn.execute(statement)]

    def notify_submission(self, submission: str, hook: str, payload: Any, *, now: datetime) -> bool:
        """Enqueue the delivery for a finished submission. False: another process was faster."""
        with writing(self._engine) as conn:
            wanted = and_(submissions.c.id == submission, submissions.c.notified_at.is_(None))
            if conn.execute(update(submissions).where(wanted).values(notified_at=now)).rowcount != 1:
                return False
            if _lock(conn, hook):
                add_message(conn, MessageKind.WEBHOOK, hook, payload, now, queue=hook)
        return True

    def retry(self, message_id: str, *, now: datetime) -> bool:
        """Send a message again that was given up. False: it does not exist."""
        wanted = and_(outbox.c.kind == MessageKind.WEBHOOK.value, outbox.c.id == message_id, outbox.c.state == MessageState.FAILED.value)
        with writing(self._engine) as conn:
            return retry_messages(conn, wanted, now) == 1

    def delete_unused(self, *, now: datetime) -> None:
        """Delete old webhooks of submissions that have no messages."""
        unnotified = select(submissions.c.webhook).where(submissions.c.webhook.is_not(None), submissions.c.notified_at.is_(None))
        used = select(outbox.c.owner).where(outbox.c.kind == MessageKind.WEBHOOK.value).union(unnotified)
        unused = and_(webhooks.c.event == WebhookEvent.SUBMISSION.value, webhooks.c.created_at < now - MAX_AGE, webhooks.c.id.not_in(used))
        with writing(self._engine) as conn:
            conn.execute(delete(webhooks).where(unused))


def remove_from_deliveries(conn: Connection, ids: Sequence[str]) -> None:
    """Remove documents from the messages that hold them; a message that has nothing else is deleted.

    A message that may still be sent gets a new ID, because receivers drop one whose ID they know. A process that is sending the old message
    finds no row for its result, so the other documents are sent again, when its lease has ended: twice is better than never.
    """
    gone = frozenset(ids)
    found: dict[str, Any] = {}
    for document_id in sorted(gone):
        holds = and_(outbox.c.kind == MessageKind.WEBHOOK.value, cast(outbox.c.payload, Text).contains(document_id, autoescape=True))
        rows = conn.execute(select(outbox.c.id, outbox.c.state, outbox.c.payload).where(holds).with_for_update())
        found |= {row.id: row for row in rows}
    for row in found.values():
        data = row.payload["data"]
        kept = [document for document in data.get("documents", ()) if document["id"] not in gone]
        if len(kept) == len(data.get("documents", ())):  # it tells that the document was removed before
            continue
        this = outbox.c.id == row.id
        if not kept and not data.get("removed"):
            conn.execute(delete(outbox).where(this))
            continue
        payload = {**row.payload, "data": {**data, "documents": kept}}
        delivery_id = row.id if row.state == MessageState.DELIVERED else make_message_id()
        conn.execute(update(outbox).where(this).values(id=delivery_id, payload=payload))


def _note_given_up(conn: Connection, message: Message, is_final: bool) -> None:
    """A webhook whose receiver wants no more messages is disabled."""
    if is_final:
        conn.execute(update(webhooks).where(webhooks.c.id == message.owner).values(enabled=False))


def _lock(conn: Connection, webhook_id: str) -> bool:
    """Keep a webhook from being removed before the commit; whether it is there."""
    return conn.execute(select(webhooks.c.id).where(webhooks.c.id == webhook_id).with_for_update()).first() is not None


def _webhook(row: Any) -> Webhook:
    names = ("id", "url", "secret", "source", "query", "created_at", "enabled", "seen_at", "seen_id")
    return Webhook(event=WebhookEvent(row["event"]), **{name: row[name] for name in names})
