"""`newsmill extract --format parquet`: all files of a folder, the summary, kills, and what is refused before any work."""

from __future__ import annotations

import gzip
import os
import random
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest
from command_result import Newsmill
from warc_records import article, list_bytes
from workers_world import descendants

from newsmill.batch import BatchOptions, FileCounts
from newsmill.batch.parts import PartsFolder
from newsmill.batch.profile_file import write_profiles
from newsmill.cli import extract_parquet
from newsmill.exports.parquet import RowWriter

FILES, PAGES = 4, 12


@pytest.fixture
def crawl(tmp_path: Path) -> Path:
    for number in range(FILES):
        folder = tmp_path / "crawl" / str(number % 2)
        folder.mkdir(parents=True, exist_ok=True)
        records = [gzip.compress(article(f"story-{number}-{page}")) for page in range(PAGES)]
        (folder / f"{number // 2}.warc.gz").write_bytes(b"".join(records))
    return tmp_path / "crawl"


def start(crawl: Path, out: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "newsmill", "extract", str(crawl), "--format", "parquet", "-o", str(out), "-p", "2"]
    return subprocess.Popen(command, stderr=subprocess.PIPE, text=True, start_new_session=True)


def finish(process: subprocess.Popen[str]) -> tuple[int, str]:
    errors = process.communicate(timeout=120)[1]
    return process.returncode, errors


def kill_somebody(process: subprocess.Popen[str], out: Path, chance: random.Random) -> None:
    """Kill a task, a reader, a fork server or the whole command at a random moment of its work."""
    while process.poll() is None and not (out / "_newsmill.json").exists():
        time.sleep(0.01)
    time.sleep(chance.random() * 3)
    others = sorted(descendants(process.pid))
    for pid in chance.choice(([process.pid], others and [chance.choice(others)], others)):
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue


@pytest.mark.slow
def test_kills_at_random_moments_change_no_byte(crawl: Path, tmp_path: Path) -> None:
    code, errors = finish(start(crawl, tmp_path / "whole"))
    assert (code, errors.splitlines()[-1]) == (0, f"{FILES * PAGES} documents")
    chance, rounds = random.Random(7), int(os.environ.get("NEWSMILL_BATCH_KILLS", "2"))
    for number in range(rounds):
        process = start(crawl, tmp_path / "killed")
        kill_somebody(process, tmp_path / "killed", chance)
        finish(process)
        if number % 5 == 4 or number == rounds - 1:
            code, errors = finish(start(crawl, tmp_path / "killed"))
            assert code == 0, errors
            assert list_bytes(tmp_path / "killed") == list_bytes(tmp_path / "whole")
            for path in tmp_path.glob("killed/*/*"):
                path.unlink()


