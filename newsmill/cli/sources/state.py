"""The state of a source, as the terminal shows it."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

import typer

from newsmill.cli.terminal import format_count, note, print_table, printable
from newsmill.health.assessment import weigh
from newsmill.health.cause_texts import (
    CAUSE_NAMES,
    EVIDENCE_TEXTS,
    REMEDIES,
    STATE_NAMES,
    STATE_REMEDIES,
    ValueFormat,
    choose_evidence_text,
    format_values,
    summarize,
)
from newsmill.health.causes import Finding, HealthState, Observation
from newsmill.model import Kind, describe_failure
from newsmill.storage.alarms import SourceAlarm
from newsmill.storage.source_health import SourceHealth


def describe_health(health: SourceHealth, now: datetime) -> str:
    """ "ok", or what fails and since when: "blocked: HTTP 403 since 13:33 UTC"."""
    if (cause := health.cause) is not None:
        text = summarize(STATE_NAMES[weigh(cause)[1]], cause, CAUSE_NAMES[cause.cause], english(now))
        part = f" ({_count_failing(cause)})" if cause.evidence.failing < cause.evidence.of and not cause.evidence.is_pages else ""
        return f"{text}{part} since {format_since(cause.since, now)}"
    if health.failure is None or health.since is None:
        return _describe_state(health)
    part = f" ({health.failing} of {format_count(health.of, 'listing')})" if health.failing < health.of else ""
    pages = "no article fetched yet, " if health.kind is Kind.PAGE else ""
    return f"{STATE_NAMES[health.state]} since {format_since(health.since, now)}: {pages}{describe_failure(health.failure)}{part}"


def _describe_state(health: SourceHealth) -> str:
    """A state without a failure, with its figure."""
    name, seen = STATE_NAMES[health.state], health.seen
    if seen is not None and health.state is HealthState.EMPTY:
        return f"{name} in {format_count(seen.reads, 'read')}"
    if seen is not None and health.state is HealthState.SLOW:
        return f"{name}: {seen.response_seconds:.0f} s for a response"
    return name


def _count_failing(cause: Finding) -> str:
    return f"{cause.evidence.failing} of {format_count(cause.evidence.of, 'listing')}"


def english(now: datetime) -> ValueFormat:
    """How this command line writes values."""
    return ValueFormat(lambda n: f"{n:,}", lambda share: f"{100 * share:.0f} %", lambda at: format_since(at, now), describe_failure, "none")


def format_since(since: datetime, now: datetime) -> str:
    """The time of day if it is today (UTC), else with the date."""
    since = since.astimezone(UTC)
    return f"{since:%H:%M} UTC" if since.date() == now.astimezone(UTC).date() else f"{since:%Y-%m-%d %H:%M} UTC"


def describe_cause(name: str, finding: Finding, now: datetime) -> tuple[str, str, str]:
    """What is wrong, the evidence, and what to do."""
    title = f"{STATE_NAMES[weigh(finding)[1]]}: {CAUSE_NAMES[finding.cause]} since {format_since(finding.since, now)}"
    evidence = EVIDENCE_TEXTS[choose_evidence_text(finding)].format(**format_values(finding.evidence, english(now)))
    return title, evidence, REMEDIES[finding.cause].replace("NAME", name)


def print_doctor(name: str, health: SourceHealth, history: list[SourceAlarm], now: datetime) -> None:
    """The state with all its evidence, and the alarms of the past."""
    typer.echo(f"{name}: {describe_health(health, now)}")
    if (advice := STATE_REMEDIES.get(health.state)) is not None:
        typer.echo(f"\n  what to do: {advice}")
    for finding in health.causes:
        title, evidence, remedy = describe_cause(name, finding, now)
        typer.echo(printable(f"\n{title}\n  evidence: {evidence}\n  what to do: {remedy}"))
    if health.seen is not None:
        _print_observation(health.seen, now)
    if history:
        rows = [
            [
                STATE_NAMES[weigh(alarm.finding)[1]],
                CAUSE_NAMES[alarm.finding.cause],
                alarm.finding.since,
                alarm.until or "open",
                _where(alarm),
            ]
            for alarm in history
        ]
        typer.echo("")
        print_table(("state", "alarm", "since", "until", "URL"), rows)


def _where(alarm: SourceAlarm) -> str:
    evidence = alarm.finding.evidence
    return f"{evidence.url} → {evidence.new_url}" if evidence.new_url else evidence.url or ""


def _print_observation(seen: Observation, now: datetime) -> None:
    typer.echo("")
    if seen.last_document_at is None:
        note("no document yet")
    else:
        rhythm, last, until = seen.rhythm, seen.last_document_at, seen.read_at or seen.last_document_at
        typer.echo(f"The newest document is from {format_since(last, now)}; a listing was last read at {format_since(until, now)}.")
        if usual := round(rhythm.events_per_week):
            is_unusual = rhythm.silence_probability(last, until) < rhythm.level
            passed = f"about {rhythm.expect(last, until):.0f} of them passed without one, which is {'' if is_unusual else 'not '}unusual"
            typer.echo(f"Usually {format_count(usual, 'hour')} of a week have a new document; {passed}.")
    rows = [
        [
            listing.kind,
            listing.url,
            "ok" if listing.failure is None else describe_failure(listing.failure),
            listing.failing_since or "",
            listing.tried_at or "not read yet",
            "yes" if listing.had_entries and listing.emptied_at is None else "no",
        ]
        for listing in seen.listings
    ]
    print_table(("kind", "listing", "last result", "failing since", "last try", "entries"), rows)


def to_health_record(health: SourceHealth) -> dict[str, Any]:
    """The health in JSON: `state`, the causes with their evidence, and what fails."""
    failure = health.failure
    return {
        "state": health.state,
        "causes": [to_cause_record(finding) for finding in health.causes],
        "outcome": None if failure is None else failure.outcome,
        "detail": None if failure is None else failure.detail,
        "since": health.since,
        "url": health.url,
        "kind": health.kind,
        "failing": health.failing,
        "listings": health.of,
    }


def to_cause_record(finding: Finding) -> dict[str, Any]:
    """A cause in JSON."""
    evidence = {key: value for key, value in asdict(finding.evidence).items() if value not in (None, 0, False)}
    return {
        "cause": finding.cause,
        "state": weigh(finding)[1],
        "since": finding.since,
        "evidence": evidence,
        "remedy": REMEDIES[finding.cause],
    }


def to_alarm_record(alarm: SourceAlarm) -> dict[str, Any]:
    """An alarm in JSON."""
    return {**to_cause_record(alarm.finding), "begun_at": alarm.begun_at, "until": alarm.until}
