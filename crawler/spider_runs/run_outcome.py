"""Turns the report of a run into an outcome with a sentence for the user. Pure."""

from __future__ import annotations

from crawler.politeness.response_policy import TRANSIENT_FAILURES, TRANSIENT_STATUSES
from crawler.spider_runs.run_report import OutputCounts, RunReport
from newsmill.model import OUTCOMES, Outcome, OutcomeRecord

STOPPED, CRASHED = "stopped", "crashed"
REASONS = frozenset({"finished", "pages", STOPPED})  # of a run whose spider did not close itself


def describe_run(report: RunReport) -> OutcomeRecord:
    """The outcome of a run, with what it has found and what went wrong. Pure."""
    counts = report.counts
    is_closed = report.error is None and report.reason not in REASONS
    found = counts.pages + counts.links + counts.articles + report.skipped
    parts = [*_list_output(report), *_list_bad_responses(report), *_list_events(report, is_closed=is_closed)]
    summary = "; ".join(parts) or f"nothing in {_count(report.requests, 'request')}"
    summary += f"; {report.hint}" if report.hint and not found else ""
    if report.error is not None:
        return OutcomeRecord(Outcome.SPIDER_FAILED, f"{report.error}; {summary}" if found else report.error)
    has_not_started = report.hint is not None and not report.requests
    if (report.code_errors or is_closed or has_not_started or _has_failed_requests(report)) and not found:
        return OutcomeRecord(Outcome.SPIDER_FAILED, summary)
    return OutcomeRecord(Outcome.LISTED if found else Outcome.EMPTY_LISTING, summary)


def _has_failed_requests(report: RunReport) -> bool:
    """Whether a later run may get an answer to a request that failed."""
    has_failed_hosts = any(Outcome(outcome) in TRANSIENT_FAILURES for outcome in report.refused)
    has_bad_statuses = any(status in TRANSIENT_STATUSES or status >= 500 for status in report.bad_statuses)
    return report.failed > 0 or has_failed_hosts or has_bad_statuses


def _list_output(report: RunReport) -> list[str]:
    """What the run has found, and what of it is not stored."""
    counts = report.counts
    left_out = counts.rejected_pages + counts.bad_links
    return [
        *_count_pages(counts),
        *_choose(
            (counts.links, f"{_count(counts.links, 'link')} ({counts.new_links} new)"),
            (left_out, f"{left_out} left out"),
            (counts.lost, f"{counts.lost} lost"),
            (counts.ignored, f"{_count(counts.ignored, 'item')} without url, title and text"),
            (counts.unreadable_dates, f"{_count(counts.unreadable_dates, 'date')} unreadable"),
            (report.skipped, f"{_count(report.skipped, 'known page')} skipped"),
        ),
    ]


def _list_bad_responses(report: RunReport) -> list[str]:
    return [
        *(f"{_count(n, 'request')} refused: {outcome} ({OUTCOMES[Outcome(outcome)].meaning})" for outcome, n in report.refused.items()),
        *(f"{_count(n, 'response')} with HTTP {status}" for status, n in sorted(report.bad_statuses.items())),
    ]


def _list_events(report: RunReport, *, is_closed: bool) -> list[str]:
    """What else went wrong, and why the run ended early."""
    return _choose(
        (report.failed, f"{_count(report.failed, 'request')} failed, first {report.first_failure}"),
        (report.dropped, f"{_count(report.dropped, 'item')} dropped by pipelines"),
        (report.code_errors, f"{_count(report.code_errors, 'error')} in callbacks or pipelines, first {report.first_error}"),
        (report.waited_seconds >= 1, f"waited {report.waited_seconds:.0f} s for hosts that another process held"),
        (report.reason == "pages", "stopped at spider_limits.pages"),
        (is_closed, f"the spider closed itself: {report.reason}"),
    )


def _choose(*parts: tuple[int, str]) -> list[str]:
    """The texts whose count is not 0."""
    return [text for n, text in parts if n]


def _count_pages(counts: OutputCounts) -> list[str]:
    """ "3 pages, 2 finished articles (4 new, 1 known)"; nothing is new or known in a test run."""
    kinds = [(counts.pages, "page"), (counts.articles, "finished article")]
    text = ", ".join(_count(n, noun) for n, noun in kinds if n)
    is_stored = counts.queued_pages + counts.known_pages > 0
    return [f"{text} ({counts.queued_pages} new, {counts.known_pages} known)" if is_stored else text] if text else []


def _count(n: int, noun: str) -> str:
    return f"{n:,} {noun}{'' if n == 1 else 's'}"
