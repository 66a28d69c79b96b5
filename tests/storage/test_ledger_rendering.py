"""Rendering in the ledger: which page is rendered next, which pages were, and which sources need it."""

from __future__ import annotations

from dataclasses import replace

import pytest
from rows import NOON, SITE, Mill, after, bad, good, links, saved

from newsmill.model import Link, Outcome, Rendering, Segment, Source, State
from newsmill.storage.ledger import Ledger
from newsmill.storage.ledger.rendering import MIN_SCRIPT_PAGES


@pytest.fixture
def mill(ledger: Ledger) -> Mill:
    return Mill(ledger)


def save(mill: Mill, rendering: Rendering | None) -> str:
    """The leased rows as fetched pages, each with this rendering."""
    mill.segments += 1
    segment = Segment(f"20261125T120000Z-{mill.segments:08x}", len(mill.leased_rows), 1000, mill.now)
    rows = [replace(saved(row, number), rendering=rendering) for number, row in enumerate(mill.leased_rows)]
    mill.ledger.url_leases.save_segment(segment, rows, now=mill.now)
    return segment.id


def test_a_page_without_text_is_rendered_by_the_next_fetch(mill: Mill) -> None:
    (claim,) = mill.fetch(*links(1))
    result = replace(bad(claim, Outcome.NEEDS_SCRIPT), retry_at=mill.now, wants_rendering=True)
    assert mill.store(result) == {}
    trace = mill.ledger.traces.get(claim.url)
    assert trace is not None and (trace.state, trace.outcome, trace.attempts, trace.rendering) == (State.DUE, None, 0, Rendering.WANTED)
    assert trace.detail == "needs_script: "
    mill.now = after(seconds=90)
    (row,) = mill.lease()
    assert row.is_rendering_wanted and row.attempts == 0
    (claim,) = mill.claim(save(mill, Rendering.DONE))
    mill.store(good(claim))
    trace = mill.ledger.traces.get(claim.url)
    assert trace is not None and (trace.outcome, trace.rendering) == (Outcome.STORED, Rendering.DONE)


def test_a_page_that_was_not_rendered_is_not_wanted_again(mill: Mill) -> None:
    """For instance because it is no HTML, or because the source does not ask for it any more."""
    (claim,) = mill.fetch(*links(1))
    assert claim.rendering is None
    mill.store(replace(bad(claim, Outcome.NO_TEXT), retry_at=mill.now, wants_rendering=True))
    mill.now = after(seconds=90)
    mill.lease()
    (claim,) = mill.claim(save(mill, None))
    assert claim.rendering is Rendering.FAILED


def test_another_retry_does_not_render(mill: Mill) -> None:
    (claim,) = mill.fetch(*links(1))
    mill.store(replace(bad(claim, Outcome.BLOCKED), retry_at=mill.now))
    mill.now = after(seconds=90)
    (row,) = mill.lease()
    assert not row.is_rendering_wanted and row.attempts == 1


def test_a_page_that_is_fetched_again_begins_without_a_browser(mill: Mill) -> None:
    mill.ledger.links.add(links(2), now=mill.now)
    mill.lease()
    mill.store(*(good(claim) for claim in mill.claim(save(mill, Rendering.DONE))))
    assert mill.ledger.rendering.count_rendered() == {"paper": 2}
    mill.ledger.links.add([Link(f"{SITE}/0")], now=mill.now, again=True)
    assert mill.ledger.rendering.count_rendered() == {"paper": 1}
    mill.ledger.retries.retry(urls=[f"{SITE}/1"], now=mill.now)  # the archived page is extracted again
    assert mill.ledger.rendering.count_rendered() == {"paper": 1}


def test_rendered_pages_are_counted_by_source(mill: Mill) -> None:
    mill.ledger.links.add([*links(3), *links(2, f"{SITE}/other", "other"), *links(1, f"{SITE}/none", None)], now=mill.now)
    mill.lease()
    save(mill, Rendering.DONE)
    assert mill.ledger.rendering.count_rendered() == {"paper": 3, "other": 2, "": 1}
    assert mill.ledger.rendering.count_rendered("other") == {"other": 2} and mill.ledger.rendering.count_rendered("third") == {}


def test_pages_in_a_row_make_a_script_source(mill: Mill) -> None:
    for name in ("paper", "other"):
        mill.ledger.sources.put(Source(name, homepage=f"{SITE}/{name}"), now=NOON)
    mill.ledger.rendering.count_script_pages({"paper": [True] * (MIN_SCRIPT_PAGES - 1), "other": [True] * 9 + [False]})
    assert mill.ledger.rendering.list_script_sources() == set()
    mill.ledger.rendering.count_script_pages({"paper": [True], "other": [True, True]})
    assert mill.ledger.rendering.list_script_sources() == {"paper"}
    mill.ledger.sources.put(Source("paper", homepage=f"{SITE}/paper", language="en"), now=NOON)  # a changed plan keeps what was learnt
    assert mill.ledger.rendering.list_script_sources() == {"paper"}
    mill.ledger.rendering.count_script_pages({"paper": [False], "unknown": [True] * 9, "other": [True, False, *[True] * MIN_SCRIPT_PAGES]})
    assert mill.ledger.rendering.list_script_sources() == {"other"}
    mill.ledger.rendering.count_script_pages({})
