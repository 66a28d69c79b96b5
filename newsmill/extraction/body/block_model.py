"""The block model, which rates how probably a block is body text. benchmarks/train_blocks.py trains it.

The model is boosted trees, read from a JSON table and evaluated with numpy for all blocks of a page at once.
A tree is nested lists. A leaf is a number. A node is [feature, threshold, below, above, mean].
`below` is the branch for value <= threshold. `mean` is the expected value of the node, from which `explain` derives its reasons.
The sum of the leaves is the log-odds that a block is body text.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from math import exp, inf
from typing import Any

# Limits for early stopping. On 9,224 blocks of 150 pages (out of fold), every decision was the same as with all trees of a model of 220.
# The probability differed by 0.014 on average, and 68 trees were evaluated.
MIN_TREES = 40
TREES_PER_STEP = 20
SURE_LOG_ODDS = 2.0  # log-odds from which the evaluation may stop
FURTHER_GROWTH = 0.9  # expected further growth of the sum, as a share of the trees not evaluated
MAX_ROWS = 1000  # evaluated at once, in some 10 MB; a page has 100, and a hostile one 20,000

Row = Sequence[float]
Node = Any  # float | tuple[int, float, Node, Node, float]: recursive


@dataclass(frozen=True, slots=True)
class Nodes:
    """The nodes of all trees as arrays, the roots first, so that many rows are evaluated at once.

    The branch for a value above the threshold follows that in `below`. A leaf has no threshold and leads to itself.
    """

    feature: Any
    threshold: Any
    below: Any
    value: Any  # of leaves
    depths: Sequence[int]  # of each tree: the steps to its deepest leaf

    def find_leaves(self, table: Any, start: int, end: int) -> Any:
        """Return the value of the leaf for each row of the table (first axis) and each tree from `start` to `end`."""
        import numpy as np

        size, columns = table.shape
        cells, first = table.ravel(), np.repeat(np.arange(size) * columns, end - start)
        at = np.tile(np.arange(start, end), size)
        for _ in range(max(self.depths[start:end])):
            at = self.below.take(at) + (cells.take(first + self.feature.take(at)) > self.threshold.take(at))
        return self.value.take(at).reshape(size, end - start)


@dataclass(frozen=True, slots=True)
class BlockModel:
    """The model table: the feature names in row order, and the trees."""

    features: tuple[str, ...]
    trees: tuple[Node, ...]
    threshold: float  # minimum probability at which a block is kept
    version: str
    nodes: Nodes = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "nodes", _list_nodes(self.trees))

    def make_rows(self, columns: Mapping[str, Sequence[float]]) -> list[Row]:
        """Return one row per block from one column per feature. Raises KeyError for a missing feature."""
        return list(zip(*(columns[name] for name in self.features), strict=True))

    def compute_odds(self, rows: Sequence[Row]) -> list[float]:
        """Return for each row the log-odds that the block is body text.

        Most blocks are clear before half of the trees are evaluated. The method then estimates the rest.
        """
        return [odds for at in range(0, len(rows), MAX_ROWS) for odds in self._compute_odds(rows[at : at + MAX_ROWS])]

    def _compute_odds(self, rows: Sequence[Row]) -> list[float]:
        import numpy as np  # only processes that read pages need it

        table, count = np.asarray(rows, dtype=float), len(self.trees)
        odds = np.zeros(len(rows))
        unclear = np.arange(len(rows))
        for start, end in ((0, min(MIN_TREES, count)), (MIN_TREES, count)):
            if start >= end or not unclear.size:
                break
            leaves = self.nodes.find_leaves(table[unclear], start, end)
            # cumsum() adds in the order of the trees, so a sum does not depend on the other rows
            sums = np.cumsum(np.column_stack((odds[unclear], leaves)), axis=1)
            stops = np.arange(max(start + TREES_PER_STEP, MIN_TREES), max(end, MIN_TREES) + TREES_PER_STEP, TREES_PER_STEP)
            at_stops = sums[:, np.minimum(stops, end) - start]
            is_clear = np.abs(at_stops) > SURE_LOG_ODDS
            estimates = at_stops * (1 + FURTHER_GROWTH * np.maximum(0.0, 1 - stops / count))
            stop = is_clear.argmax(axis=1)
            has_stopped = is_clear.any(axis=1)
            odds[unclear] = np.where(has_stopped, estimates[np.arange(len(unclear)), stop], sums[:, -1])
            unclear = unclear[~has_stopped]
        return odds.tolist()

    def explain(self, row: Row, odds: float) -> list[tuple[str, float]]:
        """Return the features that the decision used: (name, change in log-odds towards the sign of `odds`)."""
        moved: dict[int, float] = defaultdict(float)
        for node in self.trees:
            while node.__class__ is tuple:
                feature, threshold, below, above, mean = node
                node = below if row[feature] <= threshold else above
                moved[feature] += (node[4] if node.__class__ is tuple else node) - mean
        side = 1.0 if odds > 0 else -1.0
        return [(self.features[feature], side * change) for feature, change in moved.items()]


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


def _list_nodes(trees: Sequence[Node]) -> Nodes:
    import numpy as np

    waiting = [(node, tree, 0) for tree, node in enumerate(trees)]
    depths = [0] * len(trees)
    rows: list[tuple[int, float, int, float]] = []
    for node, tree, depth in waiting:  # the list grows
        depths[tree] = max(depths[tree], depth)
        if isinstance(node, tuple):
            rows.append((node[0], node[1], len(waiting), 0.0))
            waiting += [(node[2], tree, depth + 1), (node[3], tree, depth + 1)]
        else:
            rows.append((0, inf, len(rows), node))
    feature, threshold, below, value = zip(*rows, strict=True)
    return Nodes(np.asarray(feature), np.asarray(threshold), np.asarray(below), np.asarray(value, dtype=float), depths)


@cache
def load_shipped_model() -> BlockModel:
    """Return the model of this Newsmill version. Each process reads it once (27 KB per 100 trees)."""
    return parse_model((files("newsmill.extraction.body") / "block_model.json").read_text("utf-8"))
