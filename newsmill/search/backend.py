"""The search index in the two databases, behind one interface: what a search asks of it."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from time import monotonic, thread_time
from typing import Any

from sqlalchemy import Connection, CursorResult, Engine, Row, exc, text

from newsmill.exceptions import ServiceError
from newsmill.search.index_terms import EVERY_ENTRY, facet_term
from newsmill.search.parsed_query import AllOf, AnyOf, Facet, Near, Node, NoneOf, SyntheticTerm, Terms
from newsmill.search.positions import IndexPosition, Span
from newsmill.storage.database import reading, translate_errors

FACET_COLUMNS = ("moment", "document_id", "source", "language", "section", "authors", "type", "site", "copy_group")


class StatementTimeoutError(Exception):
    """Raised when a statement takes longer than it may."""


class Backend(ABC):
    """Stateless. `match` is an expression of the database's own query language, from `format_query`; None stands for every document.

    Methods with `seconds` raise StatementTimeoutError where the database can stop a statement and it takes longer.
    """

    is_ordered: bool  # whether matches come in the order of time, so that reading the newest does not read all
    first_chunk_documents: int  # the number of documents that a scan looks at first

    @abstractmethod
    def clock(self) -> float:
        """Seconds, as time limits are measured."""

    @abstractmethod
    def format_query(self, node: Node) -> str:
        """The query as a match expression."""

    @abstractmethod
    def end_positions(self, conn: Connection, span: Span) -> tuple[IndexPosition, IndexPosition] | None:
        """The newest and the oldest document of a span; None if it is empty."""

    @abstractmethod
    def nth_position(self, conn: Connection, span: Span, n: int) -> IndexPosition | None:
        """The n-th newest document of a span; None if it has fewer."""

    @abstractmethod
    def estimate_documents(self, conn: Connection) -> int:
        """About how many documents the index has; -1 where the database does not know."""

    @abstractmethod
    def newest(self, conn: Connection, match: str | None, span: Span, limit: int, seconds: float | None = None) -> list[IndexPosition]:
        """The newest matches, newest first."""

    @abstractmethod
    def filter_positions(self, conn: Connection, match: str, positions: Sequence[IndexPosition]) -> set[IndexPosition]:
        """The positions that match."""

    @abstractmethod
    def count_each(self, conn: Connection, matches: Sequence[str], span: Span) -> list[int]:
        """How many documents of a span match each of some expressions."""

    @abstractmethod
    def read_codes(self, conn: Connection, ids: Sequence[str]) -> Sequence[Row[Any]]:
        """The words of documents as codes: (document_id, lemmatizer, codes). Documents that wait to be indexed may be missing."""

    @abstractmethod
    def count(self, conn: Connection, match: str | None, span: Span, max_count: int, seconds: float | None = None) -> int:
        """How many match; `max_count + 1` if more than `max_count` do."""

    @abstractmethod
    def count_per_bucket(
        self, conn: Connection, match: str | None, span: Span, bucket: int, seconds: float | None = None
    ) -> Sequence[Row[Any]]:
        """Matches per time bucket of `bucket` units, in order: (bucket number, n)."""

    @abstractmethod
    def count_per_source(self, conn: Connection, match: str | None, span: Span) -> Sequence[Row[Any]]:
        """Matches per source: (source or None, n)."""

    @abstractmethod
    def grouped(self, conn: Connection, match: str | None, span: Span, seconds: float | None = None) -> Sequence[Row[Any]]:
        """The matches that are in a group of copies: (moment, document_id, source, copy_group)."""

    @abstractmethod
    def grouped_times(self, conn: Connection, match: str | None, span: Span, seconds: float | None = None) -> Sequence[tuple[int, int]]:
        """The matches that are in a group of copies, newest first: (copy_group, moment). Up to all documents, so they are plain tuples."""

    @abstractmethod
    def newest_facets(
        self, conn: Connection, match: str | None, span: Span, limit: int, seconds: float | None = None
    ) -> Sequence[Row[Any]]:
        """The newest matches, newest first, with the values that facets count: FACET_COLUMNS."""


def _fetch_tuples(result: CursorResult[Any]) -> Sequence[tuple[Any, ...]]:
    """The rows as plain tuples: Row objects double the time of some 100,000 rows."""
    return result.cursor.fetchall() if result.cursor is not None else []


# ---- SQLite ------------------------------------------------------------------------------------------------------------------


_NO_LIMIT = -1  # https://www.sqlite.org/lang_select.html#the_limit_clause
_FTS_COLUMNS = {"": "", "title": "title : "}

_SQLITE_IN_SPAN = "moment >= :lower AND moment < :upper"
_SQLITE_MATCH_IN_SPAN = "rowid >= :lower AND rowid < :upper AND search_words MATCH :match"
_SQLITE_END = f"SELECT moment, document_id FROM search_entries WHERE {_SQLITE_IN_SPAN} ORDER BY moment {{order}} LIMIT 1"
_SQLITE_NTH = f"SELECT moment, document_id FROM search_entries WHERE {_SQLITE_IN_SPAN} ORDER BY moment DESC LIMIT 1 OFFSET :skipped"
_SQLITE_NEWEST_DOCUMENTS = f"SELECT moment, document_id FROM search_entries WHERE {_SQLITE_IN_SPAN} ORDER BY moment DESC LIMIT :limit"
_SQLITE_NEWEST_MATCHES = f"""SELECT e.moment, e.document_id FROM search_words
CROSS JOIN search_entries AS e ON e.moment = search_words.rowid
WHERE {_SQLITE_MATCH_IN_SPAN} ORDER BY search_words.rowid DESC LIMIT :limit"""
_SQLITE_MATCH_TIMES = f"SELECT rowid AS moment FROM search_words WHERE {_SQLITE_MATCH_IN_SPAN} ORDER BY rowid DESC LIMIT :limit"
_SQLITE_MATCH_AT = """SELECT search_words.rowid FROM json_each(:times) AS m CROSS JOIN search_words ON search_words.rowid = m.value
WHERE search_words MATCH :match"""

_GROUPED = "SELECT moment, document_id, source, copy_group FROM search_entries"
_SQLITE_GROUPED_MATCHES = f"""SELECT e.moment, e.document_id, e.source, e.copy_group FROM search_words
CROSS JOIN search_entries AS e ON e.moment = search_words.rowid WHERE {_SQLITE_MATCH_IN_SPAN} AND e.copy_group IS NOT NULL"""
_SQLITE_GROUPED_TIMES = (
    f"SELECT copy_group, moment FROM search_entries WHERE {_SQLITE_IN_SPAN} AND copy_group IS NOT NULL ORDER BY moment DESC"
)
_SQLITE_GROUPED_MATCH_TIMES = f"""SELECT e.copy_group, e.moment FROM search_words
CROSS JOIN search_entries AS e ON e.moment = search_words.rowid
WHERE {_SQLITE_MATCH_IN_SPAN} AND e.copy_group IS NOT NULL ORDER BY search_words.rowid DESC"""
_SQLITE_CODES = "SELECT document_id, lemmatizer, codes FROM search_codes WHERE document_id IN (SELECT value FROM json_each(:ids))"


class SqliteBackend(Backend):
    """An FTS5 table, made without a stemmer. SQLite cannot stop a statement, so `seconds` is not used.

    FTS5 returns matches in the order of rowid, which is the order of time here (`entry.to_moment`). So the newest 500 matches cost 500
    rows, however common a word is. Its bm25() is not used: to weigh a word it counts all rows with it, 50 ms for a common one at a million
    documents.
    """

    is_ordered = True
    first_chunk_documents = 10_000  # finding where they end takes 1 ms

    def clock(self) -> float:
        return thread_time()  # SQLite works in the caller's thread

    def format_query(self, node: Node) -> str:
        """The query in the language of FTS5. Terms have only letters, digits and marks (`tokens`), so a quoted one is always a term."""
        match node:
            case Terms():
                return f'{_FTS_COLUMNS[node.part]}"{" ".join(node.words)}"{" *" if node.prefix else ""}'
            case SyntheticTerm():
                return f'{_FTS_COLUMNS[node.part]}"{node.term}"'
            case Near():
                return f"NEAR({' '.join(map(self.format_query, node.words))}, {node.distance - 1})"
            case Facet():
                return f'"{facet_term(node.name, node.value)}"'
            case NoneOf():
                return f'("{EVERY_ENTRY}" NOT {self.format_query(node.node)})'
            case AnyOf():
                return f"({' OR '.join(self.format_query(child) for child in node.nodes)})"
            case AllOf():
                return self._format_all(node)

    def _format_all(self, node: AllOf) -> str:
        wanted = [self.format_query(child) for child in node.nodes if not isinstance(child, NoneOf)]
        unwanted = [self.format_query(child.node) for child in node.nodes if isinstance(child, NoneOf)]
        positive = f"({' AND '.join(wanted)})" if wanted else f'"{EVERY_ENTRY}"'
        return f"({positive} NOT ({' OR '.join(unwanted)}))" if unwanted else positive

    def end_positions(self, conn: Connection, span: Span) -> tuple[IndexPosition, IndexPosition] | None:
        found = [conn.execute(text(_SQLITE_END.format(order=order)), _sqlite_bounds(span)).first() for order in ("DESC", "ASC")]
        newest, oldest = ((row.moment, row.document_id) if row is not None else None for row in found)
        return None if newest is None or oldest is None else (newest, oldest)

    def nth_position(self, conn: Connection, span: Span, n: int) -> IndexPosition | None:
        row = conn.execute(text(_SQLITE_NTH), {**_sqlite_bounds(span), "skipped": n - 1}).first()
        return None if row is None else (row.moment, row.document_id)

    def estimate_documents(self, conn: Connection) -> int:
        return -1

    def newest(self, conn: Connection, match: str | None, span: Span, limit: int, seconds: float | None = None) -> list[IndexPosition]:
        parameters = _sqlite_parameters(match, span, limit)
        statement = _SQLITE_NEWEST_DOCUMENTS if match is None else _SQLITE_NEWEST_MATCHES
        return [(moment, document) for moment, document in conn.execute(text(statement), parameters).all()]

    def filter_positions(self, conn: Connection, match: str, positions: Sequence[IndexPosition]) -> set[IndexPosition]:
        """FTS5 looks at each position."""
        by_moment = {position[0]: position for position in positions}
        parameters = {"times": json.dumps(list(by_moment)), "match": match}
        return {by_moment[moment] for moment in conn.execute(text(_SQLITE_MATCH_AT), parameters).scalars().all()}

    def count_each(self, conn: Connection, matches: Sequence[str], span: Span) -> list[int]:
        statement = text(f"SELECT count(*) FROM search_words WHERE {_SQLITE_MATCH_IN_SPAN}")
        return [conn.execute(statement, {**_sqlite_bounds(span), "match": match}).scalar_one() for match in matches]

    def read_codes(self, conn: Connection, ids: Sequence[str]) -> Sequence[Row[Any]]:
        return conn.execute(text(_SQLITE_CODES), {"ids": json.dumps(ids)}).all()

    def count(self, conn: Connection, match: str | None, span: Span, max_count: int, seconds: float | None = None) -> int:
        statement = f"SELECT count(*) FROM ({_select_entry_times(match)})"
        found: int = conn.execute(text(statement), _sqlite_parameters(match, span, max_count + 1)).scalar_one()
        return found

    def count_per_bucket(
        self, conn: Connection, match: str | None, span: Span, bucket: int, seconds: float | None = None
    ) -> Sequence[Row[Any]]:
        statement = f"SELECT moment / {bucket:d} AS bucket, count(*) AS n FROM ({_select_entry_times(match)}) GROUP BY 1 ORDER BY 1"
        return conn.execute(text(statement), _sqlite_parameters(match, span, _NO_LIMIT)).all()

    def count_per_source(self, conn: Connection, match: str | None, span: Span) -> Sequence[Row[Any]]:
        statement = f"""SELECT e.source, count(*) AS n FROM ({_select_entry_times(match)}) AS f
