"""An HTML report of the pages that are better or worse than in a saved run: gold, before and now, line by line."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from difflib import SequenceMatcher
from html import escape
from pathlib import Path
from typing import Any

from gold import GoldPage

STEP = 0.002  # F1; smaller changes are not shown
HEAD = """<!doctype html><meta charset="utf-8"><title>Pages that changed</title>
<style>body{font:15px/1.45 sans-serif;max-width:70em;margin:auto;padding:1em}ins{background:#d6f5d6;text-decoration:none}
del{background:#f9d6d5}summary{cursor:pointer;margin:.4em 0}p{margin:.2em 0}.gold{color:#777}</style>
"""


def write_page(
    path: Path,
    pages: Sequence[GoldPage],
    before: Sequence[Mapping[str, Any]],
    texts: Mapping[tuple[str, str], str],
    known: Mapping[tuple[str, str], float],
) -> str:
    """Write the report, with the worst loss first, and return a sentence with the number of its pages."""
    old = {(row["dataset"], row["id"]): row for row in before}
    changed = []
    for page in pages:
        key = (page.dataset, page.id)
        if key in old and key in known and old[key].get("f1") is not None and abs(known[key] - old[key]["f1"]) >= STEP:
            changed.append((known[key] - old[key]["f1"], page, key))
    changed.sort(key=lambda change: change[0])
    path.write_text(HEAD + "".join(_shown(gap, page, old[key]["text"], texts.get(key, "")) for gap, page, key in changed), "utf-8")
    worse = sum(gap < 0 for gap, _, _ in changed)
    return f"{path}: {worse} pages worse, {len(changed) - worse} better"


def _shown(gap: float, page: GoldPage, before: str, now: str) -> str:
    gold = {line.strip() for line in str(page.gold.get("text", "")).split("\n") if line.strip()}
    old, new = (text.split("\n") for text in (before, now))
    parts = []
    for kind, a, b, c, d in SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
        if kind != "equal":
            parts += [_line("del", line, gold) for line in old[a:b]] + [_line("ins", line, gold) for line in new[c:d]]
    return f"<details><summary>{gap:+.3f} {escape(page.dataset)} {escape(page.id)}</summary>{''.join(parts)}</details>\n"


def _line(tag: str, line: str, gold: set[str]) -> str:
    mark = ' <span class="gold">(in the gold)</span>' if line.strip() in gold else ""
    return f"<p><{tag}>{escape(line)}</{tag}>{mark}</p>" if line.strip() else ""
