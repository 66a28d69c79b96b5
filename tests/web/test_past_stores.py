"""`as_of` over the API: searches, counts and downloads of the documents as they were."""

from __future__ import annotations

import asyncio
import multiprocessing
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from site_of_tests import RunningApp, stock
from starlette.exceptions import HTTPException
from starlette.testclient import TestClient

from newsmill import settings
from newsmill.context import past_folder
from newsmill.exceptions import ServiceError
from newsmill.search.indexer import index_pending
from newsmill.storage.frozen_stores import format_time
from newsmill.storage.ledger.takedowns import Takedowns
from newsmill.web import past_stores
from newsmill.web.config import WebConfig

API = "/api/v1"


def ask(client: TestClient, path: str, **parameters: Any) -> Any:
    """The answer, once the store of that time is made."""
    deadline = time.monotonic() + 60
    while (answer := client.get(f"{API}{path}", params=parameters)).status_code == 503:
        assert answer.headers["retry-after"] == "5" and "is being made" in answer.json()["detail"]
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert answer.status_code == 200, answer.text
    return answer


def index(web: RunningApp) -> None:
    while index_pending(web.context.engine):
        pass


@pytest.mark.slow
def test_a_past_time_is_searched_counted_and_downloaded(
    make_web: Callable[..., RunningApp], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    web = make_web(WebConfig(), settings.load({"NEWSMILL_DATA": str(tmp_path / "0")}))
    client = web.program("admin")
    before = stock(web, 3, ago=7200)
    at = format_time(web.context.now() - timedelta(hours=1))
    later = stock(web, 2, ago=60)
    index(web)
    monkeypatch.setattr(past_stores, "MAX_WAIT_SECONDS", 0.05)
    ids = {document.id for document in before}
    assert {hit["id"] for hit in ask(client, "/search", q="harbour", as_of=at).json()["items"]} == ids
    assert len(client.get(f"{API}/search", params={"q": "harbour", "fold": "false"}).json()["items"]) == len(before) + len(later)
    assert {one["id"] for one in ask(client, "/search/documents", q="harbour", as_of=at).json()["items"]} == ids
    assert ask(client, "/search/by-source", as_of=at, fold="true").json()["items"] == [{"source": "paper", "n": 3}]
    assert ask(client, "/search/facets", q="harbour", as_of=at, fold="false").status_code == 200
    assert ask(client, "/search/timeline", q="harbour", as_of=at).status_code == 200
    exported = ask(client, "/search/export", q="harbour", format="jsonl", as_of=at).text
    assert {document.id for document in before if document.id in exported} == ids and not any(one.id in exported for one in later)
    # what is taken down leaves the past at once
    Takedowns(web.context.engine).add([before[0].url], "a letter", now=web.context.now())
    assert {hit["id"] for hit in ask(client, "/search", q="harbour", as_of=at).json()["items"]} == ids - {before[0].id}
    # a file without its mark, as after a kill, is indexed again
    for mark in past_folder(web.context.settings).glob("*-indexed"):
        mark.unlink()
    assert ask(client, "/search/export", q="harbour", format="jsonl", as_of=at).text.count("\n") == 2


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"as_of": "yesterday"}, "is not a time"),
        ({"as_of": "2026-11-30T12:00"}, "has no time zone"),
        ({"as_of": "2190-01-01"}, "is in the future"),
        ({"as_of": "1999-01-01"}, "the store had no document"),
        ({"as_of": "2026-11-30", "q": "after:7d"}, "depends on today"),
        ({"as_of": "2026-11-30", "include": "marks"}, "include=marks does not work with as_of"),
    ],
)
def test_a_time_that_cannot_be_read_is_one_sentence(make_web: Callable[..., RunningApp], parameters: dict[str, str], message: str) -> None:
    web = make_web(WebConfig())
    stock(web)
    answer = web.program("read").get(f"{API}/search/documents", params=parameters)
    assert answer.status_code == 422 and message in answer.json()["detail"], answer.text


def sleep(*_: object) -> None:
    """In place of `_make`: a store that takes long."""
    time.sleep(600)


def fail(*_: object) -> None:
    raise ServiceError("no space is left")


def test_the_process_ends_with_its_work_and_with_the_server(make_web: Callable[..., RunningApp], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(past_stores, "MAX_WAIT_SECONDS", 0.1)
    context, stores = make_web(WebConfig()).context, past_stores.PastStores()
    at = context.now()

    def list_children() -> list[int]:
        return [child.pid for child in multiprocessing.active_children() if child.pid and "Spawn" in type(child).__name__]

    before = list_children()
    monkeypatch.setattr(past_stores, "_make", sleep)
    for caller, time_of_another in (("ann", at), ("bea", at - timedelta(days=1))):
        with pytest.raises(HTTPException, match="503"):
            asyncio.run(stores.prepare(context, time_of_another, caller))
    with pytest.raises(HTTPException, match="429"):
        asyncio.run(stores.prepare(context, at - timedelta(days=2), "ann"))
    assert len(list_children()) == len(before) + 1, "one at a time"
    stores.close()
    assert list_children() == before

    stores = past_stores.PastStores()
    monkeypatch.setattr(past_stores, "_make", fail)
    monkeypatch.setattr(past_stores, "MAX_WAIT_SECONDS", 0.0)
    with pytest.raises(HTTPException, match="503"):
        asyncio.run(stores.prepare(context, at, "ann"))
    deadline = time.monotonic() + 30
    while list_children() != before:  # although nobody waits for it
        assert time.monotonic() < deadline
        time.sleep(0.05)
    monkeypatch.setattr(past_stores, "MAX_WAIT_SECONDS", 30.0)
    with pytest.raises(ServiceError, match="no space"):
        asyncio.run(stores.prepare(context, at, "ann"))
    stores.close()
