"""The order by relevance, on both databases."""

from __future__ import annotations

import pytest
from articles import article, numbers, store
from hypothesis import given
from hypothesis import strategies as st
from rows import after
from sqlalchemy import Engine, delete

from newsmill.search import ranked
from newsmill.search.relevance import RankedTerm, Ranking, encode_phrase, encode_words, explain_match, recency
from newsmill.search.search import Search
from newsmill.storage.database import writing
from newsmill.storage.schema import search_codes

FILLER = "It rained on the hills and the river rose by a hand. " * 20
WORD = Ranking((RankedTerm("word", (encode_phrase(["word"]),)),), (1_000_000,), 100)


@pytest.fixture
def search(engine: Engine) -> Search:
    return Search(engine)


def test_an_old_title_comes_before_a_new_mention(engine: Engine, search: Search) -> None:
    store(
        engine,
        article(1, f"The harbour is on strike. {FILLER}", title="Harbour strike", published_at=after(days=-800)),
        article(2, f"{FILLER}\n\n{FILLER} The harbour, a strike. {FILLER}"),
        article(3, f"The strike in the harbour goes on. {FILLER}", title="Harbour strike", published_at=after(hours=-20)),
    )
    for query in ("harbour strike", "harbour", "strike NOT trains", "harbour strike source:paper", "harbour strike -source:other lang:en"):
        assert numbers(search, query) == ["3", "1", "2"], query
    assert numbers(search, "harbour strike", order="newest") == ["2", "3", "1"]


def test_a_document_about_a_word_comes_before_one_that_mentions_it(engine: Engine, search: Search) -> None:
    about = "The apple harvest began. Apple growers say that each apple tree bears more. "
    store(
        engine,
        article(1, about + FILLER, published_at=after(days=-300)),
        article(2, FILLER + "A man ate an apple."),
        article(3, f"{about} It has an iphone. {FILLER}"),
    )
    assert numbers(search, "apple") == ["3", "1", "2"]
    assert numbers(search, "apple NOT iphone") == ["1", "2"]


@pytest.mark.parametrize(
    ("query", "about", "mentions"),
    [
        ("apple", {"1", "2", "3", "5"}, {"4"}),
        ("apple harvest", {"1", "2"}, {"3", "4", "5"}),
        ("apples harvests", {"1", "2"}, {"3", "4", "5"}),
        ("apple OR frost", {"1", "2", "3", "5"}, {"4"}),
        ("apple -frost source:paper", {"1", "2", "5"}, {"4"}),
        ('"apple harvest"', {"1", "2"}, {"4"}),
        ("title:apple", {"1", "5"}, set()),
    ],
)
def test_documents_about_a_query_come_before_those_that_only_mention_it(
    engine: Engine, search: Search, query: str, about: set[str], mentions: set[str]
) -> None:
    store(
        engine,
        article(1, f"{FILLER} {FILLER} They ate.", title="The apple harvest"),
        article(2, f"The apple harvest began. {FILLER} {FILLER}"),
        article(
            3,
            f"Of an apple. {FILLER} {FILLER} Frost came. Few apples were left of the harvest, and the apples were small. Apples cost more.",
        ),
        article(4, f"{FILLER} {FILLER} He came when the apple harvest had begun."),
        article(5, f"{FILLER} {FILLER} The harvest of potatoes.", title="A computer of Apple"),
    )
    found = search.search(query)
    assert {hit.url.rpartition("/")[2] for hit in found.hits if hit.is_answer} == about
    assert {hit.url.rpartition("/")[2] for hit in found.hits if not hit.is_answer} == mentions
    order = [hit.is_answer for hit in found.hits]
    assert order == sorted(order, reverse=True) and found.answers == len(about)
    newest = search.search(query, order="newest")
    assert newest.answers is None and {hit.is_answer for hit in newest.hits} == {None}


