"""One document for one article, whatever its URLs and whatever their pages say about themselves."""

from __future__ import annotations

import pytest
from rows import NOON, SITE, Mill, document_of, good

from newsmill.model import Document, Kind, Link, Outcome
from newsmill.storage.documents import Documents
from newsmill.storage.ledger import Ledger
from newsmill.storage.url_parameters import MIN_COPIES

FEED = f"{SITE}/rss"
TOPICS = ("bridge", "budget", "storm", "harbour", "river")
WORDS = {name: " ".join(f"{name} {number}." for number in range(90)) for name in (*TOPICS, "week")}


@pytest.fixture
def mill(ledger: Ledger) -> Mill:
    return Mill(ledger)


def store(mill: Mill, path: str, topic: str, canonical: str | None = None, **fields: object) -> Outcome | None:
    """Fetch a page with an article about a topic. The outcome of its URL."""
    url = f"{SITE}{path}"
    (claim,) = mill.fetch(Link(url, source="paper", found_by="feed", found_on=FEED))
    mill.store(good(claim, article(url, topic, canonical, **fields)))
    return outcome(mill, path)


def extract_displaced(mill: Mill, topic: str, canonical: str | None = None, title: str | None = None) -> None:
    """Extract the page again whose document was that of another URL."""
    (segment,) = mill.ledger.segments.list_pending(now=NOON, limit=9)
    (claim,) = mill.claim(segment)
    mill.store(good(claim, article(claim.url, topic, canonical, title=title or f"The {topic}")))


def article(url: str, topic: str, canonical: str | None = None, **fields: object) -> Document:
    """A document about a topic, from the page that is read."""
    values = {"title": f"The {topic}", "text": WORDS[topic], "archive_ref": None, "content": topic, **fields}
    return document_of(url, None if canonical is None else f"{SITE}{canonical}", **values)  # type: ignore[arg-type]


def outcome(mill: Mill, path: str) -> Outcome | None:
    trace = mill.ledger.traces.get(f"{SITE}{path}")
    return None if trace is None else trace.outcome


def topic_of(documents: Documents, path: str) -> str | None:
    document = documents.get(f"{SITE}{path}")
    return None if document is None else document.content_hash


def test_copies_without_a_canonical_url(mill: Mill, documents: Documents) -> None:
    """In either order where the spelling shows the version."""
    assert store(mill, "/bridge", "bridge") is Outcome.STORED
    for path in ("/bridge/amp", "/bridge?from=app", "/bridge/print", "/bridge.amp"):
        assert store(mill, path, "bridge") is Outcome.DUPLICATE, path
    assert store(mill, "/budget?print=1", "budget") is Outcome.STORED
    assert store(mill, "/budget", "budget") is Outcome.STORED
    assert outcome(mill, "/budget?print=1") is Outcome.DUPLICATE
    assert documents.count() == 2
    document = documents.get(f"{SITE}/budget?print=1")
    assert document is not None and (document.url, document.revision) == (f"{SITE}/budget", 1)


def test_a_parameter_that_selects_another_article(mill: Mill, documents: Documents) -> None:
    """The titles are often those of the site."""
    pages = {"/news": "storm", "/news?id=1": "bridge", "/news?id=2": "budget", "/m/amp/": "harbour", "/m": "river"}
    for path, topic in pages.items():
        assert store(mill, path, topic, title="The Paper") is Outcome.STORED
    extract_displaced(mill, "harbour", title="The Paper")
    assert {path: topic_of(documents, path) for path in pages} == pages and documents.count() == 5


def test_a_canonical_url_of_many_articles_is_not_believed(mill: Mill, documents: Documents) -> None:
    assert [store(mill, f"/{topic}", topic, canonical="/news") for topic in TOPICS] == [Outcome.STORED] * len(TOPICS)
    assert [topic_of(documents, f"/{topic}") for topic in TOPICS] == list(TOPICS)
    assert store(mill, "/storm/amp", "storm", canonical="/storm") is Outcome.DUPLICATE
    # The page of that URL is an article itself, and takes the place; the first article gets its own.
    assert store(mill, "/news", "week", title="News of the week", canonical="/news") is Outcome.STORED
    extract_displaced(mill, "bridge", canonical="/news")
    assert [topic_of(documents, f"/{topic}") for topic in (*TOPICS, "news")] == [*TOPICS, "week"]
    assert documents.count() == len(TOPICS) + 1
    assert mill.ledger.progress.count("paper").outcomes == {Outcome.STORED: len(TOPICS) + 1, Outcome.DUPLICATE: 1}


def test_articles_of_one_commit_that_name_one_canonical_url(mill: Mill, documents: Documents) -> None:
    pages = {**{f"/{topic}": topic for topic in TOPICS}, "/news": "week"}
    claims = mill.fetch(*(Link(f"{SITE}{path}", source="paper", found_by="feed", found_on=FEED) for path in pages))
    claims.sort(key=lambda claim: [*pages].index(claim.url.removeprefix(SITE)))
    mill.store(*(good(claim, article(claim.url, pages[claim.url.removeprefix(SITE)], "/news")) for claim in claims))
    assert {path: topic_of(documents, path) for path in pages} == pages
    assert mill.ledger.progress.count("paper").outcomes == {Outcome.STORED: len(TOPICS) + 1}