JOIN search_entries AS e ON e.moment = f.moment GROUP BY 1"""
        return conn.execute(text(statement), _sqlite_parameters(match, span, _NO_LIMIT)).all()

    def grouped(self, conn: Connection, match: str | None, span: Span, seconds: float | None = None) -> Sequence[Row[Any]]:
        statement = f"{_GROUPED} WHERE {_SQLITE_IN_SPAN} AND copy_group IS NOT NULL" if match is None else _SQLITE_GROUPED_MATCHES
        return conn.execute(text(statement), _sqlite_parameters(match, span, _NO_LIMIT)).all()

    def grouped_times(self, conn: Connection, match: str | None, span: Span, seconds: float | None = None) -> Sequence[tuple[int, int]]:
        statement = _SQLITE_GROUPED_TIMES if match is None else _SQLITE_GROUPED_MATCH_TIMES
        return _fetch_tuples(conn.execute(text(statement), _sqlite_parameters(match, span, _NO_LIMIT)))

    def newest_facets(
        self, conn: Connection, match: str | None, span: Span, limit: int, seconds: float | None = None
    ) -> Sequence[Row[Any]]:
        statement = _SQLITE_NEWEST_DOCUMENTS if match is None else _SQLITE_NEWEST_MATCHES
        columns = ", ".join(name if match is None else f"e.{name}" for name in FACET_COLUMNS)
        return conn.execute(text(f"SELECT {columns} FROM{statement.partition(' FROM')[2]}"), _sqlite_parameters(match, span, limit)).all()


def _select_entry_times(match: str | None) -> str:
    if match is None:
        return f"SELECT moment FROM search_entries WHERE {_SQLITE_IN_SPAN} ORDER BY moment DESC LIMIT :limit"
    return _SQLITE_MATCH_TIMES


def _sqlite_parameters(match: str | None, span: Span, limit: int) -> dict[str, Any]:
    return {**_sqlite_bounds(span), "limit": limit, **({} if match is None else {"match": match})}


def _sqlite_bounds(span: Span) -> dict[str, int]:
    return {"lower": span.lower[0], "upper": span.upper[0]}


# ---- Postgres ----------------------------------------------------------------------------------------------------------------


QUERY_CANCELED = "57014"  # https://www.postgresql.org/docs/17/errcodes-appendix.html: here by statement_timeout

_WEIGHTS = {"": "", "title": ":A"}

_PG_IN_SPAN = "(moment, document_id) >= (:lower, :lower_id) AND (moment, document_id) < (:upper, :upper_id)"
_PG_MATCH = "vector @@ CAST(:match AS tsquery)"
_PG_ORDER = "ORDER BY moment DESC, document_id DESC"
_PG_END = f"(SELECT moment, document_id FROM search_entries WHERE {_PG_IN_SPAN} ORDER BY moment {{0}}, document_id {{0}} LIMIT 1)"
_PG_ENDS = f"{_PG_END.format('DESC')} UNION ALL {_PG_END.format('ASC')}"
_PG_NTH = f"SELECT moment, document_id FROM search_entries WHERE {_PG_IN_SPAN} {_PG_ORDER} LIMIT 1 OFFSET :skipped"
_PG_NEWEST_DOCUMENTS = f"SELECT moment, document_id FROM search_entries WHERE {_PG_IN_SPAN} {_PG_ORDER} LIMIT :limit"
# MATERIALIZED: without it the planner sees the limit and reads documents in the order of time, also for a rare word.
_PG_NEWEST_MATCHES = f"""WITH found AS MATERIALIZED (SELECT moment, document_id FROM search_entries WHERE {_PG_MATCH})
SELECT moment, document_id FROM found WHERE {_PG_IN_SPAN} {_PG_ORDER} LIMIT :limit"""
_PG_MATCH_AT = f"""SELECT e.moment, e.document_id
FROM unnest(CAST(:entry_times AS bigint[]), CAST(:ids AS text[])) AS p (moment, document_id)
JOIN search_entries AS e ON e.moment = p.moment AND e.document_id = p.document_id WHERE e.{_PG_MATCH}"""
_PG_CODES = "SELECT document_id, lemmatizer, codes FROM search_codes WHERE document_id = ANY(CAST(:ids AS text[]))"
_END_LIMIT = "ROLLBACK TO SAVEPOINT limited; RELEASE SAVEPOINT limited"  # the statement inside only reads; its limit is undone
_ESTIMATE = "SELECT reltuples FROM pg_class WHERE oid = CAST('search_entries' AS regclass)"  # as of the last VACUUM or ANALYZE


class PostgresBackend(Backend):
    """A tsvector per document, made without a dictionary of Postgres, under a GIN index.

    GIN has no order: every match is read and sorted. Scans and the time buckets of `entry` keep the matches of one statement few.
    """

    is_ordered = False
    first_chunk_documents = 2000

    def clock(self) -> float:
        return monotonic()

    def format_query(self, node: Node) -> str:
        """The query as a tsquery."""
        match node:
            case Terms():
                return _format_phrase(node)
            case SyntheticTerm():
                return f"{_lexeme(node.term)}{_WEIGHTS[node.part]}"
            case Near():
                return _format_near(node)
            case Facet():
                return _lexeme(facet_term(node.name, node.value))
            case NoneOf():
                return f"({_lexeme(EVERY_ENTRY)} & !{self.format_query(node.node)})"
            case AnyOf():
                return f"({' | '.join(self.format_query(child) for child in node.nodes)})"
            case AllOf():
                return f"({' & '.join(self.format_query(child) for child in node.nodes)})"

    def end_positions(self, conn: Connection, span: Span) -> tuple[IndexPosition, IndexPosition] | None:
        found = _positions(conn.execute(text(_PG_ENDS), _pg_parameters(None, span)))
        return (max(found), min(found)) if found else None

    def nth_position(self, conn: Connection, span: Span, n: int) -> IndexPosition | None:
        row = conn.execute(text(_PG_NTH), {**_pg_parameters(None, span), "skipped": n - 1}).first()
        return None if row is None else (row.moment, row.document_id)

    def estimate_documents(self, conn: Connection) -> int:
        estimate: float = conn.execute(text(_ESTIMATE)).scalar_one()
        return int(estimate)

    def newest(self, conn: Connection, match: str | None, span: Span, limit: int, seconds: float | None = None) -> list[IndexPosition]:
        statement = _PG_NEWEST_DOCUMENTS if match is None else _PG_NEWEST_MATCHES
        with statement_timeout(conn, seconds):
            return _positions(conn.execute(text(statement), {**_pg_parameters(match, span), "limit": limit}))

    def filter_positions(self, conn: Connection, match: str, positions: Sequence[IndexPosition]) -> set[IndexPosition]:
        entry_times, ids = [position[0] for position in positions], [position[1] for position in positions]
        return set(_positions(conn.execute(text(_PG_MATCH_AT), {"match": match, "entry_times": entry_times, "ids": ids})))

    def count_each(self, conn: Connection, matches: Sequence[str], span: Span) -> list[int]:
        counted = ", ".join(
            f"(SELECT count(*) FROM search_entries WHERE vector @@ CAST(:match{n} AS tsquery) AND {_PG_IN_SPAN})"
            for n in range(len(matches))
        )
        parameters = {**_pg_parameters(None, span), **{f"match{n}": match for n, match in enumerate(matches)}}
        return list(conn.execute(text(f"SELECT {counted}"), parameters).one())

    def read_codes(self, conn: Connection, ids: Sequence[str]) -> Sequence[Row[Any]]:
        return conn.execute(text(_PG_CODES), {"ids": list(ids)}).all()

    def count(self, conn: Connection, match: str | None, span: Span, max_count: int, seconds: float | None = None) -> int:
        statement = f"SELECT count(*) FROM ({_select_matches('moment', match, span)} LIMIT :limit) AS f"
        with statement_timeout(conn, seconds):
            found: int = conn.execute(text(statement), {**_pg_parameters(match, span), "limit": max_count + 1}).scalar_one()
        return found

    def count_per_bucket(
        self, conn: Connection, match: str | None, span: Span, bucket: int, seconds: float | None = None
    ) -> Sequence[Row[Any]]:
        matches = _select_matches("moment", match, span)
        statement = f"SELECT moment / {bucket:d} AS bucket, count(*) AS n FROM ({matches}) AS f GROUP BY 1 ORDER BY 1"
        with statement_timeout(conn, seconds):
            return conn.execute(text(statement), _pg_parameters(match, span)).all()

    def count_per_source(self, conn: Connection, match: str | None, span: Span) -> Sequence[Row[Any]]:
        statement = f"SELECT source, count(*) AS n FROM ({_select_matches('source', match, span)}) AS f GROUP BY 1"
        return conn.execute(text(statement), _pg_parameters(match, span)).all()

    def grouped(self, conn: Connection, match: str | None, span: Span, seconds: float | None = None) -> Sequence[Row[Any]]:
        matches = _select_matches("moment, document_id, source, copy_group", match, span)
        with statement_timeout(conn, seconds):
            return conn.execute(text(f"{matches} AND copy_group IS NOT NULL"), _pg_parameters(match, span)).all()

    def grouped_times(self, conn: Connection, match: str | None, span: Span, seconds: float | None = None) -> Sequence[tuple[int, int]]:
        rows = f"{_select_matches('copy_group, moment', match, span)} AND copy_group IS NOT NULL ORDER BY moment DESC"
        # as two arrays: that is a third faster than some 100,000 rows
        statement = f"SELECT array_agg(copy_group) AS groups, array_agg(moment) AS moments FROM ({rows}) AS f"
        with statement_timeout(conn, seconds):
            found = conn.execute(text(statement), _pg_parameters(match, span)).one()
        return list(zip(found.groups or (), found.moments or (), strict=True))

    def newest_facets(
        self, conn: Connection, match: str | None, span: Span, limit: int, seconds: float | None = None
    ) -> Sequence[Row[Any]]:
        columns = ", ".join(FACET_COLUMNS)
        source = "search_entries" if match is None else "found"
        found = "" if match is None else f"WITH found AS MATERIALIZED (SELECT {columns} FROM search_entries WHERE {_PG_MATCH}) "
        with statement_timeout(conn, seconds):
            statement = text(f"{found}SELECT {columns} FROM {source} WHERE {_PG_IN_SPAN} {_PG_ORDER} LIMIT :limit")
            return conn.execute(statement, {**_pg_parameters(match, span), "limit": limit}).all()


@contextmanager
def statement_timeout(conn: Connection, seconds: float | None) -> Iterator[None]:
    """Limits the statement inside, which must not write. Raises StatementTimeoutError when it takes longer.

    The connection can still be used then.
    """
    if seconds is None:
        yield
        return
    # Two statements in one round trip: five round trips for one limited statement took 2 ms of a search of 70 ms.
    conn.exec_driver_sql(f"SAVEPOINT limited; SET LOCAL statement_timeout = {max(1, round(1000 * seconds)):d}")
    try:
        yield
    except exc.OperationalError as error:
        if getattr(error.orig, "sqlstate", None) != QUERY_CANCELED:
            raise
        conn.exec_driver_sql(_END_LIMIT)
        raise StatementTimeoutError from error
    conn.exec_driver_sql(_END_LIMIT)


def _format_phrase(node: Terms) -> str:
    weights = _WEIGHTS[node.part]
    lexemes = [f"{_lexeme(word)}{weights}" for word in node.words]
    if node.prefix:
        lexemes[-1] = f"{_lexeme(node.words[-1])}:*{weights.removeprefix(':')}"
    return f"({' <-> '.join(lexemes)})"


def _format_near(node: Near) -> str:
    """Each distance in each order, because a tsquery has exact distances only; and each part, because distances cross parts."""
    one, other = (_lexeme(terms.words[0]) for terms in node.words)
    pairs = ((first, second) for first, second in ((one, other), (other, one)))
    found = [f"{a}:{part} <{n}> {b}:{part}" for a, b in pairs for part in "ABD" for n in range(1, node.distance + 1)]
    return f"({' | '.join(found)})"


def _lexeme(word: str) -> str:
    return "'" + word.replace("\\", "\\\\").replace("'", "''") + "'"


def _select_matches(columns: str, match: str | None, span: Span) -> str:
    """All matches. `moment + 0` is in no index, so the planner does not read all vectors of the span in the order of time."""
    if match is None:
        return f"SELECT {columns} FROM search_entries WHERE {_PG_IN_SPAN}"
    within = "" if span == Span() else f" AND {_PG_IN_SPAN.replace('(moment,', '(moment + 0,')}"
    return f"SELECT {columns} FROM search_entries WHERE {_PG_MATCH}{within}"


def _positions(rows: Any) -> list[IndexPosition]:
    return [(row.moment, row.document_id) for row in rows]


def _pg_parameters(match: str | None, span: Span) -> dict[str, Any]:
    bounds: dict[str, Any] = dict(zip(("lower", "lower_id", "upper", "upper_id"), (*span.lower, *span.upper), strict=True))
    return bounds if match is None else {**bounds, "match": match}


# ---- connections -------------------------------------------------------------------------------------------------------------


# The planner does not count what it costs to fetch a vector from beside its row, and would rather read all of them than use the index
# (seen at 8,000 documents). Such short statements gain nothing from compilation.
_PLANNER_SETTINGS = text("SELECT set_config('enable_seqscan', 'off', true), set_config('jit', 'off', true)")


def backend_of(engine: Engine) -> Backend:
    return SqliteBackend() if engine.dialect.name == "sqlite" else PostgresBackend()


@contextmanager
def read_connection(engine: Engine) -> Iterator[Connection]:
    """A connection for statements that read the index. Raises ServiceError."""
    if engine.dialect.name == "sqlite":
        with reading(engine) as conn:
            yield conn
        return
    with translate_errors(engine), engine.connect() as conn, conn.begin():
        conn.execute(_PLANNER_SETTINGS)
        yield conn


@contextmanager
def limit_statements(conn: Connection, seconds: float) -> Iterator[None]:
    """Limits the time of each statement inside, where the database can stop one. Raises ServiceError when one takes longer."""
    try:
        with nullcontext() if conn.dialect.name == "sqlite" else statement_timeout(conn, seconds):
            yield
    except StatementTimeoutError as error:
        raise ServiceError(f"the database needs more than {seconds:g} s for a statement; try again when it has less to do") from error
