"""Every recipe of docs/guides/cookbook.md is run as written, in the order of the page, on real sites, processes and services.

Blocks with a title are written to the file that the title names, `sh` blocks are run by bash. `newsmill up` keeps running beside the other
commands, as in a terminal of its own. A command without shell syntax runs in this process: an interpreter costs more than the command.
"""

from __future__ import annotations

import gzip
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path

import pytest
from command_result import Newsmill, make_runner
from store_status import read_status
from warc_records import record

from newsmill import demo

pytestmark = pytest.mark.slow

GUIDES = Path(__file__).resolve().parents[2] / "docs" / "guides"
BLOCK = re.compile(r'^```(\w+)(?: title="([^"]+)")?\n(.*?)^```$', re.DOTALL | re.MULTILINE)
INTRODUCTION, *CHAPTERS = re.split(r"^## ", (GUIDES / "cookbook.md").read_text(encoding="utf-8"), flags=re.MULTILINE)
PARTS = (chapter.partition("\n") for chapter in CHAPTERS)
RECIPES = {title: text for title, _, text in PARTS if "_job.py" not in text}  # tests/engines runs the jobs
MAX_COMMAND_SECONDS = 240  # on a busy machine
FIRST = next(iter(RECIPES))  # it follows the sites of the introduction, and so fills the store of the others
POLL = 0.5  # seconds between two looks at a running `newsmill up`
QUIET_LOOKS = 3  # that find nothing pending and nothing changed since the look before: between two commits a URL is in no queue
WARC_URL = "https://island.example/2020/03/01/lighthouse"
SHELL_SYNTAX = re.compile(r"[|<>]|\$\(|^\w+=")


class Kitchen:
    """A folder in which recipes are run. `words` replaces the sites of the page by local ones, which need no politeness."""

    def __init__(self, folder: Path, words: Mapping[str, str]) -> None:
        self.folder, self.words = folder, words
        self.settings = {
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "NEWSMILL_ALLOW_NETS": "127.0.0.1",
            "NEWSMILL_CONTACT": "tests@example.org",
            "NEWSMILL_PROCESSES": "1",
            "NEWSMILL_WEB": "off",
        }
        self.environ = {**os.environ, **self.settings}
        self.running: subprocess.Popen[str] | None = None

    def cook(self, text: str, newsmill: Newsmill | None = None) -> str:
        """Carries out all blocks of a text; returns what the commands printed. `newsmill` runs those without shell syntax."""
        printed = ""
        for language, title, block in BLOCK.findall(text):
            for old, new in self.words.items():
                block = block.replace(old, new)
            if title:
                path = self.folder / title
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(block, encoding="utf-8")
            elif language == "sh":
                for line in block.splitlines():
                    printed += self.run(line, newsmill)
        return printed

    def run(self, line: str, newsmill: Newsmill | None = None) -> str:
        """Runs one line of a block; returns what it printed."""
        words = shlex.split(line, comments=True)
        if not words:
            return ""
        if words == ["newsmill", "up"]:
            self.up()
            return ""
        # The processes of a crawl are forked from it, which needs a process without threads.
        if newsmill and words[0] == "newsmill" and words[1] != "crawl" and not SHELL_SYNTAX.search(line):
            result = newsmill(*words[1:])
            assert result.code == 0, f"{line}\n{result.out}{result.err}"
            return result.out
        done = subprocess.run(
            ["bash", "-e", "-o", "pipefail", "-c", line],
            cwd=self.folder,
            env=self.environ,
            capture_output=True,
            text=True,
            timeout=MAX_COMMAND_SECONDS,
        )
        assert done.returncode == 0, f"{line}\n{done.stdout}{done.stderr}"
        return done.stdout

    def up(self) -> None:
        """Starts `newsmill up` unless it runs, and waits until it has nothing to do."""
        if self.running is None:
            self.running = subprocess.Popen(["newsmill", "up"], cwd=self.folder, env=self.environ, stderr=subprocess.PIPE, text=True)
        before, quiet, deadline = None, 0, time.monotonic() + MAX_COMMAND_SECONDS
        while quiet < QUIET_LOOKS:
            assert self.running.poll() is None and time.monotonic() < deadline, f"newsmill up: {before}\n{self.stop()}"
            time.sleep(POLL)
            if not (self.folder / "newsmill-data" / "newsmill.sqlite").exists():
                continue  # it is still starting
            status = read_status(self.folder, self.environ)
            unread = {state: count for state, count in status["listings"].items() if state in ("due", "fetching") and count}
            now = (status["documents"], status["pages"], status["pending"], unread)
            is_quiet = now == before and status["documents"] and not status["pending"] and not unread
            before, quiet = now, quiet + 1 if is_quiet else 0

    def stop(self) -> str:
        """Stops `newsmill up`; returns what it printed."""
        assert self.running is not None
        running, self.running = self.running, None
        running.send_signal(signal.SIGTERM)
        return running.communicate(timeout=MAX_COMMAND_SECONDS)[1]

    def lines(self, name: str) -> list[str]:
        return (self.folder / name).read_text(encoding="utf-8").splitlines()


