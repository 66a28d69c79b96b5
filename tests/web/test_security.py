"""Access and headers: Host, size, security headers, tokens, sessions, forms, rate limits."""

from __future__ import annotations

import itertools
import re
import socket
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from datetime import datetime, timedelta
from functools import cache
from types import SimpleNamespace

import pytest
from fastapi import APIRouter, Depends, Request
from fastapi.routing import iter_route_contexts
from site_of_tests import BASE, COOKIE, HOST, RunningApp, served
from starlette.testclient import TestClient

from newsmill.context import QUEUE_DEPTH_SECONDS, QueueDepth
from newsmill.exceptions import ServiceError
from newsmill.storage.tokens import Scope, Token, TokenKind, Tokens
from newsmill.web import header_timeout
from newsmill.web.auth import require_scope
from newsmill.web.config import WebConfig
from newsmill.web.csrf import make_csrf_token, require_csrf
from newsmill.web.rate_limits import WINDOW_SECONDS, RequestCounter
from newsmill.web.server import create_app


@pytest.fixture
def web(make_web: Callable[..., RunningApp]) -> RunningApp:
    """With a few routes of a test's own."""
    made = make_web()
    add_test_routes(made)
    return made


def add_test_routes(web: RunningApp) -> None:
    web.app.router, web.app.middleware_stack = router_with_test_routes(), None  # the next request builds the stack anew


@cache
def router_with_test_routes() -> APIRouter:
    """The routes of the application, and those of these tests: another router than the one that all tests share."""
    app = create_app(SimpleNamespace())
    router = APIRouter()

    @router.get("/read", dependencies=[Depends(require_scope(Scope.READ))])
    def read(request: Request) -> str:
        return make_csrf_token(request)

    @router.post("/write", dependencies=[Depends(require_scope(Scope.WRITE)), Depends(require_csrf)])
    def write() -> str:
        return "written"

    @router.post("/api/write", dependencies=[Depends(require_scope(Scope.WRITE))])
    async def write_json(request: Request) -> int:
        return len(await request.body())

    @router.get("/bug")
    def bug() -> None:
        raise ZeroDivisionError("secret words")

    app.include_router(router)
    return app.router


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:8470", "127.0.0.1.evil.example", "", "a@127.0.0.1", "127.0.0.1:x", "10.0.0.1", "127.0.0.1/x"]
)
def test_a_name_that_is_not_ours_is_refused(web: RunningApp, host: str) -> None:
    answer = web.stranger.get("/api/v1/live", headers={"host": host})
    assert answer.status_code == 421
    assert answer.headers["content-type"] == "application/problem+json"


def test_names_that_are_ours(make_web: Callable[..., RunningApp]) -> None:
    config = WebConfig(host="0.0.0.0", url="https://news.example.org", hosts=("web",))
    for host in ("localhost", "127.0.0.1:8470", "[::1]:8470", "news.example.org", "NEWS.example.org:443", "web:8470", "192.168.1.5:8470"):
        assert config.is_own_host(host), host
    assert not config.is_own_host("example.org")
    assert not WebConfig().is_own_host("192.168.1.5")


def test_every_answer_has_the_security_headers(web: RunningApp) -> None:
    for path in ("/api/v1/live", "/nothing", "/bug", "/login"):
        headers = web.stranger.get(path).headers
        assert "script-src 'self'" in headers["content-security-policy"]
        assert "unsafe" not in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "same-origin"


def test_head_is_get_without_a_body(web: RunningApp) -> None:
    assert web.stranger.head("/api/v1/live").status_code == 200


def test_a_bug_shows_no_trace(web: RunningApp) -> None:
    answer = web.stranger.get("/bug")
    assert answer.status_code == 500
    assert answer.json()["detail"] == "internal error in Newsmill; the log has the traceback"
    assert "secret words" not in answer.text and "Traceback" not in answer.text


