"""Webhooks with a real receiver: signed, retried, in order; and never a connection into a private network."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from api_examples import read_blocks
from receiver import Receiver, canary, receiver
from rows import Mill, good
from site_of_tests import RunningApp, stock
from standardwebhooks.webhooks import Webhook

from newsmill.network.address_guard import Guard
from newsmill.notifications.channels.http_post import DeliveryError, build_headers, post
from newsmill.notifications.loop import SenderLoop
from newsmill.notifications.webhooks import WebhookSender
from newsmill.storage.ledger.source_changes import SourceChanges
from newsmill.storage.outbox import RETRY_DELAYS_SECONDS
from newsmill.storage.webhooks import WebhookEvent, Webhooks
from newsmill.web.config import WebConfig
from newsmill.web.senders import write_changes

API = "/api/v1"
NETS = ("127.0.0.2/32",)  # the receiver's; 127.0.0.1 stays forbidden


@dataclass
class SenderHarness:
    """A webhook sender whose clock the test sets."""

    web: RunningApp
    sender: WebhookSender
    ahead: timedelta = timedelta()

    def round(self) -> int:
        return SenderLoop([self.sender], self.sender.context.now).run_round()


@pytest.fixture
def context(make_web: Callable[..., RunningApp]) -> SenderHarness:
    web = make_web(WebConfig(sends_webhooks=False, allow_nets=NETS))
    made = SenderHarness(web, None)  # type: ignore[arg-type]
    clock = web.context.now

    def now() -> datetime:
        return clock() + made.ahead

    made.sender = WebhookSender(replace(web.context, now=now), NETS, write_changes)
    return made


@pytest.fixture
def inbox() -> Iterator[Receiver]:
    with receiver() as made:
        yield made


def test_documents_are_sent_once_in_order_and_signed(context: SenderHarness, inbox: Receiver) -> None:
    admin = context.web.program("admin")
    stock(context.web, 1)  # before the webhook exists: not sent
    hook = admin.post(f"{API}/webhooks", json={"url": inbox.url}).json()
    made = stock(context.web, 60, ago=-1)
    context.ahead = timedelta(seconds=30)
    while context.round():
        pass
    messages = [json.loads(body) for _, body in inbox.got]
    assert [len(message["data"]["documents"]) for message in messages] == [50, 10]
    assert [document["id"] for message in messages for document in message["data"]["documents"]] == [document.id for document in made]
    assert "text" not in messages[0]["data"]["documents"][0]
    for headers, body in inbox.got:
        assert Webhook(hook["secret"]).verify(body, headers) == json.loads(body)
    sent = admin.get(f"{API}/webhooks/{hook['id']}/deliveries").json()["items"]
    assert {one["state"] for one in sent} == {"delivered"}
    first = admin.get(f"{API}/webhooks/{hook['id']}/deliveries", params={"limit": 1}).json()
    rest = admin.get(f"{API}/webhooks/{hook['id']}/deliveries", params={"cursor": first["next"]}).json()
    assert ([*first["items"], *rest["items"]], rest["next"]) == (sent, None), "page by page it is the same list"
    assert "secret" not in admin.get(f"{API}/webhooks").json()["items"][0], "it is shown once"


def test_a_web_hook_with_a_query_gets_what_matches(context: SenderHarness, inbox: Receiver) -> None:
    admin = context.web.program("admin")
    assert "only excludes" in admin.post(f"{API}/webhooks", json={"url": inbox.url, "query": "-ferry"}).json()["detail"]
    hook = admin.post(f"{API}/webhooks", json={"url": inbox.url, "query": "title:ferry"}).json()
    stock(context.web, 60, ago=-1)
    made = stock(context.web, 2, ago=-2, title="The ferry")
    stock(context.web, 5, ago=-3)
    context.ahead = timedelta(seconds=30)
    while context.round():
        pass
    ((_, body),) = inbox.got
    assert [document["id"] for document in json.loads(body)["data"]["documents"]] == [document.id for document in made]
    assert context.round() == 0 and admin.get(f"{API}/webhooks/{hook['id']}").json()["seen_at"] > hook["seen_at"]


def test_removed_documents_are_sent_too(context: SenderHarness, inbox: Receiver) -> None:
    """Also to a web hook with a query: whether they matched is not known any more."""
    admin = context.web.program("admin")
    made = stock(context.web, 2)
    for hook in ({}, {"query": "title:ferry"}, {"source": "paper"}):
        assert admin.post(f"{API}/webhooks", json={"url": inbox.url, **hook}).status_code == 201
    SourceChanges(context.web.context.engine).remove("paper", now=context.web.context.now())
    context.ahead = timedelta(seconds=30)
    while context.round():
        pass
    messages = [json.loads(body)["data"] for _, body in inbox.got]
    assert [message["documents"] for message in messages] == [[], [], []]
    assert [{one["id"] for one in message["removed"]} for message in messages] == 3 * [{document.id for document in made}]


def test_a_receiver_that_is_down_gets_it_later_and_nothing_piles_up(context: SenderHarness, inbox: Receiver) -> None:
    admin = context.web.program("admin")
    refused = admin.post(f"{API}/webhooks", json={"url": inbox.url, "source": "paper"})
    assert (refused.status_code, "'paper' does not exist" in refused.json()["detail"]) == (422, True)
    assert admin.post(f"{API}/sources", json={"name": "paper", "homepage": "https://paper.example/"}).status_code == 201
    hook = admin.post(f"{API}/webhooks", json={"url": inbox.url, "source": "paper"}).json()
    stock(context.web, 3, ago=-1)
    context.ahead = timedelta(seconds=30)
    inbox.statuses = [500, 302, 503]
    for wait in RETRY_DELAYS_SECONDS[:3]:
        assert context.round() == 1
        assert context.round() == 0, "not before its time"
        stock(context.web, 1, ago=-context.ahead.total_seconds())
        context.ahead += timedelta(seconds=wait)
    assert context.round() == 1
    assert len({headers["webhook-id"] for headers, _ in inbox.got}) == 1, "a receiver knows the same message by its id"
    assert [path for path in inbox.got if "elsewhere" in str(path)] == [], "no redirect is followed"
    (sent,) = admin.get(f"{API}/webhooks/{hook['id']}/deliveries").json()["items"]
    assert (sent["state"], sent["attempts"]) == ("delivered", 4)
    assert context.round() == 1
    assert len(json.loads(inbox.got[-1][1])["data"]["documents"]) == 3, "what came meanwhile, in one message"


def test_after_the_last_try_it_has_failed_and_can_be_sent_again(context: SenderHarness, inbox: Receiver) -> None:
    admin = context.web.program("admin")
    hook = admin.post(f"{API}/webhooks", json={"url": inbox.url}).json()
    delivery = admin.post(f"{API}/webhooks/{hook['id']}/ping").json()["delivery"]
    inbox.statuses = [500] * 8
    for wait in (1, *RETRY_DELAYS_SECONDS):
        context.ahead += timedelta(seconds=wait)
        assert context.round() == 1
    (sent,) = admin.get(f"{API}/webhooks/{hook['id']}/deliveries").json()["items"]
    assert (sent["state"], sent["attempts"], sent["status"], sent["detail"]) == ("failed", 8, 500, "the receiver answered 500")
    assert admin.post(f"{API}/webhooks/deliveries/{delivery}/retry").status_code == 202
    assert context.round() == 1
    assert admin.get(f"{API}/webhooks/{hook['id']}/deliveries").json()["items"][0]["state"] == "delivered"


def test_a_pending_delivery_of_a_disabled_hook_waits_until_it_is_enabled(context: SenderHarness, inbox: Receiver) -> None:
    admin = context.web.program("admin")
    hook = admin.post(f"{API}/webhooks", json={"url": inbox.url}).json()
    url = f"{API}/webhooks/{hook['id']}"
    stock(context.web, 1, ago=-1)
    context.ahead = timedelta(seconds=30)
    inbox.statuses = [500]
    assert context.round() == 1
    assert admin.post(f"{url}/disable").json()["enabled"] is False
    assert admin.post(f"{url}/ping").status_code == 202
    stock(context.web, 1, ago=-31)
    context.ahead += timedelta(days=2)
    assert context.round() == 0 and len(inbox.got) == 1
    (ping, waiting) = sorted(admin.get(f"{url}/deliveries").json()["items"], key=lambda one: one["attempts"])
    assert [(one["state"], one["attempts"]) for one in (ping, waiting)] == [("due", 0), ("due", 1)]
    assert admin.post(f"{url}/enable").json()["enabled"] is True
    while context.round():
        pass
    messages = [json.loads(body) for _, body in inbox.got]
    assert inbox.got[0][0]["webhook-id"] == waiting["id"]
    assert sorted(message["type"] for message in messages[1:]) == ["documents.stored", "documents.stored", "ping"]
    assert {one["state"] for one in admin.get(f"{url}/deliveries").json()["items"]} == {"delivered"}


def test_a_receiver_that_answers_gone_is_disabled(context: SenderHarness, inbox: Receiver) -> None:
    admin = context.web.program("admin")
    hook = admin.post(f"{API}/webhooks", json={"url": inbox.url}).json()
    admin.post(f"{API}/webhooks/{hook['id']}/ping")
    inbox.statuses = [410]
    context.ahead = timedelta(seconds=1)
    assert context.round() == 1
    assert admin.get(f"{API}/webhooks/{hook['id']}").json()["enabled"] is False
    stock(context.web, 1, ago=-1)
    context.ahead = timedelta(minutes=1)
    assert context.round() == 0
    assert admin.post(f"{API}/webhooks/{hook['id']}/enable").json()["enabled"] is True
    assert context.round() == 1, "it goes on where it stopped"
    assert admin.delete(f"{API}/webhooks/{hook['id']}").status_code == 204
    assert admin.get(f"{API}/webhooks/{hook['id']}").status_code == 404


def test_a_submission_sends_its_webhook_when_all_urls_have_an_outcome(make_web: Callable[..., RunningApp], inbox: Receiver) -> None:
    web = make_web(WebConfig(allow_nets=NETS))  # with the thread that runs in production
    body = {"urls": ["https://paper.example/new", "no URL"], "webhook": inbox.url}
    accepted = web.program("write").post(f"{API}/urls", json=body).json()
    mill = Mill(web.context.ledger, now=web.context.now())
    mill.lease()
    mill.store(*(good(claim) for claim in mill.claim(mill.save())))
    deadline = time.monotonic() + 30
    while not inbox.got:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    message = json.loads(inbox.got[0][1])
    assert message["type"] == "submission.done"
    assert message["data"] == {"submission": accepted["id"], "urls": 2, "outcomes": {"stored": 1, "bad_url": 1}}
    assert accepted["webhook_secret"].startswith("whsec_")


def test_open_submissions_do_not_hide_a_finished_one(context: SenderHarness, inbox: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("newsmill.storage.webhooks", "newsmill.notifications.webhooks"):
        monkeypatch.setattr(f"{module}.MAX_UNNOTIFIED", 2)
    writer = context.web.program("write")
    for url in ("https://paper.example/a", "https://paper.example/b", "https://paper.example/c", "no URL"):
        assert writer.post(f"{API}/urls", json={"urls": [url], "webhook": inbox.url}).status_code == 202
    for _ in range(3):
        context.round()
    assert [json.loads(body)["data"]["outcomes"] for _, body in inbox.got] == [{"bad_url": 1}]


# ---- what a stranger could make us connect to ------------------------------------------------------------------------------------

# Spellings of IP addresses that a browser accepts, and a name whose name server lies ("evil.example").
SPELLINGS = (
    *("127.0.0.1", "127.1", "127.0.1", "2130706433", "0x7f000001", "0x7f.0.0.1", "0177.0.0.1", "0", "0.0.0.0", "127.66.6.6"),
    *("[::1]", "[::]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[::127.0.0.1]", "[64:ff9b::7f00:1]", "[2002:7f00:1::]", "[fe80::1]"),
    *("[fc00::1]", "[ff02::1]", "①②⑦.⓪.⓪.①", "127。0。0。1", "localhost", "localhost.", "LOCALHOST", "127.0.0.1.nip.io"),
    *("169.254.169.254", "[fd00:ec2::254]", "10.0.0.1", "172.16.0.1", "192.168.1.1", "100.64.0.1", "192.0.0.192", "198.18.0.1"),
    *("224.0.0.1", "255.255.255.255", "evil.example", "user:secret@127.0.0.1"),
)


def payloads(shared: Path, port: int) -> list[str]:
    """URLs of attacks: every spelling of an internal host, two on ports of every kind; the collected payloads; other schemes."""
    collected = [
        json.loads(line)["payload"]
        for line in (shared / "cases" / "injection" / "cases.jsonl").read_text(encoding="utf-8").splitlines()
        if '"ssrf"' in line
    ]
    made = [f"http://{host}:{port}/" for host in SPELLINGS]
    made += [f"http://{host}:{at}/" for host in ("127.0.0.1", "evil.example") for at in (80, 6379)]
    schemes = [f"{scheme}://127.0.0.1:{port}/x" for scheme in ("gopher", "file", "ftp", "dict", "data", "ldap", "jar:http")]
    return [*made, *schemes, f"//127.0.0.1:{port}/", f"http:127.0.0.1:{port}", f"http:\\\\127.0.0.1:{port}\\", *collected]


@pytest.fixture
def inward(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every name resolves to 127.0.0.1, as with an attacker's name server; the system parses spellings of IP addresses."""
    real = socket.getaddrinfo

    def lookup(host: str, port: int, *rest: Any) -> Any:
        try:
            return real(host, port, rest[0] if rest else 0, socket.SOCK_STREAM, 0, socket.AI_NUMERICHOST)
        except OSError:
            return real("127.0.0.1", port, 0, socket.SOCK_STREAM)

    monkeypatch.setattr(socket, "getaddrinfo", lookup)


