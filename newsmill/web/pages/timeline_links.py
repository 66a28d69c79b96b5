"""Timelines as SVG markup in a page, where each bar is a link."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from markupsafe import Markup

from newsmill.web.pages.charts import COLOURS, place
from newsmill.web.pages.timelines import BarChart

MIN_BAR_PERCENT = 0.7  # of the height, so that one document is seen beside thousands


def draw_bar_links(chart: BarChart) -> Markup:
    """The bars or lines of a chart as links. They are left out of the order of the Tab key: a table beside the chart has the same links.

    Under the pointer is the value of a bar, or those of all lines at this time.
    """
    columns = max(1, len(chart.labels))
    parts = [
        Markup('<line class="grid" x1="0" x2="100%" y1="{0}%" y2="{0}%"/>').format(f"{100 * at / max(1, len(chart.scale) - 1):.2f}")
        for at in range(len(chart.scale))
    ]
    for number, one in enumerate(chart.series):
        for column, (value, link) in enumerate(zip(one.values, one.links, strict=True)):
            if value is None or link is not None:
                x, width = place(column, columns, number, len(chart.series))
                height = None if value is None else 100 * value / chart.top
                shown = chart.series if chart.has_lines else (one,)
                label = f"{chart.labels[column]}: {', '.join(f'{each.name} {each.texts[column]}'.strip() for each in shown)}"
                parts.append(_draw_link(number, 100 * x, 100 * width, height, label, link, is_bar=not chart.has_lines))
    if chart.has_lines:
        parts += [_draw_line(number, one.values, chart.top) for number, one in enumerate(chart.series)]
    return Markup('<svg class="bars timeline" role="group" aria-label="{}">{}</svg>').format(chart.title, Markup("").join(parts))


def _draw_line(number: int, values: Sequence[float | None], top: float) -> Markup:
    """Dots at the values, joined where they are next to each other. A path cannot have percentages."""
    points = [
        None if value is None else (f"{100 * (column + 0.5) / len(values):.3f}%", f"{100 - min(100.0, 100 * value / top):.2f}%")
        for column, value in enumerate(values)
    ]
    lines = "".join(f'<line x1="{a[0]}" y1="{a[1]}" x2="{b[0]}" y2="{b[1]}"/>' for a, b in pairwise(points) if a and b)
    dots = "".join(f'<circle cx="{point[0]}" cy="{point[1]}" r="2.5"/>' for point in points if point)
    return Markup(f'<g class="line c{number % COLOURS}">{lines}{dots}</g>')  # noqa: S704 (numbers only)


def _draw_link(number: int, x: float, width: float, height: float | None, label: str, link: str | None, *, is_bar: bool) -> Markup:
    place = f'x="{x:.3f}%" width="{width:.3f}%"'
    hit = Markup(f'<rect class="hit" {place}/>')  # noqa: S704 (numbers only)
    if height is None or link is None:
        return Markup('<g class="uncounted"><title>{}</title>{}</g>').format(label, hit)
    height = max(MIN_BAR_PERCENT, min(100.0, height))
    rectangle = f'<rect class="c{number % COLOURS}" {place} y="{100 - height:.2f}%" height="{height:.2f}%"/>'
    bar = Markup(rectangle if is_bar else "")  # noqa: S704 (numbers only)
    return Markup('<a href="{}" tabindex="-1" aria-label="{}"><title>{}</title>{}{}</a>').format(link, label, label, hit, bar)


def draw_ticks(chart: BarChart) -> Markup:
    """The dates below the bars."""
    columns = max(1, len(chart.labels))
    parts = [
        Markup('<g><line class="tick" x1="{0}%" x2="{0}%" y1="0" y2="5"/><text x="{0}%" y="1.2em" text-anchor="{1}">{2}</text></g>').format(
            f"{100 * (column + 0.5) / columns:.2f}", _anchor((column + 0.5) / columns), text
        )
        for column, text in chart.ticks
    ]
    return Markup('<svg class="ticks" aria-hidden="true">{}</svg>').format(Markup("").join(parts))


def _anchor(at: float) -> str:
    """Text at the ends is aligned inwards, so that it stays in the chart."""
    return "start" if at < 0.06 else "end" if at > 0.94 else "middle"
