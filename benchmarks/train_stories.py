"""The weights by which a cluster of documents is a story: `python benchmarks/train_stories.py [--texts FILE] [--folds 5]`.

Each cluster of two or more documents in the trees of the texts (`id`, `story`, `text`; by default the 770 of ECB+) is an example: its two
parts tell the same news if most pairs of documents across them do. The logistic regression on all examples gives `WEIGHTS` of
`newsmill/stories/clusters.py`. For the held-out figures, each fold has the weights of the others; the two look-alike events of a number,
as 10ecb and 10ecbplus, are in one fold. Then, of texts that are half of one story and half of another, how many join the two, with
`WEIGHTS` as they are. Last come the gold pages of news sets, as if all were of one day: nearly all of them tell a story
of their own, so the fewer look like a story, the better.
"""

from __future__ import annotations

import argparse
import json
import random
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from quality import DATA
from stories import ECB, count_apart, score

from newsmill.stories.clusters import Node, StoryDocument, build_trees, cluster, cut, list_features
from newsmill.stories.terms import find_terms

Floats = NDArray[np.float64]
CAUTION = 2.0  # how often an example of two stories counts: of 1 to 8, the held-out F1 is highest with 1.5 and 2
NEWS_SETS = ("aeb", "fundus-eval", "fundus-parser")
MIN_CHARACTERS = 300  # of a page
STEPS = 30  # of Newton's method; ten change the weights by less than 0.001
BRIDGES, BRIDGED_TEXTS = 150, 5  # texts that are half of one story and half of another; texts of each of the two
RIDGE = 0.01  # keeps the weights finite if a feature tells the examples apart


class Fold:
    """The trees of some texts, and their examples."""

    def __init__(self, rows: list[Mapping[str, str]]) -> None:
        ordered, self._trees = build_trees([StoryDocument(row["id"], 0, "en", find_terms(None, row["text"], "en")) for row in rows])
        self._ids = [document.id for document in ordered]
        self._gold = {row["id"]: row["story"] for row in rows}
        nodes = [node for tree in self._trees for node in list_clusters(tree)]
        self.features: Floats = np.array([list_features(node) for node in nodes])
        self.labels: Floats = np.array([self._is_story(node) for node in nodes], dtype=float)

    def _is_story(self, node: Node) -> bool:
        one, other = ([self._gold[self._ids[number]] for number in part.members] for part in node.parts or ())
        return 2 * sum(story == another for story in one for another in other) > len(one) * len(other)

    def cut(self, weights: Floats) -> Iterator[frozenset[str]]:
        for tree in self._trees:
            for story in cut(tree, weights.tolist()):
                yield frozenset(self._ids[number] for number in story)


def list_clusters(tree: Node) -> Iterator[Node]:
    if tree.parts is not None:
        yield tree
        for part in tree.parts:
            yield from list_clusters(part)


def fit(folds: list[Fold]) -> Floats:
    """The weights of a logistic regression, by Newton's method."""
    features, labels = np.concatenate([fold.features for fold in folds]), np.concatenate([fold.labels for fold in folds])
    counts = np.where(labels > 0, 1, CAUTION)
    weights: Floats = np.zeros(features.shape[1])
    for _ in range(STEPS):
        odds = 1 / (1 + np.exp(-features @ weights))
        slope = features.T @ (counts * (labels - odds)) - RIDGE * weights
        curve = (features.T * (counts * odds * (1 - odds))) @ features + RIDGE * np.eye(len(weights))
        weights = weights + np.linalg.solve(curve, slope)
    return weights


def read_pages(path: Path) -> Iterator[StoryDocument]:
    """The gold pages of a set with a text that is long enough for a story."""
    for row in map(json.loads, path.read_text(encoding="utf-8").splitlines()):
        if len(row["text"]) >= MIN_CHARACTERS:
            terms = find_terms(row.get("title"), row["text"], row.get("language"))
            yield StoryDocument(f"{path.parent.name}/{row['id']}", 0, row.get("language"), terms)


def count_bridged(rows: list[Mapping[str, str]]) -> int:
    """How many of BRIDGES texts join two stories of different topics, of BRIDGED_TEXTS texts at most."""
    rng, texts = random.Random(1), defaultdict[str, list[str]](list)
    for row in rows:
        texts[row["story"]].append(row["text"])
    joined = 0
    for _ in range(BRIDGES):
        one, other = rng.sample(sorted(texts), 2)
        while re.sub(r"\D", "", one) == re.sub(r"\D", "", other):
            one, other = rng.sample(sorted(texts), 2)
        sides = [rng.sample(texts[story], min(BRIDGED_TEXTS, len(texts[story]))) for story in (one, other)]
        halves = [side[0].split()[: len(side[0].split()) // 2] for side in sides]
        named = {f"{side} {number}": text for side, found in enumerate(sides) for number, text in enumerate(found)}
        named["bridge"] = " ".join(word for half in halves for word in half)
        told = cluster([StoryDocument(name, 0, "en", find_terms(None, text, "en")) for name, text in named.items()])
        joined += any(len({name[0] for name in story} - {"b"}) > 1 for story in told)
    return joined


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--texts", type=Path, default=ECB)
    parser.add_argument("--folds", type=int, default=5)
    options = parser.parse_args()
    rows = [json.loads(line) for line in options.texts.read_text(encoding="utf-8").splitlines()]
    split: list[list[Mapping[str, str]]] = [[] for _ in range(options.folds)]
    for row in rows:
        split[int(re.sub(r"\D", "", row["story"])) % options.folds].append(row)
    folds = [Fold(part) for part in split]
    found: dict[str, frozenset[str]] = {}
    for fold in folds:
        for story in fold.cut(fit([other for other in folds if other is not fold])):
            found.update(dict.fromkeys(story, story))
    gold = {row["id"]: row["story"] for row in rows}
    print(f"held out: B-cubed F1 {score(gold, found):.4f}, look-alike events apart {count_apart(gold, found)}")
    weights = fit(folds)
    print("weights:", weights.round(1).tolist())
    print(f"of {BRIDGES} texts that are half of one story and half of another, {count_bridged(rows)} join the two")
    pages = [page for name in NEWS_SETS for page in read_pages(DATA / name / "gold.jsonl")]
    ordered, trees = build_trees(pages)
    told = [story for tree in trees for story in cut(tree, weights.tolist()) if len(story) > 1]
    print(f"of {len(ordered)} news pages, {sum(map(len, told))} in {len(told)} stories")


if __name__ == "__main__":
    main()
