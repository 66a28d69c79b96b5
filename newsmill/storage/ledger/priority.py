"""Which of a host's due rows is fetched first. At one request a second, on a site with a long past, order decides what is fresh."""

from __future__ import annotations

from datetime import datetime, timedelta

from newsmill.model import Kind, Link

LISTING = 0  # where news is announced; there are few
ASKED = 1  # a person or a program waits for it
NEW = 2  # what a feed, a section or the front page shows
RECENT = 3  # from a sitemap, of the last weeks
PAST = 4  # from a sitemap, older or without a date

BY_HAND = frozenset({"manual", "api"})  # whoever gave such an address waits for an answer, so even a bad one gets a row
NEWS = timedelta(days=2)  # what Google's news sitemaps hold
WEEKS = timedelta(days=30)


def rank(link: Link, now: datetime) -> int:
    """Smaller comes first. Pure."""
    if link.kind is not Kind.PAGE:
        return LISTING
    if link.found_by in BY_HAND:
        return ASKED
    if link.found_by != Kind.SITEMAP:
        return NEW
    dated = link.hint.published_at or link.hint.modified_at
    age = None if dated is None else now - dated
    return PAST if age is None or age > WEEKS else RECENT if age > NEWS else NEW
