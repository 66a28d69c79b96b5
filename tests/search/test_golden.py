"""Golden queries: precision and recall over articles in seven languages, on both databases. Run with -s to see the figures."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from articles import article, store
from sqlalchemy import Engine

from newsmill.model import Document
from newsmill.search.search import Search
from newsmill.search.tokens import tokenize

FOLDER = Path(__file__).parent / "golden"
NEWSPAPER = Path(__file__).parents[1] / "newspaper"
MIN_PRECISION_AT_20 = MIN_RECALL = 0.95


@dataclass(frozen=True)
class Golden:
    """One query, and what it must find."""

    query: str
    languages: tuple[str, ...]
    words: Sequence[Sequence[str]]
    phrase: Sequence[str]
    without: Sequence[str]
    must_not: Sequence[str]

    def matches(self, document: Document) -> bool:
        text = tokenize(f"{document.title}\n{document.text}")
        if self.phrase:
            size = len(self.phrase)
            return any(text[at : at + size] == list(self.phrase) for at in range(len(text)))
        words = self.words if document.language in self.languages else [group[:1] for group in self.words]
        return all(_holds(text, group) for group in words) and not _holds(text, self.without)


def _holds(text: Sequence[str], group: Sequence[str]) -> bool:
    return any(tokenize(word)[0] in text for word in group)


def read_queries() -> list[Golden]:
    tables: Mapping[str, Any] = tomllib.loads((FOLDER / "queries.toml").read_text(encoding="utf-8"))
    return [
        Golden(
            item["q"],
            (table["language"], item.get("language_too", "")),
            item.get("words", ()),
            item.get("phrase", ()),
            item.get("without", ()),
            item.get("not", ()),
        )
        for table in tables.values()
        for item in table["queries"]
    ]


def read_documents() -> dict[str, Document]:
    """Articles by name."""
    made = tomllib.loads((FOLDER / "documents.toml").read_text(encoding="utf-8"))
    texts = [(name, name[:2], item["title"], item["text"]) for name, item in made.items()]
    expected = tomllib.loads((NEWSPAPER / "expected.toml").read_text(encoding="utf-8"))["articles"]
    for name, item in expected.items():
        texts.append((name, item["language"][:2], item["title"], (NEWSPAPER / "expected" / f"{name}.txt").read_text(encoding="utf-8")))
    return {name: article(number, text, title=title, language=language) for number, (name, language, title, text) in enumerate(texts)}


QUERIES = read_queries()


@pytest.fixture(scope="module")
def articles() -> dict[str, Document]:
    return read_documents()


def test_precision_and_recall(engine: Engine, articles: dict[str, Document]) -> None:
    names = {document.url: name for name, document in articles.items()}
    every = list(articles.values())
    for at in range(0, len(every), 8):
        store(engine, *every[at : at + 8])
    search, precisions, recalls = Search(engine), list[float](), list[float]()
    for golden in QUERIES:
        wanted = {name for name, document in articles.items() if golden.matches(document)}
        found = [names[hit.url] for hit in search.search(golden.query, limit=100, wait=True).hits]
        assert not set(found) & set(golden.must_not), golden.query
        first = found[:20]
        precisions.append(sum(name in wanted for name in first) / len(first) if first else 1.0)
        recalls.append(len(wanted & set(found)) / len(wanted) if wanted else 1.0)
        if set(found) != wanted:
            print(f"{golden.query}: not found {sorted(wanted - set(found))}, not wanted {sorted(set(found) - wanted)}")
        assert wanted, golden.query
    precision, recall = (sum(figures) / len(figures) for figures in (precisions, recalls))
    print(f"\n{engine.dialect.name}: {len(QUERIES)} queries, precision at 20 {precision:.3f}, recall {recall:.3f}")
    assert len(QUERIES) >= 60 and precision >= MIN_PRECISION_AT_20 and recall >= MIN_RECALL