def test_a_body_that_is_too_large_is_refused_with_and_without_a_length(web: RunningApp) -> None:
    program = web.program("write")
    assert program.post("/api/write", content=b"x" * 1_000_000).json() == 1_000_000
    assert program.post("/api/write", content=b"x" * 3_000_000).status_code == 413
    answer = program.post("/api/write", content=(b"x" * 100_000 for _ in range(30)))
    assert answer.status_code == 413
    assert answer.json()["title"] == "Request Entity Too Large" or answer.json()["status"] == 413
    assert program.post("/api/write", headers={"content-length": "-1"}).status_code == 413


def test_reading_needs_a_token(web: RunningApp) -> None:
    assert [web.stranger.get("/read").status_code, web.stranger.post("/write").status_code] == [401, 401]
    assert "www-authenticate" in web.stranger.get("/read").headers
    assert web.program("read").get("/read").status_code == 200


def test_scopes(web: RunningApp) -> None:
    assert web.program("read").post("/api/write").status_code == 403
    assert web.program("write").post("/api/write").status_code == 200
    assert web.program("admin").post("/api/write").status_code == 200


@pytest.mark.parametrize(
    "header", ["Bearer", "Bearer ", "Bearer x", "Bearer nm_", "Bearer nm_a_b", "Basic bm06bm0=", "Bearer nm_é_ü", "nm"]
)
def test_an_invalid_token_is_refused(web: RunningApp, header: str) -> None:
    assert web.stranger.get("/read", headers={"authorization": header.encode()}).status_code == 401


def test_a_token_ends_when_it_is_revoked_or_old_and_is_kept_as_a_hash(web: RunningApp) -> None:
    tokens, now = web.context.tokens, web.context.now()
    secret = tokens.add("short", Scope.READ, now=now, life=timedelta(minutes=1))
    assert tokens.check(secret, now=now)
    assert not tokens.check(secret, now=now + timedelta(minutes=2))
    assert not tokens.check(secret[:-1] + ("a" if secret[-1] != "a" else "b"), now=now)
    with web.context.engine.connect() as conn:
        kept = str(conn.exec_driver_sql("SELECT * FROM tokens").all())
    assert secret not in kept and secret.rpartition("_")[2] not in kept
    session = tokens.add(
        "short", Scope.READ, now=now, kind=TokenKind.SESSION, life=timedelta(days=1), parent=tokens.list_valid(now=now)[0].id
    )
    assert tokens.revoke("short") == {TokenKind.TOKEN: 1, TokenKind.SESSION: 1}
    assert not tokens.check(secret, now=now)
    assert not tokens.check(session, now=now), "a session ends with the token it was opened with"


def test_the_operators_own_token(web: RunningApp) -> None:
    tokens, now = web.context.tokens, web.context.now()
    tokens.set_environment_token("a" * 24, now=now)
    program = web.client(authorization=f"Bearer {'a' * 24}")
    assert program.post("/api/write").status_code == 200
    browser = browser_at_session_host(web)
    assert browser.post("/login", data={"token": "a" * 24}).status_code == 303
    assert browser.get("/read").status_code == 200
    tokens.set_environment_token("a" * 24, now=now)
    assert browser.get("/read").status_code == 200, "the same again changes nothing"
    tokens.set_environment_token("b" * 24, now=now)
    assert (program.get("/read").status_code, browser.get("/read").status_code) == (401, 401)
    tokens.set_environment_token(None, now=now)
    assert program.get("/read").status_code == 401


def test_of_two_requests_with_one_link_one_gets_a_session(web: RunningApp, monkeypatch: pytest.MonkeyPatch) -> None:
    tokens = web.context.tokens
    key = tokens.add("link", Scope.ADMIN, now=web.context.now(), kind=TokenKind.LINK)
    check = Tokens.check

    def check_and_be_late(self: Tokens, presented: str, *, now: datetime) -> Token | None:
        found = check(self, presented, now=now)
        if found is not None and found.kind is TokenKind.LINK:
            assert self.end(found.id), "the other request uses the link up"
        return found

    monkeypatch.setattr(Tokens, "check", check_and_be_late)
    answer = browser_at_session_host(web).get(f"/login?key={key}")
    assert (answer.status_code, "set-cookie" in answer.headers) == (401, False)


