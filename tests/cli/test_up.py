"""`newsmill up` and `newsmill crawl` with real processes: kills, restarts, interrupts, limits, and a clean stop."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import time
import tomllib
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from command_result import Newsmill
from fake_site import farm
from redis import Redis
from store_status import read_status

from newsmill import demo as newspaper
from newsmill.cli.crawl import make_limit_options
from newsmill.context import open_context
from newsmill.queue.embedded_redis import EmbeddedRedis
from newsmill.settings import load

COMMAND = [sys.executable, "-m", "newsmill.cli.main"]
ROLES = {"crawler", "worker", "scheduler", "web"}


class Machine:
    """A data folder of its own, with commands that run in it. Those of `newsmill` run in this process."""

    def __init__(self, folder: Path, newsmill: Newsmill) -> None:
        self.folder, self.newsmill = folder, newsmill
        self.data = folder / "newsmill-data"

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([*COMMAND, *arguments], cwd=self.folder, capture_output=True, text=True, timeout=240)

    def status(self) -> Any:
        return read_status(self.folder, os.environ)

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        return subprocess.Popen([*COMMAND, *arguments], cwd=self.folder, stderr=subprocess.PIPE, text=True)

    def logs(self) -> str:
        return "".join(f"== {log.name}\n{log.read_text()}" for log in sorted((self.data / "logs").glob("*.log")))


@pytest.fixture
def machine(tmp_path: Path, newsmill: Newsmill, monkeypatch: pytest.MonkeyPatch) -> Machine:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NEWSMILL_ALLOW_NETS", "127.0.0.1")
    monkeypatch.setenv("NEWSMILL_CONTACT", "tests@example.org")
    monkeypatch.setenv("NEWSMILL_PROCESSES", "1")
    monkeypatch.setenv("NEWSMILL_WEB", f"127.0.0.1:{free_port()}")
    return Machine(tmp_path, newsmill)


@pytest.fixture
def paper() -> Iterator[newspaper.Newspaper]:
    with newspaper.serve() as running:
        yield running


def wait_for(condition: Callable[[], object], machine: Machine, seconds: float = 120.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, machine.logs()
        time.sleep(0.4)  # a look costs up to 0.03 s of CPU


def children_of(pid: int) -> dict[str, int]:
    """Role → process id of the supervised children."""
    found = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if int((folder / "stat").read_text().rpartition(")")[2].split()[1]) != pid:
                continue
            words = (folder / "cmdline").read_bytes().split(b"\0")
        except (FileNotFoundError, ProcessLookupError):
            continue
        if b"--supervised" in words:
            found[words[words.index(b"newsmill.cli.main") + 1].decode()] = int(folder.name)
    return found


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


@pytest.mark.slow
def test_up_survives_kills(machine: Machine, paper: newspaper.Newspaper) -> None:
    """First `up` is killed: its children stop, while those of the next one take over their port, hosts and pages. Then these are killed."""
    assert machine.newsmill("add", f"{paper.url}/", "--name", "paper", "--delay", "0.2", "--no-check").code == 0
    killed = machine.start("up")
    wait_for(lambda: set(children_of(killed.pid)) == ROLES and machine.status()["pages"] > 5, machine)
    orphans = set(children_of(killed.pid).values())
    killed.kill()
    killed.communicate()
    up = machine.start("up")
    wait_for(lambda: set(children_of(up.pid)) == ROLES, machine)
    wait_for(lambda: not any(Path(f"/proc/{pid}").exists() for pid in orphans), machine)

    first = children_of(up.pid)
    for role in ("worker", "crawler", "scheduler", "web"):
        os.kill(first[role], signal.SIGKILL)
    with closing(Redis.from_url(EmbeddedRedis(machine.data).url)) as client:
        os.kill(client.info("server")["process_id"], signal.SIGKILL)
    wait_for(lambda: set(children_of(up.pid)) == ROLES and not set(children_of(up.pid).values()) & set(first.values()), machine)
    late = f"{paper.url}/en/2026/11/10/night-train-will-stop-in-aunstadt"
    assert machine.newsmill("submit", late).code == 0
    wait_for(lambda: (status := machine.status())["pending"] == 0 and status["documents"] >= 12, machine, 200)
    stored = machine.newsmill("export").lines
    assert len({document["id"] for document in stored}) == len(stored)
    assert {document["revision"] for document in stored} == {1}
    assert machine.newsmill("trace", late, "--json").json["state"] == "done"
    assert machine.newsmill("health", "worker").code == 0
    assert {process.role for process in machine.status()["processes"]} == ROLES

    up.send_signal(signal.SIGINT)
    printed = up.communicate(timeout=60)[1]
    assert up.returncode == 0
    assert printed.count("signal 9") == 4
    assert "web pages and API are not available" not in printed
    assert "stopped; `newsmill up` resumes" in printed
    assert children_of(up.pid) == {}
    assert machine.status()["processes"] == []


@pytest.mark.slow
def test_up_ends_when_its_data_folder_is_deleted(machine: Machine, paper: newspaper.Newspaper) -> None:
    """Its files are deleted before itself: a process may end while the folder is still there. test_moved_file.py moves the database."""
    assert machine.newsmill("add", f"{paper.url}/", "--name", "paper", "--delay", "0.2", "--no-check").code == 0
    up = machine.start("up")
    wait_for(lambda: set(children_of(up.pid)) == ROLES and machine.status()["documents"] > 1, machine)
    children = set(children_of(up.pid).values())
    with closing(Redis.from_url(EmbeddedRedis(machine.data).url)) as client:
        server = client.info("server")["process_id"]
    for path in (machine.data / "newsmill.sqlite", *(machine.data / "logs").glob("*.log")):
        path.unlink()
    wait_for(lambda: up.poll() is not None, machine)
    shutil.rmtree(machine.data)
    printed = up.communicate(timeout=90)[1]
    last = printed.splitlines()[-1]
    assert up.returncode == 1 and last.startswith("newsmill: ") and str(machine.data) in last, printed
    assert "was moved, replaced or deleted" in last and "Traceback" not in printed
    assert not any(Path(f"/proc/{pid}").exists() for pid in children)
    wait_for(lambda: not Path(f"/proc/{server}").exists(), machine)  # its own process ends it once `up` has ended
    assert not (machine.data / "newsmill.sqlite").exists()


@pytest.mark.slow
def test_a_crawl_keeps_a_limit_and_resumes_after_an_interrupt(
    machine: Machine, paper: newspaper.Newspaper, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One crawler and one worker start, whatever the number of processes allowed. `--processes` starts as many as it says."""
    monkeypatch.setenv("NEWSMILL_PROCESSES", "4")
    crawl = ("crawl", f"{paper.url}/", "--name", "paper")
    done = machine.run(*crawl, "--delay", "0", "--limit", "1", "--json")
    assert done.returncode == 0, done.stderr + machine.logs()
    assert {path.name for path in (machine.data / "logs").glob("*.log")} == {"crawler.log", "worker-1.log"}
    assert "first document after " in done.stderr
    summary = json.loads(done.stdout)
    assert (summary["new_documents"], summary["documents"], machine.status()["documents"]) == (1, 1, 1)
    assert summary["fetched"] <= summary["pages"]
    lines = [
        line for line in done.stderr.splitlines() if line.startswith("paper: ") and " fetched, " in line
    ]  # after those of the listings
    shown = [[int(number) for number in re.findall(r"(\d+) (?:new page|fetched|new document)", line)] for line in lines]
    for earlier, later in pairwise(shown):
        assert all(first <= second for first, second in zip(earlier, later, strict=True))
    with open_context(load()) as store:
        assert make_limit_options(store, ["paper"], 2) == ["--documents", "3", "--of", "paper"], "a limit counts new documents"

    seen = len(paper.log)
    interrupted = machine.start(*crawl, "--delay", "0.5", "--processes", "2")
    wait_for(lambda: len(paper.log) > seen + 5, machine)
    interrupted.send_signal(signal.SIGINT)
    printed = interrupted.communicate(timeout=60)[1]
    assert interrupted.returncode == 130
    assert "interrupted; run the same command again to resume" in printed
    assert (machine.data / "logs" / "worker-2.log").exists()
    with closing(sqlite3.connect(machine.data / "newsmill.sqlite")) as database:
        owners = database.execute("SELECT host FROM hosts WHERE owner IS NOT NULL").fetchall()
    assert owners == [], "a clean stop releases the host leases"

    done = machine.run(*crawl, "--delay", "0")
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("newsmill up") == 1, "one hint at the end"
    assert machine.status()["documents"] >= 12
    answers = tomllib.loads((newspaper.newspaper_folder() / "site.toml").read_text(encoding="utf-8"))["paths"].values()
    redirected = {row.get("location", "").rpartition("{{base}}")[2] for row in answers}  # a redirect may be fetched twice
    times = Counter(request.path for request in paper.log[seen:] if request.status == 200 and request.path not in redirected)
    twice = [path for path, count in times.items() if count > 1 and path[-5:].isdigit()]
    assert not twice, "a page fetched before the stop is not fetched again"


