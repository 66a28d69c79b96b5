"""One page of the results of a query: newest first, or by relevance from block to block; and the number of all matches."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from math import inf

from newsmill.search.backend import StatementTimeoutError
from newsmill.search.folding import count_copies, count_left_out, fold_copies
from newsmill.search.index_query import IndexQuery
from newsmill.search.parsed_query import Query, positive_terms, span_of_query
from newsmill.search.positions import MAX_POSITION, MIN_POSITION, IndexPosition, Span, to_moment
from newsmill.search.ranked import RankCursor, RankedBlock, decode_rank_cursor, make_ranked_query
from newsmill.search.relevance import MatchScore
from newsmill.search.results import MAX_TOTAL, Order
from newsmill.search.scanning import ScanResult
from newsmill.search.stored_order import fold_page
from newsmill.storage.cursors import decode_cursor, encode_cursor

MAX_FOLDED = 1000  # matches read at a time to fill a page without copies


@dataclass(frozen=True, slots=True)
class ResultPage:
    """The positions of one page of results."""

    positions: list[IndexPosition]
    cursor: str | None
    found: int  # matches found on the way to this page
    scanned: ScanResult
    rest: Span | None  # the span that was not scanned; None: all was, so `found` is the total
    is_cut: bool = False  # the page is short because the time was up
    explain: Callable[[], Mapping[str, MatchScore]] = dict  # the scores by document; none in another order than by relevance
    copies: Mapping[IndexPosition, int] = field(default_factory=dict)  # of the hits that stand for their copies
    answers: frozenset[IndexPosition] | None = None  # the hits that are about the query; None in another order than by relevance
    count_answers: Callable[[], int | None] = lambda: None  # among all matches; None: not all were scored


PageFinder = Callable[[IndexQuery, Query, int, "str | None", float], ResultPage]


def choose_finder(parsed: Query, order: Order, fold: bool) -> PageFinder:
    """How the pages of a query are found. Without words to weigh, the newest are the most relevant."""
    has_words = parsed.node is not None and positive_terms(parsed.node)
    return partial(_find_ranked_page if order == "relevance" and has_words else _find_newest_page, fold)


def _find_newest_page(fold: bool, index_query: IndexQuery, parsed: Query, limit: int, cursor: str | None, until: float) -> ResultPage:
    moment, document = MAX_POSITION if cursor is None else decode_cursor("newest", cursor, int, str)
    span, shown, matches, size = span_of_query(parsed), dict[IndexPosition, int](), 0, limit + 1
    rest = span.intersect(upper=(int(moment), str(document)))
    while True:
        scanned = index_query.scan_newest(rest, size, enough=size, until=until)
        complete = rest.intersect(scanned.lower)
        shown |= fold_page(fold, index_query, span, scanned.positions, complete)
        matches, found, is_last = matches + len(scanned.positions), list(shown), scanned.lower == MIN_POSITION
        rest = rest.intersect(upper=scanned.lower)
        if len(found) > limit:
            following = encode_cursor("newest", *found[limit - 1])
            return ResultPage(found[:limit], following, matches, scanned, None if is_last else rest, copies=shown)
        if is_last:
            return ResultPage(found, None, matches, scanned, None, copies=shown)
        if len(scanned.positions) < size:
            return ResultPage(found, encode_cursor("newest", *scanned.lower), matches, scanned, rest, is_cut=True, copies=shown)
        size = min(2 * size, MAX_FOLDED)


def _find_ranked_page(fold: bool, index_query: IndexQuery, parsed: Query, limit: int, cursor: str | None, until: float) -> ResultPage:
    span = span_of_query(parsed)
    ranked = make_ranked_query(index_query, span)
    start = RankCursor(to_moment(datetime.now(UTC))) if cursor is None else decode_rank_cursor(cursor)
    positions: list[IndexPosition] = []
    copies: dict[IndexPosition, int] = {}
    answers: frozenset[IndexPosition] = frozenset()
    matches = 0
    while True:
        block = ranked.read_block(start, until)
        left, matches = limit - len(positions), matches + len(block.scanned.positions)
        answers |= block.answers
        lower = block.cursor.lower or MIN_POSITION
        is_last, rest = lower == MIN_POSITION, span.intersect(upper=lower)
        is_whole = is_last and block.cursor.is_first
        count_answers = partial(_count_answers, index_query, span, block.answers if is_whole else None, fold)
        if fold:
            block, more = _fold_block(index_query, span, block, left + 1)
            copies |= more
        positions += [position for _, position in block.matches[:left]]
        page = partial(
            ResultPage,
            positions,
            found=matches,
            scanned=block.scanned,
            rest=None if is_last else rest,
            explain=partial(ranked.explain, block.cursor, positions),
            copies=copies,
            answers=answers,
            count_answers=count_answers,
        )
        if len(block.matches) > left:
            return page((block.after(left) if left else start).encode())
        if is_last:
            return page(None)
        start = block.next_block()
        if block.scanned.is_cut:
            return page(start.encode(), is_cut=True)


def count_total(index_query: IndexQuery, parsed: Query, page: ResultPage, is_first: bool, until: float) -> int | None:
    """The number of all matches; None if there are more than MAX_TOTAL, or the time is up. `is_first`: the page is."""
    found, rest = (page.found, page.rest) if is_first else (0, span_of_query(parsed))
    if page.is_cut:
        return None
    if rest is not None:
        found += index_query.count_rest(page.scanned, rest, MAX_TOTAL - found, until)
    return found if found <= MAX_TOTAL else None


def _fold_block(index_query: IndexQuery, span: Span, block: RankedBlock, size: int) -> tuple[RankedBlock, Mapping[IndexPosition, int]]:
    """The block with the first `size` of its matches that stand for their copies, and the number of these."""
    shown: dict[IndexPosition, int] = {}
    complete, at = span.intersect(block.cursor.lower or MIN_POSITION, block.cursor.upper), 0
    while len(shown) < size and at < len(block.matches):
        some = [position for _, position in block.matches[at : at + 2 * size]]
        shown |= fold_copies(index_query, span, some, complete, block.scanned.positions)
        at += len(some)
    kept = [match for match in block.matches[:at] if match[1] in shown][:size]
    return replace(block, matches=kept), shown


def _count_answers(index_query: IndexQuery, span: Span, answers: Collection[IndexPosition] | None, fold: bool) -> int | None:
    """The number of the answers without the copies for which others stand."""
    if not answers:
        return None if answers is None else 0
    return len(answers) - (count_left_out(index_query.grouped(span), answers) if fold else 0)


def subtract_copies(index_query: IndexQuery, parsed: Query, total: int, until: float) -> int | None:
    """The number of matches without the copies for which others stand; None if the time is up."""
    seconds = until - index_query.backend.clock()
    if seconds <= 0:
        return None
    try:
        return total - count_copies(index_query.grouped_times(span_of_query(parsed), None if seconds == inf else seconds))
    except StatementTimeoutError:
        return None
