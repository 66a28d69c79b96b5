"""The contract of normalised text as properties and examples, and the share of mojibake that normalisation cannot repair."""

from __future__ import annotations

import unicodedata

import pytest
from ftfy import fix_encoding
from html_pages import html, page
from hypothesis import given, settings
from hypothesis import strategies as st

from newsmill.extraction.mojibake import measure_mojibake
from newsmill.extraction.normalise import _is_normal, _normalise_once, fold, normalise, normalise_line
from newsmill.extraction.pipeline import read
from newsmill.model import Document

ANYTHING = st.text(alphabet=st.characters(exclude_categories=()), max_size=200)  # lone surrogates too
AWKWARD = st.text(
    alphabet=st.sampled_from(
        "aä\u0308é \n\t\r\xa0\xad\u200b\u200c\u200d\u2028\ufeff\u202e\u064aक👩🏽🏴\U000e0067\U000e007fÃ¢€™“”Â\x92\x85\x00ﬁ"
    ),
    max_size=60,
)
GERMAN = "Der Gemeinderat tagte am Dienstagabend, und niemand erwartete große Überraschungen für die Bürger. " * 4
RUSSIAN = "Совет собрался во вторник вечером в старой ратуше, и никто не ожидал долгих споров. " * 4
GREEK = "Το δημοτικό συμβούλιο συνεδρίασε την Τρίτη το βράδυ στο παλιό δημαρχείο. " * 4
CHINESE = "市议会星期二晚上在老市政厅开会，没有人预料到会有长时间的争论，大家都很惊讶。" * 4
JAPANESE = "市議会は火曜日の夜、古い市庁舎で開かれ、長い議論になるとは誰も思っていなかった。" * 4
KOREAN = "시의회는 화요일 저녁 옛 시청에서 회의를 열었고 긴 논쟁을 예상한 사람은 아무도 없었다. " * 4
VIETNAMESE = "Hội đồng thành phố họp vào tối thứ Ba tại tòa thị chính cũ, và không ai ngờ cuộc tranh luận kéo dài. " * 4
TURKISH = "Belediye meclisi salı akşamı eski belediye binasında toplandı; çocuklar şarkı söyledi, ağaçlar yeşildi. " * 4
FRENCH = "« CAFÉ » : l’École d’été a commencé à Orléans, où Åsa et Ørsted dînaient. Œuvres, cœurs, naïveté… " * 4
ALL = (GERMAN, RUSSIAN, GREEK, CHINESE, JAPANESE, KOREAN, VIETNAMESE, TURKISH, FRENCH)


@settings(max_examples=150, deadline=None)
@given(ANYTHING | AWKWARD)
def test_idempotent_and_never_raises(text: str) -> None:
    once = normalise(text)
    assert normalise(once) == once


@settings(max_examples=150, deadline=None)
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


@settings(max_examples=150, deadline=None)
@given(ANYTHING | AWKWARD | st.text(alphabet="\u034f\u115f\u1160\u17b4\u180b\u3164\uffa0\U000e0100a b", max_size=9))
def test_what_is_taken_for_normal_at_a_glance_is(text: str) -> None:
    assert not _is_normal(text) or _normalise_once(text) == text


@settings(max_examples=150, deadline=None)
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


@pytest.mark.parametrize("text", ["", "plain", "\ue192 30 Min. \ue202 größer", *ALL])
def test_an_undamaged_text_has_none(text: str) -> None:
    assert measure_mojibake(normalise(text)) == 0.0


@pytest.mark.parametrize(
    ("text", "written", "read_as"),
    [
        (CHINESE, "utf-8", "gb18030"),
        (CHINESE, "gb18030", "cp1252"),
        (JAPANESE, "utf-8", "cp932"),
        (KOREAN, "utf-8", "cp949"),
        (RUSSIAN, "cp1251", "cp1252"),
        (GREEK, "cp1253", "cp1252"),
        (RUSSIAN, "utf-8", "ascii"),
    ],
)
def test_a_misread_text_is_all_mojibake(text: str, written: str, read_as: str) -> None:
    assert measure_mojibake(normalise(text.encode(written).decode(read_as, "replace"))) > 0.9


@pytest.mark.parametrize(
    ("text", "share"),
    [
        ("nine good words and one b\ufffdd one in here", 0.1),
        ("two of th\ufffdse four w\ue123rds", 0.4),
        ("das fÃ¼rchterliche Wort und â€žStraÃŸeâ€œ bleibt", 2 / 6),
    ],
)
def test_the_share_is_that_of_the_words(text: str, share: float) -> None:
    assert measure_mojibake(text) == pytest.approx(share, abs=0.02)


@given(st.text(max_size=300))
def test_a_share_lies_between_none_and_all(text: str) -> None:
    assert 0.0 <= measure_mojibake(text) <= 1.0


def test_unreadable_words_lower_the_confidence() -> None:
    def document(text: str) -> Document:
        found = read(page(html(f"<article><h1>Council votes</h1>{text}</article>"))).document
        assert found is not None
        return found

    paragraphs = [f"Sentence {i} of the report says that the council of the town met and voted on the bridge again." for i in range(12)]
    sound = document("".join(f"<p>{text}</p>" for text in paragraphs))
    damaged = document("".join(f"<p>{text}</p>".replace("council", "counc\ufffdl") for text in paragraphs))
    assert sound.confidence is not None and damaged.confidence is not None
    assert 0.9 < damaged.confidence / sound.confidence < 0.97  # one word in eighteen
    assert not any("mojibake" in warning for warning in sound.warnings)
    assert any(warning.startswith("mojibake: 5.") for warning in damaged.warnings)
