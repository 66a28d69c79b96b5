"""The Postgres index: a tsvector per document, made without a dictionary of Postgres, under a GIN index.

GIN has no order: every match is read and sorted. `scan` and the time buckets of `entry` keep the matches of one statement few.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from time import monotonic
from typing import Any

from sqlalchemy import Connection, Row, exc, text

from newsmill.search.backend import FACET_COLUMNS, Backend
from newsmill.search.entry import EVERY_ENTRY, IndexPosition, Span, facet_term
from newsmill.search.parsed_query import AllOf, AnyOf, Facet, Node, NoneOf, SyntheticTerm, Terms
from newsmill.search.ranking import MatchQuality
from newsmill.search.scan import ScanTimeoutError

CLOCK = monotonic
FIRST_CHUNK_DOCUMENTS = 2000
QUERY_CANCELED = "57014"  # https://www.postgresql.org/docs/17/errcodes-appendix.html: here by statement_timeout

_WEIGHTS = {"": "", "title": ":A", "lead": ":AB"}

_IN_SPAN = "(moment, document_id) >= (:lower, :lower_id) AND (moment, document_id) < (:upper, :upper_id)"
_MATCH, _IN_LEAD, _IN_TITLE, _IS_EXACT = (f"vector @@ CAST(:{name} AS tsquery)" for name in ("match", "lead", "title", "exact"))
_ORDER = "ORDER BY moment DESC, document_id DESC"
_END = f"(SELECT moment, document_id FROM search_entries WHERE {_IN_SPAN} ORDER BY moment {{0}}, document_id {{0}} LIMIT 1)"
_ENDS = f"{_END.format('DESC')} UNION ALL {_END.format('ASC')}"
_NTH = f"SELECT moment, document_id FROM search_entries WHERE {_IN_SPAN} {_ORDER} LIMIT 1 OFFSET :skipped"
_NEWEST_DOCUMENTS = f"SELECT moment, document_id FROM search_entries WHERE {_IN_SPAN} {_ORDER} LIMIT :limit"
# MATERIALIZED: without it the planner sees the limit and reads documents in the order of time, also for a rare word.
_NEWEST_MATCHES = f"""WITH found AS MATERIALIZED (SELECT moment, document_id FROM search_entries WHERE {_MATCH})
SELECT moment, document_id FROM found WHERE {_IN_SPAN} {_ORDER} LIMIT :limit"""
_MATCH_AT = f"""SELECT e.moment, e.document_id FROM unnest(CAST(:entry_times AS bigint[]), CAST(:ids AS text[])) AS p (moment, document_id)
JOIN search_entries AS e ON e.moment = p.moment AND e.document_id = p.document_id WHERE e.{_MATCH}"""
# Each comparison fetches the vector from beside its row. OFFSET 0 keeps the planner from merging the subquery, which would compare with
# `lead` twice.
_AT_POSITIONS = f"""(SELECT p.n, e.vector, e.{_IN_LEAD} AS in_lead
FROM unnest(CAST(:entry_times AS bigint[]), CAST(:ids AS text[])) WITH ORDINALITY AS p (moment, document_id, n)
JOIN search_entries AS e ON e.moment = p.moment AND e.document_id = p.document_id OFFSET 0) AS e"""
_COMPARE_PARTS = f"SELECT n, {_IN_TITLE} AS in_title, in_lead, true AS is_exact FROM {_AT_POSITIONS} WHERE in_lead"
_COMPARE_WORDS = f"SELECT n, in_lead AND {_IN_TITLE} AS in_title, in_lead, {_IS_EXACT} AS is_exact FROM {_AT_POSITIONS}"
_END_LIMIT = "ROLLBACK TO SAVEPOINT limited; RELEASE SAVEPOINT limited"  # the statement inside only reads; its limit is undone
_ESTIMATE = "SELECT reltuples FROM pg_class WHERE oid = CAST('search_entries' AS regclass)"  # as of the last VACUUM or ANALYZE


class PostgresBackend(Backend):
    is_ordered = False

    def clock(self) -> float:
        return CLOCK()

    def first_chunk_documents(self) -> int:
        return FIRST_CHUNK_DOCUMENTS

    def format_query(self, node: Node) -> str:
        return format_query(node)

    def end_positions(self, conn: Connection, span: Span) -> tuple[IndexPosition, IndexPosition] | None:
        found = _positions(conn.execute(text(_ENDS), _parameters(None, span)))
        return (max(found), min(found)) if found else None

    def nth_position(self, conn: Connection, span: Span, n: int) -> IndexPosition | None:
        row = conn.execute(text(_NTH), {**_parameters(None, span), "skipped": n - 1}).first()
        return None if row is None else (row.moment, row.document_id)

    def estimate_documents(self, conn: Connection) -> int:
        estimate: float = conn.execute(text(_ESTIMATE)).scalar_one()
        return int(estimate)

    def newest(self, conn: Connection, match: str | None, span: Span, limit: int, seconds: float | None = None) -> list[IndexPosition]:
        statement = _NEWEST_DOCUMENTS if match is None else _NEWEST_MATCHES
        with statement_timeout(conn, seconds):
            return _positions(conn.execute(text(statement), {**_parameters(match, span), "limit": limit}))

    def filter_positions(self, conn: Connection, match: str, positions: Sequence[IndexPosition]) -> set[IndexPosition]:
        entry_times, ids = [position[0] for position in positions], [position[1] for position in positions]
        return set(_positions(conn.execute(text(_MATCH_AT), {"match": match, "entry_times": entry_times, "ids": ids})))

    def compare_matches(
        self, conn: Connection, lead: str, title: str, exact: str | None, positions: Sequence[IndexPosition]
    ) -> MatchQuality:
        entry_times, ids = [position[0] for position in positions], [position[1] for position in positions]
        parameters = {"lead": lead, "title": title, "entry_times": entry_times, "ids": ids}
        if exact is None:
            rows = conn.execute(text(_COMPARE_PARTS), parameters).all()
        else:
            rows = conn.execute(text(_COMPARE_WORDS), {**parameters, "exact": exact}).all()
        in_title, in_lead, exact_ones = ({positions[n - 1] for n, *values in rows if values[column]} for column in range(3))
        return MatchQuality(in_title, in_lead, set(positions) if exact is None else exact_ones)

    def count(self, conn: Connection, match: str | None, span: Span, max_count: int, seconds: float | None = None) -> int:
        statement = f"SELECT count(*) FROM ({_select_matches('moment', match, span)} LIMIT :limit) AS f"
        with statement_timeout(conn, seconds):
            found: int = conn.execute(text(statement), {**_parameters(match, span), "limit": max_count + 1}).scalar_one()
        return found

    def count_per_bucket(
        self, conn: Connection, match: str | None, span: Span, bucket: int, seconds: float | None = None
    ) -> Sequence[Row[Any]]:
        matches = _select_matches("moment", match, span)
        statement = f"SELECT moment / {bucket:d} AS bucket, count(*) AS n FROM ({matches}) AS f GROUP BY 1 ORDER BY 1"
        with statement_timeout(conn, seconds):
            return conn.execute(text(statement), _parameters(match, span)).all()

    def count_per_source(self, conn: Connection, match: str | None, span: Span) -> Sequence[Row[Any]]:
        statement = f"SELECT source, count(*) AS n FROM ({_select_matches('source', match, span)}) AS f GROUP BY 1"
        return conn.execute(text(statement), _parameters(match, span)).all()

    def newest_facets(
        self, conn: Connection, match: str | None, span: Span, limit: int, seconds: float | None = None
    ) -> Sequence[Row[Any]]:
        columns = ", ".join(FACET_COLUMNS)
        source = "search_entries" if match is None else "found"
        found = "" if match is None else f"WITH found AS MATERIALIZED (SELECT {columns} FROM search_entries WHERE {_MATCH}) "
        with statement_timeout(conn, seconds):
            statement = text(f"{found}SELECT {columns} FROM {source} WHERE {_IN_SPAN} {_ORDER} LIMIT :limit")
            return conn.execute(statement, {**_parameters(match, span), "limit": limit}).all()


@contextmanager
def statement_timeout(conn: Connection, seconds: float | None) -> Iterator[None]:
    """Limits the statement inside, which must not write. Raises ScanTimeoutError when it takes longer; the connection can still be used."""
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
        raise ScanTimeoutError from error
    conn.exec_driver_sql(_END_LIMIT)


def format_query(node: Node) -> str:
    """The query as a tsquery."""
    match node:
        case Terms():
            return _format_phrase(node)
        case SyntheticTerm():
            return f"{_lexeme(node.term)}{_WEIGHTS[node.part]}"
        case Facet():
            return _lexeme(facet_term(node.name, node.value))
        case NoneOf():
            return f"({_lexeme(EVERY_ENTRY)} & !{format_query(node.node)})"
        case AnyOf():
            return f"({' | '.join(format_query(child) for child in node.nodes)})"
        case AllOf():
            return f"({' & '.join(format_query(child) for child in node.nodes)})"


def _format_phrase(node: Terms) -> str:
    weights = _WEIGHTS[node.part]
    lexemes = [f"{_lexeme(word)}{weights}" for word in node.words]
    if node.prefix:
        lexemes[-1] = f"{_lexeme(node.words[-1])}:*{weights.removeprefix(':')}"
    return f"({' <-> '.join(lexemes)})"


def _lexeme(word: str) -> str:
    return "'" + word.replace("\\", "\\\\").replace("'", "''") + "'"


def _select_matches(columns: str, match: str | None, span: Span) -> str:
    """All matches. The span stands outside, where it does not lead the planner to read all vectors in the order of time."""
    if match is None:
        return f"SELECT {columns} FROM search_entries WHERE {_IN_SPAN}"
    if span == Span():
        return f"SELECT {columns} FROM search_entries WHERE {_MATCH}"
    matches = f"SELECT moment, document_id, source FROM search_entries WHERE {_MATCH}"
    return f"WITH found AS MATERIALIZED ({matches}) SELECT {columns} FROM found WHERE {_IN_SPAN}"


def _positions(rows: Any) -> list[IndexPosition]:
    return [(row.moment, row.document_id) for row in rows]


def _parameters(match: str | None, span: Span) -> dict[str, Any]:
    bounds: dict[str, Any] = dict(zip(("lower", "lower_id", "upper", "upper_id"), (*span.lower, *span.upper), strict=True))
    return bounds if match is None else {**bounds, "match": match}
