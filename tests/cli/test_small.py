"""Commands that need no crawl (add, submit, extract), and their error messages."""

from __future__ import annotations

import gzip
import io
import json
import logging
import os
import re
import resource
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from command_result import CommandResult, Newsmill
from rows import FULL, NOON, SOURCE, Mill, good, insert_documents, links, saved
from sqlalchemy import make_url

from newsmill.cli.demo import forget_other_demo
from newsmill.cli.processes.process_start import RedactingFormatter
from newsmill.cli.processes.up import only_one_up
from newsmill.context import open_context
from newsmill.model import Kind, Rendering, Segment, State
from newsmill.queue.embedded_redis import EmbeddedRedis
from newsmill.search import indexer
from newsmill.settings import load
from newsmill.storage import database, database_errors, fingerprints, schema_version
from newsmill.storage.processes import Heartbeat

ROOT = Path(__file__).resolve().parents[2]
PAGE = (
    "<html lang='en'><head><title>Bridge closed</title></head><body><article><h1>Bridge closed</h1>"
    + "".join(
        f"<p>The old bridge over the river was closed on Monday, and paragraph {n} says why in enough words to count.</p>" for n in range(6)
    )
    + "</article></body></html>"
)


@pytest.fixture(autouse=True)
def empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_reading_commands_without_a_store_say_how_to_begin(newsmill: Newsmill, tmp_path: Path) -> None:
    for command in (
        ["status"],
        ["search", "x"],
        ["export"],
        ["show", "x"],
        ["trace", "https://x.org"],
        ["sources", "list"],
        ["quarantine", "list"],
    ):
        done = newsmill(*command)
        assert done.code == 1
        assert done.err.startswith(f"newsmill: {tmp_path}/newsmill-data holds no documents yet; run `newsmill demo`")
    assert list(tmp_path.iterdir()) == [], "a reading command must not create a folder"


def test_add_a_homepage(newsmill: Newsmill) -> None:
    assert newsmill("add", "www.example.org", "--no-check", "--every", "1h", "--delay", "2", "--language", "en").code == 0
    (listed,) = newsmill("sources", "list", "--json").json
    source = listed["source"]
    assert (source["name"], source["homepage"], source["every"], source["language"]) == (
        "example-org",
        "https://www.example.org",
        "1h",
        "en",
    )
    assert source["politeness"]["delay"] == 2.0
    assert listed["progress"]["listings"] == {"due": 1}


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["ftp://example.org"], "'ftp://example.org' is not a URL; expected a URL such as https://www.example.org/"),
        (["example.org", "--every", "soon"], "example.org: every: expected a duration"),
        (["example.org", "--name", "a b"], "example.org: expected a name of letters"),
        (["example.org", "--language", "no such"], "example.org: language: expected a language tag"),
        (["--file", "none.toml"], "none.toml: cannot be read (No such file or directory)"),
    ],
)
def test_invalid_sources_are_rejected(newsmill: Newsmill, arguments: list[str], sentence: str) -> None:
    done = newsmill("add", *arguments)
    assert done.code == 2
    assert sentence in done.err


def test_a_sources_file_overrides_a_command(newsmill: Newsmill, tmp_path: Path) -> None:
    config = tmp_path / "config"
    config.mkdir()
    (config / "sources.toml").write_text(
        '[sources.a]\nhomepage = "https://a.example/"\n[sources.b]\nhomepage = "https://b.example/"\nenabled = false\n'
    )
    assert newsmill("add", "--file", "config/sources.toml").code == 0
    paused = newsmill("sources", "pause", "a")
    assert "overrides this at the next start; also put enabled = false" in paused.err
    assert newsmill("add", "--file", "config/sources.toml").code == 0
    assert {row["source"]["name"]: row["source"]["enabled"] for row in newsmill("sources", "list", "--json").json} == {
        "a": True,
        "b": False,
    }


