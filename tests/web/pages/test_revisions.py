"""How the paragraphs of a difference are grouped into pages and folded."""

from __future__ import annotations

from newsmill.similarity.revision_comparison import ChangeKind, ParagraphChange, Piece, restore_new
from newsmill.web.pages.revisions import MAX_PART_CHARACTERS, cut, list_runs, measure


def make(kind: ChangeKind, text: str = "words") -> ParagraphChange:
    return ParagraphChange(kind, (Piece(kind, text),))


def test_unchanged_paragraphs_beside_a_change_stay_open() -> None:
    paragraphs = [make(ChangeKind.KEPT, str(number)) for number in range(6)]
    runs = list(list_runs([*paragraphs, make(ChangeKind.ADDED), *paragraphs[:4]]))
    assert [(len(run.paragraphs), run.is_folded) for run in runs] == [(1, False), (4, True), (1, False), (1, False), (4, False)]


def test_a_paragraph_that_is_larger_than_a_page_is_cut() -> None:
    parts = list(cut(make(ChangeKind.ADDED, '"<&' * 50_000)))
    assert "".join(map(restore_new, ((part,) for part in parts))) == '"<&' * 50_000
    assert max(map(measure, parts)) <= MAX_PART_CHARACTERS + 100
    assert list(cut(make(ChangeKind.KEPT, ""))) == []
