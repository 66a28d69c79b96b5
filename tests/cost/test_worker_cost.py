"""What a worker does for each new document, counted: SQL statements, function calls of the commit, splits into words, fingerprints."""

from __future__ import annotations

import cProfile
import random
from collections import Counter
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from types import CodeType
from typing import Any

import pytest
from cost.limits import find_excess
from sqlalchemy import event
from workers_world import WorkersWorld

from newsmill.context import build_context
from newsmill.queue.embedded_redis import EmbeddedRedis
from newsmill.sandbox.pages import Sandbox
from newsmill.settings import load
from newsmill.storage import database
from workers.jobs import extract_claimed_pages
from workers.process import WorkerContext

PAGES = 32  # two commits
COUNTED = {"tokenize": "splits into words", "split_words": "splits into words", "fingerprint": "fingerprints"}
SYLLABLES = ("ka", "mo", "ri", "ste", "la", "ndo", "per", "ti", "va", "lun")
WORDS = [first + second + third for first in SYLLABLES for second in SYLLABLES for third in SYLLABLES]


@pytest.fixture
def context(tmp_path: Path, url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[WorkerContext]:
    monkeypatch.setattr("workers.jobs.MAX_BATCH_TIME", timedelta(hours=1))  # a busy machine makes no batch smaller
    engine = database.connect(url)
    environ = {"DATABASE_URL": url, "ARCHIVE_URL": str(tmp_path / "archive"), "NEWSMILL_DATA": str(tmp_path)}
    with Sandbox() as sandbox:
        yield WorkerContext(build_context(engine, environ["ARCHIVE_URL"], settings=load(environ)), sandbox, "worker-1", 3600.0)
    engine.dispose()


def make_articles(seed: int) -> dict[str, str]:
    """Pages of one paper by URL: articles of eight paragraphs whose words differ."""
    chosen = random.Random(seed)

    def sentence(words: int) -> str:
        return " ".join(chosen.choices(WORDS, k=words)).capitalize() + "."

    pages = {}
    for number in range(PAGES):
        title = sentence(7).rstrip(".")
        text = "".join(f"<p>{' '.join(sentence(12) for _ in range(4))}</p>" for _ in range(8))
        published = f"2026-11-{number % 28 + 1:02}T08:{number:02}:{seed:02}Z"
        head = f'<title>{title}</title><meta property="article:published_time" content="{published}">'
        body = f"<h1>{title}</h1><p>By Anna Lindqvist</p>{text}"
        pages[f"https://paper.example/2026/{seed}/{number}/{title.lower().replace(' ', '-')}"] = (
            f'<html lang="en"><head>{head}</head><body><article>{body}</article><footer>Imprint</footer></body></html>'
        )
    return pages


def test_a_new_document_costs_no_more(context: WorkerContext, tmp_path: Path) -> None:
    app = context.app
    world = WorkersWorld(tmp_path, {}, app, EmbeddedRedis(tmp_path))
    for seed in (1, 2):  # loads what the first documents need, and compiles the statements of a store that has some
        extract_claimed_pages(context, world.fetch_all(make_articles(seed)))
    segment = world.fetch_all(make_articles(3))
    statements, profiler, store = Counter[str](), cProfile.Profile(), app.ledger.results.store

    def note(*call: Any) -> None:
        statements[call[2]] += 1

    def count(*given: Any, **named: Any) -> Any:
        event.listen(app.engine, "before_cursor_execute", note)
        try:
            return profiler.runcall(store, *given, **named)
        finally:
            event.remove(app.engine, "before_cursor_execute", note)

    app.ledger.results.store = count  # type: ignore[method-assign]
    extract_claimed_pages(context, segment)
    assert world.outcomes() == {"stored": 3 * PAGES}
    counted = Counter({"statements": statements.total()})
    for entry in profiler.getstats():
        counted["store calls"] += entry.callcount
        if isinstance(entry.code, CodeType) and entry.code.co_name in COUNTED:
            counted[COUNTED[entry.code.co_name]] += entry.callcount
    kind = app.engine.dialect.name
    costs = {f"{name}, {kind}": round(number / PAGES, 2) for name, number in counted.items()}
    print(*(f"{number:4} {words[:150]!r}" for words, number in statements.most_common()), sep="\n")
    assert find_excess(costs) == {}
