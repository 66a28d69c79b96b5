"""WebSub from the hub's side: the callback of the web process, and real processes from the push to the stored document."""

from __future__ import annotations

import hashlib
import hmac
import logging
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from email.utils import formatdate
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from fake_site import farm
from site_of_tests import RunningApp
from small_hub import call, small_hub
from starlette.testclient import TestClient

from newsmill import settings as configuration
from newsmill.context import open_context
from newsmill.model import Source
from newsmill.notifications.loop import SenderLoop
from newsmill.notifications.websub import WebSubSubscriber
from newsmill.storage import websub
from newsmill.storage.database import reading
from newsmill.storage.publishers import Publishers
from newsmill.storage.websub import SubscriptionState
from newsmill.storage.websub_requests import WebSubRequests
from newsmill.web.config import WEBSUB_PATH, WebConfig

FEED = "https://paper.example/feed"
PUBLIC = "https://news.example.org"
NETS = ("127.0.0.2/32",)


@pytest.fixture
def door(make_web: Callable[..., RunningApp]) -> RunningApp:
    web = make_web(WebConfig(sends_webhooks=False))
    web.context.ledger.sources.put(Source("paper", feeds=(FEED,)), now=web.context.now())
    return web


def announce(web: RunningApp, hub: str) -> int:
    """Record that the feed announces a hub; the listing's id."""
    trace = web.context.ledger.traces.get(FEED)
    assert trace is not None
    web.context.ledger.pushes.record_hub(trace.id, hub, FEED, new_pages=0, now=web.context.now())
    return trace.id


def make_round(web: RunningApp, nets: tuple[str, ...] = NETS, public_url: str = PUBLIC) -> None:
    SenderLoop([WebSubSubscriber(web.context, public_url, WEBSUB_PATH, nets)], web.context.now).run_round()


def find(web: RunningApp, listing: int) -> websub.Subscription:
    with reading(web.context.engine) as conn:
        found = websub.find_of_listing(conn, listing)
    assert found is not None
    return found


def test_requests_to_hubs_are_guarded_and_their_failures_recorded(door: RunningApp) -> None:
    with small_hub("127.0.0.2") as hub:
        listing = announce(door, hub.url)
        make_round(door, nets=())
        assert "private network" in str(find(door, listing).detail)
        assert hub.forms == []
        publishers, host = Publishers(door.context.engine), urlsplit(hub.url).netloc
        publishers.give_order(host, is_stopped=True, delay=None, now=door.context.now())
        announce(door, hub.url.replace("/hub", "/hub?stopped"))
        make_round(door)
        assert (find(door, listing).detail, hub.forms) == ("the owner of the hub has stopped the crawler", [])
        publishers.give_order(host, is_stopped=False, delay=None, now=door.context.now())
        announce(door, hub.url.replace("/hub", "/hub?again"))
        hub.status = 503
        make_round(door)
        (form,) = hub.forms
        one = find(door, listing)
        assert one.detail == "the receiver answered 503"
        assert form == {
            "hub.callback": f"{PUBLIC}/websub/{one.callback_id}",
            "hub.mode": "subscribe",
            "hub.topic": FEED,
            "hub.lease_seconds": "864000",
            "hub.secret": one.secret,
        }


