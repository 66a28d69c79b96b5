"""No request waits for the database in the event loop: a database that does not answer would stop every other request with it."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import datetime

import pytest
from site_of_tests import RunningApp, stock
from sqlalchemy import event

from newsmill.model import Source
from newsmill.storage.database import reading
from newsmill.storage.websub import find_of_listing
from newsmill.storage.websub_requests import WebSubRequests

FEED, PUBLIC = "https://paper.example/feed", "https://news.example.org"


class LoopWatch:
    """Notes what uses the database, or its clock, in the thread of the event loop."""

    def __init__(self, web: RunningApp) -> None:
        self.seen: list[str] = []
        self._now = web.context.now
        event.listen(web.context.engine, "before_cursor_execute", lambda *call: self.note(call[2]))
        web.app.state.context = replace(web.context, now=self.now)

    def now(self) -> datetime:
        """On Postgres, the clock is that of the server."""
        self.note("the clock")
        return self._now()

    def note(self, what: str) -> None:
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            return
        self.seen.append(what[:100])


def make_subscription(web: RunningApp) -> str:
    """The path of a callback whose hub has verified it."""
    context = web.context
    context.ledger.sources.put(Source("wire", feeds=(FEED,)), now=context.now())
    trace, requests = context.ledger.traces.get(FEED), WebSubRequests(context.engine)
    assert trace is not None
    context.ledger.pushes.record_hub(trace.id, "https://hub.example/", FEED, new_pages=0, now=context.now())
    requests.claim_due(PUBLIC, limit=1, now=context.now())
    with reading(context.engine) as conn:
        found = find_of_listing(conn, trace.id)
    assert found is not None and requests.verify(found.callback_id, "subscribe", FEED, 60_000, now=context.now())
    return f"/websub/{found.callback_id}"


@pytest.mark.parametrize("accept", ["text/html", "application/json"])
def test_no_request_uses_the_database_in_the_event_loop(web: RunningApp, accept: str) -> None:
    (document,) = stock(web)
    callback, browser, program = make_subscription(web), web.browser(), web.program("admin")
    watch, headers = LoopWatch(web), {"accept": accept}
    pages = ("/", "/search?q=harbour", f"/documents/{document.id}", "/sources", "/sources/paper", "/ops", "/login", "/feeds/atom")
    failing = ("/nothing", "/documents/nothing", "/sources/nothing", "/search?cursor=x", "/documents/%00", "/login?key=x")
    statuses = {path: browser.get(path, headers=headers).status_code for path in (*pages, *failing)}
    assert [path for path in pages if statuses[path] != 200] == [] and statuses["/nothing"] == 404
    browser.post("/sources/paper", data={"csrf": "x"}, headers=headers)
    for path in ("/documents", f"/documents/{document.id}", "/documents/x", "/search?q=harbour", "/explain?url=x", "/health", "/live"):
        program.get(f"/api/v1{path}", headers=headers)
    program.post("/api/v1/pages", content=b"{}", headers={"content-type": "application/json"})
    assert web.stranger.get("/api/v1/documents", headers=headers).status_code == 401
    assert web.stranger.post(callback, content=b"a feed").status_code == 202
    assert watch.seen == []
