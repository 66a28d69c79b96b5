"""`newsmill.open`: what a notebook reads, and that `open` changes nothing."""

from __future__ import annotations

import hashlib
import pickle
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from math import nan
from pathlib import Path
from typing import Any

import pytest
import services
from lxml import html
from rows import FULL, HOST, NOON, SOURCE, Mill, after, document_of, good
from site_of_tests import open_door, served
from sqlalchemy import text

import newsmill
from newsmill.client import local as module
from newsmill.client.corpus import Corpus, FacetCount, QueryCheck
from newsmill.exceptions import ConfigError, CursorError, NewsmillError, SchemaError, UrlError
from newsmill.model import Document, Link, Outcome, State
from newsmill.storage import copy_groups, database, schema_version
from newsmill.storage.ledger import Ledger
from newsmill.web.config import WebConfig

DOCUMENTS = [
    document_of(f"https://{HOST}/a", title="The harbour opens"),
    document_of(f"https://{HOST}/b", title="The harbour shuts"),
    document_of(f"https://{HOST}/c", title="Weather", source=None),
]


def fill(url: str, *documents: Document, now: datetime = NOON) -> None:
    """Documents into a database, through the ledger."""
    engine = database.connect(url)
    schema_version.upgrade(engine)
    mill = Mill(Ledger(engine), now=now)
    mill.ledger.sources.put(SOURCE, now=mill.now)
    claims = {claim.url: claim for claim in mill.fetch(*(Link(one.url, source=one.source) for one in documents))}
    mill.store(*(good(claims[one.url], replace(one, archive_ref=None)) for one in documents))
    engine.dispose()


