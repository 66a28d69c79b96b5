"""The block model: boosted trees, read from a JSON table and evaluated in plain Python. benchmarks/train_blocks.py trains it.

A tree is nested lists. A leaf is a number. A node is [feature, threshold, below, above, mean].
`below` is the branch for value <= threshold. `mean` is the expected value of the node, from which `explain` derives its reasons.
The sum of the leaves is the log-odds that a block is body text.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from math import exp
from typing import Any

# Limits for early stopping. On 9,224 blocks of 150 pages (out of fold), every decision was the same as with all 220 trees.
# The probability differed by 0.014 on average, and 68 trees were evaluated.
MIN_TREES = 40
TREES_PER_STEP = 20
SURE_LOG_ODDS = 2.0  # log-odds from which the evaluation may stop
FURTHER_GROWTH = 0.9  # expected further growth of the sum, as a share of the trees not evaluated

Row = Sequence[float]
Node = Any  # float | tuple[int, float, Node, Node, float]: recursive


@dataclass(frozen=True, slots=True)
class BlockModel:
    """The model table: the feature names in row order, and the trees."""

    features: tuple[str, ...]
    trees: tuple[Node, ...]
    threshold: float  # minimum probability at which a block is kept
    version: str

    def make_rows(self, columns: Mapping[str, Sequence[float]]) -> list[Row]:
        """Return one row per block from one column per feature. Raises KeyError for a missing feature."""
        return list(zip(*(columns[name] for name in self.features), strict=True))

    def compute_odds(self, row: Row) -> float:
        """Return the log-odds that the block is body text.

        Most blocks are clear before half of the trees are evaluated. The method then estimates the rest.
        """
        total = 0.0
        done = 0
        while done < len(self.trees):
            for node in self.trees[done : done + TREES_PER_STEP]:
                while node.__class__ is tuple:
                    feature, threshold, below, above, _ = node
                    node = below if row[feature] <= threshold else above
                total += node
            done += TREES_PER_STEP
            if (total > SURE_LOG_ODDS or total < -SURE_LOG_ODDS) and done >= MIN_TREES:
                return total * (1 + FURTHER_GROWTH * max(0.0, 1 - done / len(self.trees)))
        return total

    def explain(self, row: Row, odds: float, count: int = 3) -> list[tuple[str, float, float]]:
        """Return the features that moved `odds` most towards its sign, at most `count`: (name, value, change in log-odds)."""
        moved: Counter[int] = Counter()
        for node in self.trees:
            while node.__class__ is tuple:
                feature, threshold, below, above, mean = node
                node = below if row[feature] <= threshold else above
                moved[feature] += (node[4] if node.__class__ is tuple else node) - mean
        side = 1.0 if odds > 0 else -1.0
        best = sorted(moved, key=lambda feature: -side * moved[feature])[:count]
        return [(self.features[feature], float(row[feature]), moved[feature]) for feature in best if side * moved[feature] > 0]


def to_probability(odds: float) -> float:
    """Return the probability, 0 to 1, for log-odds."""
    return 1.0 / (1.0 + exp(-max(-30.0, min(30.0, odds))))


def parse_model(text: str) -> BlockModel:
    """Return the model in a JSON table. Raises KeyError or ValueError if the text is not such a table."""
    table = json.loads(text)
    return BlockModel(tuple(table["features"]), tuple(map(_freeze, table["trees"])), table["threshold"], table["version"])


def _freeze(node: Node) -> Node:
    """Return nested lists as nested tuples. The garbage collector does not track tuples of numbers, and a model has thousands of nodes."""
    return tuple(map(_freeze, node)) if isinstance(node, list) else node


@cache
def load_shipped_model() -> BlockModel:
    """Return the model of this Newsmill version. Each process reads it once (27 KB per 100 trees)."""
    return parse_model((files("newsmill.extraction.body") / "block_model.json").read_text("utf-8"))