def test_a_link_opens_one_session(web: RunningApp) -> None:
    link = web.context.tokens.add("link", Scope.ADMIN, now=web.context.now(), kind=TokenKind.LINK, life=timedelta(days=1))
    assert web.client(authorization=f"Bearer {link}").get("/read").status_code == 401, "a link is not a token"
    browser = browser_at_session_host(web)
    answer = browser.get("/login", params={"key": link, "next": "/read"})
    assert (answer.status_code, answer.headers["location"]) == (303, "/read")
    assert "HttpOnly" in answer.headers["set-cookie"] and "SameSite=lax" in answer.headers["set-cookie"]
    form = browser.get("/read").json()
    assert browser.post("/write", data={"csrf": form}).json() == "written"
    assert web.client().get("/login", params={"key": link}).status_code == 401, "it works once"
    assert browser.get("/login", params={"key": link, "next": "/read"}).headers["location"] == "/read", "who is signed in goes on"
    assert browser.post("/logout", data={"csrf": form}).status_code == 303
    assert browser.post("/write", data={"csrf": form}).status_code == 401


def test_sign_out_everywhere(web: RunningApp) -> None:
    here, elsewhere = (opened_by_link(web) for _ in range(2))
    form = here.get("/read").json()
    assert here.post("/logout", data={"csrf": form, "everywhere": "true"}).status_code == 303
    assert [browser.post("/write", data={"csrf": form}).status_code for browser in (here, elsewhere)] == [401, 401]


def opened_by_link(web: RunningApp) -> TestClient:
    link = web.context.tokens.add("link", Scope.ADMIN, now=web.context.now(), kind=TokenKind.LINK, life=timedelta(days=1))
    browser = browser_at_session_host(web)
    assert browser.get("/login", params={"key": link}).status_code == 303
    return browser


def browser_at_session_host(web: RunningApp) -> TestClient:
    """A client that calls the server by the host name that its sessions have."""
    host = web.app.state.config.session_host(HOST, "")
    return TestClient(web.app, base_url=f"http://{host}", raise_server_exceptions=False, follow_redirects=False)


def test_the_host_of_sessions_is_told_to_nobody_without_a_key(web: RunningApp) -> None:
    config = web.app.state.config
    host = config.session_host(HOST, "")
    for path in ("/", "/login", "/login?key=nm_x_y", "/login?next=/", "/nothing"):
        answer = web.stranger.get(path, headers={"accept": "text/html"})
        assert host not in answer.text and host not in str(answer.headers), path
    token = web.program("read").headers["authorization"].removeprefix("Bearer ")
    found = web.context.tokens.check(token, now=web.context.now())
    assert found is not None
    for client in (web.stranger, browser_at_session_host(web)):
        answer = client.post("/login", data={"token": token, "next": "/a"})
        location, own = answer.headers["location"], config.session_host(HOST, found.id)
        assert answer.status_code == 303 and location.startswith(f"http://{own}/login?key=nm_") and own != host
        assert "set-cookie" not in answer.headers, "another reader's host is not the owner's"
        assert "form-action 'self' http://*.localhost:*" in client.get("/login").headers["content-security-policy"]
    browser = TestClient(web.app, base_url=f"http://{own}", follow_redirects=False)
    assert browser.get(location).headers["location"] == "/a"
    assert [browser.get("/read").status_code, browser.post("/write").status_code] == [200, 403], "the scope of the token"


