"""The SQLite index: an FTS5 table, made without a stemmer.

FTS5 returns matches in the order of rowid, which is the order of time here (`entry.to_moment`). So the newest 500 matches cost 500 rows,
however common a word is. Its bm25() is not used: to weigh a word it counts all rows with it, 50 ms for a common one at a million documents.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from time import thread_time
from typing import Any

from sqlalchemy import Connection, Row, text

from newsmill.search.backend import FACET_COLUMNS, Backend
from newsmill.search.entry import EVERY_ENTRY, IndexPosition, Span, facet_term
from newsmill.search.parsed_query import AllOf, AnyOf, Facet, Node, NoneOf, SyntheticTerm, Terms
from newsmill.search.ranking import MatchQuality

CLOCK = thread_time  # SQLite works in the caller's thread
FIRST_CHUNK_DOCUMENTS = 10_000  # finding where they end takes 1 ms

_NO_LIMIT = -1  # https://www.sqlite.org/lang_select.html#the_limit_clause
_COLUMN_FILTERS = {"": "", "title": "title : ", "lead": "{title lead} : "}

_IN_SPAN = "moment >= :lower AND moment < :upper"
_MATCH_IN_SPAN = "rowid >= :lower AND rowid < :upper AND search_words MATCH :match"
_END = f"SELECT moment, document_id FROM search_entries WHERE {_IN_SPAN} ORDER BY moment {{order}} LIMIT 1"
_NTH = f"SELECT moment, document_id FROM search_entries WHERE {_IN_SPAN} ORDER BY moment DESC LIMIT 1 OFFSET :skipped"
_NEWEST_DOCUMENTS = f"SELECT moment, document_id FROM search_entries WHERE {_IN_SPAN} ORDER BY moment DESC LIMIT :limit"
_NEWEST_MATCHES = f"""SELECT e.moment, e.document_id FROM search_words CROSS JOIN search_entries AS e ON e.moment = search_words.rowid
WHERE {_MATCH_IN_SPAN} ORDER BY search_words.rowid DESC LIMIT :limit"""
_MATCH_TIMES = f"SELECT rowid AS moment FROM search_words WHERE {_MATCH_IN_SPAN} ORDER BY rowid DESC LIMIT :limit"
_MATCH_AT = """SELECT search_words.rowid FROM json_each(:times) AS m CROSS JOIN search_words ON search_words.rowid = m.value
WHERE search_words MATCH :match"""


class SqliteBackend(Backend):
    """SQLite cannot stop a statement, so `seconds` is not used."""

    is_ordered = True

    def clock(self) -> float:
        return CLOCK()

    def first_chunk_documents(self) -> int:
        return FIRST_CHUNK_DOCUMENTS

    def format_query(self, node: Node) -> str:
        return format_query(node)

    def end_positions(self, conn: Connection, span: Span) -> tuple[IndexPosition, IndexPosition] | None:
        found = [conn.execute(text(_END.format(order=order)), _bounds(span)).first() for order in ("DESC", "ASC")]
        newest, oldest = ((row.moment, row.document_id) if row is not None else None for row in found)
        return None if newest is None or oldest is None else (newest, oldest)

    def nth_position(self, conn: Connection, span: Span, n: int) -> IndexPosition | None:
        row = conn.execute(text(_NTH), {**_bounds(span), "skipped": n - 1}).first()
        return None if row is None else (row.moment, row.document_id)

    def estimate_documents(self, conn: Connection) -> int:
        return -1

    def newest(self, conn: Connection, match: str | None, span: Span, limit: int, seconds: float | None = None) -> list[IndexPosition]:
        parameters = _parameters(match, span, limit)
        statement = _NEWEST_DOCUMENTS if match is None else _NEWEST_MATCHES
        return [(moment, document) for moment, document in conn.execute(text(statement), parameters).all()]

    def filter_positions(self, conn: Connection, match: str, positions: Sequence[IndexPosition]) -> set[IndexPosition]:
        """FTS5 looks at each position."""
        by_moment = {position[0]: position for position in positions}
        parameters = {"times": json.dumps(list(by_moment)), "match": match}
        return {by_moment[moment] for moment in conn.execute(text(_MATCH_AT), parameters).scalars().all()}

    def compare_matches(
        self, conn: Connection, lead: str, title: str, exact: str | None, positions: Sequence[IndexPosition]
    ) -> MatchQuality:
        in_lead = self._filter_near_positions(conn, lead, positions)
        in_title = self._filter_near_positions(conn, title, [position for position in positions if position in in_lead])
        return MatchQuality(in_title, in_lead, set(positions) if exact is None else self._filter_near_positions(conn, exact, positions))

    def _filter_near_positions(self, conn: Connection, match: str, positions: Sequence[IndexPosition]) -> set[IndexPosition]:
        """FTS5 returns every match between the oldest and the newest position."""
        if not positions:
            return set()
        by_moment = {position[0]: position for position in positions}
        parameters = {"lower": min(by_moment), "upper": max(by_moment) + 1, "match": match}
        statement = f"SELECT rowid FROM search_words WHERE {_MATCH_IN_SPAN}"
        return {by_moment[moment] for moment in conn.execute(text(statement), parameters).scalars().all() if moment in by_moment}

    def count(self, conn: Connection, match: str | None, span: Span, max_count: int, seconds: float | None = None) -> int:
        statement = f"SELECT count(*) FROM ({_select_entry_times(match)})"
        found: int = conn.execute(text(statement), _parameters(match, span, max_count + 1)).scalar_one()
        return found

    def count_per_bucket(
        self, conn: Connection, match: str | None, span: Span, bucket: int, seconds: float | None = None
    ) -> Sequence[Row[Any]]:
        statement = f"SELECT moment / {bucket:d} AS bucket, count(*) AS n FROM ({_select_entry_times(match)}) GROUP BY 1 ORDER BY 1"
        return conn.execute(text(statement), _parameters(match, span, _NO_LIMIT)).all()

    def count_per_source(self, conn: Connection, match: str | None, span: Span) -> Sequence[Row[Any]]:
        statement = f"""SELECT e.source, count(*) AS n FROM ({_select_entry_times(match)}) AS f
