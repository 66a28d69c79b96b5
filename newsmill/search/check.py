"""What a query names that the index does not have: sources, languages, other values of filters, periods, and words in another spelling."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from difflib import get_close_matches
from typing import cast

from sqlalchemy import Connection, Select, bindparam, literal_column, select

from newsmill.search.backend import Backend, StatementTimeoutError
from newsmill.search.facets import FacetCount, FacetName, count_newest_values, format_filter
from newsmill.search.form_table import Forms, WordForms, find_known
from newsmill.search.index_query import prepare_query
from newsmill.search.parsed_query import Facet, Node, Query, Terms, list_facets, list_required_facets, positive_terms, requires_mark
from newsmill.search.positions import DATED, Span, to_time
from newsmill.search.query import parse_query
from newsmill.search.query_notes import QueryNote
from newsmill.search.tokens import fold, tokenize
from newsmill.search.variants import MIN_NAME_CHARACTERS, spelling_key
from newsmill.storage.schema import marks, sources

MAX_NAMES = 5  # of sources or other values in a note
CHECK_SECONDS = 0.030  # of one statement, on Postgres
MAX_CHECKED_VALUES = 3  # of one query: to look for one and to compare it takes up to 40 ms
MAX_COMPARED_VALUES = 500  # the most frequent of each facet
MIN_CORRECTED_CHARACTERS = 4  # shorter words resemble too many others
MAX_CORRECTED_CHARACTERS = 20
MAX_CORRECTED_WORDS = 3  # of one query: each takes about a thousand look-ups of 5 µs
MAX_CANDIDATES = 5  # of one word, whose documents are counted
MAX_TRANSLITERATIONS = 30  # of one name that the table of forms does not have: it lacks names that no title has
MAX_COUNTED = 1000

_TIME = "%Y-%m-%d %H:%M UTC"
_NAMES = select(sources.c.name).order_by(sources.c.name)
_TAGS = (
    select(marks.c.tag)
    .where(marks.c.kind == literal_column("'tag'"), marks.c.user_name == bindparam("b_user"))
    .distinct()
    .order_by(marks.c.tag)
    .limit(200)
)
# Letters that a spelling may lack or have wrong, by the script of the word.
_ALPHABETS = ("abcdefghijklmnopqrstuvwxyz", "абвгдежзийклмнопрстуфхцчшщъыьэюяєії", "αβγδεζηθικλμνξοπρστυφχψω")


def check_saved_query(text: str) -> tuple[QueryNote, ...]:
    """A note on a query of a saved search or a web hook that documents match only after a change, because new ones have no marks."""
    return (QueryNote("marks"),) if requires_mark(parse_query(text).node) else ()


def check_names(conn: Connection, backend: Backend, query: Query, user: str = "", *, has_matches: bool = False) -> Iterator[QueryNote]:
    """Notes on sources, languages and tags of the user that no document has. `has_matches`: the query is known to find a document."""
    proven = set(list_required_facets(query.node)) if has_matches else set()
    for facet in dict.fromkeys(list_facets(query.node)):
        if facet in proven or facet.name not in ("source", "lang", "tag") or _has_documents(conn, backend, facet):
            continue
        if facet.name == "source":
            folded = _fold_names(conn, _NAMES, {})
            has_source = facet.value in folded  # but no document of it
            close = () if has_source else _list_close(facet, facet.value, folded)
            yield QueryNote("empty_source" if has_source else "source", facet.value, close)
        elif facet.name == "tag":
            if name := facet.value.partition(" ")[2]:  # has:tag has no name
                yield QueryNote("tag", name, _list_close(facet, name, _fold_names(conn, _TAGS, {"b_user": user})))
        elif not any(note.kind == "language" for note in query.notes):
            is_code = fold(facet.typed).replace("_", "-") == facet.value
            yield QueryNote("stored_language", facet.value if is_code else f"{facet.typed} ({facet.value})")


def _fold_names(conn: Connection, statement: Select[str], parameters: Mapping[str, str]) -> dict[str, str]:
    """The names that a statement selects, in its order, by their folded form."""
    return {fold(name): name for name in conn.execute(statement, parameters).scalars()}


def _list_close(facet: Facet, name: str, folded: Mapping[str, str]) -> tuple[str, ...]:
    """The filters for the names that are close to this one, else for the first of all."""
    close = [folded[known] for known in get_close_matches(name, folded, MAX_NAMES)] or list(folded.values())[:MAX_NAMES]
    return tuple(f'{facet.name}:"{known}"' if " " in known else f"{facet.name}:{known}" for known in close)


def check_period(conn: Connection, backend: Backend, query: Query, now: datetime) -> Iterator[QueryNote]:
    """A note where no document is of the time of after: and before:. Reads the two ends of the index."""
    if (query.since or query.until) is None or (query.since and query.until and query.since >= query.until):
        return  # without a period, or with an empty one, which has a note
    span = Span().limit_to_times(query.since, query.until)
    if query.since and query.since > now:
        yield QueryNote("future", f"{query.since:{_TIME}}")
    elif backend.end_positions(conn, span) is None and (ends := backend.end_positions(conn, DATED)) is not None:
        newest, oldest = ends
        if newest < span.lower:
            yield QueryNote("newest", f"{to_time(newest[0]):{_TIME}}")
        elif oldest >= span.upper:
            yield QueryNote("oldest", f"{to_time(oldest[0]):{_TIME}}")
        else:
            yield QueryNote("period")


def check_values(conn: Connection, backend: Backend, query: Query) -> Iterator[QueryNote]:
    """Notes on authors, sections, types and hosts that no document has. Close names come from the newest documents."""
    facets = [
        one for one in dict.fromkeys(list_facets(query.node)) if one.name.removesuffix("_is") in ("author", "section", "type", "site")
    ]
    missing = [facet for facet in facets[:MAX_CHECKED_VALUES] if not _has_documents(conn, backend, facet)]
    if not missing:
        return
    try:
        values = count_newest_values(conn, backend, MAX_COMPARED_VALUES, CHECK_SECONDS)
    except StatementTimeoutError:
        values = {}
    for facet in missing:
        name = cast("FacetName", facet.name.removesuffix("_is"))
        yield _describe_missing(facet, name, values.get(name, ()))


def _describe_missing(facet: Facet, name: FacetName, counts: Sequence[FacetCount]) -> QueryNote:
    """The note on a value, with close values; where none is close, with the most frequent ones, but not with authors."""
    if facet.name in ("author", "section"):
        shown = f"{name}:{facet.value}"
        known: dict[str, str | None] = {word: f"{name}:{word}" for count in counts for word in tokenize(count.value)}
    else:
        shown = format_filter(name, facet.typed) or f"{name}:{facet.typed}"
        known = {fold(count.value): count.filter for count in counts}
    options = [known[value] for value in get_close_matches(facet.value, known, MAX_NAMES)]
    if not options and name != "author":
        options = [count.filter for count in counts[:MAX_NAMES]]
    return QueryNote("stored_value", shown, tuple(filter(None, options)))


def _has_documents(conn: Connection, backend: Backend, facet: Facet) -> bool:
    """Whether a document has the property, as far as there is time to look."""
    try:
        return backend.count(conn, backend.format_query(facet), Span(), 1, CHECK_SECONDS) > 0
    except StatementTimeoutError:  # reading a common one takes long on Postgres
        return True


def list_spellings(terms: Iterable[Terms], forms: Forms) -> Iterator[QueryNote]:
    """Notes on the other spellings that a name in the query finds."""
    for one in dict.fromkeys(terms):
        if not one.exact and (spellings := forms.get(one.words[0], WordForms()).spellings):
            yield QueryNote("spelling", one.typed, spellings)


def suggest_query(conn: Connection, backend: Backend, text: str, query: Query) -> str | None:
    """The query with words of the index in place of words that no document has; None if there are none to put.

    A word is corrected that differs from one of the index by one letter: wrong, missing, too many, or two in the wrong order. Of the words
    that only texts have, other transliterations of a name are found.
    """
    words = [terms for terms in _words(query.node) if _count(conn, backend, terms) == 0][:MAX_CORRECTED_WORDS]
    corrected = {terms.typed: best for terms in words if (best := _correct(conn, backend, terms.words[0])) is not None}
    for typed, best in corrected.items():
        text = text.replace(typed, best)
    return text if corrected else None


def _words(node: Node | None) -> Iterator[Terms]:
    for terms in () if node is None else dict.fromkeys(positive_terms(node)):
        if not terms.exact and terms.typed and MIN_CORRECTED_CHARACTERS <= len(terms.words[0]) <= MAX_CORRECTED_CHARACTERS:
            yield replace(terms, part="")


def _correct(conn: Connection, backend: Backend, word: str) -> str | None:
    similar = similar_words(word)
    known = sorted(find_known(conn, similar))[:MAX_CANDIDATES]
    if not known and len(word) >= MIN_NAME_CHARACTERS:
        key = spelling_key(word)
        known = sorted((one for one in similar if spelling_key(one) == key), key=lambda one: (len(one), one))[:MAX_TRANSLITERATIONS]
    counted = sorted(((_count(conn, backend, Terms((candidate,), typed=candidate)), candidate) for candidate in known), reverse=True)
    return counted[0][1] if counted and counted[0][0] else None


def _count(conn: Connection, backend: Backend, terms: Terms) -> int:
    try:
        return prepare_query(conn, backend, terms).count(Span(), MAX_COUNTED, CHECK_SECONDS)
    except StatementTimeoutError:  # a common word
        return MAX_COUNTED + 1


def similar_words(word: str) -> Iterable[str]:
    """The spellings that differ from a word by one letter.

    >>> len(set(similar_words("haus"))), "house" in similar_words("hosue"), "harbour" in similar_words("harbor")
    (233, True, True)
    """
    alphabet = next((letters for letters in _ALPHABETS if word[0] in letters), "")
    splits = [(word[:at], word[at:]) for at in range(len(word) + 1)]
    deleted = {left + right[1:] for left, right in splits if right}
    swapped = {left + right[1] + right[0] + right[2:] for left, right in splits if len(right) > 1}
    replaced = {left + letter + right[1:] for left, right in splits if right for letter in alphabet}
    inserted = {left + letter + right for left, right in splits for letter in alphabet}
    return (deleted | swapped | replaced | inserted) - {word}
