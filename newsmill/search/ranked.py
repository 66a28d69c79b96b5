"""The order by relevance: which matches are scored together, and the cursor between its pages.

The newest BLOCK_MATCHES matches are scored together, with up to TITLE_MATCHES older ones that have all words in the title. The next blocks
hold the older matches. So a common word costs a bounded time, and a document about it is among the first however old it is.
In each block, the documents about the query come before those that only mention its words (`relevance.ANSWER_SCORE`).

A block is fixed by its two ends, and the cursor holds the weights of the words. So pages neither repeat nor omit a match while new
documents come in.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from newsmill.exceptions import CursorError
from newsmill.search.common_bigrams import COMMON_WORD_CHARACTERS
from newsmill.search.form_table import WordForms, find_beginnings
from newsmill.search.index_query import IndexQuery
from newsmill.search.parsed_query import AllOf, AnyOf, Near, Node, Terms
from newsmill.search.positions import FIRST_DATED_MOMENT, MAX_POSITION, MIN_POSITION, MOMENTS_PER_DAY, IndexPosition, Span
from newsmill.search.relevance import (
    ANSWER_SCORE,
    SCORE_SCALE,
    MatchScore,
    RankedTerm,
    Ranking,
    Topic,
    count_words,
    encode_phrase,
    explain_match,
    score_match,
    weigh_term,
)
from newsmill.search.scanning import ScanResult
from newsmill.storage.cursors import decode_cursor, encode_cursor

BLOCK_MATCHES = 600  # scored together: thirty pages of results
TITLE_MATCHES = 300
TITLE_SECONDS = 0.020  # to find them
ENOUGH_MATCHES = 60  # three pages of results; a scan need not go far for more
SAMPLE_DOCUMENTS = 2000  # the newest ones, in which the rarity of words is counted
COMMON_WORD_WEIGHT = weigh_term(100, 300)  # of the words that are too common to be counted: a document in three has them
MAX_COUNTED_WORDS = 12  # of a query; the others weigh as much as these on average
_NO_CODES: tuple[str, bytes | None] = ("", None)


@dataclass(frozen=True, slots=True)
class RankCursor:
    """Where a reader is: after `score` and `position` in the block from `lower` on and before `upper`, as of the moment `now`.

    The first block also holds matches from `titles` on and before its `lower` that have all words in the title; later blocks lack these.
    """

    now: int
    upper: IndexPosition = MAX_POSITION
    lower: IndexPosition | None = None  # None: the block has no ends yet
    titles: IndexPosition = MAX_POSITION
    is_first: bool = True
    score: int = 0
    position: IndexPosition = MAX_POSITION
    mean_words: int = 0  # 0: nothing is weighed yet
    weights: tuple[int, ...] = ()

    def encode(self) -> str:
        lower = self.lower or MIN_POSITION
        numbers = (self.score, int(self.lower is not None), int(self.is_first), self.mean_words)
        weights = ",".join(map(str, self.weights))
        return encode_cursor("scored", self.now, *self.upper, *lower, *self.titles, *self.position, *numbers, weights)


def decode_rank_cursor(cursor: str) -> RankCursor:
    """Raises CursorError."""
    kinds = (int, *(4 * (int, str)), int, int, int, int, str)
    now, *parts = decode_cursor("scored", cursor, *kinds)
    upper, lower, titles, position = ((int(parts[at]), str(parts[at + 1])) for at in range(0, 8, 2))
    score, has_lower, is_first, mean_words, weights = parts[8:]
    try:
        numbers = tuple(map(int, str(weights).split(","))) if weights else ()
    except ValueError:
        raise CursorError(f"{cursor[:100]!r} is not a cursor of this list; start again without it") from None
    fixed = lower if has_lower else None
    return RankCursor(int(now), upper, fixed, titles, bool(is_first), int(score), position, int(mean_words), numbers)


@dataclass(frozen=True, slots=True)
class RankedBlock:
    """The rest of a block behind the cursor it was asked with, best first."""

    cursor: RankCursor  # with the block's ends fixed
    matches: list[tuple[int, IndexPosition]]  # score and position; ties: newest first
    scanned: ScanResult
    answers: frozenset[IndexPosition]  # the matches of the whole block that are about the query; the others only mention its words

    def after(self, number: int) -> RankCursor:
        """The cursor after the first `number` matches."""
        score, position = self.matches[number - 1]
        return replace(self.cursor, score=score, position=position)

    def next_block(self) -> RankCursor:
        """The cursor of the block behind this one."""
        return replace(self.cursor, upper=self.cursor.lower or MIN_POSITION, lower=None, is_first=False)


@dataclass(frozen=True, slots=True)
class RankedQuery:
    """A query whose matches are read in the order of relevance."""

    index: IndexQuery
    span: Span  # that the query leaves
    terms: tuple[RankedTerm, ...]
    topic: Topic

    def read_block(self, cursor: RankCursor, until: float) -> RankedBlock:
        """The block that a cursor is in. Raises CursorError for the cursor of another query."""
        scanned, positions, cursor, is_continued = *self._find_matches(cursor, until), cursor.lower is not None
        codes = self._read_codes(positions)
        if cursor.mean_words == 0:
            cursor = replace(cursor, mean_words=_mean_words(codes), weights=self._weigh_terms())
        ranking = self._ranking(cursor)
        scored = [(score_match(ranking, *_codes_of(codes, position), _age_days(position, cursor.now)), position) for position in positions]
        matches = sorted(scored, reverse=True)
        answers = frozenset(position for score, position in matches if score >= ANSWER_SCORE)
        if is_continued:
            matches = [match for match in matches if match < (cursor.score, cursor.position)]
        return RankedBlock(cursor, matches, scanned, answers)

    def explain(self, cursor: RankCursor, positions: Sequence[IndexPosition]) -> Mapping[str, MatchScore]:
        """The scores of some matches by document."""
        ranking, codes = self._ranking(cursor), self._read_codes(positions)
        return {position[1]: explain_match(ranking, *_codes_of(codes, position), _age_days(position, cursor.now)) for position in positions}

    def _find_matches(self, cursor: RankCursor, until: float) -> tuple[ScanResult, list[IndexPosition], RankCursor]:
        """How the block was found, its matches, and the cursor with its ends."""
        span, titles = self.span.intersect(cursor.lower or MIN_POSITION, cursor.upper), self.index.restrict_to_titles()
        if cursor.lower is not None:
            scanned = ScanResult(self.index.newest(span, 2 * BLOCK_MATCHES), cursor.lower)
        else:
            scanned = self.index.scan_newest(span, BLOCK_MATCHES, enough=ENOUGH_MATCHES, until=until)
            upper = (scanned.positions[0][0] + 1, "") if scanned.positions and cursor.upper == MAX_POSITION else cursor.upper
            cursor = replace(cursor, upper=upper, lower=scanned.lower)
        lower = cursor.lower or MIN_POSITION
        if titles is None or (cursor.is_first and lower == MIN_POSITION):
            return scanned, scanned.positions, cursor
        if not cursor.is_first:
            known = self.span.intersect(max(lower, cursor.titles), cursor.upper)
            left_out = set(titles.newest(known, 2 * TITLE_MATCHES)) if known.lower < known.upper else set()
            return scanned, [position for position in scanned.positions if position not in left_out], cursor
        older = self.span.intersect(upper=lower)
        if cursor.titles == MAX_POSITION:
            found = titles.scan_newest(older, TITLE_MATCHES, enough=TITLE_MATCHES, until=min(until, titles.deadline(TITLE_SECONDS)))
            cursor = replace(cursor, titles=found.lower)
            return scanned, [*scanned.positions, *found.positions], cursor
        return scanned, [*scanned.positions, *titles.newest(older.intersect(cursor.titles), 2 * TITLE_MATCHES)], cursor

    def _read_codes(self, positions: Sequence[IndexPosition]) -> dict[str, tuple[str, bytes | None]]:
        rows = self.index.backend.read_codes(self.index.conn, [document for _, document in positions])
        return {row.document_id: (row.lemmatizer, row.codes) for row in rows}

    def _ranking(self, cursor: RankCursor) -> Ranking:
        if len(cursor.weights) != len(self.terms):
            raise CursorError("the cursor is of another query; start again without it")
        return Ranking(self.terms, cursor.weights, cursor.mean_words, self.topic)

    def _weigh_terms(self) -> tuple[int, ...]:
        """A phrase weighs as much as its rarest word. A single term needs no weight."""
        if len(self.terms) < 2:
            return (SCORE_SCALE,) * len(self.terms)
        nodes = [_count_nodes(terms) for terms in self.index.terms()]
        words = list(dict.fromkeys(node for group in nodes for node in group))
        common = {word for word in words if word.words[0] in COMMON_WORD_CHARACTERS}
        counted = [word for word in words if word not in common][:MAX_COUNTED_WORDS]
        found, documents = self.index.count_sample(counted, SAMPLE_DOCUMENTS)
        weights = {word: weigh_term(n, documents) for word, n in zip(counted, found, strict=True)}
        weights |= dict.fromkeys(common, COMMON_WORD_WEIGHT)
        mean = round(sum(weights.values()) / max(1, len(weights)))
        return tuple(max((weights.get(node, mean) for node in group), default=mean) for group in nodes)


def make_ranked_query(index: IndexQuery, span: Span) -> RankedQuery:
    """The query with the codes of its words. May read the forms of words of which the query has only the beginning."""
    terms = index.terms()
    topic = Topic(()) if index.asked is None else _make_topic(index.asked, {one: number for number, one in enumerate(terms)})
    return RankedQuery(index, span, tuple(_make_term(index, one) for one in terms), topic)


def _make_topic(node: Node, numbers: Mapping[Terms, int]) -> Topic:
    """What a document has to be about to answer a query; without parts where the query has no words, as in a filter."""
    if isinstance(node, Terms):
        return Topic((numbers[node],))
    if not isinstance(node, AllOf | AnyOf | Near):
        return Topic(())
    children = node.words if isinstance(node, Near) else node.nodes
    parts = tuple(part for child in children if (part := _make_topic(child, numbers)).parts)
    return parts[0] if len(parts) == 1 else Topic(parts, isinstance(node, AnyOf))


def _count_nodes(terms: Terms) -> list[Terms]:
    """The single words of a phrase; a word alone with its other forms."""
    if len(terms.words) == 1:
        return [replace(terms, part="")]
    return [Terms((word,), exact=True) for word in (terms.words[:-1] if terms.prefix else terms.words)]


def _make_term(index: IndexQuery, terms: Terms) -> RankedTerm:
    label = " ".join(terms.runs or terms.words) + ("*" if terms.prefix else "")
    is_title_only = terms.part == "title"
    if terms.prefix and len(terms.words) == 1:
        return RankedTerm(label, tuple(encode_phrase([word]) for word in find_beginnings(index.conn, terms.words[0])), {}, is_title_only)
    code = encode_phrase(terms.words[:-1] if terms.prefix else terms.words)
    return RankedTerm(label, (code,), {} if terms.exact else _code_forms(terms.words[0], index), is_title_only)


def _code_forms(word: str, index: IndexQuery) -> dict[str, frozenset[bytes]]:
    known, parts = index.forms.get(word, WordForms()), index.parts.get(word, {})
    return {
        lemmatizer: frozenset(encode_phrase([form]) for form in {*known.forms(lemmatizer), *parts.get(lemmatizer, ())} - {word})
        for lemmatizer in {*known.lemmas, *parts}
    }


def _codes_of(codes: Mapping[str, tuple[str, bytes | None]], position: IndexPosition) -> tuple[bytes | None, str]:
    lemmatizer, coded = codes.get(position[1], _NO_CODES)
    return coded, lemmatizer


def _mean_words(codes: Mapping[str, tuple[str, bytes | None]]) -> int:
    """Of the first block's documents; at least 1."""
    counts = [count_words(coded) for _, coded in codes.values()]
    return max(1, round(sum(counts) / len(counts))) if counts else 1


def _age_days(position: IndexPosition, now: int) -> float | None:
    return None if position[0] < FIRST_DATED_MOMENT else (now - position[0]) / MOMENTS_PER_DAY
