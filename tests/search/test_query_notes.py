"""Dates in words, names of languages, and what a query that cannot be answered says."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from articles import article, found, store
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Engine

from newsmill.model import Author, Source
from newsmill.search.check import similar_words
from newsmill.search.query import parse_query
from newsmill.search.query_dates import parse_date
from newsmill.search.query_languages import find_language
from newsmill.search.query_notes import QueryNote
from newsmill.search.search import Search
from newsmill.storage.ledger import Ledger

NOW = datetime(2026, 11, 28, 9, 30, 15, tzinfo=UTC)  # a Saturday


@pytest.mark.parametrize(
    ("text", "day"),
    [
        ("today", "2026-11-28"), ("heute", "2026-11-28"), ("Yesterday", "2026-11-27"), ("gestern", "2026-11-27"),
        ("vorgestern", "2026-11-26"),
        ("this week", "2026-11-23"), ("last week", "2026-11-16"), ("last-week", "2026-11-16"), ("letzte Woche", "2026-11-16"),
        ("last month", "2026-10-01"), ("letzten Monat", "2026-10-01"), ("this year", "2026-01-01"), ("last year", "2025-01-01"),
        ("7d", "2026-11-21"), ("7 days ago", "2026-11-21"), ("vor 2 Wochen", "2026-11-14"), ("last 7 days", "2026-11-21"),
        ("2 months", "2026-09-28"), ("9m", "2026-02-28"), ("1y", "2025-11-28"), ("drei Tage", None), ("-7d", "2026-11-21"),
        ("november", "2026-11-01"), ("Dezember", "2025-12-01"), ("march 2024", "2024-03-01"), ("3. März 2025", "2025-03-03"),
        ("Nov 5, 2026", "2026-11-05"), ("31 december", "2025-12-31"), ("31 feb", None), ("ma", None), ("2026-11", "2026-11-01"),
        ("2026-13-45", None), ("99999d", None), ("9999y", None), ("", None), ("ago", None), ("noon", None), ("11/28/2026", None),
    ],
)  # fmt: skip
def test_dates_in_words(text: str, day: str | None) -> None:
    at = parse_date(text, NOW)
    assert (at and f"{at:%Y-%m-%d}") == day and (at is None or (at.hour, at.minute) == (0, 0))


def test_hours_count_from_now() -> None:
    assert parse_date("3h", NOW) == datetime(2026, 11, 28, 6, 30, 15, tzinfo=UTC)
    assert parse_query('after:yesterday before:"last week"', NOW).since == datetime(2026, 11, 27, tzinfo=UTC)
    assert parse_query('NOT after:"1 november"', NOW).until == datetime(2026, 11, 1, tzinfo=UTC)


@given(
    st.text(max_size=30)
    | st.lists(st.sampled_from(["last", "7", "9999", "d", "week", "mai", "31", "0", "y", "ago"]), max_size=4).map(" ".join)
)
def test_any_text_is_a_date_or_none(text: str) -> None:
    at = parse_date(text, NOW)
    assert at is None or at.tzinfo is UTC


def test_names_of_languages() -> None:
    assert [find_language(name) for name in ("GERMAN", "Französisch", "français", "中文", "pt-br", "Norwegian")] == [
        "de", "fr", "fr", "zh", "pt-br", "no",
    ]  # fmt: skip
    assert find_language("klingonish") is None is find_language("")


@pytest.mark.parametrize(
    ("query", "kind", "message"),
    [
        ("after:2026-13-45", "date", "after:2026-13-45 is not a date; write after:2026-01-31, after:2026-01, after:yesterday"),
        ("is_free:maybe", "value", "is_free:maybe has no meaning; write is_free:yes, is_free:no or is_free:unknown"),
        ("lang:germn", "language", "germn is not a language; write lang:de or lang:german"),
        ("colour:red", "field", "colour: is not a filter and is searched as a word; the filters are source:, lang:"),
        ("since:yesterday", "other_field", "since: is not a filter and is searched as a word; write after:2026-01-31"),
        ("on:2026-11-20", "other_field", "write after:2026-01-31 before:2026-02-01"),
        ("harbour NEAR ferry", "operator", "NEAR is not an operator and is searched as a word; write words side by side"),
        ("harbour w/5 ferry", "operator", "w/5 is not an operator"),
        ('"harbour ferry"~10', "operator", "~10 is not an operator"),
        ("harbor~", "operator", "harbor~ is not an operator"),
        ("harb?ur", "wildcard", "harb?ur: only * at the end of a word stands for letters; write the beginning of the word"),
        ("*bour", "wildcard", "*bour: only * at the end of a word"),
        ('"harbour * ferry"', "wildcard", '"harbour * ferry": only * at the end'),
        ('"harbour ferry', "quote", "The quotation mark before harbour ferry is not closed"),
        ("harbour after:2026-02 before:2026-01", "empty_period", "The day of after: is not before the day of before:"),
        ("source:", "value", "source: has no meaning; write source:NAME"),
        ("ma*", "prefix", "ma* begins too many words and is searched as a word; write at least three letters before *"),
        ("-harbour", "exclusions", "The query only excludes documents"),
        ("!!!", "no_words", "The query has no word and finds nothing; write a word or a filter"),
        ("a " * 41, "items", "The query has more than 40 words"),
        ("x" * 2001, "cut", "The query is longer than 2000 characters"),
    ],
)
def test_what_is_wrong_with_a_query(query: str, kind: str, message: str) -> None:
    (note,) = parse_query(query).notes
    assert note.kind == kind and message in note.message
    assert parse_query('harbour https://paper.example/a?b=c "x:y" harb* "old har*" why? after:7d OR lang:de').notes == ()


def test_a_filter_stands_before_its_value_with_or_without_a_space() -> None:
    assert parse_query("lang: german harbour").node == parse_query("lang:de harbour").node


def test_sources_and_languages_that_are_not_there(engine: Engine) -> None:
    ledger, search = Ledger(engine), Search(engine)
    store(engine, article(1, "The harbour opens.", source="the-paper"))
    for name in ("the-paper", "The Gazette"):
        ledger.sources.put(Source(name=name, homepage="https://paper.example/"), now=NOW)
    assert search.check("harbour source:the-paper lang:en") == ()
    assert [note.kind for note in search.check("harbour after:2026-13-45 source:nope foo:bar")] == ["date", "field", "source"]
    assert search.search("harbour after:2026-13-45").hits == () and search.count("harbour after:2026-13-45") == 0
    assert search.search("source:the-papre").notes == (QueryNote("source", "the-papre", ("source:the-paper",)),)
    assert search.check("-source:nope")[0].options == ('source:"The Gazette"', "source:the-paper")
    assert search.check('source:"the gazette"')[0].message == "The source the gazette has no document yet"
    for name, shown in {"french": "french (fr)", '"Haitian Creole"': "Haitian Creole (ht)", "fr": "fr", "pt_BR": "pt-br"}.items():
        assert search.check(f"lang:{name} harbour")[0].message == f"No document is in the language {shown}"


def test_values_that_no_document_has(engine: Engine) -> None:
    search = Search(engine)
    authors = (Author(name="Ann Smith"), Author(name="Jörg Meier"))
    store(engine, article(1, "The harbour opens.", authors=authors, section="Local Sport", article_type="NewsArticle"), article(2))
    for query, note in {
        "author:smiht": "No document has author:smiht; write author:smith",
        'author:"ann meire"': "No document has author:meire; write author:meier",
        'author:="Ann Smiht"': 'No document has author:="Ann Smiht"; write author:="Ann Smith"',
        "author:xq": "No document has author:xq",
        "harbour section:spotr": "No document has section:spotr; write section:sport",
        "section:xq": 'No document has section:xq; write section:="Local Sport"',
        "type:NewsArticel": "No document has type:NewsArticel; write type:NewsArticle",
        "site:pappr.example": "No document has site:pappr.example; write site:paper.example",
    }.items():
        assert [one.message for one in search.search(query).notes] == [note] == [one.message for one in search.check(query)]
    assert search.search("author:smiht OR harbour").notes == ()  # it finds something
    assert search.search("author:ann author:meier section:sport type:newsarticle site:paper.example zzz").notes == ()


def test_periods_without_documents(engine: Engine) -> None:
    search = Search(engine)
    assert search.search("before:2000").notes == ()  # nothing is stored
    days = [datetime(year, 3, 1, 12, tzinfo=UTC) for year in (2020, 2022)]
    store(engine, *(article(number, "The harbour", published_at=day, first_seen_at=day) for number, day in enumerate(days)))
    for query, note in {
        "harbour after:2990": "The query asks for documents from 2990-01-01 00:00 UTC on, a time in the future",
        "before:2000": "No document is so old; the oldest is of 2020-03-01 12:00 UTC",
        "NOT after:2000": "No document is so old; the oldest is of 2020-03-01 12:00 UTC",
        "after:2023": "No document is so new; the newest is of 2022-03-01 12:00 UTC",
        "after:2021 before:2022": "No document is of the period between after: and before:",
        "after:2991 before:2990": "The day of after: is not before the day of before:, so the query finds nothing",
    }.items():
        assert [one.message for one in search.search(query).notes] == [note] == [one.message for one in search.check(query)]
    assert search.search("zzz after:2021").notes == () == search.search("before:2021").notes


def test_spelling_suggestions(engine: Engine) -> None:
    search = Search(engine)
    store(engine, article(1, "Harbours are closed by the government.", title="Ferry"), article(2, "Die Häuser", language="de"))
    assert search.search("harbor").suggestion == "harbour" and search.search("goverment lang:en").suggestion == "government lang:en"
    assert search.search("harbor goverment").suggestion == "harbour government" and search.search("ferri").suggestion == "ferry"
    assert search.search("fe").suggestion is None is search.search("harbour zzzzz").suggestion
    assert search.search("harbour").suggestion is None is search.search("=harbor").suggestion
    assert found(search, search.search("harbor").suggestion or "") == {"1"}


@given(st.text(min_size=1, max_size=20))
def test_similar_words_are_few(word: str) -> None:
    assert len(set(similar_words(word))) < 70 * (len(word) + 1)
