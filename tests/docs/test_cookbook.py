"""Every recipe of docs/guides/cookbook.md, and other blocks of the guides, are run as written, on real sites, processes and services.

Blocks with a title are written to the file that the title names, `sh` blocks are run by bash. `newsmill up` runs until nothing is pending.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path

import pytest
from store_status import read_status

from newsmill import demo

pytestmark = pytest.mark.slow

GUIDES = Path(__file__).resolve().parents[2] / "docs" / "guides"
BLOCK = re.compile(r'^```(\w+)(?: title="([^"]+)")?\n(.*?)^```$', re.DOTALL | re.MULTILINE)
INTRODUCTION, *CHAPTERS = re.split(r"^## ", (GUIDES / "cookbook.md").read_text(encoding="utf-8"), flags=re.MULTILINE)
RECIPES = {title: text for title, _, text in (chapter.partition("\n") for chapter in CHAPTERS)}
MAX_COMMAND_SECONDS = 240  # on a busy machine
FIRST = next(iter(RECIPES))  # it follows the sites of the introduction, and so fills the store of the others
POLL = 3.0  # seconds between two looks at a running `newsmill up`


class Kitchen:
    """A folder in which recipes are run. `words` replaces the sites of the page by local ones, which need no politeness."""

    def __init__(self, folder: Path, words: Mapping[str, str]) -> None:
        self.folder, self.words = folder, words
        self.environ = {
            **os.environ,
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "NEWSMILL_ALLOW_NETS": "127.0.0.1",
            "NEWSMILL_CONTACT": "tests@example.org",
            "NEWSMILL_PROCESSES": "1",
            "NEWSMILL_WEB": "127.0.0.1:0",
        }

    def cook(self, text: str) -> str:
        """Carries out all blocks of a text; returns what the commands printed."""
        printed = ""
        for language, title, block in BLOCK.findall(text):
            for old, new in self.words.items():
                block = block.replace(old, new)
            if title:
                path = self.folder / title
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(block, encoding="utf-8")
            elif language == "sh":
                for script in re.split(r"^(newsmill up)$", block, flags=re.MULTILINE):
                    printed += self.up() if script == "newsmill up" else self.run(script)
        return printed

    def run(self, script: str) -> str:
        done = subprocess.run(
            ["bash", "-e", "-o", "pipefail", "-c", script],
            cwd=self.folder,
            env=self.environ,
            capture_output=True,
            text=True,
            timeout=MAX_COMMAND_SECONDS,
        )
        assert done.returncode == 0, f"{script}\n{done.stdout}{done.stderr}"
        return done.stdout

    def up(self) -> str:
        """`newsmill up` until two looks find the same documents and nothing pending."""
        running = subprocess.Popen(["newsmill", "up"], cwd=self.folder, env=self.environ, stderr=subprocess.PIPE, text=True)
        try:
            before, deadline = None, time.monotonic() + MAX_COMMAND_SECONDS
            while time.monotonic() < deadline:
                time.sleep(POLL)
                if running.poll() is not None:
                    break
                if not (self.folder / "newsmill-data" / "newsmill.sqlite").exists():
                    continue  # it is still starting
                status = read_status(self.folder, self.environ)
                unread = {state: count for state, count in status["listings"].items() if state in ("due", "fetching") and count}
                now = (status["documents"], status["pages"], status["pending"], unread)
                if now == before and status["documents"] and not status["pending"] and not unread:
                    return ""
                before = now
        finally:
            running.send_signal(signal.SIGTERM)
            _, errors = running.communicate(timeout=MAX_COMMAND_SECONDS)
        raise AssertionError(f"newsmill up: {before}\n{errors}")

    def lines(self, name: str) -> list[str]:
        return (self.folder / name).read_text(encoding="utf-8").splitlines()


@pytest.fixture(scope="module")
def words() -> Iterator[dict[str, str]]:
    with ExitStack() as stack:
        sites = [stack.enter_context(demo.serve()).url for _ in range(2)]
        yield {
            "https://www.example.org": sites[0],
            "https://news.example.com": sites[1],
            'every = "1h"': 'every = "1h"\npoliteness = { delay = 0.0 }',
            "newsmill crawl": "newsmill crawl --delay 0",
        }


@pytest.fixture(scope="module")
def stocked(words: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Kitchen:
    """What the first recipe leaves: the store that the others begin with."""
    kitchen = Kitchen(tmp_path_factory.mktemp("stocked"), words)
    kitchen.cook(INTRODUCTION + RECIPES[FIRST])
    return kitchen


@pytest.fixture
def kitchen(words: dict[str, str], stocked: Kitchen, tmp_path: Path) -> Kitchen:
    folder = tmp_path / "kitchen"
    shutil.copytree(stocked.folder, folder)
    pages = folder / "pages"
    pages.mkdir()
    for path in sorted((demo.newspaper_folder() / "site" / "en" / "2026").rglob("*.html"))[:3]:
        shutil.copy(path, pages)
    return Kitchen(folder, words)


# ---- what each recipe promises -------------------------------------------------------------------------------------------------


def monitor(kitchen: Kitchen, printed: str) -> None:
    (table,) = (kitchen.folder / "alerts" / "data").glob("*.csv")
    text = table.read_text(encoding="utf-8")
    assert text.startswith("id,url,")
    assert text.count("Flood wall work to begin in February") >= 2  # once for each site


def corpus(kitchen: Kitchen, printed: str) -> None:
    assert re.search(r"\d+ documents in [12] files agree", printed)


def index(kitchen: Kitchen, printed: str) -> None:
    chunks = [json.loads(line) for line in kitchen.lines("chunks.jsonl")]
    assert len({chunk["id"] for chunk in chunks}) == len(chunks) > 100, "the second run adds nothing"


def clean(kitchen: Kitchen, printed: str) -> None:
    documents = [json.loads(line) for line in kitchen.lines("documents.jsonl")]
    assert [document["outcome"] for document in documents] == ["stored"] * 3
    assert all(document["title"] and document["word_count"] > 200 for document in documents)


def count(kitchen: Kitchen, printed: str) -> None:
    assert kitchen.lines("counts.csv")[0] == "day,gazette,paper"


def query(kitchen: Kitchen, printed: str) -> None:
    assert "gazette" in printed and "paper" in printed


def copies(kitchen: Kitchen, printed: str) -> None:
    groups = kitchen.lines("copies.txt")
    assert len(groups) >= 17 * 3, "every article of one site stands on the other"
    assert "100%" in groups[2]


def rules(kitchen: Kitchen, printed: str) -> None:
    assert "While the work lasts" in printed, "the preview shows the line"
    texts = kitchen.run("newsmill export 'flood wall' source:paper lang:en")
    assert "excavators" in texts and "While the work lasts" not in texts


def missing(kitchen: Kitchen, printed: str) -> None:
    assert "gone" in printed and "unchanged" in printed


def backup(kitchen: Kitchen, printed: str) -> None:
    assert (kitchen.folder / "backup" / "newsmill.sqlite").is_file()
    assert printed.count("http://") == 3


CHECKS: dict[str, Callable[[Kitchen, str], None]] = {
    "Monitor 20 sites for a term and get a CSV every day": monitor,
    "Build a corpus for a paper, with its manifest": corpus,
    "Feed a RAG index with new documents": index,
    "Clean a folder of HTML files": clean,
    "Count articles per day and source with pandas": count,
    "Query the corpus with SQL": query,
    "Find the same text on several sites": copies,
    "Remove a line that a site puts under its texts": rules,
    "Find out why an article is missing": missing,
    "Back up everything and check the copy": backup,
}


def test_every_recipe_has_a_check() -> None:
    assert list(CHECKS) == list(RECIPES)


def test_the_first_recipe(stocked: Kitchen) -> None:
    CHECKS[FIRST](stocked, "")


@pytest.mark.parametrize("title", [title for title in RECIPES if title != FIRST])
def test_recipe(title: str, kitchen: Kitchen) -> None:
    CHECKS[title](kitchen, kitchen.cook(RECIPES[title]))


ARTICLE = "https://www.example.org/en/2026/11/24/flood-wall-work-to-begin-in-february"


@pytest.mark.parametrize(
    ("guide", "chapter", "replaced"),
    [
        ("quick-start.md", "Look at the documents", {}),
        ("following-sites.md", "Submit single URLs", {"some-program": "cat urls.txt"}),
        ("operating.md", "Back up the embedded store", {"/backups/newsmill": "copy"}),
        ("search-and-export.md", "Search", {"source:demo": "source:paper"}),
        ("search-and-export.md", "Read one document", {"URL": ARTICLE}),
        ("search-and-export.md", "Export", {"--to corpus": "--to export"}),
    ],
)
def test_commands_of_another_guide(guide: str, chapter: str, replaced: dict[str, str], kitchen: Kitchen) -> None:
    """Each command of the chapter succeeds; `replaced` puts in words, URLs and folders that this corpus has."""
    text = (GUIDES / guide).read_text(encoding="utf-8")
    (blocks,) = re.findall(rf"^##+ {chapter}\n(.*?)(?=^##|\Z)", text, re.DOTALL | re.MULTILINE)
    (kitchen.folder / "urls.txt").write_text(f"{kitchen.words['https://www.example.org']}/another-story.html\n", encoding="utf-8")
    kitchen.words = {**replaced, **kitchen.words}
    kitchen.cook(blocks)
