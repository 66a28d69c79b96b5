"""Compounds, words joined by hyphens, and other spellings of a name, on both databases."""

from __future__ import annotations

import pytest
from articles import article, found, numbers, store
from sqlalchemy import Engine

from newsmill.search.query import close_query
from newsmill.search.search import Search
from newsmill.search.variants import MAX_COMPOUNDS


@pytest.fixture
def search(engine: Engine) -> Search:
    return Search(engine)


def test_compounds_and_hyphens(engine: Engine, search: Search) -> None:
    """Documents with the word itself come first."""
    german = {"language": "de", "title": None}
    store(
        engine,
        article(1, "Alle Wahlen sind am Sonntag. Das Ergebnis der Wahl steht am Abend fest. Es ist kommunal.", **german),
        article(2, "Am Sonntag sind Kommunalwahlen.", **german),
        article(3, "Eine gute Auswahl.", **german),
        article(4, "Der Ukrainekrieg begann.", **german),
        article(5, "Der Krieg in der Ukraine.", **german),
        article(6, "Der Ukraine-Krieg.", **german),
        article(7, "I kommunen blev det kommunalvalg. Valg og politik.", language="da", title=None),
        article(8, "Partij en verkiezing. De gemeente en de raad. Na de gemeenteraadsverkiezingen.", language="nl", title=None),
        article(9, "Sie schrieb eine E-Mail.", **german),
        article(10, "Send an email.", language="en", title=None),
    )
    for query, expected in {
        "Wahl": ["1", "2"],
        "wahlen": ["1", "2"],
        "=Wahl": ["1"],
        '"Wahl"': ["1"],
        "Sonntag Wahl": ["1", "2"],
        "Sonntag -Wahl": [],
        "Kommunalwahl": ["2"],
        "Krieg": ["6", "5", "4"],
        "Ukraine-Krieg": ["6", "4", "5"],
        "Ukraine Krieg": ["6", "5", "4"],
        "Ukrainekrieg": ["4", "6", "5"],
        "=Ukrainekrieg": ["4"],
        "-Ukrainekrieg Krieg": ["6", "5"],
        '"Ukraine-Krieg"': ["6"],
        "title:Ukrainekrieg": [],
        "valg lang:da": ["7"],
        "verkiezingen": ["8"],
        "e-mail": ["10", "9"],
    }.items():
        assert numbers(search, query) == expected, query
    snippet = next(hit.snippet for hit in search.search("Wahl").hits if hit.url.endswith("/2"))
    assert ("Kommunalwahlen", True) in snippet


def test_spellings_of_a_name(engine: Engine, search: Search) -> None:
    """Ordinary words are not names, although they sound alike."""
    store(
        engine,
        article(1, "He met others.", title="Zelensky in Paris"),
        article(2, "He met others.", title="Zelenskyy in Rome"),
        article(3, "Er traf andere.", title="Zelenskij in Wien", language="de"),
        article(4, "Sand.", title="A desert"),
        article(5, "Cake.", title="A dessert"),
    )
    assert sorted(numbers(search, "zelenskyy")) == ["1", "2", "3"] and numbers(search, "Zelensky")[0] == "1"
    assert numbers(search, "=Zelensky") == ["1"] and numbers(search, "desert") == ["4"]
    (note,) = search.search("Zelensky").notes
    assert (note.kind, note.value, note.options) == ("spelling", "Zelensky", ("zelenskij", "zelenskyy"))
    assert search.search("=Zelensky").notes == () == search.search("desert").notes


def test_a_name_that_no_title_has_is_suggested_in_another_spelling(engine: Engine, search: Search) -> None:
    store(engine, article(1, "She met Zelensky and Mohamed.", title="A visit"), article(2, "Cake.", title="A dessert"))
    assert search.search("Zelenskyy visit").suggestion == "zelensky visit" and search.search("mohammed").suggestion == "mohamed"
    assert search.search("Zelenskaya").suggestion is None