@pytest.mark.parametrize(
    ("config", "host", "expected"),
    [
        (WebConfig(local_key=b"x"), "127.0.0.1:8470", "newsmill-f27e6527d6b8408430a6.localhost:8470"),
        (WebConfig(local_key=b"x"), "LOCALHOST", "newsmill-f27e6527d6b8408430a6.localhost"),
        (WebConfig(local_key=b"x"), "[::1]:9", "newsmill-f27e6527d6b8408430a6.localhost:9"),
        (WebConfig(local_key=b"x"), "other.localhost:9", "newsmill-f27e6527d6b8408430a6.localhost:9"),
        (WebConfig(host="0.0.0.0"), "192.0.2.1:8470", "192.0.2.1:8470"),
        (WebConfig(url="http://127.0.0.1:8470"), "127.0.0.1:8470", "127.0.0.1:8470"),
        (WebConfig(url="https://News.example"), "News.example", "news.example"),
    ],
)
def test_the_host_of_a_session(config: WebConfig, host: str, expected: str) -> None:
    assert config.session_host(host, "") == expected == config.session_host(expected, "")


@pytest.mark.parametrize("target", ["//[", "//evil.example", "http://evil.example/", "/\\evil.example", "/a\nb", "javascript:alert(1)"])
def test_signing_in_leads_nowhere_else(web: RunningApp, target: str) -> None:
    link = web.context.tokens.add("link", Scope.READ, now=web.context.now(), kind=TokenKind.LINK, life=timedelta(days=1))
    answer = browser_at_session_host(web).get("/login", params={"key": link, "next": target})
    assert (answer.status_code, answer.headers["location"]) == (303, "/")
    assert web.client().get("/login", params={"next": target}).status_code == 200


def test_signing_in_with_a_token(make_web: Callable[..., RunningApp]) -> None:
    web = make_web(WebConfig(url="https://news.example.org"))
    add_test_routes(web)
    secret = web.context.tokens.add("ann", Scope.READ, now=web.context.now())
    browser = web.client()
    assert browser.get("/read").status_code == 401
    assert browser.post("/login", data={"token": "nm_no_token"}).status_code == 401
    answer = browser.post("/login", data={"token": secret, "next": "//evil.example"})
    assert (answer.status_code, answer.headers["location"]) == (303, "/")
    assert "Secure" in answer.headers["set-cookie"]
    short = web.context.tokens.add("short", Scope.READ, now=web.context.now(), life=timedelta(minutes=1))
    session = web.client().post("/login", data={"token": short}).cookies[COOKIE]
    now = web.context.now()
    assert web.context.tokens.check(session, now=now, audience=HOST)
    assert not web.context.tokens.check(session, now=now, audience="127.0.0.1:8471"), "it is valid for one host and port"
    assert not web.context.tokens.check(session, now=now)
    assert not web.context.tokens.check(session, now=now + timedelta(minutes=1), audience=HOST), "a session expires with its token"


@pytest.mark.parametrize(
    "headers",
    [{"origin": "http://evil.example"}, {"origin": "null"}, {"sec-fetch-site": "cross-site"}, {"sec-fetch-site": "same-site"}],
    ids=str,
)
def test_a_form_from_elsewhere_is_refused(web: RunningApp, headers: dict[str, str]) -> None:
    browser = web.browser()
    form = browser.get("/read").json()
    assert browser.post("/write", data={"csrf": form}, headers=headers).status_code == 403
    assert browser.post("/write", data={"csrf": form}, headers={"origin": BASE, "sec-fetch-site": "same-origin"}).status_code == 200


def test_a_form_without_the_sessions_own_token_is_refused(web: RunningApp) -> None:
    browser, other = web.browser(), web.browser()
    own, foreign = browser.get("/read").json(), other.get("/read").json()
    assert own != browser.get("/read").json(), "each answer masks it anew"
    for value in ("", foreign, own[:-8], "ü", "=" * 88, own + own):
        expected = 200 if value == own else 403
        if value != own + own:
            assert browser.post("/write", data={"csrf": value}).status_code == expected, value
    assert browser.post("/write").status_code == 403
    assert browser.post("/api/write", content=b"{}").status_code == 403, "a session needs it for the API as well"
    assert browser.post("/api/write", content=b"{}", headers={"x-csrf-token": own}).status_code == 200