@pytest.mark.slow
def test_sites_that_cannot_be_reached_are_not_kept(machine: Machine) -> None:
    done = machine.run("crawl", "http://127.0.0.1:1/", "http://no-such-host.invalid/", "http://10.255.255.1/")
    assert done.returncode == 1, machine.logs()
    last = done.stderr.splitlines()[-1]
    closed = "http://127.0.0.1:1/ cannot be read: connection refused; no server answers there; check the host and the port"
    assert closed in last and closed in machine.newsmill("add", "http://127.0.0.1:1/", "--yes").err
    assert "http://no-such-host.invalid/ cannot be read: host not found; check the spelling of the host" in last
    private = "http://10.255.255.1/ cannot be read: private network: 10.255.255.1 is not a public IP address; "
    private += "NEWSMILL_ALLOW_NETS=10.255.255.1 permits it"
    assert private in last and all(private in machine.newsmill(*command, "http://10.255.255.1/").err for command in (["add"], ["submit"]))
    assert done.stderr.count(" is not kept, because no article was found") == 3 and "URL left" not in done.stderr
    assert "Traceback" not in done.stderr and machine.newsmill("sources", "list").out == ""


@pytest.mark.slow
def test_a_mistyped_url_does_not_block_the_right_one(machine: Machine, paper: newspaper.Newspaper) -> None:
    """The three commands have the same advice for it. `submit` fetches later, so `trace` shows it."""
    typo = f"{paper.url}/typo"
    advice = "check the URL, or give the homepage of the site"
    assert machine.newsmill("submit", f"{paper.url}/article-typo").code == 0
    done = machine.run("crawl", "-n", "1", typo, "--delay", "0")
    assert done.returncode == 1, machine.logs()
    assert f"{typo} cannot be read: not found: HTTP 404; {advice}" in done.stderr.splitlines()[-1]
    assert " is not kept, because no article was found" in done.stderr and " since " not in done.stderr
    assert f"{typo} cannot be read: not found: HTTP 404; {advice}" in machine.newsmill("add", typo, "--yes", "--delay", "0").err
    corrected = machine.run("crawl", "-n", "1", f"{paper.url}/", "--delay", "0")
    assert corrected.returncode == 0, corrected.stderr
    assert f"next: {advice}" in machine.newsmill("trace", f"{paper.url}/article-typo").out


