"""How many articles of a source no listing ever showed: an upper bound from which listings showed which article. Pure functions.

Two listings that are made separately recapture each other's articles. If one shows 100 articles and the other 90 of those, the second
misses about a tenth, also of what the first does not show (capture and recapture; Lincoln and Petersen). Listings of one kind count as one,
and so do kinds that show the same articles: a copy says nothing about what both leave out. With only one left, no bound can be computed.

* What a listing shows depends on section and time of day. So its share is estimated by both (logistic regression with a ridge penalty,
  after Huggins and Alho).
* Listings agree more than by chance: machines leave out what is marked, and editors what they find unimportant. Two listings that agree
  recapture nearly everything and make the estimate too small (Hwang and Huggins 2005, Biometrika 92, 229-233), however many articles they
  share. So with three kinds or more every split of them into two sides is a model: the sides are independent, and within a side kinds may
  depend on each other in any way. The result is the mean over the splits, weighted by how well each explains which listings showed which
  articles (Madigan and York 1997, Biometrika 84, 19-31; these are their decomposable models of two cliques without a common listing).
  A single article that only the homepage shows then counts if the other listings agree too well to miss it separately.
* Two listings cannot show their own dependence. Their estimate is multiplied by an odds ratio with a log-normal prior around DEPENDENCE.
  With more, the ratio is around 1, corrected by pairs across the sides among the articles that a third listing shows.
* The bound is a 95 % quantile of the number of missed articles, with the uncertainty of all of that. It is never below one article.

What no listing of a site ever shows is outside of what can be known from its listings. `tests/completeness_days.py` measures the bound.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import accumulate, combinations, product
from math import ceil, exp, lgamma, log, sqrt

from newsmill.health.listing_shares import Cell, estimate_shares, make_cells

CONFIDENCE = 0.95
DEPENDENCE = 1.5  # odds ratio of two listings without a third
DEPENDENCE_DEVIATION = 0.7  # of its logarithm: from 0.4 to 6 with 95 %
MIN_ARTICLES = 20  # of one estimate; one missed article is 5 % of them
MIN_RECAPTURED = 10  # articles that both sides of a split show
MAX_POISSON_MEAN = 100  # of a quantile that is counted out; above, the normal distribution is near enough
MIN_WEIGHT = 0.01  # of a split; less likely ones are left out
MIN_LOG_TERM = 30  # smaller than the largest term; what follows is less than a billionth
MIN_EXCESS = 0.5  # by how much sections and hours may lower an estimate
PRIOR = 0.5  # articles (Jeffreys)
_STEPS = [number / 2 for number in range(-6, 7)]  # standard deviations
_DENSITIES = [exp(-step * step / 2) for step in _STEPS]
GRID = [(step, density / sum(_DENSITIES)) for step, density in zip(_STEPS, _DENSITIES, strict=True)]  # of a normal distribution

Sides = tuple[tuple[int, ...], tuple[int, ...]]  # the numbers of the groups of listings on either side of a split
History = tuple[bool, ...]  # of an article: whether each group of listings showed it


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
    """`at_most` is the share of all articles that no listing showed, with a confidence of 95 %; None with a reason if it is unknown."""

    seen: int
    missed: float = 0.0  # expected number
    at_most: float | None = None
    unknown: Unknown | None = None
    groups: tuple[tuple[str, ...], ...] = ()  # kinds of listings that count as one


@dataclass(frozen=True, slots=True)
class _Split:
    """Some groups of listings against the others: the numbers that only one side shows, both show, and are expected in neither."""

    only_one: int
    only_rest: int
    both: int
    excess: float  # the expected number, divided by that without sections and hours
    odds: _Odds
    priors: tuple[float, float]  # articles; weight of the history of each side that shows nothing, as in `_compute_log_evidence`


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
    histories = [tuple(not article.kinds.isdisjoint(group) for group in groups) for article in articles]
    cells = make_cells([(article.section, article.hour) for article in articles])
    splits = [sides for sides in _list_sides(len(groups)) if _count_recaptured(histories, sides) >= MIN_RECAPTURED]
    if not splits:
        return Completeness(seen, unknown=Unknown.NO_OVERLAP, groups=groups)
    rates = [
        (rate, weight * weight_of_split)
        for sides, weight_of_split in _weigh({sides: _compute_log_evidence(histories, sides) for sides in splits}).items()
        for rate, weight in _list_rates(_split(histories, cells, sides))
    ]
    most = max(1, _quantile(rates))
    return Completeness(seen, sum(rate * weight for rate, weight in rates), most / (seen + most), groups=groups)


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


def _list_sides(groups: int) -> Iterable[Sides]:
    """Every division of the groups into two sides.

    >>> list(_list_sides(3))
    [((0,), (1, 2)), ((0, 1), (2,)), ((0, 2), (1,))]
    """
    for size in range(groups - 1):
        for others in combinations(range(1, groups), size):
            yield (0, *others), tuple(number for number in range(1, groups) if number not in others)


def _find_shown(histories: Sequence[History], sides: Sides) -> list[list[bool]]:
    """For each side, whether it shows each article."""
    return [[any(history[number] for number in side) for history in histories] for side in sides]


def _count_recaptured(histories: Sequence[History], sides: Sides) -> int:
    return sum(map(all, zip(*_find_shown(histories, sides), strict=True)))


def _split(histories: Sequence[History], cells: Sequence[Cell], sides: Sides) -> _Split:
    """The split of the groups into these sides."""
    one, rest = _find_shown(histories, sides)
    both = sum(a and b for a, b in zip(one, rest, strict=True))
    shown_by_one = estimate_shares([(cell, a) for cell, a, b in zip(cells, one, rest, strict=True) if b])
    shown_by_rest = estimate_shares([(cell, b) for cell, a, b in zip(cells, one, rest, strict=True) if a])
    expected = 0.0
    for cell, count in Counter(cells).items():
        hidden = (1 - shown_by_one[cell]) * (1 - shown_by_rest[cell]) if cell in shown_by_one and cell in shown_by_rest else 0.0
        expected += count * hidden / (1 - hidden)
    only_one, only_rest = sum(one) - both, sum(rest) - both
    plain = (only_one + PRIOR) * (only_rest + PRIOR) / (both + PRIOR)
    odds = _estimate_dependence(histories, cells, sides)
    return _Split(only_one, only_rest, both, max(MIN_EXCESS, expected / plain), odds, (_compute_prior(sides[0]), _compute_prior(sides[1])))


def _compute_log_evidence(histories: Sequence[History], sides: Sides) -> float:
    """The logarithm of the probability of the histories if the groups of one side are independent of those of the other.

    Within a side groups may depend on each other in any way. The histories of a side have a Dirichlet prior with the weight of one
    article, and the number of all articles N has the prior 1 / N (Madigan and York 1997). N is summed in steps of up to 5 %.
    """
    log_evidence, unseen = 0.0, []
    for side in sides:
        shown = Counter(tuple(history[number] for number in side) for history in histories)
        prior = _compute_prior(side)
        log_evidence += sum(lgamma(count + prior) - lgamma(prior) for history, count in shown.items() if any(history))
        unseen.append(shown[(False,) * len(side)] + prior)
        log_evidence -= lgamma(prior)
    terms: list[float] = []
    seen, missed = len(histories), 0
    while not terms or terms[-1] > max(terms) - MIN_LOG_TERM:
        step = max(1, missed // 20)
        at = missed + (step - 1) / 2
        term = sum(lgamma(count + at) for count in unseen) - lgamma(at + 1) - lgamma(seen + at + 1) - log(seen + at)
        terms.append(term + log(step))
        missed += step
    highest = max(terms)
    return log_evidence + highest + log(sum(exp(term - highest) for term in terms))


def _compute_prior(side: Collection[int]) -> float:
    """The weight of each history of a side, in articles: one article for all of them."""
    return 0.5 ** len(side)


def _weigh(logs: Mapping[Sides, float]) -> dict[Sides, float]:
    """The probabilities of the splits from the logarithms of their evidence, without those that are below MIN_WEIGHT."""
    highest = max(logs.values())
    weights = {sides: exp(value - highest) for sides, value in logs.items()}
    total = sum(weights.values())
    likely = {sides: weight for sides, weight in weights.items() if weight >= MIN_WEIGHT * total}
    return {sides: weight / sum(likely.values()) for sides, weight in likely.items()}


def _estimate_dependence(histories: Sequence[History], cells: Sequence[Cell], sides: Sides) -> _Odds:
    """The odds ratio between the sides.

    With two listings it is the prior. With more, the split itself says that the sides are independent, so the prior is centred on 1. The
    evidence is the mean of all pairs of listings across the sides, within sections, among articles that a third listing shows.
    """
    pairs = list(product(*sides)) if len(histories[0]) > 2 else []
    precision = DEPENDENCE_DEVIATION**-2
    weighted = 0.0 if pairs else log(DEPENDENCE) * precision
    sections = [section for section, _ in cells]
    for a, b in pairs:
        counts = Counter(
            (section, history[a], history[b])
            for section, history in zip(sections, histories, strict=True)
            if any(shown for number, shown in enumerate(history) if number not in (a, b))
        )
        yes = no = PRIOR
        for section in set(sections):  # Mantel and Haenszel
            total = sum(count for key, count in counts.items() if key[0] == section) or 1
            yes += counts[section, True, True] * counts[section, False, False] / total
            no += counts[section, True, False] * counts[section, False, True] / total
        variance = 1 / yes + 1 / no
        precision += 1 / variance / len(pairs)
        weighted += log(yes / no) / variance / len(pairs)
    return _Odds(max(weighted / precision, 0.0), precision**-0.5)


def _list_rates(split: _Split) -> list[tuple[float, float]]:
    """The distribution of the expected number of missed articles: values with weights that sum to 1."""
    factors = [(split.excess / (split.both + PRIOR) * exp(split.odds.mean + step * split.odds.deviation), weight) for step, weight in GRID]
    return [
        (factor * one * rest, weight_of_one * weight_of_rest * weight)
        for one, weight_of_one in _list_gamma(split.only_one + split.priors[1])
        for rest, weight_of_rest in _list_gamma(split.only_rest + split.priors[0])
        for factor, weight in factors
    ]


def _list_gamma(shape: float) -> list[tuple[float, float]]:
    """A gamma distribution as values with weights (Wilson and Hilferty)."""
    return [(shape * max(0.0, 1 - 1 / (9 * shape) + step / (3 * sqrt(shape))) ** 3, weight) for step, weight in GRID]


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
