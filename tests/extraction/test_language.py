"""The language of a text, and which tags are tags."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import langcodes
import pytest
from html_pages import article, html, page
from hypothesis import given
from hypothesis import strategies as st
from py3langid import modelio  # type: ignore[import-untyped]  # publishes no types
from py3langid.langid import MODEL_FILE, LanguageIdentifier  # type: ignore[import-untyped]

from newsmill.extraction.metadata.language import LONG_TEXT_CHARACTERS, MIN_TEXT_CHARACTERS, detect_language
from newsmill.extraction.metadata.language_model import ARRAYS, load_detector
from newsmill.extraction.pipeline import read
from newsmill.model import Hint
from newsmill.text.language_tags import parse_language_tag


@pytest.mark.parametrize(
    ("value", "tag"),
    [
        ("utf", None),  # seen in <html lang="utf-8">
        ("utf-8", None),
        ("html", None),
        ("xx", None),
        ("zxx", None),
        ("cz", None),  # a country's code, and no language's
        ("eng", "en"),  # RFC 5646 4.5: the shortest code
        ("ger-DE", "de-DE"),
        ("sh", "sr-Latn"),
        ("en-UK", "en-GB"),
        ("en_XX", "en"),  # private use: it names no region
        ("en-959", "en"),  # the number of such a region
        ("sq-XK", "sq-XK"),  # but Kosovo's code is in use
        ("de-XYZW-AT", "de"),  # no script of that name
        ("en_US.UTF-8", "en-US"),
    ],
)
def test_only_registered_languages_are_tags(value: str, tag: str | None) -> None:
    assert parse_language_tag(value) == tag


@given(st.text(max_size=12) | st.from_regex(r"[A-Za-z]{2,3}([-_][A-Za-z]{4})?([-_]([A-Za-z]{2}|[0-9]{3}))?", fullmatch=True))
def test_a_tag_is_valid_and_stays_as_it_is(value: str) -> None:
    tag = parse_language_tag(value)
    assert tag is None or (langcodes.tag_is_valid(tag) and parse_language_tag(tag) == tag)


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("Der Stadtrat tagte am Abend im alten Rathaus.", "de"),
        ("Le conseil municipal s'est réuni hier soir à la mairie.", "fr"),
        ("Совет собрался во вторник вечером в старой ратуше.", "ru"),
        ("市议会星期二晚上在老市政厅开会，没有人预料到会有长时间的争论。", "zh"),
        ("시의회는 화요일 저녁 옛 시청에서 회의를 열었다.", "ko"),
        ("Bəzi sakinlər körpünün bağlanmasına etiraz etdilər və şəhər məclisinə məktub göndərdilər.", "az"),
        ("Бәзи сакинләр көрпүнүн бағланмасына етираз етдиләр вә шәһәр мәҹлисинә мәктуб ҝөндәрдиләр, чүнки јол узун иди.", "az"),
        ("Predsednik opštine je rekao da će most ostati otvoren, gde god je to moguće, dok deca idu u školu.", "sr"),
        ("Председник општине је рекао да ће мост остати отворен, где год је то могуће, док деца иду у школу.", "sr"),
        ("Predsjednik općine rekao je da će most ostati otvoren tijekom kolovoza, gdje god je to moguće, dok djeca idu u školu.", "hr"),
        ("Predsjednik općine je saopćio da će most tokom augusta ostati otvoren, gdje god je to moguće, dok djeca idu u školu.", "bs"),
        ("Pemerintah kota mengatakan bahwa jembatan itu ditutup karena uang untuk perbaikan belum tersedia.", "id"),
        ("Kerajaan negeri berkata bahawa jambatan itu ditutup kerana wang untuk membaikinya belum ada.", "ms"),
        ("Nagsalita ang alkalde tungkol sa tulay na isasara sa susunod na buwan dahil luma na ito.", "fil"),
        ("Tor 2 4:1", None),
        ("12.30 15.45 17.10 19.55 21.20 23.15 01.40 03.05", None),
        ("def f(x): return x[0] == y[1] and {a: b for a, b in z.items()} or lambda q: q ** 2 # 0x1f", None),
        ("", None),
    ],
)
def test_short_texts_have_a_language_where_it_is_sure(text: str, language: str | None) -> None:
    assert len(text) < LONG_TEXT_CHARACTERS
    assert detect_language(text) == language


@given(st.text(max_size=300) | st.text(st.characters(categories=("N", "S", "P")), max_size=300))
def test_whatever_is_detected_is_a_language(text: str) -> None:
    found = detect_language(text)
    assert found is None or (len(text) >= MIN_TEXT_CHARACTERS and found != "zxx" and parse_language_tag(found) == found)


def test_a_sure_text_counts_more_than_the_feed_and_the_source() -> None:
    german = "<p>Der Stadtrat tagte am Dienstagabend im alten Rathaus, und niemand erwartete eine lange Debatte.</p>"
    brief = read(page(html(f"<article><h1>Kurz</h1>{german}</article>", lang="utf-8"), hint=Hint(language="en")), language="fr").document
    assert brief is not None
    assert len(brief.text) < LONG_TEXT_CHARACTERS
    assert (brief.language, brief.provenance["language"]) == ("de", "text")
    declared = article(hint=Hint(language="de")).document
    assert declared is not None
    assert (declared.language, declared.provenance["language"]) == ("en", "dom")


GERMAN = "Der Stadtrat tagte am Dienstagabend im alten Rathaus, und niemand erwartete eine lange Debatte über die Brücke. " * 3
CROATIAN = "Predsjednik općine rekao je da će most ostati otvoren tijekom kolovoza, gdje god je to moguće, dok djeca uče. " * 3
KOREAN = "시의회는 화요일 저녁 옛 시청에서 회의를 열었고 다리에 관한 긴 논쟁을 예상한 사람은 아무도 없었다. " * 5
DUTCH = "De brug was of dicht of open, want de raad had of geld of tijd, en wat de storm was had niemand gezien. " * 3
NORWEGIAN = "Bystyret møttes tirsdag kveld i det gamle rådhuset, og ingen ventet at debatten om broen skulle vare så lenge. " * 3


@pytest.mark.parametrize(
    ("declared", "text", "found"),
    [
        ("en", GERMAN, ("de", "text")),  # the site's template speaks English, the article German
        ("en", DUTCH, ("nl", "text")),  # with "was", "had" and "of", which are English words, too
        ("de-AT", GERMAN, ("de-AT", "dom")),
        ("sr", CROATIAN, ("sr", "dom")),  # a detector mixes these up, so it contradicts nobody
        ("nb", NORWEGIAN, ("nb", "dom")),  # Bokmål is Norwegian
        ("kr", KOREAN, ("ko", "text")),  # "kr" is Kanuri, and Korea's code
        ("gsw", GERMAN, ("gsw", "dom")),  # the detector does not know Swiss German
        ("en", GERMAN[:100], ("en", "dom")),  # too short to be certain
    ],
)
def test_a_text_may_contradict_the_page(declared: str, text: str, found: tuple[str, str]) -> None:
    document = read(page(html(f"<article><h1>1</h1><p>{text}</p></article>", lang=declared))).document
    assert document is not None
    assert (document.language, document.provenance["language"]) == found


ENGLISH = "The council of the town met on Tuesday and voted to keep the old bridge, which had been closed by the storm. " * 3


LONG_GERMAN = "Der Rat der Stadt hat sich mit der Brücke befasst, die nach dem Sturm auch für den Bus nicht zu befahren ist. " * 3


@pytest.mark.parametrize(("declared", "text"), [("en", ENGLISH), ("de-AT", LONG_GERMAN)])
def test_frequent_words_of_the_declared_language_spare_the_detector(declared: str, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("newsmill.extraction.metadata.language.load_detector", None)
    document = read(page(html(f"<article><h1>1</h1><p>{text}</p></article>", lang=declared))).document
    assert document is not None and document.language == declared


# ---- the unpacked model

Ranking = list[tuple[str, float]]
TEXTS = (GERMAN, CROATIAN, KOREAN, "x")


@pytest.fixture
def cache_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "newsmill"


@pytest.fixture(scope="module")
def expected() -> list[Ranking]:
    detector = LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
    return [detector.rank(text) for text in TEXTS]


@pytest.fixture(scope="module")
def unpacked_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache folder with the model."""
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(folder))
        load_detector.__wrapped__()
    return folder / "newsmill"


