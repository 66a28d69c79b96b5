"""An installation for several machines: Postgres, a Redis with a password, and one command per process."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
import services
from command_result import Newsmill

from newsmill import demo as newspaper
from newsmill.queue.embedded_redis import find_server
from newsmill.queue.queue import Queue, connect_redis

COMMAND = [sys.executable, "-m", "newsmill.cli.main"]

ROLES = ("crawler", "worker", "scheduler")


@pytest.fixture(scope="module")
def postgres(postgres_url: str) -> str:
    return services.make_database(postgres_url, "newsmill_cli")


@pytest.fixture(scope="module")
def redis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    options = ["--port", str(port), "--bind", "127.0.0.1", "--requirepass", "hush", "--save", "", "--maxmemory-policy", "noeviction"]
    with subprocess.Popen([find_server(), *options], cwd=tmp_path_factory.mktemp("redis"), stdout=subprocess.DEVNULL) as server:
        yield f"redis://:hush@127.0.0.1:{port}/0"
        server.terminate()


def wait_for(condition: Callable[[], object], seconds: float = 120.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "the condition did not become true"
        time.sleep(0.3)


@pytest.mark.slow
def test_postgres_redis_and_one_process_each(
    postgres: str, redis_url: str, tmp_path: Path, newsmill: Newsmill, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DATABASE_URL", postgres)
    monkeypatch.setenv("REDIS_URL", redis_url)
    monkeypatch.setenv("ARCHIVE_URL", f"file://{tmp_path}/archive")
    monkeypatch.setenv("NEWSMILL_ALLOW_NETS", "127.0.0.1")
    monkeypatch.setenv("NEWSMILL_CONTACT", "me@example.org")
    refused = newsmill("status")
    assert refused.code == 1
    assert "run `newsmill db upgrade`" in refused.err
    assert newsmill("db", "upgrade").code == 0
    assert newsmill("db", "check").code == 0
    with ExitStack() as resources:
        paper = resources.enter_context(newspaper.serve(with_crawl_delay=False))
        assert newsmill("add", f"{paper.url}/", "--name", "paper", "--delay", "0", "--no-check").code == 0
        logs = {role: (tmp_path / f"{role}.log").open("wb") for role in ROLES}
        running = {role: subprocess.Popen([*COMMAND, role], stderr=logs[role]) for role in ROLES}
        try:
            wait_for(lambda: all(newsmill("health", role).code == 0 for role in ROLES))
            wait_for(lambda: (s := newsmill("status", "--json").json)["documents"] >= 12 and s["pending"] == 0)
        finally:
            for process in running.values():
                process.send_signal(signal.SIGTERM)
            codes = {role: process.wait(60) for role, process in running.items()}
            for log in logs.values():
                log.close()
    logs_text = {role: (tmp_path / f"{role}.log").read_text() for role in ROLES}
    assert codes == dict.fromkeys(ROLES, 0), logs_text
    assert not [role for role, text in logs_text.items() if "Traceback" in text or "hush" in text], logs_text
    assert newsmill("health", "worker").code == 1
    assert len(newsmill("export").lines) >= 12
    report = newsmill("status", "--json").json
    assert (report["queue"], report["refused_jobs"]) == (0, 0)
    Queue(connect_redis(redis_url)).count_refusal()  # what a worker does with a foreign job
    assert "WARNING: 1 job on the queue refused" in newsmill("status").out
    assert not (tmp_path / "newsmill-data" / "newsmill.sqlite").exists()
    monkeypatch.setenv("REDIS_URL", redis_url.replace("hush", "psst"))
    wrong = newsmill("worker")
    assert (wrong.code, "refuses the password" in wrong.err, "psst" in wrong.err) == (1, True, False)