def test_no_payload_connects_from_here(make_web: Callable[..., RunningApp], shared: Path, inward: None) -> None:
    web = make_web(WebConfig(sends_webhooks=False, rate=1_000_000))
    admin, hooks, now = web.program("admin"), Webhooks(web.context.engine), web.context.now()
    with canary() as canary_server:
        tried = payloads(shared, canary_server.port)
        for number, url in enumerate(tried):
            key = ("homepage", "feeds", "sitemaps", "sections")[number % 4]
            answer = admin.post(f"{API}/sources", json={"name": f"s{number}", key: url if key == "homepage" else [url]})
            assert answer.status_code in (201, 409, 422), answer.text  # 409: two spellings of one URL
            assert admin.post(f"{API}/urls", json={"urls": [url]}).status_code in (202, 422)
            assert admin.post(f"{API}/webhooks", json={"url": url}).status_code in (201, 422)
            hook = hooks.add(url, WebhookEvent.PING, now=now)  # past the first judge, as a name that was public then
            hooks.ping(hook.id, {}, now=now)
        sender, sent = WebhookSender(replace(web.context, now=lambda: now), (), write_changes), 0  # time stands still: no second try
        sender.max_concurrent = 64  # type: ignore[misc]
        while done := SenderLoop([sender], lambda: now).run_round():
            sent += done
        assert sent == len(tried) > 100
        states = {one.state: one.detail for hook in hooks.list_all() for one in hooks.list_deliveries(hook.id, limit=9)}
        assert set(states) == {"due"}, "none was delivered"
    assert canary_server.connects == 0