@pytest.fixture(scope="module")
def kitchen(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kitchen]:
    """One folder for all recipes, with the store that the first of them leaves."""
    folder = tmp_path_factory.mktemp("kitchen")
    (folder / "pages").mkdir()
    for path in sorted((demo.newspaper_folder() / "site" / "en" / "2026").rglob("*.html"))[:3]:
        shutil.copy(path, folder / "pages")
    text = "".join(f"<p>{number}. The lighthouse keeper of the northern island retires after forty years.</p>" for number in range(9))
    page = record(WARC_URL, f"<html lang=en><title>Lighthouse</title><article><h1>The last keeper</h1>{text}</article></html>".encode())
    (folder / "pages.warc.gz").write_bytes(gzip.compress(page) + gzip.compress(record(f"{WARC_URL}.png", content_type="image/png")))
    with ExitStack() as stack:
        sites = [stack.enter_context(demo.serve(with_crawl_delay=False)).url for _ in range(2)]
        words = {
            "https://www.example.org": sites[0],
            "https://news.example.com": sites[1],
            'every = "1h"': 'every = "1h"\npoliteness = { delay = 0.0 }',
            "newsmill crawl": "newsmill crawl --delay 0",
        }
        kitchen = Kitchen(folder, words)
        try:
            kitchen.cook(INTRODUCTION + RECIPES[FIRST])
            yield kitchen
        finally:
            if kitchen.running is not None:
                kitchen.stop()


@pytest.fixture
def newsmill(kitchen: Kitchen, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Newsmill:
    """Runs a command in this process, with the folder and the settings of the recipes."""
    monkeypatch.chdir(kitchen.folder)
    for name, value in kitchen.settings.items():
        monkeypatch.setenv(name, value)
    return make_runner(capsys, monkeypatch)


# ---- what each recipe promises -------------------------------------------------------------------------------------------------


def monitor(kitchen: Kitchen, printed: str) -> None:
    (table,) = (kitchen.folder / "alerts" / "data").glob("*.csv")
    text = table.read_text(encoding="utf-8")
    assert text.startswith("id,url,")
    assert text.count("Flood wall work to begin in February") >= 2  # once for each site


def corpus(kitchen: Kitchen, printed: str) -> None:
    assert re.search(r"\d+ documents in [12] files agree", printed)


def cite(kitchen: Kitchen, printed: str) -> None:
    assert printed.count("Newsmill corpus; query") == 1
    assert printed.endswith(f"{len(kitchen.lines('cited.jsonl'))} documents are as cited\n")


def index(kitchen: Kitchen, printed: str) -> None:
    chunks = [json.loads(line) for line in kitchen.lines("chunks.jsonl")]
    assert len({chunk["id"] for chunk in chunks}) == len(chunks) > 100, "the second run adds nothing"


def clean(kitchen: Kitchen, printed: str) -> None:
    documents = [json.loads(line) for line in kitchen.lines("documents.jsonl")]
    assert [document["outcome"] for document in documents] == ["stored"] * 3
    assert all(document["title"] and document["word_count"] > 200 for document in documents)


def warc(kitchen: Kitchen, printed: str) -> None:
    (capture,) = (json.loads(line) for line in kitchen.lines("captures.jsonl"))
    documents = [json.loads(line) for line in kitchen.lines("corpus.jsonl")]
    (document,) = (document for document in documents if document["url"] == WARC_URL)
    assert document["text"] == capture["text"]
    assert document["fetched_at"].startswith("2020-03-01T09:30:00")


def count(kitchen: Kitchen, printed: str) -> None:
    assert kitchen.lines("counts.csv")[0] == "day,gazette,paper"


def query(kitchen: Kitchen, printed: str) -> None:
    assert "gazette" in printed and "paper" in printed


def copies(kitchen: Kitchen, printed: str) -> None:
    groups = kitchen.lines("copies.txt")
    assert len(groups) >= 17 * 3, "every article of one site stands on the other"
    assert "+0 -0" in groups[2]


def stories(kitchen: Kitchen, printed: str) -> None:
    told = kitchen.lines("stories.txt")
    assert sum(line.endswith("2 sources") for line in told) == 10, "every article of one site stands on the other"
    assert {line.split()[2] for line in told if line.startswith("    ")} == {"gazette", "paper"}


def told(kitchen: Kitchen, printed: str) -> None:
    assert re.search(r"Big news .* 5 sources +0", printed)


def rules(kitchen: Kitchen, printed: str) -> None:
    assert "While the work lasts" in printed, "the preview shows the line"
    texts = kitchen.run("newsmill export 'flood wall' source:paper lang:en")
    assert "excavators" in texts and "While the work lasts" not in texts


def again(kitchen: Kitchen, printed: str) -> None:
    assert re.search(r"source +documents +better +worse +equal +failed", printed)


def missing(kitchen: Kitchen, printed: str) -> None:
    assert "gone" in printed and "unchanged" in printed


def backup(kitchen: Kitchen, printed: str) -> None:
    assert (kitchen.folder / "backup" / "newsmill.sqlite").is_file()
    assert printed.count("http://") == 3


CHECKS: dict[str, Callable[[Kitchen, str], None]] = {
    "Monitor 20 sites for a term and get a CSV every day": monitor,
    "Build a corpus for a paper, with its manifest": corpus,
    "Cite a corpus that others can verify": cite,
    "Feed a RAG index with new documents": index,
    "Clean a folder of HTML files": clean,
    "Build a corpus from WARC files": warc,
    "Count articles per day and source with pandas": count,
    "Query the corpus with SQL": query,
    "Find the same text on several sites": copies,
    "See who told a story first": stories,
    "Hear of a story that five sources carry": told,
    "Remove a line that a site puts under its texts": rules,
    "Extract the archive again after an upgrade": again,
    "Find out why an article is missing": missing,
    "Back up everything and check the copy": backup,
}


def test_every_recipe_has_a_check() -> None:
    assert list(CHECKS) == list(RECIPES)


def test_the_first_recipe(kitchen: Kitchen) -> None:
    CHECKS[FIRST](kitchen, "")


@pytest.mark.parametrize("title", [title for title in RECIPES if title != FIRST])
def test_recipe(title: str, kitchen: Kitchen, newsmill: Newsmill) -> None:
    CHECKS[title](kitchen, kitchen.cook(RECIPES[title], newsmill))