def test_a_rare_word_counts_more_than_a_common_one(engine: Engine, search: Search) -> None:
    common = [article(n, f"{FILLER} House.", published_at=after(days=-100)) for n in range(10, 25)]
    store(
        engine,
        article(1, f"{FILLER} The house was old, a house, a house. House dormouse."),
        article(2, f"{FILLER} The dormouse was old, a dormouse, a dormouse. Dormouse house."),
        *common,
    )
    assert numbers(search, "house dormouse") == ["2", "1"]


def test_words_close_together_count_more(engine: Engine, search: Search) -> None:
    store(
        engine,
        article(1, f"It is about prices. {FILLER} A house was sold.", published_at=after(hours=1)),
        article(2, f"It is on house prices. {FILLER} A hall was sold.", published_at=after(hours=1)),
    )
    assert numbers(search, "house prices") == ["2", "1"]


def test_beginnings_and_phrases_are_ranked(engine: Engine, search: Search) -> None:
    store(
        engine,
        article(1, f"Markets fell. {FILLER}", title="Market day", published_at=after(days=-500)),
        article(2, f"{FILLER} {FILLER} A market day."),
    )
    assert numbers(search, "mark*") == ["1", "2"] == numbers(search, '"market day"') == numbers(search, "title:market OR market")


def test_old_documents_with_the_words_in_the_title_are_in_the_first_block(
    engine: Engine, search: Search, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each match comes once, on whatever page."""
    monkeypatch.setattr(ranked, "BLOCK_MATCHES", 6)
    old = [article(n, FILLER + "harbours", title="The harbour", published_at=after(days=-900 - n)) for n in range(3)]
    store(engine, *old, *(article(n, f"{FILLER} A harbour.") for n in range(10, 40)))
    first = search.search("harbour", limit=5, wait=True)
    assert {hit.title for hit in first.hits[:3]} == {"The harbour"} and first.total == 33
    seen = [hit.url for hit in first.hits]
    cursor = first.cursor
    while cursor is not None:
        page = search.search("harbour", limit=5, cursor=cursor, wait=True)
        seen += [hit.url for hit in page.hits]
        cursor = page.cursor
    assert len(seen) == len(set(seen)) == 33
    assert first.answers is None and search.search("harbour hill", limit=5, wait=True).answers is None


def test_documents_that_are_not_indexed_again_yet_are_found(engine: Engine, search: Search) -> None:
    """As after an upgrade."""
    store(engine, *(article(n, f"{FILLER} A harbour.") for n in range(5)))
    with writing(engine) as conn:
        conn.execute(delete(search_codes))
    assert sorted(numbers(search, "harbour")) == ["0", "1", "2", "3", "4"] == sorted(numbers(search, "harbour river"))


def test_the_score_is_explained(engine: Engine, search: Search) -> None:
    store(engine, article(1, f"The harbours. {FILLER} A harbour.", title="A harbour", language="en"))
    (hit,) = search.search("harbour rain*", explain=True).hits
    assert hit.score is not None
    assert [(term.term, term.title, term.lead, term.text) for term in hit.score.terms] == [("harbour", 1, 2, 0), ("rain*", 0, 20, 0)]
    parts = sum(term.score for term in hit.score.terms) + hit.score.proximity
    assert hit.score.score == pytest.approx(parts * hit.score.recency) and hit.score.words > 200
    assert search.search("harbour").hits[0].score is None is search.search("harbour", order="newest", explain=True).hits[0].score


@given(st.lists(st.sampled_from(["word", "other", "third"]), max_size=40), st.lists(st.sampled_from(["word", "x"]), max_size=10))
def test_each_occurrence_is_counted(body: list[str], title: list[str]) -> None:
    score = explain_match(WORD, encode_words(title, [], body), "", None)
    assert (score.terms[0].title, score.terms[0].text, score.words) == (title.count("word"), body.count("word"), len(title) + len(body))


@given(st.integers(1, 39), st.integers(0, 5000))
def test_more_occurrences_and_a_later_date_score_more(n: int, age: int) -> None:
    filler = ["x"] * 100
    fewer, more = (explain_match(WORD, encode_words([], [], ["word"] * count + filler[count:]), "", age).score for count in (n, n + 1))
    assert fewer < more
    assert 1 < recency(age + 1) < recency(age) <= recency(0)
