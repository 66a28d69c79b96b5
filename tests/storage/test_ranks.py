"""New pages are fetched before old ones, whichever listing found them first."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from newsmill.model import Hint, Kind, Link, Source
from newsmill.storage.ledger import Ledger
from newsmill.storage.ledger.priority import RANK_LISTING, RANK_MAIN_LISTING, RANK_NEW, RANK_OLD, RANK_RECENT, RANK_REQUESTED, rank

NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)


def old(days: float) -> Hint:
    return Hint(modified_at=NOW - timedelta(days=days))


@pytest.mark.parametrize(
    ("link", "expected"),
    [
        (Link("http://a.example/feed", Kind.FEED, found_by="homepage"), RANK_MAIN_LISTING),
        (Link("http://a.example/politics/", Kind.SECTION, found_by="homepage"), RANK_LISTING),
        (Link("http://a.example/x"), RANK_REQUESTED),
        (Link("http://a.example/x", found_by="api"), RANK_REQUESTED),
        (Link("http://a.example/x", found_by="feed", hint=old(400)), RANK_NEW),
        (Link("http://a.example/x", found_by="section"), RANK_NEW),
        (Link("http://a.example/x", found_by="sitemap", hint=old(1)), RANK_NEW),
        (Link("http://a.example/x", found_by="sitemap", hint=old(10)), RANK_RECENT),
        (Link("http://a.example/x", found_by="sitemap", hint=old(400)), RANK_OLD),
        (Link("http://a.example/x", found_by="sitemap"), RANK_OLD),
    ],
)
def test_rank(link: Link, expected: int) -> None:
    assert rank(link, NOW) == expected


def test_leased_by_rank(ledger: Ledger) -> None:
    past = [Link(f"http://a.example/past/{n}", found_by="sitemap") for n in range(5)]
    ledger.links.add(past, now=NOW - timedelta(hours=1))
    ledger.links.add([Link("http://a.example/new", found_by="feed")], now=NOW)
    ledger.links.add([Link("http://a.example/past/3", found_by="feed")], now=NOW)  # a feed shows what the sitemap ranked last
    ledger.links.add([Link("http://a.example/submitted")], now=NOW)
    ledger.links.add([Link("http://a.example/feed", Kind.FEED, found_by="homepage")], now=NOW)
    (host,) = ledger.hosts.lease("me", limit=9, seconds=60, now=NOW)
    leased_rows = ledger.url_leases.lease(host.host, "me", limit=5, seconds=60, now=NOW)
    assert [row.url.rpartition("example/")[2] for row in leased_rows] == [
        "feed",
        "submitted",
        "past/3",
        "new",
        leased_rows[4].url.rpartition("example/")[2],
    ]


def test_hints_of_all_listings_are_kept_until_the_page_is_fetched(ledger: Ledger) -> None:
    page = Link("http://a.example/x", found_on="http://a.example/")
    homepage, sitemap = replace(page, found_by="homepage"), replace(page, found_by="sitemap", hint=old(1))
    entry = Hint(title="X", authors=("Jane Doe",), published_at=NOW - timedelta(days=2), modified_at=NOW, tags=("ferry",))
    for link in (homepage, sitemap, replace(page, found_by="feed", hint=entry), homepage):
        ledger.links.add([link], now=NOW)
    (host,) = ledger.hosts.lease("me", limit=9, seconds=60, now=NOW)
    (row,) = ledger.url_leases.lease(host.host, "me", limit=9, seconds=60, now=NOW)
    assert (row.found_by, row.hint) == ("homepage", replace(entry, modified_at=NOW - timedelta(days=1)))


def test_a_tick_leaves_what_was_walked_to(ledger: Ledger) -> None:
    """The parts of a sitemap index and the further pages of a section come due through what leads to them."""
    ledger.sources.put(Source("paper", feeds=("http://a.example/feed",), every=timedelta(hours=1)), now=NOW)
    walked = [
        Link("http://a.example/s/2", Kind.SECTION, "paper", "section"),
        Link("http://a.example/1.xml", Kind.SITEMAP, "paper", "sitemap"),
    ]
    found = [Link("http://a.example/s", Kind.SECTION, "paper", "homepage"), Link("http://a.example/map", Kind.SITEMAP, "paper", "robots")]
    ledger.links.add([*walked, *found], now=NOW)
    end_all(ledger)
    ledger.sources.tick(now=NOW + timedelta(hours=1), next_tick=lambda source, after: after + timedelta(hours=1))
    due = {trace.url for trace in ledger.traces.list_all() if trace.state == "due"}
    assert due == {"http://a.example/feed", "http://a.example/s", "http://a.example/map"}


def end_all(ledger: Ledger) -> None:
    from newsmill.model import Outcome, OutcomeRecord
    from newsmill.storage.ledger import Ended

    (host,) = ledger.hosts.lease("me", limit=9, seconds=60, now=NOW)
    leased_rows = ledger.url_leases.lease(host.host, "me", limit=99, seconds=60, now=NOW)
    ledger.url_endings.end([Ended(row.id, row.fence, OutcomeRecord(Outcome.LISTED)) for row in leased_rows], now=NOW)
    ledger.hosts.release(host.host, "me", now=NOW)
