"""Requests to WebSub hubs, and the answers and pushes of hubs.

A hub may verify a request before it has answered it, so what is awaited is stored before the request is sent.
"""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum, auto
from typing import Any

from sqlalchemy import Connection, Engine, and_, case, delete, exists, func, not_, or_, select, update

from newsmill.storage.database import reading, writing
from newsmill.storage.outbox import LEASE, MAX_DETAIL_CHARACTERS, RETRY_DELAYS_SECONDS, find_next_try
from newsmill.storage.schema import ledger, sources, websub_pushes, websub_subscriptions
from newsmill.storage.websub import MAX_WAITING_PUSHES, Subscription, SubscriptionState, make_due, to_subscription
from newsmill.text.sentences import Sentence, cut_sentence

_TABLE = websub_subscriptions
LEASE_SECONDS = 10 * 86_400  # that a request names; most hubs give as much
MIN_LEASE, MAX_LEASE = timedelta(minutes=1), timedelta(days=90)  # that a hub's answer counts for
RENEWAL_SHARE = 0.8  # of a lease, after which it is renewed: a hub may be away for two of ten days
MAX_VERIFICATION_WAIT = timedelta(hours=1)  # for the hub to verify a request; another is sent after the delay below
DENIED_DELAY = timedelta(days=7)
MAX_CANCELLATIONS = 3  # tries; the hub ends the subscription when its lease ends, or when the callback answers 410
MAX_WAITING_BYTES = 8 << 20  # of the pushes of one feed
SIGNATURE_METHODS = ("sha1", "sha256", "sha384", "sha512")  # W3C WebSub, section 8

_IS_WANTED = exists().where(
    ledger.c.id == _TABLE.c.ledger_id, ledger.c.state != "dropped", ledger.c.source == sources.c.name, sources.c.enabled.is_(True)
)


class PushResult(StrEnum):
    """What became of a push."""

    STORED = auto()
    REPEATED = auto()  # the same body as the last one
    FORGED = auto()  # without a right signature
    GONE = auto()  # no subscription is in force


@dataclass(frozen=True, slots=True)
class HubRequest:
    """A request to send to the hub of a subscription. `mode`: subscribe or unsubscribe."""

    subscription: Subscription
    mode: str

    @property
    def id(self) -> str:
        """It stands in logs, so it is not the ID of the callback, which nobody may guess."""
        return hashlib.sha256(self.subscription.callback_id.encode()).hexdigest()[:12]


