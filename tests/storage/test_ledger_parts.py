"""Articles on several pages in the ledger: when the further pages are fetched."""

from __future__ import annotations

from dataclasses import replace

import pytest
from rows import SITE, Mill, after, ended, good, links, saved

from newsmill.model import ExtractionResult, Outcome, OutcomeRecord, Segment, State
from newsmill.storage.ledger import Ledger, Result


@pytest.fixture
def mill(ledger: Ledger) -> Mill:
    return Mill(ledger)


def save(mill: Mill, *parts: str) -> str:
    """The leased rows as fetched pages, each with these further pages."""
    mill.segments += 1
    segment = Segment(f"20261125T120000Z-{mill.segments:08x}", len(mill.leased_rows), 1000, mill.now)
    rows = [replace(saved(row, number), parts=parts) for number, row in enumerate(mill.leased_rows)]
    mill.ledger.url_leases.save_segment(segment, rows, now=mill.now)
    return segment.id


def test_the_further_pages_are_fetched_once_and_with_every_revisit(mill: Mill) -> None:
    (claim,) = mill.fetch(*links(1))
    assert not claim.has_parts
    reading = ExtractionResult(OutcomeRecord(Outcome.STORED), next_page=f"{claim.url}/2")
    assert mill.store(Result(claim, reading, mill.now, wants_parts=True)) == {}
    trace = mill.ledger.traces.get(claim.url)
    assert trace is not None and (trace.state, trace.outcome, trace.attempts, trace.failure) == (State.DUE, None, 0, None)
    assert trace.detail == f"the article continues at {claim.url}/2"
    mill.now = after(seconds=90)
    (row,) = mill.lease()
    assert row.has_parts and row.attempts == 0
    (claim,) = mill.claim(save(mill, f"{SITE}/0/2", f"{SITE}/0/3"))
    assert claim.has_parts
    mill.store(good(claim))
    trace = mill.ledger.traces.get(claim.url)
    assert trace is not None and trace.parts == (f"{SITE}/0/2", f"{SITE}/0/3")
    mill.ledger.links.add(links(1), now=mill.now, again=True)
    (row,) = mill.lease()
    assert row.has_parts
    (claim,) = mill.claim(save(mill))  # it is on one page now, and its further pages are not wanted again
    assert claim.has_parts and (trace := mill.ledger.traces.get(claim.url)) is not None and trace.parts == ()


def test_a_page_without_further_pages_has_none(mill: Mill) -> None:
    mill.ledger.links.add(links(1), now=mill.now)
    mill.lease()
    (claim,) = mill.claim(save(mill, f"{SITE}/0/2"))
    assert not claim.has_parts


def test_the_first_page_is_not_lost_if_the_second_fetch_fails(mill: Mill) -> None:
    (claim,) = mill.fetch(*links(1))
    reading = ExtractionResult(OutcomeRecord(Outcome.STORED), next_page=f"{claim.url}/2")
    mill.store(Result(claim, reading, mill.now, wants_parts=True))
    mill.now = after(seconds=90)
    (row,) = mill.lease()
    assert mill.ledger.url_endings.end([ended(row, Outcome.HTTP_ERROR, "HTTP 403")], now=mill.now) == 1
    (segment,) = mill.ledger.segments.list_pending(now=mill.now, limit=9)
    (claim,) = mill.claim(segment)
    assert claim.again, "so its further pages are not wanted a second time"
    assert mill.store(good(claim)) == {Outcome.STORED: 1}
    mill.ledger.links.add(links(1), now=mill.now, again=True)
    (row,) = mill.lease()
    mill.ledger.url_endings.end([ended(row, Outcome.HTTP_ERROR, "HTTP 403")], now=mill.now)
    assert (trace := mill.ledger.traces.get(claim.url)) is not None and trace.document_id is not None
