"""How many articles of a source no listing ever showed: an upper bound from which listings showed which article. Pure functions.

Two listings that are made separately recapture each other's articles. If one shows 100 articles and the other 90 of those, the second
misses about a tenth, also of what the first does not show (capture and recapture; Lincoln and Petersen). Listings of one kind count as one,
and so do kinds that show the same articles: a copy says nothing about what both leave out. Where only one is left, nothing can be told.

* What a listing shows depends on section and time of day. So its share is estimated by both (logistic regression with a ridge penalty,
  after Huggins and Alho).
* Listings agree more than by chance: what an editor hides is hidden from all. So the estimate is multiplied by an odds ratio. Its prior is
  log-normal around DEPENDENCE; where three kinds exist, the third one shows how far two agree.
* Each kind is compared with all others together. The split with the most recaptured articles counts, and each that contradicts it.
* The bound is a 95 % quantile of the number of missed articles, with the uncertainty of all of that. It is never below one article.

What no listing of a site ever shows is outside of what can be known from its listings. `benchmarks/completeness.py` measures the bound.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import accumulate, combinations
from math import ceil, exp, log, sqrt

CONFIDENCE = 0.95
DEPENDENCE = 1.5  # odds ratio of two listings before there is evidence
DEPENDENCE_DEVIATION = 0.7  # of its logarithm: from 0.4 to 6 with 95 %
MIN_ARTICLES = 20  # of one estimate; one missed article is 5 % of them
MIN_RECAPTURED = 10  # articles that both sides of a split show
MIN_OWN = 3  # articles that each side of a further split shows alone: it may find what only one side can show
MIN_SECTION_ARTICLES = 15  # smaller sections are one
HOURS_PER_BLOCK = 6
RIDGE = 1.0  # precision of the coefficients of sections and hours
ROUNDS = 25  # of Newton's method; it converges in fewer than ten
MAX_POISSON_MEAN = 100  # of a quantile that is counted out; above, the normal distribution is near enough
MIN_EXCESS = 0.5  # by how much sections and hours may lower an estimate
PRIOR = 0.5  # articles (Jeffreys)
_STEPS = [number / 2 for number in range(-6, 7)]  # standard deviations
_DENSITIES = [exp(-step * step / 2) for step in _STEPS]
GRID = [(step, density / sum(_DENSITIES)) for step, density in zip(_STEPS, _DENSITIES, strict=True)]  # of a normal distribution


class Unknown(StrEnum):
    """Why no bound can be given."""

    FEW_ARTICLES = "few_articles"
    ONE_LISTING = "one_listing"  # or listings that are copies of each other
    NO_OVERLAP = "no_overlap"


@dataclass(frozen=True, slots=True)
class SeenArticle:
    """An article that a listing showed: the kinds of listings that did, its section ("" if unknown), and the hour of its first sighting."""

    kinds: frozenset[str]
    section: str = ""
    hour: int = 0


@dataclass(frozen=True, slots=True)
class Completeness:
    """`at_most` is the share of all articles that no listing showed, with a confidence of 95 %; None with a reason if it cannot be told."""

    seen: int
    missed: float = 0.0  # expected number
    at_most: float | None = None
    unknown: Unknown | None = None
    groups: tuple[tuple[str, ...], ...] = ()  # kinds of listings that count as one


@dataclass(frozen=True, slots=True)
class _Split:
    """One group of listings against all others together: the numbers that only one side shows, both show, and are expected in neither."""

    only_one: int
    only_rest: int
    both: int
    excess: float  # the expected number, divided by that without sections and hours


@dataclass(frozen=True, slots=True)
class _Odds:
    """A log-normal distribution of the odds ratio between listings."""

    mean: float  # of the logarithm
    deviation: float


def estimate(articles: Collection[SeenArticle]) -> Completeness:
    """The bound for the articles of one source and time, such as a week.

    >>> both, feed, homepage = (frozenset(kinds) for kinds in (("feed", "homepage"), ("feed",), ("homepage",)))
    >>> week = [SeenArticle(both)] * 300 + [SeenArticle(feed)] * 100 + [SeenArticle(homepage)]
    >>> found = estimate(week)
    >>> found.seen, 0 < found.at_most < 0.02
    (401, True)
    >>> estimate([SeenArticle(both)] * 300).unknown
    <Unknown.ONE_LISTING: 'one_listing'>
    """
    seen = len(articles)
    groups = group_kinds(articles)
    if seen < MIN_ARTICLES:
        return Completeness(seen, unknown=Unknown.FEW_ARTICLES, groups=groups)
    if len(groups) < 2:
        return Completeness(seen, unknown=Unknown.ONE_LISTING, groups=groups)
    histories = [(tuple(not article.kinds.isdisjoint(group) for group in groups), article) for article in articles]
    numbers = range(len(groups) if len(groups) > 2 else 1)
    splits = [split for number in numbers if (split := _split(histories, number)) is not None]
    if not splits:
        return Completeness(seen, unknown=Unknown.NO_OVERLAP, groups=groups)
    odds, best = _estimate_dependence(histories), max(splits, key=lambda split: split.both)
    rates = [_list_rates(split, odds) for split in splits if split is best or min(split.only_one, split.only_rest) >= MIN_OWN]
    missed = max(sum(rate * weight for rate, weight in values) for values in rates)
    most = max(1, *map(_quantile, rates))
    return Completeness(seen, missed, most / (seen + most), groups=groups)


def group_kinds(articles: Collection[SeenArticle]) -> tuple[tuple[str, ...], ...]:
    """The kinds that showed something, those with the same articles together."""
    shown: dict[str, list[bool]] = {kind: [] for kind in sorted({kind for article in articles for kind in article.kinds})}
    for article in articles:
        for kind, flags in shown.items():
            flags.append(kind in article.kinds)
    groups: dict[tuple[bool, ...], list[str]] = {}
    for kind, flags in shown.items():
        groups.setdefault(tuple(flags), []).append(kind)
    return tuple(tuple(kinds) for kinds in groups.values())


def _split(histories: Sequence[tuple[tuple[bool, ...], SeenArticle]], number: int) -> _Split | None:
    """The split of one group from the others. None: they share too few articles."""
    one = [history[number] for history, _ in histories]
    rest = [any(history[:number] + history[number + 1 :]) for history, _ in histories]
    both = sum(a and b for a, b in zip(one, rest, strict=True))
    if both < MIN_RECAPTURED:
        return None
    cells = _make_cells([article for _, article in histories])
    shown_by_one = _fit([(cell, a) for cell, a, b in zip(cells, one, rest, strict=True) if b])
    shown_by_rest = _fit([(cell, b) for cell, a, b in zip(cells, one, rest, strict=True) if a])
    expected = 0.0
    for cell, count in Counter(cells).items():
        hidden = (1 - shown_by_one[cell]) * (1 - shown_by_rest[cell]) if cell in shown_by_one and cell in shown_by_rest else 0.0
        expected += count * hidden / (1 - hidden)
    only_one, only_rest = sum(one) - both, sum(rest) - both
    plain = (only_one + PRIOR) * (only_rest + PRIOR) / (both + PRIOR)
    return _Split(only_one, only_rest, both, max(MIN_EXCESS, expected / plain))


def _estimate_dependence(histories: Sequence[tuple[tuple[bool, ...], SeenArticle]]) -> _Odds:
    """The odds ratio between listings: the prior, and the mean of all pairs, within sections, among articles that a third one shows."""
    precision, weighted = DEPENDENCE_DEVIATION**-2, log(DEPENDENCE) * DEPENDENCE_DEVIATION**-2
    groups = len(histories[0][0])
    pairs = list(combinations(range(groups), 2)) if groups > 2 else []
    cells = [section for section, _ in _make_cells([article for _, article in histories])]
    for a, b in pairs:
        counts = Counter(
            (section, history[a], history[b])
            for section, (history, _) in zip(cells, histories, strict=True)
            if any(shown for number, shown in enumerate(history) if number not in (a, b))
        )
        yes = no = PRIOR
        for section in set(cells):  # Mantel and Haenszel
            total = sum(count for key, count in counts.items() if key[0] == section) or 1
            yes += counts[section, True, True] * counts[section, False, False] / total
            no += counts[section, True, False] * counts[section, False, True] / total
        variance = 1 / yes + 1 / no
        precision += 1 / variance / len(pairs)
        weighted += log(yes / no) / variance / len(pairs)
    return _Odds(max(weighted / precision, 0.0), precision**-0.5)


def _list_rates(split: _Split, odds: _Odds) -> list[tuple[float, float]]:
    """The distribution of the expected number of missed articles: values with weights that sum to 1."""
    return [
        (split.excess * exp(odds.mean + step * odds.deviation) * one * rest / (split.both + PRIOR), weight_of_one * weight_of_rest * weight)
        for one, weight_of_one in _list_gamma(split.only_one + PRIOR)
        for rest, weight_of_rest in _list_gamma(split.only_rest + PRIOR)
        for step, weight in GRID
    ]


def _list_gamma(shape: float) -> list[tuple[float, float]]:
    """A gamma distribution as values with weights (Wilson and Hilferty)."""
    return [(shape * max(0.0, 1 - 1 / (9 * shape) + step / (3 * sqrt(shape))) ** 3, weight) for step, weight in GRID]


# ---- shares by section and time of day ----------------------------------------------------------------------------------------------

Cell = tuple[str, int]  # section, block of hours


def _make_cells(articles: Sequence[SeenArticle]) -> list[Cell]:
    sizes = Counter(article.section for article in articles)
    return [
        (article.section if sizes[article.section] >= MIN_SECTION_ARTICLES else "", article.hour // HOURS_PER_BLOCK) for article in articles
    ]


def _fit(shown: Sequence[tuple[Cell, bool]]) -> Mapping[Cell, float]:
    """The probability of being shown, for each cell with articles: a ridge logistic regression on section and block.

    Half an article each that was and was not shown keeps the probabilities inside 0 and 1.
    """
    totals, successes = Counter(cell for cell, _ in shown), Counter(cell for cell, is_shown in shown if is_shown)
    names = [None, *sorted({("section", section) for section, _ in totals}), *sorted({("block", block) for _, block in totals})]
    rows = {cell: [0, names.index(("section", cell[0])), names.index(("block", cell[1]))] for cell in totals}
    beta = [0.0] * len(names)
    for _ in range(ROUNDS):
        gradient = [-(RIDGE if number else 0.0) * value for number, value in enumerate(beta)]
        hessian = [[0.0] * len(names) for _ in names]
        for number in range(1, len(names)):
            hessian[number][number] = RIDGE
        observed = [(rows[cell], totals[cell], successes[cell]) for cell in rows]
        for columns, total, success in [*observed, ([0], 1, 0.5)]:
            share = _logistic(sum(beta[column] for column in columns))
            for column in columns:
                gradient[column] += success - total * share
                for other in columns:
                    hessian[column][other] += total * share * (1 - share)
        step = _solve(hessian, gradient)
        beta = [value + max(-2.0, min(2.0, change)) for value, change in zip(beta, step, strict=True)]
        if max(map(abs, step)) < 1e-6:
            break
    return {cell: _logistic(sum(beta[column] for column in columns)) for cell, columns in rows.items()}


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


def _quantile(rates: Sequence[tuple[float, float]]) -> int:
    """The number that the missed articles do not exceed with CONFIDENCE: Poisson, with these means."""
    ordered = sorted(rates)
    totals = accumulate(weight for _, weight in ordered)
    highest = next((mean for (mean, _), total in zip(ordered, totals, strict=True) if total >= CONFIDENCE), ordered[-1][0])
    if highest > MAX_POISSON_MEAN:
        return ceil(highest + 2 * sqrt(highest))
    terms = [weight * exp(-mean) for mean, weight in rates]
    total, count = sum(terms), 0
    while total < CONFIDENCE and count < 2 * MAX_POISSON_MEAN:
        count += 1
        terms = [term * mean / count for term, (mean, _) in zip(terms, rates, strict=True)]
        total += sum(terms)
    return count
