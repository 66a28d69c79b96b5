"""The index on Postgres, in a tsvector column."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from time import monotonic
from typing import Any

from sqlalchemy import Connection, Row, exc, text

from newsmill.search.backend import FACET_COLUMNS, Backend, GroupedTime, StatementTimeoutError
from newsmill.search.index_terms import EVERY_ENTRY, facet_term
from newsmill.search.parsed_query import AllOf, AnyOf, Facet, Near, Node, NoneOf, SyntheticTerm, Terms
from newsmill.search.positions import IndexPosition, Span

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
MAX_ENDINGS = 100  # tries to undo a limit; one in some thousand needs a second on a busy server
_END_LIMIT = "ROLLBACK TO SAVEPOINT limited; RELEASE SAVEPOINT limited"  # the statement inside only reads; its limit is undone


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
        matches = _select_matches("moment, document_id, source, copy_group, copy_place", match, span)
        with statement_timeout(conn, seconds):
            return conn.execute(text(f"{matches} AND copy_group IS NOT NULL"), _pg_parameters(match, span)).all()

    def grouped_times(self, conn: Connection, match: str | None, span: Span, seconds: float | None = None) -> Sequence[GroupedTime]:
        rows = f"{_select_matches('copy_group, COALESCE(copy_place, 0) AS place, moment', match, span)} AND copy_group IS NOT NULL"
        # as arrays: that is a third faster than some 100,000 rows
        statement = f"SELECT array_agg(copy_group) AS groups, array_agg(place) AS places, array_agg(moment) AS moments FROM ({rows}) AS f"
        with statement_timeout(conn, seconds):
            found = conn.execute(text(statement), _pg_parameters(match, span)).one()
        return list(zip(found.groups or (), found.places or (), found.moments or (), strict=True))

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
    """Limits the statement inside, which must not write. After a StatementTimeoutError the connection can still be used."""
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
        _end_limit(conn)
        raise StatementTimeoutError from error
    _end_limit(conn)


def _end_limit(conn: Connection) -> None:
    """The limit is in force until the savepoint is rolled back. On a busy server it may end that statement too, which is then repeated."""
    for attempt in range(MAX_ENDINGS):
        try:
            conn.exec_driver_sql(_END_LIMIT)
            return
        except exc.OperationalError as error:
            if getattr(error.orig, "sqlstate", None) != QUERY_CANCELED or attempt == MAX_ENDINGS - 1:
                raise


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
