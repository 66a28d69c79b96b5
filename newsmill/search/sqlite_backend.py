"""The index on SQLite, in FTS5 tables."""

from __future__ import annotations

import json
from collections.abc import Sequence
from time import thread_time
from typing import Any

from sqlalchemy import Connection, CursorResult, Row, text

from newsmill.search.backend import FACET_COLUMNS, Backend, GroupedTime
from newsmill.search.index_terms import EVERY_ENTRY, facet_term
from newsmill.search.parsed_query import AllOf, AnyOf, Facet, Near, Node, NoneOf, SyntheticTerm, Terms
from newsmill.search.positions import IndexPosition, Span


def _fetch_tuples(result: CursorResult[Any]) -> Sequence[tuple[Any, ...]]:
    """The rows as plain tuples: Row objects double the time of some 100,000 rows."""
    return result.cursor.fetchall() if result.cursor is not None else []


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

_GROUPED = "SELECT moment, document_id, source, copy_group, copy_place FROM search_entries"
_SQLITE_GROUPED_MATCHES = f"""SELECT e.moment, e.document_id, e.source, e.copy_group, e.copy_place FROM search_words
CROSS JOIN search_entries AS e ON e.moment = search_words.rowid WHERE {_SQLITE_MATCH_IN_SPAN} AND e.copy_group IS NOT NULL"""
_SQLITE_GROUPED_TIMES = (
    f"SELECT copy_group, COALESCE(copy_place, 0), moment FROM search_entries WHERE {_SQLITE_IN_SPAN} AND copy_group IS NOT NULL"
)
_SQLITE_GROUPED_MATCH_TIMES = f"""SELECT e.copy_group, COALESCE(e.copy_place, 0), e.moment FROM search_words
CROSS JOIN search_entries AS e ON e.moment = search_words.rowid WHERE {_SQLITE_MATCH_IN_SPAN} AND e.copy_group IS NOT NULL"""
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

    def grouped_times(self, conn: Connection, match: str | None, span: Span, seconds: float | None = None) -> Sequence[GroupedTime]:
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