@pytest.fixture(scope="module")
def postgres(postgres_url: str) -> str:
    url = services.make_database(postgres_url, "newsmill_corpus")
    fill(url, *DOCUMENTS)
    return url


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An SQLite file with the documents, to be copied."""
    file = tmp_path_factory.mktemp("corpus") / "newsmill.sqlite"
    fill(f"sqlite:///{file}", *DOCUMENTS)
    return file


@pytest.fixture
def file(template: Path, tmp_path: Path) -> Path:
    return Path(shutil.copy(template, tmp_path))


@pytest.fixture(params=["folder", "postgres", "http"])
def where(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Any]:
    """The arguments of `newsmill.open`."""
    if request.param == "postgres":
        yield {"where": request.getfixturevalue("postgres")}
        return
    file = request.getfixturevalue("file")
    if request.param == "http":
        door = open_door(tmp_path, WebConfig())
        with served(door) as url:
            yield {"where": f"{url}/", "token": door.reader_token}
        door.close()
        return
    yield {"where": {"folder": tmp_path, "file": str(file), "sqlite": f"sqlite:///{file}"}[request.param]}


def test_reading(where: Any) -> None:
    with newsmill.open(**where) as corpus:
        assert {document.title for document in corpus.documents()} == {document.title for document in DOCUMENTS}
        assert {document.title for document in corpus.documents("harbour -shuts")} == {"The harbour opens"}
        assert list(corpus.documents(since=after(days=1))) == []
        both = corpus.sample(2, seed=7)
        assert len({one.id for one in both}) == 2 and corpus.sample(1, seed=7) == both[:1], "a smaller sample is the start of a larger one"
        assert len(corpus.sample(9)) == 3 and {one.title for one in corpus.sample(9, "harbour opens")} == {"The harbour opens"}
        (hit,) = corpus.search("opens")
        assert (hit.title, hit.authors, hit.published_at) == ("The harbour opens", FULL.authors, FULL.published_at)
        assert len(corpus.search("harbour", limit=1)) == 1
        assert corpus.check_query("harbour") == QueryCheck((), None)
        assert corpus.check_query("harbuor") == QueryCheck((), "harbour")
        (note,) = corpus.check_query("harbour after:noon").notes
        assert note.startswith("after:noon is not a date; write after:2026-01-31")
        facets = corpus.facets("harbour", limit=1)
        assert (facets.counted, facets.is_complete) == (2, True)
        assert FacetCount("source", "paper", 2, "source:paper") in facets.counts
        bars = corpus.timeline("harbour", since=datetime(2026, 11, 1, tzinfo=UTC), step="week")
        assert sum(bar.n or 0 for bar in bars) == 2 and {bar.share for bar in bars} == {0.0, 2 / 3}
        assert corpus.timeline("harbour after:2026-11-01", step="day")[0].start == datetime(2026, 11, 1, tzinfo=UTC)
        bar = corpus.timeline("harbour", since=datetime(2026, 11, 1, tzinfo=timezone(timedelta(hours=2))))[0]
        assert bar.start.isoformat() == "2026-10-31T22:00:00+00:00"
        found = corpus.document(hit.id)
        assert found is not None and found == corpus.document(f"{hit.url}?utm_source=x")
        assert (found.text, found.authors) == (FULL.text, FULL.authors)
        odd = ("\0", "\udcff", "https://nowhere.example/\0", "https://nowhere.example/\udcff")  # no database takes these characters
        assert (corpus.marks(odd), corpus.mark(odd, starred=True)) == ({}, 0)
        assert (corpus.search("\udcff harbour -opens")[0].title, corpus.outcome(odd[3])) == ("The harbour shuts", None)
        for unknown in ("https://nowhere.example/", "ftp://nowhere.example/", "https://", "x" * 100, *odd):
            assert corpus.document(unknown) is None and corpus.near_duplicates(unknown) == []
        assert corpus.near_duplicates(hit.id) == []
        assert [(source.name, source.documents, source.enabled) for source in corpus.sources()] == [("paper", 2, True)]
        changes = list(corpus.stream(since=datetime(2026, 1, 1, tzinfo=UTC), wait=0))
        assert len(changes) == 3
        assert [change.document.id for change in corpus.stream(since=changes[0].cursor, wait=0)] == [c.document.id for c in changes[1:]]
        assert list(corpus.stream(wait=0)) == []


def test_the_outcome_of_a_url(where: Any) -> None:
    with newsmill.open(**where) as corpus:
        outcome = corpus.outcome(f"https://www.{HOST}/a?utm_source=x")
        assert outcome is not None
        assert (outcome.url, outcome.state, outcome.outcome) == (f"https://{HOST}/a", State.DONE, Outcome.STORED)
        assert outcome.document_id == DOCUMENTS[0].id
        pending = corpus.outcome("https://paper.example/rss")
        assert pending is not None
        assert (pending.state, pending.outcome, pending.document_id) == (State.PROCESSING, None, None)
        assert corpus.outcome("https://nowhere.example/") is None
        assert corpus.outcome("no URL") is None


def test_a_source_is_added_to_a_store(tmp_path: Path) -> None:
    fill(f"sqlite:///{tmp_path / 'newsmill.sqlite'}", *DOCUMENTS)
    with newsmill.open(tmp_path) as corpus:
        added = corpus.add_source({"homepage": "https://www.gazette.example/", "every": "30m"})
        assert (added.name, added.documents, added.enabled) == ("gazette-example", 0, True)
        assert added in corpus.sources()
        for table, name, words in (
            ({"homepage": "https://gazette.example/"}, None, "source 'gazette-example' exists already"),
            ({"homepage": "https://www.gazette.example/"}, "second", "source 'gazette-example' follows a URL of 'second' already"),
            ({"homepage": "https://x.example/", "evry": "1h"}, None, "evry"),
            ({"homepage": "x"}, None, "homepage: not a URL"),
            ({"feeds": ["https://x.example/rss"]}, None, "expected a name"),
        ):
            with pytest.raises(ConfigError, match=words):
                corpus.add_source(table, name=name)
        with pytest.raises(UrlError, match="not a URL"):
            corpus.inspect_site("no URL")
        with pytest.raises(NewsmillError, match="not a URL"):
            corpus.inspect_site("no URL")


def test_near_duplicates_and_copies(tmp_path: Path) -> None:
    shared_text = " ".join(f"harbour {n} ferry {n * n}" for n in range(60))
    made = [
        document_of(f"https://{HOST}/{name}", text=f"{name} {shared_text}", title=name, published_at=NOON - timedelta(hours=2 - number))
        for number, name in enumerate(("a", "b"))
    ]
    fill(f"sqlite:///{tmp_path / 'newsmill.sqlite'}", *made)
    copy_groups.catch_up(database.connect(f"sqlite:///{tmp_path / 'newsmill.sqlite'}"))
    door = open_door(tmp_path, WebConfig())
    with served(door) as url:
        for place, token in ((tmp_path, None), (url, door.reader_token)):
            with newsmill.open(place, token=token) as corpus:
                (found,) = corpus.near_duplicates(f"https://{HOST}/a?utm_source=x")
                assert [found] == corpus.near_duplicates(made[0].id, least=0.9, limit=1)
                assert (found.id, found.title, found.first_seen_at) == (made[1].id, "b", NOON) and 0.9 < found.similarity < 1
                assert corpus.near_duplicates(made[0].id, least=1) == []
                group = corpus.copies(made[1].id)
                assert group is not None and (group.duplicate_of, group.total, group.wire_agency) == (made[0].id, 2, None)
                assert [(one.title, one.words_added, one.words_removed) for one in group.documents] == [("a", 0, 0), ("b", 1, 1)]
                assert corpus.copies("0" * 32) is None
                (only,) = corpus.search("harbour", fold=True)
                assert (only.title, only.copies) == ("a", 1) and len(corpus.search("harbour")) == 2
                assert [one.title for one in corpus.documents("harbour", fold=True)] == ["a"] and len(list(corpus.documents())) == 2
                assert [one.title for one in corpus.documents(fold=True)] == ["a"]
                assert corpus.facets("harbour", fold=True).counted == 1 and corpus.facets("harbour").counted == 2
                assert sum(bar.n or 0 for bar in corpus.timeline("harbour", since=NOON - timedelta(days=9), fold=True)) == 1
    door.close()


def test_revisions(tmp_path: Path) -> None:
    made = document_of(f"https://{HOST}/a", text="The ferry runs in May.")
    fill(f"sqlite:///{tmp_path / 'newsmill.sqlite'}", made)
    engine = database.connect(f"sqlite:///{tmp_path / 'newsmill.sqlite'}")
    mill = Mill(Ledger(engine), segments=1)
    for words in ("The ferry runs in June.", "The ferry runs in June, and in July."):
        mill.ledger.links.add([Link(made.url)], now=mill.now, again=True)
        (claim,) = mill.claim(mill.save(mill.lease()))
        mill.store(good(claim, document_of(made.url, text=words, archive_ref=None)))
    engine.dispose()
    door = open_door(tmp_path, WebConfig())
    results = []
    with served(door) as url:
        for place, token in ((tmp_path, None), (url, door.reader_token)):
            with newsmill.open(place, token=token) as corpus:
                listed = corpus.revisions(f"{made.url}?utm_source=x")
                assert corpus.revisions(made.id) == listed
                assert [corpus.revision(made.id, 4), corpus.revision("0" * 32, 1), corpus.revision("", 1)] == [None] * 3
                assert corpus.revisions("0" * 32) == corpus.revisions("") == corpus.revisions("https://nowhere.example/") == []
                results.append((listed, [corpus.revision(made.id, one.revision) for one in listed]))
    door.close()
    assert results[0] == results[1]
    listed, contents = results[0]
    numbers = [(one.revision, one.previous, one.words_added, one.words_removed) for one in listed]
    assert numbers == [(3, 2, 3, 0), (2, 1, 1, 1), (1, None, 0, 0)]
    assert [one.text for one in contents if one is not None][1:] == ["The ferry runs in June.", "The ferry runs in May."]


@pytest.mark.usefixtures("file")
def test_a_frame(tmp_path: Path) -> None:
    frame = newsmill.open(tmp_path).frame("harbour")
    assert sorted(frame["title"]) == ["The harbour opens", "The harbour shuts"]
    assert str(frame["published_at"].dtype).endswith("UTC]")
    assert frame["modified_at"].isna().all()
    types = {"title": "string", "word_count": "Int64", "is_free": "boolean", "doubtful": "boolean", "confidence": "float64"}
    for one in (frame, newsmill.open(tmp_path).frame("nothing like it")):
        assert {name: str(one[name].dtype) for name in types} == types
    assert frame["authors"][0] == ["Ann", "Agency"]
    assert "text" in frame and "blocks" not in frame
    assert list(newsmill.open(tmp_path).frame("nothing like it").columns) == list(frame.columns)
    assert len(newsmill.open(tmp_path).frame(limit=2)) == 2


def test_a_frame_can_be_written_to_parquet_and_feather(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    documents = [FULL, replace(FULL, images=(), live_updates=(), rights={}, warnings=(), tags=(), authors=())]
    corpus = newsmill.open("http://127.0.0.1:9")
    monkeypatch.setattr(corpus, "documents", lambda *_, **__: iter(documents))
    frame = corpus.frame()
    assert frame["rights"][0] == [{"key": key, "value": value} for key, value in FULL.rights.items()] and frame["rights"][1] == []
    for one in (frame, frame[1:].reset_index(drop=True)):
        one.to_parquet(tmp_path / "a.parquet")
        one.to_feather(tmp_path / "a.feather")


@pytest.mark.usefixtures("file")
def test_documents_and_results_are_readable_in_a_shell_and_harmless_in_a_notebook(tmp_path: Path) -> None:
    (hit,) = newsmill.open(tmp_path).search("opens")
    document = newsmill.open(tmp_path).document(hit.id)
    assert document is not None
    for one in (hit, document):
        assert repr(one).startswith(f"<{type(one).__name__} 'The harbour opens', 2026-11-24, paper, ") and len(repr(one)) < 200
        assert "The harbour opens" in one._repr_html_() and "Ann, Agency" in one._repr_html_()
    hostile = replace(document, title='<script>"', url="javascript:alert(1)", text="</p><img src=x onerror=alert(1)>", source="<b>")
    shown = html.fromstring(hostile._repr_html_())
    assert {element.tag for element in shown.iter()} == {"div", "strong", "br", "small", "p"}
    assert replace(hostile, url='https://x/"onclick="y')._repr_html_().count('"onclick') == 0


def state(folder: Path) -> dict[str, str]:
    """Every file but the two that SQLite makes beside one that is being read, and which hold nothing."""
    files = [path for path in folder.iterdir() if not path.name.endswith("-shm")]
    assert not [path for path in files if path.name.endswith("-wal") and path.stat().st_size]
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in files if not path.name.endswith("-wal")}


@pytest.mark.parametrize("where", ["folder", "file", "sqlite", "postgres"], indirect=True)
def test_opening_writes_nothing(where: Any, tmp_path: Path) -> None:
    before = state(tmp_path)
    corpus = newsmill.open(**where)
    assert isinstance(corpus, module.LocalCorpus)
    list(corpus.documents())
    with pytest.raises(Exception, match=r"readonly|read-only"), corpus._engine.begin() as conn:
        conn.execute(text("DELETE FROM documents"))
    assert state(tmp_path) == before
    assert len(list(corpus.documents())) == 3
    corpus.close()


def test_another_schema_is_not_upgraded(tmp_path: Path) -> None:
    path = tmp_path / "newsmill.sqlite"
    engine = database.connect(f"sqlite:///{path}")
    schema_version.upgrade(engine)
    with engine.begin() as conn:
        conn.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    engine.dispose()
    before = state(tmp_path)
    with pytest.raises(SchemaError, match=r"which this program .* does not know"):
        newsmill.open(tmp_path)
    assert state(tmp_path) == before


@pytest.mark.usefixtures("file")
def test_a_file_in_a_folder_that_takes_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "is_writable", lambda path: False)
    corpus = newsmill.open(tmp_path)
    assert len(list(corpus.documents())) == 3
    assert [path.name for path in tmp_path.iterdir()] == ["newsmill.sqlite"]


@pytest.mark.parametrize(
    ("place", "error", "sentence"),
    [
        ("nowhere", NewsmillError, "nowhere has no Newsmill database; expected a data folder"),
        ("sqlite:///nowhere/x.db", NewsmillError, "does not exist"),
        ("mysql://host/x", ConfigError, "cannot read mysql"),
        ("s3://bucket/x", ConfigError, "cannot read s3"),
        ("https://user:secret@host", ConfigError, "its token apart from the URL"),
        ("https://", ConfigError, "expected https://host"),
    ],
)
def test_what_cannot_be_opened(place: str, error: type[Exception], sentence: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(error, match=sentence) as found:
        newsmill.open(place)
    assert "secret" not in str(found.value)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("file")
def test_without_a_place_it_is_the_commands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NEWSMILL_DATA", str(tmp_path))
    assert len(list(newsmill.open().documents())) == 3
    with pytest.raises(ConfigError, match="token= belongs to the http"):
        newsmill.open(token="x")


def test_importing_stays_light() -> None:
    heavy = "{'sqlalchemy', 'pydantic', 'scrapy', 'redis', 'rq', 'lxml', 'trafilatura', 'pandas', 'pyarrow', 'fsspec', 'typer'}"
    code = f"import sys, newsmill; assert callable(newsmill.open); print(sorted({heavy} & set(sys.modules)))"
    code += f"; newsmill.open('https://news.example'); print(sorted(({heavy} - {{'pydantic'}}) & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split("\n") == ["[]", "[]", ""]


def test_a_stream_waits_for_what_comes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    url = f"sqlite:///{tmp_path / 'newsmill.sqlite'}"
    fill(url, *DOCUMENTS)
    corpus: Corpus = newsmill.open(tmp_path)
    slept: list[float] = []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        if len(slept) == 1:
            fill(url, document_of(f"https://{HOST}/new", title="New"), now=datetime.now(UTC))

    monkeypatch.setattr(module.time, "sleep", sleep)
    assert next(corpus.stream()).document.title == "New"
    assert slept == [module.POLL_SECONDS]


def test_a_corpus_may_be_given_to_another_process(where: Any) -> None:
    with newsmill.open(**where) as corpus, pickle.loads(pickle.dumps(corpus)) as copy:
        assert copy.search("harbour") == corpus.search("harbour")


FORKED = """
import multiprocessing, sys, newsmill
corpus = newsmill.open(sys.argv[1], token=sys.argv[2] or None)
ids = [document.id for document in corpus.documents()]
def read(id):
    return corpus.document(id)
