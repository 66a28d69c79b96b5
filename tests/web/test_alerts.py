"""Alerts with real receivers: mail, web hooks, services; sent once, retried, and never into a private network."""

from __future__ import annotations

import json
import os
import random
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from mail_server import Mailbox, mail_server
from receiver import Receiver, canary, receiver
from rows import insert_pages
from site_of_tests import RunningApp, stock
from standardwebhooks.webhooks import Webhook
from starlette.testclient import TestClient
from story_world import make_event, settle

from newsmill import settings
from newsmill.exceptions import ConfigError
from newsmill.network.address_guard import Guard
from newsmill.notifications.alerts import AlertSender, TestSender
from newsmill.notifications.channels import mail
from newsmill.notifications.channels.apprise_child import AppriseMessage, run_apprise
from newsmill.notifications.channels.apprise_rules import find_refusal
from newsmill.notifications.channels.targets import check_target
from newsmill.notifications.loop import SenderLoop
from newsmill.search.indexer import index_pending
from newsmill.storage.alerts import MIN_INTERVAL, Alerts, AlertState, Channel
from newsmill.storage.changes import Changes
from newsmill.storage.ledger.source_changes import SourceChanges
from newsmill.storage.outbox import LEASE
from newsmill.storage.saved_searches import ANYONE, SavedSearches
from newsmill.web.alert_messages import AlertMessages
from newsmill.web.config import WebConfig

API = "/api/v1"
HOSTILE = "Harbour <b>opens</b>\r\nBcc: evil@example.org"


@dataclass
class AlertHarness:
    """The application with an alert sender whose clock the test sets."""

    web: RunningApp
    sender: AlertSender
    ahead: timedelta = timedelta(seconds=30)

    def round(self) -> int:
        return SenderLoop([self.sender], self.web.context.now).run_round()

    def stock(self, count: int = 1, **fields: Any) -> None:
        """Documents stored just before the clock of the sender."""
        stock(self.web, count, ago=-self.ahead.total_seconds() + 5, **{"fetched_at": self.web.context.now(), **fields})


@pytest.fixture
def make_harness(make_web: Callable[..., RunningApp]) -> Callable[..., AlertHarness]:
    """`make_harness(NEWSMILL_SMTP_URL=…)`: with these settings of the operator."""

    def make(**environ: str) -> AlertHarness:
        web = make_web(WebConfig(sends_webhooks=False))
        made = AlertHarness(web, None)  # type: ignore[arg-type]
        clock = web.context.now
        given = settings.load({"NEWSMILL_ALLOW_NETS": "127.0.0.2/32", **environ})
        web.context = replace(web.context, settings=given, now=lambda: clock() + made.ahead)
        web.app.state.context, web.app.state.test_sender = web.context, TestSender(web.context, AlertMessages(web.context))
        made.sender = AlertSender(web.context, AlertMessages(web.context, "https://news.example.org/"))
        return made

    return make


@pytest.fixture
def mailbox() -> Iterator[Mailbox]:
    with mail_server() as box:
        yield box


@pytest.fixture
def inbox() -> Iterator[Receiver]:
    with receiver() as made:
        yield made


def save(client: TestClient, query: str = "harbour", **alert: Any) -> tuple[str, dict[str, Any]]:
    """A saved search with an alert: its ID, and the alert."""
    search = client.post(f"{API}/searches", json={"name": f"Search {query}", "query": query})
    assert search.status_code == 201, search.text
    answer = client.post(f"{API}/searches/{search.json()['id']}/alerts", json=alert)
    assert answer.status_code == 201, answer.text
    return search.json()["id"], answer.json()


# ---- channels ------------------------------------------------------------------------------------------------------------------


