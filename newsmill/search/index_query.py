"""One query against one database: rewritten for the index, and read through a backend until enough is found or the time is up.

The step between `Search` and the backends. Without rewriting and scanning, the slowest query of a million documents on SQLite took 595 ms;
with them 65 ms (`benchmarks/growth.py --sizes 1000000`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from sqlalchemy import Connection, Row

from newsmill.search.backend import Backend, GroupedTime, StatementTimeoutError
from newsmill.search.compound_parts import Parts, add_compounds
from newsmill.search.form_table import Forms, load_forms
from newsmill.search.parsed_query import AllOf, Node, Terms, inflected_terms, needs_word_positions, positive_terms, reads_matches_only
from newsmill.search.positions import MIN_POSITION, IndexPosition, Span
from newsmill.search.query_rewriting import require_title, restrict_to_span, rewrite
from newsmill.search.scanning import (
    COUNT_SECONDS,
    FAR_DOCUMENTS,
    BucketCounts,
    CountBuckets,
    NewestMatches,
    ScannedIndex,
    ScanResult,
    count_buckets,
    count_matches,
    scan_matches,
)
from newsmill.storage.dialects import estimate_rows
from newsmill.storage.schema import search_entries


def prepare_query(conn: Connection, backend: Backend, node: Node | None) -> IndexQuery:
    """The query with compounds, their parts, and the other forms of its words. `node` None: every document."""
    if node is None:
        return IndexQuery(conn, backend, None, {})
    widened, parts = add_compounds(conn, node)
    forms = load_forms(conn, {terms.words[0]: terms.typed for terms in inflected_terms(widened)})
    return IndexQuery(conn, backend, widened, forms, node, parts)


@dataclass(frozen=True, slots=True)
class IndexQuery:
    """A prepared query on an open connection. `node` None: every document."""

    conn: Connection
    backend: Backend
    node: Node | None
    forms: Forms  # of the words that match in other forms
    asked: Node | None = None  # the query without compounds and parts: what is weighed
    parts: Parts = field(default_factory=dict)  # of the compounds among the terms; they are weighed as other forms

    def terms(self) -> list[Terms]:
        """The different words and phrases of the query that documents may contain."""
        return [] if self.asked is None else list(dict.fromkeys(positive_terms(self.asked)))

    def deadline(self, seconds: float) -> float:
        """The backend's clock, in so many seconds."""
        return self.backend.clock() + seconds

    def scan_newest(self, span: Span, limit: int, *, enough: int, until: float, newest: NewestMatches | None = None) -> ScanResult:
        """The newest matches; see `scan_matches`. `newest` reads them, by default without more than their positions."""
        newest = newest or self.newest
        if self.node is None or self._reads_matches_only():
            positions = newest(span, limit, None)
            return ScanResult(positions, positions[-1] if len(positions) >= limit else MIN_POSITION)
        # GIN holds no word positions: every candidate of such a query would have to be read.
        jump = not self.backend.is_ordered and not needs_word_positions(self.node)
        return scan_matches(self._index(), newest, span, limit, enough, jump=jump, until=until)

    def newest(self, span: Span, limit: int, seconds: float | None = None) -> list[IndexPosition]:
        """The newest matches of a span, newest first."""
        return self.backend.newest(self.conn, self._match_within(span), span, limit, seconds)

    def newest_facets(self, span: Span, limit: int, seconds: float | None = None) -> Sequence[Row[Any]]:
        """The newest matches of a span with the values that facets count, newest first."""
        return self.backend.newest_facets(self.conn, self._match_within(span), span, limit, seconds)

    def grouped(self, span: Span, seconds: float | None = None) -> Sequence[Row[Any]]:
        """The matches of a span that are in a group of copies: (moment, document_id, source, copy_group, copy_place)."""
        return self.backend.grouped(self.conn, self._match_within(span), span, seconds)

    def grouped_times(self, span: Span, seconds: float | None = None) -> Sequence[GroupedTime]:
        """The matches of a span that are in a group of copies."""
        return self.backend.grouped_times(self.conn, self._match_within(span), span, seconds)

    def restrict_to_titles(self) -> IndexQuery | None:
        """The query for the matches that have all its words in the title; None without words."""
        node = None if self.node is None else require_title(self.node, self.forms)
        return None if self.node is None or node is None else replace(self, node=AllOf((self.node, node)))

    def count_sample(self, words: Sequence[Terms], size: int) -> tuple[list[int], int]:
        """How many of the newest `size` documents of the index have each word, and how many documents these are."""
        lower = self.backend.nth_position(self.conn, Span(), size)
        span = Span() if lower is None else Span(lower)
        documents = size if lower is not None else self.backend.count(self.conn, None, span, size)
        matches = []
        for word in words:
            node = rewrite(word, self.forms)
            matches.append(self.backend.format_query(node if self.backend.is_ordered else restrict_to_span(node, span)))
        return (self.backend.count_each(self.conn, matches, span) if matches else []), documents

    def filter(self, positions: Sequence[IndexPosition]) -> set[IndexPosition]:
        """The positions that match."""
        return set(positions) if self.node is None else self.backend.filter_positions(self.conn, self._format(self.node), positions)

    def count(self, span: Span, max_count: int, seconds: float | None = None) -> int:
        """How many match; `max_count + 1` if more than `max_count` do. Raises StatementTimeoutError."""
        return self.backend.count(self.conn, self._match_within(span), span, max_count, seconds)

    def count_rest(self, scanned: ScanResult, rest: Span, max_count: int, until: float) -> int:
        """How many match in the rest of a scan; `max_count + 1` if more do, or if the time is up."""
        seconds = min(COUNT_SECONDS, until - self.backend.clock())
        if seconds <= 0:
            return max_count + 1
        if self._reads_matches_only():
            return self.count(rest, max_count)
        if self.backend.is_ordered:
            index = replace(self._index(), first_chunk_documents=FAR_DOCUMENTS)
            return count_matches(index, self.count, rest, max_count, until=self.deadline(seconds))
        is_common = scanned.seen and estimate_rows(self.conn, search_entries) * len(scanned.positions) > 3 * max_count * scanned.seen
        if is_common:
            return max_count + 1
        try:
            return self.count(rest, max_count, seconds)
        except StatementTimeoutError:
            return max_count + 1

    def count_per_bucket(self, span: Span, bucket: int) -> Sequence[Row[Any]]:
        """Matches per time bucket of `bucket` units: (bucket number, n)."""
        return self.backend.count_per_bucket(self.conn, self._match_within(span), span, bucket)

    def count_per_source(self, span: Span) -> Sequence[Row[Any]]:
        """Matches per source: (source or None, n)."""
        return self.backend.count_per_source(self.conn, self._match_within(span), span)

    def count_chunk(self, bucket: int) -> CountBuckets:
        """The function that counts the matches of a chunk per time bucket, for `scan_buckets`."""

        def count(chunk: Span, seconds: float | None) -> Sequence[Row[Any]]:
            return self.backend.count_per_bucket(self.conn, self._match_within(chunk), chunk, bucket, seconds)

        return count

    def scan_buckets(self, span: Span, count: CountBuckets, until: float) -> BucketCounts:
        """Matches per time bucket, as far as there is time; see `count_buckets`."""
        return count_buckets(self._index(), count, span, until=until)

    def _reads_matches_only(self) -> bool:
        """Whether a limit on the matches is a limit on the time: 2 ms for 10,000 matches on SQLite, however far apart they lie.

        A lemma in documents of its language also reads the lemma in those of other languages: 28 ms for a very common word and a rare
        language at a million documents.
        """
        return self.backend.is_ordered and reads_matches_only(self.node)

    def _index(self) -> ScannedIndex:
        nth_position, end_positions = partial(self.backend.nth_position, self.conn), partial(self.backend.end_positions, self.conn)
        return ScannedIndex(nth_position, end_positions, self.backend.first_chunk_documents, self.backend.clock)

    def _match_within(self, span: Span) -> str | None:
        """The match expression, with the time buckets of a span."""
        return None if self.node is None else self.backend.format_query(restrict_to_span(rewrite(self.node, self.forms), span))

    def _format(self, node: Node) -> str:
        return self.backend.format_query(rewrite(node, self.forms))
