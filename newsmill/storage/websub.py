"""WebSub: the hubs that feeds announce, the subscriptions there, and pushed feeds until the crawler has read them.

`newsmill.notifications.websub` sends the requests to hubs, and `newsmill.web.websub` answers theirs (both with `WebSubRequests`). The
crawler records announcements and reads pushes, and the scheduler asks `list_active` which feeds it need not poll often.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, fields
from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import Connection, and_, bindparam, delete, func, or_, select, update

from newsmill.storage.dialects import Upsert
from newsmill.storage.schema import ledger, websub_pushes, websub_subscriptions
from newsmill.storage.statements import AnyRow, state_is

MAX_WAITING_PUSHES = 20  # of one feed; a publisher that sends more before the crawler reads them is fetched from instead
BATCH_IDS = 500  # keys per statement: below every driver's limit on parameters


class SubscriptionState(StrEnum):
    """What is known about the hub of one feed."""

    ANNOUNCED = "announced"  # no subscription is in force; `next_at` is the next request for one
    ACTIVE = "active"  # verified by the hub; in force until `expires_at`
    DENIED = "denied"  # the hub refused; `next_at` is the next request
    ENDING = "ending"  # to be cancelled at the hub, because the feed or its source is gone or paused
    STOPPED = "stopped"  # cancelled; requested again when the source is resumed


@dataclass(frozen=True, slots=True)
class Subscription:
    """The hub of one feed, and the subscription there."""

    callback_id: str
    ledger_id: int | None  # the listing; None: it is gone
    hub: str
    topic: str
    public_url: str | None
    secret: str = field(repr=False)
    state: SubscriptionState
    awaited: str | None
    awaited_until: datetime | None
    attempts: int
    next_at: datetime | None
    detail: str | None
    verified_at: datetime | None
    expires_at: datetime | None
    last_push_at: datetime | None
    last_digest: str | None
    missed_at: datetime | None
    pushes: int
    repeated: int
    forged: int

    def is_active(self, now: datetime) -> bool:
        """Whether the hub has verified the subscription, and it has not expired."""
        return self.state is SubscriptionState.ACTIVE and self.expires_at is not None and self.expires_at > now

    @property
    def is_proven(self) -> bool:
        """Whether the hub has pushed, and no request for the feed since the last push found pages that were not pushed."""
        return self.last_push_at is not None and (self.missed_at is None or self.missed_at < self.last_push_at)


@dataclass(frozen=True, slots=True)
class Push:
    """A pushed feed. An empty body stands for a push that cannot be used."""

    id: int
    content_type: str | None
    body: bytes = field(repr=False)
    received_at: datetime


_TABLE = websub_subscriptions
_NAMES = tuple(item.name for item in fields(Subscription))
_BY_LISTING = select(_TABLE).where(_TABLE.c.ledger_id == bindparam("b_id"))
_ACTIVE = select(_TABLE).where(
    _TABLE.c.ledger_id.in_(bindparam("b_ids", expanding=True)),
    _TABLE.c.state == SubscriptionState.ACTIVE.value,
    _TABLE.c.expires_at > bindparam("b_now", type_=_TABLE.c.expires_at.type),
)
_INSERT = Upsert(_TABLE, ("ledger_id",))
_WAITING = (
    select(websub_pushes).where(websub_pushes.c.ledger_id == bindparam("b_id")).order_by(websub_pushes.c.id).limit(MAX_WAITING_PUSHES)
)
_HAS_PUSH = select(websub_pushes.c.id).where(websub_pushes.c.ledger_id == bindparam("b_id")).limit(1)
_NOW = bindparam("b_now", type_=ledger.c.next_at.type)
_MAKE_DUE = (
    update(ledger)
    .where(ledger.c.id == bindparam("b_id"), or_(state_is("done", "failed"), and_(state_is("due"), ledger.c.next_at > _NOW)))
    .values(state="due", next_at=_NOW)
)


def to_subscription(row: Any) -> Subscription:
    """The subscription in a row (a mapping) of its table."""
    return Subscription(**{name: row[name] for name in _NAMES} | {"state": SubscriptionState(row["state"])})


def list_active(conn: Connection, listing_ids: Iterable[int], now: datetime) -> dict[int, Subscription]:
    """Of the listings, those with a subscription that is in force, by their ids in the ledger."""
    ids = list(listing_ids)
    found: dict[int, Subscription] = {}
    for start in range(0, len(ids), BATCH_IDS):
        for row in conn.execute(_ACTIVE, {"b_ids": ids[start : start + BATCH_IDS], "b_now": now}).mappings():
            found[row["ledger_id"]] = to_subscription(row)
    return found


def find_of_listing(conn: Connection, ledger_id: int) -> Subscription | None:
    row = conn.execute(_BY_LISTING, {"b_id": ledger_id}).mappings().one_or_none()
    return None if row is None else to_subscription(row)


def is_changed(known: Subscription | None, hub: str | None, topic: str | None, new_pages: int) -> bool:
    """Whether `record` has something to write."""
    if known is None:
        return hub is not None
    return (known.hub, known.topic) != (hub, topic) or (new_pages > 0 and known.state is SubscriptionState.ACTIVE)


def record(conn: Connection, ledger_id: int, hub: str | None, topic: str | None, new_pages: int, now: datetime) -> None:
    """Record what a request for the feed showed: the hub it announces (None: none), and the number of pages that were unknown.

    A subscription at another hub, or to another topic, is cancelled there.
    """
    known = find_of_listing(conn, ledger_id)
    if not is_changed(known, hub, topic, new_pages):
        return
    if known is not None and (known.hub, known.topic) == (hub, topic):
        conn.execute(update(_TABLE).where(_TABLE.c.ledger_id == ledger_id).values(missed_at=now))
        return
    if known is not None:
        detach(conn, known, now)
    if hub is not None:
        row = {
            "callback_id": secrets.token_urlsafe(32),
            "ledger_id": ledger_id,
            "hub": hub,
            "topic": topic,
            "secret": secrets.token_hex(32),
            "state": SubscriptionState.ANNOUNCED.value,
            "next_at": now,
        }
        _INSERT.run(conn, [row])


def detach(conn: Connection, subscription: Subscription, now: datetime) -> None:
    """Separate a subscription from its listing. One that the hub has verified is cancelled there; another is deleted."""
    own = _TABLE.c.callback_id == subscription.callback_id
    if subscription.verified_at is None:
        conn.execute(delete(_TABLE).where(own))
    else:
        values = {"ledger_id": None, "state": SubscriptionState.ENDING.value, "awaited": None, "attempts": 0, "next_at": now}
        conn.execute(update(_TABLE).where(own).values(**values))


def list_pushes(conn: Connection, ledger_id: int) -> list[Push]:
    """The pushes of a listing that were not read yet, oldest first."""
    return [_to_push(row) for row in conn.execute(_WAITING, {"b_id": ledger_id})]


def _to_push(row: AnyRow) -> Push:
    return Push(row.id, row.content_type, row.body, row.received_at)


def delete_pushes(conn: Connection, ids: Sequence[int]) -> None:
    if ids:
        conn.execute(delete(websub_pushes).where(websub_pushes.c.id.in_(ids)))


def empty_pushes(conn: Connection) -> None:
    """Have the feeds requested whose pushes wait: a push may hold an article that is being removed. They wait for seconds, mostly."""
    conn.execute(update(websub_pushes).where(func.length(websub_pushes.c.body) > 0).values(body=b""))


def has_pushes(conn: Connection, ledger_id: int) -> bool:
    return conn.execute(_HAS_PUSH, {"b_id": ledger_id}).first() is not None


def make_due(conn: Connection, ledger_id: int, now: datetime) -> None:
    """Make an ended or postponed listing due now. One that is being fetched, or is retired, stays as it is."""
    conn.execute(_MAKE_DUE, {"b_id": ledger_id, "b_now": now})
