"""Train the block model: `python benchmarks/train_blocks.py [--folds DIR]`. Needs `pip install -e '.[train]'`.

Every page with a whole gold text is read as in extraction, once with trafilatura's fast mode and once with its full mode. Two readings
keep the model independent of the mode. A block is body if half of its 4-word shingles occur in the gold, in order. Its weight is its
share of the gold's words, at most CAP; optional paragraphs have weight 0. Five models, each without one fold of publishers, give the
out-of-fold scores (`benchmarks/quality.py --folds DIR`); the model of all pages is shipped. The same data give the same bytes.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any

import lightgbm
import numpy as np
import trafilatura
from quality import BODY_SETS, DATA, FOLDS, GoldPage, pages

from newsmill.extraction.body.align import HALF, align
from newsmill.extraction.body.block_features import compute_features
from newsmill.extraction.body.block_walk import segment
from newsmill.extraction.body.layout_stats import LayoutStats
from newsmill.extraction.body.page_facts import read_facts
from newsmill.extraction.body.page_stats import PageStats
from newsmill.extraction.html import parse_html
from newsmill.extraction.metadata.structured_data import read_structured_data
from newsmill.text.charset import to_text

MODEL = Path(__file__).resolve().parents[1] / "newsmill" / "extraction" / "body" / "block_model.json"
CAP = 0.2  # share of the gold's words; a very long block must not outweigh a page
FLOOR = 50  # words; otherwise the blocks of a short gold text would weigh more than those of an article
TREES = 160  # 220 fit the measured pages more closely, and unseen ones no better (F1 -0.1 points)
THRESHOLD = 0.45  # 0.40, 0.45 and 0.50 differ by at most 0.002 on every set
LIMIT = 100_000  # bytes of JSON
# min_data_in_leaf and lambda_l2 prevent rules from single pages; feature_fraction spreads the weight over redundant features.
# One thread and force_row_wise are set, because a sum of floats depends on its order.
PARAMETERS = {
    "objective": "binary",
    "num_leaves": 15,
    "learning_rate": 0.055,
    "min_data_in_leaf": 40,
    "feature_fraction": 0.3,
    "bagging_fraction": 0.7,
    "bagging_freq": 1,
    "lambda_l2": 5.0,
    "max_bin": 63,
    "seed": 7,
    "num_threads": 1,
    "deterministic": True,
    "force_row_wise": True,
    "verbose": -1,
}


@dataclass(frozen=True, slots=True)
class Seen:
    """One reading of one page: features, labels and weights of the blocks near the body."""

    fold: int
    names: tuple[str, ...]
    rows: np.ndarray[Any, np.dtype[np.float64]]
    body: tuple[bool, ...]
    weight: tuple[float, ...]


def look(page: GoldPage) -> list[Seen]:
    """Read the page with trafilatura's fast mode and with its full mode; empty for a page without text."""
    text, _ = to_text(page.html, None)
    tree = parse_html(text).tree
    if tree is None:
        return []
    layout = segment(tree)
    if not layout.blocks:
        return []
    stats = LayoutStats(layout, read_facts(read_structured_data(tree, page.url or None)))
    gold = align(page.gold["text"].split("\n"), layout.blocks).shares
    free = page.gold.get("optional") or []
    optional = align([page.gold["paragraphs"][number] for number in free], layout.blocks).shares if free else (0.0,) * len(gold)
    total = max(FLOOR, sum(len(block.words) * share for block, share in zip(layout.blocks, gold, strict=True)))
    seen = []
    for fast in (True, False):
        found = trafilatura.bare_extraction(tree, url=page.url or None, include_comments=False, fast=fast)
        lines = ((found.text if found else None) or "").split("\n")
        view = PageStats(stats, stats.clear_comments(align(lines, layout.blocks).shares))
        chosen = [i for i in view.find_near_blocks() if optional[i] < HALF]
        if chosen:
            table = compute_features(view, chosen)
            rows = np.array(list(table.values()), dtype=np.float64).T
            weight = tuple(min(CAP, len(layout.blocks[i].words) / total) for i in chosen)
            seen.append(Seen(page.fold, tuple(table), rows, tuple(gold[i] >= HALF for i in chosen), weight))
    return seen


