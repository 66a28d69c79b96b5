"""Files and names in the backticks of the documentation exist, so that a page does not outlive what it describes."""

from __future__ import annotations

import ast
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGES = [*ROOT.glob("*.md"), *sorted((ROOT / "docs").rglob("*.md")), ROOT / "benchmarks" / "README.md"]
CODE_FOLDERS = ("newsmill", "crawler", "workers", "config", "benchmarks")
FILE = re.compile(r"(?:newsmill|crawler|workers|tests|benchmarks|docs|\.ci)/[\w./-]+")
NAME = re.compile(r"^[a-z][a-z\d]*(?:_[a-z\d]+)+$|\b[A-Z][a-z]+(?:[A-Z][a-z]+)+\b|\w+(?=[\[(])")  # snake_case, CamelCase, called or indexed
EXAMPLES = {"ClassName", "NewsArticel"}
# Names of PostgreSQL, SQLite, Scrapy, browsers and libraries, which our code does not use.
FOREIGN = """
ParquetReader RayPipelineExecutor SlurmPipelineExecutor
EventSource bm25 cache_size checkpoint_timeout contentless_delete custom_settings data_files default_toast_compression
depends_on enqueue_at enqueue_in
gin_fuzzy_search_limit html_clean http_proxy https_proxy load_dataset maintenance_work_mem map_from_entries max_wal_size mmap_size pg_dump
pg_restore prune_xpath random_page_cost read_parquet shared_buffers ts_rank user_data_dir wal_autocheckpoint wal_compression
"""


def names_in_code() -> set[str]:
    """Identifiers and words of one-word strings of Python files, and keys of TOML files. Comments and sentences do not count."""
    found = set[str]()
    for path in (path for folder in CODE_FOLDERS for path in (ROOT / folder).rglob("*.*")):
        if path.suffix == ".toml":
            found.update(re.findall(r"^(?:# )?(\w+) *=", path.read_text(encoding="utf-8"), re.MULTILINE))
        elif path.suffix == ".py":
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                texts = (getattr(node, attribute, None) for attribute in ("id", "attr", "name", "arg", "value"))
                found.update(*(re.findall(r"\w+", text) for text in texts if isinstance(text, str) and not re.search(r"\s", text)))
    return found


def test_files_and_names_that_the_documentation_mentions_exist() -> None:
    known, unknown = names_in_code() | EXAMPLES | {*FOREIGN.split()}, []
    for page in PAGES:
        text = re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
        for code in re.findall(r"`(?:\./)?([^`\n]+)`", text):
            names = [name for name in NAME.findall(code) if name not in known]
            unknown += [f"{page.relative_to(ROOT)}: {name}" for name in names]
            if FILE.fullmatch(code) and not (ROOT / code).exists():
                unknown.append(f"{page.relative_to(ROOT)}: {code}")
    assert not unknown, "these do not exist: " + ", ".join(unknown)


def test_what_decides_by_evidence_cites_the_table() -> None:
    """Each row of the table names the code, and the code names the table."""
    rows = re.findall(r"^\|.*\|$", (ROOT / "SECURITY.md").read_text(encoding="utf-8").partition("## What is evidence")[2], re.MULTILINE)
    named = {path for row in rows[2:] for path in FILE.findall(row.rpartition(" | ")[2])}
    assert len(rows) > 20 and named
    assert [path for path in sorted(named) if "SECURITY.md" not in (ROOT / path).read_text(encoding="utf-8")] == []
