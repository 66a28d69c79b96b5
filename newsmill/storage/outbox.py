"""The outbox: messages that wait to be sent, or were sent.

A message is recorded before it is sent, with an ID that is the same in each try. The messages of one queue are sent one after the other,
the oldest first; one that was given up holds no other up. Several processes may call every function at once: a claim and a result are
compare-and-set on the row. Times of a clock that was ahead are due at once.
"""

from __future__ import annotations

import base64
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from sqlalchemy import ColumnElement, Connection, Engine, and_, delete, exists, func, literal_column, or_, select, true, update

from newsmill.storage.database import reading, writing
from newsmill.storage.schema import alerts, outbox
from newsmill.text.sentences import cut_sentence

# Seconds until the next try, after each failed one: the schedule of Standard Webhooks. After the last, the message has failed.
RETRY_DELAYS_SECONDS = (5, 5 * 60, 30 * 60, 2 * 3600, 5 * 3600, 10 * 3600, 14 * 3600)
MAX_WAIT = timedelta(seconds=RETRY_DELAYS_SECONDS[-1], minutes=1)  # a longer wait is the result of a clock that was set back
LEASE = timedelta(minutes=5)  # of a message that is being sent: more than any channel may take
MAX_AGE = timedelta(days=30)  # of messages that ended
MAX_DETAIL_CHARACTERS = 500

IS_DUE = outbox.c.state == literal_column("'due'")  # a literal, which SQLite needs to use the partial indexes
_EARLIER = outbox.alias("earlier")
_IS_FIRST = ~exists().where(
    _EARLIER.c.queue == outbox.c.queue, _EARLIER.c.state == literal_column("'due'"), _EARLIER.c.number < outbox.c.number
)


class MessageKind(StrEnum):
    """What a message is about. `owner` is the ID of the row that it belongs to."""

    ALARM = "alarm"
    ALERT = "alert"
    WEBHOOK = "webhook"


class MessageState(StrEnum):
    """Whether a message is still to be sent."""

    DUE = "due"
    DELIVERED = "delivered"
    FAILED = "failed"  # given up


@dataclass(frozen=True, slots=True)
class Message:
    """A message with its last result. `attempts` counts the tries whose result is known."""

    id: str
    owner: str
    payload: Any
    created_at: datetime
    state: MessageState
    attempts: int
    next_at: datetime
    failing_since: datetime | None
    ended_at: datetime | None
    status: int | None
    detail: str | None


class Outbox:
    """The messages of one kind, of the owners that accept messages now. Every call may raise ServiceError.

    `on_sent` and `on_given_up` change the owner of a message in the transaction that records its result. The owner is locked first.
    """

    def __init__(
        self,
        engine: Engine,
        kind: MessageKind,
        accepts: ColumnElement[bool] | None = None,
        *,
        on_sent: Callable[[Connection, Message, datetime], None] = lambda conn, message, now: None,
        on_given_up: Callable[[Connection, Message, bool], None] = lambda conn, message, is_final: None,
    ) -> None:
        self._engine, self._on_sent, self._on_given_up = engine, on_sent, on_given_up
        self._wanted = and_(outbox.c.kind == kind.value, IS_DUE, _IS_FIRST, true() if accepts is None else accepts)

    def claim_due(self, *, now: datetime, limit: int) -> list[Message]:
        """Claim messages whose next try is due, for the time LEASE."""
        is_time = or_(outbox.c.next_at <= now, outbox.c.next_at > now + MAX_WAIT)
        wanted = select(outbox).where(self._wanted, is_time).order_by(outbox.c.next_at, outbox.c.number).limit(limit)
        with reading(self._engine) as conn:
            found = [to_message(row) for row in conn.execute(wanted).mappings()]
        if not found:  # nearly always: no write lock is needed
            return []
        with writing(self._engine) as conn:
            return [message for message in found if _lease(conn, message, now)]

    def mark_sent(self, message: Message, status: int | None = None, *, now: datetime) -> None:
        """Record that a message arrived."""
        values = {"state": MessageState.DELIVERED.value, "ended_at": now, "failing_since": None, "detail": None}
        with writing(self._engine) as conn:
            self._on_sent(conn, message, now)
            _record(conn, message, status, values)

    def mark_failed(self, message: Message, detail: str, status: int | None = None, *, now: datetime, is_final: bool = False) -> None:
        """Record a failed try. The next is after RETRY_DELAYS_SECONDS; after the last, or a final one, the message is given up."""
        next_at = None if is_final else find_next_try(message.attempts + 1, now)
        with writing(self._engine) as conn:
            if next_at is None:
                self._on_given_up(conn, message, is_final)
            state = MessageState.FAILED if next_at is None else MessageState.DUE
            values: dict[str, Any] = {"ended_at": now} if next_at is None else {"next_at": next_at}
            values |= {"state": state.value, "detail": cut_sentence(detail, MAX_DETAIL_CHARACTERS)}
            _record(conn, message, status, values | {"failing_since": func.coalesce(outbox.c.failing_since, now)})


