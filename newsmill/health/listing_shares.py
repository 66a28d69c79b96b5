"""The share of articles that a listing shows, by section and time of day: logistic regression with a ridge penalty."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from math import exp

MIN_SECTION_ARTICLES = 15  # smaller sections are one
HOURS_PER_BLOCK = 6
RIDGE = 1.0  # precision of the coefficients of sections and hours
MAX_ROUNDS = 25  # of Newton's method; it converges in fewer than ten
Cell = tuple[str, int]  # section, block of hours


def make_cells(places: Collection[tuple[str, int]]) -> list[Cell]:
    """The cell of each article from its section ("" if unknown) and its hour of the day. Small sections are one."""
    sizes = Counter(section for section, _ in places)
    return [(section if sizes[section] >= MIN_SECTION_ARTICLES else "", hour // HOURS_PER_BLOCK) for section, hour in places]


def estimate_shares(shown: Sequence[tuple[Cell, bool]]) -> Mapping[Cell, float]:
    """The probability of being shown, for each cell with articles: a ridge logistic regression on section and block.

    Half an article each that was and was not shown keeps the probabilities inside 0 and 1.
    """
    totals, successes = Counter(cell for cell, _ in shown), Counter(cell for cell, is_shown in shown if is_shown)
    names = [None, *sorted({("section", section) for section, _ in totals}), *sorted({("block", block) for _, block in totals})]
    rows = {cell: [0, names.index(("section", cell[0])), names.index(("block", cell[1]))] for cell in totals}
    beta = [0.0] * len(names)
    observed = [*((rows[cell], totals[cell], successes[cell]) for cell in rows), ([0], 1, 0.5)]
    for _ in range(MAX_ROUNDS):
        step = _compute_step(beta, observed)
        beta = [value + max(-2.0, min(2.0, change)) for value, change in zip(beta, step, strict=True)]
        if max(map(abs, step)) < 1e-6:
            break
    return {cell: _logistic(sum(beta[column] for column in columns)) for cell, columns in rows.items()}


def _compute_step(beta: Sequence[float], observed: Sequence[tuple[Sequence[int], int, float]]) -> list[float]:
    """The step of Newton's method from `beta`. `observed`: the columns of each row, its articles and those that were shown."""
    gradient = [-(RIDGE if number else 0.0) * value for number, value in enumerate(beta)]
    hessian = [[0.0] * len(beta) for _ in beta]
    for number in range(1, len(beta)):
        hessian[number][number] = RIDGE
    for columns, total, success in observed:
        share = _logistic(sum(beta[column] for column in columns))
        for column in columns:
            gradient[column] += success - total * share
            for other in columns:
                hessian[column][other] += total * share * (1 - share)
    return _solve(hessian, gradient)


def _logistic(value: float) -> float:
    return 1 / (1 + exp(-max(-30.0, min(30.0, value))))


def _solve(matrix: list[list[float]], values: list[float]) -> list[float]:
    """The solution of a linear system with a positive definite matrix, by elimination."""
    rows = [[*row, value] for row, value in zip(matrix, values, strict=True)]
    size = len(rows)
    for number in range(size):
        pivot = rows[number][number] or 1e-12
        for below in range(number + 1, size):
            factor = rows[below][number] / pivot
            if factor:
                rows[below] = [a - factor * b for a, b in zip(rows[below], rows[number], strict=True)]
    solution = [0.0] * size
    for number in reversed(range(size)):
        rest = sum(rows[number][other] * solution[other] for other in range(number + 1, size))
        solution[number] = (rows[number][size] - rest) / (rows[number][number] or 1e-12)
    return solution
