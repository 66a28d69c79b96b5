"""Looking things up in SQLite: two FTS5 tables, English stemmed (Porter) and everything else as it is.

FTS5 gives matches in the order of rowid, which is the order of time here (`entry.moment`), so "the newest 500" costs 500 rows however
common a word is. Its bm25() is not used: to weigh a word it counts all rows that hold it, 50 ms for a common one at a million documents.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from heapq import merge
from itertools import islice
from time import thread_time
from typing import Any as Anything

from sqlalchemy import Connection, text

from newsmill.search.entry import EVERY_ENTRY, facet_term
from newsmill.search.positions import IndexPosition, Span
from newsmill.search.query import AllOf, AnyOf, Facet, Node, NoneOf, SyntheticTerm, Terms

TABLES = ("search_words", "search_english")
_NO_LIMIT = -1  # as a LIMIT: https://www.sqlite.org/lang_select.html#the_limit_clause
_IN_SPAN = "moment >= :lower AND moment < :upper"
_HITS = "rowid >= :lower AND rowid < :upper AND {table} MATCH :match"


IN_ORDER = True  # matches come in the order of time
CLOCK = thread_time  # what `walk` goes by: SQLite works in our own thread
FIRST_CHUNK_DOCUMENTS = 10_000  # documents looked at first (walk): 1 ms to find where they end


def end_positions(conn: Connection, span: Span) -> tuple[IndexPosition, IndexPosition] | None:
    """The newest and the oldest document of a span; None if it is empty."""
    found = [conn.execute(text(_END.format(order=order)), _bounds(span)).first() for order in ("DESC", "ASC")]
    newest, oldest = ((row.moment, row.document_id) if row is not None else None for row in found)
    return None if newest is None or oldest is None else (newest, oldest)


def nth_position(conn: Connection, span: Span, n: int) -> IndexPosition | None:
    """The n-th newest document of a span; None if there are not so many."""
    row = conn.execute(text(_EDGE), {**_bounds(span), "skipped": n - 1}).first()
    return None if row is None else (row.moment, row.document_id)


_END = f"SELECT moment, document_id FROM search_entries WHERE {_IN_SPAN} ORDER BY moment {{order}} LIMIT 1"
_EDGE = f"SELECT moment, document_id FROM search_entries WHERE {_IN_SPAN} ORDER BY moment DESC LIMIT 1 OFFSET :skipped"


def newest(conn: Connection, match: str | None, span: Span, limit: int, _seconds: float | None = None) -> list[IndexPosition]:
    """The newest matches, newest first. SQLite cannot be told to stop in between."""
    if match is None:
        statement = f"SELECT moment, document_id FROM search_entries WHERE {_IN_SPAN} ORDER BY moment DESC LIMIT :limit"
        return [(row.moment, row.document_id) for row in conn.execute(text(statement), {**_bounds(span), "limit": limit})]
    given = {**_bounds(span), "match": match, "limit": limit}
    found = [conn.execute(text(_NEWEST.format(table=table)), given).all() for table in TABLES]
    merged = merge(*found, key=lambda row: -int(row.moment))
    return [(row.moment, row.document_id) for row in islice(merged, limit)]


_NEWEST = f"""SELECT e.moment, e.document_id FROM {{table}} CROSS JOIN search_entries AS e ON e.moment = {{table}}.rowid
WHERE {_HITS} ORDER BY {{table}}.rowid DESC LIMIT :limit"""


def filter_near_positions(conn: Connection, match: str, places: Sequence[IndexPosition]) -> set[IndexPosition]:
    """Those of some places that match; for places that lie close together."""
    if not places:
        return set()
    by_moment = {place[0]: place for place in places}
    given = {"lower": min(by_moment), "upper": max(by_moment) + 1, "match": match}
    statement = " UNION ALL ".join(f"SELECT rowid FROM {table} WHERE {_HITS.format(table=table)}" for table in TABLES)
    return {by_moment[moment] for moment in conn.execute(text(statement), given).scalars() if moment in by_moment}


def filter_positions(conn: Connection, match: str, places: Sequence[IndexPosition]) -> set[IndexPosition]:
    """Those of some places that match, wherever they lie: FTS5 is asked for each."""
    by_moment = {place[0]: place for place in places}
    given = {"moments": json.dumps(list(by_moment)), "match": match}
    statement = " UNION ALL ".join(
        f"SELECT {t}.rowid FROM json_each(:moments) AS m CROSS JOIN {t} ON {t}.rowid = m.value WHERE {t} MATCH :match" for t in TABLES
    )
    return {by_moment[moment] for moment in conn.execute(text(statement), given).scalars()}


def count(conn: Connection, match: str | None, span: Span, most: int, _seconds: float | None = None) -> int:
    """How many match; `most + 1` when they are more than `most`."""
    found: int = conn.execute(text(f"SELECT count(*) FROM ({_select_moments(match)})"), _parameters(match, span, most + 1)).scalar_one()
    return found


def count_per_bucket(conn: Connection, match: str | None, span: Span, ticks: int) -> Sequence[Anything]:
    """How many match in each stretch of `ticks`: (number of the stretch, n)."""
    statement = f"SELECT moment / {ticks:d} AS stretch, count(*) AS n FROM ({_select_moments(match)}) GROUP BY 1 ORDER BY 1"
    return conn.execute(text(statement), _parameters(match, span, _NO_LIMIT)).all()


def count_per_source(conn: Connection, match: str | None, span: Span) -> Sequence[Anything]:
    """How many matches each source has: (source or None, n)."""
    statement = (
        f"SELECT e.source, count(*) AS n FROM ({_select_moments(match)}) AS f JOIN search_entries AS e ON e.moment = f.moment GROUP BY 1"
    )
    return conn.execute(text(statement), _parameters(match, span, _NO_LIMIT)).all()


def count_buckets(
    conn: Connection, match: str | None, span: Span, ticks: int, sources: bool, _seconds: float | None = None
) -> Sequence[Anything]:
    """How many match in each stretch of `ticks`: (number of the stretch, None, n), and of each source, if wanted: (None, source, n)."""
    joined = "JOIN search_entries AS e ON e.moment = m.moment" if sources else ""
    statement = f"""WITH f AS MATERIALIZED (SELECT m.moment / {ticks:d} AS stretch, {"e.source" if sources else "NULL"} AS source
FROM ({_select_moments(match)}) AS m {joined})
SELECT stretch, NULL AS source, count(*) AS n FROM f GROUP BY 1"""
    if sources:
        statement += " UNION ALL SELECT NULL, source, count(*) FROM f GROUP BY 2"
    return conn.execute(text(statement), _parameters(match, span, _NO_LIMIT)).all()


def _select_moments(match: str | None) -> str:
    if match is None:
        return f"SELECT moment FROM search_entries WHERE {_IN_SPAN} ORDER BY moment DESC LIMIT :limit"
    each = (
        f"SELECT * FROM (SELECT rowid AS moment FROM {t} WHERE {_HITS.format(table=t)} ORDER BY rowid DESC LIMIT :limit)" for t in TABLES
    )
    return f"SELECT moment FROM ({' UNION ALL '.join(each)}) LIMIT :limit"


def _parameters(match: str | None, span: Span, limit: int) -> dict[str, Anything]:
    return {**_bounds(span), "limit": limit, **({} if match is None else {"match": match})}


def _bounds(span: Span) -> dict[str, int]:
    return {"lower": span.lower[0], "upper": span.upper[0]}


# ---- the language of FTS5 ------------------------------------------------------------------------------------------------------


def load_stems(_conn: Connection, _node: Node) -> None:
    """FTS5 stems by itself."""


def format_query(node: Node, _stems: None = None) -> str:
    """An FTS5 expression. Words hold nothing but letters, digits and marks (`words`), so a quoted one is only ever a word."""
    match node:
        case Terms():
            return _format_phrase(node)
        case SyntheticTerm():
            return f'{_COLUMN_FILTERS[node.part]}"{node.word}"'
        case Facet():
            return f'"{facet_term(node.name, node.value)}"'
        case NoneOf():
            return f'("{EVERY_ENTRY}" NOT {format_query(node.node)})'
        case AnyOf():
            return f"({' OR '.join(format_query(child) for child in node.nodes)})"
        case AllOf():
            return _format_all(node)


_COLUMN_FILTERS = {"": "", "title": "title : ", "lead": "{title lead} : "}


def _format_all(node: AllOf) -> str:
    wanted = [format_query(child) for child in node.nodes if not isinstance(child, NoneOf)]
    unwanted = [format_query(child.node) for child in node.nodes if isinstance(child, NoneOf)]
    positive = f"({' AND '.join(wanted)})" if wanted else f'"{EVERY_ENTRY}"'
    return f"({positive} NOT ({' OR '.join(unwanted)}))" if unwanted else positive


def _format_phrase(node: Terms) -> str:
    return f'{_COLUMN_FILTERS[node.part]}"{" ".join(node.words)}"{" *" if node.prefix else ""}'
