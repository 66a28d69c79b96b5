"""The language of tsquery."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from time import monotonic
from typing import Any as Anything

from sqlalchemy import Connection, exc, text

from newsmill.search.entry import EVERY_ENTRY, facet_term
from newsmill.search.positions import IndexPosition, Span
from newsmill.search.query import AllOf, AnyOf, Facet, Node, NoneOf, SyntheticTerm, Terms
from newsmill.search.scan import ScanTimeoutError

_STEMS = text("""SELECT stemmer, word,
coalesce((ts_lexize(CAST('pg_catalog.' || stemmer || '_stem' AS regdictionary), word))[1], word) AS stem
FROM search_stemmers, unnest(CAST(:words AS text[])) AS held (word) ORDER BY stemmer""")

_WEIGHTS = {"": "", "title": ":A", "lead": ":AB"}

Stems = dict[str, dict[str, str]]  # stemmer → word → stem


def load_stems(conn: Connection, node: Node) -> Stems:
    """What the words of a query are in every language that documents are in."""
    words = sorted({word for phrase in _iterate_terms(node) for word in phrase.words})
    found: Stems = {}
    for row in conn.execute(_STEMS, {"words": words}) if words else ():
        found.setdefault(row.stemmer, {})[row.word] = row.stem
    return found


def _iterate_terms(node: Node) -> Iterator[Terms]:
    if isinstance(node, Terms):
        yield node
    elif isinstance(node, NoneOf):
        yield from _iterate_terms(node.node)
    elif isinstance(node, AllOf | AnyOf):
        for child in node.nodes:
            yield from _iterate_terms(child)


def format_query(node: Node, stems: Stems) -> str:
    """A tsquery. A phrase is looked for as it is, and in documents of a language with a stemmer by its stems in that language."""
    match node:
        case Terms():
            return _format_variants(node, stems)
        case SyntheticTerm():
            return f"{_lexeme(node.word)}{_WEIGHTS[node.part]}"
        case Facet():
            return _lexeme(facet_term(node.name, node.value))
        case NoneOf():
            return f"({_lexeme(EVERY_ENTRY)} & !{format_query(node.node, stems)})"
        case AnyOf():
            return f"({' | '.join(format_query(child, stems) for child in node.nodes)})"
        case AllOf():
            return f"({' & '.join(format_query(child, stems) for child in node.nodes)})"


def _format_variants(node: Terms, stems: Stems) -> str:
    by_stems: dict[tuple[str, ...], list[str]] = {}
    for stemmer, stem in stems.items():
        by_stems.setdefault(tuple(stem[word] for word in node.words), []).append(stemmer)
    by_stems.pop(node.words, None)
    said = [_format_phrase(node, node.words)]
    for words, stemmers in by_stems.items():
        languages = " | ".join(_lexeme(facet_term("stemmer", stemmer)) for stemmer in stemmers)
        said.append(f"({_format_phrase(node, words)} & ({languages}))")
    return f"({' | '.join(said)})"


def _format_phrase(node: Terms, words: tuple[str, ...]) -> str:
    weights = _WEIGHTS[node.part]
    said = [f"{_lexeme(word)}{weights}" for word in words]
    if node.prefix:
        said[-1] = f"{_lexeme(words[-1])}:*{weights.removeprefix(':')}"
    return f"({' <-> '.join(said)})"


def _lexeme(word: str) -> str:
    return "'" + word.replace("\\", "\\\\").replace("'", "''") + "'"


# Looking things up in Postgres: a tsvector per document, stemmed by the dictionary of its language, under a GIN index.
#
# GIN knows no order and hands out every match to be sorted; `walk` and `stretches` keep them few.

IN_ORDER = False  # GIN hands out all there are
CLOCK = monotonic  # what `walk` goes by
FIRST_CHUNK_DOCUMENTS = 2000  # documents looked at first (walk)
QUERY_CANCELED = "57014"  # https://www.postgresql.org/docs/17/errcodes-appendix.html: query_canceled, here by statement_timeout

_IN_SPAN = "(moment, document_id) >= (:lower, :lower_id) AND (moment, document_id) < (:upper, :upper_id)"
_MATCH = "vector @@ CAST(:match AS tsquery)"


def end_positions(conn: Connection, span: Span) -> tuple[IndexPosition, IndexPosition] | None:
    """The newest and the oldest document of a span; None if it is empty."""
    found = _positions(conn.execute(text(_ENDS), _parameters(None, span)))
    return (max(found), min(found)) if found else None


def nth_position(conn: Connection, span: Span, n: int) -> IndexPosition | None:
    """The n-th newest document of a span; None if there are not so many."""
    row = conn.execute(text(_EDGE), {**_parameters(None, span), "skipped": n - 1}).first()
    return None if row is None else (row.moment, row.document_id)


def newest(conn: Connection, match: str | None, span: Span, limit: int, seconds: float | None = None) -> list[IndexPosition]:
    """The newest matches, newest first; all the matches in the span are read. `match` None: the newest documents. Raises TimeIsUp."""
    with statement_timeout(conn, seconds):
        return _positions(conn.execute(text(_SCAN if match is None else _SORT), {**_parameters(match, span), "limit": limit}))


def estimate_documents(conn: Connection) -> int:
    """About how many documents there are, as of the last VACUUM or ANALYZE; -1 before the first."""
    held: float = conn.execute(text("SELECT reltuples FROM pg_class WHERE oid = CAST('search_entries' AS regclass)")).scalar_one()
    return int(held)


@contextmanager
def statement_timeout(conn: Connection, seconds: float | None) -> Iterator[None]:
    """Raises TimeIsUp when the statement inside takes longer; the connection stays good."""
    if seconds is None:
        yield
        return
    try:
        with conn.begin_nested():
            conn.execute(text("SELECT set_config('statement_timeout', :limit, true)"), {"limit": f"{max(1, round(1000 * seconds))}ms"})
            yield
    except exc.OperationalError as error:
        if getattr(error.orig, "sqlstate", None) != QUERY_CANCELED:
            raise
        raise ScanTimeoutError from error
    conn.execute(text("SELECT set_config('statement_timeout', '0', true)"))


_ORDER = "ORDER BY moment DESC, document_id DESC"
_SCAN = f"SELECT moment, document_id FROM search_entries WHERE {_IN_SPAN} {_ORDER} LIMIT :limit"
_END = f"(SELECT moment, document_id FROM search_entries WHERE {_IN_SPAN} ORDER BY moment {{0}}, document_id {{0}} LIMIT 1)"
_ENDS = f"{_END.format('DESC')} UNION ALL {_END.format('ASC')}"
_EDGE = f"SELECT moment, document_id FROM search_entries WHERE {_IN_SPAN} {_ORDER} LIMIT 1 OFFSET :skipped"
# MATERIALIZED: without it the planner, seeing the limit, walks for a rare word as well.
_SORT = f"""WITH found AS MATERIALIZED (SELECT moment, document_id FROM search_entries WHERE {_MATCH})
SELECT moment, document_id FROM found WHERE {_IN_SPAN} {_ORDER} LIMIT :limit"""


def filter_near_positions(conn: Connection, match: str, places: Sequence[IndexPosition]) -> set[IndexPosition]:
    """Those of some places that match."""
    given = {"match": match, "moments": [place[0] for place in places], "ids": [place[1] for place in places]}
    return set(_positions(conn.execute(text(_AMONG), given)))


filter_positions = filter_near_positions  # where they lie makes no difference here
_AMONG = f"""SELECT e.moment, e.document_id FROM unnest(CAST(:moments AS bigint[]), CAST(:ids AS text[])) AS p (moment, document_id)
JOIN search_entries AS e ON e.moment = p.moment AND e.document_id = p.document_id WHERE e.{_MATCH}"""


def count(conn: Connection, match: str | None, span: Span, most: int, seconds: float | None = None) -> int:
    """How many match; `most + 1` when they are more than `most`. Raises TimeIsUp."""
    given = {**_parameters(match, span), "limit": most + 1}
    with statement_timeout(conn, seconds):
        found: int = conn.execute(
            text(f"SELECT count(*) FROM ({_select_matches('moment', match, span)} LIMIT :limit) AS f"), given
        ).scalar_one()
    return found


def count_per_bucket(conn: Connection, match: str | None, span: Span, ticks: int) -> Sequence[Anything]:
    """How many match in each stretch of `ticks`: (number of the stretch, n)."""
    statement = (
        f"SELECT moment / {ticks:d} AS stretch, count(*) AS n FROM ({_select_matches('moment', match, span)}) AS f GROUP BY 1 ORDER BY 1"
    )
    return conn.execute(text(statement), _parameters(match, span)).all()


def count_per_source(conn: Connection, match: str | None, span: Span) -> Sequence[Anything]:
    """How many matches each source has: (source or None, n)."""
    statement = f"SELECT source, count(*) AS n FROM ({_select_matches('source', match, span)}) AS f GROUP BY 1"
    return conn.execute(text(statement), _parameters(match, span)).all()


def count_buckets(
    conn: Connection, match: str | None, span: Span, ticks: int, sources: bool, seconds: float | None = None
) -> Sequence[Anything]:
    """How many match in each stretch of `ticks`: (number of the stretch, None, n), and of each source, if wanted: (None, source, n).
    Raises TimeIsUp."""
    column, sets = ("source", "GROUPING SETS ((1), (2))") if sources else ("NULL", "1")
    found = _select_matches("moment, source" if sources else "moment", match, span)
    statement = f"SELECT moment / {ticks:d} AS stretch, {column} AS source, count(*) AS n FROM ({found}) AS f GROUP BY {sets}"
    with statement_timeout(conn, seconds):
        return conn.execute(text(statement), _parameters(match, span)).all()


def _select_matches(columns: str, match: str | None, span: Span) -> str:
    """All matches. The span is named outside, where it does not tempt the planner to read all vectors in the order of time."""
    if match is None:
        return f"SELECT {columns} FROM search_entries WHERE {_IN_SPAN}"
    if span == Span():
        return f"SELECT {columns} FROM search_entries WHERE {_MATCH}"
    found = f"SELECT moment, document_id, source FROM search_entries WHERE {_MATCH}"
    return f"WITH found AS MATERIALIZED ({found}) SELECT {columns} FROM found WHERE {_IN_SPAN}"


def _positions(rows: Anything) -> list[IndexPosition]:
    return [(row.moment, row.document_id) for row in rows]


def _parameters(match: str | None, span: Span) -> dict[str, Anything]:
    given: dict[str, Anything] = dict(zip(("lower", "lower_id", "upper", "upper_id"), (*span.lower, *span.upper), strict=True))
    return given if match is None else {**given, "match": match}
