"""Scores of single pages: exact text (`exact`), catastrophe (far worse than trafilatura), and the confidence of the model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from statistics import mean
from types import ModuleType
from typing import Any

from newsmill.extraction.normalise import count_words
from newsmill.extraction.page_type import MIN_TEXT_WORDS

GOOD, LOST = 0.8, 0.6  # F1: a page is a catastrophe if trafilatura has at least the first and Newsmill less than the second
BINS = (0.0, 0.6, 0.7, 0.8, 0.85, 0.9, 0.95, 0.98, 1.01)  # of confidence


def is_exact(score: ModuleType, row: Mapping[str, Any], text: str) -> bool:
    """True if the words of the text equal those of one variant of the gold, in order (`exact` of score.py)."""
    words = score.WORD.findall(score.plain(text))
    return any(score.WORD.findall(score.plain(variant)) == words for variant in score.variants(row))


def page_f1(score: ModuleType, row: Mapping[str, Any], text: str) -> float:
    """Return the F1 of one page: over words if the gold is a text, otherwise over its wanted and unwanted segments."""
    if "text" in row:
        return max(float(score.token_page(score.plain(variant), score.plain(text))[2]) for variant in score.variants(row))
    flat = score.squeeze(text)
    hits = sum(score.squeeze(segment) in flat for segment in row.get("with", ()))
    wrong = sum(score.squeeze(segment) in flat for segment in row.get("without", ()))
    return float(score.prf(hits, wrong, len(row.get("with", ())) - hits)[2])


def is_catastrophe(score: ModuleType, row: Mapping[str, Any], ours: Sequence[str], theirs: str) -> bool:
    """True if trafilatura's text is good and each of `ours` is bad. `ours` has the text without and with the entries of a live blog.

    A gold text of fewer than MIN_TEXT_WORDS words does not count, because Newsmill does not treat it as text.
    """
    if "text" in row and max(count_words(variant) for variant in score.variants(row)) < MIN_TEXT_WORDS:
        return False
    if max(page_f1(score, row, text) for text in ours) >= LOST:
        return False
    return page_f1(score, row, theirs) >= GOOD


def calibration(pairs: Sequence[tuple[float, float]]) -> str:
    """Return a table of (confidence, F1) pairs: for each range of confidence the pages, both means, and the pages with a low F1."""
    lines = [f"   {'confidence':<12} {'pages':>5} {'expected':>9} {'F1':>6} {'under 0.6':>10} {'under 0.8':>10}"]
    for low, high in pairwise(BINS):
        found = [pair for pair in pairs if low <= pair[0] < high]
        if found:
            f1 = [pair[1] for pair in found]
            means = f"{mean(pair[0] for pair in found):>9.3f} {mean(f1):>6.3f}"
            low_pages = f"{sum(x < LOST for x in f1):>10} {sum(x < GOOD for x in f1):>10}"
            lines.append(f"   {low:.2f} to {min(high, 1):.2f} {len(found):>5} {means} {low_pages}")
    if pairs:
        lines.append(f"   expected minus F1 over all: {mean(expected - f1 for expected, f1 in pairs):+.4f}")
    return "\n".join(lines)
