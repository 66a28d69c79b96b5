"""The pure parts of the search: words, queries, snippets. They take whatever the network or a person gives them."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from newsmill.search.form_table import WordForms
from newsmill.search.highlights import Highlighter
from newsmill.search.parsed_query import AllOf, AnyOf, Node, Query, positive_terms
from newsmill.search.query import parse_query
from newsmill.search.query_parser import MAX_ITEMS
from newsmill.search.snippets import SNIPPET_CHARACTERS, build_snippet
from newsmill.search.tokens import MAX_WORD_CHARACTERS, fold, split_runs, tokenize, tokenize_phrase

TEXT = (
    st.text(st.sampled_from("aAéßﬁ ı_-'\n\u0301中国경제ไทยहिन्दीЙё\u0301Ω½ｶﾞ㍿ى\u06a9ۀ\u0651۱ש\u05c1\u05be\u200b\0\ud800\U0001f600"))
    | st.text()
)


@given(TEXT)
@example("o\u05b0\u030b")  # a Latin letter with a Hebrew mark and an accent (found by fuzzing)
def test_folding_is_done_once(text: str) -> None:
    assert fold(fold(text)) == fold(text)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        *[("كتاب", "کتاب"), ("علي", "علی"), ("على", "علي"), ("أحمد", "احمد"), ("إيران", "ایران"), ("آب", "اب"), ("ٱلله", "الله")],
        *[
            ("القاهرة", "القاهره"),
            ("مـحـمـد", "محمد"),
            ("مُحَمَّد", "محمد"),
            ("١٤٠٣", "1403"),
            ("۱۴۰۳", "1403"),
            ("خانۀ", "خانهٔ"),
            ("ہفتہ", "هفته"),
        ],
        *[("שָׁלוֹם", "שלום"), ("בית־ספר", "בית ספר"), ("ﾆｭｰｽﾞ", "ニューズ"), ("㍿東京", "株式会社東京"), ("ＮＡＴＯ", "nato")],
        *[
            ("Straße", "STRASSE"),
            ("Müller", "muller"),
            ("İSTANBUL", "istanbul"),
            ("Diyarbakır", "DİYARBAKIR"),
            ("Việt", "viet"),
            ("Đà", "da"),
        ],
        *[("ёлка", "ЕЛКА"), ("за\u0301мок", "замок"), ("กำ", "ก\u0e4dา")],
    ],
)
def test_what_a_reader_takes_for_one_word_is_one(one: str, other: str) -> None:
    assert tokenize(one) == tokenize(other)
    assert split_runs(one) == split_runs(other)


@pytest.mark.parametrize(
    ("one", "other"), [("мой", "мои"), ("їжа", "іжа"), ("ракия", "раќия"), ("ھے", "ہے"), ("ガス", "カス"), ("שין", "סין")]
)
def test_letters_of_their_own_stay_apart(one: str, other: str) -> None:
    assert tokenize(one) != tokenize(other)


@given(TEXT)
def test_words_hold_nothing_but_letters_digits_and_marks(text: str) -> None:
    for word in tokenize(text):
        assert 0 < len(word) <= MAX_WORD_CHARACTERS
        assert not set(word) & set(" \n\0\"'\\_*^(){}:-\ud800\ue000")


@given(TEXT, TEXT)
def test_a_part_of_a_text_is_found_in_it(before: str, text: str) -> None:
    """What documents and queries are split into fits together."""
    wanted, prefix = tokenize_phrase(split_runs(text))
    held = tokenize(f"{before} {text}")
    if wanted:
        places = [held[at : at + len(wanted)] for at in range(len(held))]
        assert any(tuple(found[:-1]) == wanted[:-1] and found[-1:] and _fits(found[-1], wanted[-1], prefix) for found in places)


def _fits(held: str, wanted: str, prefix: bool) -> bool:
    return held == wanted or (prefix and held.startswith(wanted))


@given(TEXT)
def test_any_text_is_a_query(text: str) -> None:
    query = parse_query(text)
    assert query.matches_nothing or query.node is not None or query.since or query.until or not text.replace("\0", " ").strip()
    assert query.node is None or _count(query.node) <= 40 * MAX_ITEMS


def _count(node: Node) -> int:
    return 1 + sum(_count(child) for child in node.nodes) if isinstance(node, AllOf | AnyOf) else 1


@pytest.mark.parametrize(
    ("text", "since", "until"),
    [
        ("after:2026", datetime(2026, 1, 1, tzinfo=UTC), None),
        ("before:2026-02 after:2026-01-05T06:07", datetime(2026, 1, 5, 6, 7, tzinfo=UTC), datetime(2026, 2, 1, tzinfo=UTC)),
        ("-after:2026 before:2025-06", None, datetime(2025, 6, 1, tzinfo=UTC)),
        ("AFTER:2026-01-01T00:00:00Z", datetime(2026, 1, 1, tzinfo=UTC), None),
    ],
)
def test_times_of_a_query(text: str, since: datetime | None, until: datetime | None) -> None:
    assert parse_query(text) == Query(None, since, until)


@pytest.mark.parametrize("text", ["after:", "after:2026-13", "after:2026-02-30", "after:٢٠٢٦", "after:0000", "after:x", "before:99999"])
def test_what_is_no_time_finds_nothing_and_says_so(text: str) -> None:
    query = parse_query(f"harbour {text}")
    assert (
        query.matches_nothing
        and text in query.notes[0].message
        and "write after:2026-01-31" in query.notes[0].message.replace("before", "after")
    )


@given(TEXT, st.lists(TEXT, max_size=3))
def test_a_snippet_is_cut_from_the_text(text: str, queries: list[str]) -> None:
    wanted = [words for query in queries if (node := parse_query(query).node) is not None for words in positive_terms(node)]
    highlighter = Highlighter(wanted)
    pieces = build_snippet(text * 3, highlighter)
    assert sum(len(piece) for piece, _ in pieces) <= SNIPPET_CHARACTERS + 4
    ends = sorted(end for span in highlighter.find(text) for end in span)
    assert ends == sorted(ends) and all(0 <= end <= len(text) for end in ends)
    assert all(piece for piece, _ in pieces)
    assert "".join(piece for piece, _ in highlighter.mark(text)) == text


def test_exactly_what_matches_is_marked() -> None:
    assert _marked("Run, runs, running, runny.", "run") == ["Run", "runs", "running"]
    assert _marked("Run, runs, running.", "=run") == ["Run"] == _marked("Run, runs, running.", '"run"')
    assert _marked("Alte Häuser am Hausweg", "haus") == ["Häuser"]
    assert _marked("Straße und Strasse", "strasse") == ["Straße", "Strasse"]
    assert _marked("東京都の黒猫", "京都 猫") == ["京都", "猫"]
    assert _marked("an e-mail, an email", '"e mail"') == ["e-mail"]
    assert _marked("Marxists, markets", "market") == ["markets"]
    assert _marked("Marks, markets, remarks", "mark*") == ["Marks", "markets"]
    assert _marked("Run, market", "title:run market") == ["market"]


def test_words_of_the_title_are_marked_in_the_title() -> None:
    node = parse_query("title:run market").node
    assert node is not None
    highlighter = Highlighter(positive_terms(node))
    assert highlighter.find("run to the market", is_title=True) == [(0, 3), (11, 17)]
    assert highlighter.find("run to the market") == [(11, 17)]


def _marked(text: str, query: str) -> list[str]:
    node = parse_query(query).node
    assert node is not None
    forms = {
        "run": WordForms({"en": {"run": frozenset({"run", "runs", "running"})}}),
        "haus": WordForms({"en": {"haus": frozenset({"hauser"})}}),
        "market": WordForms({"en": {"market": frozenset({"markets"})}}),
    }
    return [piece for piece, marked in build_snippet(text, Highlighter(positive_terms(node), forms, "en")) if marked]
