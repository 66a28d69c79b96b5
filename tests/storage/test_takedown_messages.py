"""A takedown removes its document from waiting messages, and nothing else from them, on both databases."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from rows import NOON, SITE, after, links
from sqlalchemy import Engine, insert, select
from takedown_store import REASON, URL, Store, make_store, take_down

from newsmill.storage.database import reading, writing
from newsmill.storage.outbox import LEASE
from newsmill.storage.schema import ledger, websub_pushes
from newsmill.storage.webhooks import Webhook, WebhookEvent, Webhooks


@pytest.fixture
def store(engine: Engine, tmp_path: Path) -> Store:
    store = make_store(engine, tmp_path)
    store.store(*links(30))
    return store


@pytest.fixture
def hooks(engine: Engine) -> Webhooks:
    return Webhooks(engine)


@pytest.fixture
def hook(hooks: Webhooks) -> Webhook:
    return hooks.add("https://receiver.example/", WebhookEvent.DOCUMENTS, now=NOON)


def write_payload(store: Store, urls: list[str], removed: tuple[str, ...] = ()) -> dict[str, object]:
    found = [document for url in urls if (document := store.app.documents.get(url)) is not None]
    assert len(found) == len(urls)
    data = {"documents": [{"id": one.id, "url": one.url, "title": one.title} for one in found], "removed": [{"id": one} for one in removed]}
    return {"type": "documents.stored", "data": data}


def notify(hooks: Webhooks, hook: Webhook, payload: dict[str, object]) -> None:
    current = hooks.get(hook.id)
    assert current is not None and hooks.move(current, payload, until=after(hours=1), last="x", now=NOON)


def list_urls(payload: dict[str, dict[str, list[dict[str, str]]]]) -> list[str]:
    return [document["url"] for document in payload["data"]["documents"]]


def test_the_other_documents_arrive_under_a_new_id(store: Store, hooks: Webhooks, hook: Webhook) -> None:
    found = [f"{SITE}/{number}" for number in range(30)]
    notify(hooks, hook, write_payload(store, found))
    (before,) = hooks.list_deliveries(hook.id, limit=9)
    take_down(store.app, [URL], REASON)
    (delivery,) = hooks.list_deliveries(hook.id, limit=9)
    assert list_urls(delivery.payload) == [url for url in found if url != URL]
    assert (delivery.id != before.id, delivery.state, delivery.created_at) == (True, "due", before.created_at)


def test_one_that_is_being_sent_is_sent_again_without_the_document(store: Store, hooks: Webhooks, hook: Webhook) -> None:
    """The process that sends it can note nothing about it any more, whatever the receiver answered."""
    notify(hooks, hook, write_payload(store, [URL, f"{SITE}/2"]))
    (old,) = hooks.outbox.claim_due(now=NOON, limit=4)
    take_down(store.app, [URL], REASON)
    hooks.outbox.mark_sent(old, 200, now=NOON)
    hooks.outbox.mark_failed(old, "the receiver answered 500", 500, now=NOON)
    assert hooks.outbox.claim_due(now=NOON, limit=4) == [], "not while the old one is being sent"
    (new,) = hooks.outbox.claim_due(now=NOON + LEASE + timedelta(seconds=1), limit=4)
    assert (list_urls(new.payload), new.id != old.id) == ([f"{SITE}/2"], True)
    hooks.outbox.mark_sent(new, 200, now=NOON)
    assert [(one.id, one.state) for one in hooks.list_deliveries(hook.id, limit=9)] == [(new.id, "delivered")]


def test_messages_of_other_states_and_without_other_documents(store: Store, hooks: Webhooks, hook: Webhook) -> None:
    """One that arrived keeps its id. One that only had the document goes; one that tells of removed documents stays."""
    document = store.app.documents.get(URL)
    assert document is not None
    notify(hooks, hook, write_payload(store, [URL, f"{SITE}/2"]))
    (arrived,) = hooks.outbox.claim_due(now=NOON, limit=4)
    hooks.outbox.mark_sent(arrived, 200, now=NOON)
    for payload in (write_payload(store, [URL]), write_payload(store, [URL], ("f" * 32,)), write_payload(store, [], (document.id,))):
        hooks.ping(hook.id, payload, now=NOON)
    take_down(store.app, [URL], REASON)
    left = {one.id: one for one in hooks.list_deliveries(hook.id, limit=9)}
    assert list_urls(left.pop(arrived.id).payload) == [f"{SITE}/2"]
    found = [(list_urls(one.payload), [removed["id"] for removed in one.payload["data"]["removed"]]) for one in left.values()]
    assert sorted(found) == sorted([([], ["f" * 32]), ([], [document.id])])


def test_pushed_feeds_that_wait_are_requested_instead(store: Store, engine: Engine) -> None:
    """They may hold the article or its summary."""
    with writing(engine) as conn:
        feed = conn.execute(select(ledger.c.id).where(ledger.c.kind == "feed")).scalar_one()
        conn.execute(insert(websub_pushes).values(ledger_id=feed, body=b"<rss>Kowalczyk</rss>", received_at=NOON))
    take_down(store.app, [URL], REASON)
    with reading(engine) as conn:
        assert conn.execute(select(websub_pushes.c.body)).scalars().all() == [b""]