def test_mail_has_text_and_html_and_no_header_of_a_page(make_harness: Callable[..., AlertHarness], mailbox: Mailbox) -> None:
    harness = make_harness(NEWSMILL_SMTP_URL=mailbox.url, NEWSMILL_MAIL_FROM="Newsmill <news@example.org>")
    client = harness.web.program("admin")
    _, alert = save(client, channel="email", target="ann@example.org", language="de")
    assert harness.round() == 0
    harness.stock(60)
    harness.stock(1, title=HOSTILE)
    harness.stock(3, title="Town hall", text="Nothing of it.")
    assert (harness.round(), harness.round()) == (1, 0)
    ((sender, recipients, message),) = mailbox.got
    assert "<news@example.org>" in sender and recipients == ["rcpt TO:<ann@example.org>"]
    assert (message["Subject"], message["Bcc"], message["Auto-Submitted"]) == ("Search harbour: 61 neue Dokumente", None, "auto-generated")
    assert message["Message-ID"].startswith("<msg_") and message["Message-ID"].endswith("@example.org>")
    text, html = (part.get_content().replace("\r\n", "\n") for part in message.iter_parts())
    assert "Harbour <b>opens</b> Bcc: evil@example.org\npaper · " in text and "Und 11 weitere Dokumente." in text
    assert "&lt;b&gt;opens" in html and "<b>" not in html and html.count("<li>") == 50
    assert f"https://news.example.org/searches/{alert['search']}" in text
    assert len(mailbox.logins) == 1
    harness.stock(1)
    assert harness.round() == 0, "a person gets no message every two seconds"
    harness.ahead += MIN_INTERVAL
    assert harness.round() == 1 and mailbox.got[-1][2]["Subject"] == "Search harbour: 1 neues Dokument"


def test_a_story_that_enough_sources_carry_is_told_once(
    make_harness: Callable[..., AlertHarness], mailbox: Mailbox, inbox: Receiver
) -> None:
    harness = make_harness(NEWSMILL_SMTP_URL=mailbox.url, NEWSMILL_MAIL_FROM="news@example.org")
    client, engine, now = harness.web.program("admin"), harness.web.context.engine, harness.web.context.now()
    search = client.post(f"{API}/searches", json={"name": "Wide", "story_sources": 3}).json()
    assert (search["query"], search["story_sources"]) == ("", 3)
    assert client.post(f"{API}/searches", json={"name": "One", "story_sources": 1}).status_code == 422
    for alert in ({"channel": "email", "target": "ann@example.org", "language": "de"}, {"channel": "webhook", "target": inbox.url}):
        assert client.post(f"{API}/searches/{search['id']}/alerts", json=alert).status_code == 201
    found = [
        replace(one, published_at=now - timedelta(minutes=9 - number), first_seen_at=now - timedelta(minutes=9 - number))
        for number, one in enumerate(make_event(random.Random(3), 1, 4))
    ]
    for part in (found[:2], found[2:3], found[3:]):
        insert_pages(engine, *part)
        settle(engine)
        index_pending(engine)
        harness.round()
    ((_, _, message),), ((_, body),) = mailbox.got, inbox.got
    story = client.get(f"{API}/stories").json()["items"][0]
    assert message["Subject"] == "Wide: 1 neues Thema"
    text, html = (part.get_content() for part in message.iter_parts())
    for part in (text, html):
        assert "mindestens 3 Quellen" in part and "3 Quellen · site0" in part and f"https://news.example.org/stories/{story['id']}" in part
    data = json.loads(body)["data"]
    assert data["stories"] == [{"id": story["id"], "title": story["title"], "sources": 3, "documents": 3}]
    assert [document["id"] for document in data["documents"]] == [found[0].id]
    feeds = [client.get(f"/feeds/json?search={search['id']}{more}").text for more in ("", "&source=site0", "&source=none", "&q=title:none")]
    assert [found[0].title in feed for feed in feeds] == [True, True, False, False]


