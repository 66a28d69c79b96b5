"""Looking things up in Postgres: a tsvector per document, stemmed by the dictionary of its language, under a GIN index.

GIN knows no order: for a common word it would hand out every match to be sorted. So the newest PROBE documents are looked at first; where
many of them match, going on so from the newest finds the rest sooner, and where few do, the index holds few enough to sort.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any as Anything

from sqlalchemy import Connection, exc, text

from newsmill.keep.search.entry import ALL, facet
from newsmill.keep.search.places import Place, Span
from newsmill.keep.search.query import All, Any, Facet, Node, Not, Words

PROBE = 1000  # documents: 4 ms
PATIENCE = 50  # milliseconds; nobody needs to know whether it is 8,000 or 9,000
CANCELED = "57014"  # https://www.postgresql.org/docs/17/errcodes-appendix.html: query_canceled, here by statement_timeout
COMMON = 50  # matches among them: a word of one document in twenty

_IN_SPAN = "(moment, document_id) >= (:lower, :lower_id) AND (moment, document_id) < (:upper, :upper_id)"
_MATCH = "vector @@ CAST(:match AS tsquery)"


def newest(conn: Connection, node: Node | None, span: Span, limit: int) -> list[Place]:
    """The newest matches, newest first."""
    given = {**_given(conn, node, span), "limit": limit}
    if node is None:
        return _places(conn.execute(text(_WALK.format(more="")), given))
    probed = _places(conn.execute(text(_PROBE), given))
    if len(probed) >= limit:
        return probed[:limit]
    statement = _WALK if len(probed) >= COMMON else _SORT
    return _places(conn.execute(text(statement.format(more=f"AND {_MATCH}")), given))


_ORDER = "ORDER BY moment DESC, document_id DESC"
_WALK = f"SELECT moment, document_id FROM search_entries WHERE {_IN_SPAN} {{more}} {_ORDER} LIMIT :limit"
_PROBE = f"""SELECT moment, document_id FROM
(SELECT moment, document_id, vector FROM search_entries WHERE {_IN_SPAN} {_ORDER} LIMIT {PROBE}) AS newest WHERE {_MATCH}"""
# MATERIALIZED: without it the planner, seeing the limit, walks for a rare word as well.
_SORT = f"""WITH found AS MATERIALIZED (SELECT moment, document_id FROM search_entries WHERE {_MATCH} {{more}})
SELECT moment, document_id FROM found WHERE {_IN_SPAN} {_ORDER} LIMIT :limit"""


def matching(conn: Connection, node: Node, places: Sequence[Place]) -> set[Place]:
    """Those of some places that match."""
    given = {"match": tsquery(conn, node), "moments": [place[0] for place in places], "ids": [place[1] for place in places]}
    return set(_places(conn.execute(text(_AMONG), given)))


among = matching  # where they lie makes no difference here
_AMONG = f"""SELECT e.moment, e.document_id FROM unnest(CAST(:moments AS bigint[]), CAST(:ids AS text[])) AS p (moment, document_id)
JOIN search_entries AS e ON e.moment = p.moment AND e.document_id = p.document_id WHERE e.{_MATCH}"""


def count(conn: Connection, node: Node | None, span: Span, most: int) -> int:
    """How many match; `most + 1` when they are more than `most`."""
    given = {**_given(conn, node, span), "limit": most + 1}
    found: int = conn.execute(text(f"SELECT count(*) FROM ({_some('moment', node, span)}) AS f"), given).scalar_one()
    return found


def count_soon(conn: Connection, node: Node | None, span: Span, most: int) -> int:
    """The same, or `most + 1` when it would take longer than PATIENCE: each match of a phrase of common words has to be read."""
    try:
        with conn.begin_nested():
            conn.execute(text("SELECT set_config('statement_timeout', :limit, true)"), {"limit": f"{PATIENCE}ms"})
            return count(conn, node, span, most)
    except exc.OperationalError as error:
        if getattr(error.orig, "sqlstate", None) != CANCELED:
            raise
        return most + 1


def per_time(conn: Connection, node: Node | None, span: Span, ticks: int, most: int) -> Sequence[Anything]:
    """How many match in each stretch of `ticks`, of `most` matches: (number of the stretch, n)."""
    statement = f"SELECT moment / {ticks:d} AS stretch, count(*) AS n FROM ({_some('moment', node, span)}) AS f GROUP BY 1 ORDER BY 1"
    return conn.execute(text(statement), {**_given(conn, node, span), "limit": most}).all()


def per_source(conn: Connection, node: Node | None, span: Span, most: int) -> Sequence[Anything]:
    """How many of `most` matches each source has: (source or None, n)."""
    statement = f"SELECT source, count(*) AS n FROM ({_some('source', node, span)}) AS f GROUP BY 1"
    return conn.execute(text(statement), {**_given(conn, node, span), "limit": most}).all()


def _some(column: str, node: Node | None, span: Span) -> str:
    wanted = [_IN_SPAN] if span != Span() else []  # named, it would tempt the planner to read all in the order of time
    wanted += [] if node is None else [_MATCH]
    return f"SELECT {column} FROM search_entries {'WHERE ' if wanted else ''}{' AND '.join(wanted)} LIMIT :limit"


def _places(rows: Anything) -> list[Place]:
    return [(row.moment, row.document_id) for row in rows]


def _given(conn: Connection, node: Node | None, span: Span) -> dict[str, Anything]:
    given: dict[str, Anything] = dict(zip(("lower", "lower_id", "upper", "upper_id"), (*span.lower, *span.upper), strict=True))
    return given if node is None else {**given, "match": tsquery(conn, node)}


# ---- the language of tsquery ---------------------------------------------------------------------------------------------------

_STEMS = text("""SELECT stemmer, word,
coalesce((ts_lexize(CAST('pg_catalog.' || stemmer || '_stem' AS regdictionary), word))[1], word) AS stem
FROM search_stemmers, unnest(CAST(:words AS text[])) AS held (word) ORDER BY stemmer""")

Stems = dict[str, dict[str, str]]  # stemmer → word → stem


def tsquery(conn: Connection, node: Node) -> str:
    """A tsquery. A phrase is looked for as it is, and in documents of a language with a stemmer by its stems in that language."""
    words = sorted({word for phrase in _phrases(node) for word in phrase.words})
    stems: Stems = {}
    for row in conn.execute(_STEMS, {"words": words}) if words else ():
        stems.setdefault(row.stemmer, {})[row.word] = row.stem
    return _tsquery(node, stems)


def _phrases(node: Node) -> Iterator[Words]:
    if isinstance(node, Words):
        yield node
    elif isinstance(node, Not):
        yield from _phrases(node.node)
    elif isinstance(node, All | Any):
        for child in node.nodes:
            yield from _phrases(child)


def _tsquery(node: Node, stems: Stems) -> str:
    match node:
        case Words():
            return _variants(node, stems)
        case Facet():
            return _lexeme(facet(node.name, node.value))
        case Not():
            return f"({_lexeme(ALL)} & !{_tsquery(node.node, stems)})"
        case Any():
            return f"({' | '.join(_tsquery(child, stems) for child in node.nodes)})"
        case All():
            return f"({' & '.join(_tsquery(child, stems) for child in node.nodes)})"


def _variants(node: Words, stems: Stems) -> str:
    by_stems: dict[tuple[str, ...], list[str]] = {}
    for stemmer, stem in stems.items():
        by_stems.setdefault(tuple(stem[word] for word in node.words), []).append(stemmer)
    by_stems.pop(node.words, None)
    said = [_phrase(node, node.words)]
    for words, stemmers in by_stems.items():
        languages = " | ".join(_lexeme(facet("stemmer", stemmer)) for stemmer in stemmers)
        said.append(f"({_phrase(node, words)} & ({languages}))")
    return f"({' | '.join(said)})"


def _phrase(node: Words, words: tuple[str, ...]) -> str:
    weights = {"": "", "title": "A", "lead": "AB"}[node.part]
    said = [f"{_lexeme(word)}{f':{weights}' if weights else ''}" for word in words]
    if node.prefix:
        said[-1] = f"{_lexeme(words[-1])}:*{weights}"
    return f"({' <-> '.join(said)})"


def _lexeme(word: str) -> str:
    return "'" + word.replace("\\", "\\\\").replace("'", "''") + "'"