with multiprocessing.get_context("fork").Pool(4) as pool:
    found = pool.map(read, ids * 20, chunksize=1)
print([document.id for document in found] == ids * 20, corpus.document(ids[0]).id == ids[0])
"""


def test_forked_processes_share_a_corpus(where: Any) -> None:
    """The pool of multiprocessing forks by default on Linux before Python 3.14."""
    arguments = (str(where["where"]), where.get("token", ""))
    done = subprocess.run([sys.executable, "-c", FORKED, *arguments], capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout == "True True\n", done.stderr[-2000:]


def test_bad_arguments_are_refused(where: Any) -> None:
    """Also by a server: the same errors as from a store."""
    with newsmill.open(**where) as corpus:
        for refused in (
            lambda: corpus.search("harbour", order="oldest"),  # type: ignore[arg-type]
            lambda: corpus.timeline("harbour", step="decade"),  # type: ignore[arg-type]
            lambda: corpus.timeline("harbour", since=datetime(2026, 1, 1)),  # noqa: DTZ001
            lambda: list(corpus.stream(since=datetime(2026, 1, 1), wait=0)),  # noqa: DTZ001
            lambda: list(corpus.documents("harbour", since=datetime(2026, 1, 1))),  # noqa: DTZ001
            lambda: corpus.marks(DOCUMENTS[0].id),
            lambda: corpus.mark(DOCUMENTS[0].id, starred=True),
            lambda: corpus.mark([DOCUMENTS[0].id], add_tags="coast"),
            lambda: corpus.marks(map(str, range(201))),
            lambda: corpus.timeline("harbour", since="2026-01-01"),  # type: ignore[arg-type]
            lambda: list(corpus.documents(since="2026-01-01")),
            lambda: corpus.search("harbour", limit=0),
            lambda: corpus.near_duplicates(DOCUMENTS[0].id, least=7),
            lambda: corpus.frame(limit=-1),
            lambda: corpus.mark([DOCUMENTS[0]], starred=True),  # type: ignore[list-item]
            lambda: corpus.marks([None]),  # type: ignore[list-item]
            lambda: corpus.search("harbour", limit="5"),  # type: ignore[arg-type]
            lambda: corpus.search("harbour", limit=2.5),  # type: ignore[arg-type]
            lambda: corpus.near_duplicates(DOCUMENTS[0].id, least=nan),
            lambda: list(corpus.stream(wait="1")),  # type: ignore[arg-type]
            lambda: corpus.mark([DOCUMENTS[0].id], note=5),  # type: ignore[arg-type]
            lambda: corpus.add_source("https://www.example.org/"),  # type: ignore[arg-type]
            lambda: corpus.add_source({"homepage": "https://www.example.org/"}, name=5),  # type: ignore[arg-type]
        ):
            with pytest.raises(ConfigError):
                refused()
        texts: tuple[Callable[[Any], Any], ...] = (
            *(corpus.documents, corpus.search, corpus.check_query, corpus.facets, corpus.timeline, corpus.frame),
            *(corpus.document, corpus.near_duplicates, corpus.revisions, corpus.outcome, corpus.inspect_site),
        )
        for call in texts:
            for value in (None, nan, 5, b"harbour"):
                with pytest.raises(ConfigError, match="expects a string"):
                    call(value)
        assert (corpus.document(""), corpus.mark([], starred=True)) == (None, 0)
        for cursor in ("zzz", "WyJ4Il0", ""):
            with pytest.raises(CursorError):
                list(corpus.stream(since=cursor, wait=0))
            with pytest.raises(CursorError):
                list(corpus.documents(since=cursor))


def test_the_types_of_a_corpus_have_public_names(tmp_path: Path) -> None:
    assert {name for name in newsmill.__all__ if getattr(newsmill, name) is None} == set()
    assert newsmill.Corpus.__name__ == "Corpus"
    assert {*newsmill.__all__, "exceptions", "model"} <= set(dir(newsmill))
    assert not [name for name in dir(newsmill) if not hasattr(newsmill, name) or name == "annotations"]
    with pytest.raises(AttributeError, match="has no attribute 'Corpse'"):
        newsmill.Corpse  # noqa: B018
    with pytest.raises(NewsmillError, match=r"nowhere\.sqlite does not exist; expected"):
        newsmill.open(f"sqlite:///{tmp_path / 'nowhere.sqlite'}")
    with pytest.raises(ConfigError, match="one string"):
        newsmill.submit("https://paper.example/a", where=tmp_path / "data")
    assert not (tmp_path / "data").exists()
