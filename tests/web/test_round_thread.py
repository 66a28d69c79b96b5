"""A sender makes round after round, whatever happens in one."""

from __future__ import annotations

import logging
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from newsmill.exceptions import ServiceError
from newsmill.notifications import round_thread
from newsmill.notifications.round_thread import RoundThread


class Sender(RoundThread):
    """Fails twice in each way, then works."""

    def __init__(self) -> None:
        super().__init__("test sender", 1)
        self.errors: list[Exception] = [ServiceError("no database"), ServiceError("no database"), ValueError("a bug"), ValueError("a bug")]
        self.works = threading.Event()

    def make_round(self, pool: ThreadPoolExecutor) -> bool:
        if self.errors:
            raise self.errors.pop(0)
        self.works.set()
        return False


def test_neither_the_database_nor_a_bug_ends_a_sender(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """Otherwise nothing more would be sent by a web server that looks healthy."""
    monkeypatch.setattr(round_thread, "ROUND_SECONDS", 0.01)
    sender = Sender()
    with caplog.at_level(logging.WARNING):
        sender.start()
        assert sender.works.wait(10)
        sender.stop()
    assert [record.getMessage() for record in caplog.records] == [
        "test sender: no database",
        "test sender failed; the next round follows",
        "test sender: works again",
    ]
    assert caplog.records[1].exc_info is not None
