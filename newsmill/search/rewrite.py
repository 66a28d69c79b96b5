"""Queries rewritten for the index: the same matches, found by reading less. Pure.

Common bigrams, single characters and time buckets are synthetic terms, which entries hold beside the words of the text. Without them and
without `scan`, the slowest query of a million documents on SQLite took 595 ms; with them 65 ms (`benchmarks/growth.py --sizes 1000000`).
Only one meaning changes: a phrase of common words is not stemmed.
"""

from __future__ import annotations

from newsmill.search.positions import Span
from newsmill.search.query import AllOf, AnyOf, Node, NoneOf, SyntheticTerm, Terms
from newsmill.search.time_buckets import covering_terms
from newsmill.search.tokens import COMMON_WORD_CHARACTERS, character_term, common_bigrams, is_unspaced


def rewrite(node: Node) -> Node:
    """The query with synthetic terms in place of phrases of common words and of single characters.

    >>> rewrite(Terms(("猫",), prefix=True))
    SyntheticTerm(term='猫\\ue002', part='')
    """
    match node:
        case Terms():
            return _rewrite_terms(node)
        case NoneOf():
            return NoneOf(rewrite(node.node))
        case AllOf():
            return AllOf(tuple(rewrite(child) for child in node.nodes))
        case AnyOf():
            return AnyOf(tuple(rewrite(child) for child in node.nodes))
        case _:
            return node


def restrict_to_span(node: Node, span: Span) -> Node:
    """The query with the time buckets of a span. Matches may lie a little outside the span."""
    buckets = tuple(SyntheticTerm(term) for term in covering_terms(span.lower[0], span.upper[0] + 1))
    return AllOf((node, AnyOf(buckets))) if buckets else node


def _rewrite_terms(node: Terms) -> Node:
    if node.prefix:
        is_character = len(node.words) == 1 and len(node.words[0]) == 1 and is_unspaced(node.words[0])
        return SyntheticTerm(character_term(node.words[0]), node.part) if is_character else node
    if len(node.words) == 1 or any(word not in COMMON_WORD_CHARACTERS for word in node.words):
        return node
    bigrams = tuple(SyntheticTerm(bigram, node.part) for bigram in sorted(common_bigrams(node.words)))
    return bigrams[0] if len(node.words) == 2 else AllOf((*bigrams, node))
