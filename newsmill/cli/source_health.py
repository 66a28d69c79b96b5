"""The state of a source in a few words, for `sources list`, `status` and `crawl`."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from newsmill.cli.terminal import format_count
from newsmill.failures import describe_failure
from newsmill.model import Kind
from newsmill.storage.source_health import HealthState, SourceHealth

WORDS = {HealthState.PAUSED: "paused", HealthState.UNREAD: "not read yet", HealthState.HEALTHY: "ok"}


def describe_health(health: SourceHealth, now: datetime) -> str:
    """ "ok", or what fails and since when: "blocked: HTTP 403 since 13:33 UTC"."""
    if health.failure is None:
        return WORDS[health.state]
    failure = describe_failure(health.failure)
    since = f" since {format_since(health.since, now)}" if health.since else ""
    if health.kind is Kind.PAGE:
        return f"pages: {failure}{since}" if health.since else f"no documents: {failure}"
    part = f"{health.failing} of {format_count(health.of, 'listing')}: " if health.failing < health.of else ""
    return f"{part}{failure}{since}"


def format_since(since: datetime, now: datetime) -> str:
    """The time of day if it is today (UTC), else with the date."""
    since = since.astimezone(UTC)
    return f"{since:%H:%M} UTC" if since.date() == now.astimezone(UTC).date() else f"{since:%Y-%m-%d %H:%M} UTC"


def to_record(health: SourceHealth) -> dict[str, Any]:
    """The health in JSON: `state`, and what fails."""
    failure = health.failure
    return {
        "state": health.state,
        "outcome": None if failure is None else failure.outcome,
        "detail": None if failure is None else failure.detail,
        "since": health.since,
        "url": health.url,
        "kind": health.kind,
        "failing": health.failing,
        "listings": health.of,
    }
