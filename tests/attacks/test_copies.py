"""Who copies an article never stands before it: in its group of copies, in searches and in charts, whatever the copy states."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta

import pytest
from rows import NOON, Mill, document_of, good
from sqlalchemy import Engine

from newsmill.model import Block, BlockType, Document, Link, Markup, Outcome, Source, TextLink
from newsmill.search.indexer import index_pending
from newsmill.search.search import Search
from newsmill.storage import copy_groups, fingerprints
from newsmill.storage.document_copies import DocumentCopies
from newsmill.storage.documents import Documents
from newsmill.storage.ledger.imports import ImportedDocument, Imports

HONEST, HOSTILE, THIRD = "https://news.example/bridge", "https://hostile.example/bridge", "https://third.example/bridge"
FORGED = datetime(2019, 1, 1, 8, tzinfo=UTC)
RNG = random.Random(7)
TEXT, OTHER = (" ".join(f"{RNG.choice(['bridge', 'council', 'river'])}{number}" for number in range(200)) for _ in range(2))


def article(url: str, text: str = TEXT, **fields: object) -> Document:
    return document_of(url, **{"text": text, "source": None, "title": "The bridge", "archive_ref": None, **fields})


def fetch(mill: Mill, document: Document, *, link: Link | None = None) -> None:
    """Fetch and store a page ten minutes after the last one."""
    mill.now += timedelta(minutes=10)
    link = link or Link(document.url)
    mill.ledger.links.add([link], now=mill.now)
    mill.ledger.retries.retry(urls=[link.url], refetch=True, now=mill.now)
    mill.lease(link.url.split("/")[2])
    for claim in mill.claim(mill.save()):
        assert mill.store(good(claim, document)).keys() <= {Outcome.STORED, Outcome.UNCHANGED}


def find_heads(engine: Engine) -> list[str]:
    """The URLs that a folded search shows, after the groups are decided; the page of copies agrees."""
    index_pending(engine, 1000)
    fingerprints.catch_up(engine, 1000)
    copy_groups.catch_up(engine, 1000)
    shown = [hit.url for hit in Search(engine).search("", fold=True, wait=True).hits]
    for url in shown:
        found = Documents(engine).get(url)
        assert found is not None
        group = DocumentCopies(engine).of(found.id)
        assert group is not None and group.documents[0].url == url and group.duplicate_of is None
    return shown


VARIANTS = {
    "an earlier date": {"published_at": FORGED, "published_precision": "second"},
    "an earlier date and a first sight": {"published_at": FORGED, "first_seen_at": FORGED},
    "the canonical URL of the article": {"original_url": HONEST, "published_at": FORGED},
    "a day in the past": {"published_at": FORGED, "published_precision": "day"},
    "no date": {"published_at": None, "published_precision": None},
    "the name of the agency": {"published_at": FORGED, "site_name": "News"},
}


@pytest.mark.parametrize("dated", [True, False])
@pytest.mark.parametrize("variant", VARIANTS)
def test_a_later_copy_stays_beneath_the_article(engine: Engine, mill: Mill, variant: str, dated: bool) -> None:
    fetch(mill, article(HONEST, published_at=NOON if dated else None, published_precision="second" if dated else None))
    assert find_heads(engine) == [HONEST]
    fetch(mill, article(HOSTILE, **VARIANTS[variant]))  # type: ignore[arg-type]
    assert find_heads(engine) == [HONEST]


def test_a_copy_that_was_found_first_gives_way_to_the_article_that_it_names(engine: Engine, mill: Mill) -> None:
    for number, document in enumerate(
        (article(HOSTILE, original_url=HONEST), article(THIRD, blocks=(link_block(HONEST),), published_at=FORGED), article(HONEST))
    ):
        fetch(mill, document)
        assert find_heads(engine) == [(HOSTILE, HOSTILE, HONEST)[number]]


def test_a_copy_does_not_name_itself_the_head(engine: Engine, mill: Mill) -> None:
    """A later copy that names a copy, and two documents that name one another, say nothing about the article."""
    fetch(mill, article(HONEST, blocks=(link_block(HOSTILE),)))
    fetch(mill, article(HOSTILE, original_url=HONEST))
    fetch(mill, article(THIRD, original_url=HOSTILE))
    assert find_heads(engine) == [HONEST]


def link_block(url: str) -> Block:
    return Block(BlockType.PARAGRAPH, "Source", markup=Markup(links=(TextLink(0, 6, url),)))


def test_an_old_page_that_becomes_a_copy_is_a_late_one(engine: Engine, mill: Mill) -> None:
    """The URL was found long before the article, with another text; also if the text changes in small steps."""
    words, target = OTHER.split(), TEXT.split()
    fetch(mill, article(HOSTILE, OTHER))
    fetch(mill, article(HONEST))
    for changed in range(40, 201, 40):
        fetch(mill, article(HOSTILE, " ".join([*target[:changed], *words[changed:]])))
    assert find_heads(engine) == [HONEST]


def test_an_article_that_is_corrected_stays_the_head(engine: Engine, mill: Mill) -> None:
    fetch(mill, article(HONEST))
    fetch(mill, article(HOSTILE, published_at=FORGED))
    fetch(mill, article(HONEST, f"{TEXT} A correction was added."))
    assert find_heads(engine) == [HONEST]


@pytest.mark.parametrize("first", [HONEST, HOSTILE])
def test_an_imported_copy_was_first_seen_at_its_import(engine: Engine, mill: Mill, first: str) -> None:
    forged = article(HOSTILE, published_at=FORGED, first_seen_at=FORGED, fetched_at=FORGED, text_seen_at=FORGED)

    def add() -> None:
        mill.now += timedelta(minutes=10)
        Imports(engine).add_documents([ImportedDocument.of(forged, "forged.parquet", mill.now)], mill.now)

    for url in (first, HOSTILE if first == HONEST else HONEST):
        add() if url == HOSTILE else fetch(mill, article(HONEST))
    found = Documents(engine).get(HOSTILE)
    assert found is not None and found.text_seen_at is not None and found.text_seen_at > NOON
    assert find_heads(engine) == [first]


def test_a_page_in_the_feed_of_a_trusted_source_is_not_trusted(engine: Engine, mill: Mill) -> None:
    mill.ledger.sources.put(Source("news", homepage="https://news.example/", trusted=True, discover=False), now=NOON)
    mill.ledger.sources.put(Source("third", homepage="https://third.example/", trusted=True, discover=False), now=NOON)
    fetch(mill, article(HONEST, source="news", published_at=NOON))
    fetch(mill, article(HOSTILE, source="news", published_at=FORGED))
    assert find_heads(engine) == [HONEST]
    fetch(mill, article(THIRD, source="third", published_at=NOON - timedelta(hours=1)))
    assert find_heads(engine) == [THIRD]
    mill.ledger.sources.put(Source("third", homepage="https://third.example/", discover=False), now=NOON)
    assert find_heads(engine) == [HONEST]


def test_dates_of_one_site_are_compared(engine: Engine, mill: Mill) -> None:
    """Whoever backfills a site sees its articles in any order."""
    earlier = "https://www.news.example/bridge-first"
    fetch(mill, article(HONEST, published_at=NOON))
    fetch(mill, article(HOSTILE, published_at=FORGED))
    fetch(mill, article(earlier, published_at=NOON - timedelta(days=1), title="Another title", published_precision="second"))
    assert find_heads(engine) == [earlier]
