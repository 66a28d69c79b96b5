"""The table of forms: the words of the index with their lemmas."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from weakref import WeakKeyDictionary, WeakSet

from sqlalchemy import BindParameter, Connection, Engine, Transaction, and_, bindparam, func, or_, select, text, union

from newsmill.search.variants import COMPOUNDING, MAX_SPELLINGS, find_compounds, find_spellings, form_genitive, register_endings
from newsmill.search.word_forms import CACHED_WORDS, FormRow, find_form, load_strategy
from newsmill.storage.dialects import InsertMissing
from newsmill.storage.schema import removed_documents, search_forms

_REGISTER = InsertMissing(search_forms, ("form", "lemmatizer", "lemma"))

_WORDS: BindParameter[Any] = bindparam("b_words", expanding=True)
_ROW = (search_forms.c.form, search_forms.c.lemmatizer, search_forms.c.lemma)
# As the condition of the index by lemma, which leaves out the words that are their own lemma.
_HAS_LEMMA = and_(search_forms.c.lemma.in_(_WORDS), search_forms.c.lemma != search_forms.c.form)
_FORMS_OF = select(*_ROW).where(_HAS_LEMMA, search_forms.c.lemmatizer != "")
_LEMMAS_AND_FORMS_OF = select(*_ROW).where(or_(search_forms.c.form.in_(_WORDS), _HAS_LEMMA), search_forms.c.lemmatizer != "")
_KNOWN = union(select(search_forms.c.form).where(search_forms.c.form.in_(_WORDS)), select(search_forms.c.lemma).where(_HAS_LEMMA))

MAX_BEGINNINGS = 100
_BEGINNINGS = (
    select(search_forms.c.form)
    .where(search_forms.c.form >= bindparam("b_lower"), search_forms.c.form < bindparam("b_upper"))
    .distinct()
    .order_by(search_forms.c.form)
    .limit(MAX_BEGINNINGS)
)

# Dictionaries are large: a query loads those of the most common languages only. On Postgres 1,000 documents take 0.5 ms more than 300.
_COMMON_LEMMATIZERS = text("""SELECT lemmatizer FROM (SELECT lemmatizer FROM search_entries ORDER BY moment DESC LIMIT 300) AS e
WHERE lemmatizer <> '' GROUP BY lemmatizer ORDER BY count(*) DESC, lemmatizer LIMIT 4""")

_LAST_REMOVAL = select(func.max(removed_documents.c.removed_at))
# By database, the time of the last removal and the forms: most words of a document are in the table, and asking it costs 0.5 ms a document.
_known_forms = WeakKeyDictionary[Engine, tuple[Any, set[FormRow]]]()
_adding = WeakSet[Transaction]()  # transactions that have added forms


@dataclass(frozen=True, slots=True)
class WordForms:
    """What the index knows of one word of a query: by lemmatizer, its lemmas, and for each lemma the forms that documents contain."""

    lemmas: Mapping[str, Mapping[str, frozenset[str]]] = field(default_factory=dict)
    spellings: tuple[str, ...] = ()  # other ones of the same name, which are among the lemmas

    def forms(self, lemmatizer: str) -> frozenset[str]:
        """The words that match in documents of a lemmatizer, besides the word itself."""
        by_lemma = self.lemmas.get(lemmatizer, {})
        return frozenset(form for lemma, forms in by_lemma.items() for form in (*forms, lemma))


Forms = Mapping[str, WordForms]  # by word


def register_forms(conn: Connection, rows: Iterable[FormRow]) -> None:
    """Add the forms that the table does not have."""
    known, transaction = _list_known(conn), conn.get_transaction()
    ordered = sorted({*rows} - known)
    if not ordered:
        return
    added = _REGISTER.run(conn, ordered)
    register_endings(conn, {(form, lemmatizer) for form, lemmatizer, _ in added})
    if transaction not in _adding:  # what this transaction has added may still be rolled back
        known.update(row for row in ordered if row not in added)
    if added and transaction is not None:
        _adding.add(transaction)


def _list_known(conn: Connection) -> set[FormRow]:
    """The forms that were in the table when this process last registered them. A takedown deletes forms, so none is known behind one."""
    removed_at = conn.execute(_LAST_REMOVAL).scalar()
    noted = _known_forms.get(conn.engine)
    if noted is None or noted[0] != removed_at or len(noted[1]) > CACHED_WORDS:
        noted = _known_forms[conn.engine] = removed_at, set()
    return noted[1]


def load_forms(conn: Connection, words: Mapping[str, str]) -> Forms:
    """The forms of some folded words, each with its spelling. A word is a form of its lemmas, and of itself where it is a lemma.

    A word that no document of a common language has is lemmatized: "elections" finds documents that only have "election". Compounds and
    other spellings of a name count as forms (`variants`).
    """
    if not words:
        return {}
    rows = conn.execute(_LEMMAS_AND_FORMS_OF, {"b_words": sorted(words)}).all()
    own = {tuple(row) for row in rows if row.form in words}
    as_lemma = [row for row in rows if row.lemma in words]
    known = {(form, lemmatizer) for form, lemmatizer, _ in own} | {(row.lemma, row.lemmatizer) for row in as_lemma}
    common = conn.execute(_COMMON_LEMMATIZERS).scalars().all()
    guessed = _guess_missing(common, words, known)
    own |= guessed
    known |= {(form, lemmatizer) for form, lemmatizer, _ in guessed}
    forms: dict[tuple[str, str], set[str]] = defaultdict(set)
    for row in [*as_lemma, *_read_forms(conn, {lemma for _, _, lemma in own} - words.keys())]:
        forms[row.lemmatizer, row.lemma].add(row.form)
    spelled = {word: _other_spellings(conn, word, typed) for word, typed in words.items()}
    variants = {(word, lemmatizer, name) for word, names in spelled.items() for name, lemmatizer in names}
    variants |= _find_compounds(conn, known, own, forms) | _form_genitives(common, words)
    for row in _read_forms(conn, {lemma for _, _, lemma in variants - own}):
        forms[row.lemmatizer, row.lemma].add(row.form)
    lemmas_of: dict[str, set[tuple[str, str]]] = defaultdict(set)
    for word, lemmatizer, lemma in own | variants:
        lemmas_of[word].add((lemmatizer, lemma))
    return {word: _word_forms(word, lemmas_of[word], forms, spelled[word]) for word in words}


def _guess_missing(common: Iterable[str], words: Mapping[str, str], known: Collection[tuple[str, str]]) -> set[FormRow]:
    """The lemmas, in common languages, of words that no document has. `known`: the words with their lemmatizers that documents have."""
    missing = [(word, lemmatizer) for lemmatizer in common for word in words]
    return {row for word, lemmatizer in missing if (word, lemmatizer) not in known for row in _guess(words[word], lemmatizer)}


def _form_genitives(common: Iterable[str], words: Mapping[str, str]) -> set[FormRow]:
    """The genitives, in common languages, of words that no dictionary of the language has: "rechts" is no form of "Recht"."""
    formed = [(word, lemmatizer, genitive) for lemmatizer in common for word in words if (genitive := form_genitive(word, lemmatizer))]
    return {
        (word, lemmatizer, genitive)
        for word, lemmatizer, genitive in formed
        if not _is_in_dictionary(words[word], lemmatizer) and not _is_in_dictionary(genitive, lemmatizer)
    }


def _find_compounds(
    conn: Connection, known: Iterable[tuple[str, str]], own: Collection[FormRow], forms: Mapping[tuple[str, str], Iterable[str]]
) -> set[FormRow]:
    """The compounds with a form of a known word, as lemmas of this word. `own`: the words with their lemmas."""
    found: set[FormRow] = set()
    for word, lemmatizer in known:
        if lemmatizer in COMPOUNDING:
            lemmas = {lemma for form, code, lemma in own if (form, code) == (word, lemmatizer)} | {word}
            heads = lemmas.union(*(forms[lemmatizer, lemma] for lemma in lemmas))
            found |= {(word, lemmatizer, lemma) for lemma in find_compounds(conn, heads, lemmatizer)}
    return found


def _read_forms(conn: Connection, lemmas: Collection[str]) -> Sequence[Any]:
    return conn.execute(_FORMS_OF, {"b_words": sorted(lemmas)}).all() if lemmas else ()


def _other_spellings(conn: Connection, word: str, typed: str) -> list[tuple[str, str]]:
    """Other spellings of a name, with the lemmatizer of their language. No dictionary has the name or its spellings."""
    found = find_spellings(conn, word)
    if any(_is_in_dictionary(typed, lemmatizer) for lemmatizer in {lemmatizer for _, lemmatizer in found}):
        return []
    return [(name, lemmatizer) for name, lemmatizer in found if not _is_in_dictionary(name, lemmatizer)][:MAX_SPELLINGS]


def _is_in_dictionary(word: str, lemmatizer: str) -> bool:
    strategy = load_strategy()
    return any(strategy.get_lemma(spelling, lemmatizer) is not None for spelling in {word, word.lower(), word.capitalize()})


def load_dictionaries(conn: Connection) -> None:
    """Load the dictionaries that `load_forms` needs. A language that no process of the user has indexed costs 0.3 to 6 s of CPU."""
    for lemmatizer in conn.execute(_COMMON_LEMMATIZERS).scalars():
        find_form("word", lemmatizer)


def _guess(spelling: str, lemmatizer: str) -> Iterator[FormRow]:
    """The lemmas of a word that is not in the table. People type nouns without capitals."""
    for form in (find_form(spelling, lemmatizer), find_form(spelling.capitalize(), lemmatizer)):
        if form is not None and form.is_known and form.lemma != form.word:
            yield form.word, lemmatizer, form.lemma


def find_known(conn: Connection, words: Iterable[str]) -> set[str]:
    """The words that the table has, as forms or as lemmas."""
    wanted = sorted(set(words))
    return set(conn.execute(_KNOWN, {"b_words": wanted}).scalars()) if wanted else set()


def find_beginnings(conn: Connection, beginning: str) -> list[str]:
    """Up to MAX_BEGINNINGS words of the table that begin like this."""
    return list(conn.execute(_BEGINNINGS, {"b_lower": beginning, "b_upper": f"{beginning}\U0010fffe"}).scalars())


def _word_forms(
    word: str, own: Iterable[tuple[str, str]], forms: Mapping[tuple[str, str], Iterable[str]], spellings: Iterable[tuple[str, str]]
) -> WordForms:
    found: dict[str, dict[str, frozenset[str]]] = defaultdict(dict)
    for lemmatizer, lemma in {*own, *((lemmatizer, lemma) for lemmatizer, lemma in forms if lemma == word)}:
        found[lemmatizer][lemma] = frozenset(forms[lemmatizer, lemma])
    return WordForms(found, tuple(sorted({name for name, _ in spellings})))
