"""Links that add a filter to a query or remove one: they find what they promise, whatever the query is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from newsmill.search.parsed_query import AllOf, AnyOf, Facet, Node, NoneOf, Query
from newsmill.search.query import close_query, parse_query, split_query
from newsmill.web.pages.filtered_query import FilteredQuery
from newsmill.web.pages.query_builder import build_query, read_fields

NOW = datetime(2026, 11, 28, 9, 30, tzinfo=UTC)
PIECES = (
    "a", "b", "c*", "!!!", '"', "“", '"a b"', "(", ")", "-", "-(", " OR ", " NOT ", " AND ", " | ", "or", "=", "https://x",
    "lang:de", "lang:", "-language:german", "source:", 'source:"The Paper"', "source:paper", 'section:="Local News"', "section:news",
    'author:="Ann Smith"', "title:a", "is_free:no", "doubtful:no", "after:2026-01-02", "-after:2026-03", "before:2026-02", "before:",
    "after:never", "foo:a", "foo:",
)  # fmt: skip
FILTERS = ("lang:de", 'source:"The Paper"', "source:paper", 'section:="Local News"', 'author:="Ann Smith"', "after:2026-01-15")
QUERIES = st.lists(st.tuples(st.sampled_from(PIECES), st.sampled_from(["", " ", " ", "  "])), max_size=12).map(
    lambda pieces: "".join(piece + space for piece, space in pieces)
)


@dataclass(frozen=True, slots=True)
class Sample:
    """A document: when it was published, and a number that says which words and properties it has."""

    at: datetime
    number: int

    def matches(self, query: Query) -> bool:
        is_in_period = (query.since is None or query.since <= self.at) and (query.until is None or self.at < query.until)
        return not query.matches_nothing and is_in_period and (query.node is None or self._has(query.node))

    def _has(self, node: Node) -> bool:
        match node:
            case AllOf():
                return all(map(self._has, node.nodes))
            case AnyOf():
                return any(map(self._has, node.nodes))
            case NoneOf():
                return not self._has(node.node)
            case _:
                return bool(sum(repr(node).encode()) * 2_654_435_761 >> 7 & self.number)


SAMPLES = [Sample(datetime(2025, 12, 20, tzinfo=UTC) + timedelta(days=3 * number), 1 << number % 9 | number) for number in range(60)]


def find(query: str) -> list[Sample]:
    parsed = parse_query(query, NOW)
    return [sample for sample in SAMPLES if sample.matches(parsed)]


def only_excludes(query: str) -> bool:
    """Such a query finds nothing; with a filter it finds what it does not exclude."""
    parsed = parse_query(query, NOW)
    return parsed.matches_nothing and not any(note.kind in ("date", "value") for note in parsed.notes)


@given(QUERIES)
def test_a_query_is_its_parts(query: str) -> None:
    parsed, closed = parse_query(query, NOW), parse_query(close_query(query), NOW)
    if split_query(query):
        assert (closed.node, closed.since, closed.until, closed.matches_nothing) == (
            parsed.node, parsed.since, parsed.until, parsed.matches_nothing,
        )  # fmt: skip
    assert close_query(close_query(query)) == close_query(query)


@given(QUERIES, st.lists(st.sampled_from(FILTERS), min_size=1, max_size=2, unique=True))
def test_an_added_filter_selects_the_documents_that_match_it(query: str, filters: Sequence[str]) -> None:
    if only_excludes(query):
        return
    narrowed = FilteredQuery(query).add(*filters)
    assert find(narrowed) == [sample for sample in find(query) if all(sample in find(one) for one in filters)], narrowed


@given(QUERIES)
def test_a_removed_filter_is_all_that_is_removed(query: str) -> None:
    for one in FilteredQuery(query).list_filters():
        if not any(map(only_excludes, (query, one.text, one.query_without))):
            assert find(query) == [sample for sample in find(one.query_without) if sample in find(one.text)], one


@given(QUERIES)
def test_the_query_builder_keeps_the_meaning(query: str) -> None:
    if not only_excludes(query):  # "-" finds nothing, and empty fields everything
        assert find(build_query(read_fields(query))) == find(query)


@pytest.mark.parametrize(
    ("query", "narrowed", "filters"),
    [
        ("bridge NOT lang:de", "bridge NOT lang:de lang:en", {"NOT lang:de": "bridge"}),
        ("bridge lang:en OR lang:de", "bridge lang:en", {"lang:en OR lang:de": "bridge"}),
        ("bridge (lang:en OR lang:de)", "bridge lang:en", {"(lang:en OR lang:de)": "bridge"}),
        ("(bridge lang:de) OR ferry", "(bridge lang:de) OR ferry lang:en", {}),
        ('"new bridge', '"new bridge" lang:en', {}),
        ("new NOT", "new lang:en", {}),
        ("bridge OR", "bridge lang:en", {}),
        ("(bridge OR (ferry", "(bridge OR (ferry)) lang:en", {}),
        ('"see source:made now"', '"see source:made now" lang:en', {}),
        ("bridge source:", 'bridge source:"" lang:en', {'source:""': "bridge"}),
        ("language:english bridge", "bridge lang:en", {"language:english": "bridge"}),
        ("author:=ann", "author:=ann lang:en", {"author:=ann": ""}),
        ("", "lang:en", {}),
    ],
)
def test_filters_of_a_query(query: str, narrowed: str, filters: dict[str, str]) -> None:
    filtered = FilteredQuery(query)
    assert filtered.add("lang:en") == narrowed
    assert {one.text: one.query_without for one in filtered.list_filters()} == filters


def test_a_second_value_narrows_the_query() -> None:
    """A document has several authors, so a facet counts those with both."""
    assert FilteredQuery('author:="Ann"').add('author:="Bob"') == 'author:="Ann" author:="Bob"'
    assert FilteredQuery("a after:2026-01-05 before:2026-02").add("after:2026-01-01", "before:2026-01-08") == (
        "a after:2026-01-05 after:2026-01-01 before:2026-01-08"
    )


def test_a_facet_is_active_in_any_spelling() -> None:
    assert FilteredQuery("LANG:german").has("lang:de") and not FilteredQuery("NOT lang:de").has("lang:de")
    assert Facet("lang", "de") == parse_query("lang:de").node
