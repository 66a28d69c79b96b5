"""Charts as SVG markup, drawn on the server, and the counts of outcomes that they show. Pure functions.

Colours are classes of static/style.css. The templates put all text beside a chart as HTML, so that it wraps, scales and can be read aloud.
CSS scales a simple chart to the width of the page, which would distort strokes and text, so it has neither.

The bars of a timeline link to their documents. Its positions are percentages and its text is HTML or unscaled SVG text, so that it fits any
width and stays legible. A timeline to download has a fixed size and its own colours, because it has no style sheet.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import pairwise

from markupsafe import Markup, escape

from newsmill.model import OUTCOMES, Outcome, State
from newsmill.search.counts import Timeline, TimelineBar, TimelineStep
from newsmill.web.pages.translations import Translations

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


# ---- outcomes ----------------------------------------------------------------------------------------------------------------

FINAL_STATES = (State.DONE, State.DROPPED, State.FAILED, State.QUARANTINED)


def sum_by_state(counts: Mapping[Outcome, int]) -> dict[str, int]:
    """Pages per final state, in the order of FINAL_STATES; zeros too."""
    totals = {state.value: 0 for state in FINAL_STATES}
    for outcome, n in counts.items():
        totals[OUTCOMES[outcome].state.value] += n
    return totals


def rank_outcomes(counts: Mapping[Outcome, int]) -> list[tuple[Outcome, str, int]]:
    """(outcome, its state, its number), largest number first."""
    return sorted(((outcome, OUTCOMES[outcome].state.value, n) for outcome, n in counts.items() if n), key=lambda row: (-row[2], row[0]))


def describe_counts(words: Translations, counts: Mapping[Outcome, int]) -> str:
    """`stored 17, gone 2`."""
    return ", ".join(f"{words('outcome.' + outcome)} {words.number(n)}" for outcome, _, n in rank_outcomes(counts))


# ---- timelines: one or more series of bars -----------------------------------------------------------------------------------

MAX_TICKS = 7  # dates below a chart; every second one is hidden on a phone
MIN_SHARE_DOCUMENTS = 10  # of a bar: the share of fewer says nothing
MIN_BAR_PERCENT = 0.7  # of the height, so that one document is seen beside thousands
_INTERVALS = {"day": (1, 2, 7, 14, 28, 56), "week": (1, 2, 4, 8, 13, 26, 52, 104), "month": (1, 2, 3, 6, 12, 24)}
_FILES_COLOURS = ("#0d756c", "#d07c1f", "#5468b0", "#ad4567", "#77892b", "#98928a")  # those of style.css in light


@dataclass(frozen=True, slots=True)
class BarSeries:
    """Values drawn in one colour. `links` lead to the documents of each bar; None where there are none."""

    name: str
    values: tuple[float | None, ...]  # None: not counted
    texts: tuple[str, ...]  # each value for readers
    links: tuple[str | None, ...]


@dataclass(frozen=True, slots=True)
class BarChart:
    """Series over the same bars, or lines of values over the same times."""

    title: str
    labels: tuple[str, ...]  # of the bars
    ticks: tuple[tuple[int, str], ...]  # number of a bar, text below it
    series: tuple[BarSeries, ...]
    top: float  # of the axis
    scale: tuple[str, ...]  # texts of the axis, from the top down at equal distances
    has_lines: bool = False

    @property
    def is_empty(self) -> bool:
        """Whether no bar has documents."""
        return not any(link for one in self.series for link in one.links)

    @property
    def has_values(self) -> bool:
        """Whether any bar or point is drawn."""
        return any(value is not None for one in self.series for value in one.values)


def count_chart(
    timelines: Sequence[tuple[str, Timeline]], title: str, words: Translations, link: Callable[[str, TimelineBar], str]
) -> BarChart:
    """The chart of how many documents match each query. `link` makes the URL of a bar's documents."""
    series = [
        BarSeries(
            name,
            tuple(bar.n for bar in timeline.bars),
            tuple(format_number(bar.n, words) for bar in timeline.bars),
            tuple(link(name, bar) if bar.n else None for bar in timeline.bars),
        )
        for name, timeline in timelines
    ]
    top = axis_maximum(max((bar.n or 0 for _, timeline in timelines for bar in timeline.bars), default=0))
    scale = tuple(words.number(top * part // 4) for part in (4, 3, 2, 1, 0)) if top % 4 == 0 else (words.number(top), "", words.number(0))
    return _chart(timelines[0][1], title, words, series, top, scale)


def share_chart(
    timelines: Sequence[tuple[str, Timeline]], whole: Timeline, title: str, words: Translations, link: Callable[[str, TimelineBar], str]
) -> BarChart:
    """The lines of which share of all documents, `whole`, matches each query. Times with too few documents have no value."""
    series = []
    for name, timeline in timelines:
        pairs = list(zip(timeline.bars, whole.bars, strict=True))
        values = tuple(None if (all_.n or 0) < MIN_SHARE_DOCUMENTS else bar.share_of(all_) for bar, all_ in pairs)
        texts = tuple(_describe_share(bar, all_, words) for bar, all_ in pairs)
        series.append(BarSeries(name, values, texts, tuple(link(name, bar) if bar.n else None for bar in timeline.bars)))
    largest = max((value or 0.0 for one in series for value in one.values), default=0.0)
    top = next((step * 10.0**power for power in range(-5, 1) for step in (1, 2, 4, 8) if step * 10.0**power >= largest), 1.0)
    top = min(top, 1.0)
    scale = tuple(format_share(top * part / 4, words) for part in (4, 3, 2, 1, 0))
    return replace(_chart(timelines[0][1], title, words, series, top, scale), has_lines=True)


def _chart(
    timeline: Timeline, title: str, words: Translations, series: Sequence[BarSeries], top: float, scale: tuple[str, ...]
) -> BarChart:
    step = timeline.period.step
    labels = tuple(describe_bar(bar, step, words) for bar in timeline.bars)
    return BarChart(title, labels, tuple(choose_ticks(timeline.bars, step, words)), tuple(series), top, scale)


def _describe_share(bar: TimelineBar, whole: TimelineBar, words: Translations) -> str:
    if bar.n is None or whole.n is None:
        return words("timeline.uncounted")
    share = words("timeline.few") if whole.n < MIN_SHARE_DOCUMENTS else format_share(bar.share_of(whole), words)
    return words("timeline.share_of", share=share, n=words.number(bar.n), of=words.number(whole.n))


def format_number(n: int | None, words: Translations) -> str:
    return words("timeline.uncounted") if n is None else words.number(n)


def format_share(share: float | None, words: Translations) -> str:
    """A share with two significant digits: 12 %, 1.2 %, 0.012 %."""
    if share is None:
        return words("timeline.uncounted")
    percent = 100 * share
    digits = 0 if percent >= 10 or percent == 0 else 1 if percent >= 1 else 2 if percent >= 0.1 else 3
    return words("format.percent", n=words.decimal(percent, digits))


# ---- labels and ticks of timelines -------------------------------------------------------------------------------------------


def describe_bar(bar: TimelineBar, step: TimelineStep, words: Translations) -> str:
    """25 Nov 2026; 23 Nov – 29 Nov 2026; Nov 2026."""
    last = bar.end - timedelta(seconds=1)
    if bar.start.date() == last.date():
        return words.day(bar.start)
    if step == "month" and bar.start.day == 1 and bar.end.day == 1:
        return _format_month(bar.start, words)
    return words("timeline.days", first=_format_short(bar.start, words), last=words.day(last))


def choose_ticks(bars: Sequence[TimelineBar], step: TimelineStep, words: Translations) -> list[tuple[int, str]]:
    """At most MAX_TICKS dates at equal distances: of Mondays, of January and July, and the like."""
    interval = next((each for each in _INTERVALS[step] if len(bars) <= each * MAX_TICKS), -(-len(bars) // MAX_TICKS))
    first = next((at for at in range(min(interval, len(bars))) if _is_aligned(bars[at].start, step, interval)), 0)
    is_long = bool(bars) and (bars[-1].start - bars[0].start).days > 366
    return [(at, _format_tick(bars[at].start, step, interval, is_long, words)) for at in range(first, len(bars), interval)]


def _is_aligned(at: datetime, step: TimelineStep, interval: int) -> bool:
    if step == "month":
        return at.day == 1 and (12 * at.year + at.month - 1) % interval == 0
    return at.weekday() == 0 if step == "week" or interval % 7 == 0 else True


def _format_tick(at: datetime, step: TimelineStep, interval: int, is_long: bool, words: Translations) -> str:
    if step == "month" and interval % 12 == 0:
        return str(at.year)
    return _format_month(at, words) if step == "month" or is_long else _format_short(at, words)


def _format_month(at: datetime, words: Translations) -> str:
    return words("format.month", month=words(f"month.{at.month}"), year=at.year)


def _format_short(at: datetime, words: Translations) -> str:
    return words("format.short", day=at.day, month=words(f"month.{at.month}"))


# ---- timelines in a page -----------------------------------------------------------------------------------------------------


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
                x, width = _place(column, columns, number, len(chart.series))
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
    hit = Markup(f'<rect class="hit" {place} y="0" height="100%"/>')  # noqa: S704 (numbers only)
    if height is None or link is None:
        return Markup('<g class="uncounted"><title>{}</title>{}</g>').format(label, hit)
    height = max(MIN_BAR_PERCENT, min(100.0, height))
    rectangle = f'<rect class="c{number % COLOURS}" {place} y="{100 - height:.2f}%" height="{height:.2f}%"/>'
    bar = Markup(rectangle if is_bar else "")  # noqa: S704 (numbers only)
    return Markup('<a href="{}" tabindex="-1" aria-label="{}"><title>{}</title>{}{}</a>').format(link, label, label, hit, bar)


def _place(column: int, columns: int, number: int, count: int) -> tuple[float, float]:
    """Where a bar is: its left end and its width, as parts of the chart. Bars of one column stand side by side."""
    width = 0.84 / columns / count
    return (column + 0.08) / columns + number * width, width


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


# ---- timelines to download ---------------------------------------------------------------------------------------------------

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
                x, share = _place(column, columns, number, len(chart.series))
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