class WebSubRequests:
    """Requests to hubs, and the answers and pushes of hubs. Several web processes may call every method at once.

    Every call may raise ServiceError.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def follow_sources(self, public_url: str, *, now: datetime) -> None:
        """Cancel the subscriptions of feeds and sources that are gone or paused, and request those of resumed sources again.

        A subscription whose callback is under another public URL than this one is requested again.
        """
        state, next_at = _TABLE.c.state, {"next_at": now, "attempts": 0}
        is_settled = state.in_([SubscriptionState.ENDING.value, SubscriptionState.STOPPED.value])
        unwanted = and_(not_(is_settled), not_(_IS_WANTED))
        resumed = and_(state == SubscriptionState.STOPPED.value, _IS_WANTED)
        moved = and_(state == SubscriptionState.ACTIVE.value, _TABLE.c.public_url != public_url)
        changes: list[tuple[Any, dict[str, Any]]] = [
            (and_(unwanted, _TABLE.c.verified_at.is_not(None)), {"state": SubscriptionState.ENDING.value, **next_at}),
            (and_(unwanted, _TABLE.c.verified_at.is_(None)), {"state": SubscriptionState.STOPPED.value, "next_at": None}),
            (or_(resumed, moved), {"state": SubscriptionState.ANNOUNCED.value, **next_at}),
        ]
        with reading(self._engine) as conn:
            pending = [change for change in changes if conn.execute(select(_TABLE.c.callback_id).where(change[0]).limit(1)).first()]
            has_orphans = conn.execute(select(_TABLE.c.callback_id).where(_is_orphan()).limit(1)).first() is not None
        if pending or has_orphans:
            with writing(self._engine) as conn:
                for condition, values in pending:
                    conn.execute(update(_TABLE).where(condition).values(**values))
                conn.execute(delete(_TABLE).where(_is_orphan()))

    def claim_due(self, public_url: str, *, limit: int, now: datetime) -> list[HubRequest]:
        """Claim the requests that are due, and note that the hubs may verify them."""
        wanted = select(_TABLE).where(_TABLE.c.next_at <= now).order_by(_TABLE.c.next_at).limit(limit)
        with reading(self._engine) as conn:
            found = [to_subscription(row) for row in conn.execute(wanted).mappings()]
        if not found:  # nearly always: no write lock is needed
            return []
        with writing(self._engine) as conn:
            return [request for one in found if (request := _claim(conn, one, public_url, now)) is not None]

    def mark_accepted(self, request: HubRequest, *, now: datetime) -> None:
        """The hub has accepted a request. Without a verification it is sent again later."""
        own = and_(_own(request.subscription.callback_id), _TABLE.c.awaited == request.mode)  # not if it is verified already
        values = {
            "next_at": _find_next_try(request, now),
            "attempts": _TABLE.c.attempts + 1,
            "detail": Sentence("the hub has not verified it yet"),
        }
        with writing(self._engine) as conn:
            conn.execute(update(_TABLE).where(own).values(**values))

    def mark_failed(self, request: HubRequest, detail: str, *, now: datetime) -> None:
        """A request failed. Another is sent later."""
        own = and_(_own(request.subscription.callback_id), _TABLE.c.awaited == request.mode)
        values = {
            "next_at": _find_next_try(request, now),
            "attempts": _TABLE.c.attempts + 1,
            "detail": cut_sentence(detail, MAX_DETAIL_CHARACTERS),
        }
        with writing(self._engine) as conn:
            conn.execute(update(_TABLE).where(own).values(**values, awaited=None, awaited_until=None))

    def find(self, callback_id: str) -> Subscription | None:
        """The subscription with this callback."""
        with reading(self._engine) as conn:
            row = conn.execute(select(_TABLE).where(_own(callback_id))).mappings().one_or_none()
        return None if row is None else to_subscription(row)

    def verify(self, callback_id: str, mode: str, topic: str, lease_seconds: int | None, *, now: datetime) -> bool:
        """Whether this request was sent to the hub and awaits its verification. A subscription is then in force for its lease."""
        with writing(self._engine) as conn:
            row = conn.execute(select(_TABLE).where(_own(callback_id)).with_for_update()).mappings().one_or_none()
            if row is None or row["topic"] != topic or row["awaited"] != mode or row["awaited_until"] <= now:
                return False
            if mode == "unsubscribe":
                _end(conn, to_subscription(row))
                return True
            lease = min(max(timedelta(seconds=min(lease_seconds or LEASE_SECONDS, 10**9)), MIN_LEASE), MAX_LEASE)
            values = {
                **{"state": SubscriptionState.ACTIVE.value, "awaited": None, "awaited_until": None, "attempts": 0, "detail": None},
                **{"expires_at": now + lease, "next_at": now + lease * RENEWAL_SHARE},
                "verified_at": row["verified_at"] if to_subscription(row).is_active(now) else now,
            }
            conn.execute(update(_TABLE).where(_own(callback_id)).values(**values))
            return True

    def deny(self, callback_id: str, topic: str, reason: str, *, now: datetime) -> bool:
        """The hub refuses a subscription, or ends it. False: there is none to this topic."""
        values: dict[str, Any] = {
            "awaited": None,
            "awaited_until": None,
            "detail": reason[:MAX_DETAIL_CHARACTERS] or Sentence("the hub gives no reason"),
        }
        values |= {"state": SubscriptionState.DENIED.value, "next_at": now + DENIED_DELAY, "expires_at": None}
        open_states = [SubscriptionState.ANNOUNCED.value, SubscriptionState.ACTIVE.value, SubscriptionState.DENIED.value]
        with writing(self._engine) as conn:
            own = and_(_own(callback_id), _TABLE.c.topic == topic, _TABLE.c.state.in_(open_states))
            return conn.execute(update(_TABLE).where(own).values(**values)).rowcount == 1

    def receive(
        self, subscription: Subscription, body: bytes, content_type: str | None, signature: str | None, *, now: datetime
    ) -> PushResult:
        """Check a push, store it, and make its feed due at once. Only a right signature has an effect other than a count."""
        if not subscription.is_active(now) or subscription.ledger_id is None:
            return PushResult.GONE
        own = update(_TABLE).where(_own(subscription.callback_id))
        if not is_signed(body, signature, subscription.secret):
            with writing(self._engine) as conn:
                conn.execute(own.values(forged=_TABLE.c.forged + 1))
            return PushResult.FORGED
        digest = hashlib.sha256(body).hexdigest()
        with writing(self._engine) as conn:
            # Before the push, so that the crawler that ends the listing now sees it: Ledger.pushes.requeue_listing.
            conn.execute(select(ledger.c.id).where(ledger.c.id == subscription.ledger_id).with_for_update())
            if conn.execute(select(_TABLE.c.last_digest).where(_own(subscription.callback_id))).scalar() == digest:
                conn.execute(own.values(repeated=_TABLE.c.repeated + 1))
                return PushResult.REPEATED
            _store(conn, subscription.ledger_id, body, content_type, now)
            conn.execute(own.values(pushes=_TABLE.c.pushes + 1, last_push_at=now, last_digest=digest))
            make_due(conn, subscription.ledger_id, now)
        return PushResult.STORED

    def count(self, *, now: datetime) -> tuple[int, int]:
        """(feeds that announce a hub, those of them with a subscription in force)."""
        in_force = and_(_TABLE.c.state == SubscriptionState.ACTIVE.value, _TABLE.c.expires_at > now)
        counted = select(func.count(), func.count(case((in_force, 1)))).where(_TABLE.c.ledger_id.is_not(None))
        with reading(self._engine) as conn:
            row = conn.execute(counted).one()
        return int(row[0]), int(row[1])


def is_signed(body: bytes, signature: str | None, secret: str) -> bool:
    """Whether `signature` ("sha256=…") is the HMAC of the body; compared in constant time."""
    method, _, value = (signature or "").strip().partition("=")
    if method.lower() not in SIGNATURE_METHODS:
        return False
    expected = hmac.new(secret.encode(), body, method.lower()).hexdigest()
    return hmac.compare_digest(expected.encode(), value.strip().lower().encode("utf-8", "replace"))


def _own(callback_id: str) -> Any:
    return _TABLE.c.callback_id == callback_id


def _is_orphan() -> Any:
    """Of listings that are gone, where the hub needs no cancellation."""
    return and_(_TABLE.c.ledger_id.is_(None), or_(_TABLE.c.verified_at.is_(None), _TABLE.c.state == SubscriptionState.STOPPED.value))


def _find_next_try(request: HubRequest, now: datetime) -> datetime | None:
    """As for messages, but not after seconds, because the hub may still verify; it is never given up."""
    return find_next_try(min(request.subscription.attempts + 2, len(RETRY_DELAYS_SECONDS)), now)


def _claim(conn: Connection, one: Subscription, public_url: str, now: datetime) -> HubRequest | None:
    """The request, if no other process has claimed it. A cancellation is given up after MAX_CANCELLATIONS."""
    mode = "unsubscribe" if one.state is SubscriptionState.ENDING else "subscribe"
    if mode == "unsubscribe" and one.attempts >= MAX_CANCELLATIONS:
        _end(conn, one)
        return None
    # A hub cancels the callback that it knows, also after the public URL has changed.
    base = one.public_url if mode == "unsubscribe" and one.public_url is not None else public_url
    values: dict[str, Any] = {"next_at": now + LEASE, "public_url": base}
    values |= {"awaited": mode, "awaited_until": now + MAX_VERIFICATION_WAIT}
    seen = and_(_own(one.callback_id), _TABLE.c.next_at == one.next_at, _TABLE.c.state == one.state.value)
    if conn.execute(update(_TABLE).where(seen).values(**values)).rowcount != 1:
        return None
    row = conn.execute(select(_TABLE).where(_own(one.callback_id))).mappings().one()
    return HubRequest(to_subscription(row), mode)


def _end(conn: Connection, one: Subscription) -> None:
    """Note that a subscription is cancelled. That of a listing that is gone is deleted."""
    if one.ledger_id is None:
        conn.execute(delete(_TABLE).where(_own(one.callback_id)))
        return
    values = {"state": SubscriptionState.STOPPED.value, "awaited": None, "awaited_until": None, "next_at": None, "expires_at": None}
    conn.execute(update(_TABLE).where(_own(one.callback_id)).values(**values, attempts=0, detail=None))


def _store(conn: Connection, ledger_id: int, body: bytes, content_type: str | None, now: datetime) -> None:
    """Store a push. If too many wait, one empty push takes their place, so that the feed is requested."""
    of_listing = websub_pushes.c.ledger_id == ledger_id
    size = func.coalesce(func.sum(func.length(websub_pushes.c.body)), 0)
    waiting = conn.execute(select(func.count(), size).where(of_listing)).one()
    if waiting[0] >= MAX_WAITING_PUSHES or waiting[1] + len(body) > MAX_WAITING_BYTES:
        conn.execute(delete(websub_pushes).where(of_listing))
        body = b""
    row = {"ledger_id": ledger_id, "content_type": content_type and content_type[:200], "body": body, "received_at": now}
    conn.execute(websub_pushes.insert(), row)
