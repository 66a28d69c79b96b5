"""Charts as SVG markup, drawn on the server, and the counts of outcomes that they show. Pure functions.

Colours are classes of static/style.css. The templates put all text beside a chart as HTML, so that it wraps, scales and can be read aloud.
CSS scales a simple chart to the width of the page, which would distort strokes and text, so it has neither.

The bars of a timeline link to their documents. Its positions are percentages and its text is HTML or unscaled SVG text, so that it fits any
width and stays legible. A timeline to download has a fixed size and its own colours, because it has no style sheet.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup, escape

HEIGHT = 100  # SVG units
COLOURS = 6  # classes `.c0` to `.c5` of static/style.css


@dataclass(frozen=True, slots=True)
class Series:
    """Numbers drawn in one colour, one per column of the chart."""

    name: str
    values: tuple[int, ...]

    @property
    def total(self) -> int:
        return sum(self.values)


def axis_maximum(value: int) -> int:
    """The highest label of an axis: the next round number at or above the value. Half of it is an integer if it is above 1.

    >>> [axis_maximum(value) for value in (0, 3, 17, 120, 501)]
    [1, 4, 20, 120, 600]
    """
    if value <= 8:
        return next(top for top in (1, 2, 4, 6, 8) if value <= top)
    step = 1
    while value > 80 * step:
        step *= 10
    return next(step * top for top in (10, 12, 16, 20, 30, 40, 50, 60, 80) if value <= step * top)


def max_total(series: Sequence[Series]) -> int:
    """The total of the highest column of stacked bars."""
    return max((sum(column) for column in zip(*(one.values for one in series), strict=True)), default=0)


def draw_bars(series: Sequence[Series], labels: Sequence[str], title: str) -> Markup:
    """Stacked bars, one per label, the first series at the bottom. The tooltip of a bar has its label and numbers."""
    top = axis_maximum(max_total(series))
    columns = Markup("").join(
        _draw_column(series, column, label, top) for column, label in enumerate(labels) if any(one.values[column] for one in series)
    )
    width = 10 * max(1, len(labels))
    return Markup('<svg class="bars" viewBox="0 0 {} {}" preserveAspectRatio="none" role="img"><title>{}</title>{}</svg>').format(
        width, HEIGHT, title, columns
    )


def _draw_column(series: Sequence[Series], column: int, label: str, top: int) -> Markup:
    parts, bottom = [], float(HEIGHT)
    for number, one in enumerate(series):
        if one.values[column]:
            height = HEIGHT * one.values[column] / top
            bottom -= height
            parts.append(f'<rect class="c{number % COLOURS}" x="{10 * column + 1}" y="{bottom:.2f}" width="8" height="{height:.2f}"/>')
    numbers = ", ".join(f"{one.name} {one.values[column]}" for one in series if one.values[column])
    return Markup("<g><title>{}: {}</title>{}</g>").format(label, numbers, Markup("".join(parts)))  # noqa: S704 (numbers only)


def draw_sparkline(values: Sequence[int], title: str) -> Markup:
    """Thin bars for a table cell. A zero is drawn as a dot, so that it differs from a missing day."""
    top = max(1, *values) if values else 1
    path = "".join(f"M{6 * at} 24v-{max(1.0, 23 * value / top):.1f}h4V24z" for at, value in enumerate(values))
    return Markup('<svg class="spark" viewBox="0 0 {} 24" role="img"><title>{}</title><path class="c0" d="{}"/></svg>').format(
        6 * max(1, len(values)), title, path
    )


def draw_shares(parts: Sequence[tuple[str, int]], title: str) -> Markup:
    """One bar divided in proportion to `parts` (class of static/style.css, number); the class "none" stays empty.

    Without a title, screen readers skip it. A page has some fifty bars, so that each is kept short.
    """
    whole, left, cut = sum(n for _, n in parts) or 1, 0.0, []
    for name, n in parts:
        width = 100 * n / whole
        if n and name != "none":
            cut.append(Markup('<rect class="{}" x="{}%" width="{}%" height="100%"/>').format(name, f"{left:.4g}", f"{width:.4g}"))
        left += width
    named = Markup('role="img"><title>{}</title>').format(title) if title else Markup('aria-hidden="true">')
    return Markup('<svg class="share" {}{}</svg>').format(named, Markup("").join(cut))


def stack_series(rows: Sequence[tuple[int, str | None, int]], columns: int, others: str, unnamed: str) -> list[Series]:
    """Series from rows (column, name, number). The largest names get a colour each; the rest becomes one series named `others`."""
    values: dict[str | None, list[int]] = {}
    for column, name, n in rows:
        if 0 <= column < columns:
            values.setdefault(name, [0] * columns)[column] += n
    ranked = sorted(values.items(), key=lambda item: (-sum(item[1]), item[0] or ""))
    shown = ranked if len(ranked) <= COLOURS else ranked[: COLOURS - 1]
    series = [Series(unnamed if name is None else name, tuple(numbers)) for name, numbers in shown]
    if len(shown) < len(ranked):
        rest = [numbers for _, numbers in ranked[len(shown) :]]
        series.append(Series(others, tuple(map(sum, zip(*rest, strict=True)))))
    return series


def draw_swatch(number: int) -> Markup:
    """The coloured square of a legend entry."""
    return Markup('<svg class="swatch" viewBox="0 0 10 10" aria-hidden="true"><rect class="c{}" width="10" height="10"/></svg>').format(
        escape(number % COLOURS)
    )


def place(column: int, columns: int, number: int, count: int) -> tuple[float, float]:
    """Where a bar is: its left end and its width, as parts of the chart. Bars of one column stand side by side."""
    width = 0.84 / columns / count
    return (column + 0.08) / columns + number * width, width
