"""Verdicts without gold: `python benchmarks/verdict.py BEFORE.jsonl AFTER.jsonl [--folds DIR]`.

Judges two sets of texts of the gold pages (lines as for `../shared/quality/score.py`) and compares the verdicts with the F1 of the gold.
A page has moved if its F1 changes by more than 0.02. A false alarm is a page that is called better or worse and has not changed, or changed
the other way. With `--folds DIR` (made by train_blocks.py), the block model has not seen the page's publisher.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

from quality import BODY_SETS, GoldPage, fold_model, pages, scorer

from newsmill.extraction.verdict import judge
from newsmill.model import Judgement, Page

MOVED = 0.02  # of the F1
FETCHED = datetime(2026, 11, 25, tzinfo=UTC)
SIGNS = {Judgement.BETTER: 1, Judgement.EQUAL: 0, Judgement.WORSE: -1}


def read_texts(path: Path) -> dict[tuple[str, str], str]:
    """Return the texts of a file of predictions by data set and page."""
    rows = [json.loads(line) for line in path.read_text("utf-8").splitlines() if line.strip()]
    return {(row["dataset"], row["id"]): row["text"] or "" for row in rows}


def make_page(gold: GoldPage) -> Page:
    """Return a gold page as if it had been fetched."""
    return Page(gold.url, gold.url, FETCHED, 200, (("Content-Type", "text/html"),), gold.html)


def main() -> None:
    """Judge all pages and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("before", type=Path)
    parser.add_argument("after", type=Path)
    parser.add_argument("--folds", type=Path)
    parser.add_argument("--list", action="store_true", help="print the pages whose verdict is not right")
    options = parser.parse_args()
    score, before, after = scorer(), read_texts(options.before), read_texts(options.after)
    counts: Counter[str] = Counter()
    for dataset in BODY_SETS:
        for gold in pages(dataset):
            key = (dataset, gold.id)
            if key not in before or key not in after:
                continue
            verdict = judge(make_page(gold), before[key], after[key], model=fold_model(options.folds, gold.fold) if options.folds else None)
            old, new = (
                max(score.prf(*score.shingle_page(score.plain(one), score.plain(texts[key]))[0])[2] for one in score.variants(gold.gold))
                for texts in (before, after)
            )
            result = classify(new - old, SIGNS[verdict.judgement])
            counts.update(("pages", result), differing=before[key] != after[key])
            if options.list and result in ("wrong", "silent", "false alarm"):
                print(f"{result:<12} {dataset} {gold.id} {new - old:+.3f} {verdict.gain:+.3f} {'; '.join(verdict.reasons)}")
    moved = counts["right"] + counts["wrong"] + counts["silent"]
    alarms = counts["wrong"] + counts["false alarm"]
    print(json.dumps(counts, sort_keys=True))
    print(f"sign right: {counts['right']} of {moved} moved pages ({counts['right'] / max(1, moved):.1%})")
    print(f"false alarms: {alarms} of {counts['pages']} pages ({alarms / max(1, counts['pages']):.1%})")


def classify(change: float, sign: int) -> str:
    """Compare a verdict's sign with the change of a page's F1."""
    if abs(change) > MOVED:
        return "right" if sign * change > 0 else "wrong" if sign else "silent"
    return "still" if not sign else "small" if sign * change > 0 else "false alarm"


if __name__ == "__main__":
    main()
