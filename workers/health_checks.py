"""The scheduler's part of the sources' health: checks some sources in each pass, and begins and ends their alarms."""

from __future__ import annotations

import logging
import time
from dataclasses import replace
from datetime import datetime, timedelta
from statistics import median

from newsmill.context import AppContext
from newsmill.extraction.site_profile import apply_profile
from newsmill.health.assessment import judge
from newsmill.health.causes import Cause, LayoutFit, Observation
from newsmill.model import Source
from newsmill.storage.alarms import read_open
from newsmill.storage.database import reading
from newsmill.storage.profiles import Profiles
from newsmill.storage.source_health import CheckHistory, CheckResult, SourceAlarms, observe, read_histories

MAX_CHECKED_PER_PASS = 50  # sources: 10,000 in 200 passes, which is 100 minutes at 30 s
MAX_SECONDS_PER_PASS = 0.25  # of the scheduler, which has ticks to make
BATCH_SOURCES = 10  # checked and recorded in one transaction each
LAYOUT_INTERVAL = timedelta(minutes=30)  # a profile and ten documents are read, about 10 ms
MAX_OFFLINE = timedelta(hours=24)  # for which an unreachable host may be explained by our own network
RECENT_DOCUMENTS = 10  # whose fit to the profile is measured
MAX_LAYOUT_SITES = 20  # of one source, whose profiles are compared

log = logging.getLogger(__name__)


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
        histories, open_alarms = read_histories(conn, names), read_open(conn, names)
        observed = [(source.name, *observe(conn, source, histories.get(source.name, CheckHistory()), now)) for source in batch]
    results = []
    for name, bare, history, site in observed:
        seen, history = add_layout(app.profiles, bare, history, site)
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
        log.warning("source %s: %s since %s", result.source, finding.cause, finding.since.isoformat(timespec="minutes"))
    for alarm in result.over:
        log.info("source %s: %s is over", result.source, alarm.finding.cause)


def follow_moves(app: AppContext, result: CheckResult, now: datetime) -> None:
    """Put the new URL of a moved listing in the place of the old one."""
    for finding in result.begun:
        evidence = finding.evidence
        if finding.cause is Cause.MOVED_LISTING and evidence.url is not None and evidence.new_url is not None:
            app.ledger.move_listing(result.source, evidence.url, evidence.new_url, evidence.failure, now=now)


# ---- the layout of pages -----------------------------------------------------------------------------------------------------


def add_layout(profiles: Profiles, seen: Observation, history: CheckHistory, site: str | None) -> tuple[Observation, CheckHistory]:
    """Measure how the newest documents fit their site's profile, every LAYOUT_INTERVAL."""
    last = seen.last_document_at
    is_recent = history.layout_at is not None and timedelta() <= seen.at - history.layout_at < LAYOUT_INTERVAL
    if site is None or last is None or is_recent:
        return seen, history
    history = replace(history, layout_at=seen.at)
    found = read_layout(profiles, site, history.layout_versions.get(site))
    if found is None:
        return seen, history
    layout, compared = found
    versions = {**{name: version for name, version in history.layout_versions.items() if name != site}, site: compared}
    newest = dict(list(versions.items())[-MAX_LAYOUT_SITES:])
    return replace(seen, layout=layout), replace(history, layout_versions=newest)


def read_layout(profiles: Profiles, site: str, compared: int | None) -> tuple[LayoutFit, int] | None:
    """The fit of a site's newest documents, and the version to compare later ones with. None: the site has no profile.

    `compared` is the version that the last check returned. It stays until RECENT_DOCUMENTS newer documents fit it: a version that is
    learned while a layout changes knows the old and the new layout, and so fits both.
    """
    note = profiles.newest(site)
    profile = None if note is None else profiles.get(site, note.version)
    if note is None or profile is None:
        return None
    before = profiles.get(site, compared) if compared is not None and compared < note.version else None
    is_new_layout = before is not None and note.since is not None and note.since != before.since
    is_known = before is not None and (is_new_layout or before.pages >= apply_profile.MATURE_PAGES)
    reference = before if before is not None and is_known else profile
    pages = profiles.recent(site, note.version, RECENT_DOCUMENTS)
    fits = [apply_profile.measure_fit(reference, blocks) for blocks in pages]
    has_left = apply_profile.has_layout_changed(reference, fits)
    is_enough = len(pages) >= apply_profile.MIN_RECENT_PAGES
    layout = LayoutFit(
        site,
        note.version,
        recent=sorted(fits)[len(fits) // 2] if is_enough else None,
        usual=reference.fit,
        words=int(median(map(apply_profile.count_kept_words, pages))) if is_enough else None,
        usual_words=None if reference.norm is None else reference.norm.median,
        has_changed=has_left or apply_profile.has_layout_changed(profile, [apply_profile.measure_fit(profile, blocks) for blocks in pages]),
        version_since=note.since if is_new_layout else None,
    )
    is_settled = reference is profile or is_new_layout or has_left
    if is_settled or profiles.count(site, note.since) >= note.documents + RECENT_DOCUMENTS:
        return layout, note.version
    return layout, reference.version
