"""`--as-of` and `newsmill cite`: what was exported once is exported again, whatever happened since."""

from __future__ import annotations

import json
import shutil
from datetime import datetime
from hashlib import sha256
from pathlib import Path

import pytest
from command_result import Newsmill
from rows import SITE, SOURCE, Mill, after, document_of, good, links
from sqlalchemy import Engine

import newsmill as newsmill_package
from newsmill.exceptions import ConfigError
from newsmill.exports.citation import COVERED, Citation
from newsmill.search import indexer
from newsmill.storage import database, past_documents
from newsmill.storage.frozen_stores import format_time
from newsmill.storage.ledger import Ledger

TOPICS = ("harbour", "bridge", "election")


@pytest.fixture
def data(tmp_path: Path, sqlite_template: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A store of three articles, one of which is edited, one of which is taken down by the tests."""
    monkeypatch.setenv("NEWSMILL_DATA", str(tmp_path))
    monkeypatch.setenv("COLUMNS", "200")
    shutil.copy(sqlite_template, tmp_path / "newsmill.sqlite")
    publish(tmp_path, 0, *TOPICS)
    return tmp_path


def publish(data: Path, hours: int, *topics: str) -> None:
    engine = database.connect(f"sqlite:///{data / 'newsmill.sqlite'}")
    mill = Mill(Ledger(engine), now=after(hours=hours))
    mill.ledger.sources.put(SOURCE, now=mill.now)
    mill.lease()
    mill.ledger.links.add(links(len(topics)), now=mill.now, again=True)
    results = []
    for claim in mill.claim(mill.save(mill.lease())):
        number = int(claim.url.rpartition("/")[2])
        text = f"{topics[number]} news of hour {hours}. " + " ".join(topics[number] + str(n) for n in range(40))
        seen = {"first_seen_at": after(minutes=number), "title": f"The {topics[number]}"}
        results.append(good(claim, document_of(claim.url, text=text, archive_ref=None, **seen)))
    mill.store(*results)
    while indexer.index_pending(engine):
        pass
    engine.dispose()


T0 = format_time(after(hours=0))
CITED = f'Newsmill corpus; query "%s"; as of {T0}; %s documents of 1 source; SHA-256 {"0" * 64}; newsmill 1; extractors x'
FORMATS = ("jsonl", "csv", "xlsx", "parquet", "jsonld", "words")


def export_all(newsmill: Newsmill, folder: Path, *options: str) -> dict[str, bytes]:
    found = {}
    for name in FORMATS:
        assert newsmill("export", "--format", name, "-o", str(folder / name), *options).code == 0
        found[name] = (folder / name).read_bytes()
    return found


def test_an_export_of_a_past_time_stays_the_same(newsmill: Newsmill, data: Path, tmp_path: Path) -> None:
    today = newsmill("export").out
    cited = newsmill("cite").out.strip()
    before = export_all(newsmill, tmp_path, "--as-of", T0)
    searched = newsmill("export", "--as-of", T0, "bridge", "OR", "election", "--include", "duplicate_of").out
    assert before["jsonl"].decode() == today
    assert Citation.parse(cited).at == after(hours=0) and "; 3 documents of 1 site; " in cited
    publish(data, 5, "ferry", "bridge", "museum")
    shutil.rmtree(data / "past")  # it is only a cache
    assert newsmill("export").out != today
    assert export_all(newsmill, tmp_path, "--as-of", T0) == before
    assert newsmill("export", "--as-of", T0, "bridge", "OR", "election", "--include", "duplicate_of").out == searched
    assert newsmill("export", "museum").lines and not newsmill("export", "--as-of", T0, "museum").lines
    assert newsmill("export", "--as-of", T0, "--to", str(tmp_path / "folder")).code == 0
    manifest = json.loads((tmp_path / "folder" / "manifest.json").read_text())
    assert (manifest["documents"], manifest["taken_down"], manifest["completeness"]) == (3, [], {})
    assert newsmill("cite", "--verify", cited.replace("; ", ";\n  ")).err == "the corpus is as cited\n"  # broken by a page
    assert newsmill("cite", "--verify", cited.replace("1 site", "5 sources")).code == 0  # as an older program counts
    takedown = newsmill("takedowns", "add", f"{SITE}/1", "--reason", "a letter", "--yes")
    assert takedown.code == 0 and not list((data / "past").glob("*"))
    after_it = newsmill("export", "--as-of", T0)
    assert after_it.out == "".join(line for line in today.splitlines(keepends=True) if "bridge" not in line)
    assert "1 document of that time taken down since:" in after_it.err and "(a letter)" in after_it.err
    failed = newsmill("cite", "--verify", cited)
    assert failed.code == 1 and "documents: 3 cited, 2 found" in failed.out


def test_a_citation_can_be_computed_without_newsmill(newsmill: Newsmill, data: Path) -> None:
    citation = Citation.parse(newsmill("cite", "--as-of", T0, 'title:"the harbour"', "OR", "election").out)
    found = newsmill("export", "harbour OR election").lines
    rows = [json.dumps([one[name] for name in COVERED], ensure_ascii=False, separators=(",", ":")) for one in found]
    lines = [f"{sha256(row.encode()).hexdigest()}\n" for row in rows]
    assert citation.digest == sha256("".join(sorted(lines)).encode()).hexdigest()
    assert (citation.query, citation.documents, citation.sites) == ('title:"the harbour" OR election', 2, 1)
    for query in ("nothing", "می\u200cخواهم", "harbour\u00a0OR \u202eferry"):  # no match; characters that terminals and pages lose
        cited = newsmill("cite", "--as-of", T0, query).out
        assert Citation.parse(cited).query == query and newsmill("cite", "--verify", cited).code == 0


def test_a_citation_of_today_is_the_one_of_that_time(newsmill: Newsmill, data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without --as-of, the store is searched as it is. If something is stored meanwhile, the store of that time is made."""
    publish(data, 1, "harbour")
    for query in ("harbour OR election", "news", "nothing"):
        cited = newsmill("cite", query).out
        assert not (data / "past").exists()
        at = format_time(Citation.parse(cited).at)
        assert newsmill("cite", "--as-of", at, query).out == cited and newsmill("cite", "--verify", cited).code == 0
        shutil.rmtree(data / "past")
    settle, calls = past_documents.settle, []

    def settle_late(engine: Engine, at: datetime | None, *, now: datetime) -> datetime:
        settled = settle(engine, at, now=now)
        if not calls:
            publish(data, 2, "harbour", "bridge", "election")
        calls.append(settled)
        return settled

    monkeypatch.setattr(past_documents, "settle", settle_late)
    cited = newsmill("cite", "harbour").out
    assert len(calls) == 2 and Citation.parse(cited).at == calls[1] and (data / "past").exists()


def test_a_corpus_of_the_past(data: Path) -> None:
    with newsmill_package.open(data) as corpus:
        expected, hits = list(corpus.documents()), corpus.search("bridge OR election")
        publish(data, 5, "ferry", "bridge", "museum")
        with corpus.as_of(after(hours=0)) as past:
            assert sorted(past.documents(), key=lambda one: one.id) == sorted(expected, key=lambda one: one.id)
            assert past.search("bridge OR election") == hits and not past.search("museum")
            assert past.document(f"{SITE}/1") == next(one for one in expected if one.url == f"{SITE}/1")
            assert past.taken_down == {} and past.facets("harbour").counted == 1
            stories = (past.stories, lambda: past.story(1), lambda: past.story_of(f"{SITE}/1"))
            for refused in (
                *stories, lambda: past.mark([]), lambda: past.changes(), lambda: past.search("after:7d"), lambda: past.as_of(after())
            ):  # fmt: skip
                with pytest.raises(ConfigError):
                    refused()
        with corpus.as_of(after(hours=50)) as past:  # after the last change, before now
            assert len(list(past.documents())) == 3


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("export", "--as-of", "yesterday"), "'yesterday' is not a time; write 2026-11-30 or"),
        (("export", "--as-of", "2026-11-30T12:00"), "has no time zone"),
        (("export", "--as-of", "2999-01-01"), "is in the future"),
        (("cite", "--as-of", "1999-01-01"), "had no document at 1999-01-01T00:00:00+00:00; its past begins at 2026-"),
        (("export", "--as-of", T0, "--user", "ann"), "--user does not work with --as-of"),
        (("cite", "after:7d"), "cannot have a date that depends on today"),
        (("cite", "--verify", "Newsmill corpus; query"), "the line is not a citation"),
        (("cite", "--verify", CITED % ("\\q", "3")), "the line is not a citation"),
        (("cite", "--verify", CITED % ("", ",")), "the line is not a citation"),
        (("cite", "--verify", CITED % ("\\ud800", "3")), "0 found"),
        (("cite", "--verify", (CITED % ("", "3")).replace("SHA-256 ", "SHA-256/3 ")), "a digest of version 3; install newsmill 1,"),
        (("cite", "--as-of", "0001-01-01T00:00+05:00"), "is not a time"),
        (("cite", "--verify", "x", "harbour"), "--verify takes query and time from its line"),
    ],
)
def test_messages(newsmill: Newsmill, data: Path, arguments: tuple[str, ...], message: str) -> None:
    result = newsmill(*arguments)
    assert result.code != 0 and message in " ".join((result.err + result.out).split())
