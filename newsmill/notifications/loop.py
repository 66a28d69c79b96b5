"""The loop of the web process that sends messages of every kind, round after round.

Each round of a sender records the messages that became due, and starts those whose next try is due. One thread makes the rounds of all
senders, one after the other. A slow target uses one of a few threads of its sender for a limited time and holds no other message up. When
the database is not available, or after a bug, one line is logged, and a later round does the work.
"""

from __future__ import annotations

import logging
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import datetime
from functools import partial
from typing import Any, ClassVar, Generic, TypeVar

from newsmill.exceptions import ServiceError
from newsmill.health.outage_log import OutageLog
from newsmill.notifications.channels.http_post import DeliveryError
from newsmill.storage.outbox import Message, Outbox
from newsmill.text.sentences import Sentence

ROUND_SECONDS = 2.0  # between two rounds, unless a message ends meanwhile
STOP_SECONDS = 15.0  # for what is running to end

log = logging.getLogger(__name__)


Job = TypeVar("Job")  # what a sender sends: a message, a request


class Sender(ABC, Generic[Job]):
    """What is to be sent of one kind, and how. Every method may raise ServiceError."""

    name: ClassVar[str]
    max_concurrent: ClassVar[int] = 4  # messages at once

    def prepare(self, now: datetime) -> None:
        """Record the messages that became due."""

    @abstractmethod
    def claim(self, now: datetime, limit: int) -> Mapping[str, Job]:
        """Claim messages whose next try is due, by IDs that stay the same; no other process gets them during the claim."""

    @abstractmethod
    def send(self, job: Job) -> int | None:
        """Send a message; the status of the answer, if there is one. Raises DeliveryError."""

    @abstractmethod
    def mark_sent(self, job: Job, status: int | None, now: datetime) -> None:
        """Record that a message arrived."""

    @abstractmethod
    def mark_failed(self, job: Job, error: DeliveryError, now: datetime) -> None:
        """Record a failed try."""


class OutboxSender(Sender[Message]):
    """Sends the messages of one kind from the outbox."""

    outbox: Outbox

    def claim(self, now: datetime, limit: int) -> Mapping[str, Message]:
        return {message.id: message for message in self.outbox.claim_due(now=now, limit=limit)}

    def mark_sent(self, job: Message, status: int | None, now: datetime) -> None:
        self.outbox.mark_sent(job, status, now=now)

    def mark_failed(self, job: Message, error: DeliveryError, now: datetime) -> None:
        self.outbox.mark_failed(job, str(error), error.status, now=now, is_final=error.is_final)


class _Lane:
    """A sender with the messages that are being sent."""

    def __init__(self, sender: Sender[Any]) -> None:
        self.sender = sender
        self.running: dict[str, Future[None]] = {}
        self.has_ended = False  # a message, since the last round
        self.outage = OutageLog(log, f"{sender.name}: works again")


class SenderLoop:
    """The thread of all senders. Tests call `run_round` instead of `start`."""

    def __init__(self, senders: Sequence[Sender[Any]], now: Callable[[], datetime]) -> None:
        self._lanes, self._now = [_Lane(sender) for sender in senders], now
        self._wake, self._is_stopping = threading.Event(), False
        self._thread = threading.Thread(target=self._run, name="senders", daemon=True)

    def start(self) -> None:
        if self._lanes:
            self._thread.start()

    def stop(self) -> None:
        """Begin no more rounds, and wait a while for what is running."""
        self._is_stopping = True
        self._wake.set()
        if self._lanes:
            self._thread.join(STOP_SECONDS)

    def run_round(self) -> int:
        """One round, to its end; the number of messages tried."""
        with self._make_pool() as pool:
            return len(self._start_round(pool))

    def _run(self) -> None:
        next_round = time.monotonic()
        with self._make_pool() as pool:
            while not self._is_stopping:
                if time.monotonic() >= next_round:
                    next_round = time.monotonic() + ROUND_SECONDS
                    self._start_round(pool)
                for lane in self._lanes:
                    if lane.has_ended:
                        self._start_messages(lane, pool)
                self._wake.wait(max(0.0, next_round - time.monotonic()))
                self._wake.clear()

    def _make_pool(self) -> ThreadPoolExecutor:
        return ThreadPoolExecutor(sum(lane.sender.max_concurrent for lane in self._lanes), thread_name_prefix="sender")

    def _start_round(self, pool: ThreadPoolExecutor) -> list[Future[None]]:
        return [future for lane in self._lanes for future in self._start_messages(lane, pool)]

    def _start_messages(self, lane: _Lane, pool: ThreadPoolExecutor) -> list[Future[None]]:
        """Start the messages of one sender that are due. Neither an outage nor a bug of one sender stops the others."""
        lane.has_ended = False
        lane.running = {job_id: future for job_id, future in lane.running.items() if not future.done()}
        try:
            jobs = self._claim(lane)
        except ServiceError as problem:
            if lane.outage.is_new(str(problem)):
                log.warning("%s: %s", lane.sender.name, problem)
            return []
        except Exception as problem:  # the border of a thread: without it nothing more would be sent, and nobody would know
            if lane.outage.is_new(repr(problem)):
                log.exception("%s failed; the next round follows", lane.sender.name)
            return []
        lane.outage.report_success()
        started = {job_id: pool.submit(self._deliver, lane.sender, job_id, job) for job_id, job in jobs.items()}
        lane.running |= started
        for job_id, future in started.items():
            future.add_done_callback(partial(self._note_end, lane, job_id))
        return list(started.values())

    def _note_end(self, lane: _Lane, job_id: str, future: Future[None]) -> None:
        if (error := future.exception()) is not None:  # a bug, of which nobody else hears
            log.error("%s, message %s: failed", lane.sender.name, job_id, exc_info=error)
        lane.has_ended = True
        self._wake.set()

    def _claim(self, lane: _Lane) -> dict[str, Any]:
        lane.sender.prepare(self._now())
        free = lane.sender.max_concurrent - len(lane.running)
        claimed = lane.sender.claim(self._now(), free) if free > 0 else {}
        # A process that was frozen still sends one whose lease has ended.
        return {job_id: job for job_id, job in claimed.items() if job_id not in lane.running}

    def _deliver(self, sender: Sender[Any], job_id: str, job: Any) -> None:
        """Send one message and store the result. Without a stored result, it is tried again when the lease ends."""
        try:
            status, failure = self._send(sender, job_id, job)
            if failure is None:
                sender.mark_sent(job, status, self._now())
            else:
                sender.mark_failed(job, failure, self._now())
        except ServiceError as error:
            log.warning("%s, message %s: %s", sender.name, job_id, error)

    def _send(self, sender: Sender[Any], job_id: str, job: Any) -> tuple[int | None, DeliveryError | None]:
        """The status of the answer, or why the message was not delivered. Raises ServiceError."""
        try:
            return sender.send(job), None
        except DeliveryError as error:
            return None, error
        except ServiceError:
            raise
        except Exception:  # a bug counts as a failed try, or its message would be sent for ever and hold up those behind it
            log.exception("%s, message %s: failed", sender.name, job_id)
            return None, DeliveryError(Sentence("an internal error; the log of the web process has the reason"))
