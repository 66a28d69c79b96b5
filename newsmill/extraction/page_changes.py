"""Whether two fetches of a page show the same article, although their documents differ. Pure.

An advertisement, a counter or a teaser changes the figures of a page, by which a doubtful block counts as text or not, and a newer site
profile judges other blocks. Neither is a change of the article: it has a line that the page did not show before, or lost one.
"""

from __future__ import annotations

from collections.abc import Iterable

from newsmill.extraction.document_identity import list_other_content
from newsmill.extraction.normalise import normalise_line
from newsmill.extraction.site_profile.site_keys import NON_PROSE_TYPES
from newsmill.model import Block, Document, ExtractionResult


def has_same_content(one: Document, other: Document) -> bool:
    """Whether two documents have the same title, text, authors and live updates."""
    return one.content_hash == other.content_hash and list_other_content(one) == list_other_content(other)


def shows_same_article(earlier: ExtractionResult, later: ExtractionResult) -> bool:
    """Whether every line of each document is on both pages, as text or not. Both results need the removed blocks too."""
    if earlier.document is None or later.document is None:
        return False
    if has_same_content(earlier.document, later.document):
        return True
    if earlier.document.title != later.document.title or list_other_content(earlier.document) != list_other_content(later.document):
        return False
    return _list_text(later.blocks) <= _list_lines(earlier.blocks) and _list_text(earlier.blocks) <= _list_lines(later.blocks)


def _list_text(blocks: Iterable[Block]) -> set[str]:
    return _list_lines(block for block in blocks if block.kept and block.type not in NON_PROSE_TYPES)


def _list_lines(blocks: Iterable[Block]) -> set[str]:
    return {normalise_line(line) for block in blocks for line in block.text.split("\n")} - {""}
