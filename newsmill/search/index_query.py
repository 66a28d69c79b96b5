"""One query against one database: rewritten for the index, and read through a backend until enough is found or the time is up.

The step between `Search` and the backends. Without rewriting and scanning, the slowest query of a million documents on SQLite took 595 ms;
with them 65 ms (`benchmarks/growth.py --sizes 1000000`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from math import inf
from typing import Any

from sqlalchemy import Connection, Row

from newsmill.search.backend import Backend, StatementTimeoutError
from newsmill.search.index_terms import facet_term, lemma_term
from newsmill.search.parsed_query import (
    AllOf,
    AnyOf,
    Facet,
    Node,
    NoneOf,
    SyntheticTerm,
    Terms,
    inflected_terms,
    needs_word_positions,
    reads_matches_only,
)
from newsmill.search.positions import MIN_POSITION, IndexPosition, Span
from newsmill.search.time_buckets import covering_terms
from newsmill.search.tokens import COMMON_WORD_CHARACTERS, character_term, common_bigrams, is_unspaced
from newsmill.search.word_forms import Forms, WordForms, load_forms

# ---- rewriting ---------------------------------------------------------------------------------------------------------------

# Lemmas, common bigrams, single characters and time buckets are synthetic terms, which entries hold beside the words of the text. A word
# matches as it is, or by its lemma in documents of the lemma's language. The other terms change no match: they are found by reading less.


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


def _require_title(node: Node, forms: Forms) -> Node | None:
    """The words of the query, all in the title in one form or another; None without words. A beginning of a word is not required there."""
    match node:
        case Terms(prefix=False):
            return _any_of([_all_of([Facet("t", word) for word in words]) for words in _list_variants(node, forms)])
        case AllOf():
            return _all_of([found for child in node.nodes if (found := _require_title(child, forms)) is not None])
        case AnyOf():
            return _any_of([found for child in node.nodes if (found := _require_title(child, forms)) is not None])
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


# ---- scanning ----------------------------------------------------------------------------------------------------------------

# The index is scanned from the newest document on, chunk by chunk. Common words, and two words that hardly ever meet, would otherwise read
# every document. Chunks are counted in documents, so results do not depend on the machine's load; only the time limit does, and then a page
# says how far it looked.
#
# Without time limits one kind of query takes 922 ms (p95) at a million documents on Postgres, with them 75 ms; on SQLite 267 and 49 ms.

COUNT_SECONDS = 0.030  # to count the matches that are not on a page: the difference between 8,000 and 9,000 does not matter
FAR_DOCUMENTS = 50_000  # after about so many, a scan with enough matches ends
RARE_DOCUMENTS_PER_MATCH = 400
MAX_CHUNK_GROWTH = 4  # of a chunk to the one before
CHUNK_TIME_SHARE = 0.7  # of the time left, for the next chunk of counts: a chunk that is stopped was in vain

NthPosition = Callable[[Span, int], IndexPosition | None]  # the n-th newest document of a span; None if it has fewer
EndPositions = Callable[[Span], tuple[IndexPosition, IndexPosition] | None]  # the newest and the oldest; None if the span is empty
# Each takes at most so many seconds and raises StatementTimeoutError when that is too short.
NewestMatches = Callable[[Span, int, float | None], list[IndexPosition]]
CountMatches = Callable[[Span, int, float | None], int]  # at most so many
CountBuckets = Callable[[Span, float | None], Sequence[Any]]  # rows (bucket, n)


@dataclass(frozen=True, slots=True)
class ScannedIndex:
    """What a scan needs to cut a span into chunks. The first chunk is always read."""

    nth_position: NthPosition
    end_positions: EndPositions
    first_chunk_documents: int
    clock: Callable[[], float]  # seconds; `until` is a time of this clock


@dataclass(frozen=True, slots=True)
class ScanResult:
    """The matches, newest first. Every match down to `lower` is among them; MIN_POSITION: all are."""

    positions: list[IndexPosition]
    lower: IndexPosition
    seen: int = 0  # documents read, at most; 0 where nothing counted them
    is_cut: bool = False  # the time was up


@dataclass(frozen=True, slots=True)
class BucketCounts:
    """Matches per time bucket. Every match from `lower` on is counted; the span's own: all are."""

    lower: IndexPosition
    buckets: Counter[int] = field(default_factory=Counter)


def scan_matches(
    index: ScannedIndex, newest: NewestMatches, span: Span, limit: int, enough: int, *, jump: bool, until: float
) -> ScanResult:
    """At most `limit` matches of a span; `enough` of them end the scan after FAR_DOCUMENTS.

    `jump`: after a first chunk with hardly a match the whole rest is tried at once, for half of the time. That is the fastest way to find
    rare matches, where a statement can be stopped.
    """
    found: list[IndexPosition] = []
    ends = index.end_positions(span)
    if ends is None:
        return ScanResult(found, MIN_POSITION)
    chunks = _Chunks(index, span, *ends, far=FAR_DOCUMENTS)
    while True:
        chunk, began = chunks.next(), index.clock()
        try:
            found += newest(chunk, limit - len(found), None if chunks.seen == 0 or until == inf else until - began)
        except StatementTimeoutError:
            return ScanResult(found, chunk.upper, chunks.seen, is_cut=True)
        if len(found) >= limit:
            return ScanResult(found, found[-1], chunks.seen + chunks.size)
        if chunk.lower == span.lower:
            return ScanResult(found, MIN_POSITION)
        chunks.advance(chunk, index.clock() - began, until - index.clock())
        is_first = chunks.seen == index.first_chunk_documents
        if jump and is_first and len(found) * RARE_DOCUMENTS_PER_MATCH <= chunks.seen and until > index.clock():
            try:
                rest = Span(span.lower, chunk.lower)
                found += newest(rest, limit - len(found), None if until == inf else (until - index.clock()) / 2)
                return ScanResult(found, MIN_POSITION if len(found) < limit else found[-1])
            except StatementTimeoutError:
                pass
        if len(found) >= enough and chunks.seen >= FAR_DOCUMENTS:
            return ScanResult(found, chunk.lower, chunks.seen)
        if chunks.size == 0:
            return ScanResult(found, chunk.lower, chunks.seen, is_cut=True)