@pytest.mark.parametrize(
    "name", ["=?utf-8?q?a=0d=0aBcc:_evil@example.org=0d=0a=0d=0abody?=", "x =?utf-16?b?CgBCAGMAYwA6ACAAZQA=?= =?utf-8?q?=00?= y"]
)
def test_no_encoded_word_in_the_name_of_a_search_adds_a_header(
    make_harness: Callable[..., AlertHarness], mailbox: Mailbox, name: str
) -> None:
    client = make_harness(NEWSMILL_SMTP_URL=mailbox.url, NEWSMILL_MAIL_FROM="news@example.org").web.program("admin")
    search = client.post(f"{API}/searches", json={"name": name, "query": "harbour"}).json()
    alert = client.post(f"{API}/searches/{search['id']}/alerts", json={"channel": "email", "target": "ann@example.org"}).json()
    assert client.post(f"{API}/alerts/{alert['id']}/test").json() == {"problem": None}
    ((_, _, message),) = mailbox.got
    assert (message["Bcc"], message["Auto-Submitted"], message.is_multipart()) == (None, "auto-generated", True)
    assert message["Subject"].split() == f"{name.replace('=?', '= ?')}: test of an alert".split()


def test_mail_that_is_refused_is_tried_again_with_the_same_id(make_harness: Callable[..., AlertHarness], mailbox: Mailbox) -> None:
    harness = make_harness(NEWSMILL_SMTP_URL=mailbox.url, NEWSMILL_MAIL_FROM="news@example.org", NEWSMILL_MAIL_TO="example.org")
    client = harness.web.program("write")
    _, alert = save(client, channel="email", target="ann@example.org")
    assert client.post(f"{API}/alerts/{alert['id']}/test").json() == {"problem": None}
    assert mailbox.got.pop()[2]["Subject"] == "Search harbour: test of an alert"
    mailbox.refusals = ["450 try\tlater"]
    harness.stock()
    assert harness.round() == 1
    failing = client.get(f"{API}/alerts").json()["items"][0]
    assert (failing["attempts"], failing["detail"]) == (1, "the mail server refused the recipient: 450 try later")
    harness.ahead += timedelta(seconds=5)
    assert harness.round() == 1
    assert client.get(f"{API}/alerts/{alert['id']}").json()["failing_since"] is None
    assert len(mailbox.got) == 1
    for target in (
        "ann@example.net",
        "ann@example.org, b@example.org",
        "ann@example.org\r\nBcc: b@example.org",
        "Ann <ann@example.org>",
        "@",
    ):
        answer = client.post(f"{API}/searches/{alert['search']}/alerts", json={"channel": "email", "target": target})
        assert answer.status_code == 422, target


@pytest.mark.parametrize("recipients", ["", "example.org"])
@pytest.mark.parametrize("scope", ["read", "write", "admin"])
def test_only_an_administrator_chooses_a_receiver_that_no_setting_lists(
    make_harness: Callable[..., AlertHarness], mailbox: Mailbox, scope: str, recipients: str
) -> None:
    harness = make_harness(NEWSMILL_SMTP_URL=mailbox.url, NEWSMILL_MAIL_FROM="news@example.org", NEWSMILL_MAIL_TO=recipients)
    client = harness.web.program(scope)
    search = client.post(f"{API}/searches", json={"name": "Harbours", "query": "harbour"}).json()["id"]
    targets = {"email": "ann@example.org", "webhook": "https://reader.example.org/", "apprise": "ntfys://unlisted.example.org/x"}
    answers = {
        channel: client.post(f"{API}/searches/{search}/alerts", json={"channel": channel, "target": target}).status_code
        for channel, target in targets.items()
    }
    may_mail = scope == "admin" or (scope == "write" and recipients)
    assert answers == {
        "email": 201 if may_mail else 403,
        "webhook": 201 if scope == "admin" else 403,
        "apprise": 403 if scope == "read" else 422,
    }
    submitted = client.post(f"{API}/urls", json={"urls": ["https://paper.example/"], "webhook": "https://reader.example.org/"})
    assert submitted.status_code == (403 if scope == "read" else 202)