def test_submit(newsmill: Newsmill, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "urls.txt").write_bytes(b"\xef\xbb\xbfhttps://example.org/1\n\n# a comment\nexample.org/2\nnot a URL \xff\n")
    assert newsmill("submit", "--file", "urls.txt", "--json").json == {"new": 2, "known": 0, "bad_url": 1, "again": 0}
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"https://example.org/1\nhttps://example.org/3\n")))
    assert newsmill("submit", "-", "https://example.org/4", "--json").json == {"new": 2, "known": 1, "bad_url": 0, "again": 0}
    assert newsmill("trace", "https://example.org/3", "--json").json["state"] == "due"
    assert "0 URLs queued, 1 already known" in newsmill("submit", "https://example.org/3").err
    assert "0 URLs queued, 1 known unchanged" in newsmill("submit", "https://example.org/3", "--again").err
    assert newsmill("trace", "not a URL \ufffd", "--json").json["outcome"] == "bad_url"
    nonsense = newsmill("submit", "nonsense", "ftp://example.org/")
    assert (nonsense.code, "newsmill up" in nonsense.err) == (1, False)
    for refused in ("nonsense", "ftp://example.org/"):
        sentence = f"'{refused}' is not a URL; expected a URL such as https://www.example.org/"
        assert all(sentence in newsmill(command, refused).err for command in ("submit", "crawl", "add"))
    assert newsmill("submit", "--file", "missing.txt").code == 2
    assert newsmill("submit", "https://example.org/5", "--source", "nobody").code == 2


@pytest.mark.parametrize(("role", "command"), [("crawler", "submit"), ("crawler", "add --no-check"), ("worker", "retry")])
def test_the_next_step_is_named_unless_it_is_under_way(newsmill: Newsmill, role: str, command: str) -> None:
    with open_context(load(), create=True) as store:
        mill, (first, second) = Mill(store.ledger), links(2)
        if command == "retry":
            mill.store(*map(good, mill.fetch(first, second)))
        assert "run `newsmill up` to" in newsmill(*command.split(), first.url).err
        Heartbeat(store.engine, role=role).beat(store.now())
        done = newsmill(*command.split(), second.url.replace("paper", "other") if role == "crawler" else second.url)
        assert (done.code, "newsmill up" in done.err) == (0, False)


def test_a_demo_on_another_port_leaves_nothing_pending_of_the_one_before(newsmill: Newsmill) -> None:
    before = replace(SOURCE, name="demo", homepage="http://127.0.0.1:8000/", feeds=("http://127.0.0.1:8000/feed",))
    with open_context(load(), create=True) as store:
        store.ledger.sources.put(before, now=NOON)
        for homepage, pending in ((before.homepage, 2), ("http://127.0.0.1:8001/", 0)):
            forget_other_demo(load(), replace(before, homepage=homepage))
            assert store.ledger.progress.count().listings.get(State.DUE, 0) == pending


def extract(newsmill: Newsmill, monkeypatch: pytest.MonkeyPatch, *lines: object, processes: int = 1) -> CommandResult:
    raw = b"".join(line if isinstance(line, bytes) else json.dumps(line).encode() + b"\n" for line in lines)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(raw)))
    return newsmill("extract", "--processes", str(processes))


def test_extract_has_an_output_for_every_line_in_order(newsmill: Newsmill, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "page.html").write_text(PAGE)
    (tmp_path / "page.html.gz").write_bytes(gzip.compress(PAGE.encode()))
    (tmp_path / "broken.html.gz").write_bytes(gzip.compress(PAGE.encode())[:40])
    done = extract(
        newsmill,
        monkeypatch,
        b'{"id": "cut\n',
        {"id": "a", "url": None, "html": PAGE},
        {"id": "b", "url": "https://example.org/b", "path": "page.html"},
        b"[1, 2]\n",
        b"\n",
        {"id": "c", "url": "https://example.org/c", "path": "page.html.gz"},
        {"id": "d", "path": "missing.html"},
        {"id": "e", "path": "broken.html.gz"},
        {"id": "f", "path": "x.html", "html": "x"},
        {"id": "g", "url": 5, "html": "x"},
        {"id": "h", "path": "."},
        {"id": "i", "html": "<html><body></body></html>"},
        b'{"id": "j", "html": "caf\xe9"}\n',
        processes=2,
    )
    assert done.code == 0
    records = done.lines
    assert [record["id"] for record in records] == [None, "a", "b", None, "c", "d", "e", "f", "g", "h", "i", None]
    bad = [record for record in records if record["outcome"] == "bad_input"]
    assert len(bad) == 8
    assert all(record["detail"].startswith("line ") and record["text"] is None for record in bad)
    a, b, c = (next(record for record in records if record["id"] == key) for key in "abc")
    assert a["outcome"] == b["outcome"] == c["outcome"] == "stored"
    assert a["text"] == b["text"] == c["text"]
    assert (a["url"], b["url"]) == (None, "https://example.org/b")
    assert len({record["document_id"] for record in (a, b, c)}) == 3
    assert len({frozenset(record) for record in records}) == 1, "every record has the same fields"
    assert next(record for record in records if record["id"] == "i")["outcome"] == "no_text"


