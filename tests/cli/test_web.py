"""`newsmill web` and `newsmill token` with real processes and a real port."""

from __future__ import annotations

import json
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest
from command_result import Newsmill

from newsmill.cli.processes.web import format_sign_in, make_web_config
from newsmill.context import open_context
from newsmill.exceptions import NewsmillError
from newsmill.settings import load
from newsmill.web.serve import listen, require_token

COMMAND = [sys.executable, "-m", "newsmill.cli.main"]
WAIT = 60  # seconds a process may take to start on a busy machine


@contextmanager
def web(folder: Path, *arguments: str) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """A running `newsmill web` and the line it printed."""
    process = subprocess.Popen([*COMMAND, "web", *arguments], cwd=folder, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    try:
        yield process.stderr.readline(), process
    finally:
        process.terminate()
        process.communicate(timeout=WAIT)


def get(url: str, token: str | None = None) -> tuple[int, Any]:
    """Status and JSON; waits until the process answers."""
    request = Request(url, headers={"Authorization": f"Bearer {token}"} if token else {})
    deadline = time.monotonic() + WAIT
    while True:
        try:
            with urlopen(request, timeout=WAIT) as answer:
                return answer.status, json.load(answer)
        except HTTPError as error:
            with error:
                return error.code, json.load(error)
        except OSError:
            assert time.monotonic() < deadline
            time.sleep(0.1)


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.slow
def test_serving_with_and_without_a_token(tmp_path: Path, newsmill: Newsmill) -> None:
    with web(tmp_path, "--port", "0") as (line, process):
        base = re.match(r"web pages and API: (http://127\.0\.0\.1:\d+)/ .*open http://127\S+/login\?key=nm_", line)
        assert base, line
        health = f"{base[1]}/api/v1/health"
        status, answer = get(health)
        assert status == 200 and [one["role"] for one in answer["processes"]] == ["web"]
        assert newsmill("health", "web").code == 0
        made = newsmill("token", "add", "ann", "--scope", "write", "--days", "3")
        token = made.out.strip()
        assert made.code == 0 and token.startswith("nm_")
        assert (get(health)[0], get(health, token)[0]) == (401, 200)
        listed = newsmill("token", "list", "--json").json
        assert [(one["kind"], one["scope"]) for one in listed] == [("link", "admin"), ("token", "write")]
        assert listed[1]["name"] == "ann" and f"of process {process.pid}" in newsmill("token", "list").out
        assert token.rpartition("_")[2] not in newsmill("token", "list").out
        assert newsmill("token", "revoke", "ann").code == 0
        assert get(health, token)[0] == 401
        process.send_signal(signal.SIGTERM)
        assert process.wait(WAIT) == 0
    assert newsmill("health", "web").code == 1, "a clean stop removes the row of the process"


def test_a_server_that_cannot_start_says_why(newsmill: Newsmill, monkeypatch: pytest.MonkeyPatch) -> None:
    exposed = newsmill("web", "--host", "0.0.0.0", "--port", "0")
    assert exposed.code == 1
    assert "make one with `newsmill token add NAME --scope admin`" in exposed.err
    with socket.create_server(("127.0.0.1", 0)) as listener:
        refused = newsmill("web", "--port", str(listener.getsockname()[1]))
    assert refused.code == 1
    assert "(Address already in use): set another port, such as NEWSMILL_WEB=" in refused.err
    assert newsmill("token", "add", "x", "--scope", "all").code == 2
    assert newsmill("token", "revoke", "nobody").code == 2
    monkeypatch.setenv("NEWSMILL_WEB_TOKEN", "short and hidden")
    secret = newsmill("web")
    assert secret.code == 2 and "hidden" not in secret.err


def test_for_others_with_the_operators_own_token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NEWSMILL_WEB_TOKEN", "a" * 24)
    settings = load()
    config = make_web_config(settings, "0.0.0.0")
    with open_context(settings, create=True) as store:
        store.tokens.set_environment_token(settings.web_token, now=store.now())
        require_token(store.tokens, config, store.now())
        assert format_sign_in(store, config, 8470) == "web pages and API: http://0.0.0.0:8470/ (sign in with a token)"


@pytest.mark.parametrize(
    ("host", "port", "remedy"),
    [("192.0.2.1", 0, "set an IP address of this machine, such as NEWSMILL_WEB=127.0.0.1:8470"), ("127.0.0.1", None, "set another port")],
)
def test_an_address_that_is_not_available_is_told_from_a_port_in_use(host: str, port: int | None, remedy: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        config = make_web_config(load(), host=host, port=other.getsockname()[1] if port is None else port)
        with pytest.raises(NewsmillError, match=remedy):
            listen(config)
