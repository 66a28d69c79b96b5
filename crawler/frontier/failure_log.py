"""The crawler's log of failed fetches and of recoveries, one line each."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Sequence

from crawler.politeness.response_policy import RetryAt
from newsmill.health.failure_log import format_failure, format_name, is_failed
from newsmill.model import OUTCOMES, Kind, LeasedUrl, Outcome, OutcomeRecord, State
from newsmill.storage.ledger import Ended, Postponed
from newsmill.storage.ledger.priority import FROM_PLAN

log = logging.getLogger(__name__)


def log_ended(row: LeasedUrl, ending: OutcomeRecord) -> None:
    """Log the end of a row if it is a failure, or a success after failures."""
    if has_failed(row, ending.outcome):
        log.info("%s", format_failure(row.source, f"{row.kind} {row.url}", ending))
    elif OUTCOMES[ending.outcome].state is State.DONE:
        log_success(row)


def has_failed(row: LeasedUrl, outcome: Outcome) -> bool:
    """Whether a fetch has failed. A listing of the plan should be there; others may be guessed."""
    is_missing = row.found_by == FROM_PLAN and OUTCOMES[outcome].state is State.DROPPED and outcome is not Outcome.DENIED
    return is_failed(outcome) or is_missing


def log_postponed(row: LeasedUrl, retry: RetryAt) -> None:
    """Log a failed try that is repeated. A row also waits without a failure, as for a busy host."""
    if retry.failure is not None:
        log.info("%s", format_failure(row.source, f"{row.kind} {row.url}", retry.failure, retry.at))


def log_success(row: LeasedUrl) -> None:
    """Log a fetch that succeeded if the one before it failed."""
    if row.is_failing:
        log.info("%s works again", format_name(row.source, f"{row.kind} {row.url}"))


def log_host_failure(rows: Sequence[LeasedUrl], failure: OutcomeRecord, ended: Sequence[Ended], postponed: Sequence[Postponed]) -> None:
    """Log the failure of a host for these rows: a line for each listing, and one for the pages of each source."""
    times, ended_ids = {row.id: row.next_at for row in postponed}, {row.id for row in ended}
    for row in rows:
        if row.kind is not Kind.PAGE and (row.id in times or row.id in ended_ids):
            log.info("%s", format_failure(row.source, f"{row.kind} {row.url}", failure, times.get(row.id)))
    for (source, host), n in Counter((row.source, row.host) for row in rows if row.kind is Kind.PAGE).items():
        next_at = min((times[row.id] for row in rows if row.source == source and row.kind is Kind.PAGE and row.id in times), default=None)
        log.info("%s", format_failure(source, f"{n:,} page{'' if n == 1 else 's'} of {host}", failure, next_at))