@pytest.mark.slow
def test_a_feed_that_is_cut_off_has_one_name(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beside a homepage that works, and as the only listing."""
    monkeypatch.setenv("NEWSMILL_ALLOW_NETS", "127.0.0.0/24")
    name = "incomplete body: the file is cut off: its root element does not end"
    with farm() as sites:
        site = sites.site()
        stories = "".join(f'<h2><a href="{site.article(f"/2026/11/{n}/a-story")}">Five words are a headline</a></h2>' for n in range(1, 6))
        feed = site.page("/rss", '<?xml version="1.0"?><rss version="2.0"><channel><item><title>A st', content_type="application/rss+xml")
        site.page("/", f'<html><head><link rel="alternate" type="application/rss+xml" href="{feed}"></head><body>{stories}</body></html>')
        added = machine.newsmill("add", site.url(), "--yes", "--delay", "0", "--name", "paper")
        assert added.out.count(f"feed {feed}: not used ({name})") == 1 and added.err.count(feed) == 0
        assert added.out.count(f"homepage {site.url()}") == 1, "the findings are shown once"
        refused = machine.newsmill("add", feed, "--yes", "--delay", "0")
        assert f"{feed} cannot be read: {name}" in refused.err
        crawled = machine.run("crawl", site.url(), "--delay", "0")
        assert crawled.returncode == 0, crawled.stderr
    assert f": {name} (1 of " in machine.newsmill("sources", "list").out
    doctor = machine.newsmill("sources", "doctor", "paper").out
    assert doctor.count(name) == 2, "the state, and the row of the feed"
    assert f"feed {feed} failed: {name}" in machine.newsmill("sources", "check").err
