"""The change stream over a real connection: every document once, in order, through interruptions."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from itertools import islice
from typing import Any

import httpx2 as httpx
import pytest
from site_of_tests import RunningApp, served, stock

import newsmill
from newsmill.exceptions import ServiceError
from newsmill.storage.changes import ChangePosition, Changes
from newsmill.storage.ledger.source_changes import SourceChanges
from newsmill.storage.tokens import Tokens
from newsmill.web.api import change_stream
from newsmill.web.config import WebConfig

PATH = "/api/v1/stream"


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(change_stream, "POLL_SECONDS", 0.05)
    monkeypatch.setattr(change_stream, "KEEPALIVE_SECONDS", 0.2)
    monkeypatch.setattr(change_stream, "ACCESS_SECONDS", 0.2)


@contextmanager
def listening(url: str, token: str, headers: dict[str, str] | None = None, **params: Any) -> Iterator[Iterator[dict[str, str]]]:
    """The events of a stream, as an EventSource reads them."""
    with httpx.stream(
        "GET", url + PATH, params=params, headers={"authorization": f"Bearer {token}"} | (headers or {}), timeout=20
    ) as answer:
        assert answer.status_code == 200, answer.read()
        assert answer.headers["content-type"].startswith("text/event-stream")
        assert "content-encoding" not in answer.headers
        yield events(answer)


def events(answer: Any) -> Iterator[dict[str, str]]:
    fields: dict[str, str] = {}
    for line in answer.iter_lines():
        if not line:
            yield fields
            fields = {}
        else:
            name, _, value = line.partition(":")
            fields[name] = value.removeprefix(" ")


def documents(source: Iterator[dict[str, str]], count: int) -> list[dict[str, str]]:
    found: list[dict[str, str]] = []
    while len(found) < count:
        event = next(source)
        if event.get("event") == "document":
            found.append(event)
    return found


def test_a_client_goes_on_where_it_was(web: RunningApp) -> None:
    made = [document.id for document in stock(web, 90)]
    since = web.reader.get("/api/v1/documents", params={"order": "stored"}).json()["items"][0]["stored_at"]
    with served(web) as url:
        with listening(url, web.reader_token, since=since) as source:
            first = documents(source, 70)
        with listening(url, web.reader_token, {"last-event-id": first[-1]["id"]}) as source:
            rest = documents(source, 20)
            more = [document.id for document in stock(web, 2, ago=30)]
            late = documents(source, 2)
        with listening(url, web.reader_token, cursor=rest[9]["id"], full=True) as source:
            whole = json.loads(documents(source, 1)[0]["data"])
    assert [json.loads(event["data"])["id"] for event in first + rest + late] == made + more
    assert whole["id"] == made[80] and whole["text"]
    assert "text" not in json.loads(first[0]["data"])


def test_every_reader_learns_of_removed_documents(web: RunningApp) -> None:
    made = {document.id for document in stock(web, 3)}
    listed = web.reader.get("/api/v1/documents", params={"order": "stored", "limit": 2}).json()
    SourceChanges(web.context.engine).remove("paper", now=web.context.now())
    rest = web.reader.get("/api/v1/documents", params={"order": "stored", "cursor": listed["last"]}).json()
    assert (rest["items"], {one["id"] for one in rest["removed"]}, rest["next"]) == ([], made, None)
    assert web.reader.get("/api/v1/documents", params={"order": "stored", "cursor": rest["last"]}).json()["removed"] == []
    with served(web) as url:
        with listening(url, web.reader_token, cursor=listed["last"]) as source:
            removed = [event for event in islice(source, 4) if event.get("event") == "removed"]
        with listening(url, web.reader_token, cursor=removed[-1]["id"]) as source:
            assert [next(source), next(source)][1] == {"": "caught-up"}
        with newsmill.open(url, token=web.reader_token) as corpus, newsmill.open(web.context.engine.url.database) as local:
            for one in (corpus, local):
                assert list(one.stream(listed["last"], wait=0)) == []
                changes = list(one.changes(listed["last"], wait=0))
                assert [change.cursor for change in changes] == [event["id"] for event in removed]
                assert {change.id for change in changes if isinstance(change, newsmill.Removal)} == made
    assert json.loads(removed[0]["data"]) == {**rest["removed"][0], "source": "paper"}


def test_a_cursor_of_another_store_is_refused(web: RunningApp) -> None:
    """It would be silent for ever, or leave what only the other store has."""
    stock(web, 1)
    ahead = ChangePosition(web.context.now() + timedelta(days=1)).cursor
    for path, params in ((PATH, {"cursor": ahead}), ("/api/v1/documents", {"cursor": ahead, "order": "stored"})):
        answer = web.reader.get(path, params=params)
        assert answer.status_code == 422 and "start again without it" in answer.json()["detail"]
    tomorrow = (web.context.now() + timedelta(days=1)).isoformat()
    with served(web) as url, listening(url, web.reader_token, since=tomorrow) as source:
        start = next(source)["id"]
    assert ChangePosition.of(start) <= Changes(web.context.engine).end(), "a client resumes with it"


def test_only_what_comes_from_now_on_and_only_of_one_source(web: RunningApp) -> None:
    stock(web, 3)
    with served(web) as url, listening(url, web.reader_token, source="other") as source:
        first_event = next(source)
        assert set(first_event) == {"retry", "id", ""}
        assert next(source) == {"": "caught-up"}
        stock(web, 1, ago=6)
        assert next(source) == {"": "keep-alive"}


def test_a_stream_ends_with_its_token(web: RunningApp) -> None:
    token = web.program("read").headers["authorization"].removeprefix("Bearer ")
    with served(web) as url, listening(url, token) as source:
        next(source)
        web.context.tokens.revoke("read program")
        assert [event for event in source if event.get("event")] == [], "the stream ends"


def test_a_busy_stream_ends_with_its_token(web: RunningApp, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(change_stream, "KEEPALIVE_SECONDS", 60)  # documents come more often
    token = web.program("read").headers["authorization"].removeprefix("Bearer ")
    since = (web.context.now() - timedelta(hours=1)).isoformat()
    with served(web) as url, listening(url, token, since=since) as source:
        next(source)
        web.context.tokens.revoke("read program")
        for number in range(30):
            stock(web, 1, ago=1000 - number)
            if next((event for event in source if event.get("event")), None) is None:
                break
        assert number < 29, "the stream ends"


def test_a_stream_outlasts_an_outage_of_the_database(web: RunningApp, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise ServiceError("the database is away")

    token = web.program("read").headers["authorization"].removeprefix("Bearer ")
    with served(web) as url, listening(url, token) as source:
        next(source)
        with monkeypatch.context() as outage:
            outage.setattr(Tokens, "check", fail)
            outage.setattr(Changes, "after", fail)
            assert [next(source) for _ in range(3)][1:] == 2 * [{"": "keep-alive"}]
        stock(web, 1)
        assert documents(source, 1)


def test_streams_have_a_limit_and_give_their_place_back(make_web: Callable[..., RunningApp]) -> None:
    web = make_web(WebConfig(max_streams=1, sends_webhooks=False))
    with served(web) as url:
        with listening(url, web.reader_token) as source:
            next(source)
            refused = web.reader.get(PATH)
            assert (refused.status_code, refused.headers["retry-after"]) == (503, "30")
        gone = threading.Event()
        for _ in range(100):
            if not web.app.state.streams:
                break
            gone.wait(0.05)
        with listening(url, web.reader_token) as source:
            next(source)