def test_what_is_plainly_inside_is_refused_at_once(make_web: Callable[..., RunningApp]) -> None:
    web = make_web(WebConfig(sends_webhooks=False))
    admin = web.program("admin")
    for host in SPELLINGS:
        if host in ("evil.example", "127.0.0.1.nip.io"):  # only a connection can tell
            continue
        for path, body in (
            ("sources", {"homepage": f"http://{host}/"}),
            ("urls", {"urls": [f"http://{host}/"]}),
            ("webhooks", {"url": f"http://{host}/"}),
        ):
            answer = admin.post(f"{API}/{path}", json=body)
            assert answer.status_code == 422, (path, host, answer.text)


def test_a_name_that_changes_its_ip_address_never_leads_inside(inbox: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    port = int(inbox.url.split(":")[2].split("/")[0])
    with canary("127.0.0.1", port) as canary_server:
        turn = 0

        def rebinding(host: str, port: int, *rest: Any) -> Any:
            nonlocal turn
            turn += 1
            answers = [["127.0.0.2"], ["127.0.0.1"], ["127.0.0.1", "127.0.0.2"]][turn % 3]
            return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in answers]

        monkeypatch.setattr(socket, "getaddrinfo", rebinding)
        refused = 0
        for _ in range(30):
            try:
                assert post(f"http://rebind.example:{port}/", b"{}", {}, Guard.from_networks(NETS)) == 200
            except DeliveryError as error:
                assert "private network" in str(error)
                refused += 1
    assert (canary_server.connects, refused, len(inbox.got)) == (0, 10, 20)