def test_every_route_that_takes_a_form_checks_where_it_comes_from(web: RunningApp) -> None:
    unchecked = []
    seen = set()
    for route in iter_route_contexts(web.app.routes):
        methods, path = route.methods or set(), str(route.path)
        is_push = path == "/websub/{callback_id}"  # of a hub, which signs it
        if set(methods) - {"GET", "HEAD", "OPTIONS"} and not path.startswith("/api/") and path != "/login" and not is_push:
            seen.add(path)
            calls = [dependant.call for dependant in route.original_route.dependant.dependencies]
            if require_csrf not in calls:
                unchecked.append(path)
    assert seen >= {"/write", "/logout"}
    assert not unchecked


def test_above_the_rate_limit_the_response_says_when_to_retry(make_web: Callable[..., RunningApp]) -> None:
    web = make_web(WebConfig(rate=3))
    answers = [web.stranger.get("/api/v1/ledger/outcomes") for _ in range(4)]
    assert [answer.status_code for answer in answers] == [401, 401, 401, 429]
    assert answers[0].headers["ratelimit-policy"] == f'"minute";q=3;w={WINDOW_SECONDS}'
    assert re.fullmatch(r'"minute";r=2;t=\d+', answers[0].headers["ratelimit"])
    assert 1 <= int(answers[3].headers["retry-after"]) <= WINDOW_SECONDS
    assert web.program().get("/api/v1/ledger/outcomes").status_code == 200, "each token has a window of its own"


def test_a_window_ends() -> None:
    now = 0.0
    counter = RequestCounter(2, clock=lambda: now)
    assert [counter.count("a")[0] for _ in range(3)] == [1, 0, -1]
    now = WINDOW_SECONDS + 1.0
    assert counter.count("a") == (1, WINDOW_SECONDS)


def test_a_redis_that_hangs_holds_up_one_request_and_no_other() -> None:
    now, calls, hanging = 0.0, 0, threading.Event()

    def ask() -> int:
        nonlocal calls
        calls += 1
        if calls == 2:
            hanging.wait(20)
            raise ServiceError("Redis does not answer")
        return 7

    depth = QueueDepth(ask, clock=lambda: now)
    assert [depth(), depth()] == [7, 7] and calls == 1
    now = QUEUE_DEPTH_SECONDS
    with ThreadPoolExecutor(1) as pool:
        slow = pool.submit(depth)
        while calls < 2:
            time.sleep(0.01)
        assert depth() == 7, "what was known last"
        hanging.set()
        with pytest.raises(ServiceError):
            slow.result(20)
    with pytest.raises(ServiceError):
        depth()
    now += QUEUE_DEPTH_SECONDS
    assert depth() == 7


def test_a_head_that_does_not_end_is_not_waited_for(web: RunningApp, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(header_timeout, "MAX_HEADER_SECONDS", 0.6)
    head = b"POST /api/write HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 2\r\n"
    with served(web) as base, ExitStack() as opened:
        place = ("127.0.0.1", int(base.rpartition(":")[2]))
        silent, dripping, later, patient = (opened.enter_context(socket.create_connection(place, 30)) for _ in range(4))
        secret = web.context.tokens.add("a", Scope.WRITE, now=web.context.now())
        patient.sendall(head + f"Authorization: Bearer {secret}\r\n\r\nx".encode())
        later.sendall(b"GET /api/v1/live HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        assert read(later).startswith(b"HTTP/1.1 200")
        later.sendall(head)  # a second request, whose head does not end
        with suppress(OSError):  # until it is closed
            for letter in itertools.chain(head, itertools.repeat(ord("x"), 300)):
                dripping.send(bytes([letter]))
                time.sleep(0.05)
        assert [read(one) for one in (silent, dripping, later)] == [b"", b"", b""]
        patient.sendall(b"x")  # the head was there in time; a body has a time of its own
        assert read(patient).startswith(b"HTTP/1.1 200")


def read(connection: socket.socket) -> bytes:
    """A whole response of the application, or nothing when it closed or reset the connection."""
    found = b""
    with suppress(ConnectionResetError):
        while (more := connection.recv(9999)) and not (found := found + more).endswith((b"}", b"2")):
            pass
    return found