def count_matches(index: ScannedIndex, count: CountMatches, span: Span, max_count: int, *, until: float) -> int:
    """How many match; `max_count + 1` if more than `max_count` do, or if the time is up."""
    ends = index.end_positions(span)
    if ends is None:
        return 0
    found, chunks = 0, _Chunks(index, span, *ends)
    while found <= max_count and chunks.size:
        chunk, began = chunks.next(), index.clock()
        try:
            found += count(chunk, max_count - found, until - began)
        except StatementTimeoutError:
            return max_count + 1
        if chunk.lower == span.lower:
            return found
        chunks.advance(chunk, index.clock() - began, until - index.clock())
    return max_count + 1


def count_buckets(index: ScannedIndex, count: CountBuckets, span: Span, *, until: float) -> BucketCounts:
    """All matches of a span; fewer if the time is up."""
    counts = BucketCounts(span.lower)
    ends = index.end_positions(span)
    if ends is None:
        return counts
    chunks, lower = _Chunks(index, span, *ends), (ends[0][0] + 1, "")
    while chunks.size and (began := index.clock()) < until:
        chunk = chunks.next()
        try:
            rows = count(chunk, None if until == inf else until - began)
        except StatementTimeoutError:
            break
        counts.buckets.update({row.bucket: row.n for row in rows})
        lower = chunk.lower
        if lower == span.lower:
            return counts
        chunks.advance(chunk, index.clock() - began, CHUNK_TIME_SHARE * (until - index.clock()))
    return replace(counts, lower=lower)


class _Chunks:
    """The chunks of a span from the newest to the oldest, each at most MAX_CHUNK_GROWTH times as large as the one before.

    The first chunk is counted off, which takes long for large ones. A later chunk is as much time as held so many documents so far.
    One chunk ends at the `far`-th document.
    """

    def __init__(self, index: ScannedIndex, span: Span, newest: IndexPosition, oldest: IndexPosition, far: int = 0) -> None:
        self._index, self._span, self._newest, self._oldest, self._far = index, span, newest, oldest, far
        self._upper: IndexPosition = (newest[0] + 1, "")
        self.size, self.seen = index.first_chunk_documents, 0

    def next(self) -> Span:
        """The next chunk; the last one ends where the span does."""
        if self.seen < self._far < self.seen + 2 * self.size:
            self.size = self._far - self.seen
        if self.seen == 0:
            lower = self._index.nth_position(Span(self._span.lower, self._upper), self.size)
        else:
            back = (self._newest[0] + 1 - self._upper[0]) * self.size // self.seen + 1
            lower = (self._upper[0] - back, "") if self._upper[0] - back > self._oldest[0] else None
        return Span(lower or self._span.lower, self._upper)

    def advance(self, chunk: Span, seconds: float, seconds_left: float) -> None:
        """Go past a chunk that took `seconds`. Sets the size of the next one, 0 if the time is up."""
        self._upper, self.seen = chunk.lower, self.seen + self.size
        growth = seconds_left / max(seconds, 1e-6)
        self.size = int(self.size * min(MAX_CHUNK_GROWTH, growth)) if growth >= 0.25 else 0


# ---- the query ---------------------------------------------------------------------------------------------------------------


def prepare_query(conn: Connection, backend: Backend, node: Node | None) -> IndexQuery:
    """The query with the other forms of its words. `node` None: every document."""
    return IndexQuery(
        conn, backend, node, load_forms(conn, {} if node is None else {terms.words[0]: terms.typed for terms in inflected_terms(node)})
    )


@dataclass(frozen=True, slots=True)
class IndexQuery:
    """A prepared query on an open connection. `node` None: every document."""

    conn: Connection
    backend: Backend
    node: Node | None
    forms: Forms  # of the words that match in other forms

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
        """The matches of a span that are in a group of copies: (moment, document_id, source, copy_group)."""
        return self.backend.grouped(self.conn, self._match_within(span), span, seconds)

    def grouped_times(self, span: Span, seconds: float | None = None) -> Sequence[tuple[int, int]]:
        """The matches of a span that are in a group of copies, newest first: (copy_group, moment)."""
        return self.backend.grouped_times(self.conn, self._match_within(span), span, seconds)

    def restrict_to_titles(self) -> IndexQuery | None:
        """The query for the matches that have all its words in the title; None without words."""
        node = None if self.node is None else _require_title(self.node, self.forms)
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
        is_common = scanned.seen and self.backend.estimate_documents(self.conn) * len(scanned.positions) > 3 * max_count * scanned.seen
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
