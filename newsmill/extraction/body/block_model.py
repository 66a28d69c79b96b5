"""The block model: boosted trees read from a JSON table, evaluated in plain Python. Made by benchmarks/train_blocks.py.

A tree is nested lists: [feature, threshold, below, above, mean] for a node (`below` is taken when value <= threshold; `mean` is the node's
own expectation, from which the reasons are told), a number for a leaf. The sum of the leaves is the log-odds that a block is body text.
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

# When to stop asking trees. On 9,224 blocks of 150 pages, out of fold, no decision was other than with all 220 trees, the probability was
# off by 0.014 on average, and 68 trees were asked.
MIN_TREES = 40
TREES_PER_STEP = 20
SURE_LOG_ODDS = 2.0  # log-odds
FURTHER_GROWTH = 0.9  # how much larger the sum would still have grown, as a share of the trees not asked

Row = Sequence[float]
Node = Any  # float | tuple[int, float, Node, Node, float]: recursive


@dataclass(frozen=True, slots=True)
class BlockModel:
    """The table: names of the features in the order of a row, and the trees over them."""

    features: tuple[str, ...]
    trees: tuple[Node, ...]
    threshold: float  # a block is kept from this probability
    version: str

    def make_rows(self, columns: Mapping[str, Sequence[float]]) -> list[Row]:
        """The features' columns as one row a block."""
        return list(zip(*(columns[name] for name in self.features), strict=True))

    def compute_odds(self, row: Row) -> float:
        """Log-odds that the block is body text. Most blocks are clear before half of the trees have spoken; the rest is then estimated."""
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
        """The features that moved this block's `odds` most in the direction they ended: (name, its value, by how much)."""
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
    """Log-odds as a probability."""
    return 1.0 / (1.0 + exp(-max(-30.0, min(30.0, odds))))


def parse_model(text: str) -> BlockModel:
    """A model from its JSON table. Raises KeyError or ValueError for a table that is none."""
    table = json.loads(text)
    return BlockModel(tuple(table["features"]), tuple(map(_freeze, table["trees"])), table["threshold"], table["version"])


def _freeze(node: Node) -> Node:
    """Lists as tuples, all the way down: the garbage collector leaves tuples of numbers alone, and there are thousands of nodes."""
    return tuple(map(_freeze, node)) if isinstance(node, list) else node


@cache
def load_shipped_model() -> BlockModel:
    """The model that comes with this version of Newsmill; read once a process (27 KB a hundred trees)."""
    return parse_model((files("newsmill.extraction.body") / "block_model.json").read_text("utf-8"))
