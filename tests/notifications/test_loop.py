"""The loop makes round after round, whatever happens in one, and starts no message twice."""

from __future__ import annotations

import logging
import threading
from datetime import UTC, datetime

import pytest
from services import eventually

from newsmill.exceptions import ServiceError
from newsmill.notifications import loop
from newsmill.notifications.channels.http_post import DeliveryError
from newsmill.notifications.loop import Sender, SenderLoop


class ExampleSender(Sender[str]):
    """Claims the jobs of each round: names, or an error."""

    def __init__(self, name: str, *rounds: list[str] | Exception) -> None:
        self.name, self.rounds = name, list(rounds)  # type: ignore[misc]
        self.results: list[tuple[str, str]] = []
        self.works, self.may_end = threading.Event(), threading.Event()

    def claim(self, now: datetime, limit: int) -> dict[str, str]:
        found = self.rounds.pop(0) if self.rounds else []
        if isinstance(found, Exception):
            raise found
        self.works.set()
        return {name: name for name in found}

    def send(self, job: str) -> int | None:
        if job == "slow":
            self.may_end.wait(10)
        if job == "refused":
            raise DeliveryError("the receiver answered 500", 500)
        if job == "bug":
            raise ValueError("a bug")
        return 200

    def mark_sent(self, job: str, status: int | None, now: datetime) -> None:
        self.results.append((job, f"sent {status}"))

    def mark_failed(self, job: str, error: DeliveryError, now: datetime) -> None:
        self.results.append((job, f"failed {error.status}"))


def now() -> datetime:
    return datetime.now(UTC)


def test_neither_the_database_nor_a_bug_of_a_sender_stops_another(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Otherwise nothing more would be sent by a web server that looks healthy."""
    monkeypatch.setattr(loop, "ROUND_SECONDS", 0.01)
    errors = (ServiceError("no database"), ServiceError("no database"), ValueError("a bug"), ValueError("a bug"))
    ill, well = ExampleSender("ill", *errors), ExampleSender("well", ["a", "refused", "bug"])
    senders = SenderLoop([ill, well], now)
    with caplog.at_level(logging.WARNING):
        senders.start()
        assert ill.works.wait(10)
        senders.stop()
    assert sorted(well.results) == [("a", "sent 200"), ("bug", "failed None"), ("refused", "failed 500")]
    assert sorted({record.getMessage() for record in caplog.records}) == [
        "ill failed; the next round follows",
        "ill: no database",
        "ill: works again",
        "well, message bug: failed",
    ]
    assert len(caplog.records) == 4 and sum(record.exc_info is not None for record in caplog.records) == 2


def test_a_message_whose_lease_ended_while_it_is_sent_is_not_sent_beside_itself() -> None:
    """The process, or its machine, was frozen for a while."""
    sender = ExampleSender("sender", ["slow"], ["slow", "b"], [])
    sender.max_concurrent = 2  # type: ignore[misc]
    senders = SenderLoop([sender], now)
    with senders._make_pool() as pool:
        started = [len(senders._start_round(pool)) for _ in range(2)]
        sender.may_end.set()
    assert (started, sorted(sender.results)) == ([1, 1], [("b", "sent 200"), ("slow", "sent 200")])


def test_a_message_that_ends_starts_a_round_of_its_sender_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """The round of another sender may cost some 0.1 s of CPU."""
    monkeypatch.setattr(loop, "ROUND_SECONDS", 60.0)
    busy, idle = ExampleSender("busy", ["a"], ["b"], ["c"], ["refused"]), ExampleSender("idle", [], [], [])
    senders = SenderLoop([busy, idle], now)
    senders.start()
    assert eventually(lambda: len(busy.results) == 4)
    senders.stop()
    assert len(idle.rounds) == 2
