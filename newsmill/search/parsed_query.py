"""A parsed query: its nodes, functions over them, and notes on what is wrong with it and what to write instead. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Literal

from newsmill.model import MarkKind
from newsmill.search.positions import MIN_POSITION, Span
from newsmill.search.query_notes import QueryNote

FILTER_EXAMPLES: Mapping[str, tuple[str, ...]] = {
    "source": ("source:NAME",),
    "lang": ("lang:de", "lang:german"),
    "language": ("language:de", "language:german"),
    "author": ("author:smith",),
    "section": ('section:"local news"',),
    "title": ("title:word",),
    "site": ("site:example.org",),
    "type": ("type:NewsArticle",),
    "is_free": ("is_free:yes", "is_free:no", "is_free:unknown"),
    "doubtful": ("doubtful:yes", "doubtful:no"),
    "dated": ("dated:yes", "dated:no"),
    "is": ("is:starred", "is:unstarred", "is:read", "is:unread"),
    "has": ("has:tag", "has:note"),
    "tag": ("tag:NAME",),
    "note": ("note:word",),
    "after": ("after:2026-01-31",),
    "before": ("before:2026-01-31",),
}
FILTERS = tuple(FILTER_EXAMPLES)
# Filters of other programs, and what is written here instead.
_AFTER, _BEFORE, _BOTH = ("after:2026-01-31",), ("before:2026-01-31",), ("after:2026-01-31 before:2026-02-01",)
OTHER_FILTERS: Mapping[str, tuple[str, ...]] = {
    **dict.fromkeys(("since", "from", "start", "newer"), _AFTER),
    **dict.fromkeys(("until", "till", "to", "end", "older"), _BEFORE),
    **dict.fromkeys(("date", "day", "on", "published", "pubdate", "publish_date", "published_at", "published_day"), _BOTH),
    **dict.fromkeys(("headline", "heading", "intitle", "allintitle"), FILTER_EXAMPLES["title"]),
    **dict.fromkeys(("byline", "by", "writer", "authors"), FILTER_EXAMPLES["author"]),
    **dict.fromkeys(("media", "outlet", "publisher", "publication", "newspaper", "media_id", "media_name"), FILTER_EXAMPLES["source"]),
    **dict.fromkeys(("domain", "host", "url", "inurl", "website", "canonical_domain"), FILTER_EXAMPLES["site"]),
    **dict.fromkeys(("category", "topic", "subject", "rubric"), FILTER_EXAMPLES["section"]),
    **dict.fromkeys(("label", "tags"), FILTER_EXAMPLES["tag"]),
    **dict.fromkeys(("langs", "language_code", "lingua"), FILTER_EXAMPLES["lang"]),
    "article_type": FILTER_EXAMPLES["type"],
}
DATE_EXAMPLES = ("2026-01-31", "2026-01", "yesterday", '"last week"', "7d", "november")

Remedy = Literal["filters", "words", "forms"]  # fewer filters, fewer words, other forms of a word
Part = Literal["", "title"]


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
    """A property of the whole document: source, lang, site, type, is_free, doubtful, dated, author and section one word at a time, and
    author_is and section_is as a whole.

    Of the marks of the user who asks: star, read, tag, and note one word at a time.
    """

    name: str
    value: str  # folded
    typed: str = field(default="", compare=False, repr=False)  # not folded; of whole values only


@dataclass(frozen=True, slots=True)
class SyntheticTerm:
    """A term that no text contains (`index_entry.IndexEntry.synthetic`), anywhere or in one part of the document."""

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


@dataclass(frozen=True, slots=True)
class Near:
    """Two words as they are typed, in any order, the second at most `distance` words behind the first, in one part of the document."""

    words: tuple[Terms, Terms]
    distance: int


Node = Terms | SyntheticTerm | Facet | NoneOf | AllOf | AnyOf | Near


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
    if isinstance(node, Near):
        return node.words
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


def list_required_facets(node: Node | None) -> Iterator[Facet]:
    """The filters that every match has.

    >>> from newsmill.search.query import parse_query
    >>> [facet.name for facet in list_required_facets(parse_query("lang:de (source:a OR type:news) -lang:fr section:sport").node)]
    ['lang', 'section']
    """
    if isinstance(node, Facet):
        yield node
    elif isinstance(node, AllOf):
        for child in node.nodes:
            yield from list_required_facets(child)


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
    if isinstance(node, Near):
        return len(node.words)
    if isinstance(node, AllOf | AnyOf):
        return (sum if isinstance(node, AllOf) else max)(map(_count_required_words, node.nodes))
    return 0


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
    return isinstance(node, Near) or (
        needs_word_positions(node.node)
        if isinstance(node, NoneOf)
        else isinstance(node, Terms | SyntheticTerm) and bool(node.part or _is_phrase(node))
    )


def reads_matches_only(node: Node | None) -> bool:
    """Whether each document that an index reads for the query matches it: one word or property, or any of several.

    >>> from newsmill.search.query import parse_query
    >>> [reads_matches_only(parse_query(text).node) for text in ("harbour", "rail OR lang:de", "harbour ferry", "title:harbour", "harb*")]
    [True, True, False, False, False]
    """
    if isinstance(node, AnyOf):
        return all(map(reads_matches_only, node.nodes))
    if isinstance(node, Terms):
        return not (node.part or node.prefix or _is_phrase(node))
    return isinstance(node, Facet | SyntheticTerm) and not needs_word_positions(node)


def _is_phrase(node: Terms | SyntheticTerm) -> bool:
    return isinstance(node, Terms) and len(node.words) > 1


def span_of_query(query: Query) -> Span:
    """The span that the query's after: and before: leave."""
    return replace(Span(), upper=MIN_POSITION) if query.matches_nothing else Span().limit_to_times(query.since, query.until)
