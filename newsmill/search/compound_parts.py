"""Compounds and their parts, in languages that write compounds as one word: "Ukraine Krieg" and "Ukraine-Krieg" also find "Ukrainekrieg",
and this finds "Krieg in der Ukraine".

Both are limited to words that the index has in such a language. Words behind one part are `variants.find_compounds`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Set

from sqlalchemy import BindParameter, Connection, bindparam, select

from newsmill.search.index_terms import facet_term
from newsmill.search.parsed_query import AllOf, AnyOf, Near, Node, SyntheticTerm, Terms
from newsmill.search.variants import COMPOUNDING, MIN_PART_CHARACTERS, join_parts, list_first_parts
from newsmill.storage.schema import search_forms

MAX_COMPOUND_CHARACTERS = 40
MAX_PAIRS = 6  # of adjacent words of a query
PART_DISTANCE = 5  # the last word behind the first: a preposition, an article and two adjectives between them

Parts = Mapping[str, Mapping[str, Set[str]]]  # by compound and lemmatizer
_Known = Mapping[str, Set[str]]  # by word, the lemmatizers under which the index has it
_WORDS: BindParameter[list[str]] = bindparam("b_words", expanding=True)
_KNOWN = select(search_forms.c.form, search_forms.c.lemmatizer).where(
    search_forms.c.form.in_(_WORDS), search_forms.c.lemmatizer.in_(sorted(COMPOUNDING))
)


def add_compounds(conn: Connection, node: Node) -> tuple[Node, Parts]:
    """The query with the compounds of its adjacent words and the parts of its compounds as alternatives, and these parts.

    Exclusions stay as they are.
    """
    words = set(_list_candidates(node))
    known: dict[str, set[str]] = {}
    for form, lemmatizer in conn.execute(_KNOWN, {"b_words": sorted(words)}) if words else ():
        known.setdefault(form, set()).add(lemmatizer)
    parts: dict[str, dict[str, set[str]]] = {}
    return (_add(node, known, parts) if known else node), parts


def _list_candidates(node: Node) -> Iterator[str]:
    """The words that the index must have for an alternative."""
    if isinstance(node, AllOf | AnyOf):
        for child in node.nodes:
            yield from _list_candidates(child)
    if isinstance(node, AllOf):
        for _, first, head in _list_pairs(node):
            yield from join_parts(first, head)
    if isinstance(node, Terms) and _can_vary(node):
        for firsts, head in _split(node.words[0]):
            yield from (*firsts, head)


def _add(node: Node, known: _Known, parts: dict[str, dict[str, set[str]]]) -> Node:
    match node:
        case Terms() if _can_vary(node) and (found := list(_find_parts(node.words[0], known))):
            for first, head, lemmatizer in found:
                parts.setdefault(node.words[0], {}).setdefault(lemmatizer, set()).update((first, head))
            return AnyOf((node, *(_require_parts(*one) for one in found)))
        case AnyOf():
            return AnyOf(tuple(_add(child, known, parts) for child in node.nodes))
        case AllOf():
            joined = [
                AllOf((*node.nodes[:at], Terms((word,), runs=(word,), typed=word), *node.nodes[at + 2 :]))
                for at, first, head in _list_pairs(node)
                for word in join_parts(first, head)
                if word in known
            ]
            each = AllOf(tuple(_add(child, known, parts) for child in node.nodes))
            return AnyOf((each, *joined)) if joined else each
        case _:
            return node


def _can_vary(node: Node) -> bool:
    return isinstance(node, Terms) and not (node.exact or node.prefix or node.part) and node.words[0].isalpha()


def _list_pairs(node: AllOf) -> list[tuple[int, str, str]]:
    """The adjacent words of a query: the place of the first, and both."""
    pairs = [
        (at, first.words[0], head.words[0])
        for at, (first, head) in enumerate(zip(node.nodes, node.nodes[1:], strict=False))
        if isinstance(first, Terms) and isinstance(head, Terms) and _can_vary(first) and _can_vary(head)
    ]
    return [pair for pair in pairs if min(map(len, pair[1:])) >= MIN_PART_CHARACTERS][:MAX_PAIRS]


def _split(word: str) -> Iterator[tuple[Set[str], str]]:
    """The ways to split a word: what the first part may be, and the last part."""
    if len(word) <= MAX_COMPOUND_CHARACTERS:
        for at in range(MIN_PART_CHARACTERS, len(word) - MIN_PART_CHARACTERS + 1):
            yield list_first_parts(word[:at]), word[at:]


def _find_parts(word: str, known: _Known) -> Iterator[tuple[str, str, str]]:
    """The parts of a word that the index has in one language: first, last, and the lemmatizer."""
    for firsts, head in _split(word):
        for first in sorted(firsts & known.keys()):
            yield from ((first, head, code) for code in sorted(known[first] & known.get(head, set())))


def _require_parts(first: str, head: str, lemmatizer: str) -> Node:
    parts = Terms((first,), exact=True, runs=(first,)), Terms((head,), exact=True, runs=(head,))
    return AllOf((Near(parts, PART_DISTANCE), SyntheticTerm(facet_term("lemmatizer", lemmatizer))))
