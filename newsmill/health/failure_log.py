"""The lines of the log about failures of sources, which `newsmill logs --source NAME` finds by the name in them."""

from __future__ import annotations

from datetime import datetime

from newsmill.model import OUTCOMES, Outcome, OutcomeRecord, State, describe_failure

FAILED_STATES = (State.FAILED, State.QUARANTINED)


def is_failed(outcome: Outcome) -> bool:
    """Whether a page with this outcome has failed; a page that is no article has not."""
    return OUTCOMES[outcome].state in FAILED_STATES


def format_failure(source: str | None, what: str, failure: OutcomeRecord, next_at: datetime | None = None) -> str:
    """ "source paper: feed https://… failed: blocked: HTTP 403; next try at 2026-12-01T13:30Z"."""
    text = describe_failure(failure)
    detail = f" ({failure.detail})" if failure.detail and failure.detail not in text else ""
    following = f"; next try at {next_at:%Y-%m-%dT%H:%MZ}" if next_at is not None else ""
    return f"{format_name(source, what)} failed: {text}{detail}{following}"


def format_name(source: str | None, what: str) -> str:
    """What a line is about, with its source if it has one."""
    return what if source is None else f"source {source}: {what}"
