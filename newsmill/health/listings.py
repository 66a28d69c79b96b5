"""Causes that the listings of a source prove: all or some fail, one has moved, or one has lost its entries. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

from newsmill.health.causes import HOST_CAUSES, PROOF, Cause, classify_failure
from newsmill.health.records import Evidence, Finding, ListingRecord, Observation
from newsmill.model import Kind

MISSING_PROOF = timedelta(hours=3)  # a listing that was found by discovery is not tried again after a 404
PART_PROOF = timedelta(hours=24)  # the same while other listings of the source are read


def find_failing_listings(seen: Observation) -> Iterable[Finding]:
    """Listings that fail for long enough: all of them, or a part."""
    read = [listing for listing in seen.listings if listing.tried_at is not None]
    failing = [listing for listing in read if listing.failure is not None and listing.failing_since is not None]
    if not failing:
        return
    if len(failing) == len(read) or _is_host_failing(failing, read):
        yield from _judge_whole(failing, seen)
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


def _judge_whole(failing: Sequence[ListingRecord], seen: Observation) -> Iterable[Finding]:
    """All listings fail, since the last of them began to fail. A source that never worked needs no second try."""
    groups = _group(failing)
    cause = max(groups, key=lambda cause: len(groups[cause]))
    since = max(_since(listing) for listing in failing)
    is_new = seen.last_document_at is None and not any(listing.had_entries for listing in failing)
    if is_new or max(_tried(listing) for listing in failing) - since >= PROOF:
        chosen = groups[cause]
        yield Finding(cause, since, Evidence(chosen[0].failure, chosen[0].url, None, len(failing), len(failing)))


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


def find_lists_without_entries(seen: Observation) -> Iterable[Finding]:
    """Feeds, sections and homepages that lost their entries. A news sitemap is empty whenever two days pass without news."""
    emptied = [one for one in seen.listings if one.emptied_at is not None and one.failure is None and one.kind is not Kind.SITEMAP]
    proven = [one for one in emptied if one.emptied_at is not None and (one.tried_at or one.emptied_at) - one.emptied_at >= PROOF]
    if proven:
        first = min(proven, key=lambda one: one.emptied_at or seen.at)
        with_entries = sum(one.had_entries for one in seen.listings)
        evidence = Evidence(None, first.url, None, len(proven), with_entries, last_at=seen.last_document_at)
        yield Finding(Cause.EMPTIED_LISTING, first.emptied_at or seen.at, evidence)
