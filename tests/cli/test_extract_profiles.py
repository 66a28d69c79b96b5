"""Site profiles of WARC files: the same whatever the order of files and pages, and the documents of `extract --learn`."""

from __future__ import annotations

import random
import sqlite3
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pyarrow.parquet
import pytest
from command_result import Newsmill
from warc_records import list_bytes, record

from newsmill import context, settings
from newsmill.batch import BatchOptions, FileCounts, collect_profile_pages, extract_file, learn_profiles, profile_learning
from newsmill.batch.profile_file import ProfileFile, write_profiles
from newsmill.cli import extract_pages
from newsmill.exceptions import ConfigError
from newsmill.model import PathStats, Profile

SITES, PAGES, MAX_LEARNED = ("gazette.example", "www.courier.example"), 24, 22


def make_story(host: str, number: int) -> bytes:
    chance = random.Random(f"{host} {number}")
    words = ["".join(chance.choices("abcdefghij", k=6)) for _ in range(240)]
    text = "".join(f"<p>{' '.join(words[at : at + 40]).capitalize()}.</p>" for at in range(0, 240, 40))
    links = "".join(f'<li><a href="/{word}">{word.title()} and more</a></li>' for word in words[:6])
    html = (
        f"<html><head><title>Story {words[0]}</title></head><body><div class=top><ul>{links}</ul></div><article><h1>Story {words[0]}</h1>"
        f"{text}<p>Have your say about this story in the reading room of {host}</p></article><div class=more><ul>{links}</ul></div></body>"
    )
    return record(f"https://{host}/news/story-{number}", html.encode())


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Three files with stories of both sites."""
    folder = tmp_path_factory.mktemp("crawl")
    stories = [make_story(host, number) for number in range(PAGES) for host in SITES]
    paths = [folder / f"{number}.warc" for number in range(3)]
    for number, path in enumerate(paths):
        path.write_bytes(b"".join(stories[number::3]))
    return paths


def learn(files: list[Path], folder: Path, processes: int = 1) -> str:
    for path in files:
        collect_profile_pages(path, folder)
    return learn_profiles(folder, processes=processes)


def test_order_does_not_matter_and_documents_are_those_of_learn(
    files: list[Path], newsmill: Newsmill, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (extract_pages, profile_learning):
        monkeypatch.setattr(module, "MAX_LEARNING_PAGES", MAX_LEARNED)
    profiles = learn(files, tmp_path / "learning")
    before = list_bytes(tmp_path / "learning")
    assert learn(files[::-1], tmp_path / "learning") == profiles and list_bytes(tmp_path / "learning") == before
    together = tmp_path / "together.warc"
    together.write_bytes(b"".join(path.read_bytes() for path in files[::-1]))
    with ProfileFile(profiles) as one, ProfileFile(learn([together], tmp_path / "other", processes=2)) as other:
        assert one.digest == other.digest and one.find("nowhere.example") is None
        assert [one.find(site.removeprefix("www.")).pages for site in SITES] == [MAX_LEARNED] * 2
    out = tmp_path / "out"
    for path in files[::-1]:
        assert extract_file(path, out, BatchOptions(profiles=profiles)) == FileCounts(str(path), 2 * PAGES // 3)
    names = ["url", "title", "text", "extractor", "profile_version"]
    rows = pyarrow.parquet.read_table(out / "documents").select(names).to_pylist()
    lines = newsmill("extract", *map(str, files), "--learn").lines
    assert sorted(rows, key=str) == sorted(({name: line[name] for name in names} for line in lines), key=str)
    assert {(row["extractor"], row["profile_version"], "Have your say" in row["text"]) for row in rows} == {("profile 1", 1, False)}
    with pytest.raises(ConfigError, match=r"other options \(profiles\)"):
        extract_file(files[0], out)


@pytest.mark.slow
def test_learn_is_one_command(files: list[Path], newsmill: Newsmill, tmp_path: Path) -> None:
    arguments = ("extract", *map(str, files), "--format", "parquet", "--learn", "-o", str(tmp_path / "one"))
    done = newsmill(*arguments)
    assert (done.code, done.err.splitlines()[-1]) == (0, f"{2 * PAGES} documents"), done.err
    for path in files:
        extract_file(path, tmp_path / "two", BatchOptions(profiles=tmp_path / "one" / "_profiles" / "profiles.jsonl.gz"))
    assert list_bytes(tmp_path / "one" / "documents") == list_bytes(tmp_path / "two" / "documents")
    assert newsmill(*arguments).code == 0  # everything is finished


def test_what_is_refused(files: list[Path], newsmill: Newsmill, tmp_path: Path) -> None:
    old = tmp_path / "old.sqlite"
    with closing(sqlite3.connect(old)) as database:
        database.execute("CREATE TABLE about (format INTEGER)")
    for name, message in ((tmp_path / "none", "No such file"), (files[0], "Not a gzipped file"), (old, "of an older version; export or")):
        done = newsmill("extract", str(files[0]), "--format", "parquet", "-o", str(tmp_path / "out"), "--profiles", str(name))
        assert (done.code, message in done.err, done.err.count("\n"), (tmp_path / "out").exists()) == (2, True, 1, False), done.err
    damaged = tmp_path / "damaged"
    write_profiles(damaged, [Profile(f"site{number:03}.example", pages=25, sections=2) for number in range(300)], "files")
    damaged.write_bytes(damaged.read_bytes()[:-900])
    with pytest.raises(ConfigError, match="damaged cannot be read as a file of site profiles: "):
        ProfileFile(str(damaged))
    with pytest.raises(ConfigError, match="no pages to learn from"):
        learn_profiles(tmp_path)


def test_profiles_come_out_of_a_store_and_into_another(newsmill: Newsmill, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    learned, exported, again = (tmp_path / f"{name}.jsonl.gz" for name in ("learned", "exported", "again"))
    courier = Profile("courier.example", pages=25, sections=2, paths={"body/p": PathStats(25, 25, 900, 880, 2)}, fit=0.97, version=1)
    gazette = replace(courier, site="gazette.example")
    changed = replace(gazette, since=datetime(2026, 1, 1, tzinfo=UTC), fast=False)
    write_profiles(learned, [courier, gazette], "files")
    monkeypatch.setenv("NEWSMILL_DATA", str(tmp_path / "one"))
    with context.open_context(settings.load(), create=True) as store:
        store.profiles.put(changed, documents=70, now=store.now())
    assert newsmill("profiles", "import", str(learned)).err == "1 profile imported, 1 older than those of the store, which were kept\n"
    assert newsmill("profiles", "export", str(exported)).err == f"{exported}: 2 profiles\n"
    with ProfileFile(str(exported)) as profiles:
        assert list(profiles) == [courier, replace(changed, looked_at=70)]
        assert [profiles.at(gazette.site, datetime(year, 1, 1, tzinfo=UTC)) is None for year in (2025, 2026)] == [True, False]

    monkeypatch.setenv("NEWSMILL_DATA", str(tmp_path / "two"))
    for message in ("2 profiles imported", "0 profiles imported, 2 already known"):
        assert newsmill("profiles", "import", exported.as_uri()).err == f"{message}\n"
    assert newsmill("profiles", "export", str(again)).code == 0 and again.read_bytes() == exported.read_bytes()
