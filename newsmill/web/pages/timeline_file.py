"""A timeline as an SVG file to download."""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup

from newsmill.web.pages.charts import COLOURS, place
from newsmill.web.pages.timelines import BarChart

_FILES_COLOURS = ("#0d756c", "#d07c1f", "#5468b0", "#ad4567", "#77892b", "#98928a")  # those of style.css in light

_WIDTH, _LEFT, _RIGHT, _TOP, _BARS = 1000, 70, 20, 50, 360  # pixels
_FONT = Markup('font-family="Helvetica, Arial, sans-serif"')


def draw_file(chart: BarChart, note: str) -> str:
    """The chart as an SVG file with title, axes, legend and a note below."""
    columns, width = max(1, len(chart.labels)), _WIDTH - _LEFT - _RIGHT
    bottom, legend = _TOP + _BARS, _TOP + _BARS + 50
    height = legend + 22 * len(chart.series) + 30
    parts = [
        Markup('<text x="{}" y="28" font-size="18" font-weight="bold" fill="#1e1c19">{}</text>').format(_LEFT, _printable(chart.title)),
    ]
    for at, text in enumerate(chart.scale):
        y = _TOP + _BARS * at / max(1, len(chart.scale) - 1)
        parts.append(Markup('<path d="M{} {y}H{}" stroke="#e0dbcf"/>').format(_LEFT, _WIDTH - _RIGHT, y=f"{y:.1f}"))
        parts.append(Markup('<text x="{}" y="{}" text-anchor="end">{}</text>').format(_LEFT - 8, f"{y + 4:.1f}", text))
    for number, one in enumerate(chart.series):
        colour = _FILES_COLOURS[number % COLOURS]
        if chart.has_lines:
            parts.append(_draw_file_line(one.values, chart.top, colour))
        for column, (value, text) in enumerate(zip(one.values, one.texts, strict=True)):
            if value and not chart.has_lines:
                x, share = place(column, columns, number, len(chart.series))
                size = _BARS * min(1.0, value / chart.top)
                parts.append(
                    Markup('<rect x="{}" y="{}" width="{}" height="{}" fill="{}"><title>{}</title></rect>').format(
                        f"{_LEFT + width * x:.2f}", f"{bottom - size:.2f}", f"{width * share:.2f}", f"{size:.2f}", colour,
                        _printable(f"{chart.labels[column]}: {one.name} {text}"),
                    )
                )  # fmt: skip
        y = legend + 22 * number
        parts.append(Markup('<rect x="{}" y="{}" width="12" height="12" fill="{}"/>').format(_LEFT, y - 10, colour))
        parts.append(Markup('<text x="{}" y="{}" fill="#1e1c19">{}</text>').format(_LEFT + 20, y + 1, _printable(one.name)))
    for column, text in chart.ticks:
        x = _LEFT + width * (column + 0.5) / columns
        parts.append(Markup('<path d="M{x} {}v5" stroke="#5c5850"/>').format(bottom, x=f"{x:.1f}"))
        parts.append(Markup('<text x="{}" y="{}" text-anchor="middle">{}</text>').format(f"{x:.1f}", bottom + 20, text))
    parts.append(Markup('<text x="{}" y="{}" font-size="11">{}</text>').format(_LEFT, height - 14, _printable(note)))
    frame = Markup(
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {w} {h}" width="{w}" height="{h}" {font} font-size="13" fill="#5c5850">'
    )
    body = Markup("\n").join(parts)
    head = frame.format(w=_WIDTH, h=height, font=_FONT)
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{head}\n<rect width="100%" height="100%" fill="#fffefb"/>\n{body}\n</svg>\n'


def _draw_file_line(values: Sequence[float | None], top: float, colour: str) -> Markup:
    width, path, is_drawn = _WIDTH - _LEFT - _RIGHT, "", False
    for column, value in enumerate(values):
        if value is not None:
            x, y = _LEFT + width * (column + 0.5) / len(values), _TOP + _BARS * (1 - min(1.0, value / top))
            path += f"{'L' if is_drawn else 'M'}{x:.1f} {y:.1f}"
            path += "" if is_drawn else "h.01"  # a value alone is a dot
        is_drawn = value is not None
    return Markup('<path d="{}" stroke="{}" stroke-width="2" stroke-linecap="round" fill="none"/>').format(path, colour)


def _printable(text: str) -> str:
    """The text without characters that XML does not have."""
    return "".join(character for character in text if character.isprintable())