def test_the_callback_answers_only_what_is_awaited(door: RunningApp, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    listing = announce(door, "https://hub.example/")
    requests, now = WebSubRequests(door.context.engine), door.context.now()
    (request,) = requests.claim_due(PUBLIC, limit=1, now=now)
    one = find(door, listing)
    assert request.id not in one.callback_id and one.callback_id not in request.id, "the ID of a request stands in the log"
    path = f"/websub/{one.callback_id}"
    right = {"hub.mode": "subscribe", "hub.topic": FEED, "hub.challenge": "<script>", "hub.lease_seconds": "86400"}
    wrong = [{"hub.topic": "https://x.example/"}, {"hub.mode": "unsubscribe"}, {"hub.mode": "x"}, {"hub.challenge": "x" * 2000}]
    for change in wrong:
        assert door.stranger.get(path, params=right | change).status_code == 404
    assert door.stranger.get("/websub/unknown", params=right).status_code == 404
    assert [door.stranger.post(unknown, content=b"feed").status_code for unknown in (path, "/websub/unknown")] == [
        410,
        410,
    ]  # not verified yet
    answer = door.stranger.get(path, params=right)
    assert (answer.status_code, answer.text, answer.headers["content-type"]) == (200, "<script>", "text/plain; charset=utf-8")
    assert answer.headers["x-content-type-options"] == "nosniff"

    def push(body: bytes, signature: str | None = None) -> int:
        signature = signature or f"sha512={hmac.new(one.secret.encode(), body, hashlib.sha512).hexdigest()}"
        return door.stranger.post(path, content=body, headers={"X-Hub-Signature": signature}).status_code

    assert (push(b"feed"), push(b"feed"), push(b"other", "sha1=00")) == (202, 202, 202)
    assert door.stranger.post(path, content=b"unsigned").status_code == 202
    counted = find(door, listing)
    assert (counted.pushes, counted.repeated, counted.forged) == (1, 1, 2)
    assert push(b"x" * (4 << 20)) == 202
    assert push(b"x" * (4 << 20) + b"x") == 413
    assert door.stranger.get(path, params={"hub.mode": "denied", "hub.topic": "https://x.example/"}).status_code == 404
    assert door.stranger.get(path, params={"hub.mode": "denied", "hub.topic": FEED, "hub.reason": "moved"}).status_code == 204
    assert (find(door, listing).state, find(door, listing).detail) == (SubscriptionState.DENIED, "moved")
    assert push(b"late") == 410
    assert one.secret not in caplog.text
    assert "POST /websub/ 202" in caplog.text


def test_the_public_host_name_reaches_only_public_paths(make_web: Callable[..., RunningApp]) -> None:
    web = make_web(WebConfig(sends_webhooks=False, public_url=PUBLIC))
    outside = TestClient(web.app, base_url=PUBLIC, raise_server_exceptions=False)
    assert [outside.get(path).status_code for path in ("/", "/api/v1/documents", "/websub", "/websub/x")] == [421, 421, 421, 404]
    assert web.stranger.get("/api/v1/documents").status_code == 401


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def test_from_a_push_to_a_stored_document(tmp_path: Path) -> None:
    """With the processes of `newsmill up`: the feed is requested once, to find its hub."""
    port = free_port()
    environ = {
        "NEWSMILL_DATA": str(tmp_path / "data"),
        "NEWSMILL_CONFIG": str(tmp_path),
        "NEWSMILL_ALLOW_NETS": "127.0.0.0/24",
        "NEWSMILL_PROCESSES": "1",
        "NEWSMILL_WEB": f"127.0.0.1:{port}",
        "NEWSMILL_PUBLIC_URL": f"http://127.0.0.1:{port}",
    }
    with farm() as sites, small_hub() as hub:
        site = sites.site()
        topic = site.url("/feed.xml")
        old, pushed, polled = site.article("/old", "Old"), site.article("/pushed", "Pushed"), site.article("/polled", "Polled")
        site.feed("/feed.xml", old, headers={"Link": f'<{hub.url}>; rel="hub", <{topic}>; rel="self"'})
        (tmp_path / "sources.toml").write_text(f'[sources.paper]\nfeeds = ["{topic}"]\nevery = "1h"\npoliteness = {{ delay = 0.1 }}\n')
        log = (tmp_path / "up.log").open("w")
        up = subprocess.Popen([sys.executable, "-m", "newsmill.cli.main", "up"], env={**os.environ, **environ}, stdout=log, stderr=log)
        try:
            wait_for(lambda: topic in hub.verified or up.poll() is not None, tmp_path)
            with open_context(configuration.load(environ)) as store:
                wait_for(lambda: stored(store) == {old}, tmp_path)
                assert hub.push(topic, feed_of(polled), secret="forged") == 202
                assert hub.push(topic, feed_of(pushed)) == 202
                wait_for(lambda: stored(store) == {old, pushed}, tmp_path)
                assert len(site.hits("/feed.xml")) == 1
                assert site.hits("/polled") == []
                assert hub.push(topic, feed_of(pushed)) == 202  # a replay
                assert hub.push(topic, b"this is not a feed") == 202
                site.feed("/feed.xml", old, polled)  # and announces no hub any more
                wait_for(lambda: stored(store) == {old, pushed, polled}, tmp_path)
                assert len(site.hits("/feed.xml")) == 2
                wait_for(lambda: not hub.verified, tmp_path)  # unsubscribed
                assert call(hub.forms[0]["hub.callback"], b"late")[0] == 410
        finally:
            up.send_signal(signal.SIGINT)
            up.wait(60)
            log.close()
        assert hub.forms[0]["hub.secret"] not in logs(tmp_path)


def feed_of(link: str) -> bytes:
    item = f"<item><title>News</title><link>{link}</link><pubDate>{formatdate()}</pubDate></item>"
    return f'<?xml version="1.0"?><rss version="2.0"><channel><title>F</title>{item}</channel></rss>'.encode()


def stored(store: object) -> set[str]:
    return {document.url for document in store.documents.iterate()}  # type: ignore[attr-defined]


def logs(folder: Path) -> str:
    return "".join(path.read_text() for path in [*folder.glob("*.log"), *folder.glob("data/logs/*.log")])


def wait_for(condition: Callable[[], object], folder: Path, seconds: float = 120.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, logs(folder)
        time.sleep(0.2)
