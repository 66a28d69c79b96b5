"""The same query, asked so that the index has less to read. Pure; only for an index all of whose entries have the marks (`entry.FORMAT`).

What changes in meaning: a phrase of nothing but common words is looked for as it is, not by its stems.
"""

from __future__ import annotations

from newsmill.search.common_bigrams import CHARACTERS, pairs
from newsmill.search.positions import Span
from newsmill.search.query import All, Any, Mark, Node, Not, Words
from newsmill.search.time_buckets import covering
from newsmill.search.tokens import single, unspaced


def quicker(node: Node) -> Node:
    """
    >>> quicker(Words(("猫",), prefix=True))
    Mark(word='猫\\ue002', part='')
    """
    match node:
        case Words():
            return _words(node)
        case Not():
            return Not(quicker(node.node))
        case All():
            return All(tuple(quicker(child) for child in node.nodes))
        case Any():
            return Any(tuple(quicker(child) for child in node.nodes))
        case _:
            return node


def narrowed(node: Node, span: Span) -> Node:
    """The same within a span, said in words of the index. What it finds may lie a little outside."""
    marks = tuple(Mark(word) for word in covering(span.lower[0], span.upper[0] + 1))
    return All((node, Any(marks))) if marks else node


def _words(node: Words) -> Node:
    if node.prefix:
        alone = len(node.words) == 1 and len(node.words[0]) == 1 and unspaced(node.words[0])
        return Mark(single(node.words[0]), node.part) if alone else node
    if len(node.words) == 1 or any(word not in CHARACTERS for word in node.words):
        return node
    held = tuple(Mark(pair, node.part) for pair in sorted(pairs(node.words)))
    return held[0] if len(node.words) == 2 else All((*held, node))
