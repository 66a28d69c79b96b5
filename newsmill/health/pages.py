"""Causes that the newest pages and documents of a source prove: pages fail, have no text or another layout, or there are none. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

from newsmill.health.causes import PAGE_CAUSES, PROOF, Cause, classify_failure
from newsmill.health.records import Evidence, Finding, Observation
from newsmill.model import Outcome, OutcomeRecord

_DOCUMENTS = frozenset({Outcome.STORED, Outcome.UNCHANGED, Outcome.DUPLICATE})
_READ_OUTCOMES = _DOCUMENTS | PAGE_CAUSES.keys()  # others say nothing about extraction: a page that is gone was never there
MIN_FAILING_PAGES = 3  # one broken page is not a broken source
MIN_PAGES = 5  # with the same outcome, in a row or nearly so
MIN_SHARE = 0.8  # of the newest pages
# Of a mix of outcomes that would be chance. 10,000 sources * 6 outcomes * 20 separate windows a week * 1e-8 = 0.012 false alarms a week.
MAX_CHANCE = 1e-8


def find_failing_pages(seen: Observation) -> Iterable[Finding]:
    """Pages that cannot be fetched since the newest document."""
    pages = seen.pages
    if pages is not None and pages.count >= MIN_FAILING_PAGES and pages.tried_at - pages.since >= PROOF:
        cause = classify_failure(pages.failure)
        evidence = Evidence(pages.failure, pages.url, None, pages.count, 0, is_pages=True, last_at=seen.last_document_at)
        yield Finding(cause, pages.since, evidence)


def find_unread_pages(seen: Observation) -> Iterable[Finding]:
    """Outcomes of the newest pages that the source's own history makes improbable."""
    for window in seen.windows:
        recent, earlier = count_read(window.recent), count_read(window.earlier)
        for outcome, cause in PAGE_CAUSES.items():
            count = window.recent.get(outcome, 0)
            if count < MIN_PAGES or count < MIN_SHARE * recent:
                continue
            usual = window.earlier.get(outcome, 0) / earlier if earlier else None
            # a source that never gave a document is judged by its pages alone
            share = (window.earlier.get(outcome, 0) + 1) / (earlier + 2)
            chance = 0.0 if seen.last_document_at is None else binomial_tail(count, recent, share)
            if chance <= MAX_CHANCE:
                failure, probability = OutcomeRecord(outcome), None if usual is None else chance
                yield Finding(
                    cause,
                    window.since,
                    Evidence(
                        failure,
                        failing=count,
                        of=recent,
                        is_pages=True,
                        last_at=seen.last_document_at,
                        usual=usual,
                        probability=probability,
                    ),
                )


def count_read(outcomes: Mapping[Outcome, int]) -> int:
    """The pages of which extraction had something to say."""
    return sum(n for outcome, n in outcomes.items() if outcome in _READ_OUTCOMES)


def count_documents(outcomes: Mapping[Outcome, int]) -> int:
    """The pages that gave a document, or the same document as another page."""
    return sum(n for outcome, n in outcomes.items() if outcome in _DOCUMENTS)


def binomial_tail(count: int, of: int, share: float) -> float:
    """The probability of at least `count` of `of` where each has the probability `share`.

    >>> round(binomial_tail(5, 5, 0.1), 6)
    1e-05
    """
    logs = [
        math.lgamma(of + 1) - math.lgamma(k + 1) - math.lgamma(of - k + 1) + k * math.log(share) + (of - k) * math.log1p(-share)
        for k in range(count, of + 1)
    ]
    return min(1.0, sum(math.exp(log) for log in logs))


def find_layout_change(seen: Observation) -> Iterable[Finding]:
    """Newest documents whose text is at other positions than before."""
    layout = seen.layout
    if layout is None:
        return
    if layout.has_changed or layout.version_since is not None:
        since = layout.version_since or seen.at
        evidence = Evidence(site=layout.site, fit=layout.recent, usual=layout.usual, words=layout.words, usual_words=layout.usual_words)
        yield Finding(Cause.LAYOUT_CHANGE, since, evidence)


def find_silence(seen: Observation) -> Iterable[Finding]:
    """A silence that the source's own history makes improbable."""
    last = seen.last_document_at
    if last is None:
        return
    chance = seen.rhythm.silence_probability(last, seen.at)
    if chance < seen.rhythm.level:
        yield Finding(Cause.SILENT, last, Evidence(last_at=last, expected=seen.rhythm.expect(last, seen.at), probability=chance))
