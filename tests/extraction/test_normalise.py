"""The contract of normalised text as properties and examples."""

from __future__ import annotations

import unicodedata

import pytest
from ftfy import fix_encoding
from hypothesis import given, settings
from hypothesis import strategies as st

from newsmill.extraction.normalise import _is_normal, _normalise_once, fold, normalise, normalise_line

ANYTHING = st.text(alphabet=st.characters(exclude_categories=()), max_size=200)  # lone surrogates too
AWKWARD = st.text(
    alphabet=st.sampled_from(
        "aä\u0308é \n\t\r\xa0\xad\u200b\u200c\u200d\u2028\ufeff\u202e\u064aक👩🏽🏴\U000e0067\U000e007fÃ¢€™“”Â\x92\x85\x00ﬁ"
    ),
    max_size=60,
)


@settings(max_examples=400, deadline=None)
@given(ANYTHING | AWKWARD)
def test_idempotent_and_never_raises(text: str) -> None:
    once = normalise(text)
    assert normalise(once) == once


@settings(max_examples=400, deadline=None)
@given(ANYTHING | AWKWARD)
def test_what_comes_out_can_be_stored_and_has_no_loose_white_space(text: str) -> None:
    out = normalise(text)
    out.encode("utf-8")
    assert "\0" not in out
    assert out == out.strip()
    assert "  " not in out
    assert "\n\n\n" not in out
    assert " \n" not in out and "\n " not in out
    assert unicodedata.is_normalized("NFC", out)


@settings(max_examples=400, deadline=None)
@given(ANYTHING | AWKWARD | st.text(alphabet="\u034f\u115f\u1160\u17b4\u180b\u3164\uffa0\U000e0100a b", max_size=9))
def test_what_is_taken_for_normal_at_a_glance_is(text: str) -> None:
    assert not _is_normal(text) or _normalise_once(text) == text


@settings(max_examples=400, deadline=None)
@given(
    st.text(alphabet=st.characters(exclude_categories=["Cs"], max_codepoint=0x24F) | st.sampled_from("абвгд中文日本语عربي"), max_size=120)
)
def test_never_invents_characters(text: str) -> None:
    """Apart from composition, a repair of mojibake, and the three white spaces, every character was there before."""
    allowed = set(unicodedata.normalize("NFC", text)) | {" ", "\n"}
    repaired = "\n".join(fix_encoding(line) for line in text.split("\n"))
    assert set(normalise(text)) <= allowed | set(unicodedata.normalize("NFC", repaired)) | set(normalise(repaired))
    assert normalise(text).count("\ufffd") <= text.count("\ufffd")


@pytest.mark.parametrize(
    ("text", "want"),
    [
        ("a\u0308rger", "ärger"),
        ("Ku\xadchen\u200b", "Kuchen"),
        ("one\xa0\u2003 two\t three", "one two three"),
        ("one\r\ntwo\rthree\u2028four", "one\ntwo\nthree\nfour"),
        ("one \n \n\n two", "one\n\ntwo"),
        ("donâ€™t", "don’t"),
        ("KÃ¼che", "Küche"),
        ("“offen und direkt” – „so“ 'und' --", "“offen und direkt” – „so“ 'und' --"),
        ("a\u202eb\u2066c\u200f", "abc"),
        ("می\u200cخواهم", "می\u200cخواهم"),
        ("ab\u200ccd \u200d", "abcd"),
        (
            "👩\u200d🚀 🏴\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f",
            "👩\u200d🚀 🏴\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f",
        ),
        ("hidden\U000e0061\U000e0062 words", "hidden words"),
        ("half \ud83d character\x00", "half character"),
        ("Ångström, São Paulo, Œuvre, naïve", "Ångström, São Paulo, Œuvre, naïve"),
    ],
)
def test_examples(text: str, want: str) -> None:
    assert normalise(text) == want


def test_one_line_and_folding() -> None:
    assert normalise_line(" A title\n on two\n\nlines ") == "A title on two lines"
    assert fold("“Wer – wenn nicht er…”") == '"Wer - wenn nicht er..."'


def test_two_lines_that_are_mojibake_together() -> None:
    """Found by fuzzing: each line is left alone, and the one line that they become is not."""
    text = "<meta charset=iso-8859-1>\u0192\u00c2\u00bcrich\u00e2\u20ac\u009d\ne\u00cc\u0081 \u00e2\u20ac\u00a8 \u00c6\u2019\u00c2\u00a9"
    line = normalise_line(text)
    assert normalise_line(line) == line