def test_a_browser_offers_the_channels_of_its_scope(make_harness: Callable[..., AlertHarness]) -> None:
    harness = make_harness()
    found = {}
    for scope in ("write", "admin"):
        browser = harness.web.browser(scope)
        search = SavedSearches(harness.web.context.engine).add(ANYONE, scope, "harbour", now=harness.web.context.now())
        page = browser.get(f"/searches/{search.id}").text
        found[scope] = f'action="/searches/{search.id}/alerts"' in page
        form = {"channel": "webhook", "target": "https://reader.example.org/", "csrf": "x"}
        assert browser.post(f"/searches/{search.id}/alerts", data=form).status_code == 403
    assert found == {"write": False, "admin": True}


def test_a_bug_in_a_message_is_logged(
    make_harness: Callable[..., AlertHarness], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The thread does not wait for the messages that it starts, so nobody else sees the error."""
    harness = make_harness()
    save(harness.web.program("admin"), channel="webhook", target="https://reader.example.org/")
    harness.stock()
    monkeypatch.setattr("newsmill.notifications.alerts.send_message", lambda *_: 1 / 0)
    assert (harness.round(), harness.round()) == (1, 0)
    assert "ZeroDivisionError" in caplog.text


def test_a_password_is_not_sent_without_encryption(
    make_harness: Callable[..., AlertHarness], mailbox: Mailbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    harness = make_harness(NEWSMILL_SMTP_URL=mailbox.url, NEWSMILL_MAIL_FROM="news@example.org")
    client = harness.web.program("admin")
    _, alert = save(client, channel="email", target="ann@example.org")
    monkeypatch.setattr(mail, "is_this_machine", lambda host: False)  # the server is elsewhere, and offers no STARTTLS
    assert "offers no encryption" in client.post(f"{API}/alerts/{alert['id']}/test").json()["problem"]
    assert mailbox.logins == mailbox.got == []


def test_a_web_hook_is_signed_and_gets_every_document_once(make_harness: Callable[..., AlertHarness], inbox: Receiver) -> None:
    harness = make_harness()
    client = harness.web.program("admin")
    search, alert = save(client, channel="webhook", target=inbox.url)
    _, dead = save(client, "title:harbour", channel="webhook", target="http://127.0.0.2:9/dead")
    assert "secret" not in client.get(f"{API}/alerts").json()["items"][0]
    harness.stock(60)
    inbox.statuses = [500]
    while harness.round():
        harness.ahead += timedelta(seconds=6)
    ids = [headers["webhook-id"] for headers, _ in inbox.got]
    assert ids[0] == ids[1] != ids[2] and len(ids) == 3
    messages = []
    for headers, body in inbox.got[1:]:
        at = str(int(datetime.now(UTC).timestamp()))  # the clock of the test is ahead of the library's
        resigned = headers | {
            "webhook-timestamp": at,
            "webhook-signature": Webhook(alert["secret"]).sign(headers["webhook-id"], datetime.fromtimestamp(int(at), UTC), body.decode()),
        }
        messages.append(Webhook(alert["secret"]).verify(body, resigned))
        signed_at = datetime.fromtimestamp(int(headers["webhook-timestamp"]), UTC)
        assert headers["webhook-signature"] == Webhook(alert["secret"]).sign(headers["webhook-id"], signed_at, body.decode())
    assert [len(message["data"]["documents"]) for message in messages] == [50, 10]
    assert messages[0]["type"] == "search.matched" and messages[0]["data"]["search"]["id"] == search
    told = [document["id"] for message in messages for document in message["data"]["documents"]]
    matched = client.get(f"{API}/searches/{search}/documents", params={"limit": 200}).json()["items"]
    assert told == [match["id"] for match in reversed(matched)] and len(set(told)) == 60
    assert client.get(f"{API}/alerts/{dead['id']}").json()["detail"] == "the connection failed (ConnectionRefusedError)"
    inbox.statuses = [410]
    harness.stock()
    harness.round()
    assert client.get(f"{API}/alerts/{alert['id']}").json()["state"] == "dead"
    assert client.post(f"{API}/alerts/{alert['id']}/resume").json()["state"] == "active"
    assert harness.round() == 1 and inbox.got[-1][0]["webhook-id"] == inbox.got[-2][0]["webhook-id"]
    page = client.get(f"{API}/searches/{search}/documents", params={"limit": 60}).json()
    assert [
        item["number"] for item in client.get(f"{API}/searches/{search}/documents", params={"cursor": page["next"]}).json()["items"]
    ] == [1]


def test_a_daily_digest_over_the_boundary(make_harness: Callable[..., AlertHarness], inbox: Receiver) -> None:
    harness = make_harness()
    client = harness.web.program("admin")
    _, alert = save(client, channel="webhook", target=inbox.url, schedule="daily", hour=8, zone="Europe/Berlin")
    due_at = datetime.fromisoformat(alert["due_at"])
    harness.stock(60)
    assert harness.round() == 0
    harness.ahead += due_at - harness.web.context.now() - timedelta(seconds=3)
    assert harness.round() == 0
    harness.ahead += timedelta(seconds=4)
    while harness.round():
        pass
    assert sum(len(json.loads(body)["data"]["documents"]) for _, body in inbox.got) == 60, "in messages of 50"
    harness.stock(1)
    assert harness.round() == 0
    harness.ahead += timedelta(days=1)
    assert harness.round() == 1 and len(json.loads(inbox.got[-1][1])["data"]["documents"]) == 1


SENDER = """
import sys
from newsmill import settings
from newsmill.notifications.loop import SenderLoop
from newsmill.context import build_context
from newsmill.storage import database
from newsmill.notifications.alerts import AlertSender
from newsmill.web.alert_messages import AlertMessages
context = build_context(database.connect(sys.argv[1]), sys.argv[2], settings=settings.load({"NEWSMILL_ALLOW_NETS": "127.0.0.2"}))
SenderLoop([AlertSender(context, AlertMessages(context))], context.now).run_round()
"""


def test_a_sender_that_is_killed_while_it_sends_loses_nothing(make_harness: Callable[..., AlertHarness], tmp_path: Path) -> None:
    harness = make_harness()
    harness.ahead = timedelta()
    client = harness.web.program("admin")
    with socket.create_server(("127.0.0.2", 0)) as listener:
        target = f"http://127.0.0.2:{listener.getsockname()[1]}/hook"
        _, alert = save(client, channel="webhook", target=target)
        stock(harness.web, 2, ago=-1, fetched_at=harness.web.context.now())
        child = subprocess.Popen(
            [sys.executable, "-c", SENDER, harness.web.context.engine.url.render_as_string(), str(tmp_path)], env=os.environ
        )
        listener.settimeout(60)
        peer, _ = listener.accept()
        with peer:
            first = peer.recv(65_536)
            child.send_signal(signal.SIGKILL)
            child.wait()
    assert harness.round() == 0, "leased by the one that died"
    harness.ahead = LEASE + timedelta(seconds=5)
    with receiver(port=int(target.split(":")[2].partition("/")[0])) as inbox:
        assert (harness.round(), harness.round()) == (1, 0)
    ((headers, body),) = inbox.got
    assert headers["webhook-id"].encode() in first, "the receiver knows the message by its ID"
    assert len(json.loads(body)["data"]["documents"]) == 2
    current = Alerts(harness.web.context.engine).get(alert["id"])
    assert current is not None and (current.notified, current.state) == (2, AlertState.ACTIVE)


def test_an_old_document_whose_source_is_renamed_is_no_news(make_harness: Callable[..., AlertHarness]) -> None:
    harness = make_harness()
    context = harness.web.context
    harness.stock(2, fetched_at=context.now() - timedelta(days=3), first_seen_at=context.now() - timedelta(days=3))
    client = harness.web.program("admin")
    search, _ = save(client, channel="webhook", target="http://127.0.0.2/hook")
    source = context.ledger.sources.get("paper")
    assert source is not None
    SourceChanges(context.engine).rename(source, "gazette", now=context.now())
    while index_pending(context.engine):
        pass
    harness.sender.match(Changes(context.engine).end(), context.now())
    assert client.get(f"{API}/searches/{search}/documents").json()["items"] == []


# ---- services ------------------------------------------------------------------------------------------------------------------


def test_a_service_of_apprise_that_the_operator_allows(make_harness: Callable[..., AlertHarness], inbox: Receiver) -> None:
    service = inbox.url.replace("http://", "json://")
    harness = make_harness(NEWSMILL_APPRISE=f"tgram {service.removesuffix('/hook')}")
    client = harness.web.program("admin")
    _, alert = save(client, channel="apprise", target=service)
    assert alert["target"] == "json://…"
    harness.stock(12)
    assert harness.round() == 1
    ((_, body),) = inbox.got
    message = json.loads(body)
    assert message["title"] == "Search harbour: 12 new documents" and "And 2 more documents." in message["message"]
    inbox.statuses = [500]
    assert "error=500" in client.post(f"{API}/alerts/{alert['id']}/test").json()["problem"]


def test_a_service_leads_nowhere_else() -> None:
    listed = ("tgram", "json://good.example:8080", "ntfys://ntfy.example")
    for url in (
        *(
            "json://127.0.0.1/x",
            "json://good.example/x",
            "json://good.example:80@127.0.0.1/",
            "ntfy://ntfy.example/t",
            "mailto://a:b@c.example",
        ),
        *(
            "tgram://1:a/2?template=/etc/passwd",
            "tgram://1:a/2?verify=no",
            "json://good.example:8080/?+X=1",
            "json://good.example:8080\\@x",
        ),
        *("tgram://1:a/2, json://127.0.0.1/", "tgram://1:a/2#x", "file:///etc/passwd", "https://discord.com/api/webhooks/1/a", "tgram", ""),
    ):
        assert find_refusal(url, listed), url
    for url in ("tgram://1:a/2?silent=yes", "json://user:pass@GOOD.example:8080/a/b", "ntfys://ntfy.example/topic?priority=high"):
        assert find_refusal(url, listed) is None, url
    with canary() as canary_server:
        inside = f"json://127.0.0.1:{canary_server.port}"
        problem = run_apprise(AppriseMessage(f"{inside}/x", ["json"], [], "title", "body"))
        assert problem is not None and "needs a host" in problem
        assert canary_server.connects == 0


LIMITED = """
import socket, subprocess, sys
from newsmill.network.address_guard import Guard
from newsmill.notifications.channels.apprise_child import limit_connections
limit_connections(Guard(), None)
port = int(sys.argv[1])
for attempt in (
    lambda: socket.create_connection(("127.0.0.1", port)),
    lambda: socket.create_connection(("localhost", port)),
    lambda: socket.socket().connect(("127.0.0.1", port)),
    lambda: socket.socket(type=socket.SOCK_DGRAM).sendto(b"x", ("127.0.0.1", port)),
    lambda: socket.socket(socket.AF_UNIX).connect("/run/x"),
    lambda: subprocess.run(["true"]),
):
    try:
        attempt()
    except OSError:
        continue
    print("reached")
"""


def test_the_process_of_apprise_connects_to_nothing_private() -> None:
    with canary() as canary_server:
        done = subprocess.run([sys.executable, "-c", LIMITED, str(canary_server.port)], capture_output=True, text=True, check=True)
        assert done.stdout == "" and canary_server.connects == 0


def test_what_the_operator_has_not_set_up_is_refused() -> None:
    nothing = settings.load({})
    for channel, target, reason in (
        (Channel.EMAIL, "ann@example.org", "NEWSMILL_SMTP_URL"),
        (Channel.APPRISE, "tgram://1:a/2", "NEWSMILL_APPRISE"),
        (Channel.WEBHOOK, "http://127.0.0.1/", "not a public IP address"),
        (Channel.WEBHOOK, "https://a:b@example.org/", "without user"),
        (Channel.WEBHOOK, "", "expected 1 to"),
    ):
        with pytest.raises(ConfigError, match=reason):
            check_target(channel, target, nothing)
    for name, value in (
        ("NEWSMILL_SMTP_URL", "http://user:hush@example.org"),
        ("NEWSMILL_MAIL_FROM", "news@example.org, x@example.org"),
        ("NEWSMILL_APPRISE", "tgram://*"),
    ):
        with pytest.raises(ConfigError) as caught:
            settings.load({name: value})
        assert "hush" not in str(caught.value)


# ---- users and other doors -----------------------------------------------------------------------------------------------------


def test_each_user_sees_their_own(make_harness: Callable[..., AlertHarness], inbox: Receiver) -> None:
    web = make_harness().web
    anyone = web.reader.post(f"{API}/searches", json={"name": "Ferry", "query": "ferry"})
    assert anyone.status_code == 201 and anyone.json()["notes"] == []
    starred = web.reader.post(f"{API}/searches", json={"name": "Later", "query": "ferry is:starred"}).json()
    assert [note["kind"] for note in starred["notes"]] == ["marks"] and web.reader.delete(f"{API}/searches/{starred['id']}").is_success
    from_elsewhere = {"origin": "https://evil.example"}
    assert web.browser().post(f"{API}/searches", json={"name": "x", "query": "y"}, headers=from_elsewhere).status_code == 403
    alert = {"channel": "webhook", "target": inbox.url}
    assert web.reader.post(f"{API}/searches/{anyone.json()['id']}/alerts", json=alert).status_code == 403
    assert [item["name"] for item in web.browser().get(f"{API}/searches").json()["items"]] == ["Ferry"], "a session that a link opened"
    ann, bea = web.program("admin"), web.program("read")
    search, alert = save(ann, channel="webhook", target=inbox.url)
    assert bea.get(f"{API}/searches").json()["items"] == []
    for method, path in (
        *(
            ("GET", f"/searches/{search}"),
            ("PATCH", f"/searches/{search}"),
            ("DELETE", f"/searches/{search}"),
            ("GET", f"/alerts/{alert['id']}"),
        ),
        *(("GET", f"/searches/{search}/documents"), ("POST", f"/searches/{search}/looked")),
    ):
        assert bea.request(method, API + path, json={"name": "mine"}).status_code == 404, path
    assert bea.get(f"/feeds/atom?search={search}").status_code == 404
    assert bea.delete(f"{API}/alerts/{alert['id']}").status_code == 403
    stock(web, 1, ago=-1)
    feed = ann.get(f"/feeds/atom?search={search}")
    assert feed.status_code == 200 and "Newsmill: Search harbour" in feed.text and "urn:newsmill:" in feed.text
    assert ann.patch(f"{API}/searches/{search}", json={"name": "Ports"}).json()["name"] == "Ports"
    assert ann.post(f"{API}/searches", json={"name": "Ports", "query": "port"}).status_code == 422
    assert "only excludes" in ann.post(f"{API}/searches", json={"name": "Not", "query": "-port"}).json()["detail"]
    assert ann.delete(f"{API}/alerts/{alert['id']}").status_code == 204
    assert ann.delete(f"{API}/searches/{search}").status_code == 204
    assert SavedSearches(web.context.engine).list_all("write program") == []
    assert Guard.from_networks(map(str, web.context.settings.allow_nets)).find_refusal("127.0.0.2") is None