def test_extract_survives_hostile_lines(newsmill: Newsmill, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "odd.html.gz").write_bytes(gzip.compress(PAGE.encode())[:12] + b"\xff" * 40)
    deep = b"[" * 100_000 + b"]" * 100_000
    done = extract(
        newsmill,
        monkeypatch,
        b'{"id": ' + deep + b', "html": "x"}\n',
        b'{"id": ' + b"[" * 900 + b"]" * 900 + b', "html": ' + json.dumps(PAGE).encode() + b"}\n",
        b'{"id": "\\ud800", "url": "https://example.org/\\udfff", "html": ' + json.dumps(PAGE).encode() + b"}\n",
        b'{"id": NaN, "html": "x"}\n',
        b'{"id": 1e999, "path": "\\ud800"}\n',
        {"id": "z", "path": "odd.html.gz"},
        {"id": "p", "url": "https://me:hush@example.org/p", "html": PAGE},
        {"id": "last", "url": "https://me:hush@example.org/q", "path": "missing"},
    )
    assert (done.code, len(done.lines)) == (0, 8), done.err
    assert done.lines[4]["id"] == "1e999" and "Infinity" not in done.out  # what JSON can hold
    assert done.lines[2]["id"] == "\ud800" and done.lines[2]["outcome"] == "stored"
    assert [record["outcome"] for record in done.lines[-2:]] == ["stored", "bad_input"]
    assert "hush" not in done.out and "me:" not in done.out


