"""Stored articles are fetched again: when, before what, and what each result leaves in row, document and counters."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from rows import HOST, NOON, SITE, SOURCE, Mill, after, bad, document_of, ended, good, links
from sqlalchemy import Engine

from newsmill.archive.archive import Archive
from newsmill.model import Author, Document, ExtractionResult, LeasedUrl, Link, Outcome, OutcomeRecord, State
from newsmill.storage.doctor import Doctor
from newsmill.storage.documents import Documents
from newsmill.storage.ledger import Ledger, Postponed, Result, Trace
from newsmill.storage.publishers import Publishers

URL = f"{SITE}/0"


def article(url: str, canonical: str | None = None, **fields: object) -> Document:
    """A document published when it was found, from the page that is read."""
    return document_of(url, canonical, **{"archive_ref": None, "published_at": NOON, **fields})  # type: ignore[arg-type]


@pytest.fixture
def mill(ledger: Ledger) -> Mill:
    """A source with one stored article, published when it was found."""
    mill = Mill(ledger)
    ledger.sources.put(SOURCE, now=NOON)
    rows = mill.lease()  # the listings of the plan
    ledger.url_endings.end([ended(row, Outcome.LISTED) for row in rows], now=NOON)
    claims = mill.fetch(*links(1))
    mill.store(*(good(claim, article(claim.url)) for claim in claims))
    return mill


def trace(mill: Mill, url: str = URL) -> Trace:
    found = mill.ledger.traces.get(url)
    assert found is not None
    return found


def revisit(mill: Mill, **spans: float) -> LeasedUrl:
    """The row of the article, leased for the revisit that is due after this time."""
    mill.now = after(**spans)
    assert mill.ledger.due_revisits.make_due(now=mill.now) == 1
    (row,) = mill.lease()
    assert row.is_revisit and row.url == URL
    return row


def check_history(mill: Mill, next_at: float | None) -> None:
    """The row has the outcome and time of its first fetch, counted once; it is revisited `next_at` hours after that."""
    found = trace(mill)
    assert (found.state, found.outcome, found.ended_at, found.attempts) == (State.DONE, Outcome.STORED, NOON, 0)
    assert found.revisit_at == (None if next_at is None else after(hours=next_at))
    progress = mill.ledger.progress.count("paper")
    assert (progress.pages, progress.outcomes, progress.pending) == (1, {Outcome.STORED: 1}, 0)


def test_a_page_that_is_not_modified_keeps_everything(mill: Mill, documents: Documents) -> None:
    before = documents.get(URL)
    check_history(mill, 1)
    assert mill.ledger.due_revisits.make_due(now=after(minutes=59)) == 0
    for age, following in ((1, 6), (6, 24), (24, 168), (168, None)):
        row = revisit(mill, hours=age)
        assert row.etag == f'"{row.id}"' and row.attempts == 0
        assert mill.ledger.progress.count("paper").outcomes == {Outcome.STORED: 1} and mill.ledger.progress.count("paper").pending == 0
        assert mill.ledger.url_endings.end([ended(row, Outcome.NOT_MODIFIED)], now=mill.now) == 1
        check_history(mill, following)
    assert documents.get(URL) == before


def test_an_article_that_continues_on_further_pages_by_now_waits_for_them(mill: Mill, documents: Documents) -> None:
    before = documents.get(URL)
    assert not revisit(mill, hours=1).has_parts
    (claim,) = mill.claim(mill.save())
    reading = ExtractionResult(OutcomeRecord(Outcome.UNCHANGED), next_page=f"{URL}/2")
    mill.store(Result(claim, reading, wants_parts=True))
    check_history(mill, 6)
    assert documents.get(URL) == before and revisit(mill, hours=6).has_parts


def test_only_a_changed_article_is_a_revision(mill: Mill, documents: Documents) -> None:
    both = (Author("Ann"), Author("Ben"))
    steps: tuple[tuple[float, dict[str, Any], int, float], ...] = (
        (1, {}, 1, 6),  # the same text, other advertisements
        (6, {"content": "two"}, 2, 9),
        (9, {"content": "three"}, 3, 13.5),
        (13.5, {"content": "three", "authors": both}, 3, 24),
    )
    for age, fields, revision, following in steps:
        revisit(mill, hours=age)
        (claim,) = mill.claim(mill.save())
        mill.store(good(claim, article(URL, **fields)))
        check_history(mill, following)
        document = documents.get(URL)
        assert document is not None and (document.revision, document.first_seen_at) == (revision, NOON)
        assert document.authors == fields.get("authors", article(URL).authors)
        assert document.archive_ref == f"{claim.segment}@0" == f"{trace(mill).segment}@{trace(mill).offset}"


@pytest.mark.parametrize(
    "failure",
    [
        Outcome.CONSENT_WALL,
        Outcome.PAYWALL,
        Outcome.NO_TEXT,
        Outcome.BLOCKED,
        Outcome.TOO_LARGE,
        Outcome.DIED,
        Outcome.HTTP_ERROR,
        Outcome.DNS,
    ],
)
def test_a_revisit_that_fails_harms_nothing(mill: Mill, documents: Documents, failure: Outcome) -> None:
    before, good_page = documents.get(URL), trace(mill)
    row = revisit(mill, hours=1)
    match failure:
        case Outcome.HTTP_ERROR:
            mill.ledger.url_endings.end([ended(row, failure, "HTTP 410")], now=mill.now)
        case Outcome.DNS:
            mill.ledger.url_endings.postpone(
                [Postponed(row.id, row.fence, after(hours=5), "", failure=OutcomeRecord(failure, ""))], now=mill.now
            )
        case Outcome.DIED:
            (claim,) = mill.claim(mill.save())
            mill.ledger.claims.report_crash(claim, "read", "died", now=mill.now, final=True)
        case _:
            (claim,) = mill.claim(mill.save())
            retry_at = after(hours=2) if failure is Outcome.BLOCKED else None
            assert mill.store(replace(bad(claim, failure), retry_at=retry_at)) == {}
    check_history(mill, 5 if failure is Outcome.DNS else 2)
    found = trace(mill)
    assert (found.failure, found.failed_at, found.failing_since) == (failure, mill.now, None)
    assert (found.segment, found.offset, found.status) == (good_page.segment, good_page.offset, 200)  # for another extraction
    assert documents.get(URL) == before


def test_an_article_that_is_gone_stays_and_may_come_back(mill: Mill, documents: Documents) -> None:
    before = documents.get(URL)
    assert before is not None
    for age, following, gone_at in ((1, 2, 1), (2, 6, 1)):  # the first absence is confirmed before the next step
        mill.ledger.url_endings.end([ended(revisit(mill, hours=age), Outcome.GONE, "HTTP 404")], now=mill.now)
        assert documents.get(URL) == replace(before, gone_at=after(hours=gone_at))
        check_history(mill, following)
        assert trace(mill).failure is Outcome.GONE
    mill.ledger.url_endings.end([ended(revisit(mill, hours=6), Outcome.NOT_MODIFIED)], now=mill.now)
    assert documents.get(URL) == before
    mill.ledger.url_endings.end([ended(revisit(mill, hours=24), Outcome.GONE, "HTTP 410")], now=mill.now)
    revisit(mill, hours=30)
    (claim,) = mill.claim(mill.save())
    mill.store(good(claim, article(URL)))
    document = documents.get(URL)
    assert document is not None and (document.gone_at, document.revision) == (None, 1)


def test_an_article_that_a_person_has_fetched_again_is_gone_and_comes_back(mill: Mill, documents: Documents) -> None:
    before = documents.get(URL)
    assert before is not None
    for hours in (1, 2):
        mill.now = after(hours=hours)
        mill.ledger.links.add(links(1), now=mill.now, again=True)
        (row,) = mill.lease()
        assert not row.is_revisit
        mill.ledger.url_endings.end([ended(row, Outcome.GONE, "HTTP 410")], now=mill.now)
        assert documents.get(URL) == replace(before, gone_at=after(hours=1))
        assert trace(mill).outcome is Outcome.GONE
    mill.ledger.links.add(links(1), now=mill.now, again=True)
    (claim,) = mill.claim(mill.save(mill.lease()))
    mill.store(good(claim, article(URL)))
    document = documents.get(URL)
    assert document is not None and (document.gone_at, document.revision) == (None, 1)


def test_a_redirect_to_another_article_replaces_nothing(mill: Mill, documents: Documents) -> None:
    """An article that moved keeps its id."""
    before = documents.get(URL)
    (other,) = mill.fetch(Link(f"{SITE}/other", source="paper"))
    mill.store(good(other, article(other.url, title="Other", text="Other", published_at=NOON - timedelta(days=90))))
    revisit(mill, hours=1)
    (claim,) = mill.claim(mill.save())
    mill.store(good(claim, article(f"{SITE}/other")))
    assert trace(mill).failure is Outcome.DUPLICATE
    revisit(mill, hours=2)
    (claim,) = mill.claim(mill.save())
    mill.store(good(claim, article(f"{SITE}/third", title="Third", text="Another article")))
    assert trace(mill).failure is Outcome.NOT_ARTICLE and documents.get(URL) == before and documents.count() == 2
    revisit(mill, hours=3)
    (claim,) = mill.claim(mill.save())
    mill.store(good(claim, article(f"{SITE}/0-a-better-slug", content="edited")))
    document = documents.get(URL)
    assert document is not None and before is not None and (document.id, document.revision) == (before.id, 2)
    assert document.url.endswith("slug") and documents.count() == 2


def test_a_notice_in_the_place_of_an_article_replaces_nothing(mill: Mill, documents: Documents) -> None:
    """A site under maintenance may show its notice at every URL with HTTP 200. A rewritten article is a revision all the same."""
    before = documents.get(URL)
    assert before is not None
    notice: dict[str, Any] = {"title": "We will be right back", "text": "Soon.", "content": "notice", "confidence": 0.7}
    rewritten = {**notice, "text": f"All of it is new. {before.text}", "content": "new"}
    shorter = {**notice, "text": "x" * (3 * len(before.text) // 4), "content": "shorter", "confidence": 0.9}
    cases = ((1, notice, 1), (2, {**notice, "confidence": 0.95}, 1), (3, shorter, 2), (5, rewritten, 3))
    for age, fields, revision in cases:
        revisit(mill, hours=age)
        (claim,) = mill.claim(mill.save())
        mill.store(good(claim, article(URL, **fields)))
        found = documents.get(URL)
        assert found is not None and found.revision == revision
        assert revision > 1 or (found == before and trace(mill).failure is Outcome.NOT_ARTICLE)


def test_an_article_that_another_url_takes_over_is_a_duplicate(mill: Mill, documents: Documents) -> None:
    """While it is revisited, too: its counter moves once."""
    (print_copy,) = mill.fetch(Link(f"{SITE}/print", source="paper"))
    canonical = f"{SITE}/canonical"
    mill.store(good(print_copy, article(print_copy.url, canonical)))
    mill.now = after(hours=1)
    assert mill.ledger.due_revisits.make_due(now=mill.now) == 2
    mill.now = after(hours=1, seconds=4)
    rows = mill.lease()
    mill.ledger.url_endings.end([ended(row, Outcome.NOT_MODIFIED) for row in rows if row.url == URL], now=mill.now)
    segment = mill.save([row for row in rows if row.url == print_copy.url])
    (original,) = mill.fetch(Link(canonical, source="paper"))
    mill.store(good(original, article(canonical, canonical)))
    (claim,) = mill.claim(segment)
    mill.store(good(claim, article(print_copy.url, canonical)))
    assert (trace(mill, print_copy.url).outcome, trace(mill, print_copy.url).revisit_at) == (Outcome.DUPLICATE, None)
    assert mill.ledger.progress.count("paper").outcomes == {Outcome.STORED: 2, Outcome.DUPLICATE: 1}
    assert documents.count() == 2


def test_new_pages_go_first_and_the_archive_last(mill: Mill) -> None:
    mill.now = after(hours=1)
    mill.ledger.due_revisits.make_due(now=mill.now)
    mill.ledger.links.add([Link(URL, source="paper", found_by="feed")], now=mill.now)  # still in the feed
    old, new = Link(f"{SITE}/old", source="paper", found_by="sitemap"), Link(f"{SITE}/new", source="paper", found_by="feed")
    mill.ledger.links.add([old, new], now=mill.now)
    assert [row.url for row in mill.lease()] == [new.url, URL, old.url]


def test_revisits_take_a_share_of_the_requests_of_a_host(mill: Mill) -> None:
    """SOURCE has a delay of 1 s, so one revisit is due every 4 s, for 5 minutes ahead."""
    mill.store(*(good(claim, article(claim.url)) for claim in mill.fetch(*links(90))))
    mill.now = after(hours=1)
    assert mill.ledger.due_revisits.make_due(now=mill.now) == 76
    assert [len(mill.lease()), mill.ledger.due_revisits.make_due(now=mill.now)] == [1, 0]
    mill.now = after(hours=1, seconds=40)
    assert len(mill.lease()) == 10
    mill.now = after(hours=1, minutes=30)
    mill.ledger.due_revisits.make_due(now=mill.now)
    assert 65 < len(mill.lease()) <= 100  # nothing was fetched for half an hour; the others still wait


def test_revisits_keep_to_the_delay_that_the_owner_of_the_host_wants(mill: Mill, engine: Engine) -> None:
    mill.store(*(good(claim, article(claim.url)) for claim in mill.fetch(*links(20))))
    Publishers(engine).give_order(HOST, is_stopped=False, delay=20.0, now=NOON)
    assert mill.ledger.due_revisits.make_due(now=after(hours=1)) == 4, "one every 80 s"


def test_no_revisits_of_what_is_paused_removed_or_not_planned(mill: Mill) -> None:
    mill.ledger.sources.set_enabled("paper", False, now=NOON)
    mill.now = after(hours=1)
    assert mill.ledger.due_revisits.make_due(now=mill.now) == 0 and trace(mill).revisit_at == after(hours=25)
    mill.ledger.sources.put(replace(SOURCE, revisit=()), now=mill.now)
    mill.now = after(hours=25)
    assert mill.ledger.due_revisits.make_due(now=mill.now) == 0 and trace(mill).revisit_at is None
    (claim,) = mill.fetch(Link(f"{SITE}/unplanned", source="paper"))
    (other,) = mill.fetch(Link(f"{SITE}/manual"))
    mill.store(good(claim, article(claim.url)), good(other, article(other.url)))
    assert trace(mill, claim.url).revisit_at is None and trace(mill, other.url).revisit_at is None


def test_a_person_who_asks_for_a_page_does_not_wait_for_its_revisit(mill: Mill) -> None:
    mill.now = after(hours=1)
    mill.ledger.due_revisits.make_due(now=mill.now)
    added = mill.ledger.links.add([Link(URL)], now=mill.now, again=True)
    assert added.again == 1
    (row,) = mill.lease()
    assert not row.is_revisit and mill.ledger.progress.count("paper").outcomes == {}
    (claim,) = mill.claim(mill.save())
    assert mill.store(good(claim, article(URL))) == {Outcome.UNCHANGED: 1}
    assert trace(mill).revisit_at == after(hours=6)


def test_a_clock_that_jumps_costs_one_revisit(mill: Mill) -> None:
    ahead = after(days=2)
    mill.ledger.links.add([Link(f"{SITE}/new", source="paper", found_by="feed")], now=NOON)
    mill.ledger.hosts.lease(mill.crawler, limit=1, seconds=60, now=ahead)  # a process with a wrong clock
    mill.ledger.hosts.release(HOST, mill.crawler, now=ahead)
    mill.ledger.clock_repair.adjust(now=NOON)
    assert trace(mill).revisit_at == NOON


def test_a_revisit_is_consistent_for_the_doctor(mill: Mill, engine: Engine, tmp_path: Path) -> None:
    row = revisit(mill, hours=1)
    checks = {finding.check for finding in Doctor(engine, mill.ledger, Archive(str(tmp_path))).examine(now=mill.now)}
    assert not checks & {"state", "counts", "no_document", "unowned_document"}
    mill.ledger.url_leases.release([row], now=mill.now)
    (again,) = mill.lease()
    assert again.is_revisit


# ---- a `lastmod` that moves


def announce(mill: Mill, changes: dict[str, float]) -> int:
    """A sitemap shows these URLs with a `lastmod` so many hours after the first fetch. Returns the number of revisits that it starts."""
    listing = trace(mill, f"{SITE}/rss").id
    return mill.ledger.modified_pages.plan_revisits(
        {url: after(hours=hours) for url, hours in changes.items()}, now=mill.now, listing_id=listing
    )


def test_a_lastmod_past_the_last_fetch_starts_one_conditional_revisit(mill: Mill) -> None:
    mill.now = after(minutes=30)
    assert announce(mill, {URL: 0, f"{SITE}/unknown": 0.4}) == 0, "it was fetched after that"
    assert announce(mill, {URL: 0.4}) == 1
    row = revisit(mill, hours=0.5)
    assert row.etag is not None
    (claim,) = mill.claim(mill.save([row]))
    mill.store(good(claim, article(URL, content="changed")))
    assert announce(mill, {URL: 0.4}) == 0
    mill.now = after(hours=0.8)
    assert announce(mill, {URL: 0.7}) == 1
    mill.ledger.url_endings.end([ended(revisit(mill, hours=0.8), Outcome.NOT_MODIFIED)], now=mill.now)
    assert announce(mill, {URL: 0.7}) == announce(mill, {URL: 0.75}) == 0, "a date that was wrong is believed again after a day"
    mill.ledger.sources.put(replace(SOURCE, revisit=()), now=mill.now)
    mill.now = after(hours=26)
    assert announce(mill, {URL: 25.5}) == 1
    assert mill.ledger.due_revisits.make_due(now=mill.now) == 0, "a source without revisits has none"


@pytest.mark.parametrize("has_validators", [True, False])
def test_a_sitemap_that_lies_costs_three_requests_a_week(mill: Mill, has_validators: bool) -> None:
    mill.ledger.sources.put(replace(SOURCE, revisit=(timedelta(days=99),)), now=NOON)
    mill.store(*(good(claim, article(claim.url)) for claim in mill.fetch(*links(12))))
    requests = 0
    for hours in range(1, 73, 6):
        mill.now = after(hours=hours)
        announce(mill, {link.url: hours - 0.01 * number for number, link in enumerate(links(12), 1)})
        mill.now = after(hours=hours + 1)
        mill.ledger.due_revisits.make_due(now=mill.now)
        mill.now = after(hours=hours + 2)
        rows = mill.lease()
        requests += len(rows)
        if has_validators:
            mill.ledger.url_endings.end([ended(row, Outcome.NOT_MODIFIED) for row in rows], now=mill.now)
        elif rows:
            mill.store(*(good(claim, article(claim.url)) for claim in mill.claim(mill.save(rows))))
    assert requests == 3
