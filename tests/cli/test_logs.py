"""Failures, recoveries and alarms are lines of the log, and `newsmill logs` shows those of one source."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest
from command_result import Newsmill

from newsmill.cli import logs

CRAWLER = """\
2026-12-01T10:00:01.000Z INFO crawler.frontier.failure_log source paper: feed https://paper.example/rss failed: blocked: HTTP 403
2026-12-01T10:00:03.000Z INFO crawler.frontier.failure_log source paper.de: feed https://paper.example/rss failed: timeout
2026-12-01T10:00:05.000Z INFO crawler.frontier.failure_log source paper: feed https://paper.example/rss works again
"""
SCHEDULER = """\
2026-12-01T10:00:04.000Z WARNING workers.scheduler source paper: alarm: the site refuses access since 2026-12-01T09:00+00:00
a second line of this record
"""


def write(folder: Path, name: str, text: str) -> None:
    with (folder / name).open("a") as file:
        file.write(text)


def test_logs_of_all_processes_in_the_order_of_time(newsmill: Newsmill, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NEWSMILL_DATA", str(tmp_path))
    monkeypatch.setattr(logs, "SECONDS_PER_LOOK", 0.02)
    assert "has no logs; `newsmill up`" in newsmill("logs").err
    folder = tmp_path / "logs"
    folder.mkdir()
    write(folder, "crawler.log.1", "2026-12-01T09:00:00.000Z INFO crawler.frontier.frontier older\n")
    write(folder, "crawler.log", CRAWLER)
    write(folder, "scheduler.log", SCHEDULER)
    write(folder, "web.log", "2026-12-01T10:00:02.000Z INFO newsmill.web.request_guard GET / 200 3 ms\n")
    shown = newsmill("logs").out.splitlines()
    assert [line.split()[0] for line in shown] == ["crawler"] * 3 + ["scheduler"] * 2 + ["crawler"] and "older" in shown[0]
    assert newsmill("logs", "-n", "1").out.splitlines() == shown[-1:]
    of_paper = newsmill("logs", "--source", "paper").out
    assert of_paper.count("source paper: ") == 3 and "paper.de" not in of_paper and "a second line" in of_paper

    def go_on() -> None:
        time.sleep(0.1)
        write(folder, "worker-1.log", "2026-12-01T10:00:06.000Z INFO workers.jobs source paper: page https://paper.example/1 fai")
        time.sleep(0.1)
        write(folder, "worker-1.log", "led: timeout\n")
        (folder / "crawler.log").write_text("2026-12-01T10:00:07.000Z INFO crawler.frontier.frontier cut\n")

    waits = iter([False] * 20 + [True])
    monkeypatch.setattr(logs.Interrupt, "wait", lambda self, seconds: bool(time.sleep(seconds)) or next(waits))
    thread = threading.Thread(target=go_on)
    thread.start()
    followed = newsmill("logs", "--follow", "-n", "1").out.splitlines()
    thread.join()
    assert [line.partition(" | ")[2].partition(" INFO ")[2] for line in followed[1:]] == [
        "workers.jobs source paper: page https://paper.example/1 failed: timeout",
        "crawler.frontier.frontier cut",
    ]
