"""Stories: terms, clusters and evidence."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import permutations
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from newsmill.stories import StoryDocument, cluster, find_shared_terms, find_terms, pack, unpack

HOUR = 3600
TEXTS = {
    "quake1": ("Earthquake in Aceh", "A quake of magnitude 6.1 shook Aceh on Tuesday, and houses in Aceh collapsed near Takengon."),
    "quake2": ("Aceh quake kills 22", "The earthquake of magnitude 6.1 in Aceh killed people; houses near Takengon collapsed on Tuesday."),
    "budget": (
        "Parliament passes budget",
        "Deputies in Vienna adopted the budget of the finance minister after a long debate about pensions.",
    ),
}


def make_document(name: str, language: str | None = "en", second: int = 0) -> StoryDocument:
    return StoryDocument(name, second, language, find_terms(*TEXTS[name], language))


def test_documents_of_one_event_are_a_story_in_every_order() -> None:
    documents = [make_document(name) for name in TEXTS]
    expected = {frozenset({"quake1", "quake2"}), frozenset({"budget"})}
    assert all(set(cluster(order)) == expected for order in permutations(documents))


@pytest.mark.parametrize(
    ("other", "same", "different", "are_one"),
    [
        pytest.param(make_document("quake2"), [], [], True, id="same event"),
        pytest.param(make_document("quake2", language="id"), [], [], False, id="another language"),
        pytest.param(make_document("quake2", language="en-GB"), [], [], True, id="another region"),
        pytest.param(make_document("quake2", second=5 * 24 * HOUR), [], [], False, id="five days later"),
        pytest.param(make_document("quake2"), [], [("quake1", "quake2")], False, id="a person split them"),
        pytest.param(make_document("budget"), [("budget", "quake1")], [], True, id="a person merged them"),
        pytest.param(make_document("quake2"), [], [("quake1", "gone")], True, id="a person's pair without its document"),
    ],
)
def test_two_documents(other: StoryDocument, same: list[tuple[str, str]], different: list[tuple[str, str]], are_one: bool) -> None:
    assert (len(cluster([make_document("quake1"), other], same, different)) == 1) is are_one


def test_a_person_keeps_documents_together_and_apart() -> None:
    names = ("a", "b", "c", "d")
    documents = [replace(make_document("quake1"), id=name) for name in names]
    pairs = [("a", other) for other in ("c", "d")]
    assert set(cluster(documents, [("a", "b")], pairs)) == {frozenset("ab"), frozenset("cd")}


def test_score_of_look_alike_events(shared: Path) -> None:
    """127 English texts of five topics, each with two look-alike events."""
    rows = [json.loads(line) for line in (shared / "cases/stories/ecb.jsonl").read_text(encoding="utf-8").splitlines()]
    documents = [
        StoryDocument(row["id"], 0, "en", find_terms(None, row["text"], "en")) for row in rows if int(row["id"].split("_")[0]) < 13
    ]
    gold = {row["id"]: row["story"] for row in rows}
    stories = cluster(documents)
    assert stories == cluster(documents[::-1])
    found = {document: number for number, story in enumerate(stories) for document in story}
    precision, recall = (
        sum(
            sum(found[one] == found[other] and gold[one] == gold[other] for other in found)
            / sum(labels[one] == labels[other] for other in found)
            for one in found
        )
        / len(found)
        for labels in (found, gold)
    )
    assert 2 * precision * recall / (precision + recall) > 0.9


def test_shared_terms_are_words_as_the_text_writes_them() -> None:
    own, other = (make_document(name).terms for name in ("quake1", "quake2"))
    assert find_shared_terms(own, [other], *TEXTS["quake1"]) == ("Aceh", "near Takengon", "Tuesday", "magnitude 6.1", "collapsed")
    assert find_shared_terms(own, [], *TEXTS["quake1"]) == ()


def test_a_shared_pair_of_words_replaces_its_words() -> None:
    text = "Rangers of South Dakota search. South Dakota has snow."
    own = find_terms(None, text, "en")
    assert "dakota" in own.weights, "the words are terms as well"
    assert find_shared_terms(own, [own], None, text)[0] == "South Dakota"
    assert sum("Dakota" in term for term in find_shared_terms(own, [own], None, text)) == 1


@given(st.text(), st.text(), st.none() | st.sampled_from(["en", "de", "zh", "xx-broken"]))
def test_any_text_has_terms_that_survive_their_column(title: str, text: str, language: str | None) -> None:
    terms = find_terms(title, text, language)
    assert unpack(pack(terms, language)) == (language, terms, None)
    assert unpack(pack(terms, language, "news.example")) == (language, terms, "news.example")
    assert unpack(pack(terms, f"{language}\n{text}"))[1] == terms, "an import of before had no rule for languages"
    assert cluster([StoryDocument("a", 0, language, terms)]) == (frozenset({"a"}),)
