"""A reader of the stored order gets every document once, whatever the clocks of the writers do and however their commits overlap."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from random import Random

import pytest
from rows import NOON, SITE, Mill, after, document_of, good, links
from sqlalchemy import Connection, Engine, event

from newsmill.context import build_context
from newsmill.exports.manifest import ExportPlan
from newsmill.exports.writer import ExportPosition as ExportPlace
from newsmill.exports.writer import ExportScan
from newsmill.model import Link
from newsmill.notifications.webhooks import WebhookSender
from newsmill.search.search import Search
from newsmill.storage.changes import ChangePosition, Changes
from newsmill.storage.database import reading, writing
from newsmill.storage.ledger import Ledger
from newsmill.storage.storing_order import STAMP_RESOLUTION, find_horizon, make_stamp
from newsmill.storage.webhooks import WebhookEvent, Webhooks
from newsmill.web.senders import write_changes

JUMPS = [timedelta(seconds=15), timedelta(hours=1), timedelta(days=2)]
PAGE = "SELECT documents.stored_at, documents.id"  # the beginning of the statement that reads a page of results
STORING, EACH = 4, 16  # processes that store, and documents of each


class Follower:
    """A program that reads on from where it was, in each way there is."""

    def __init__(self, engine: Engine) -> None:
        self._changes, self._search = Changes(engine), Search(engine)
        self._stream, self._cursor, self._export = self._changes.end(), self._search.end_cursor(), ExportPlace()
        self._webhooks, self._sender = Webhooks(engine), WebhookSender(build_context(engine, "unused"), (), write_changes)
        self._webhooks.add("https://there.example/", WebhookEvent.DOCUMENTS, now=NOON)
        self.streamed: list[str] = []
        self.iterated: list[str] = []
        self.exported: list[str] = []
        self.sent: list[str] = []

    def look(self) -> None:
        for document in self._changes.after(self._stream, limit=50):
            self._stream = document.place
            self.streamed.append(document.id)
        for stored in self._search.iterate(since=self._cursor):
            self._cursor = stored.cursor
            self.iterated.append(stored.document.id)
        run = ExportScan(self._search, ExportPlan("jsonl"), self._export)
        self.exported += [stored.document.id for stored in run]
        self._export = run.place
        for webhook in self._webhooks.list_idle():
            self._sender.add_document_delivery(webhook, NOON)
        for delivery in self._webhooks.outbox.claim_due(now=NOON, limit=9):
            self.sent += [document["id"] for document in delivery.payload["data"]["documents"]]
            self._webhooks.outbox.mark_sent(delivery, 200, now=NOON)


@pytest.mark.parametrize(
    ("new_database", "jump"),
    [
        ("sqlite", -JUMPS[0]),
        ("sqlite", JUMPS[1]),
        ("sqlite", -JUMPS[2]),
        *(("postgres", jump) for jump in (-JUMPS[1], JUMPS[2], -JUMPS[2])),
    ],
    ids=str,
    indirect=["new_database"],
)
def test_nothing_is_missed_and_nothing_comes_twice_when_clocks_jump(ledger: Ledger, engine: Engine, jump: timedelta) -> None:
    """Each process has a clock of its own, which jumps there and back again while it stores; that of the first is wrong all along."""
    first = Mill(ledger)
    first.store(*(good(claim) for claim in first.fetch(*links(1))))
    follower, storing = Follower(engine), threading.Event()
    chances = Random(17)
    jumps = [sorted(chances.sample(range(EACH), 2)) for _ in range(STORING)]
    storing.set()

    mills = [Mill(ledger, worker=f"worker-{number}", segments=1000 * number) for number in range(STORING)]
    claims = [mill.fetch(*(Link(f"{SITE}/{number}/{at}") for at in range(EACH))) for number, mill in enumerate(mills)]

    def store(number: int) -> list[str]:
        mill, stored = mills[number], []
        for at, claim in enumerate(claims[number]):
            ahead = jump if number == 0 or jumps[number][0] <= at < jumps[number][1] else timedelta()
            mill.now = NOON + timedelta(seconds=at) + ahead
            document = document_of(claim.url)
            mill.store(good(claim, document))
            stored.append(document.id)
        return stored

    def follow() -> None:
        while storing.is_set():
            follower.look()

    with ThreadPoolExecutor(STORING + 1) as pool:
        following = pool.submit(follow)
        try:
            made = sorted(id_ for found in pool.map(store, range(STORING)) for id_ in found)
        finally:
            storing.clear()
        following.result(30)
    for _ in range(3):  # a look of the stream and of the sender gives 50 at most
        follower.look()
    assert len(made) == STORING * EACH
    in_order = [document.id for document in Changes(engine).after(None, limit=len(made) + 1)]
    assert sorted(in_order[1:]) == made
    assert follower.streamed == follower.iterated == follower.sent == in_order[1:]
    assert follower.exported == in_order


@pytest.mark.parametrize("query", ["", "second"])
def test_a_document_that_changes_while_it_is_read_omits_no_other(ledger: Ledger, engine: Engine, query: str) -> None:
    """A worker stores a new document and changes an old one between the two statements that read a page of results."""
    mill = Mill(ledger)
    old, new = mill.fetch(*links(2))
    mill.store(good(old))
    ledger.retries.retry(now=NOON, urls=[old.url])
    (again,) = mill.claim(old.segment)

    def work(conn: Connection, cursor: object, statement: str, *_: object) -> None:
        if statement.startswith(PAGE) and mill.now == NOON:
            mill.now = after(minutes=1)
            mill.store(good(new))
            mill.now = after(minutes=2)
            mill.store(good(again, document_of(old.url, content="changed")))

    search = Search(engine)
    run = ExportScan(search, ExportPlan("jsonl", query), ExportPlace())
    event.listen(engine, "after_cursor_execute", work)
    exported = [stored.document.url for stored in run]
    assert mill.now == after(minutes=2), "the worker has not worked"
    exported += [stored.document.url for stored in ExportScan(search, ExportPlan("jsonl", query), run.place)]
    assert sorted(exported) == sorted([old.url, new.url])


@pytest.mark.parametrize("jump", JUMPS, ids=str)
def test_stamps_never_go_back_and_a_changed_document_moves_to_the_end(ledger: Ledger, engine: Engine, jump: timedelta) -> None:
    mill = Mill(ledger)
    one, two, three = mill.fetch(*links(3))
    mill.store(good(one))
    mill.now = NOON - jump
    mill.store(good(two), good(three))
    stored = Changes(engine).after(None, limit=9)
    assert [document.url for document in stored] == [one.url, *sorted((two.url, three.url), key=lambda url: document_of(url).id)]
    assert {document.stored_at for document in stored} == {NOON, NOON + STAMP_RESOLUTION}
    ledger.retries.retry(now=mill.now, urls=[one.url])
    (again,) = mill.claim(one.segment)
    mill.store(good(again, document_of(one.url, content="two")))
    assert [document.url for document in Changes(engine).after(stored[-1].place, limit=9)] == [one.url]


def test_a_hook_made_while_the_clock_was_ahead_misses_nothing(ledger: Ledger, engine: Engine) -> None:
    mill = Mill(ledger)
    one, two = mill.fetch(*links(2))
    mill.store(good(one))
    hook = Webhooks(engine).add("https://there.example/", WebhookEvent.DOCUMENTS, now=after(days=2))
    mill.now = after(seconds=1)
    mill.store(good(two))
    changes = Changes(engine).after(ChangePosition(hook.seen_at, hook.seen_id), limit=9)
    assert [document.url for document in changes] == [two.url]


def test_a_commit_under_way_holds_back_what_comes_after_it(ledger: Ledger, engine: Engine, new_database: Callable[..., str]) -> None:
    """Only Postgres lets commits overlap. One that began first and ends last may put documents before those of the others."""
    if engine.dialect.name != "postgresql":
        return
    mill = Mill(ledger)
    one, two, three = mill.fetch(*links(3))
    mill.store(good(one))
    changes = Changes(engine)
    with writing(engine) as slow:
        early = make_stamp(slow, after(seconds=1))
        mill.now = after(seconds=2)
        mill.store(good(two))
        with reading(engine) as conn:
            assert find_horizon(conn) == NOON < early
        assert [document.url for document in changes.after(None, limit=9)] == [one.url]
        begun = changes.end()
        with writing(engine) as late:
            assert make_stamp(late, after(seconds=3)) == after(seconds=3)
    assert [document.url for document in changes.after(None, limit=9)] == [one.url, two.url]
    assert [document.url for document in changes.after(begun, limit=9)] == [two.url], "who began meanwhile gets it too"
    mill.store(good(three))
    with reading(engine) as conn:
        assert find_horizon(conn) == after(seconds=2) + STAMP_RESOLUTION
