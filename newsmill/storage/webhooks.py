"""Webhooks and their deliveries. `newsmill.web.api.webhooks` manages and sends them.

A webhook follows the order in which documents are stored, with at most one delivery of documents at a time. While its receiver is down,
deliveries do not accumulate: its position waits. Several processes may call every method at once.
"""

from __future__ import annotations

import base64
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from sqlalchemy import Connection, Engine, Text, and_, cast, delete, func, literal_column, or_, select, update

from newsmill.storage.database import reading, writing
from newsmill.storage.documents import Changes
from newsmill.storage.schema import deliveries, submissions, webhooks

# Seconds until the next try, after each failed one: the schedule of Standard Webhooks. After the last, the delivery has failed.
RETRY_DELAYS_SECONDS = (5, 5 * 60, 30 * 60, 2 * 3600, 5 * 3600, 10 * 3600, 14 * 3600)
MAX_WAIT = timedelta(seconds=RETRY_DELAYS_SECONDS[-1], minutes=1)  # a longer wait is the result of a clock that was set back
LEASE = timedelta(minutes=1)  # of a delivery that is being sent: ten times its time limit
MAX_AGE = timedelta(days=30)  # of deliveries that ended
MAX_UNNOTIFIED = 1000  # submissions that one round looks at
DUE = deliveries.c.state == literal_column("'due'")  # a literal, which SQLite needs to use the partial index


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
class Delivery:
    """One message to one receiver. `state`: due, delivered, failed."""

    id: str
    webhook: str
    payload: Any
    created_at: datetime
    state: str
    attempts: int
    next_at: datetime
    ended_at: datetime | None
    status: int | None
    detail: str | None


@dataclass(frozen=True, slots=True)
class UnnotifiedSubmission:
    """A submission whose webhook is to be called when all its URLs have an outcome."""

    id: str
    webhook: str
    created_at: datetime


class Webhooks:
    """Every call may raise ServiceError."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

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
            conn.execute(delete(deliveries).where(deliveries.c.webhook == webhook_id))
            return conn.execute(delete(webhooks).where(webhooks.c.id == webhook_id)).rowcount == 1

    def set_enabled(self, webhook_id: str, enabled: bool) -> bool:
        """Enable or disable a webhook; an enabled one continues where it stopped. False: it does not exist."""
        with writing(self._engine) as conn:
            return conn.execute(update(webhooks).where(webhooks.c.id == webhook_id).values(enabled=enabled)).rowcount == 1

    # ---- deliveries

    def list_deliveries(self, webhook_id: str, *, limit: int, after: str | None = None) -> list[Delivery]:
        """The deliveries of a webhook, newest first; only those after the delivery `after`, if given."""
        wanted = select(deliveries).where(deliveries.c.webhook == webhook_id)
        if after is not None:
            created_at = select(deliveries.c.created_at).where(deliveries.c.id == after).scalar_subquery()
            wanted = wanted.where(
                or_(deliveries.c.created_at < created_at, and_(deliveries.c.created_at == created_at, deliveries.c.id > after))
            )
        with reading(self._engine) as conn:
            rows = conn.execute(wanted.order_by(deliveries.c.created_at.desc(), deliveries.c.id).limit(limit)).mappings()
            return [Delivery(**row) for row in rows]

    def ping(self, webhook_id: str, payload: Any, *, now: datetime) -> str:
        """Enqueue a test delivery. Returns its id."""
        with writing(self._engine) as conn:
            return _insert_delivery(conn, webhook_id, payload, now)

    def list_idle(self) -> list[Webhook]:
        """Enabled webhooks for documents that have no due delivery."""
        busy = select(deliveries.c.webhook).where(DUE)
        wanted = and_(webhooks.c.event == WebhookEvent.DOCUMENTS.value, webhooks.c.enabled, webhooks.c.id.not_in(busy))
        with reading(self._engine) as conn:
            return [_webhook(row) for row in conn.execute(select(webhooks).where(wanted).order_by(webhooks.c.id)).mappings()]

    def notify(self, hook: Webhook, payload: Any, *, until: datetime, last: str, now: datetime) -> bool:
        """Enqueue a delivery and move the webhook's position to (until, last), in one commit. False: another process was faster."""
        is_unmoved = and_(webhooks.c.id == hook.id, webhooks.c.seen_at == hook.seen_at, webhooks.c.seen_id == hook.seen_id)
        with writing(self._engine) as conn:
            if conn.execute(update(webhooks).where(is_unmoved).values(seen_at=until, seen_id=last)).rowcount != 1:
                return False
            _insert_delivery(conn, hook.id, payload, now)
        return True

    def move(self, hook: Webhook, *, until: datetime, last: str) -> None:
        """Move the webhook's position to (until, last) without a delivery, unless another process was faster."""
        is_unmoved = and_(webhooks.c.id == hook.id, webhooks.c.seen_at == hook.seen_at, webhooks.c.seen_id == hook.seen_id)
        with writing(self._engine) as conn:
            conn.execute(update(webhooks).where(is_unmoved).values(seen_at=until, seen_id=last))

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
            _insert_delivery(conn, hook, payload, now)
        return True

    def claim_due(self, *, now: datetime, limit: int) -> list[tuple[Delivery, Webhook]]:
        """Claim due deliveries, at most one of each enabled webhook, for the time LEASE. Those of a disabled one wait."""
        is_enabled = deliveries.c.webhook.in_(select(webhooks.c.id).where(webhooks.c.enabled))
        is_time = or_(deliveries.c.next_at <= now, deliveries.c.next_at > now + MAX_WAIT)
        first = select(func.min(deliveries.c.id)).where(DUE, is_time, is_enabled).group_by(deliveries.c.webhook)
        wanted = select(deliveries).where(deliveries.c.id.in_(first)).order_by(deliveries.c.next_at).limit(limit)
        with reading(self._engine) as conn:
            found = [Delivery(**row) for row in conn.execute(wanted).mappings()]
        if not found:  # nearly always: no write lock is needed
            return []
        with writing(self._engine) as conn:
            claimed = [one for one in found if _lease(conn, one, now)]
            hooks = conn.execute(select(webhooks).where(webhooks.c.id.in_([one.webhook for one in claimed]))).mappings()
            by_id = {row["id"]: _webhook(row) for row in hooks}
        return [(one, by_id[one.webhook]) for one in claimed]

    def mark_delivered(self, delivery: Delivery, status: int, *, now: datetime) -> None:
        """Record that a delivery arrived."""
        self._end(delivery, now, state="delivered", ended_at=now, status=status, detail=None)

    def mark_failed(self, delivery: Delivery, status: int | None, detail: str, *, now: datetime) -> None:
        """Record a failed try. The next is after RETRY_DELAYS_SECONDS; after the last, or HTTP 410, the delivery has failed."""
        next_at = None if status == 410 else next_try(delivery.attempts + 1, now)
        if next_at is None:
            self._end(delivery, now, state="failed", ended_at=now, status=status, detail=detail)
        else:
            self._end(delivery, now, next_at=next_at, status=status, detail=detail)
        if status == 410:
            self.set_enabled(delivery.webhook, False)

    def retry(self, delivery_id: str, *, now: datetime) -> bool:
        """Send a failed delivery again. False: it does not exist."""
        wanted = and_(deliveries.c.id == delivery_id, deliveries.c.state == "failed")
        with writing(self._engine) as conn:
            values = {"state": "due", "attempts": 0, "next_at": now, "ended_at": None}
            return conn.execute(update(deliveries).where(wanted).values(**values)).rowcount == 1

    def delete_old(self, *, now: datetime) -> int:
        """Delete deliveries that ended longer than MAX_AGE ago, and webhooks of submissions without deliveries; returns the deliveries."""
        unnotified = select(submissions.c.webhook).where(submissions.c.webhook.is_not(None), submissions.c.notified_at.is_(None))
        used = select(deliveries.c.webhook).union(unnotified)
        unused = and_(webhooks.c.event == WebhookEvent.SUBMISSION.value, webhooks.c.created_at < now - MAX_AGE, webhooks.c.id.not_in(used))
        with writing(self._engine) as conn:
            count = conn.execute(delete(deliveries).where(deliveries.c.state != "due", deliveries.c.ended_at < now - MAX_AGE)).rowcount
            conn.execute(delete(webhooks).where(unused))
        return count

    def _end(self, delivery: Delivery, now: datetime, **values: Any) -> None:
        wanted = and_(deliveries.c.id == delivery.id, DUE)
        with writing(self._engine) as conn:
            conn.execute(update(deliveries).where(wanted).values(attempts=delivery.attempts + 1, **values))


