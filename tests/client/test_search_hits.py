"""The result of `corpus.search`: used like a list, read page by page, shown in a shell and a notebook."""

from __future__ import annotations

import pickle
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from articles import article, store
from site_of_tests import RunningApp, open_door, served

import newsmill
from newsmill.client import http, local
from newsmill.client.search_hits import HitPage, SearchHits
from newsmill.exceptions import ServiceError
from newsmill.model import Story, StoryDetail
from newsmill.storage import database, schema_version
from newsmill.web.config import WebConfig


@pytest.fixture
def app(tmp_path: Path) -> Any:
    engine = database.connect(f"sqlite:///{tmp_path / 'newsmill.sqlite'}")
    schema_version.upgrade(engine)
    store(engine, *(article(n, "harbour", title=f"<b>Ship {n}</b>") for n in range(7)))
    engine.dispose()
    app = open_door(tmp_path, WebConfig())
    yield app
    app.close()


@pytest.mark.parametrize("is_remote", [False, True])
def test_matches_are_read_when_they_are_used(app: RunningApp, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_remote: bool) -> None:
    for module in (http, local):
        monkeypatch.setattr(module, "PAGE_HITS", 2)
    with served(app) as url, newsmill.open(url if is_remote else tmp_path, token=app.reader_token if is_remote else None) as corpus:
        hits = corpus.search("harbour", limit=None, order="newest")
        whole = [f"<b>Ship {n}</b>" for n in range(6, -1, -1)]
        assert (hits.total, hits[0].title, len(hits._read)) == (7, whole[0], 2), "one page is read"
        assert [hit.title for hit in hits[1:3]] == whole[1:3] and len(hits._read) == 4
        assert next(iter(hits)) == hits[0] and len(hits._read) == 4
        assert [hit.title for hit in hits] == whole and len(hits) == 7 and hits[-1].title == whole[-1]
        assert [hit.title for hit in corpus.search("harbour", limit=3, order="newest")] == whole[:3]
        assert [len(corpus.search("harbour", limit=limit)) for limit in (1, 2, 3, 7, 8)] == [1, 2, 3, 7, 7]
        assert hits == list(hits) == corpus.search("harbour", limit=9, order="newest") and hits != hits[1:]
        assert (bool(hits), bool(corpus.search("nosuchword")), corpus.search("nosuchword") == []) == (True, False, True)
        assert pickle.loads(pickle.dumps(hits)) == list(hits)


def test_a_page_that_cannot_be_read_is_read_again_later() -> None:
    answers = iter([HitPage((), "2", 9), ServiceError("the server does not answer"), HitPage((), "3"), HitPage((), None)])
    asked: list[str | None] = []

    def read_page(cursor: str | None) -> HitPage:
        asked.append(cursor)
        answer = next(answers)
        if isinstance(answer, Exception):
            raise answer
        return answer

    hits = SearchHits(read_page, None)
    with pytest.raises(ServiceError):
        len(hits)
    assert (len(hits), asked) == (0, [None, "2", "2", "3"])


def test_matches_in_a_shell_and_a_notebook(app: RunningApp, tmp_path: Path) -> None:
    with newsmill.open(tmp_path) as corpus:
        hits = corpus.search("harbour", limit=2, order="newest")
    assert repr(hits).splitlines()[0] == "<SearchHits 2 of 7 matches>" and len(repr(hits).splitlines()) == 3
    table = hits._repr_html_()
    assert table.startswith("<table><caption>2 of 7 matches</caption>") and table.count("<tr>") == 3
    assert 'rel="noopener noreferrer" target="_blank">&lt;b&gt;Ship 6&lt;/b&gt;</a>' in table and "<b>" not in table


def test_a_story_is_shown_on_one_line() -> None:
    story = Story(7, "The ship\nsails", datetime(2026, 11, 24, 9, tzinfo=UTC), datetime(2026, 11, 25, 9, tzinfo=UTC), 5, 4, 3)
    assert repr(story) == "<Story 'The ship sails', 2026-11-24 to 2026-11-25, 5 documents, 3 sources, id 7>"
    assert repr(StoryDetail(story, True, (), ())).endswith("5 documents, 3 sources, id 7, pinned>")
