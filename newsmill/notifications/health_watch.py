"""Watches the output of the whole installation, and calls the service that watches this process.

The watch is not part of crawler, worker or scheduler, so it notices when they stand still. Who watches this process is the service at
NEWSMILL_HEALTH_PING, which is called as long as all is well and raises the alarm when it is not.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from datetime import datetime

from newsmill.context import AppContext
from newsmill.health.cause_texts import CAUSE_NAMES
from newsmill.health.causes import Cause, Evidence, Finding
from newsmill.network.address_guard import Guard
from newsmill.notifications.channels.http_post import DeliveryError, check_status, post
from newsmill.notifications.loop import Sender
from newsmill.storage.source_checks import SourceAlarms

WATCH_SECONDS = 20.0  # between two looks at the newest document
PING_SECONDS = 60.0

log = logging.getLogger(__name__)


class HealthWatch(Sender[str]):
    """Begins and ends the alarm of the whole installation, and calls the URL of the watching service."""

    name = "health-watch"
    max_concurrent = 1

    def __init__(self, context: AppContext) -> None:
        self.context, self.alarms = context, SourceAlarms(context.engine)
        self._next_watch = self._next_ping = time.monotonic()
        self._is_silent = False
        self._problem: str | None = None

    def prepare(self, now: datetime) -> None:
        if time.monotonic() >= self._next_watch:
            self._next_watch = time.monotonic() + WATCH_SECONDS
            self._is_silent = True  # no ping before the database answers
            self._is_silent = self.watch_output(now)

    def watch_output(self, now: datetime) -> bool:
        """Begin or end the alarm; whether it is open now. Raises ServiceError."""
        limit = self.context.settings.health_silence
        last = None if limit is None else self.context.documents.newest_time()
        is_silent = limit is not None and last is not None and now - last >= limit
        opened = [alarm for alarm in self.alarms.list_open() if not alarm.source]
        if is_silent and not opened and last is not None:
            self.alarms.begin("", Finding(Cause.NO_OUTPUT, last, Evidence(last_at=last)), now=now)
            log.warning("alarm: no source has given a document since %s", last.isoformat(timespec="minutes"))
        elif not is_silent:
            for alarm in opened:
                self.alarms.end(alarm, now=now, has_message=limit is not None)
                log.info("the alarm is over: %s", CAUSE_NAMES[alarm.finding.cause])
        return is_silent

    def claim(self, now: datetime, limit: int) -> Mapping[str, str]:
        url = self.context.settings.health_ping
        if url is None or self._is_silent or time.monotonic() < self._next_ping:
            return {}
        self._next_ping = time.monotonic() + PING_SECONDS
        return {"ping": url}

    def send(self, job: str) -> int:
        guard = Guard.from_networks(map(str, self.context.settings.allow_nets))
        return check_status(post(job, b"", {"User-Agent": self.context.settings.agent}, guard))

    def mark_sent(self, job: str, status: int | None, now: datetime) -> None:
        self._problem = None

    def mark_failed(self, job: str, error: DeliveryError, now: datetime) -> None:
        """A failure is logged once; the service notices it anyway."""
        if str(error) != self._problem:
            log.warning("NEWSMILL_HEALTH_PING: %s", error)
        self._problem = str(error)
