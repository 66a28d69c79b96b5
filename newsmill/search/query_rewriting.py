"""Queries rewritten for the index: forms, variants and marks become terms.

Lemmas, common bigrams, single characters and time buckets are synthetic terms, which entries hold beside the words of the text. A word
matches as it is, or by its lemma in documents of the lemma's language. The other terms change no match: they are found by reading less.
"""

from __future__ import annotations

from collections.abc import Sequence

from newsmill.search.common_bigrams import COMMON_WORD_CHARACTERS, common_bigrams
from newsmill.search.form_table import Forms, WordForms
from newsmill.search.index_terms import facet_term, lemma_term
from newsmill.search.parsed_query import AllOf, AnyOf, Facet, Node, NoneOf, SyntheticTerm, Terms
from newsmill.search.positions import Span
from newsmill.search.time_buckets import covering_terms
from newsmill.search.tokens import character_term, is_unspaced


def rewrite(node: Node, forms: Forms) -> Node:
    """The query with other forms of its words, and with synthetic terms in place of phrases of common words and of single characters.

    >>> rewrite(Terms(("猫",), exact=True, prefix=True), {})
    SyntheticTerm(term='猫\\ue002', part='')
    """
    match node:
        case Terms():
            return _rewrite_terms(node) if node.exact else _add_forms(node, forms)
        case NoneOf():
            return NoneOf(rewrite(node.node, forms))
        case AllOf():
            return AllOf(tuple(rewrite(child, forms) for child in node.nodes))
        case AnyOf():
            return AnyOf(tuple(rewrite(child, forms) for child in node.nodes))
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


def _add_forms(node: Terms, forms: Forms) -> Node:
    """The word itself; or another form of its lemma, or the lemma, in a document of the lemma's language."""
    variants: list[Node] = [node]
    (word,) = node.words
    for lemmatizer, by_lemma in sorted(forms.get(word, WordForms()).lemmas.items()):
        lemmas = sorted(by_lemma.items())
        variants += [SyntheticTerm(lemma_term(lemmatizer, lemma), node.part) for lemma, held in lemmas if held - {lemma}]
        # One comparison with all documents of the language, however many lemmas there are.
        others = _any_of([Terms((lemma,), node.part, exact=True) for lemma, _ in lemmas if lemma != word])
        if others is not None:
            variants.append(AllOf((others, SyntheticTerm(facet_term("lemmatizer", lemmatizer)))))
    return node if len(variants) == 1 else AnyOf(tuple(variants))


def require_title(node: Node, forms: Forms) -> Node | None:
    """The words of the query, all in the title in one form or another; None without words. A beginning of a word is not required there."""
    match node:
        case Terms(prefix=False):
            return _any_of([_all_of([Facet("t", word) for word in words]) for words in _list_variants(node, forms)])
        case AllOf():
            return _all_of([found for child in node.nodes if (found := require_title(child, forms)) is not None])
        case AnyOf():
            return _any_of([found for child in node.nodes if (found := require_title(child, forms)) is not None])
        case _:
            return None


def _list_variants(node: Terms, forms: Forms) -> list[tuple[str, ...]]:
    """The words as they are; and the lemmas of a single word, which stand for all its forms (`index_terms.title_term`)."""
    if node.exact:
        return [node.words]
    lemmas = {lemma for by_lemma in forms.get(node.words[0], WordForms()).lemmas.values() for lemma in by_lemma}
    return [node.words, *((lemma,) for lemma in sorted(lemmas - {*node.words}))]


def _any_of(nodes: Sequence[Node | None]) -> Node | None:
    found = tuple(node for node in nodes if node is not None)
    return AnyOf(found) if len(found) > 1 else found[0] if found else None


def _all_of(nodes: Sequence[Node]) -> Node | None:
    return AllOf(tuple(nodes)) if len(nodes) > 1 else nodes[0] if nodes else None
