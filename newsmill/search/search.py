"""`Search`: queries over the stored documents, a page of matches or every match. The package's docstring describes it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from math import inf

from sqlalchemy import Connection, Engine

from newsmill.search.check import check_names, check_period, check_values, list_spellings, suggest_query
from newsmill.search.connections import backend_of, read_connection
from newsmill.search.folding import count_copies, fold_buckets, fold_sources
from newsmill.search.form_table import load_dictionaries
from newsmill.search.highlights import Highlighter
from newsmill.search.index_query import prepare_query
from newsmill.search.parsed_query import Query, list_remedies, positive_terms, span_of_query
from newsmill.search.positions import (
    DATED,
    MOMENTS_PER_DAY,
    MOMENTS_PER_SECOND,
    to_time,
)
from newsmill.search.query import parse_query
from newsmill.search.query_notes import QueryNote
from newsmill.search.result_pages import choose_finder, count_total, subtract_copies
from newsmill.search.results import MAX_TOTAL, Neighbours, Order, SearchResults, Step, StoredHit, find_neighbours, load_hits
from newsmill.search.stored_order import end_cursor, filter_ids, iterate_stored
from newsmill.search.word_forms import lemmatizer_of

PAGE_SECONDS = 0.060  # to find a page of results; CPU seconds on SQLite, so that a busy machine is slow but complete
COUNT_OVERTIME_SECONDS = 0.020  # after PAGE_SECONDS, when counting must end; ranking and fetching a page take 10 ms of them
_STEP_MOMENTS = {"hour": 3_600 * MOMENTS_PER_SECOND, "day": MOMENTS_PER_DAY}


class Search:
    """Reads only. Every call may raise ServiceError. `user`: whose marks the filters is:, has:, tag: and note: are about.

    With `fold`, the first match of each group of copies stands for all of them.
    """

    def __init__(self, engine: Engine, user: str = "") -> None:
        self._engine, self._user = engine, user
        self._backend = backend_of(engine)

    def search(
        self,
        query: str = "",
        *,
        limit: int = 20,
        cursor: str | None = None,
        order: Order = "relevance",
        wait: bool = False,
        count: bool = True,
        explain: bool = False,
        fold: bool = False,
    ) -> SearchResults:
        """One page of matches. Without words to weigh, the newest are the most relevant. Raises CursorError.

        A page that would take too long ends early (`SearchResults.reached`), unless `wait`. Without `count`, `total` is given only
        where finding the page has shown it. `explain`: hits in the order of relevance have the parts of their score.
        """
        parsed = self._parse(query)
        until = inf if wait else self._backend.clock() + PAGE_SECONDS
        with read_connection(self._engine) as conn:
            index_query = prepare_query(conn, self._backend, parsed.node)
            page = choose_finder(parsed, order, fold)(index_query, parsed, limit, cursor, until)
            terms = () if index_query.node is None else positive_terms(index_query.node)
            hits = load_hits(conn, page.positions, terms, index_query.forms)
            if page.copies:
                copies = {document: n for (_, document), n in page.copies.items()}
                hits = tuple(replace(hit, copies=copies.get(hit.id, 0)) for hit in hits)
            if page.answers is not None:
                scores, about = page.explain() if explain else {}, {document for _, document in page.answers}
                hits = tuple(replace(hit, is_answer=hit.id in about, score=scores.get(hit.id)) for hit in hits)
            count_until = (inf if wait else until + COUNT_OVERTIME_SECONDS) if count else -inf
            total = count_total(index_query, parsed, page, cursor is None, count_until)
            if fold and total:
                total = subtract_copies(index_query, parsed, total, count_until)
            answers = page.count_answers()
            notes: tuple[QueryNote, ...] = ()
            if cursor is None:
                notes = (
                    *parsed.notes,
                    *check_names(conn, self._backend, parsed, self._user, has_matches=bool(hits)),
                    *list_spellings(() if parsed.node is None else positive_terms(parsed.node), index_query.forms),
                )
            is_empty = not hits and cursor is None and page.cursor is None
            if is_empty:
                notes += tuple(self._explain_empty(conn, parsed))
            remedies = tuple(list_remedies(parsed)) if is_empty else ()
            suggestion = suggest_query(conn, self._backend, query, parsed) if is_empty else None
        reached = to_time(max(page.rest.upper, DATED.lower)[0]) if page.is_cut and page.rest else None
        return SearchResults(hits, page.cursor, total, reached, notes, remedies, suggestion, answers)

    def find_ids(
        self, query: str, *, limit: int, cursor: str | None = None, order: Order = "relevance", fold: bool = False
    ) -> tuple[list[str], str | None]:
        """The ids of one page of matches, however long that takes, and the cursor of the next page. Raises CursorError."""
        parsed = self._parse(query)
        with read_connection(self._engine) as conn:
            page = choose_finder(parsed, order, fold)(prepare_query(conn, self._backend, parsed.node), parsed, limit, cursor, inf)
        return [document for _, document in page.positions], page.cursor

    def check(self, query: str) -> tuple[QueryNote, ...]:
        """What is wrong with a query: filters without a meaning, and values of filters and periods without documents."""
        parsed = self._parse(query)
        with read_connection(self._engine) as conn:
            names = check_names(conn, self._backend, parsed, self._user)
            return (*parsed.notes, *names, *self._explain_empty(conn, parsed))

    def find_useless(self, query: str) -> str | None:
        """Why a query never matches a document, in one sentence; None if it can match one."""
        parsed = self._parse(query)
        if not parsed.matches_nothing:
            return None
        return "; ".join(note.message for note in parsed.notes) or "the query finds nothing"

    def highlighter(self, query: str, language: str | None) -> Highlighter:
        """Marks the words of a query in a text of a language, as they are matched there."""
        parsed = self._parse(query)
        if parsed.node is None:
            return Highlighter()
        with read_connection(self._engine) as conn:
            index_query = prepare_query(conn, self._backend, parsed.node)
        return Highlighter(positive_terms(index_query.node or parsed.node), index_query.forms, lemmatizer_of(language))

    def count(self, query: str = "", *, max_count: int = MAX_TOTAL, fold: bool = False) -> int:
        """How many documents match; `max_count + 1` if more than `max_count` do, with `fold` before copies are left out."""
        parsed = self._parse(query)
        with read_connection(self._engine) as conn:
            index_query = prepare_query(conn, self._backend, parsed.node)
            found = index_query.count(span_of_query(parsed), max_count)
            return found - count_copies(index_query.grouped_times(span_of_query(parsed))) if fold and found <= max_count else found

    def count_over_time(
        self, query: str = "", step: Step = "hour", *, since: datetime | None = None, until: datetime | None = None, fold: bool = False
    ) -> tuple[tuple[datetime, int], ...]:
        """How many dated documents match per hour or day (UTC, named by its start), in order, without empty ones."""
        parsed = self._parse(query)
        with read_connection(self._engine) as conn:
            index_query = prepare_query(conn, self._backend, parsed.node)
            span = span_of_query(parsed).limit_to_times(since, until).intersect(DATED.lower)
            counts = {row.bucket: row.n for row in index_query.count_per_bucket(span, _STEP_MOMENTS[step])}
            if fold:
                folded = fold_buckets(counts, index_query.grouped_times(span), _STEP_MOMENTS[step])
                counts = {bucket: n for bucket, n in folded.items() if n > 0}
        return tuple((to_time(bucket * _STEP_MOMENTS[step]), n) for bucket, n in counts.items())

    def count_by_source(
        self, query: str = "", *, since: datetime | None = None, until: datetime | None = None, fold: bool = False
    ) -> tuple[tuple[str, int], ...]:
        """How many documents match per source, the largest first; "" stands for documents without one."""
        parsed = self._parse(query)
        with read_connection(self._engine) as conn:
            index_query = prepare_query(conn, self._backend, parsed.node)
            span = span_of_query(parsed).limit_to_times(since, until)
            counts = {row.source or "": row.n for row in index_query.count_per_source(span)}
            if fold:
                counts = fold_sources(counts, index_query.grouped(span))
        return tuple(sorted(counts.items(), key=lambda pair: (-pair[1], pair[0])))

    def load_language_data(self) -> None:
        """Load what the first search would load and all later ones use: the dictionaries of the most common languages, and their names."""
        self._parse("lang:en")
        with read_connection(self._engine) as conn:
            load_dictionaries(conn)

    def read_clock(self) -> float:
        """Seconds, as time limits are measured: CPU time of this thread on SQLite, elapsed time on Postgres."""
        return self._backend.clock()

    def iterate(self, query: str = "", *, since: str | datetime | None = None, fold: bool = False) -> Iterator[StoredHit]:
        """Every match in the order of storage, streamed: memory use does not grow. A changed document comes again, at its new place.

        `since` is a `StoredHit.cursor`, or a time (stored then or later). What is stored meanwhile comes after the cursor of the last hit:
        nothing is missed and nothing comes twice. `fold` leaves out what is known to be a copy when its page of documents is read. Raises
        CursorError.
        """
        return iterate_stored(self._engine, self._backend, self._parse(query), since, fold=fold)

    def filter_ids(self, query: str, ids: Sequence[str]) -> list[str]:
        """Those of the documents that match the query, in the same order."""
        with read_connection(self._engine) as conn:
            return filter_ids(conn, self._backend, self._parse(query), ids)

    def end_cursor(self) -> str:
        """The cursor behind everything that is stored now; `iterate` resumes from it."""
        return end_cursor(self._engine)

    def neighbours(
        self,
        query: str,
        document_id: str,
        *,
        cursor: str | None = None,
        previous: str | None = None,
        order: Order = "relevance",
        limit: int,
        fold: bool = False,
    ) -> Neighbours:
        """The documents before and behind one on the page of `limit` results with that cursor, or on the page after it. Raises CursorError.

        Without a cursor it is the first page. `previous`: the cursor of the page before that one, or FIRST_PAGE, if it is known.
        The document may be on no such page, because others have come since.
        """
        parsed = self._parse(query)
        until, find_page = self._backend.clock() + PAGE_SECONDS, choose_finder(parsed, order, fold)
        with read_connection(self._engine) as conn:
            index_query = prepare_query(conn, self._backend, parsed.node)

            def find(at: str | None, size: int) -> tuple[list[str], str | None]:
                page = find_page(index_query, parsed, size, at, until)
                return [document for _, document in page.positions], page.cursor

            return find_neighbours(find, document_id, cursor, previous, limit)

    def _parse(self, query: str) -> Query:
        return parse_query(query, user=self._user)

    def _explain_empty(self, conn: Connection, parsed: Query) -> Iterator[QueryNote]:
        """Notes on the period and on values of filters that no document has."""
        yield from check_period(conn, self._backend, parsed, datetime.now(UTC))
        yield from check_values(conn, self._backend, parsed)
