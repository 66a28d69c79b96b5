"""`newsmill export`: every format, one file or a folder, and its error messages."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import shutil
import signal
import stat
import subprocess
import sys
import time
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.request import Request, urlopen

import pytest
from command_result import Newsmill
from rows import FULL, HOST, SOURCE, Mill, after, document_of, good, page_of
from services import object_store

import newsmill as newsmill_package
from newsmill.archive.archive import Archive
from newsmill.cli.output_file import open_output
from newsmill.exceptions import ConfigError
from newsmill.exports import spreadsheet
from newsmill.model import Document, Link
from newsmill.search.query import restrict_to_source
from newsmill.storage import copy_groups, database, story_decisions
from newsmill.storage.ledger import Ledger
from newsmill.text import urls


def store(folder: Path, *documents: Document, minute: int = 0) -> None:
    """Documents into the data folder."""
    engine = database.connect(f"sqlite:///{folder / 'newsmill.sqlite'}")
    mill = Mill(Ledger(engine), now=after(minutes=minute))
    mill.ledger.sources.put(SOURCE, now=mill.now)
    claims = {claim.url: claim for claim in mill.fetch(*(Link(one.url, source=one.source) for one in documents))}
    mill.store(*(good(claims[urls.normalize(one.url)], one) for one in documents))
    engine.dispose()


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory, sqlite_template: Path) -> Path:
    """Three documents: two of the source paper, one about a harbour; the second's title is a formula."""
    data = tmp_path_factory.mktemp("export")
    shutil.copy(sqlite_template, data / "newsmill.sqlite")
    archive = Archive(str(data / "archive"))
    page_urls = [f"https://{HOST}/{name}" for name in "abc"]
    segment = archive.write([page_of(url, b"<p>" + url.encode()) for url in page_urls], now=after())
    places = [f"{segment.id}@{offset}" for offset in segment.offsets]
    titles = ("The harbour", "=1+1", "Weather")
    store(
        data,
        *(
            document_of(url, title=title, archive_ref=place, source=source)
            for url, title, place, source in zip(page_urls, titles, places, ("paper", "paper", None), strict=True)
        ),
    )
    return data


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, filled: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the data folder, which a test may change."""
    monkeypatch.chdir(tmp_path)
    return Path(shutil.copytree(filled, tmp_path / "newsmill-data"))


def test_one_file_or_a_pipe(newsmill: Newsmill, tmp_path: Path) -> None:
    assert len(newsmill("export").lines) == 3
    (found,) = newsmill("export", "harbour").lines
    assert found["title"] == "The harbour"
    assert len(newsmill("export", "--source", "paper").lines) == 2
    assert len(newsmill("export", "--source", "paper", "OR", "harbour").lines) == 1
    assert newsmill("export", "--as", "zyte", "harbour").lines[0]["headline"] == "The harbour"
    assert newsmill("export", "--as", "news-please", "harbour").lines[0]["maintext"] == FULL.text.replace("\n\n", "\n")
    assert newsmill("export", "--as", "trafilatura", "harbour").lines[0]["source-hostname"] == "The Paper"
    assert newsmill("export", "--format", "jsonld", "harbour").lines[0]["@type"] == ["NewsArticle", "LiveBlogPosting"]
    rows = list(csv.DictReader(io.StringIO(newsmill("export", "--format", "csv").out, newline="")))
    assert [row["title"] for row in rows] == ["The harbour", "'=1+1", "Weather"] or len(rows) == 3
    done = newsmill("export", "--format", "parquet", "-o", "news.parquet")
    assert (done.code, done.err) == (0, "3 documents written to news.parquet\n")
    assert newsmill("export", "-o", "news.csv").code == 0, "the suffix means the format"
    assert Path("news.csv").read_text().startswith("id,")
    assert len(newsmill("export", "-o", "-").lines) == 3 and not Path("-").exists()
    import duckdb

    assert duckdb.sql("SELECT count(*) FROM 'news.parquet'").fetchall() == [(3,)]


def test_copies_are_named_or_left_out(newsmill: Newsmill, folder: Path) -> None:
    text = "PARIS (AP) — " + " ".join(f"ferry {n} quay {n * n}" for n in range(60))
    fields = {"source": None, "site_name": "Evil\x1b]0;owned\x07\u202eNews"}
    store(folder, *(document_of(f"https://{HOST}/copy/{name}", title=name, text=f"{text} {name}", **fields) for name in "xy"), minute=9)
    engine = database.connect(f"sqlite:///{folder / 'newsmill.sqlite'}")
    copy_groups.catch_up(engine)
    story_decisions.catch_up(engine, now=after())
    engine.dispose()
    fields = ("duplicate_of", "wire_agency", "story_id")
    assert newsmill("export", *(word for name in fields for word in ("--include", name)), "-o", "all.parquet").code == 0
    import duckdb

    rows = duckdb.sql("SELECT id, duplicate_of, wire_agency, story_id FROM 'all.parquet' WHERE title IN ('x', 'y')").fetchall()
    first, second = sorted(rows, key=lambda row: row[1] is not None)
    assert (first[1:], second[1:]) == ((None, "AP", 2), (first[0], "AP", 2))
    assert duckdb.sql("SELECT count(duplicate_of), count(wire_agency) FROM 'all.parquet'").fetchall() == [(1, 2)]
    shown = newsmill("stories", "show", str(first[3])).out
    assert "Evil�]0;owned��News: " in shown and first[0] in shown, "a page does not control the terminal"
    assert newsmill("export", "--fold", "--to", "folded").err == "4 documents written to folded\n"
    assert second[0] not in {json.loads(line)["id"] for line in Path("folded/data/part-00001.jsonl").read_text().splitlines()}
    for options, words in (
        (["--fold", "--since-last"], "a document may become a copy later"),
        (["--include", "duplicate_of", "--overwrite"], "a document may become a copy later"),
        (["--include", "story_id", "--overwrite"], "a document may join another story later"),
    ):
        refused = newsmill("export", "--to", "folded", *options)
        assert refused.code == 2 and words in refused.err


def test_a_random_sample_is_the_same_for_the_same_seed(newsmill: Newsmill) -> None:
    def draw(size: int, seed: int, *query: str) -> list[str]:
        return [line["id"] for line in newsmill("export", *query, "--sample", str(size), "--seed", str(seed)).lines]

    assert draw(2, 7) == draw(2, 7) == draw(9, 7)[:2] and len(draw(9, 7)) == 3
    assert len({tuple(draw(3, seed)) for seed in range(9)}) > 1, "another seed gives another order"
    assert len(draw(1, 7, "harbour", "OR", "weather")) == 1
    refused = newsmill("export", "--sample", "2", "--to", "folder")
    assert refused.code == 2 and "--sample writes one file" in refused.err


def test_word_counts_and_a_keyword_in_context(newsmill: Newsmill) -> None:
    def read(*options: str) -> list[dict[str, str]]:
        return list(csv.DictReader(io.StringIO(newsmill("export", *options).out, newline="")))

    assert read("harbour", "--format", "words")[0] == {"word": "first", "documents": "1", "occurrences": "1"}
    assert {row["occurrences"] for row in read("--format", "words")} == {"3"}
    found = read("--format", "kwic", "--keyword", "SEC*", "--source", "paper")
    assert [(row["before"], row["keyword"], row["source"]) for row in found] == [("First. ", "Second", "paper")] * 2
    assert "'=1+1" in [row["title"] for row in found] and read("--format", "kwic", "--keyword", "econd") == []
    assert newsmill("export", "--format", "kwic", "--keyword", "econd").err == "0 places in 3 documents\n"
    for options in (["--format", "kwic"], ["--keyword", "x"], ["--format", "kwic", "--keyword", "*"], ["--format", "words", "--to", "x"]):
        assert newsmill("export", *options).code == 2, options


def test_a_workbook_has_texts_and_no_formulas(newsmill: Newsmill) -> None:
    pytest.importorskip("xlsxwriter")
    assert newsmill("export", "-o", "news.xlsx", "--include", "marks").err == "3 documents written to news.xlsx\n"
    with zipfile.ZipFile("news.xlsx") as book:
        sheet = book.read("xl/worksheets/sheet1.xml").decode()
    assert "<is><t>=1+1</t></is>" in sheet and "<f>" not in sheet and "<hyperlink" not in sheet
    assert '<autoFilter ref="A1:' in sheet and len(set(re.findall('width="([0-9]+)', sheet))) > 3
    assert sheet.count("<row ") == 4 and "<is><t>marks_note</t></is>" in sheet and '<c r="X' in sheet


def test_without_xlsxwriter_one_sentence_says_what_to_install(newsmill: Newsmill, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spreadsheet, "find_spec", lambda _: None)
    done = newsmill("export", "-o", "news.xlsx")
    assert done.code == 2 and "xlsx needs XlsxWriter: pip install" in done.err and not Path("news.xlsx").exists()


def test_fifos_devices_and_descriptors_are_written_directly(newsmill: Newsmill, tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    with ThreadPoolExecutor() as pool:
        read = pool.submit(fifo.read_bytes)
        assert newsmill("export", "-o", str(fifo)).code == 0
        assert read.result(timeout=30).count(b"\n") == 3
    assert stat.S_ISFIFO(fifo.stat().st_mode)
    leader, follower = os.openpty()  # a bug must not replace a device of the machine
    device = Path(os.ttyname(follower))
    assert newsmill("export", "-o", str(device), "harbour").code == 0
    assert os.read(leader, 10).startswith(b"{")
    assert stat.S_ISCHR(device.stat().st_mode)
    reader, writer = os.pipe()
    assert newsmill("export", "-o", f"/dev/fd/{writer}", "harbour").code == 0
    os.close(writer)
    with os.fdopen(reader, "rb") as pipe:
        assert json.loads(pipe.read())["title"] == "The harbour"
    os.close(leader)
    os.close(follower)


def test_a_link_is_followed_and_a_mode_is_kept(newsmill: Newsmill, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    target, link = tmp_path / "elsewhere" / "news.jsonl", tmp_path / "link"
    target.write_text("old")
    target.chmod(0o640)
    link.symlink_to(target)
    assert newsmill("export", "-o", str(link)).code == 0
    assert link.is_symlink() and stat.S_IMODE(target.stat().st_mode) == 0o640
    assert target.read_text().count("\n") == 3
    assert [path.name for path in (tmp_path / "elsewhere").iterdir()] == ["news.jsonl"]
    dangling = tmp_path / "dangling"
    dangling.symlink_to(tmp_path / "elsewhere" / "new.jsonl")
    assert newsmill("export", "-o", str(dangling)).code == 0
    assert dangling.is_symlink() and (tmp_path / "elsewhere" / "new.jsonl").is_file()


def test_a_link_with_the_name_of_the_temporary_file_is_not_followed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    victim, output = tmp_path / "victim", tmp_path / "news.jsonl"
    victim.write_text("precious")
    monkeypatch.setattr("secrets.token_hex", lambda _: "guessed")
    (tmp_path / ".news.jsonl.guessed").symlink_to(victim)
    with pytest.raises(ConfigError, match="cannot be written"), open_output(output) as out:
        out.write(b"news")
    assert (victim.read_text(), output.exists()) == ("precious", False)


def test_two_exports_into_one_file_at_once(tmp_path: Path) -> None:
    """Two containers that share a volume may have the same process id, as here. The last one that ends is kept, whole."""
    output = tmp_path / "news.jsonl"
    with open_output(output) as first:
        first.write(b"first, ")
        with open_output(output) as second:
            second.write(b"second")
        assert output.read_bytes() == b"second"
        first.write(b"whole")
    assert output.read_bytes() == b"first, whole"
    assert [path.name for path in tmp_path.iterdir() if path.suffix != ""] == ["news.jsonl"]


def test_a_folder_that_is_added_to(newsmill: Newsmill, folder: Path, tmp_path: Path) -> None:
    for name in ("jsonl", "csv", "parquet", "jsonld", "text", "markdown", "warc"):
        done = newsmill("export", "--format", name, "--to", f"out/{name}", "--since-last")
        assert (done.code, done.err) == (0, f"3 documents written to out/{name}\n"), name
    assert newsmill("export", "--to", "out/jsonl").code == 2
    assert newsmill("export", "--to", "out/jsonl", "--since-last").err == "0 documents written to out/jsonl, 3 in total\n"
    store(folder, document_of(f"https://{HOST}/d", title="New"), minute=9)
    assert newsmill("export", "--to", "out/jsonl", "--since-last").err == "1 document written to out/jsonl, 4 in total\n"
    lines = [line for path in sorted((tmp_path / "out/jsonl/data").iterdir()) for line in path.read_text().splitlines()]
    assert [json.loads(line)["title"] for line in lines][-1] == "New"
    assert len(list((tmp_path / "out/text/data").rglob("*.txt"))) == 3
    first = next((tmp_path / "out/markdown/data").rglob("*.md")).read_text()
    assert first.startswith('---\nid: "') and first.endswith("---\n\n## First.\n\nSecond\n")
    assert newsmill("export", "--to", "out/markdown", "--format", "markdown", "--live-updates", "in-text", "--since-last").code == 2
    assert newsmill("export", "--to", "out/markdown", "--format", "markdown", "--overwrite").code == 0
    assert newsmill("export", "--to", "out/days", "--format", "parquet", "--partition", "day").code == 0
    assert [path.name for path in (tmp_path / "out/days/data").iterdir()] == ["by_day=2026-11-24"]


def test_an_export_finds_documents_that_wait_for_the_index_and_takes_any_bytes(newsmill: Newsmill, folder: Path) -> None:
    """A query reads the index. A document that it misses would never come, because the next export begins behind it."""
    engine = database.connect(f"sqlite:///{folder / 'newsmill.sqlite'}")
    with database.writing(engine) as conn:
        conn.exec_driver_sql("DELETE FROM search_entries")
        conn.exec_driver_sql("INSERT INTO search_pending SELECT id FROM documents")
    engine.dispose()
    assert newsmill("export", "--to", "out", "harbour").err.splitlines()[-1] == "1 document written to out"
    done = newsmill("export", "--to", "bytes", "harbour OR \udcff")
    assert (done.code, json.loads(Path("bytes/manifest.json").read_bytes())["plan"]["query"]) == (0, "harbour OR \ufffd")
    assert newsmill("export", "--to", "bytes", "harbour OR \udcff", "--since-last").code == 0


def test_an_export_learns_of_removed_documents_and_of_another_store(newsmill: Newsmill, folder: Path) -> None:
    assert newsmill("export", "--to", "out", "--format", "csv").code == 0
    backup = shutil.copytree(folder, Path("backup"))
    assert newsmill("sources", "remove", "paper", "--yes").code == 0
    for _ in range(2):
        assert newsmill("export", "--to", "out", "--format", "csv", "--since-last").code == 0
    (removed,) = Path("out/removed").iterdir()
    assert (removed.name, [json.loads(line)["source"] for line in removed.read_text().splitlines()]) == ("part-00002.jsonl", 2 * ["paper"])
    store(folder, document_of(f"https://{HOST}/new", title="New"), minute=9)
    assert newsmill("export", "--to", "out", "--format", "csv", "--since-last").code == 0
    assert newsmill("export", "--to", "fresh").code == 0 and not Path("fresh/removed").exists()
    shutil.rmtree(folder)
    backup.rename(folder)
    refused = newsmill("export", "--to", "out", "--format", "csv", "--since-last")
    assert refused.code == 2 and "--overwrite replaces it" in refused.err
    assert newsmill("export", "--to", "out", "--format", "csv", "--overwrite").code == 0


def test_every_command_shows_doubtful_documents(newsmill: Newsmill, folder: Path) -> None:
    values = {"low": 0.0, "high": 1.0, "unknown": None}
    store(folder, *(document_of(f"https://{HOST}/{name}", title=name, confidence=value) for name, value in values.items()), minute=9)
    doubtful = {line["title"]: line["doubtful"] for line in newsmill("export", "source:paper").lines}
    assert [doubtful[name] for name in values] == [True, False, False]
    count = sum(line["doubtful"] for line in newsmill("export").lines)
    assert json.loads(newsmill("status", "--json").out)["doubtful"] == count
    assert f"doubtful: {count} with a confidence below" in newsmill("status").out
    assert newsmill("show", f"https://{HOST}/low", "--json").lines[0]["doubtful"] is True
    assert newsmill("search", "title:low", "--json").lines[0]["doubtful"] is True
    assert "doubtful" in newsmill("search", "title:low").out and "doubtful" not in newsmill("search", "title:high").out


def test_a_page_missing_in_the_archive_is_listed(newsmill: Newsmill, folder: Path) -> None:
    next((folder / "archive").rglob("*.warc.gz")).unlink()
    done = newsmill("export", "--format", "warc", "--to", "out", "harbour")
    assert "1 page of the archive not exported; manifest.json lists the reasons (first: segment " in done.err


def test_an_object_store(newsmill: Newsmill, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"AWS_ACCESS_KEY_ID": "k", "AWS_SECRET_ACCESS_KEY": "s", "AWS_MAX_ATTEMPTS": "1"}.items():
        monkeypatch.setenv(name, value)
    with object_store() as endpoint:
        monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
        done = newsmill("export", "--to", "s3://news/all")
        assert (done.code, done.err) == (1, "newsmill: export to s3://news/all: the bucket does not exist\n")
        urlopen(Request(f"{endpoint}/news", method="PUT")).close()
        assert newsmill("export", "--to", "s3://news/all").err == "3 documents written to s3://news/all\n"
        assert newsmill("export", "--to", "s3://news/all", "--since-last").code == 0
    done = newsmill("export", "--to", "s3://news/all", "--since-last")
    assert done.code == 1 and done.err.startswith("newsmill: export to s3://news/all: ")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--since-last"], "--since-last needs --to TARGET"),
        (["--partition", "day"], "--partition needs --to TARGET"),
        (["--format", "warc"], "--format warc writes a folder; use --to TARGET"),
        (["--seed", "8"], "--seed works with --sample N"),
        (["--since", "soon"], "--since: expected a day or time (UTC) such as"),
        (["--to", "x", "-o", "y"], "-o writes one file and --to a folder"),
        (["--to", "x", "--since-last", "--overwrite"], "use one of the two"),
        (["--to", "x", "--partition", "year"], "--partition: expected one of day, month, source, not 'year'"),
        (["--to", "x", "--format", "warc", "--as", "zyte"], "--as zyte renames the fields of JSON lines"),
        (["--to", "x", "--format", "text", "--partition", "day"], "--partition cannot be combined with --format text"),
        (["--to", "newsmill-data"], "has files, but no manifest of an export"),
        (["--format", "xml"], "expected jsonl, csv, xlsx, parquet, jsonld, text, markdown or warc, not 'xml'"),
        (["--format", "markdown"], "--format markdown writes a folder; use --to TARGET"),
        (["--include", "html"], "--include: expected markdown, marks, fingerprint, duplicate_of, wire_agency, story_id, not 'html'"),
        (["--include", "markdown", "--format", "jsonld"], "--include works with --format jsonl, csv, xlsx, parquet and without --as"),
        (["--include", "markdown", "--as", "zyte"], "--include works with --format jsonl, csv, xlsx, parquet and without --as"),
        (["--live-updates", "yes"], "--live-updates: expected in-text, not 'yes'"),
        (["--to", "x", "--format", "warc", "--live-updates", "in-text"], "--format warc contains the pages as they were fetched"),
        (["--as", "scrapy"], "--as: expected zyte, news-please, trafilatura, not 'scrapy'"),
        (["--to", "ftp9://x"], "--to 'ftp9://x' cannot be used"),
        (["--to", "ftp://me:hush@127.0.0.1/x"], "--to 'ftp://***@127.0.0.1/x' cannot be used; expected a folder"),
        (["--to", "simplecache::s3://x"], "cannot be used; expected a folder"),
        (["--to", "s3://me:hush@bucket/x"], "--to 's3://***@bucket/x' has credentials"),
        (["--to", ""], "--to is empty; expected a folder"),
        (["--to", "newsmill-data/newsmill.sqlite"], "--to newsmill-data/newsmill.sqlite is a file; name a folder"),
        (["-o", "no/such/folder"], "no/such/folder: cannot be written (No such file or directory)"),
        (["-o", "x.docx"], "-o x.docx: no format has the suffix .docx; use .jsonl, .csv,"),
        (["-o", "x.jsonl.gz"], "-o x.jsonl.gz: the file would not be compressed; omit .gz, or compress standard output"),
        (["-o", "newsmill-data"], "newsmill-data: cannot be written (Is a directory)"),
        (["--source", "pape"], "did you mean paper?"),
    ],
    ids=" ".join,
)
def test_invalid_options_give_one_sentence(newsmill: Newsmill, arguments: list[str], sentence: str) -> None:
    done = newsmill("export", *arguments)
    assert done.code == 2
    assert sentence in done.err and done.err.count("\n") == 1
    assert not Path("x").exists()


def test_an_interrupted_export_resumes(newsmill: Newsmill, folder: Path, tmp_path: Path) -> None:
    engine = database.connect(f"sqlite:///{folder / 'newsmill.sqlite'}")
    from sqlalchemy import insert, select

    from newsmill.storage import schema

    with database.writing(engine) as conn:
        row = dict(conn.execute(select(schema.documents).limit(1)).mappings().one())
        for start in range(0, 3000, 500):
            conn.execute(insert(schema.documents), [{**row, "id": f"{number:032x}"} for number in range(start, start + 500)])
    engine.dispose()
    command = [sys.executable, "-m", "newsmill.cli.main", "export", "--to", "out"]
    running = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env={**os.environ})
    while not list(tmp_path.glob("out/data/*.tmp")) and running.poll() is None:
        time.sleep(0.01)
    running.send_signal(signal.SIGINT)
    printed = running.communicate(timeout=60)[1]
    assert (running.returncode, printed.splitlines()[-1]) == (130, "interrupted; run the same command again to resume")
    assert newsmill("export", "--to", "out").code == 0
    found = [json.loads(line)["id"] for path in (tmp_path / "out/data").iterdir() for line in path.read_text().splitlines()]
    assert len(found) == len(set(found)) == 3003


@pytest.mark.parametrize(
    ("query", "restricted"),
    [
        ("a OR b", 'source:"paper" a OR b'),
        ("OR | a OR b", 'source:"paper" a OR b'),
        ("after:2026 OR a", 'source:"paper" after:2026 a'),
        ("ORchid", 'source:"paper" ORchid'),
        ("OR", 'source:"paper"'),
    ],
)
def test_a_query_is_restricted_to_a_source(query: str, restricted: str) -> None:
    assert restrict_to_source(query, "paper") == restricted


def test_marks_in_searches_and_exports(newsmill: Newsmill, folder: Path) -> None:
    with newsmill_package.open(folder) as corpus:
        (hit,) = corpus.search("title:harbour")
        assert corpus.mark([hit.id], starred=True, add_tags=["coast"]) == 1
        assert corpus.tags() == {"coast": 1} and corpus.marks([hit.id])[hit.id].starred
    assert newsmill("search", "is:starred", "--format", "json").json[0]["id"] == hit.id
    assert newsmill("search", "tag:coast", "--format", "csv").out.startswith("id,url,")
    assert newsmill("search", "tag:coast", "--format", "markdown").out.startswith(f'---\nid: "{hit.id}"\n')
    assert newsmill("search", "tag:coast", "--user", "anna").code == 1
    assert "expected csv, json, jsonl, markdown" in newsmill("search", "harbour", "--format", "xml").err
    rows = [json.loads(line) for line in newsmill("export", "--include", "marks").out.splitlines()]
    assert {row["id"] for row in rows if row["marks"]["tags"] == ["coast"]} == {hit.id} and len(rows) == 3
    assert [
        row["marks_tags"] for row in csv.DictReader(io.StringIO(newsmill("export", "--format", "csv", "--include", "marks").out))
    ].count("coast") == 1
    assert "do not work with --to" in newsmill("export", "--include", "marks", "--to", "out").err
