"""The outbox: one claim, one retry law, one order for the messages of every kind; on SQLite and Postgres."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from rows import NOON, NewDatabase, after
from schemas import upgrade_to
from sqlalchemy import Connection, Engine, column, select, table

from newsmill.storage import database, schema_version
from newsmill.storage.alerts import Alerts
from newsmill.storage.columns import UtcDateTime
from newsmill.storage.database import reading, writing
from newsmill.storage.outbox import (
    LEASE,
    MAX_AGE,
    RETRY_DELAYS_SECONDS,
    Message,
    MessageKind,
    MessageState,
    Outbox,
    add_message,
    delete_old_messages,
    retry_messages,
    to_message,
)
from newsmill.storage.schema import outbox
from newsmill.storage.webhooks import Webhooks

KIND = MessageKind.ALARM


def add(engine: Engine, payload: object, queue: str | None = None) -> str:
    with writing(engine) as conn:
        return add_message(conn, KIND, "1", payload, NOON, queue=queue)


def read_all(engine: Engine) -> list[Message]:
    with reading(engine) as conn:
        return [to_message(row) for row in conn.execute(select(outbox).order_by(outbox.c.number)).mappings()]


def test_a_message_is_claimed_by_one_process_and_keeps_its_id(engine: Engine) -> None:
    box, message_id = Outbox(engine, KIND), add(engine, {"n": 1})
    (frozen,) = box.claim_due(now=NOON, limit=9)
    assert (frozen.id, frozen.payload, box.claim_due(now=NOON, limit=9)) == (message_id, {"n": 1}, []), "leased"
    (again,) = box.claim_due(now=NOON + LEASE, limit=9)
    assert again.id == message_id, "its sender died"
    box.mark_sent(again, now=NOON + LEASE)
    box.mark_failed(frozen, "late", now=NOON + LEASE)
    (log,) = read_all(engine)
    assert (log.state, log.attempts, log.detail) == (MessageState.DELIVERED, 1, None), "a process that was frozen records nothing"
    assert delete_old_messages(engine, now=NOON + LEASE + MAX_AGE) == 0
    assert delete_old_messages(engine, now=NOON + LEASE + MAX_AGE + timedelta(seconds=1)) == 1


def test_the_retry_law(engine: Engine) -> None:
    box, now = Outbox(engine, KIND), NOON
    add(engine, {})
    for number, wait in enumerate((0, *RETRY_DELAYS_SECONDS)):
        assert wait == 0 or box.claim_due(now=now + timedelta(seconds=wait - 1), limit=9) == []
        now += timedelta(seconds=wait)
        (message,) = box.claim_due(now=now, limit=9)
        assert message.attempts == number
        box.mark_failed(message, "x" * 900, now=now)
    (ended,) = read_all(engine)
    assert (ended.state, ended.failing_since, ended.ended_at, len(str(ended.detail))) == (MessageState.FAILED, NOON, now, 500)
    assert box.claim_due(now=now + timedelta(days=9), limit=9) == []
    with writing(engine) as conn:
        assert retry_messages(conn, outbox.c.id == ended.id, now) == 1
    (message,) = box.claim_due(now=now, limit=9)
    assert (message.id, message.attempts, message.failing_since) == (ended.id, 0, None)


def test_a_queue_is_sent_in_order_and_other_messages_do_not_wait(engine: Engine) -> None:
    box = Outbox(engine, KIND)
    for number in range(3):
        add(engine, number, "a")
    add(engine, 3, "b")
    add(engine, 4)
    sent = []
    for minute in range(3):
        for message in box.claim_due(now=after(minutes=minute), limit=9):
            sent.append((minute, message.payload))
            if message.payload == 0 and minute == 0:
                box.mark_failed(message, "no answer", now=after(minutes=minute))
            else:
                box.mark_sent(message, now=after(minutes=minute))
    assert sent == [(0, 0), (0, 3), (0, 4), (1, 0), (2, 1)]


def test_a_time_of_a_clock_that_was_ahead_is_due(engine: Engine) -> None:
    box, ahead = Outbox(engine, KIND), after(days=365)
    add(engine, {})
    (message,) = box.claim_due(now=ahead, limit=9)
    box.mark_failed(message, "no answer", now=ahead)
    assert [one.id for one in box.claim_due(now=after(seconds=1), limit=9)] == [message.id]


def insert(conn: Connection, name: str, row: dict[str, Any], **values: Any) -> None:
    """Insert a row into a table as an older program knows it."""
    row = row | values
    columns = [column(key, UtcDateTime()) if isinstance(value, datetime) else column(key) for key, value in row.items()]
    conn.execute(table(name, *columns).insert(), row)


def test_messages_of_an_older_program_are_carried_over(new_database: NewDatabase, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = database.connect(new_database(empty=True))
    upgrade_to("0012", engine, tmp_path, monkeypatch)
    alarm = {"alarm": 7, "event": "begin", "attempts": 0, "next_at": None, "sent_at": None}
    search = {"id": "s", "user_name": "ann", "name": "Harbour", "query": "harbour", "created_at": NOON, "seen_at": NOON, "seen_id": ""}
    alert = {"search": "s", "channel": "email", "target": "a@example.org", "schedule": "hourly", "hour": 8, "weekday": 0, "zone": "UTC"}
    alert |= {"language": "en", "created_at": NOON, "notified": 3, "due_at": NOON, "until": 5, "next_at": NOON}
    failing = {"attempts": 8, "failing_since": NOON, "detail": "no answer"}
    with writing(engine) as conn:
        insert(conn, "alarm_messages", alarm, id="msg_1", target="a@example.org", attempts=1, next_at=NOON)
        insert(conn, "alarm_messages", alarm, id="msg_2", target="a@example.org", event="end", next_at=NOON)
        insert(conn, "alarm_messages", alarm, id="msg_3", target="b@example.org", sent_at=NOON)
        insert(conn, "alarm_messages", alarm, id="msg_4", target="c@example.org", attempts=8)
        insert(conn, "saved_searches", search)
        insert(conn, "alerts", alert, id="idle", state="active", until=None, next_at=None)
        insert(conn, "alerts", alert, id="due", state="active", delivery="msg_5")
        hook = {"id": "h", "url": "", "secret": "", "event": "ping", "created_at": NOON, "enabled": True, "seen_at": NOON, "seen_id": ""}
        insert(conn, "webhooks", hook)
        delivery = {"webhook": "h", "payload": "{}", "created_at": NOON, "state": "due", "attempts": 2, "next_at": NOON}
        insert(conn, "deliveries", delivery, id="msg_9")
        insert(conn, "deliveries", delivery, id="msg_8", created_at=after(minutes=1))
        insert(conn, "alerts", alert, id="dead", state="dead", delivery="msg_6", **failing)
    schema_version.upgrade(engine)
    assert {one.id: (one.owner, one.state.value, one.attempts) for one in read_all(engine)} == {
        "msg_1": ("7", "due", 1),
        "msg_2": ("7", "due", 0),
        "msg_3": ("7", "delivered", 0),
        "msg_4": ("7", "failed", 8),
        "msg_5": ("due", "due", 0),
        "msg_6": ("dead", "failed", 8),
        "msg_8": ("h", "due", 2),
        "msg_9": ("h", "due", 2),
    }
    assert [one.id for one in Outbox(engine, MessageKind.ALARM).claim_due(now=NOON, limit=9)] == ["msg_1"], "the beginning before the end"
    assert [one.id for one in Webhooks(engine).outbox.claim_due(now=NOON, limit=9)] == ["msg_9"], "the older one first"
    alerts = Alerts(engine)
    assert [(one.id, one.until, one.detail) for one in alerts.list_all()] == [
        ("dead", 5, "no answer"),
        ("due", 5, None),
        ("idle", None, None),
    ]
    assert alerts.resume("dead", now=NOON)
    assert {one.owner for one in alerts.outbox.claim_due(now=NOON, limit=9)} == {"due", "dead"}
    engine.dispose()
