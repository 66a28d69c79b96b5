"""`newsmill web` and `newsmill token` with real processes and a real port."""

from __future__ import annotations

import json
import os
import pty
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
from services import eventually

from newsmill.cli.processes.web import announce, make_web_config, provide_token
from newsmill.context import open_context
from newsmill.exceptions import NewsmillError
from newsmill.settings import load
from newsmill.web.serve import listen

COMMAND = [sys.executable, "-m", "newsmill.cli.main"]
WAIT = 60  # seconds a process may take to start on a busy machine


@contextmanager
def web(folder: Path, *arguments: str) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """A running `newsmill web` and the first line it printed."""
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
        printed = re.match(
            r"web pages and API: (http://newsmill-\w{20}\.localhost):(\d+)/login\?key=nm_\S+ \(valid once, for 24 hours\)", line
        )
        assert printed, line
        health, own = f"http://127.0.0.1:{printed[2]}/api/v1/health", Path("newsmill-data/web-token").read_text()
        assert newsmill("token", "link").out.startswith(f"{printed[1]}:8470/login?key=nm_"), "on the port of NEWSMILL_WEB"
        assert get(health)[0] == 401
        status, answer = get(health, own)
        assert status == 200 and [one["role"] for one in answer["processes"]] == ["web"]
        assert newsmill("health", "web").code == 0
        made = newsmill("token", "add", "ann", "--scope", "write", "--days", "3")
        token = made.out.strip()
        assert made.code == 0 and token.startswith("nm_")
        assert get(health, token)[0] == 200
        listed = newsmill("token", "list", "--json").json
        assert [(one["kind"], one["scope"]) for one in listed] == [
            ("token", "admin"),
            ("link", "admin"),
            ("link", "admin"),
            ("token", "write"),
        ]
        assert [listed[0]["name"], listed[3]["name"]] == ["web-token", "ann"]
        assert f"of process {process.pid}" in newsmill("token", "list").out
        assert token.rpartition("_")[2] not in newsmill("token", "list").out
        assert newsmill("token", "revoke", "ann").code == 0
        assert get(health, token)[0] == 401
        process.send_signal(signal.SIGTERM)
        assert process.wait(WAIT) == 0
    assert newsmill("health", "web").code == 1, "a clean stop removes the row of the process"


def test_a_server_that_cannot_start_says_why(newsmill: Newsmill, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        refused = newsmill("web", "--port", str(listener.getsockname()[1]))
    assert refused.code == 1
    assert "(Address already in use): set another port, such as NEWSMILL_WEB=" in refused.err
    assert newsmill("token", "add", "x", "--scope", "all").code == 2
    assert newsmill("token", "revoke", "nobody").code == 2
    monkeypatch.setenv("NEWSMILL_WEB_TOKEN", "short and hidden")
    secret = newsmill("web")
    assert secret.code == 2 and "hidden" not in secret.err


def test_for_others_with_the_operators_own_token(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("NEWSMILL_WEB_TOKEN", "a" * 24)
    with open_context(load(), create=True) as store:
        config = make_web_config(store.settings, "0.0.0.0", None, provide_token(store))
        assert announce(store, config, 8470) is None
        assert re.search(r"http://newsmill-\w+\.localhost:8470/ \(sign in with NEWSMILL_WEB_TOKEN\)\n$", capsys.readouterr().err)
        assert [token.name for token in store.tokens.list_valid(now=store.now())] == ["NEWSMILL_WEB_TOKEN"]
        assert not Path("newsmill-data/web-token").exists()
        assert make_web_config(store.settings, "192.0.2.1", None, "x").base_url(80) == "http://192.0.2.1"


def test_a_data_folder_that_keeps_no_token_is_named(tmp_path: Path) -> None:
    (tmp_path / "newsmill-data" / "web-token" / "x").mkdir(parents=True)
    with open_context(load(), create=True) as store, pytest.raises(NewsmillError, match=r"web-token .*set NEWSMILL_WEB_TOKEN"):
        provide_token(store)
    assert store.tokens.list_valid(now=store.now()) == []


def test_a_desktop_browser_opens_the_link(tmp_path: Path) -> None:
    """Its command line, which other users can see, does not have the key. Without a terminal nothing opens."""
    seen, browser = tmp_path / "seen", tmp_path / "browser"
    browser.write_text(f'#!/bin/sh\necho "$@" >{seen}.part; mv {seen}.part {seen}\n')
    browser.chmod(0o700)
    terminal, end = pty.openpty()
    environ = os.environ | {"BROWSER": f"{browser} %s &"}
    with subprocess.Popen([*COMMAND, "web", "--port", "0"], cwd=tmp_path, env=environ, stderr=end) as process:
        try:
            assert eventually(seen.exists)
        finally:
            process.terminate()
    page = tmp_path / "newsmill-data" / "sign-in.html"
    assert seen.read_text().strip() == page.as_uri() and page.stat().st_mode & 0o777 == 0o600
    assert re.search(r'content="0; url=http://newsmill-\w+\.localhost:\d+/login\?key=nm_\w+', page.read_text())
    assert "/login?key=nm_" in os.read(terminal, 4000).decode()
    os.close(terminal)
    os.close(end)


@pytest.mark.parametrize(
    ("host", "port", "remedy"),
    [("192.0.2.1", 0, "set an IP address of this machine, such as NEWSMILL_WEB=127.0.0.1:8470"), ("127.0.0.1", None, "set another port")],
)
def test_an_address_that_is_not_available_is_told_from_a_port_in_use(host: str, port: int | None, remedy: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        config = make_web_config(load(), host, other.getsockname()[1] if port is None else port, "a token")
        with pytest.raises(NewsmillError, match=remedy):
            listen(config)
