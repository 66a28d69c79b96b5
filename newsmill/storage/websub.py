"""WebSub: the hubs that feeds announce, the subscriptions there, and pushed feeds until the crawler has read them.

`newsmill.web.websub` sends the requests to hubs and answers theirs (`WebSubRequests`). The crawler records announcements and reads pushes,
and the scheduler asks `list_active` which feeds it need not poll often.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, fields
from datetime import datetime, timedelta
from enum import StrEnum, auto
from typing import Any

from sqlalchemy import Connection, Engine, and_, bindparam, case, delete, exists, func, not_, or_, select, update

from newsmill.storage.database import reading, writing
from newsmill.storage.schema import ledger, sources, websub_pushes, websub_subscriptions
from newsmill.storage.statements import AnyRow, Upsert, state_is

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


# ---- for the schedule


def list_active(conn: Connection, listing_ids: Iterable[int], now: datetime) -> dict[int, Subscription]:
    """Of the listings, those with a subscription that is in force, by their ids in the ledger."""
    ids = list(listing_ids)
    found: dict[int, Subscription] = {}
    for start in range(0, len(ids), BATCH_IDS):
        for row in conn.execute(_ACTIVE, {"b_ids": ids[start : start + BATCH_IDS], "b_now": now}).mappings():
            found[row["ledger_id"]] = to_subscription(row)
    return found


# ---- for the crawler


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
    own = _own(subscription.callback_id)
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


# ---- for the web process
#
# A hub may verify a request before it has answered it, so what is awaited is stored before the request is sent.

LEASE_SECONDS = 10 * 86_400  # that a request names; most hubs give as much
MIN_LEASE, MAX_LEASE = timedelta(minutes=1), timedelta(days=90)  # that a hub's answer counts for
RENEWAL_SHARE = 0.8  # of a lease, after which it is renewed: a hub may be away for two of ten days
MAX_VERIFICATION_WAIT = timedelta(hours=1)  # for the hub to verify a request; another is sent after the delay below
RETRY_DELAYS = tuple(timedelta(minutes=minutes) for minutes in (5, 30, 2 * 60, 6 * 60, 24 * 60))  # after failed requests in a row
DENIED_DELAY = timedelta(days=7)
REQUEST_LEASE = timedelta(minutes=1)  # of a request that is being sent: six times its time limit
MAX_CANCELLATIONS = 3  # tries; the hub ends the subscription when its lease ends, or when the callback answers 410
MAX_WAITING_BYTES = 8 << 20  # of the pushes of one feed
SIGNATURE_METHODS = ("sha1", "sha256", "sha384", "sha512")  # W3C WebSub, section 8
MAX_DETAIL_CHARACTERS = 500

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


class WebSubRequests:
    """Requests to hubs, and the answers and pushes of hubs. Several web processes may call every method at once.

    Every call may raise ServiceError.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    # ---- requests to hubs

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
        values = {"next_at": now + _retry_delay(request), "attempts": _TABLE.c.attempts + 1, "detail": "the hub has not verified it yet"}
        with writing(self._engine) as conn:
            conn.execute(update(_TABLE).where(own).values(**values))

    def mark_failed(self, request: HubRequest, detail: str, *, now: datetime) -> None:
        """A request failed. The next is after RETRY_DELAYS."""
        own = and_(_own(request.subscription.callback_id), _TABLE.c.awaited == request.mode)
        values = {"next_at": now + _retry_delay(request), "attempts": _TABLE.c.attempts + 1, "detail": detail[:MAX_DETAIL_CHARACTERS]}
        with writing(self._engine) as conn:
            conn.execute(update(_TABLE).where(own).values(**values, awaited=None, awaited_until=None))

    # ---- answers of hubs

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
            "detail": reason[:MAX_DETAIL_CHARACTERS] or "the hub gives no reason",
        }
        values |= {"state": SubscriptionState.DENIED.value, "next_at": now + DENIED_DELAY, "expires_at": None}
        open_states = [SubscriptionState.ANNOUNCED.value, SubscriptionState.ACTIVE.value, SubscriptionState.DENIED.value]
        with writing(self._engine) as conn:
            own = and_(_own(callback_id), _TABLE.c.topic == topic, _TABLE.c.state.in_(open_states))
            return conn.execute(update(_TABLE).where(own).values(**values)).rowcount == 1

    # ---- pushes

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
            # Before the push, so that the crawler that ends the listing now sees it: Ledger.requeue_pushed.
            conn.execute(select(ledger.c.id).where(ledger.c.id == subscription.ledger_id).with_for_update())
            if conn.execute(select(_TABLE.c.last_digest).where(_own(subscription.callback_id))).scalar() == digest:
                conn.execute(own.values(repeated=_TABLE.c.repeated + 1))
                return PushResult.REPEATED
            _store(conn, subscription.ledger_id, body, content_type, now)
            conn.execute(own.values(pushes=_TABLE.c.pushes + 1, last_push_at=now, last_digest=digest))
            make_due(conn, subscription.ledger_id, now)
        return PushResult.STORED

    # ---- counts

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


def _retry_delay(request: HubRequest) -> timedelta:
    return RETRY_DELAYS[min(request.subscription.attempts, len(RETRY_DELAYS) - 1)]


def _claim(conn: Connection, one: Subscription, public_url: str, now: datetime) -> HubRequest | None:
    """The request, if no other process has claimed it. A cancellation is given up after MAX_CANCELLATIONS."""
    mode = "unsubscribe" if one.state is SubscriptionState.ENDING else "subscribe"
    if mode == "unsubscribe" and one.attempts >= MAX_CANCELLATIONS:
        _end(conn, one)
        return None
    # A hub cancels the callback that it knows, also after the public URL has changed.
    base = one.public_url if mode == "unsubscribe" and one.public_url is not None else public_url
    values: dict[str, Any] = {"next_at": now + REQUEST_LEASE, "public_url": base}
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