@pytest.mark.slow
def test_ctrl_c_keeps_what_is_done(crawl: Path, tmp_path: Path) -> None:
    process = start(crawl, tmp_path / "out")
    deadline = time.monotonic() + 60
    while not list(tmp_path.glob("out/_finished/*.json")) and time.monotonic() < deadline:
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGINT)
    code, errors = finish(process)
    finished = len(list(tmp_path.glob("out/_finished/*.json")))
    assert finished >= 1 and "Traceback" not in errors
    assert (code, "stopped; the same command continues" in errors) == (130, True) or finished == FILES


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["missing.warc"], "missing.warc: no such file or folder"),
        (["s4://bucket/a.warc"], "s4://bucket/a.warc' cannot be read; expected file"),
        (["."], "has no WARC file"),
        (["a.warc", "--url", "https://paper.example/"], "not with --format parquet"),
        (["a.warc", "--since", "May"], "expected a day, month or year"),
        (["a.warc", "--urls", "none.txt"], "none.txt: cannot be read (No such file or directory)"),
        (["a.warc", "--urls", "/dev/null"], "/dev/null has no URL"),
        (["a.warc", "--learn", "--profiles", "p.sqlite"], "give --learn or --profiles, not both"),
        (["s3://bucket/a.warc", "-o", "s3://user:secret@bucket/out"], "credentials"),
        ([], "give WARC files"),
    ],
)
def test_what_is_refused_before_any_work(
    arguments: list[str], message: str, newsmill: Newsmill, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    done = newsmill("extract", *arguments, "--format", "parquet", *([] if "-o" in arguments else ["-o", "out"]))
    assert (done.code, message in done.err, done.err.count("\n"), (tmp_path / "out").exists()) == (2, True, 1, False), done.err
    for alone in (["--format", "parquet"], ["--status", "200"], ["--urls", "list.txt"]):
        done = newsmill("extract", "a.warc", *alone)
        assert (done.code, "needs -o FOLDER" in done.err) == (2, True)


def test_an_empty_folder_does_not_refuse_the_others(newsmill: Newsmill, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("empty", "other", "crawl"):
        (tmp_path / name).mkdir()
    arguments = ("--format", "parquet", "-o", "out")
    done = newsmill("extract", "empty", "other", *arguments)
    assert (done.code, done.err.count("has no WARC file"), (tmp_path / "out").exists()) == (2, 2, False), done.err
    (tmp_path / "crawl" / "a.warc").write_bytes(article("story")[:300])
    done = newsmill("extract", "empty", "crawl", *arguments)
    assert done.code == 0 and "empty has no WARC file; their names end with" in done.err and "0 documents, 1 damaged" in done.err
    (tmp_path / "crawl" / "a.warc").write_bytes(article("story"))
    done = newsmill("extract", "crawl", "empty", *arguments)
    assert done.code == 0 and "1 file changed since then; the new rows replace those of before\n" in done.err
    assert done.err.endswith("1 document\n") and len(list((tmp_path / "out" / "documents").iterdir())) == 1


def test_options_reach_every_file(newsmill: Newsmill, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = list[BatchOptions]()
    monkeypatch.setattr(extract_parquet, "extract_to_parquet", lambda names, folder, options, **_: found.append(options))
    (tmp_path / "list.txt").write_text("# stories\nhttps://paper.example/a\n\nhttps://paper.example/b\n")
    options = ("--host", "paper.example", "--status", "200", "--status", "404", "--urls", str(tmp_path / "list.txt"), "--since", "2020")
    assert newsmill("extract", "a.warc", "--format", "parquet", "-o", "out", *options).code == 0
    urls = frozenset({"https://paper.example/a", "https://paper.example/b"})
    assert found == [BatchOptions(("paper.example",), (200, 404), datetime(2020, 1, 1, tzinfo=UTC), urls=urls)]


@pytest.mark.parametrize(
    ("language", "has_profiles", "message"),
    [(None, False, "other options (profiles)"), ("de", True, "other options (language)"), (None, True, None)],
)
def test_learning_is_refused_for_a_folder_of_other_options(
    language: str | None, has_profiles: bool, message: str | None, newsmill: Newsmill, tmp_path: Path
) -> None:
    (tmp_path / "a.warc").write_bytes(article("story"))
    write_profiles(tmp_path / "p.sqlite", [], "")
    options = BatchOptions(language=language, profiles=tmp_path / "p.sqlite" if has_profiles else None)
    PartsFolder(str(tmp_path / "out"), options).claim()
    if message is None:
        PartsFolder(str(tmp_path / "out"), BatchOptions()).claim(learns=True)
        return
    done = newsmill("extract", str(tmp_path / "a.warc"), "--format", "parquet", "-o", str(tmp_path / "out"), "--learn")
    assert (done.code, message in done.err, (tmp_path / "out" / "_profiles").exists()) == (2, True, False), done.err


def test_only_the_unfinished_files_of_killed_tasks_are_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    parts, folder = PartsFolder(str(tmp_path), BatchOptions()), tmp_path / "outcomes"
    folder.mkdir()
    stale, other = folder / "a.parquet.0123abcd.tmp", folder / "notes.tmp"
    stale.touch()
    other.touch()

    def fill(documents: RowWriter, outcomes: RowWriter) -> FileCounts:
        parts.remove_unfinished()
        return FileCounts("b.warc")

    def remove_and_rename(path: Path, target: Path) -> Path:
        parts.remove_unfinished()  # as another process may do just before
        return rename(path, target)

    rename = Path.rename
    monkeypatch.setattr(Path, "rename", remove_and_rename)
    parts.write("b.warc", fill)
    assert (stale.exists(), other.exists(), len(list(folder.iterdir()))) == (False, True, 2)
