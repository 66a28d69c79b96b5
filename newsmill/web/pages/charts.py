"""Charts as SVG, made on the server. Pure: numbers in, markup out; colours are classes of static/style.css, words are given.

Only shapes are drawn; words stand beside them as HTML, so that they wrap, grow and can be read aloud. A chart stretches to the width it is
given, so what is drawn has no strokes and no text.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup, escape

HEIGHT = 100  # units of a chart's own; the page stretches it
COLOURS = 6  # of series: `.c0` to `.c5` in static/style.css


@dataclass(frozen=True, slots=True)
class Series:
    """One row of numbers, drawn in one colour. `values`: as many as the chart has places."""

    name: str
    values: tuple[int, ...]

    @property
    def total(self) -> int:
        return sum(self.values)


def axis_maximum(value: int) -> int:
    """The end of an axis: a round number not far above the value, whose half is whole as well.

    >>> [nice_top(value) for value in (0, 3, 17, 120, 501)]
    [1, 4, 20, 120, 600]
    """
    if value <= 8:
        return next(top for top in (1, 2, 4, 6, 8) if value <= top)
    step = 1
    while value > 80 * step:
        step *= 10
    return next(step * top for top in (10, 12, 16, 20, 30, 40, 50, 60, 80) if value <= step * top)


def peak(series: Sequence[Series]) -> int:
    """The highest column of stacked bars."""
    return max((sum(column) for column in zip(*(one.values for one in series), strict=True)), default=0)


def bars(series: Sequence[Series], labels: Sequence[str], title: str) -> Markup:
    """Stacked bars, one per label, the first series at the bottom. A bar's own text says its label and its numbers."""
    top = axis_maximum(peak(series))
    columns = Markup("").join(_column(series, at, label, top) for at, label in enumerate(labels) if any(one.values[at] for one in series))
    width = 10 * max(1, len(labels))
    return Markup('<svg class="bars" viewBox="0 0 {} {}" preserveAspectRatio="none" role="img"><title>{}</title>{}</svg>').format(
        width, HEIGHT, title, columns
    )


def _column(series: Sequence[Series], at: int, label: str, top: int) -> Markup:
    parts, bottom = [], float(HEIGHT)
    for number, one in enumerate(series):
        if one.values[at]:
            height = HEIGHT * one.values[at] / top
            bottom -= height
            parts.append(f'<rect class="c{number % COLOURS}" x="{10 * at + 1}" y="{bottom:.2f}" width="8" height="{height:.2f}"/>')
    said = ", ".join(f"{one.name} {one.values[at]}" for one in series if one.values[at])
    return Markup("<g><title>{}: {}</title>{}</g>").format(label, said, Markup("".join(parts)))  # noqa: S704 (numbers only)


def sparkline(values: Sequence[int], title: str) -> Markup:
    """A row of thin bars for a table's cell. A zero is a dot on the ground, so that "nothing" can be told from "no day"."""
    top = max(1, *values) if values else 1
    path = "".join(f"M{6 * at} 24v-{max(1.0, 23 * value / top):.1f}h4V24z" for at, value in enumerate(values))
    return Markup('<svg class="spark" viewBox="0 0 {} 24" role="img"><title>{}</title><path class="c0" d="{}"/></svg>').format(
        6 * max(1, len(values)), title, path
    )


def share(parts: Sequence[tuple[str, int]], title: str) -> Markup:
    """One bar cut in proportion. `parts`: a class of static/style.css and a number each; without a title it is only an ornament."""
    whole, left, cut = sum(n for _, n in parts) or 1, 0.0, []
    for name, n in parts:
        width = 100 * n / whole
        if n:
            cut.append(Markup('<rect class="{}" x="{}" y="0" width="{}" height="8"/>').format(name, f"{left:.2f}", f"{width:.2f}"))
        left += width
    named = Markup('role="img"><title>{}</title>').format(title) if title else Markup('aria-hidden="true">')
    return Markup('<svg class="share" viewBox="0 0 100 8" preserveAspectRatio="none" {}{}</svg>').format(named, Markup("").join(cut))


def stack_series(rows: Sequence[tuple[int, str | None, int]], places: int, others: str, unnamed: str) -> list[Series]:
    """Series out of counted rows (place, name, number): the largest names get a colour each, the rest is one series called `others`."""
    values: dict[str | None, list[int]] = {}
    for at, name, n in rows:
        if 0 <= at < places:
            values.setdefault(name, [0] * places)[at] += n
    ranked = sorted(values.items(), key=lambda item: (-sum(item[1]), item[0] or ""))
    shown = ranked if len(ranked) <= COLOURS else ranked[: COLOURS - 1]
    series = [Series(unnamed if name is None else name, tuple(found)) for name, found in shown]
    if len(shown) < len(ranked):
        rest = [found for _, found in ranked[len(shown) :]]
        series.append(Series(others, tuple(map(sum, zip(*rest, strict=True)))))
    return series


def swatch(number: int) -> Markup:
    """The small square of a legend."""
    return Markup('<svg class="swatch" viewBox="0 0 10 10" aria-hidden="true"><rect class="c{}" width="10" height="10"/></svg>').format(
        escape(number % COLOURS)
    )