def test_genitives_of_names(engine: Engine, search: Search) -> None:
    """No dictionary of the language has the name: "rechts" is no form of "Recht"."""
    store(
        engine,
        article(1, "Trumps Rede war lang. Er traf Putin.", language="de", title=None),
        article(2, "Das ist ihr Recht.", language="de", title=None),
        article(3, "Sie steht rechts.", language="de", title=None),
        article(4, "Trumps tale var lang.", language="da", title=None),
        article(5, "Trump's speech was long.", language="en", title=None),
        article(6, "Zelenskyjs tal var långt.", language="sv", title=None),
        article(7, "Selenskyjs Rede war lang.", language="de", title=None),
    )
    assert sorted(numbers(search, "trump")) == ["1", "4", "5"] and numbers(search, "=trump") == ["5"]
    assert numbers(search, "Selenskyj") == ["7"] and numbers(search, "Zelenskyj") == ["6"] and numbers(search, "Recht") == ["2"]
    (hit,) = search.search("trump lang:de").hits
    assert ("Trumps", True) in hit.snippet and numbers(search, "trump Putin") == ["1"]


def test_a_frequent_ending_is_bounded(engine: Engine, search: Search) -> None:
    words = " ".join(f"haus{'abcdefghij'[n // 10]}{'abcdefghij'[n % 10]}wesen" for n in range(100))
    store(engine, article(1, f"Das Wesen. {words} hauswesen Haus", language="de"))
    forms = search.highlighter("Wesen", "de").forms
    assert forms is not None and len(forms["wesen"].forms("de")) <= MAX_COMPOUNDS + 1


def test_long_compounds_are_found_among_many_short_ones(engine: Engine, search: Search) -> None:
    parts = [f"{a}{b}rt" for a in "bdfgk" for b in ("ae", "ei", "io", "oa", "ue")]
    short = " ".join(f"{part}wahl" for part in parts)
    store(
        engine,
        article(1, f"Wahl. {short}.", language="de", title=" ".join([*parts, "Bundestag"])),
        article(2, "Die Bundestagswahl begann.", language="de", title=None),
        article(3, "Die Bundestagswahl begann. Es ist die 20. Bundestagswahl.", language="de", title=None),
    )
    assert numbers(search, "Wahl") == ["1", "3", "2"]


def test_a_snippet_has_both_words(engine: Engine, search: Search) -> None:
    """In two parts of the text where they are far apart."""
    rain = "It rained on the hills and the river rose. " * 20
    store(
        engine, article(1, f"{rain}The harbours opened. {rain}A ferry left. {rain}"), article(2, f"{rain}The harbour and the ferry. {rain}")
    )
    for number, pieces in (("1", ["harbours", "ferry"]), ("2", ["harbour", "ferry"])):
        (snippet,) = (hit.snippet for hit in search.search("harbour ferry").hits if hit.url.endswith(f"/{number}"))
        text = "".join(piece for piece, _ in snippet)
        assert [piece for piece, is_match in snippet if is_match] == pieces and len(text) < 280 and text.startswith("… ")
        assert text.count("…") == (3 if number == "1" else 2)


def test_words_near_each_other(engine: Engine, search: Search) -> None:
    store(
        engine,
        article(1, "The old ferry left the harbour."),
        article(2, "The harbour is old. There one can see a ferry.", title="x"),
        article(3, "The ferry.", title="Harbour"),
        article(4, "A ferries harbour."),
    )
    for query, expected in {
        "ferry NEAR/3 harbour": {"1"},
        "ferry NEAR/2 harbour": set(),
        "harbour NEAR/8 ferry": {"1", "2"},
        "harbour NEAR/20 ferry -old": set(),
        "NOT (ferry NEAR/3 harbour) the": {"2", "3"},
        "title:x OR ferry NEAR/3 harbour": {"1", "2"},
        "NEAR/3 ferry": {"1", "2", "3", "4"},
        "ferry NEAR/3": {"1", "2", "3", "4"},
        'ferry NEAR/3 "the harbour"': {"1", "2"},
    }.items():
        assert found(search, query) == expected, query
    assert [note.kind for note in search.search('ferry NEAR/3 "the harbour"').notes] == ["near"]
    assert close_query("ferry NEAR/3 harbour") == "ferry NEAR/3 harbour"
