"""Bylines and datelines above and below the text."""

from __future__ import annotations

import pytest

from newsmill.extraction.metadata.text_bylines import classify_byline, is_about_author, remove_bylines
from newsmill.model import Author, AuthorType, Block, BlockType

JANE, JOHN = Author("Jane Doe"), Author("John Q. Public")


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("By Jane Doe", "byline"),
        ("Jane Doe and John Q. Public", "byline"),
        ("Von Jane Doe, Montag, 23. November 2026, 18:05 Uhr", "byline"),
        ("23.11.2026", "dateline"),
        ("2026年11月23日", "dateline"),
        ("Jane Doe jane.doe@paper.example", "byline"),
        ("प्रकाशित: मंगलवार, 23 नवंबर 2026", "dateline"),
        ("2026年11月23日（月） 5時00分", "dateline"),
        ("입력 2026년 11월 23일 오전 5시 00분", "dateline"),
        ("Published 23 November 2026", "dateline"),
        ("Texto de Jane Doe", "byline"),
        ("Γράφει η Jane Doe", "byline"),
        ("23 de novembro de 2026 às 10h30", "dateline"),
        ("24 November 2026", None),  # another day than the page's own
        ("Jane Doe won the race", None),
        ("Jane Doe is the new mayor of Aunstadt since 23 November 2026, the council says", None),
        ("2026", None),
        ("The wall", None),
        ("", None),
    ],
)
def test_lines(text: str, wanted: str | None) -> None:
    assert classify_byline(text, (JANE, JOHN), "2026-11-23") == wanted


def test_only_above_the_text_and_never_the_whole_of_it() -> None:
    prose = [Block(BlockType.PARAGRAPH, text) for text in ("It rained.", "All day.", "By Jane Doe")]
    assert remove_bylines(prose, (JANE,), None) == tuple(prose)
    assert [block.kept for block in remove_bylines([prose[2], *prose[:2]], (JANE,), None)] == [False, True, True]
    assert remove_bylines([prose[2], prose[0]], (JANE,), None) == (prose[2], prose[0])
    notice = Block(
        BlockType.PARAGRAPH, "The council meets on Thursday and not on Tuesday, as our report of last week had said of the meeting."
    )
    topics = Block(BlockType.LIST, "23 November 2026\ncouncil")
    for line in (prose[2], topics, Block(BlockType.PARAGRAPH, "written by Jane Doe on 2026-11-23")):
        assert [block.kept for block in remove_bylines([line, notice], (JANE,), "2026-11-23")] == [False, True], line.text
    assert all(block.kept for block in remove_bylines([Block(BlockType.LIST, "Bread\nSalt"), notice], (JANE,), "2026-11-23"))


def test_a_byline_below_a_text_of_some_length_goes_but_not_one_inside() -> None:
    text = [
        Block(BlockType.PARAGRAPH, line) for line in ("It rained.", "All day.", "By Jane Doe", "And all night.", "Jane Doe, John Q. Public")
    ]
    assert [block.kept for block in remove_bylines(text, (JANE, JOHN), None)] == [True, True, True, True, False]
    listed = [*text[:4], Block(BlockType.PARAGRAPH, "Jane Doe"), Block(BlockType.LIST, "Rain\nWind")]
    assert all(block.kept for block in remove_bylines(listed, (JANE,), None))


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("Jane Doe is a senior fellow at the Institute of Rain. She has written two books.", True),
        ("(Jane Doe ist freie Journalistin und lebt in Aunstadt.)", True),
        ("Unsere Korrespondentin Jane Doe berichtet seit 2019 aus Paris.", True),
        ("Jane Doe: Were you there when the rain began?", False),  # an interview
        ("It was then that the reporter Jane Doe saw the rain.", False),
        ("Doe is our correspondent in Paris and Rome.", False),
        ("Jane Doe", False),  # a byline is another rule's
        ("Jane Doe " + "saw the rain " * 50, False),
        ("Rain Weekly welcomes letters from all of its readers.", False),  # the author is the paper
    ],
)
def test_a_paragraph_that_begins_with_an_author_is_about_the_author(text: str, wanted: bool) -> None:
    authors = (JANE, JOHN, Author("Rain Weekly", AuthorType.ORGANISATION))
    assert is_about_author(text, authors) is wanted


def test_paragraphs_about_the_authors_go_from_the_end_of_a_news_article_only() -> None:
    biography = "Jane Doe is a senior fellow at the Institute of Rain."
    lines = (
        "It rained.",
        biography,
        "All day.",
        "And all night.",
        "Then it stopped.",
        "People came out.",
        biography,
        "John Q. Public is a photographer here.",
    )
    text = [Block(BlockType.PARAGRAPH, line) for line in lines]
    assert [block.kept for block in remove_bylines(text, (JANE, JOHN), None, is_news=True)] == [True] * 6 + [False] * 2
    assert all(block.kept for block in remove_bylines(text, (JANE, JOHN), None))
    assert all(block.kept for block in remove_bylines(text[-4:], (JANE, JOHN), None, is_news=True))


@pytest.mark.parametrize(
    ("text", "language", "author"),
    [
        ("23 พฤศจิกายน 2569", "th", None),
        ("۲ آذر ۱۴۰۵", "fa", None),
        ("令和8年11月23日", "ja", None),
        ("記者林美麗／高雄報導", "zh-TW", "林美麗"),
        ("서울=김철수 기자", "ko", "김철수"),
    ],
)
def test_lines_of_other_calendars_and_scripts(text: str, language: str, author: str | None) -> None:
    authors = () if author is None else (Author(author),)
    assert classify_byline(text, authors, "2026-11-23", language) == ("dateline" if author is None else "byline")
