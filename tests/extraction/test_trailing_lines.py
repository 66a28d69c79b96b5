"""What ends a body without being part of it, in many languages; and what only looks like it."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from newsmill.extraction.body.trailing_lines import (
    classify_trailing_line,
    is_source_credit,
    remove_trailing_lines,
    split_trailing_credit,
)
from newsmill.model import Block, BlockType

SOURCES = [
    "source site-40",
    "source site-41",
    "Source: Reuters",
    "Sources: Reuters, AFP",
    "Source - Associated Press",
    "Quelle: dpa",
    "Quelle: Pressemitteilung der Stadt Köln",
    "Quellen: dpa/afp",
    "Quelle Deutsche Presse-Agentur",
    "(Quelle: dpa)",
    "Fuente: EFE",
    "Fuentes: Ministerio de Sanidad",
    "Fonte: Ansa",
    "Fonte: Agência Brasil",
    "Bron: ANP",
    "Källa: TT",
    "Kilde: Ritzau",
    "Lähde: STT",
    "Źródło: PAP",
    "Zdroj: ČTK",
    "Forrás: MTI",
    "Sursa: Agerpres",
    "Kaynak: AA",
    "Πηγή: ΑΠΕ",
    "Источник: РИА Новости",
    "Джерело: Укрінформ",
    "المصدر: وكالات",
    "מקור: ynet",
    "स्रोत: पीटीआई",
    "Nguồn: TTXVN",
    "Sumber: Antara",
    "来源：新华社",
    "出典：共同通信",
    "출처: 연합뉴스",
    ". source site-40",
]
OTHERS = [
    ("dpa", "agency credit"),
    ("(dpa/afp)", "agency credit"),
    ("AFP, Reuters", "agency credit"),
    ("With AFP", "agency credit"),
    ("— Reuters", "agency credit"),
    ("© dpa-infocom, dpa:220112-99-678901/3", "agency credit"),
    ("Mit Agenturen", "agency credit"),
    ("Read more: Ten bridges that closed", "read-more line"),
    ("Lesen Sie auch: Zehn Brücken", "read-more line"),
    ("Lire aussi : Dix ponts", "read-more line"),
    ("Читайте также: Десять мостов", "read-more line"),
    ("Also see: Ten bridges that closed", "read-more line"),
    ("* * *", "only punctuation at the end"),
    (".", "only punctuation at the end"),
]
SENTENCES = [
    "Source code was published by the company on Monday",
    "Sources familiar with the matter said the talks would go on.",
    "Sources say the vote will be close",
    "Source: an officer who asked not to be named because he was not allowed to speak to the press.",
    "Quellen im Ministerium bestätigten den Bericht.",
    "Quellenangaben fehlen in dem Gutachten völlig.",
    "Sourcery is a word for it",
    "Die Quelle des Flusses liegt im Harz",
    "Fuentes cercanas al gobierno confirmaron la noticia.",
    "Источники в правительстве подтвердили эти сведения.",
    "AP style asks for a comma here.",
    "Reuters reported the figures first.",
    "Read more books, she told the children.",
    "Related to this is the question of who pays.",
    "Mehr dazu sagte er nicht.",
]


@pytest.mark.parametrize("line", SOURCES)
def test_source_credits(line: str) -> None:
    assert classify_trailing_line(line) == "source credit"


@pytest.mark.parametrize(("line", "reason"), OTHERS)
def test_other_footers(line: str, reason: str) -> None:
    assert classify_trailing_line(line) == reason


@pytest.mark.parametrize("line", SENTENCES)
def test_sentences_stay(line: str) -> None:
    assert classify_trailing_line(line) is None


def test_after_a_lone_stop_a_credit_needs_no_name() -> None:
    assert is_source_credit("source of the municipal press office", after_stop=True)
    assert not is_source_credit("source of the municipal press office")


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("… treffen würden. . source site-40", "… treffen würden."),
        ("Mehr sagte er nicht. (dpa)", "Mehr sagte er nicht."),
        ("Mehr sagte er nicht. (mkr/dpa/afp)", "Mehr sagte er nicht."),
        ("Mehr sagte er nicht (APA, 12.1.2026).", "Mehr sagte er nicht"),
        ("She left. | Source: Reuters", "She left."),
    ],
)
def test_a_credit_in_the_last_sentences_line(text: str, kept: str) -> None:
    found = split_trailing_credit(text)
    assert found is not None
    assert found[0] == kept


@pytest.mark.parametrize("text", ["He works for the agency (dpa) in Berlin.", "It stood in the text (see above).", "A. B. and C.", "(dpa)"])
def test_brackets_and_initials_that_stay(text: str) -> None:
    assert split_trailing_credit(text) is None


def blocks(*texts: str) -> list[Block]:
    return [Block(BlockType.PARAGRAPH, text) for text in texts]


def kept(found: tuple[Block, ...]) -> list[str]:
    return [block.text for block in found if block.kept]


BODY = ("The first paragraph of the article says what happened.", "The second says why it happened, and who was there.")


@pytest.mark.parametrize(
    "tail",
    [
        (".\nsource site-40",),
        (".", "source site-40"),
        (".", "source site-41"),
        (". source site-40",),
        ("source site-40",),
        ("Quelle: dpa",),
        ("Lesen Sie auch: Zehn Brücken", "Quelle: dpa", "(dpa/afp)"),
    ],
)
def test_the_footer_goes_and_says_why(tail: tuple[str, ...]) -> None:
    found = remove_trailing_lines(blocks(*BODY, *tail))
    assert kept(found) == list(BODY)
    assert all(block.layer == "rules" and block.reason for block in found if not block.kept)
    assert "\n".join(block.text for block in found) == "\n".join((*BODY, *tail))  # nothing vanishes, nothing moves


@pytest.mark.parametrize("tail", ["\n.\nsource site-40", " .\nsource site-40", "\nsource site-40", " . source site-40", "\nQuelle: dpa"])
def test_the_footer_inside_the_last_paragraph(tail: str) -> None:
    assert kept(remove_trailing_lines(blocks(BODY[0], BODY[1] + tail))) == list(BODY)


def test_rules_act_at_the_end_only() -> None:
    texts = ("Quelle: dpa", "Source: Reuters", *BODY, "And a last paragraph.")
    assert kept(remove_trailing_lines(blocks(*texts))) == list(texts)


def test_an_operators_lines() -> None:
    found = remove_trailing_lines(blocks("Advertisement", BODY[0], "Before\nAdvertisement\nafter", BODY[1]), (r"Advertisement",))
    assert kept(found) == [BODY[0], "Before", "after", BODY[1]]
    assert {block.reason for block in found if not block.kept} == {"drop_lines Advertisement"}


def test_an_empty_body() -> None:
    assert remove_trailing_lines([]) == ()
    assert kept(remove_trailing_lines(blocks("source site-40"))) == []


@settings(max_examples=150, deadline=None)
@given(st.lists(st.sampled_from([*SOURCES, *SENTENCES, *(line for line, _ in OTHERS), *BODY, "a. . source b"]), max_size=8))
def test_text_is_only_marked_never_lost(texts: list[str]) -> None:
    found = remove_trailing_lines(blocks(*texts))
    letters = "".join("".join(block.text for block in found).split())
    assert letters == "".join("".join(texts).split())
    assert all(block.kept or (block.layer == "rules" and block.reason) for block in found)