def rank_as_a_new_process() -> list[Ranking]:
    detector = load_detector.__wrapped__()
    return [detector.rank(text) for text in TEXTS]


def test_the_second_process_finds_the_model_unpacked(cache_folder: Path, expected: list[Ranking], monkeypatch: pytest.MonkeyPatch) -> None:
    assert rank_as_a_new_process() == expected
    assert sorted(path.name for path in cache_folder.glob("*/*")) == sorted(f"{name}.npy" for name in ARRAYS)
    monkeypatch.delattr(modelio, "load_model")
    assert rank_as_a_new_process() == expected


@pytest.mark.parametrize(("name", "bytes_left"), [("weights.npy", 0), ("next_states.npy", 50), ("outputs.npy", 100_000)])
def test_a_damaged_file_of_the_model_is_written_again(
    unpacked_model: Path, cache_folder: Path, expected: list[Ranking], name: str, bytes_left: int
) -> None:
    shutil.copytree(unpacked_model, cache_folder)
    (path,) = cache_folder.glob(f"*/{name}")
    whole = path.stat().st_size
    os.truncate(path, bytes_left)
    assert rank_as_a_new_process() == expected
    assert path.stat().st_size == whole


def test_without_a_writable_cache_folder_each_process_unpacks_the_model(cache_folder: Path, expected: list[Ranking]) -> None:
    cache_folder.parent.mkdir()
    cache_folder.write_text("a file")
    assert rank_as_a_new_process() == expected
    assert cache_folder.read_text() == "a file"


def test_the_fork_server_loads_the_language_model_for_all_children() -> None:
    """newsmill.sandbox.preload is what the server imports before it makes a child."""
    code = (
        "import newsmill.sandbox.preload; from newsmill.extraction.metadata import language; "
        "print(language.load_detector.cache_info().currsize)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.stdout == "1\n", done.stderr
