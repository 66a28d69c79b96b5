"""Which causes of a source are proven, by its listings, its pages and its documents."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta

from newsmill.health.causes import (
    CAUSE_STATES,
    HOST_CAUSES,
    PAGE_CAUSES,
    PROOF,
    Cause,
    Evidence,
    Finding,
    ListingRecord,
    Observation,
    classify_failure,
)
from newsmill.model import Kind, Outcome, OutcomeRecord

MISSING_PROOF = timedelta(hours=2)  # from the first 404; the listing is tried again every hour
PART_PROOF = timedelta(hours=24)  # the same while other listings of the source are read
_DOCUMENTS = frozenset({Outcome.STORED, Outcome.UNCHANGED, Outcome.DUPLICATE})
_READ_OUTCOMES = _DOCUMENTS | PAGE_CAUSES.keys()  # others say nothing about extraction: a page that is gone was never there
MIN_FAILING_PAGES = 3  # one broken page is not a broken source
MIN_PAGES = 5  # with the same outcome, in a row or nearly so
MIN_SHARE = 0.8  # of the newest pages
# Of a mix of outcomes that would be chance. 10,000 sources * 6 outcomes * 20 separate windows a week * 1e-8 = 0.012 false alarms a week.
MAX_CHANCE = 1e-8


def find_causes(seen: Observation) -> list[Finding]:
    """The causes that are proven now, at most one finding of each, the heaviest first."""
    if not seen.is_enabled:
        return []
    found = [*_find_failing_listings(seen), *_find_lists_without_entries(seen), *_find_failing_pages(seen), *_find_unread_pages(seen)]
    found += [*_find_layout_change(seen), *_find_silence(seen)]
    first: dict[Cause, Finding] = {}
    for finding in found:
        first.setdefault(finding.cause, finding)
    return [first[cause] for cause in CAUSE_STATES if cause in first]


def _find_failing_listings(seen: Observation) -> Iterable[Finding]:
    """Listings that fail for long enough: all of them, or a part. One that never had an entry does not make up for the others."""
    read = [listing for listing in seen.listings if listing.tried_at is not None]
    failing = [listing for listing in read if listing.failure is not None and listing.failing_since is not None]
    if not failing:
        return
    if _is_host_failing(failing, read):
        yield from _judge_whole(failing, len(failing), seen)
        return
    if not any(listing.failure is None and listing.had_entries for listing in read):
        yield from _judge_whole(failing, len(read), seen)
        return
    for cause, some in _group(failing).items():
        since = min(_since(listing) for listing in some)
        moved = _find_new_place(some, seen.listings) if cause is Cause.MISSING_LISTINGS else None
        if moved is not None:
            listing, new_url = moved
            yield Finding(Cause.MOVED_LISTING, since, Evidence(listing.failure, listing.url, new_url, 1, len(read)))
        elif _is_part_proven(cause, some, since, seen.at):
            yield Finding(cause, since, Evidence(some[0].failure, some[0].url, None, len(some), len(read)))


def _is_host_failing(failing: Sequence[ListingRecord], read: Sequence[ListingRecord]) -> bool:
    """Whether the host may fail for all listings: nothing was read since the first failure. Copies of others are polled once a day."""
    begun = min(_since(listing) for listing in failing)
    causes = {classify_failure(listing.failure) for listing in failing if listing.failure is not None}
    is_read = any(listing.failure is None and listing.tried_at is not None and listing.tried_at >= begun for listing in read)
    return not is_read and causes <= HOST_CAUSES


def _is_part_proven(cause: Cause, some: Sequence[ListingRecord], since: datetime, at: datetime) -> bool:
    """Whether a part of the listings fails for long enough. robots.txt may rightly name some listings only."""
    if cause is Cause.MISSING_LISTINGS:
        return at - since >= MISSING_PROOF
    return cause is not Cause.ROBOTS and max(_tried(listing) for listing in some) - since >= PART_PROOF


def _judge_whole(failing: Sequence[ListingRecord], of: int, seen: Observation) -> Iterable[Finding]:
    """All listings with entries fail, since the last of them began to fail. A source that never worked needs no second try."""
    groups = _group(failing)
    cause = max(groups, key=lambda cause: len(groups[cause]))
    since = max(_since(listing) for listing in failing)
    is_new = seen.last_document_at is None and not any(listing.had_entries for listing in failing)
    if is_new or max(_tried(listing) for listing in failing) - since >= PROOF:
        chosen = groups[cause]
        yield Finding(cause, since, Evidence(chosen[0].failure, chosen[0].url, None, len(failing), of))


def _group(failing: Iterable[ListingRecord]) -> dict[Cause, list[ListingRecord]]:
    groups: dict[Cause, list[ListingRecord]] = {}
    for listing in failing:
        if listing.failure is not None:
            groups.setdefault(classify_failure(listing.failure), []).append(listing)
    return groups


def _since(listing: ListingRecord) -> datetime:
    assert listing.failing_since is not None
    return listing.failing_since


def _tried(listing: ListingRecord) -> datetime:
    return listing.tried_at or _since(listing)


def _find_new_place(missing: Sequence[ListingRecord], listings: Sequence[ListingRecord]) -> tuple[ListingRecord, str] | None:
    """A missing feed or sitemap, and the URL of one of its kind that was found about when it began to fail, and that is read."""
    for old in missing:
        for new in listings:
            is_same_kind = new.kind is old.kind and new.kind is not Kind.HOMEPAGE
            if is_same_kind and new.failure is None and new.had_entries and _is_successor(old, new):
                return old, new.url
    return None


def _is_successor(old: ListingRecord, new: ListingRecord) -> bool:
    """Whether a listing was found about when the other one began to fail, and not together with it."""
    if old.first_seen_at is None or new.first_seen_at is None:
        return False
    return new.first_seen_at >= max(_since(old) - timedelta(hours=2), old.first_seen_at + timedelta(hours=1))


def _find_lists_without_entries(seen: Observation) -> Iterable[Finding]:
    """Feeds, sections and homepages that lost their entries."""
    emptied = [one for one in seen.listings if is_emptied(one) and one.failure is None]
    proven = [one for one in emptied if one.emptied_at is not None and (one.tried_at or one.emptied_at) - one.emptied_at >= PROOF]
    if proven:
        first = min(proven, key=lambda one: one.emptied_at or seen.at)
        with_entries = sum(one.had_entries for one in seen.listings)
        evidence = Evidence(None, first.url, None, len(proven), with_entries, last_at=seen.last_document_at)
        yield Finding(Cause.EMPTIED_LISTING, first.emptied_at or seen.at, evidence)


def is_emptied(listing: ListingRecord) -> bool:
    """Whether a listing had no entries when it was last read, but had some before. A news sitemap is empty after two days without news."""
    return listing.emptied_at is not None and listing.kind is not Kind.SITEMAP


def _find_failing_pages(seen: Observation) -> Iterable[Finding]:
    """Pages that cannot be fetched since the newest document."""
    pages = seen.pages
    if pages is not None and pages.count >= MIN_FAILING_PAGES and pages.tried_at - pages.since >= PROOF:
        cause = classify_failure(pages.failure, is_page=True)
        evidence = Evidence(pages.failure, pages.url, None, pages.count, 0, is_pages=True, last_at=seen.last_document_at)
        yield Finding(cause, pages.since, evidence)


def _find_unread_pages(seen: Observation) -> Iterable[Finding]:
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


def _find_layout_change(seen: Observation) -> Iterable[Finding]:
    """Newest documents whose text is at other positions than before."""
    layout = seen.layout
    if layout is None:
        return
    if layout.has_changed or layout.version_since is not None:
        since = layout.version_since or seen.at
        evidence = Evidence(site=layout.site, fit=layout.recent, usual=layout.usual, words=layout.words, usual_words=layout.usual_words)
        yield Finding(Cause.LAYOUT_CHANGE, since, evidence)


def _find_silence(seen: Observation) -> Iterable[Finding]:
    """A silence until the last read of a listing that the source's own history makes improbable. While new pages wait, it is not silent."""
    last, until = seen.last_document_at, seen.read_at
    if last is None or until is None or seen.has_waiting_pages:
        return
    chance = seen.rhythm.silence_probability(last, until)
    if chance < seen.rhythm.level:
        yield Finding(Cause.SILENT, last, Evidence(last_at=last, expected=seen.rhythm.expect(last, until), probability=chance))
