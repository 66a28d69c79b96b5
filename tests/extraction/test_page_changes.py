"""Which differences between two fetches of a page are changes of the article."""

from __future__ import annotations

from dataclasses import replace

import pytest
from rows import FULL

from newsmill.extraction.document_identity import hash_text, shows_same_article
from newsmill.model import Author, Block, BlockType, ExtractionResult, Outcome, OutcomeRecord


def fetched(*lines: str, title: str = "The bridge", author: str = "Ann") -> ExtractionResult:
    """A page with these blocks; those with a "-" before them are not text."""
    blocks = tuple(Block(BlockType.PARAGRAPH, line.removeprefix("-"), kept=line[0] != "-") for line in lines)
    text = "\n\n".join(block.text for block in blocks if block.kept)
    content_hash = hash_text(f"{title}\n\n{text}")
    document = replace(FULL, title=title, text=text, content_hash=content_hash, authors=(Author(author),), live_updates=())
    return ExtractionResult(OutcomeRecord(Outcome.STORED), document, blocks=blocks)


BEFORE = fetched("One.", "Two.", "Have your say.", "-Advertisement 1")


@pytest.mark.parametrize(
    ("after", "is_same"),
    [
        (fetched("One.", "Two.", "Have your say.", "-Advertisement 2"), True),
        (fetched("One.", "Two.", "-Have your say.", "-Advertisement 2"), True),  # judged differently
        (fetched("One.", "Two.", "Have  your say.", "Advertisement 1"), True),
        (fetched("One.", "Two.", "Have your say.", "Advertisement 2"), False),  # counts as text, as an edit does
        (fetched("One.", "Two and more.", "Have your say."), False),
        (fetched("One.", "Two.", "Have your say.", "Correction: one was zero."), False),
        (fetched("One.", "Have your say.", "-Advertisement 1"), False),  # a paragraph is gone
        (fetched("One.", "Two.", "Have your say.", title="The bridge is open"), False),
        (fetched("One.", "Two.", "-Have your say.", author="Bob"), False),
        (fetched("One.", "Two.", "Have your say.", "-Advertisement 1", author="Bob"), False),  # to be stored
        (ExtractionResult(OutcomeRecord(Outcome.PAYWALL)), False),
    ],
)
def test_a_change_of_the_article_has_a_line_of_its_own(after: ExtractionResult, is_same: bool) -> None:
    assert shows_same_article(BEFORE, after) is is_same
    assert shows_same_article(after, BEFORE) is is_same
