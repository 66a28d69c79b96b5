"""The health of sources: some are checked in each pass of the scheduler."""

from __future__ import annotations

import logging
import time
from dataclasses import replace
from datetime import datetime, timedelta

from newsmill.context import AppContext
from newsmill.health.assessment import judge
from newsmill.health.cause_texts import CAUSE_NAMES
from newsmill.health.causes import Cause
from newsmill.model import Source
from newsmill.storage.alarms import read_open
from newsmill.storage.check_histories import read_histories
from newsmill.storage.database import reading
from newsmill.storage.source_checks import CheckResult, SourceAlarms
from newsmill.storage.source_observations import observe
from workers.layout_checks import add_layout

log = logging.getLogger(__name__)

MAX_CHECKED_PER_PASS = 50  # sources: 10,000 in 200 passes, which is 100 minutes at 30 s
MAX_SECONDS_PER_PASS = 0.25  # of the scheduler, which has ticks to make
BATCH_SOURCES = 10  # checked and recorded in one transaction each
MAX_OFFLINE = timedelta(hours=24)  # for which an unreachable host may be explained by our own network


def check_sources(app: AppContext, now: datetime) -> int:
    """Check the sources whose last check is longest ago, and record what began and what ended. Returns how many. Raises ServiceError."""
    alarms, deadline, checked = SourceAlarms(app.engine), time.monotonic() + MAX_SECONDS_PER_PASS, 0
    due = alarms.list_to_check(MAX_CHECKED_PER_PASS, now=now)
    for start in range(0, len(due), BATCH_SOURCES):
        batch = due[start : start + BATCH_SOURCES]
        results = [without_offline(alarms, result, now) for result in read_results(app, batch, now)]
        alarms.record(results, now=now)
        for result in results:
            log_changes(result)
            follow_moves(app, result, now)
        checked += len(batch)
        if time.monotonic() >= deadline:
            break
    return checked


def read_results(app: AppContext, batch: list[Source], now: datetime) -> list[CheckResult]:
    """Observe and judge some sources."""
    names = [source.name for source in batch]
    with reading(app.engine) as conn:
        observed, open_alarms = observe(conn, batch, read_histories(conn, names), now), read_open(conn, names)
    results = []
    for name, one in observed.items():
        seen, history = add_layout(app.profiles, one.seen, one.history, one.site)
        alarms = open_alarms.get(name, [])
        over, begun = judge([alarm.finding for alarm in alarms], seen)
        results.append(CheckResult(name, [alarm for alarm in alarms if alarm.finding in over], begun, history, not seen.is_enabled))
    return results


def without_offline(alarms: SourceAlarms, result: CheckResult, now: datetime) -> CheckResult:
    """Leave out dead hosts while the network of the crawler explains them: one outage here is not an alarm for every source."""
    begun = [
        finding
        for finding in result.begun
        if finding.cause is not Cause.DEAD_HOST or now - finding.since >= MAX_OFFLINE or not alarms.is_offline(result.source, finding.since)
    ]
    return replace(result, begun=begun)


def log_changes(result: CheckResult) -> None:
    for finding in result.begun:
        log.warning("source %s: alarm: %s since %s", result.source, CAUSE_NAMES[finding.cause], finding.since.isoformat(timespec="minutes"))
    for alarm in result.over:
        log.info("source %s: the alarm is over: %s", result.source, CAUSE_NAMES[alarm.finding.cause])


def follow_moves(app: AppContext, result: CheckResult, now: datetime) -> None:
    """Put the new URL of a moved listing in the place of the old one."""
    for finding in result.begun:
        evidence = finding.evidence
        if finding.cause is Cause.MOVED_LISTING and evidence.url is not None and evidence.new_url is not None:
            app.ledger.listing_moves.move(result.source, evidence.url, evidence.new_url, evidence.failure, now=now)