def test_a_receiver_that_drips_or_talks_nonsense_holds_nobody_up() -> None:
    def answering(parts: list[bytes], wait: float) -> str | int:
        with socket.create_server(("127.0.0.2", 0)) as listener, ThreadPoolExecutor(1) as pool:

            def serve() -> None:
                peer, _ = listener.accept()
                with peer:
                    for part in parts:
                        try:
                            peer.sendall(part)
                        except OSError:
                            return
                        time.sleep(wait)

            pool.submit(serve)
            try:
                return post(f"http://127.0.0.2:{listener.getsockname()[1]}/", b"{}", {}, Guard.from_networks(NETS), seconds=1.0)
            except DeliveryError as error:
                return str(error)

    assert answering([b"HTTP/1.1 204 No Content\r\n\r\n"], 0) == 204
    assert answering([b"H"] * 30, 0.1) == "no answer within 1 s"
    assert answering([b"x" * 20_000], 0) == "the answer was not HTTP"
    assert answering([b"SSH-2.0-OpenSSH_9.9\r\n"], 0) == "the answer was not HTTP"
    assert answering([], 0) in ("the answer was not HTTP", "the connection failed (ConnectionResetError)")


@pytest.mark.parametrize("url", ["https://me:hush@example.org/hook", "https://example.org/hook?password=hush"])
def test_a_hook_with_a_password_in_its_url_is_refused(web: RunningApp, url: str) -> None:
    admin = web.program("admin")
    answer = admin.post(f"{API}/webhooks", json={"url": url})
    assert answer.status_code == 422 and "hush" not in answer.text
    assert "hush" not in admin.get(f"{API}/webhooks").text
    answer = web.program("write").post(f"{API}/urls", json={"urls": ["https://paper.example/"], "webhook": url})
    assert answer.status_code == 422 and "hush" not in answer.text


def test_the_python_that_verifies_a_message(web: RunningApp) -> None:
    (code,) = read_blocks("python")
    names: dict[str, Any] = {}
    exec(code, names)
    secret, body = "whsec_c2VjcmV0", b'{"type":"ping"}'
    headers = build_headers("msg_1", secret, body, web.context.now())
    assert names["verified"](headers, body, secret)
    assert not names["verified"](headers, body + b" ", secret)
    assert not names["verified"](headers | {"webhook-timestamp": "1"}, body, secret)
