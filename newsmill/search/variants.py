"""Words that a word of a query also finds besides its inflected forms: compounds that end with it, and other forms of a name.

Compounds and spellings are read from the words that the index has, when a query is asked: "Wahl" finds "Kommunalwahlen", and "Zelensky"
finds "Zelenskyy". No dictionary has the genitive of a name: "Selenskyj" finds "Selenskyjs". All count as little as inflected forms do, so
documents with the word itself come first.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Sequence

from sqlalchemy import BindParameter, Connection, bindparam, func, select

from newsmill.storage.dialects import InsertMissing
from newsmill.storage.schema import search_endings, search_forms

COMPOUNDING = frozenset(("da", "de", "lb", "nb", "nl", "nn", "sv"))  # lemmatizers of languages that write compounds as one word
MIN_PART_CHARACTERS = 4  # shorter parts are mostly prefixes and endings: "Auswahl" is no compound of "Wahl"
MAX_COMPOUNDS = 40  # of one word, the shortest; 12 more take about 2 ms, and 12 alone were half of what "Wahl" and "Preis" should find
MAX_TESTED_COMPOUNDS = 200  # whose first part is looked up
_LINKERS = ("", "s", "es", "n", "en", "er", "e")  # between the parts of a compound; "Schulhaus" lacks the "e" of "Schule"

GENITIVE_S = COMPOUNDING  # the same Germanic languages: their names take an "s" without an apostrophe
_SIBILANTS = ("s", "ß", "x", "z")  # names that end with one take an apostrophe alone, or nothing
MIN_GENITIVE_CHARACTERS = 3

MIN_NAME_CHARACTERS = 6
MAX_SPELLINGS = 5  # of one name
MAX_TESTED_SPELLINGS = 500
_BEGINNING_CHARACTERS = 4  # that all spellings of a name share, so that few words are read
# Letters that transliterations of one name write differently, and doubled letters.
_SOUNDS = (
    (re.compile("[ijy]+"), "i"),
    (re.compile("w"), "v"),
    (re.compile("c?k|kh"), "k"),
    (re.compile("ph"), "f"),
    (re.compile(r"(.)\1+"), r"\1"),
)

_WORDS: BindParameter[list[str]] = bindparam("b_words", expanding=True)
_BOUNDS: tuple[BindParameter[str], BindParameter[str]] = (bindparam("b_lower"), bindparam("b_upper"))
_ENDINGS = (
    select(search_endings.c.ending)
    .where(search_endings.c.lemmatizer == bindparam("b_lemmatizer"), search_endings.c.ending.between(*_BOUNDS))
    .order_by(func.length(search_endings.c.ending), search_endings.c.ending)
    .limit(MAX_TESTED_COMPOUNDS)
)
_KNOWN = select(search_forms.c.form).where(search_forms.c.form.in_(_WORDS)).distinct()
_LEMMAS = (
    select(search_forms.c.lemma).where(search_forms.c.form.in_(_WORDS), search_forms.c.lemmatizer == bindparam("b_lemmatizer")).distinct()
)
_NAMES = (
    select(search_forms.c.form, search_forms.c.lemmatizer)
    .where(
        search_forms.c.form.between(*_BOUNDS),
        search_forms.c.lemma == search_forms.c.form,
        search_forms.c.lemmatizer != "",
        func.length(search_forms.c.form).between(bindparam("b_shortest"), bindparam("b_longest")),
    )
    .order_by(search_forms.c.form, search_forms.c.lemmatizer)
    .limit(MAX_TESTED_SPELLINGS)
)
_REGISTER = InsertMissing(search_endings, ("lemmatizer", "ending"))
_LAST = "\U0010fffe"  # above every character of a word


def is_compound(word: str, lemmatizer: str) -> bool:
    """Whether a word can be a compound.

    >>> is_compound("kommunalwahl", "de"), is_compound("wahl", "de"), is_compound("elections", "en")
    (True, False, False)
    """
    return lemmatizer in COMPOUNDING and len(word) >= 2 * MIN_PART_CHARACTERS


def register_endings(conn: Connection, words: Iterable[tuple[str, str]]) -> None:
    """Add the compounds among some words, each with its lemmatizer, from their end to their beginning."""
    _REGISTER.run(conn, sorted({(lemmatizer, word[::-1]) for word, lemmatizer in words if is_compound(word, lemmatizer)}))


def find_compounds(conn: Connection, heads: Collection[str], lemmatizer: str) -> list[str]:
    """The lemmas of up to MAX_COMPOUNDS compounds that end with one of some words, the shortest ones."""
    candidates: dict[str, str] = {}  # compound → its first part
    for head in (head for head in heads if len(head) >= MIN_PART_CHARACTERS):
        bounds = {"b_lemmatizer": lemmatizer, "b_lower": head[::-1], "b_upper": head[::-1] + _LAST}
        for ending in conn.execute(_ENDINGS, bounds).scalars():
            candidates.setdefault(ending[::-1], ending[len(head) :][::-1])
    parts = {compound: list_first_parts(first) for compound, first in candidates.items() if len(first) >= MIN_PART_CHARACTERS}
    known = set(conn.execute(_KNOWN, {"b_words": sorted({part for some in parts.values() for part in some})}).scalars()) if parts else set()
    found = sorted((compound for compound, some in parts.items() if known & some), key=lambda word: (len(word), word))[:MAX_COMPOUNDS]
    return sorted(conn.execute(_LEMMAS, {"b_words": found, "b_lemmatizer": lemmatizer}).scalars()) if found else []


def list_first_parts(first: str) -> set[str]:
    """What the first part of a compound may be as a word of its own.

    >>> sorted(list_first_parts("landtags")), sorted(list_first_parts("schul"))
    (['landtag', 'landtags', 'landtagse'], ['schul', 'schule'])
    """
    parts = {first.removesuffix(linker) for linker in _LINKERS} | {f"{first}e"}
    return {part for part in parts if len(part) >= MIN_PART_CHARACTERS}


def join_parts(first: str, head: str) -> list[str]:
    """What a compound of two words may be.

    >>> join_parts("schule", "haus")
    ['schulehaus', 'schuleshaus', 'schuleeshaus', 'schulenhaus', 'schuleenhaus', 'schuleerhaus', 'schuleehaus', 'schulhaus']
    """
    return [f"{first}{linker}{head}" for linker in _LINKERS] + ([f"{first[:-1]}{head}"] if first.endswith("e") else [])


def form_genitive(name: str, lemmatizer: str) -> str | None:
    """The genitive of a name; None where the language has none of one word, or the name none with an "s".

    >>> form_genitive("trump", "de"), form_genitive("scholz", "de"), form_genitive("trump", "fr")
    ('trumps', None, None)
    """
    takes_s = lemmatizer in GENITIVE_S and len(name) >= MIN_GENITIVE_CHARACTERS and name.isalpha() and not name.endswith(_SIBILANTS)
    return f"{name}s" if takes_s else None


def spelling_key(name: str) -> str:
    """What all spellings of a name have in common.

    >>> {spelling_key(name) for name in ("zelensky", "zelenskyy", "zelenskij")}, {spelling_key(name) for name in ("mohammed", "mohamed")}
    ({'zelenski'}, {'mohamed'})
    """
    for pattern, sound in _SOUNDS:
        name = pattern.sub(sound, name)
    return name


def find_spellings(conn: Connection, name: str) -> Sequence[tuple[str, str]]:
    """Other spellings of a name that titles have, each with the lemmatizer of the language. Ordinary words may be among them."""
    if len(name) < MIN_NAME_CHARACTERS or not name.isalpha():
        return []
    lengths = {"b_shortest": len(name) - 2, "b_longest": len(name) + 2}
    beginning, key = name[:_BEGINNING_CHARACTERS], spelling_key(name)
    rows = conn.execute(_NAMES, {"b_lower": beginning, "b_upper": beginning + _LAST, **lengths})
    return [(form, lemmatizer) for form, lemmatizer in rows if form != name and spelling_key(form) == key]