def add_message(
    conn: Connection, kind: MessageKind, owner: str, payload: Any, now: datetime, *, queue: str | None = None, message_id: str | None = None
) -> str:
    """Record a message that is due now; its ID. Without a queue it waits for no other message."""
    message_id = message_id or make_message_id()
    row = {"id": message_id, "kind": kind.value, "owner": owner, "queue": queue, "payload": payload, "created_at": now}
    conn.execute(outbox.insert(), row | {"state": MessageState.DUE.value, "attempts": 0, "next_at": now})
    return message_id


def retry_messages(conn: Connection, condition: ColumnElement[bool], now: datetime) -> int:
    """Make messages due now that were not delivered, with all their tries; returns how many."""
    values = {"state": MessageState.DUE.value, "attempts": 0, "next_at": now, "ended_at": None, "failing_since": None, "detail": None}
    wanted = and_(condition, outbox.c.state != MessageState.DELIVERED.value)
    return conn.execute(update(outbox).where(wanted).values(**values)).rowcount


def delete_messages(conn: Connection, kind: MessageKind, owners: Sequence[str]) -> None:
    """Delete the messages of owners. Delete the owners first: a process that adds a message locks its owner."""
    conn.execute(delete(outbox).where(outbox.c.kind == kind.value, outbox.c.owner.in_(owners)))


def delete_old_messages(engine: Engine, *, now: datetime) -> int:
    """Delete messages that ended longer than MAX_AGE ago, but not that of a dead alert; returns how many."""
    in_progress = select(alerts.c.delivery).where(alerts.c.delivery.is_not(None))
    with writing(engine) as conn:
        old = and_(~IS_DUE, outbox.c.ended_at < now - MAX_AGE, outbox.c.id.not_in(in_progress))
        return conn.execute(delete(outbox).where(old)).rowcount


def find_next_try(attempts: int, now: datetime) -> datetime | None:
    """When a message is sent again after this number of failed tries; None: it is given up."""
    return None if attempts > len(RETRY_DELAYS_SECONDS) else now + timedelta(seconds=RETRY_DELAYS_SECONDS[attempts - 1])


def make_secret() -> str:
    """A new key that signs messages, as Standard Webhooks writes it."""
    return "whsec_" + base64.b64encode(secrets.token_bytes(32)).decode()


def make_message_id() -> str:
    return f"msg_{secrets.token_hex(12)}"


def to_message(row: Any) -> Message:
    """The message in a row (a mapping) of `outbox`."""
    values = {field.name: row[field.name] for field in fields(Message)}
    return Message(**values | {"state": MessageState(row["state"])})


def _lease(conn: Connection, message: Message, now: datetime) -> bool:
    seen = and_(outbox.c.id == message.id, IS_DUE, outbox.c.next_at == message.next_at)
    return conn.execute(update(outbox).where(seen).values(next_at=now + LEASE)).rowcount == 1


def _record(conn: Connection, message: Message, status: int | None, values: dict[str, Any]) -> None:
    """Record a result, unless one is known already, or the message was deleted."""
    this = and_(outbox.c.id == message.id, IS_DUE)
    conn.execute(update(outbox).where(this).values(**values, attempts=message.attempts + 1, status=status))
