"""Timelines: series of bars over time. Pure functions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from newsmill.search.timelines import Timeline, TimelineBar, TimelineStep
from newsmill.web.pages.charts import axis_maximum
from newsmill.web.pages.translations import Translations

MAX_TICKS = 6  # dates below a chart; every second one is hidden in a narrow chart
MIN_SHARE_DOCUMENTS = 10  # of a bar: the share of fewer says nothing
_INTERVALS = {"day": (1, 2, 7, 14, 28, 56), "week": (1, 2, 4, 8, 13, 26, 52, 104), "month": (1, 2, 3, 6, 12, 24), "year": (1, 2, 5, 10)}


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


def count_chart(timelines: Sequence[tuple[str, Timeline]], words: Translations, link: Callable[[str, TimelineBar], str]) -> BarChart:
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
    return _chart(timelines[0][1], words(f"timeline.title.{timelines[0][1].period.step}"), words, series, top, scale)


def share_chart(
    timelines: Sequence[tuple[str, Timeline]], whole: Timeline, words: Translations, link: Callable[[str, TimelineBar], str]
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
    return replace(_chart(timelines[0][1], words(f"timeline.share.{whole.period.step}"), words, series, top, scale), has_lines=True)


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


def describe_bar(bar: TimelineBar, step: TimelineStep, words: Translations) -> str:
    """25 Nov 2026; 23 Nov – 29 Nov 2026; Nov 2026; 2026."""
    last = bar.end - timedelta(seconds=1)
    if bar.start.date() == last.date():
        return words.day(bar.start)
    if step == "month" and bar.start.day == 1 and bar.end.day == 1:
        return _format_month(bar.start, words)
    if step == "year" and (bar.start.month, bar.start.day) == (bar.end.month, bar.end.day) == (1, 1):
        return str(bar.start.year)
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
    if step == "year":
        return at.year % interval == 0
    return at.weekday() == 0 if step == "week" or interval % 7 == 0 else True


def _format_tick(at: datetime, step: TimelineStep, interval: int, is_long: bool, words: Translations) -> str:
    if step == "year" or (step == "month" and interval % 12 == 0):
        return str(at.year)
    return _format_month(at, words) if step == "month" or is_long else _format_short(at, words)


def _format_month(at: datetime, words: Translations) -> str:
    return words("format.month", month=words(f"month.{at.month}"), year=at.year)


def _format_short(at: datetime, words: Translations) -> str:
    return words("format.short", day=at.day, month=words(f"month.{at.month}"))
