"""A parsed query: its nodes, and functions over them. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Literal

from newsmill.model import MarkKind
from newsmill.search.entry import MIN_POSITION, Span
from newsmill.search.query_notes import QueryNote

Remedy = Literal["filters", "words", "forms"]  # fewer filters, fewer words, other forms of a word
Part = Literal["", "title", "lead"]  # lead: title, description or first paragraphs


@dataclass(frozen=True, slots=True)
class Terms:
    """Adjacent words, anywhere or in one part of the document."""

    words: tuple[str, ...]  # folded, from `tokens.tokenize_phrase`
    part: Part = ""
    exact: bool = False  # other forms of the word do not match; always so with several words
    prefix: bool = False  # the last is the beginning of a word
    runs: tuple[str, ...] = field(default=(), compare=False, repr=False)  # as they were typed, folded: what a snippet highlights
    typed: str = field(default="", compare=False, repr=False)  # not folded, of a single word


@dataclass(frozen=True, slots=True)
class Facet:
    """A property of the whole document: source, lang, site, type, is_free, doubtful, author and section one word at a time, and
    author_is and section_is as a whole.

    Of the marks of the user who asks: star, read, tag, and note one word at a time.
    """

    name: str
    value: str  # folded
    typed: str = field(default="", compare=False, repr=False)  # not folded; of whole values only


@dataclass(frozen=True, slots=True)
class SyntheticTerm:
    """A term that no text contains (`entry.IndexEntry.synthetic`), anywhere or in one part of the document."""

    term: str
    part: Part = ""


@dataclass(frozen=True, slots=True)
class NoneOf:
    node: Node


@dataclass(frozen=True, slots=True)
class AllOf:
    nodes: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class AnyOf:
    nodes: tuple[Node, ...]


Node = Terms | SyntheticTerm | Facet | NoneOf | AllOf | AnyOf


@dataclass(frozen=True, slots=True)
class Query:
    """A parsed query: documents that match `node` with `since` ≤ time < `until`."""

    node: Node | None = None  # None: every document
    since: datetime | None = None
    until: datetime | None = None
    matches_nothing: bool = False  # the query has only exclusions, no words, or a filter without a meaning
    notes: tuple[QueryNote, ...] = ()  # what is wrong with it


def positive_terms(node: Node) -> tuple[Terms, ...]:
    """The words and phrases that a matching document may contain: what a snippet highlights."""
    if isinstance(node, Terms):
        return (node,)
    if isinstance(node, AllOf | AnyOf):
        return tuple(words for child in node.nodes for words in positive_terms(child))
    return ()


def inflected_terms(node: Node) -> tuple[Terms, ...]:
    """The words of the query, also excluded ones, that match in other forms."""
    if isinstance(node, Terms):
        return () if node.exact else (node,)
    if isinstance(node, NoneOf):
        return inflected_terms(node.node)
    return tuple(terms for child in node.nodes for terms in inflected_terms(child)) if isinstance(node, AllOf | AnyOf) else ()


def list_facets(node: Node | None) -> Iterator[Facet]:
    """The filters of the query, also excluded ones."""
    if isinstance(node, Facet):
        yield node
    elif isinstance(node, NoneOf):
        yield from list_facets(node.node)
    elif isinstance(node, AllOf | AnyOf):
        for child in node.nodes:
            yield from list_facets(child)


def list_remedies(query: Query) -> Iterator[Remedy]:
    """What may help where a query finds nothing. Empty where its notes say so already, or where only one filter is left.

    >>> from newsmill.search.query import parse_query
    >>> list(list_remedies(parse_query("night train lang:de"))), list(list_remedies(parse_query("author:smith")))
    (['filters', 'words', 'forms'], [])
    """
    if query.matches_nothing:
        return
    words = 0 if query.node is None else _count_required_words(query.node)
    filters = len({*list_facets(query.node)}) + (query.since is not None) + (query.until is not None)
    if filters and words + filters > 1:
        yield "filters"
    if words > 1:
        yield "words"
    if words:
        yield "forms"


def _count_required_words(node: Node) -> int:
    """The words that a matching document needs at most."""
    if isinstance(node, Terms):
        return len(node.runs)
    if isinstance(node, AllOf | AnyOf):
        return (sum if isinstance(node, AllOf) else max)(map(_count_required_words, node.nodes))
    return 0


def restrict_to_part(node: Node, part: Part) -> Node | None:
    """The query restricted to one part of the document; None without words. Exclusions apply to the whole document and are dropped."""
    if isinstance(node, Terms | SyntheticTerm):
        return replace(node, part=node.part or part)
    if isinstance(node, AllOf | AnyOf):
        nodes = tuple(child for child in (restrict_to_part(child, part) for child in node.nodes) if child is not None)
        return type(node)(nodes) if nodes else None
    return None


def has_facet(node: Node | None) -> bool:
    """Whether the query requires a property."""
    return any(map(has_facet, node.nodes)) if isinstance(node, AllOf | AnyOf) else isinstance(node, Facet)


def requires_mark(node: Node | None) -> bool:
    """Whether only documents with a star, a tag or another mark match.

    >>> from newsmill.search.query import parse_query
    >>> [requires_mark(parse_query(text).node) for text in ("harbour is:starred", "harbour OR is:starred", "is:unread")]
    [True, False, False]
    """
    if isinstance(node, AllOf | AnyOf):
        return (any if isinstance(node, AllOf) else all)(map(requires_mark, node.nodes))
    return isinstance(node, Facet) and node.name in tuple(MarkKind)


def needs_word_positions(node: Node | None) -> bool:
    """Whether the query depends on word positions: adjacent words, or words in one part."""
    if isinstance(node, AllOf | AnyOf):
        return any(map(needs_word_positions, node.nodes))
    return (
        needs_word_positions(node.node)
        if isinstance(node, NoneOf)
        else isinstance(node, Terms | SyntheticTerm) and bool(node.part or _is_phrase(node))
    )


def _is_phrase(node: Terms | SyntheticTerm) -> bool:
    return isinstance(node, Terms) and len(node.words) > 1


def span_of_query(query: Query) -> Span:
    """The span that the query's after: and before: leave."""
    return replace(Span(), upper=MIN_POSITION) if query.matches_nothing else Span().limit_to_times(query.since, query.until)
