"""Turns the report of a run into an outcome with a sentence for the user. Pure."""

from __future__ import annotations

from crawler.politeness.response_policy import TRANSIENT_FAILURES, TRANSIENT_STATUSES
from crawler.spider_runs.run_report import OutputCounts, RunReport
from newsmill.model import OUTCOMES, Outcome, OutcomeRecord
from newsmill.text.sentences import Sentence, count_sentence, join_sentences

STOPPED, CRASHED = "stopped", "crashed"
REASONS = frozenset({"finished", "pages", STOPPED})  # of a run whose spider did not close itself


def describe_run(report: RunReport) -> OutcomeRecord:
    """The outcome of a run, with what it has found and what went wrong. Pure."""
    counts = report.counts
    is_closed = report.error is None and report.reason not in REASONS
    found = counts.pages + counts.links + counts.articles + report.skipped
    parts = [*_list_output(report), *_list_bad_responses(report), *_list_events(report, is_closed=is_closed)]
    parts = parts or [count_sentence(report.requests, "nothing in 1 request", "nothing in {n:,} requests")]
    parts += [report.hint] if report.hint and not found else []
    summary = join_sentences(parts)
    if report.error is not None:
        return OutcomeRecord(Outcome.SPIDER_FAILED, join_sentences([report.error, *parts]) if found else report.error)
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
            (counts.links, count_sentence(counts.links, "1 link ({new} new)", "{n:,} links ({new} new)", new=counts.new_links)),
            (left_out, Sentence("{n} left out", n=left_out)),
            (counts.lost, Sentence("{n} lost", n=counts.lost)),
            (
                counts.ignored,
                count_sentence(counts.ignored, "1 item without url, title and text", "{n:,} items without url, title and text"),
            ),
            (counts.unreadable_dates, count_sentence(counts.unreadable_dates, "1 date unreadable", "{n:,} dates unreadable")),
            (report.skipped, count_sentence(report.skipped, "1 known page skipped", "{n:,} known pages skipped")),
        ),
    ]


def _list_bad_responses(report: RunReport) -> list[str]:
    return [
        *(
            count_sentence(
                n,
                "1 request refused: {outcome}",
                "{n:,} requests refused: {outcome}",
                outcome=f"{outcome} ({OUTCOMES[Outcome(outcome)].meaning})",
            )
            for outcome, n in report.refused.items()
        ),
        *(
            count_sentence(n, "1 response with HTTP {status}", "{n:,} responses with HTTP {status}", status=status)
            for status, n in sorted(report.bad_statuses.items())
        ),
    ]


def _list_events(report: RunReport, *, is_closed: bool) -> list[str]:
    """What else went wrong, and why the run ended early."""
    return _choose(
        (
            report.failed,
            count_sentence(
                report.failed, "1 request failed, first {error}", "{n:,} requests failed, first {error}", error=report.first_failure
            ),
        ),
        (report.dropped, count_sentence(report.dropped, "1 item dropped by pipelines", "{n:,} items dropped by pipelines")),
        (
            report.code_errors,
            count_sentence(
                report.code_errors,
                "1 error in callbacks or pipelines, first {error}",
                "{n:,} errors in callbacks or pipelines, first {error}",
                error=report.first_error,
            ),
        ),
        (report.waited_seconds >= 1, Sentence("waited {n:.0f} s for hosts that another process held", n=report.waited_seconds)),
        (report.reason == "pages", Sentence("stopped at spider_limits.pages")),
        (is_closed, Sentence("the spider closed itself: {reason}", reason=report.reason)),
    )


def _choose(*parts: tuple[int, str]) -> list[str]:
    """The texts whose count is not 0."""
    return [text for n, text in parts if n]


def _count_pages(counts: OutputCounts) -> list[str]:
    """ "3 pages, 2 finished articles (4 new, 1 known)"; nothing is new or known in a test run."""
    kinds = _choose(
        (counts.pages, count_sentence(counts.pages, "1 page", "{n:,} pages")),
        (counts.articles, count_sentence(counts.articles, "1 finished article", "{n:,} finished articles")),
    )
    if not kinds:
        return []
    text = join_sentences(kinds, ", ")
    is_stored = counts.queued_pages + counts.known_pages > 0
    stored = Sentence("{pages} ({new} new, {known} known)", pages=text, new=counts.queued_pages, known=counts.known_pages)
    return [stored if is_stored else text]
