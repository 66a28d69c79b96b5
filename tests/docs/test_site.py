"""The documentation site builds without a warning, and every link in the repository's Markdown leads somewhere."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from markdown_it import MarkdownIt
from site_hooks import OUTSIDE

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "benchmarks").rglob("*.md")])


def test_the_site_builds_strictly(tmp_path: Path) -> None:
    """Warnings are missing pages, links or anchors, and pages that the navigation does not name. With --quiet none would count."""
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path / "site")]
    environ = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}  # the theme's note on its successor, Zensical, which reads the same pages
    done = subprocess.run(command, cwd=ROOT, env=environ, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stdout + done.stderr
    built = (tmp_path / "site" / "index.html").read_text(encoding="utf-8")
    assert "<h1" in built
    elsewhere = re.findall(r"""<(?:link|script|img)[^>]+(?:href|src)=["']?(https?://[^"'> ]+)""", built)
    assert not elsewhere, "the site asks another host"


def links(page: Path) -> list[str]:
    """The targets of all links and images of a page that stay within the repository."""
    tokens = [
        child
        for token in MarkdownIt("commonmark").enable("table").parse(page.read_text(encoding="utf-8"))
        for child in token.children or []
    ]
    targets = [str(token.attrs.get("href") or token.attrs.get("src")) for token in tokens if token.type in ("link_open", "image")]
    return [target for target in targets if not re.match(r"[a-z]+:", target)]


def anchors(page: Path) -> set[str]:
    """The names that GitHub and MkDocs give to the headings of a page. Of equal headings only the first has one name in both."""
    text = re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in re.findall(r"^#+ (.+)$", text, re.MULTILINE)}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    broken = []
    for target in links(page):
        file, _, anchor = target.partition("#")
        path = (page.parent / file).resolve() if file else page
        if not path.exists() or (anchor and path.suffix == ".md" and anchor not in anchors(path)):
            broken.append(target)
    assert not broken, f"{page.relative_to(ROOT)}: {broken}"


def test_the_site_shows_every_page_of_the_repository_that_a_page_links_to() -> None:
    """A link from docs/ to a file outside it works on the site only when site_hooks.py adds the file."""
    for page in (ROOT / "docs").rglob("*.md"):
        for target in links(page):
            path = (page.parent / target.partition("#")[0]).resolve()
            inside = path.is_relative_to(ROOT / "docs") or str(path.relative_to(ROOT)) in OUTSIDE
            assert inside, f"{page.relative_to(ROOT)}: {target} is neither in docs/ nor in site_hooks.OUTSIDE"
