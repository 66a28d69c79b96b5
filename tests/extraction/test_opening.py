"""Bylines and datelines above the text."""

from __future__ import annotations

import pytest

from newsmill.extraction.metadata import text_bylines
from newsmill.model import Author, Block, BlockType

JANE, JOHN = Author("Jane Doe"), Author("John Q. Public")


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("By Jane Doe", "byline"),
        ("Jane Doe and John Q. Public", "byline"),
        ("Von Jane Doe, Montag, 23. November 2026, 18:05 Uhr", "byline"),
        ("23.11.2026", "dateline"),
        ("2026年11月23日", "dateline"),
        ("Published 23 November 2026", "dateline"),
        ("24 November 2026", None),  # another day than the page's own
        ("Jane Doe won the race", None),
        ("Jane Doe is the new mayor of Aunstadt since 23 November 2026, the council says", None),
        ("2026", None),
        ("The wall", None),
        ("", None),
    ],
)
def test_lines(text: str, wanted: str | None) -> None:
    assert text_bylines.name_of(text, (JANE, JOHN), "2026-11-23") == wanted


def test_only_above_the_text_and_never_the_whole_of_it() -> None:
    prose = [Block(BlockType.PARAGRAPH, text) for text in ("It rained.", "All day.", "By Jane Doe")]
    assert text_bylines.cut(prose, (JANE,), None) == tuple(prose)
    assert [block.kept for block in text_bylines.cut([prose[2], *prose[:2]], (JANE,), None)] == [False, True, True]
    assert text_bylines.cut([prose[2], prose[0]], (JANE,), None) == (prose[2], prose[0])


def test_a_byline_below_a_text_of_some_length_goes_but_not_one_inside() -> None:
    text = [
        Block(BlockType.PARAGRAPH, line) for line in ("It rained.", "All day.", "By Jane Doe", "And all night.", "Jane Doe, John Q. Public")
    ]
    assert [block.kept for block in text_bylines.cut(text, (JANE, JOHN), None)] == [True, True, True, True, False]
    listed = [*text[:4], Block(BlockType.PARAGRAPH, "Jane Doe"), Block(BlockType.LIST, "Rain\nWind")]
    assert all(block.kept for block in text_bylines.cut(listed, (JANE,), None))