def train(seen: Sequence[Seen], without: int | None) -> dict[str, Any]:
    """Train a model on all readings except those of one fold, and return its table."""
    chosen = [one for one in seen if one.fold != without]
    weight = np.concatenate([one.weight for one in chosen])
    data = lightgbm.Dataset(
        np.concatenate([one.rows for one in chosen]),
        np.concatenate([one.body for one in chosen]).astype(float),
        weight=weight / weight.mean(),
        feature_name=list(chosen[0].names),
    )
    booster = lightgbm.train(PARAMETERS, data, TREES)
    return as_table(booster.dump_model())


def as_table(dump: dict[str, Any]) -> dict[str, Any]:
    """Convert the dump of LightGBM to the table of `newsmill.extraction.body.block_model`: only used features, with short numbers."""
    used = sorted({name for tree in dump["tree_info"] for name in _features(tree["tree_structure"])})
    place = {feature: number for number, feature in enumerate(used)}
    trees = [_node(tree["tree_structure"], place) for tree in dump["tree_info"]]
    body = {"features": [dump["feature_names"][feature] for feature in used], "threshold": THRESHOLD, "trees": trees}
    version = blake2b(json.dumps(body).encode(), digest_size=3).hexdigest()
    return {"version": version, **body}


def _features(node: dict[str, Any]) -> Iterator[int]:
    if "split_feature" in node:
        yield node["split_feature"]
        yield from _features(node["left_child"])
        yield from _features(node["right_child"])


def _node(node: dict[str, Any], place: dict[int, int]) -> Any:
    if "split_feature" not in node:
        return _short(node["leaf_value"], 3)
    children = (_node(node["left_child"], place), _node(node["right_child"], place))
    return [place[node["split_feature"]], _short(node["threshold"], 4), *children, _short(node["internal_value"], 2)]


def _short(value: float, digits: int) -> float | int:
    """Round a number to `digits` significant digits; integers have no point."""
    rounded = float(f"{value:.{digits}g}")
    return int(rounded) if rounded == int(rounded) else rounded


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--folds", type=Path, help="also write the five models without a fold here, as fold-0.json to fold-4.json")
    parser.add_argument("--out", type=Path, default=MODEL)
    parser.add_argument("--processes", type=int, default=1)
    options = parser.parse_args()
    every = [page for dataset in BODY_SETS for page in pages(dataset, options.data)]
    with ProcessPoolExecutor(options.processes) as pool:
        seen = [one for looks in pool.map(look, every, chunksize=8) for one in looks]
    print(f"{len(every)} pages, {len(seen)} looks, {sum(len(one.rows) for one in seen):,} blocks, {len(seen[0].names)} features")
    for fold in range(FOLDS) if options.folds else ():
        write(train(seen, fold), options.folds / f"fold-{fold}.json")
    write(train(seen, None), options.out)


def write(table: dict[str, Any], path: Path) -> None:
    """Write the table as JSON, one tree per line. Raise ValueError if it is larger than LIMIT."""
    head = json.dumps({key: value for key, value in table.items() if key != "trees"}, separators=(",", ":"))[:-1]
    text = head + ',"trees":[\n' + ",\n".join(json.dumps(tree, separators=(",", ":")) for tree in table["trees"]) + "\n]}\n"
    if len(text) > LIMIT:
        raise ValueError(f"{path} would be {len(text):,} bytes; at most {LIMIT:,}")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, "utf-8")
    print(f"{path}: {len(text):,} bytes, version {table['version']}")


if __name__ == "__main__":
    main()
