"""Decides whether robots.txt and the source's patterns allow a URL."""

from __future__ import annotations

import regex

from crawler.politeness.throttle import HostThrottle
from newsmill.discovery.source_sites import covers
from newsmill.model import Kind, LeasedUrl, Outcome, OutcomeRecord, Source
from newsmill.text.sentences import Sentence

MAX_PATTERN_SECONDS = 0.01  # of CPU time for one pattern and one URL, in the event loop; an honest pattern takes some microseconds


def find_refusal(leased_url: LeasedUrl, source: Source | None, throttle: HostThrottle) -> OutcomeRecord | None:
    """The outcome of a URL that may not be fetched, by robots.txt or by the source's patterns. None: it may be."""
    refusal = find_robots_refusal(leased_url.url, source, throttle)
    return find_pattern_refusal(leased_url.url, source, throttle) if refusal is None and leased_url.kind is Kind.PAGE else refusal


def find_robots_refusal(url: str, source: Source | None, throttle: HostThrottle) -> OutcomeRecord | None:
    """The outcome of a URL that its host's robots.txt forbids, or may forbid. None: it is allowed, or the source need not obey.

    The permission of a source's publisher holds for the sites of the source.
    """
    if source is not None and not source.robots and covers(source, url):
        return None
    decision = throttle.decide(url)
    if decision.is_allowed:
        return None
    return OutcomeRecord(
        Outcome.ROBOTS_DISALLOWED, None if decision.is_complete else f"robots.txt has too many wildcards: {decision.searches:,} were tried"
    )


def find_pattern_refusal(url: str, source: Source | None, throttle: HostThrottle) -> OutcomeRecord | None:
    """The outcome of a URL that the source's allow and deny patterns leave out; deny wins. None: it may be fetched.

    A pattern can backtrack for years on a URL made for it. After MAX_PATTERN_SECONDS the URL is left out, and its host is charged.
    """
    if source is None:
        return None
    pattern = ""
    try:
        for pattern in source.deny:
            if regex.search(pattern, url, timeout=MAX_PATTERN_SECONDS):
                return OutcomeRecord(Outcome.DENIED, Sentence("deny {pattern}", pattern=repr(pattern)))
        for pattern in source.allow:
            if regex.search(pattern, url, timeout=MAX_PATTERN_SECONDS):
                return None
    except TimeoutError:
        throttle.charge_cpu(MAX_PATTERN_SECONDS)
        return OutcomeRecord(
            Outcome.DENIED,
            Sentence(
                "the pattern {pattern} takes longer than {n} s on this URL; write a simpler one",
                pattern=repr(pattern),
                n=MAX_PATTERN_SECONDS,
            ),
        )
    return OutcomeRecord(Outcome.DENIED, Sentence("matches no allow pattern")) if source.allow else None