def next_try(attempts: int, now: datetime) -> datetime | None:
    """When a message is sent again after this number of failed tries; None: it is given up. The same for web hooks, alerts and alarms."""
    return None if attempts > len(RETRY_DELAYS_SECONDS) else now + timedelta(seconds=RETRY_DELAYS_SECONDS[attempts - 1])


def make_secret() -> str:
    """A new key that signs messages, as Standard Webhooks writes it."""
    return "whsec_" + base64.b64encode(secrets.token_bytes(32)).decode()


def _insert_delivery(conn: Connection, webhook: str, payload: Any, now: datetime) -> str:
    delivery_id = _make_delivery_id()
    row = {"id": delivery_id, "webhook": webhook, "payload": payload, "created_at": now, "state": "due", "attempts": 0, "next_at": now}
    conn.execute(deliveries.insert(), row)
    return delivery_id


def _make_delivery_id() -> str:
    return f"msg_{secrets.token_hex(12)}"


def remove_from_deliveries(conn: Connection, ids: Sequence[str]) -> None:
    """Remove documents from the messages that hold them; a message that has nothing else is deleted.

    A message that may still be sent gets a new ID, because receivers drop one whose ID they know. A process that is sending the old message
    finds no row for its result, so the other documents are sent again, when its lease has ended: twice is better than never.
    """
    gone = frozenset(ids)
    found: dict[str, Any] = {}
    for document_id in sorted(gone):
        holds = cast(deliveries.c.payload, Text).contains(document_id, autoescape=True)
        rows = conn.execute(select(deliveries.c.id, deliveries.c.state, deliveries.c.payload).where(holds).with_for_update())
        found |= {row.id: row for row in rows}
    for row in found.values():
        data = row.payload["data"]
        kept = [document for document in data.get("documents", ()) if document["id"] not in gone]
        if len(kept) == len(data.get("documents", ())):  # it tells that the document was removed before
            continue
        this = deliveries.c.id == row.id
        if not kept and not data.get("removed"):
            conn.execute(delete(deliveries).where(this))
            continue
        payload = {**row.payload, "data": {**data, "documents": kept}}
        delivery_id = row.id if row.state == "delivered" else _make_delivery_id()
        conn.execute(update(deliveries).where(this).values(id=delivery_id, payload=payload))


def _lease(conn: Connection, delivery: Delivery, now: datetime) -> bool:
    seen = and_(deliveries.c.id == delivery.id, DUE, deliveries.c.next_at == delivery.next_at)
    return conn.execute(update(deliveries).where(seen).values(next_at=now + LEASE)).rowcount == 1


def _webhook(row: Any) -> Webhook:
    names = ("id", "url", "secret", "source", "query", "created_at", "enabled", "seen_at", "seen_id")
    return Webhook(event=WebhookEvent(row["event"]), **{name: row[name] for name in names})
