"""Which of a host's due rows is fetched first: those of the smallest rank.

At one request per second, on a site with a long archive, the order decides whether new pages are fetched soon.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from newsmill.model import Kind, Link

RANK_MAIN_LISTING = -1  # a homepage names the other listings, and the entries of a feed describe the pages that all of them name
RANK_LISTING = 0  # sitemaps and sections: few, and they announce the news
RANK_REQUESTED = 1  # a person or a program waits for it
RANK_NEW = 2  # new on a feed, a section or the home page since its last poll
RANK_RECENT = 3  # from the first poll of a listing, or from a sitemap and dated within MAX_RECENT_AGE
RANK_REVISIT = 4  # a stored article is fetched again; ledger.revisits
RANK_OLD = 5  # from a sitemap, older or without a date; older pages from the first poll of another listing; on a site of others
RANK_BACKFILL = 6  # what a backfill finds and reads: behind everything else
FROM_BACKFILL = "backfill"  # `found_by` of what a backfill finds
FROM_PLAN = "source"  # `found_by` of the listings in a plan
REQUESTED_BY = frozenset({"manual", "api"})  # the sender waits for an answer, so an invalid URL gets a row too
MAX_NEWS_AGE = timedelta(days=2)  # the age up to which Google's news sitemaps list a page
MAX_RECENT_AGE = timedelta(days=30)


def rank(link: Link, now: datetime, *, is_first_read: bool = False, is_foreign: bool = False) -> int:
    """The rank of a link; the smaller is fetched first.

    `is_first_read`: it comes from the first poll of its listing. `is_foreign`: its source does not speak for its site, so what that site's
    own listings announce comes first.
    """
    own = _rank_own(link, now, is_first_read=is_first_read)
    return max(own, RANK_OLD) if is_foreign and own > RANK_REQUESTED else own


def _rank_own(link: Link, now: datetime, *, is_first_read: bool) -> int:
    if link.found_by == FROM_BACKFILL:
        return RANK_BACKFILL
    if link.kind is not Kind.PAGE:
        return RANK_MAIN_LISTING if link.kind in (Kind.FEED, Kind.HOMEPAGE) else RANK_LISTING
    if link.found_by in REQUESTED_BY:
        return RANK_REQUESTED
    published_at = link.hint.published_at or link.hint.modified_at
    age = None if published_at is None else now - published_at
    if link.found_by != Kind.SITEMAP:
        return RANK_NEW if not is_first_read else RANK_OLD if age is not None and age > MAX_RECENT_AGE else RANK_RECENT
    if age is None or age > MAX_RECENT_AGE:
        return RANK_OLD
    return RANK_RECENT if age > MAX_NEWS_AGE or is_first_read else RANK_NEW
