"""How much of a text is mojibake."""

from __future__ import annotations

import pytest
from html_pages import html, page
from hypothesis import given
from hypothesis import strategies as st

from newsmill.extraction.mojibake import measure_mojibake
from newsmill.extraction.normalise import normalise
from newsmill.extraction.pipeline import read
from newsmill.model import Document

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