JOIN search_entries AS e ON e.moment = f.moment GROUP BY 1"""
        return conn.execute(text(statement), _parameters(match, span, _NO_LIMIT)).all()

    def newest_facets(
        self, conn: Connection, match: str | None, span: Span, limit: int, seconds: float | None = None
    ) -> Sequence[Row[Any]]:
        statement = _NEWEST_DOCUMENTS if match is None else _NEWEST_MATCHES
        columns = ", ".join(name if match is None else f"e.{name}" for name in FACET_COLUMNS)
        return conn.execute(text(f"SELECT {columns} FROM{statement.partition(' FROM')[2]}"), _parameters(match, span, limit)).all()


def format_query(node: Node) -> str:
    """The query in the language of FTS5. Terms have only letters, digits and marks (`tokens`), so a quoted one is always a term."""
    match node:
        case Terms():
            return f'{_COLUMN_FILTERS[node.part]}"{" ".join(node.words)}"{" *" if node.prefix else ""}'
        case SyntheticTerm():
            return f'{_COLUMN_FILTERS[node.part]}"{node.term}"'
        case Facet():
            return f'"{facet_term(node.name, node.value)}"'
        case NoneOf():
            return f'("{EVERY_ENTRY}" NOT {format_query(node.node)})'
        case AnyOf():
            return f"({' OR '.join(format_query(child) for child in node.nodes)})"
        case AllOf():
            return _format_all(node)


def _format_all(node: AllOf) -> str:
    wanted = [format_query(child) for child in node.nodes if not isinstance(child, NoneOf)]
    unwanted = [format_query(child.node) for child in node.nodes if isinstance(child, NoneOf)]
    positive = f"({' AND '.join(wanted)})" if wanted else f'"{EVERY_ENTRY}"'
    return f"({positive} NOT ({' OR '.join(unwanted)}))" if unwanted else positive


def _select_entry_times(match: str | None) -> str:
    if match is None:
        return f"SELECT moment FROM search_entries WHERE {_IN_SPAN} ORDER BY moment DESC LIMIT :limit"
    return _MATCH_TIMES


def _parameters(match: str | None, span: Span, limit: int) -> dict[str, Any]:
    return {**_bounds(span), "limit": limit, **({} if match is None else {"match": match})}


def _bounds(span: Span) -> dict[str, int]:
    return {"lower": span.lower[0], "upper": span.upper[0]}
