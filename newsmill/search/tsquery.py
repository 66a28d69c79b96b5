"""The language of tsquery."""

from __future__ import annotations

from collections.abc import Iterator

from sqlalchemy import Connection, text

from newsmill.search.entry import ALL, facet
from newsmill.search.query import All, Any, Facet, Mark, Node, Not, Words

_STEMS = text("""SELECT stemmer, word,
coalesce((ts_lexize(CAST('pg_catalog.' || stemmer || '_stem' AS regdictionary), word))[1], word) AS stem
FROM search_stemmers, unnest(CAST(:words AS text[])) AS held (word) ORDER BY stemmer""")

_WEIGHTS = {"": "", "title": ":A", "lead": ":AB"}

Stems = dict[str, dict[str, str]]  # stemmer → word → stem


def stems(conn: Connection, node: Node) -> Stems:
    """What the words of a query are in every language that documents are in."""
    words = sorted({word for phrase in _phrases(node) for word in phrase.words})
    found: Stems = {}
    for row in conn.execute(_STEMS, {"words": words}) if words else ():
        found.setdefault(row.stemmer, {})[row.word] = row.stem
    return found


def _phrases(node: Node) -> Iterator[Words]:
    if isinstance(node, Words):
        yield node
    elif isinstance(node, Not):
        yield from _phrases(node.node)
    elif isinstance(node, All | Any):
        for child in node.nodes:
            yield from _phrases(child)


def said(node: Node, stems: Stems) -> str:
    """A tsquery. A phrase is looked for as it is, and in documents of a language with a stemmer by its stems in that language."""
    match node:
        case Words():
            return _variants(node, stems)
        case Mark():
            return f"{_lexeme(node.word)}{_WEIGHTS[node.part]}"
        case Facet():
            return _lexeme(facet(node.name, node.value))
        case Not():
            return f"({_lexeme(ALL)} & !{said(node.node, stems)})"
        case Any():
            return f"({' | '.join(said(child, stems) for child in node.nodes)})"
        case All():
            return f"({' & '.join(said(child, stems) for child in node.nodes)})"


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
    weights = _WEIGHTS[node.part]
    said = [f"{_lexeme(word)}{weights}" for word in words]
    if node.prefix:
        said[-1] = f"{_lexeme(words[-1])}:*{weights.removeprefix(':')}"
    return f"({' <-> '.join(said)})"


def _lexeme(word: str) -> str:
    return "'" + word.replace("\\", "\\\\").replace("'", "''") + "'"
