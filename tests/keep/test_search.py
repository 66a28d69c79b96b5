"""Search, on both databases."""

from __future__ import annotations

from dataclasses import replace

import pytest
from rows import SITE, Mill, after, document_of, good, links
from sqlalchemy import Engine

from newsmill.exceptions import CursorError
from newsmill.find import urls
from newsmill.keep.ledger import Ledger
from newsmill.keep.search import Search
from newsmill.model import Document


@pytest.fixture
def search(engine: Engine) -> Search:
    return Search(engine)


def store(ledger: Ledger, *found: Document) -> None:
    """Documents, each of a page of its own."""
    mill = Mill(ledger)
    claims = {claim.url: claim for claim in mill.fetch(*(replace(links(1)[0], url=document.requested_url) for document in found))}
    mill.store(*(good(claims[urls.normal(document.requested_url)], document) for document in found))


def test_pages_follow_each_other(ledger: Ledger, search: Search) -> None:
    store(ledger, *(document_of(f"{SITE}/{n}", title=f"Harbour {n}", first_seen_at=after(minutes=n), published_at=None) for n in range(5)))
    first = search.search("harbour", limit=2)
    assert first.total == 5 and len(first.hits) == 2
    second = search.search("harbour", limit=2, cursor=first.cursor)
    third = search.search("harbour", limit=2, cursor=second.cursor)
    assert third.cursor is None
    assert len({hit.id for page in (first, second, third) for hit in page.hits}) == 5
    with pytest.raises(CursorError):
        search.search(cursor="nonsense")
    assert search.by_source("harbour") == (("paper", 5),)
    assert sum(n for _, n in search.over_time("harbour")) == 5
    streamed = list(search.iterate("harbour"))
    assert len(streamed) == 5
    assert [s.document for s in search.iterate("harbour", since=streamed[1].cursor)] == [s.document for s in streamed[2:]]
