"""What the web door keeps: tokens, submissions, web hooks, and the order of changes; on SQLite and Postgres."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from rows import NOON, Mill, after, document_of, good, links
from sqlalchemy import Engine

from newsmill.context import build_context
from newsmill.exceptions import CursorError
from newsmill.model import State
from newsmill.storage import clock
from newsmill.storage.alerts import Alerts
from newsmill.storage.changes import ChangePosition, Changes
from newsmill.storage.documents import Documents
from newsmill.storage.ledger import Ledger
from newsmill.storage.ledger.submissions import Submissions
from newsmill.storage.marks import MarkChange, Marks
from newsmill.storage.saved_searches import SavedSearches
from newsmill.storage.tokens import Scope, TokenKind, Tokens
from newsmill.storage.webhooks import WebhookEvent, Webhooks
from newsmill.storage.websub_requests import WebSubRequests
from newsmill.text import urls


@pytest.fixture
def mill(ledger: Ledger) -> Mill:
    return Mill(ledger)


def stored(mill: Mill, count: int) -> list[str]:
    """Documents stored one second after another; their ids in that order."""
    found = []
    for claim in mill.fetch(*links(count)):
        mill.now += timedelta(seconds=1)
        mill.store(good(claim))
        found.append(urls.make_key(claim.url))
    return found


def test_changes_both_ways_from_a_place(mill: Mill, engine: Engine) -> None:
    ids = stored(mill, 5)
    changes = Changes(engine)
    place = ChangePosition.of(changes.after(None, limit=2)[-1].cursor)
    assert [document.id for document in changes.after(place, limit=9)] == ids[2:]
    assert [document.id for document in changes.before(place, limit=9)] == ids[:1]
    assert [document.id for document in changes.after(None, limit=3)] == ids[:3]
    assert [document.id for document in changes.before(None, limit=9, since=after(seconds=3), source="paper")] == ids[:1:-1]
    assert changes.after(None, limit=9, source="other") == []
    with pytest.raises(CursorError):
        ChangePosition.of("x")


@pytest.mark.parametrize("odd", ["a\0b", "a\udcffb"])
def test_an_id_that_no_database_stores_names_nothing(engine: Engine, odd: str) -> None:
    """A path of a stranger may have NUL, which Postgres refuses, or a lone surrogate, which both drivers refuse."""
    assert WebSubRequests(engine).find(odd) is None
    assert Documents(engine).get(odd) is Documents(engine).find_image(odd) is None
    assert SavedSearches(engine).get(odd) is Alerts(engine).get(odd, "ann") is None
    assert Marks(engine).get([odd]) == {}
    assert Marks(engine).change([odd], MarkChange(starred=True), now=NOON) == 0


def test_a_changed_document_moves_to_the_end(mill: Mill, engine: Engine) -> None:
    ids = stored(mill, 3)
    place = Changes(engine).after(None, limit=9)[-1].place
    mill.ledger.links.add(links(1), now=mill.now, again=True)
    mill.lease()
    (claim,) = mill.claim(mill.save())
    mill.now += timedelta(seconds=1)
    mill.store(good(claim, document_of(claim.url, content="two")))
    (moved,) = Changes(engine).after(place, limit=9)
    assert (moved.id, moved.revision) == (ids[0], 2)


def test_tokens(engine: Engine) -> None:
    tokens = Tokens(engine)
    secret = tokens.add("ann", Scope.WRITE, now=NOON, life=timedelta(days=1))
    found = tokens.check(secret, now=NOON)
    assert found is not None and (found.name, found.scope, found.kind) == ("ann", Scope.WRITE, TokenKind.TOKEN)
    assert tokens.check(secret, now=NOON, audience="news.example") is None
    assert tokens.check(secret, now=after(days=1)) is None
    for wrong in ("", "nm_", secret + "x", secret[:-1], "nm_" + "é" * 300, "\0"):
        assert tokens.check(wrong, now=NOON) is None
    tokens.add("bea", Scope.READ, now=after(days=2))
    assert [token.name for token in tokens.list_valid(now=after(days=2))] == ["bea"], "what has ended is cleared away"
    tokens.set_environment_token("x" * 24, now=NOON)
    given = tokens.check("x" * 24, now=NOON)
    assert given is not None and given.scope is Scope.ADMIN
    assert tokens.revoke("bea") == {TokenKind.TOKEN: 1} and not tokens.revoke("bea")


def test_sessions_and_links_are_listed_and_revoked(engine: Engine) -> None:
    tokens = Tokens(engine)
    tokens.add("ann", Scope.WRITE, now=NOON)
    (ann,) = tokens.list_valid(now=NOON)
    for name, kind, parent in (("ann", TokenKind.SESSION, ann.id), ("link", TokenKind.SESSION, None), ("link", TokenKind.LINK, None)):
        tokens.add(name, Scope.ADMIN, now=after(minutes=1), kind=kind, life=timedelta(days=1), parent=parent)
    listed = tokens.list_valid(now=after(minutes=2))
    assert sorted((one.kind, one.name) for one in listed) == [("link", "link"), ("session", "ann"), ("session", "link"), ("token", "ann")]
    assert [one.name for one in tokens.list_valid(now=after(days=2))] == ["ann"], "expired ones are not listed"
    by_id = next(one for one in listed if one.kind is TokenKind.LINK)
    assert tokens.revoke(by_id.id) == {TokenKind.LINK: 1}
    assert tokens.revoke("link") == {TokenKind.SESSION: 1}
    assert tokens.revoke("ann") == {TokenKind.TOKEN: 1, TokenKind.SESSION: 1}
    assert tokens.list_valid(now=NOON) == []


def test_a_printed_link_ends_with_the_process_that_printed_it(engine: Engine) -> None:
    child = subprocess.Popen(
        [sys.executable, "-c", "from newsmill.storage.processes import make_owner_id; print(make_owner_id(), flush=True); input()"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with child:
        assert child.stdout is not None
        name = child.stdout.readline().strip()
        tokens = Tokens(engine)
        link = tokens.add(name, Scope.ADMIN, now=NOON, kind=TokenKind.LINK, life=timedelta(days=1))
        assert tokens.check(link, now=NOON)
        child.kill()
    assert tokens.check(link, now=NOON) is None
    assert tokens.list_valid(now=NOON) == []


def test_sign_out_everywhere_ends_the_sessions_that_were_opened_the_same_way(engine: Engine) -> None:
    tokens = Tokens(engine)
    tokens.add("ann", Scope.READ, now=NOON)
    (ann,) = tokens.list_valid(now=NOON)

    def add(kind: TokenKind, parent: str | None) -> str:
        return tokens.add("one", Scope.READ, now=NOON, kind=kind, life=timedelta(days=1), parent=parent)

    by_token = [add(TokenKind.SESSION, ann.id) for _ in range(2)]
    by_link = [add(TokenKind.SESSION, None), add(TokenKind.LINK, None)]
    first = tokens.check(by_token[0], now=NOON)
    assert first is not None
    tokens.end_sessions(first)
    assert [tokens.check(secret, now=NOON) is not None for secret in (*by_token, *by_link)] == [False, False, True, True]
    other = tokens.check(by_link[0], now=NOON)
    assert other is not None
    tokens.end_sessions(other)
    assert [one.name for one in tokens.list_valid(now=NOON)] == ["ann"], "a link nobody used ends as well, and tokens stay"


def test_submissions_know_what_became_of_each_address(mill: Mill, engine: Engine) -> None:
    held = Submissions(engine)
    given = [link.url for link in links(600)]
    made = held.add([*given, "not a URL"], now=NOON, token="ann", source="paper")
    found = held.get(made)
    assert found is not None and (found.urls, found.open, found.done) == (601, 600, False)
    mill.lease()
    mill.store(*(good(claim) for claim in mill.claim(mill.save())))
    rows = held.rows(made, limit=1000)
    assert [row.url for row in rows] == [*given, "not a URL"]
    assert sum(row.state is State.DONE for row in rows) == 100
    again = held.get(made)
    assert again is not None and again.open == 500
    assert [row.number for row in held.rows(made, after=598)] == [599, 600]
    assert held.get("none") is None
    assert not held.done(made)
    assert held.delete_old(now=after(days=89)) == 0
    assert held.delete_old(now=after(days=91)) == 1 and held.rows(made) == []


def test_a_hook_has_one_delivery_under_way_and_one_process_makes_it(engine: Engine) -> None:
    hooks = Webhooks(engine)
    hook = hooks.add("https://r.example.org/", WebhookEvent.DOCUMENTS, now=NOON)
    assert hooks.list_idle() == [hook]
    assert hooks.move(hook, {"n": 1}, until=after(seconds=1), last="a", now=NOON)
    assert not hooks.move(hook, {"n": 1}, until=after(seconds=1), last="a", now=NOON), "the other process was faster"
    assert hooks.list_idle() == []
    (delivery,) = hooks.outbox.claim_due(now=NOON, limit=4)
    current = hooks.get(hook.id)
    assert current is not None and (current.seen_id, delivery.owner, delivery.payload) == ("a", hook.id, {"n": 1})
    hooks.outbox.mark_failed(delivery, "the receiver answered 500", 500, now=NOON)
    ping = hooks.ping(hook.id, {}, now=NOON)
    assert [one.id for one in hooks.outbox.claim_due(now=after(seconds=1), limit=4)] == [ping], "a test does not wait"
    (again,) = hooks.outbox.claim_due(now=after(seconds=5), limit=4)
    hooks.outbox.mark_sent(again, 204, now=after(seconds=6))
    (_, log) = hooks.list_deliveries(hook.id, limit=9)
    assert (log.id, log.state, log.attempts, log.status) == (delivery.id, "delivered", 2, 204)
    assert len(hooks.list_idle()) == 1
    assert hooks.remove(hook.id) and not hooks.remove(hook.id)


def test_counts_added_up(mill: Mill) -> None:
    stored(mill, 3)
    mill.ledger.links.add(links(2, site="https://other.example", source=None), now=mill.now)
    (row,) = mill.ledger.counters.sum(["outcome"], since=NOON.date())
    assert (row.outcome, row.n, row.source) == ("stored", 3, None)
    assert [(row.day, row.source, row.kind) for row in mill.ledger.counters.sum(["kind", "day", "source"])] == [
        (NOON.date(), "paper", "page")
    ]
    assert mill.ledger.counters.sum(["outcome"], until=(NOON - timedelta(days=1)).date()) == []
    assert mill.ledger.counters.sum(["outcome"], source="other") == []


def test_the_web_process_has_the_clock_of_its_database(engine: Engine, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    here = datetime.now(UTC)
    there = here + timedelta(days=2)
    monkeypatch.setattr(clock, "read_clock", lambda _: there)
    now = build_context(engine, str(tmp_path)).now()
    assert abs(now - (here if engine.dialect.name == "sqlite" else there)) < timedelta(hours=1)
