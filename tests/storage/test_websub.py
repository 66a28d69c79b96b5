"""WebSub in the ledger: announcements, subscriptions and pushes, on both databases."""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from rows import NOON, SOURCE, Mill, ended
from sqlalchemy import Engine

from newsmill.model import LeasedUrl, Outcome
from newsmill.storage import websub
from newsmill.storage.database import reading
from newsmill.storage.ledger import Ledger
from newsmill.storage.ledger.source_changes import SourceChanges
from newsmill.storage.websub import MAX_WAITING_PUSHES, Subscription, SubscriptionState
from newsmill.storage.websub_requests import MAX_CANCELLATIONS, PushResult, WebSubRequests

HUB, TOPIC, PUBLIC = "https://hub.example/", "https://paper.example/rss?full", "https://news.example"
HOUR = timedelta(hours=1)


class Desk:
    """A ledger with the feed of SOURCE, leased and read once, and what the web process does."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.requests = WebSubRequests(engine)
        self.mill = Mill(Ledger(engine))
        self.mill.ledger.sources.put(SOURCE, now=NOON)
        self.feed = self.lease()

    def lease(self) -> LeasedUrl:
        return next(row for row in self.mill.lease() if row.url == f"{SOURCE.feeds[0]}")

    def end(self) -> None:
        self.mill.ledger.url_endings.end([ended(self.feed, Outcome.LISTED)], now=self.mill.now)

    def announce(self, hub: str | None = HUB, *, new_pages: int = 0) -> None:
        self.mill.ledger.pushes.record_hub(self.feed.id, hub, hub and TOPIC, new_pages=new_pages, now=self.mill.now)

    def subscription(self) -> Subscription:
        with reading(self.engine) as conn:
            found = websub.find_of_listing(conn, self.feed.id)
        assert found is not None
        return found

    def claim(self, ahead: timedelta = timedelta()) -> list[str]:
        """The modes of the requests that are due."""
        return [request.mode for request in self.requests.claim_due(PUBLIC, limit=9, now=self.mill.now + ahead)]

    def subscribe(self, lease_seconds: int | None = 86_400) -> Subscription:
        self.announce()
        assert self.claim() == ["subscribe"]
        one = self.subscription()
        assert self.requests.verify(one.callback_id, "subscribe", TOPIC, lease_seconds, now=self.mill.now)
        return self.subscription()

    def push(self, body: bytes, *, method: str = "sha256", signature: str | None = None, now: datetime | None = None) -> PushResult:
        one = self.subscription()
        signed = signature or f"{method}={hmac.new(one.secret.encode(), body, method).hexdigest()}"
        return self.requests.receive(one, body, "application/rss+xml", signed, now=now or self.mill.now)

    def follow(self) -> None:
        self.requests.follow_sources(PUBLIC, now=self.mill.now)


@pytest.fixture
def desk(engine: Engine) -> Desk:
    return Desk(engine)


def test_a_subscription_is_verified_renewed_and_expires(desk: Desk) -> None:
    desk.announce()
    first = desk.subscription()
    assert (first.state, first.is_active(NOON)) == (SubscriptionState.ANNOUNCED, False)
    assert first.secret not in repr(first)
    assert not desk.requests.verify(first.callback_id, "subscribe", TOPIC, 60, now=NOON)  # nothing was requested
    (request,) = desk.requests.claim_due(PUBLIC, limit=9, now=NOON)
    assert (request.mode, request.subscription.public_url) == ("subscribe", PUBLIC)
    assert desk.claim() == []  # another process has it
    wrong = [("subscribe", f"{TOPIC}&x"), ("unsubscribe", TOPIC), ("subscribe", "")]
    assert not any(desk.requests.verify(first.callback_id, mode, topic, 60, now=NOON) for mode, topic in wrong)
    assert not desk.requests.verify("x" * 43, "subscribe", TOPIC, 60, now=NOON)
    assert not desk.requests.verify(first.callback_id, "subscribe", TOPIC, 60, now=NOON + 2 * HOUR)  # too late
    assert desk.requests.verify(first.callback_id, "subscribe", TOPIC, 36_000, now=NOON)
    desk.requests.mark_accepted(request, now=NOON)  # the hub verified before it answered
    assert not desk.requests.verify(first.callback_id, "subscribe", TOPIC, 36_000, now=NOON)  # a second time
    one = desk.subscription()
    assert (one.expires_at, one.next_at, one.verified_at) == (NOON + 10 * HOUR, NOON + 8 * HOUR, NOON)
    with reading(desk.engine) as conn:
        assert list(websub.list_active(conn, range(2000), NOON)) == [desk.feed.id]
        assert websub.list_active(conn, [desk.feed.id], NOON + 11 * HOUR) == {}
    assert desk.claim() == []
    assert desk.claim(8 * HOUR) == ["subscribe"]
    assert desk.requests.verify(one.callback_id, "subscribe", TOPIC, None, now=NOON + 8 * HOUR)
    assert desk.subscription().verified_at == NOON
    assert desk.push(b"late", now=NOON + timedelta(days=11)) is PushResult.GONE
    assert desk.requests.count(now=NOON) == (1, 1)


def test_a_hub_that_fails_is_asked_again_later_and_later(desk: Desk) -> None:
    desk.announce()
    waits = []
    for _ in range(7):
        (request,) = desk.requests.claim_due(PUBLIC, limit=9, now=desk.mill.now)
        desk.requests.mark_failed(request, "no answer", now=desk.mill.now)
        one = desk.subscription()
        assert one.next_at is not None
        waits.append((one.next_at - desk.mill.now) / timedelta(minutes=1))
        assert not desk.requests.verify(one.callback_id, "subscribe", TOPIC, 60, now=desk.mill.now)
        desk.mill.now = one.next_at
    assert waits == [5, 30, 120, 300, 600, 840, 840]
    assert desk.requests.deny(one.callback_id, TOPIC, "not yours", now=desk.mill.now)
    assert not desk.requests.deny(one.callback_id, "https://other.example/", "", now=desk.mill.now)
    denied = desk.subscription()
    assert (denied.state, denied.detail) == (SubscriptionState.DENIED, "not yours")
    assert desk.claim(timedelta(days=6)) == []
    assert desk.claim(timedelta(days=8)) == ["subscribe"]


def test_pushes_make_the_feed_due_and_are_bounded(desk: Desk) -> None:
    one = desk.subscribe()
    desk.end()
    for signature in ("", "sha256=", "md5=00", "sha256=" + "0" * 64, "sha1=" + hashlib.sha1(b"a").hexdigest(), "sha256=ü", "\udc80"):
        assert desk.push(b"forged", signature=signature or " ") is PushResult.FORGED
    assert desk.mill.lease() == []  # nothing is due: a forged push has no effect
    methods = ("sha1", "sha256", "sha384", "sha512")
    assert [desk.push(f"feed {n}".encode(), method=method) for n, method in enumerate(methods)] == [PushResult.STORED] * 4
    assert desk.push(b"feed 3") is PushResult.REPEATED
    again = desk.lease()
    pushes = desk.mill.ledger.pushes.list_unread(again.id)
    assert [push.body for push in pushes] == [b"feed 0", b"feed 1", b"feed 2", b"feed 3"]
    assert desk.push(b"meanwhile") is PushResult.STORED  # while the crawler reads the others
    assert desk.mill.ledger.pushes.end_listing(ended(again, Outcome.LISTED), [push.id for push in pushes], now=desk.mill.now) == 1
    assert desk.mill.lease() == []
    desk.mill.ledger.pushes.requeue_listing(again.id, now=desk.mill.now)
    desk.feed = desk.lease()
    assert [push.body for push in desk.mill.ledger.pushes.list_unread(again.id)] == [b"meanwhile"]
    for n in range(MAX_WAITING_PUSHES + 1):
        desk.push(f"flood {n}".encode())
    (empty, last) = desk.mill.ledger.pushes.list_unread(again.id)
    assert (empty.body, last.body) == (b"", f"flood {MAX_WAITING_PUSHES}".encode())
    desk.mill.ledger.pushes.drop([empty.id, last.id])
    counted = desk.subscription()
    assert (counted.forged, counted.repeated, counted.pushes) == (7, 1, 5 + MAX_WAITING_PUSHES + 1)
    assert one.callback_id == counted.callback_id


def test_a_subscription_is_proven_by_pushes_until_a_request_finds_more(desk: Desk) -> None:
    desk.subscribe()
    assert not desk.subscription().is_proven
    desk.push(b"one")
    assert desk.subscription().is_proven
    desk.mill.now += HOUR
    desk.announce(new_pages=0)
    assert desk.subscription().is_proven
    desk.announce(new_pages=2)
    assert not desk.subscription().is_proven
    desk.mill.now += HOUR
    desk.push(b"two")
    assert desk.subscription().is_proven


def test_a_paused_source_is_cancelled_and_a_resumed_one_asked_for_again(desk: Desk) -> None:
    one = desk.subscribe()
    desk.follow()
    assert desk.subscription().state is SubscriptionState.ACTIVE
    desk.mill.ledger.sources.set_enabled("paper", False, now=NOON)
    desk.follow()
    assert desk.claim() == ["unsubscribe"]
    assert not desk.requests.verify(one.callback_id, "subscribe", TOPIC, 60, now=NOON)
    assert desk.requests.verify(one.callback_id, "unsubscribe", TOPIC, None, now=NOON)
    assert (desk.subscription().state, desk.subscription().next_at) == (SubscriptionState.STOPPED, None)
    assert desk.push(b"late") is PushResult.GONE
    desk.mill.ledger.sources.set_enabled("paper", True, now=NOON)
    desk.follow()
    assert desk.claim() == ["subscribe"]
    assert desk.requests.verify(one.callback_id, "subscribe", TOPIC, 86_400, now=NOON)
    desk.requests.follow_sources("https://other.example", now=NOON)  # the public URL has changed
    assert desk.claim() == ["subscribe"]


def test_a_removed_source_and_another_hub_are_cancelled(desk: Desk) -> None:
    old = desk.subscribe()
    desk.announce("https://other-hub.example/")
    new = desk.subscription()
    assert (new.hub, new.state) == ("https://other-hub.example/", SubscriptionState.ANNOUNCED)
    assert new.secret != old.secret
    assert new.callback_id != old.callback_id
    assert sorted(desk.claim()) == ["subscribe", "unsubscribe"]
    assert desk.requests.verify(old.callback_id, "unsubscribe", TOPIC, None, now=NOON)
    assert desk.requests.find(old.callback_id) is None
    assert desk.requests.verify(new.callback_id, "subscribe", TOPIC, 86_400, now=NOON)
    desk.push(b"waiting")
    SourceChanges(desk.engine).remove("paper", now=NOON)
    desk.follow()
    for _ in range(MAX_CANCELLATIONS):  # the hub does not answer
        (request,) = desk.requests.claim_due(PUBLIC, limit=9, now=desk.mill.now)
        assert request.mode == "unsubscribe"
        desk.requests.mark_failed(request, "no answer", now=desk.mill.now)
        desk.mill.now += timedelta(days=1)
    assert desk.claim() == []
    assert desk.requests.find(new.callback_id) is None


def test_a_feed_without_a_hub_any_more_needs_no_subscription(desk: Desk) -> None:
    desk.announce(None)
    desk.announce()
    desk.announce(None)  # never requested: nothing to cancel
    with reading(desk.engine) as conn:
        assert websub.find_of_listing(conn, desk.feed.id) is None
    desk.subscribe()
    desk.announce(None)
    assert desk.claim() == ["unsubscribe"]


def test_the_plan_of_a_source_that_drops_the_feed(desk: Desk) -> None:
    desk.subscribe()
    desk.mill.ledger.sources.put(replace(SOURCE, feeds=()), now=NOON)
    desk.follow()
    assert desk.claim() == ["unsubscribe"]