def test_the_share_of_rendered_pages(newsmill: Newsmill, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NEWSMILL_DATA", str(tmp_path / "data"))
    with open_context(load(), create=True) as app:
        mill = Mill(app.ledger, now=app.now())
        mill.ledger.sources.put(SOURCE, now=mill.now)
        mill.ledger.links.add(links(4), now=mill.now)
        row = next(row for row in mill.lease() if row.kind is Kind.PAGE)
        segment = Segment("20261125T120000Z-0000000a", 1, 1000, mill.now)
        mill.ledger.url_leases.save_segment(segment, [replace(saved(row, 0), rendering=Rendering.DONE)], now=mill.now)
    assert "rendered in a browser: 1 page (25 %): paper 1\n" in newsmill("status", "--verbose").out
    report = json.loads(newsmill("status", "--json").out)
    assert (report["rendered"], report["sources"]["paper"]["rendered"]) == (1, 1)
    assert ", with the DOM that a browser rendered" in newsmill("trace", row.url).out


@pytest.mark.parametrize("role", ["crawler", "worker"])
def test_a_process_makes_its_data_folder(role: str, newsmill: Newsmill, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And logs its start; the database of DATABASE_URL is made by `newsmill db upgrade` only."""
    monkeypatch.setattr({"crawler": "crawler.process.run", "worker": "workers.worker.run"}[role], lambda app, **_: 0)
    started = newsmill(role)
    assert (started.code, f"{role} of Newsmill " in started.err, newsmill("status").code) == (0, True, 0), started.err
    monkeypatch.setenv("DATABASE_URL", f"sqlite:///{tmp_path}/x.sqlite")
    assert "run `newsmill db upgrade`" in newsmill(role).err


def test_an_unreachable_database(newsmill: Newsmill, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://me:hush@127.0.0.1:1/x")
    done = newsmill("status")
    assert done.code == 1
    assert done.err.startswith("newsmill: database postgresql")
    assert "hush" not in done.err
    assert "Traceback" not in done.err


def test_a_configured_database_needs_an_upgrade_first(newsmill: Newsmill, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", f"sqlite:///{tmp_path}/x.sqlite")
    assert "run `newsmill db upgrade`" in newsmill("status").err
    assert newsmill("db", "upgrade").code == 0
    assert newsmill("status").code == 0


def test_an_upgrade_indexes_documents_and_makes_their_fingerprints(newsmill: Newsmill, tmp_path: Path) -> None:
    (tmp_path / "newsmill-data").mkdir()
    engine = database.connect(f"sqlite:///{tmp_path}/newsmill-data/newsmill.sqlite")
    schema_version.upgrade(engine)
    insert_documents(engine, FULL)
    assert newsmill("db", "upgrade").code == 0
    assert (indexer.count_pending(engine), fingerprints.pending(engine)) == (0, 0)
    engine.dispose()


def test_an_example_as_contact_ends_a_crawl_before_its_first_request(newsmill: Newsmill, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NEWSMILL_CONTACT", "me@example.org")
    refusal = "NEWSMILL_CONTACT names the example domain example.org; set your own URL or e-mail address before you crawl https://www."
    done = newsmill("crawl", "https://www.example.org/")
    assert (done.code, done.err.startswith(f"newsmill: {refusal}"), newsmill("sources", "list").out) == (2, True, "")
    assert refusal in newsmill("add", "https://www.example.org/", "--yes").err
    assert refusal in newsmill("extract", "https://www.example.org/a").err
    assert newsmill("add", "https://www.example.org/", "--no-check").code == 0
    crawler = newsmill("crawler")
    assert (crawler.code, refusal in crawler.err) == (2, True)


def test_an_unreachable_redis_and_one_without_password(newsmill: Newsmill, monkeypatch: pytest.MonkeyPatch) -> None:
    assert newsmill("add", "example.org", "--no-check").code == 0
    monkeypatch.setenv("REDIS_URL", "redis://:hush@127.0.0.1:1/0")
    unreachable = newsmill("scheduler")
    assert unreachable.code == 1
    assert "hush" not in unreachable.err
    monkeypatch.setenv("REDIS_URL", "redis://127.0.0.1:1/0")
    no_password = newsmill("scheduler").err
    assert "has no password" in no_password and "write redis://:PASSWORD@HOST:6379/0" in no_password
    monkeypatch.setenv("NEWSMILL_WEB", "off")
    up = newsmill("up")
    assert (up.code, "cannot run: REDIS_URL (redis://127.0.0.1:1/0) has no password" in up.err, "restart" in up.err) == (1, True, False)
    assert "has no password" in newsmill("status").err
    monkeypatch.setenv("REDIS_URL", "http://:hush@127.0.0.1")
    assert newsmill("scheduler").err.endswith("with :password@ after the slashes if it has one\n")
    monkeypatch.delenv("REDIS_URL")
    for wrong in ("mysql://news:hush@h/d", "postgresql://news:hush@h:port/d"):
        monkeypatch.setenv("DATABASE_URL", wrong)
        refused = newsmill("scheduler").err
        assert "postgresql://user:password@host/name" in refused and "hush" not in refused


def test_a_program_with_rq_reaches_the_embedded_queue_as_the_guide_says(newsmill: Newsmill, tmp_path: Path) -> None:
    """By the URL that the commands show. A job that another RQ worker has failed is counted."""
    shown = {row["name"]: row["value"] for rows in newsmill("settings", "--json").json["settings"].values() for row in rows}
    assert re.fullmatch("unix:///.+/redis.sock", shown["REDIS_URL"]) and not list(tmp_path.iterdir()), "a look makes no folder"
    assert newsmill("add", "example.org", "--no-check").code == 0
    guide = (ROOT / "docs" / "guides" / "scrapy.md").read_text(encoding="utf-8")
    (recipe,) = re.findall(r"```python\n(import redis\nimport rq\n.*?)```", guide, re.DOTALL)
    with EmbeddedRedis(tmp_path / "newsmill-data"):
        url = newsmill("status", "--json").json["queue_url"]
        assert url == shown["REDIS_URL"]
        names: dict[str, Any] = {}
        exec(recipe.replace("unix:///srv/news/newsmill-data/redis/redis.sock", url), names)
        report = newsmill("status", "--json").json
        assert (report["queue"], report["failed_jobs"]) == (1, 0)
        queue = names["queue"]
        job = queue.fetch_job(queue.job_ids[0])
        queue.remove(job)
        queue.failed_job_registry.add(job, ttl=1000)
        assert newsmill("status", "--json").json["failed_jobs"] == 1
        assert "WARNING: 1 submitted URL failed in an RQ worker that is not Newsmill's; `newsmill worker`" in newsmill("status").out
        names["connection"].close()


def test_the_status_without_redis_and_archive(newsmill: Newsmill, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It shows what the database knows, names what is unreachable, and exits with 1."""
    assert newsmill("add", "example.org", "--no-check").code == 0
    monkeypatch.setenv("REDIS_URL", "redis://:hush@127.0.0.1:1/0")
    status = newsmill("status")
    assert (status.code, "queue: unreachable; archive: 0 B" in status.out, "example-org" in status.out) == (1, True, True)
    assert "Redis at redis://***@127.0.0.1:1/0 does not answer" in status.err
    monkeypatch.setenv("ARCHIVE_URL", "s3://bucket/x")
    for name, value in {"AWS_ENDPOINT_URL": "http://127.0.0.1:1", "AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b"}.items():
        monkeypatch.setenv(name, value)
    report = newsmill("status", "--json")
    assert (report.code, report.json["queue"], report.json["archive_bytes"], report.json["pending"]) == (1, None, None, 1)
    redis, archive = report.json["unreachable"]
    assert redis.startswith("Redis at ") and archive.startswith("archive s3://bucket/x: ")


def test_a_reader_that_has_gone_ends_the_command(newsmill: Newsmill) -> None:
    """As SIGPIPE does: with 141 and without a message, also where the output is shorter than a buffer."""
    for number in range(3):
        assert newsmill("add", f"{number}.example.org", "--no-check").code == 0
    for arguments in (("sources", "list"), ("sources", "export")):
        read, write = os.pipe()
        os.close(read)
        process = subprocess.run([sys.executable, "-m", "newsmill", *arguments], stdout=write, stderr=subprocess.PIPE, check=False)
        os.close(write)
        assert (process.returncode, process.stderr) == (141, b""), arguments


@pytest.mark.parametrize("command", ["add example.org", "status", "search bridge", "db check", "export", "backup copy"])
def test_a_data_folder_that_is_a_file(newsmill: Newsmill, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("NEWSMILL_DATA", "file")
    done = newsmill(*command.split())
    assert done.code == 1
    assert (
        done.err == f"newsmill: the data folder {tmp_path}/file cannot be used (it is not a folder); set NEWSMILL_DATA to another folder\n"
    )


def test_a_broken_sources_toml_stops_up_and_scheduler_before_anything_starts(newsmill: Newsmill, tmp_path: Path) -> None:
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "sources.toml").write_text("[sources.a]\nfeed = 1\n")
    for command in ("up", "scheduler"):
        done = newsmill(command)
        assert done.code == 2
        assert done.err.splitlines()[-1] == "newsmill: config/sources.toml: [sources.a]: feed: unknown key; did you mean feeds?"


def test_a_full_disk_is_named(newsmill: Newsmill, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("newsmill.context.MIN_FREE_BYTES", 1 << 60)
    for line in ("crawl http://example.invalid/", "up"):
        done = newsmill(*line.split())
        assert done.code == 1
        assert f"the disk of {tmp_path}/newsmill-data is full" in done.err
        assert done.err.rstrip().endswith("free some space to continue; stored data is not affected")


def test_no_control_character_of_a_page_reaches_the_terminal(newsmill: Newsmill) -> None:
    record = logging.LogRecord("crawler", logging.WARNING, __file__, 1, "%s failed\nTraceback: %s", ("a\x1b[2Jb", "\x9b1mc\td"), None)
    assert RedactingFormatter("%(message)s").format(record) == "a\ufffd[2Jb failed\nTraceback: \ufffd1mc\td"
    assert newsmill("show", "a\x1b[2Jb").err.count("\x1b") == 0


def test_db_check_makes_nothing(newsmill: Newsmill, tmp_path: Path) -> None:
    done = newsmill("db", "check")
    assert (done.code, "holds no documents yet" in done.err) == (1, True)
    assert list(tmp_path.iterdir()) == []
    assert newsmill("db", "upgrade").code == 0
    assert newsmill("db", "check").code == 0


def test_a_second_up_on_a_data_folder_says_so(newsmill: Newsmill, tmp_path: Path) -> None:
    with only_one_up(tmp_path / "newsmill-data" / "logs"):
        done = newsmill("up")
    assert done.code == 1
    assert f"`newsmill up` runs on {tmp_path}/newsmill-data already (process {os.getpid()}); stop it first" in done.err
    with only_one_up(tmp_path / "newsmill-data" / "logs"):
        pass


def test_tokens_need_a_name(newsmill: Newsmill) -> None:
    for name in ("", "  ", "a\nb"):
        refused = newsmill("token", "add", name)
        assert (refused.code, "NAME: expected 1 to 100 printable characters" in refused.err) == (2, True)
    assert newsmill("token", "add", "ann").code == 0


def test_the_true_cause_of_a_data_folder_without_permission(newsmill: Newsmill, tmp_path: Path) -> None:
    assert newsmill("add", "example.org", "--no-check").code == 0  # imports what the commands need
    for line in (["status"], ["sources", "list"], ["backup", str(tmp_path / "backup")]):
        assert newsmill(*line).code == 0
    for folder in (tmp_path, *tmp_path.parents):  # the other user must reach the data folder to be refused there
        folder.chmod(0o755)
        if folder.name.startswith("pytest-of-"):
            break
    data = tmp_path / "newsmill-data"
    for path in (data, *data.rglob("*")):
        path.chmod(0o555 if path.is_dir() else 0o444)
    copies = tmp_path / "copies"
    copies.mkdir()
    copies.chmod(0o777)
    is_root = os.geteuid() == 0  # to whom no permission is denied
    if is_root:
        os.seteuid(65534)
    try:
        reading = newsmill("status"), newsmill("sources", "list"), newsmill("backup", str(copies / "copy"))
        results = [newsmill(*line) for line in (["add", "other.example", "--no-check"], ["sources", "pause", "example-org"], ["up"])]
    finally:
        if is_root:
            os.seteuid(0)
        data.chmod(0o755)
    assert [done.code for done in reading] == [0, 0, 0], reading
    for done in results:
        assert done.code in (1, 2)
        assert any(cause in done.err for cause in ("Permission denied", "readonly", "unable to open"))
        assert "NEWSMILL_DATA" in done.err


@contextmanager
def max_file_size(size: int) -> Iterator[None]:
    """No file of this process may grow beyond `size` bytes: the nearest to a full disk that every user can make."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_limit_of_the_system_is_named_and_nothing_half_written_stays(newsmill: Newsmill, tmp_path: Path) -> None:
    with max_file_size(1 << 17):
        added = newsmill("add", "example.org", "--no-check")
    store = f"database {tmp_path}/newsmill-data/newsmill.sqlite: disk I/O error: "
    assert added.code == 1 and added.err.startswith(f"newsmill: {store}the disk refused to read or write")
    shutil.rmtree(tmp_path / "newsmill-data")
    with open_context(load({"NEWSMILL_DATA": str(tmp_path / "newsmill-data")}), create=True) as store_with_documents:
        insert_documents(store_with_documents.engine, replace(FULL, text="A long text. " * 20_000))
    with max_file_size(1 << 17):
        exported = newsmill("export", "-o", "out.jsonl")
    assert (exported.code, exported.err) == (1, "newsmill: out.jsonl: nothing was written (File too large)\n")
    assert [path.name for path in tmp_path.iterdir()] == ["newsmill-data"]


@pytest.mark.parametrize(
    ("message", "sentence"),
    [
        ("attempt to write a readonly database", "the file or its folder is read-only; make the folder writable, or set NEWSMILL_DATA"),
        ("database or disk is full", "the disk is full"),
        ("unable to open database file", "the file cannot be opened; make the folder writable"),
    ],
)
def test_the_cause_of_a_database_error(message: str, sentence: str) -> None:
    described = database_errors._describe(make_url("sqlite:///x/newsmill.sqlite"), sqlite3.OperationalError(message))
    assert described.startswith(f"database x/newsmill.sqlite: {message}: ") and sentence in described


@pytest.mark.parametrize("message", ["attempt to write a readonly database", "unable to open database file"])
def test_a_file_system_that_is_mounted_read_only_is_named(message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "newsmill.sqlite").touch()
    url, error = make_url(f"sqlite:///{tmp_path}/newsmill.sqlite"), sqlite3.OperationalError(message)
    assert "read-only; mount" not in database_errors._describe(url, error)
    fields = [*os.statvfs(tmp_path)]
    fields[8] |= os.ST_RDONLY  # f_flag
    monkeypatch.setattr(database_errors.os, "statvfs", lambda _: os.statvfs_result(fields))
    assert f"{message}: its file system is read-only; mount it for writing, or set NEWSMILL_DATA" in database_errors._describe(url, error)


def test_a_disk_without_room_is_told_from_a_broken_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    url, error = make_url(f"sqlite:///{tmp_path}/newsmill.sqlite"), sqlite3.OperationalError("disk I/O error")
    assert "a damaged disk, or a limit" in database_errors._describe(url, error)
    monkeypatch.setattr(database_errors.shutil, "disk_usage", lambda _: SimpleNamespace(free=0))
    assert "the disk is full; free some space" in database_errors._describe(url, error)