def test_an_article_keeps_its_id_when_its_page_names_another_url(mill: Mill, documents: Documents) -> None:
    assert store(mill, "/storm", "storm") is Outcome.STORED
    before = documents.get(f"{SITE}/storm")
    mill.ledger.links.add([Link(f"{SITE}/storm")], now=NOON, again=True)
    mill.lease()
    (claim,) = mill.claim(mill.save())
    mill.store(good(claim, article(claim.url, "storm", "/storm-of-the-year", content="two")))
    after = documents.get(f"{SITE}/storm")
    assert before is not None and after is not None and (after.id, after.revision) == (before.id, 2)
    assert documents.count() == 1


def test_a_parameter_that_only_makes_copies_is_learnt(mill: Mill, documents: Documents) -> None:
    """Per site, from texts. One that selects articles stays, although two of its numbers lead to one article."""
    for number in range(4):
        path, topic = f"/story?id={number}", ("bridge", "budget", "storm", "storm")[number]
        canonical = "/story?id=2" if number == 3 else None
        assert store(mill, path, topic, canonical) is (Outcome.DUPLICATE if canonical else Outcome.STORED)
    for number in range(MIN_COPIES):
        assert store(mill, f"/story?id={number}&from=app{number}", ("bridge", "budget", "storm")[number]) is Outcome.DUPLICATE
    links = [Link(f"{SITE}/story?from=mail&id={number}", source="paper", found_by="feed", found_on=FEED) for number in range(6)]
    elsewhere = Link("https://other.example/story?id=1&from=mail", source="paper", found_by="feed", found_on=FEED)
    added = mill.ledger.links.add([*links, elsewhere], now=NOON)
    assert (added.known, added.new) == (4, 3)
    leased = {row.url for host in ("paper.example", "other.example") for row in mill.lease(host)}
    assert leased == {f"{SITE}/story?id=4", f"{SITE}/story?id=5", elsewhere.url}
    assert topic_of(documents, "/story?id=1&from=a-friend") == "budget"
    trace = mill.ledger.traces.get(f"{SITE}/story?id=5&from=a-friend")
    assert trace is not None and trace.url == f"{SITE}/story?id=5"


@pytest.mark.parametrize(
    "path", ["/{topic}?t={token}&r={token}", "/{topic}?{token}", "/s/{token}/{topic}", "/s({token})/{topic}", "/{token}/{topic}?t={token}"]
)
def test_a_token_that_is_new_at_each_read_is_learnt(mill: Mill, documents: Documents, path: str) -> None:
    """The number of rows stays bounded, and each article is found by any of its URLs."""
    new = []
    for read in range(9):
        paths = [path.format(topic=topic, token=f"4f{read:06d}") for topic in TOPICS]
        added = mill.ledger.links.add(
            [Link(f"{SITE}{path}", source="paper", found_by="homepage", found_on=FEED) for path in paths], now=NOON
        )
        new.append(added.new)
        if mill.lease():
            for claim in mill.claim(mill.save()):
                topic = next(topic for topic in TOPICS if f"/{topic}" in claim.url)
                mill.store(good(claim, article(claim.url, topic)))
    assert new[:2] == [len(TOPICS)] * 2 and new[-3:] == [0, 0, 0]
    assert documents.count() == len(TOPICS)
    later = path.format(topic="storm", token="4f999999")
    assert (topic_of(documents, later), outcome(mill, later)) == ("storm", Outcome.DUPLICATE)


def test_a_number_that_selects_an_article_is_not_taken_for_a_session(mill: Mill, documents: Documents) -> None:
    for number, topic in enumerate(TOPICS):
        assert store(mill, f"/news/1000000{number}/story", topic) is Outcome.STORED
    for number in range(MIN_COPIES):
        assert store(mill, f"/news/2000000{number}/story", TOPICS[number]) is Outcome.DUPLICATE
    assert mill.ledger.links.add([Link(f"{SITE}/news/30000000/story", source="paper", found_by="feed", found_on=FEED)], now=NOON).new == 1


def test_a_section_behind_a_session_is_one_row_with_the_newest_url(mill: Mill) -> None:
    for read in range(2):
        for topic in TOPICS[:MIN_COPIES]:
            store(mill, f"/s/4f00000{read}/{topic}", topic)
    for read, new in ((7, 1), (8, 0)):
        section = Link(f"{SITE}/s/4f00000{read}/local/", Kind.SECTION, "paper", found_by="homepage")
        assert mill.ledger.links.add([section], now=NOON).new == new
    assert [row.url for row in mill.lease()] == [f"{SITE}/s/4f000008/local/"]


@pytest.mark.parametrize(("kind", "path"), [(Kind.FEED, "/feed.xml?v={}"), (Kind.FEED, "/s/{}/rss"), (Kind.SECTION, "/{}/local/")])
def test_a_listing_whose_url_is_new_at_each_read_of_the_homepage_is_one_row(mill: Mill, kind: Kind, path: str) -> None:
    def name(*tokens: str, source: str = "paper") -> int:
        links = [Link(f"{SITE}{path.format(token)}", kind, source, found_by="homepage") for token in tokens]
        return mill.ledger.links.add(links, now=NOON).new

    assert [name(f"4f00000{read}") for read in range(3)] == [1, 0, 0]
    newest = f"{SITE}{path.format('4f000002')}"
    trace = mill.ledger.traces.get(newest)
    assert [row.url for row in mill.lease()] == [newest] and trace is not None and trace.url == newest
    assert name("4f000003", source="other") == 1  # of another source
    assert name("5a000001", "5a000002") == 2  # that the homepage names at once
    assert name("5a000001") == 0  # that has a row
