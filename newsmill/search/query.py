"""The query language: what a person types, parsed. Pure. Any input is a query, never an error."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Literal

from newsmill.search.entry import MIN_POSITION, Span
from newsmill.search.tokens import fold, split_runs, tokenize_phrase

MAX_QUERY_CHARACTERS = 2000  # longer queries are cut
MAX_ITEMS = 40  # longer queries are cut: they are pasted texts, and every item costs an index search
MAX_PHRASE_WORDS = 40  # of a phrase

Part = Literal["", "title", "lead"]  # lead: title, description or first paragraphs


@dataclass(frozen=True, slots=True)
class Terms:
    """Adjacent words, anywhere or in one part of the document."""

    words: tuple[str, ...]  # folded, from `tokens.tokenize_phrase`
    prefix: bool = False  # the last is the beginning of a word
    part: Part = ""
    runs: tuple[str, ...] = field(default=(), compare=False, repr=False)  # as they were typed, folded: what a snippet highlights


@dataclass(frozen=True, slots=True)
class Facet:
    """A property of the whole document: source, lang, site, is_free, doubtful, and author and section one word at a time."""

    name: str
    value: str  # folded


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
    matches_nothing: bool = False  # the query has only exclusions, or no words


_ITEM = re.compile(r'(-(?!-)|)(?:([a-z_]+):)?(?:["“”„]([^"“”„]*)["“”„]?|(\S+))', re.IGNORECASE)
_TIME = re.compile(r"(\d{4})(?:-(\d\d?)(?:-(\d\d?)(?:T(\d\d?):(\d\d)(?::(\d\d)(?:\.\d+)?)?(?:Z|\+00:00)?)?)?)?", re.IGNORECASE | re.ASCII)
_YES_NO = {"true": "yes", "yes": "yes", "1": "yes", "false": "no", "no": "no", "0": "no"}
_IS_FREE = _YES_NO | {"unknown": "unknown"}


def parse_query(text: str) -> Query:
    """The query that a text means.

    >>> parse_query('harbour -"old town"').node
    AllOf(nodes=(Terms(words=('harbour',), prefix=False, part=''), NoneOf(node=Terms(words=('old', 'town'), prefix=False, part=''))))
    """
    text = text[:MAX_QUERY_CHARACTERS].replace("\0", " ")
    if not text.strip():
        return Query()
    query, groups, joining = Query(), list[list[Node]](), False
    for match in list(_ITEM.finditer(text))[:MAX_ITEMS]:
        minus, name, quoted, plain = match.groups()
        if match[0] in ("OR", "|", "AND"):
            joining = match[0] != "AND" and bool(groups)
            continue
        bounded = _add_time_bound(query, (name or "").lower(), quoted or plain or "", minus == "-")
        if bounded is not None:
            query = bounded
            continue
        node = _parse_item(name, quoted, plain)
        if node is None:
            continue
        if minus:
            node = node.node if isinstance(node, NoneOf) else NoneOf(node)
        if joining:
            groups[-1].append(node)
        else:
            groups.append([node])
        joining = False
    return _combine(query, [group[0] if len(group) == 1 else AnyOf(tuple(group)) for group in groups])


def positive_terms(node: Node) -> tuple[Terms, ...]:
    """The words and phrases that a matching document may contain: what a snippet highlights."""
    if isinstance(node, Terms):
        return (node,)
    if isinstance(node, AllOf | AnyOf):
        return tuple(words for child in node.nodes for words in positive_terms(child))
    return ()


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


def _combine(query: Query, nodes: list[Node]) -> Query:
    if not nodes:
        return query if query.since or query.until else replace(query, matches_nothing=True)
    if not (query.since or query.until) and not any(_is_selective(node) for node in nodes):
        return replace(query, matches_nothing=True)
    return replace(query, node=nodes[0] if len(nodes) == 1 else AllOf(tuple(nodes)))


def _is_selective(node: Node) -> bool:
    """Whether the node selects documents. Excluding words alone does not; excluding a source or a language does."""
    if isinstance(node, NoneOf):
        return isinstance(node.node, Facet)
    return any(_is_selective(child) for child in node.nodes) if isinstance(node, AllOf | AnyOf) else True


def _parse_item(name: str | None, quoted: str | None, plain: str | None) -> Node | None:
    value = quoted if quoted is not None else plain or ""
    if name is None:
        return _parse_words(value)
    node = _parse_filter(name.lower(), value)
    return node if node is not None else _parse_words(f"{name} {value}")


def _parse_filter(name: str, value: str) -> Node | None:
    folded = fold(value.strip())
    if not folded:
        return None
    if name in ("source", "site"):
        return Facet(name, folded.removeprefix("www.") if name == "site" else folded)
    if name in ("lang", "language"):
        return Facet("lang", folded.replace("_", "-"))
    if name == "is_free":
        return Facet(name, _IS_FREE[folded]) if folded in _IS_FREE else None
    if name == "doubtful":  # only doubtful documents have the property in the index
        wanted, property_ = _YES_NO.get(folded), Facet(name, "yes")
        return property_ if wanted == "yes" else NoneOf(property_) if wanted == "no" else None
    if name in ("author", "section"):
        each = tuple(Facet(name, word) for word in tokenize_phrase(split_runs(value)[:MAX_PHRASE_WORDS])[0][:MAX_PHRASE_WORDS])
        return (each[0] if len(each) == 1 else AllOf(each)) if each else None
    return _parse_words(value, "title") if name == "title" else None


def _parse_words(text: str, part: Part = "") -> Terms | None:
    pieces = tuple(split_runs(text)[:MAX_PHRASE_WORDS])
    found, prefix = tokenize_phrase(pieces)
    return Terms(found[:MAX_PHRASE_WORDS], prefix and len(found) <= MAX_PHRASE_WORDS, part, pieces) if found else None


def _add_time_bound(query: Query, name: str, value: str, minus: bool) -> Query | None:
    """The query with one more time bound; None if the item is not a bound."""
    at = _parse_time(value) if name in ("after", "before") else None
    if at is None:
        return None
    if (name == "after") != minus:
        return replace(query, since=max(at, query.since or at))
    return replace(query, until=min(at, query.until or at))


def _parse_time(value: str) -> datetime | None:
    """The start of a year, month, day, minute or second, UTC; None if `value` is not a time."""
    match = _TIME.fullmatch(value.strip())
    if match is None:
        return None
    year, month, day, hour, minute, second = (int(part) if part else None for part in match.groups())
    try:
        return datetime(year or 0, month or 1, day or 1, hour or 0, minute or 0, second or 0, tzinfo=UTC)
    except ValueError:
        return None


def span_of_query(query: Query) -> Span:
    """The span that the query's after: and before: leave."""
    return replace(Span(), upper=MIN_POSITION) if query.matches_nothing else Span().limit_to_times(query.since, query.until)
