"""The comparison of two revisions: what it says, and that it loses no character."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from newsmill.similarity.revision_comparison import (
    SEPARATOR,
    ChangeKind,
    ParagraphChange,
    compare_texts,
    compare_words,
    count_changed_words,
    restore_new,
    restore_old,
)

# Few words and few paragraphs, so that most occur several times; and texts of any characters.
WORDS = st.lists(st.sampled_from(["a", "b", "c", "bridge", "東", "京", ".", "\u0e35", "\n", "<b>"]), max_size=30).map(" ".join)
TEXTS = st.one_of(st.lists(WORDS, max_size=12).map(SEPARATOR.join), st.text(max_size=200), st.text("ab \n", max_size=60))


def show(changes: tuple[ParagraphChange, ...]) -> list[str]:
    """Each paragraph in the form of wdiff."""
    marks = {ChangeKind.REMOVED: "[-{}-]", ChangeKind.ADDED: "{{+{}+}}", ChangeKind.KEPT: "{}"}
    return ["".join(marks[piece.kind].format(piece.text) for piece in change.pieces) for change in changes]


@given(TEXTS, TEXTS)
def test_a_comparison_gives_both_texts_back(old: str, new: str) -> None:
    changes = compare_texts(old, new)
    assert (restore_old(changes), restore_new(changes)) == (old, new)
    for change in changes:
        kinds = {piece.kind for piece in change.pieces}
        assert (change.kind is ChangeKind.CHANGED and kinds != {ChangeKind.KEPT}) or kinds == {change.kind}


@given(TEXTS)
def test_equal_texts_have_no_difference(text: str) -> None:
    assert {change.kind for change in compare_texts(text, text)} == {ChangeKind.KEPT}
    assert count_changed_words(text, text) == (0, 0)


@given(TEXTS, TEXTS)
def test_the_other_direction_has_the_other_numbers(old: str, new: str) -> None:
    assert count_changed_words(old, new) == count_changed_words(new, old)[::-1]


def test_what_was_changed_is_marked_and_nothing_else() -> None:
    old = "A first paragraph stays.\n\nThe council voted 12 to 5 for the new bridge on Tuesday.\n\nIt costs four million.\n\nOld end."
    new = "A first paragraph stays.\n\nThe council voted 13 to 5 for a bridge on Tuesday evening.\n\nNobody was hurt at all.\n\nOld end."
    assert show(compare_texts(old, new)) == [
        "A first paragraph stays.",
        "The council voted [-12-]{+13+} to 5 for [-the new-]{+a+} bridge on Tuesday{+ evening+}.",
        "[-It costs four million.-]",
        "{+Nobody was hurt at all.+}",
        "Old end.",
    ]
    assert count_changed_words(old, new) == (8, 7)


def test_words_of_scripts_without_spaces_are_characters() -> None:
    old, new = "知事は東京で会見した。", "知事は大阪で会見した。"
    assert show(compare_texts(old, new)) == ["知事は[-東京-]{+大阪+}で会見した。"]
    assert count_changed_words(old, new) == (1, 1)


def test_repeated_paragraphs_are_aligned() -> None:
    old = SEPARATOR.join(["Score", "1:0", "Score", "2:0", "Score", "End"])
    new = SEPARATOR.join(["Score", "1:0", "Score", "2:0", "Score", "2:1", "Score", "End"])
    assert [change.kind for change in compare_texts(old, new)].count(ChangeKind.KEPT) == 6


def test_very_different_long_texts_are_not_compared_by_word() -> None:
    old = SEPARATOR.join(f"Sentence {number} of the old text." for number in range(20_000))
    new = SEPARATOR.join(f"Sentence {number} of the new text." for number in range(20_000))
    assert {change.kind for change in compare_texts(old, new)} == {ChangeKind.REMOVED, ChangeKind.ADDED}


def test_blanks_between_two_changed_words_are_no_piece() -> None:
    assert [piece.text for piece in compare_words("one two three", "four five three")] == ["one two", "four five", " three"]
