"""What the log and the truth of a live world say about one follower: requests by class, freshness, completeness, edits. Pure functions.

Times are simulated unless a name says otherwise.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import pairwise
from statistics import median
from types import ModuleType
from typing import Any

Row = Mapping[str, Any]

NEW, REPEATED, IMPORT = "first fetch of a new article", "article again", "import"
HOMEPAGE, FEED, NEWS_SITEMAP, SITEMAP, SECTION, TAG = "homepage", "feed", "news sitemap", "sitemap", "section", "tag or author page"
ROBOTS, MISSING, OTHER = "robots.txt", "missing page", "other"
LISTINGS = (HOMEPAGE, FEED, NEWS_SITEMAP, SITEMAP, SECTION, TAG)
CLASSES = (NEW, *LISTINGS, ROBOTS, MISSING, OTHER, REPEATED, IMPORT)
NOT_COUNTED = (REPEATED, IMPORT)  # in requests per new article

MIN_LIFE = timedelta(hours=1)  # of an article that must be found although it vanishes
REVISIT_SLACK = timedelta(minutes=30)  # that a revisit may be late
KINDS = ("no feed, no sitemap", "WebSub", "crawl delay", "rate limit", "plain")


@dataclass(frozen=True, slots=True)
class Window:
    """The part of a run that is measured: requests, and articles published, from `start` up to `end`."""

    start: datetime
    end: datetime

    def __contains__(self, at: datetime) -> bool:
        return self.start <= at < self.end


@dataclass(frozen=True, slots=True)
class Observation:
    """One state of a stored document, as a reader of the store saw it."""

    document: str
    urls: tuple[str, ...]
    stored_at: datetime
    fetched_at: datetime
    revision: int
    title: str
    text: str
    revisits_from: datetime | None = None  # the schedule of revisits counts from here; None: from the first fetch
    gone_at: datetime | None = None


@dataclass
class World:
    """The truth of a live world: its articles by key, and its sites. `score` is the module score_world of the shared data."""

    rows: list[dict[str, Any]]
    score: ModuleType
    truth: Any = field(init=False)
    sites: dict[str, Row] = field(init=False)
    sections: dict[str, set[str]] = field(init=False)

    def __post_init__(self) -> None:
        self.truth = self.score.Truth(self.rows)
        self.sites = {row["site"]: row for row in self.rows if row["kind"] == "site"}
        self.sections = defaultdict(set)
        for row in self.truth.articles.values():
            self.sections[row["site"]].add(row["section"])

    def article(self, urls: Iterable[str]) -> str | None:
        """The key of the article that one of the URLs belongs to."""
        return next((key for url in urls if (key := self.truth.article_of({"url": url}))), None)

    def kind(self, site: str) -> str:
        """What is special about a site; one of KINDS."""
        row = self.sites[site]
        return next(
            kind
            for kind, applies in zip(KINDS, (not row["feed"], row["hub"], row["crawl_delay"], row["limit"], True), strict=True)
            if applies
        )

    def published_in(self, window: Window) -> dict[str, Row]:
        """The articles of the window, by key."""
        return {key: row for key, row in self.truth.articles.items() if moment(row["published"]) in window}

    def faults(self) -> list[Row]:
        return [row for row in self.rows if row["kind"] == "fault"]

    def fault_at(self, site: str, fault: str) -> datetime | None:
        """When a site has this fault; None if it never has."""
        return next((moment(row["at"]) for row in self.faults() if (row["site"], row["fault"]) == (site, fault)), None)

    def due(self, window: Window) -> dict[str, Row]:
        """The articles of the window that must be found: not those behind a 403 wall, and not those that vanish soon."""
        return {
            key: row
            for key, row in self.published_in(window).items()
            if not (row["gone_at"] and moment(row["gone_at"]) - moment(row["published"]) < MIN_LIFE)
            and not ((wall := self.fault_at(row["site"], "403")) and moment(row["published"]) >= wall)
        }


def moment(text: str) -> datetime:
    return datetime.fromisoformat(text)


def classify(world: World, log: Sequence[Row], window: Window) -> list[tuple[Row, str]]:
    """Each request of one follower in the window, with its class. `log` is complete: an article's first fetch may be earlier."""
    fetched: set[str] = set()
    classes = []
    for row in log:
        kind = _classify(world, row, window, fetched)
        if moment(row["sim"]) in window:
            classes.append((row, kind))
    return classes


def _classify(world: World, row: Row, window: Window, fetched: set[str]) -> str:
    key = world.truth.article_of({"url": row["url"]})
    if key is not None:
        is_again = key in fetched
        if row["status"] == 200:
            fetched.add(key)
        if moment(world.truth.articles[key]["published"]) < window.start:
            return REPEATED if is_again else IMPORT
        return REPEATED if is_again else NEW
    if world.score.url_key(row["url"]) in world.truth.others:
        return IMPORT  # consent walls, paywalls and dead links exist from the start
    return classify_listing(row["path"], row["status"], world.sections[row["site"]])


def classify_listing(path: str, status: int, sections: set[str]) -> str:
    """The class of a request that is for no article."""
    path = path.partition("?")[0]
    first = path.split("/")[1] if path.startswith("/") else ""
    if path == "/robots.txt":
        return ROBOTS
    if path == "/":
        return HOMEPAGE
    if status in (404, 410):
        return MISSING
    if path == "/sitemap-news.xml":
        return NEWS_SITEMAP
    if "sitemap" in first:
        return SITEMAP
    if re.search(r"\.(xml|rss|atom|json)$|^/feeds?/", path):
        return FEED
    if first in ("tag", "author"):
        return TAG
    return SECTION if first in sections else OTHER


def count_requests(classified: Sequence[tuple[Row, str]]) -> dict[str, int]:
    """Requests by class, in the order of CLASSES."""
    counts = Counter(kind for _, kind in classified)
    return {kind: counts[kind] for kind in CLASSES if counts[kind]}


def count_counted(requests: Mapping[str, int]) -> int:
    """The requests that count for a new article: all but import and revisits."""
    return sum(count for kind, count in requests.items() if kind not in NOT_COUNTED)


def first_fetches(world: World, log: Sequence[Row]) -> dict[str, datetime]:
    """When each article was first sent."""
    found: dict[str, datetime] = {}
    for row in log:
        if row["status"] == 200 and (key := world.truth.article_of({"url": row["url"]})):
            found.setdefault(key, moment(row["sim"]))
    return found


def first_stored(world: World, observations: Sequence[Observation]) -> dict[str, Observation]:
    """The first state of each article's document."""
    found: dict[str, Observation] = {}
    for seen in sorted(observations, key=lambda seen: seen.stored_at):
        if (key := world.article(seen.urls)) is not None:
            found.setdefault(key, seen)
    return found


def spread(values: Sequence[float]) -> dict[str, float]:
    """Number, median, 95th percentile and maximum, rounded to hundredths."""
    ordered = sorted(values)
    if not ordered:
        return {"n": 0}
    p95 = ordered[min(len(ordered) - 1, int(0.95 * len(ordered)))]
    return {"n": len(ordered), "median": round(median(ordered), 2), "p95": round(p95, 2), "max": round(ordered[-1], 2)}


def minutes(span: timedelta) -> float:
    return span.total_seconds() / 60


@dataclass(frozen=True, slots=True)
class Stored:
    """What the store holds of the articles that are due, and what else it holds."""

    share: float
    by_site: dict[str, str]
    by_kind: dict[str, float]
    twice: list[str]
    others: dict[str, int]  # by kind of the truth
    missing: list[str]


def compare_stored(world: World, observations: Sequence[Observation], window: Window) -> Stored:
    """Completeness of the window, and everything of the whole run that is stored and no article, or stored twice."""
    documents = {seen.document: seen for seen in observations}
    by_key: dict[str, list[str]] = defaultdict(list)
    others: Counter[str] = Counter()
    for seen in documents.values():
        key = world.article(seen.urls)
        if key is None:
            others[world.truth.kind_of({"url": seen.urls[0]})] += 1
        else:
            by_key[key].append(seen.document)
    due = world.due(window)
    by_site = {site: [key in by_key for key, row in due.items() if row["site"] == site] for site in sorted(world.sites)}
    by_kind: dict[str, list[bool]] = defaultdict(list)
    for site, found in by_site.items():
        by_kind[world.kind(site)] += found
    return Stored(
        share=_share([key in by_key for key in due]),
        by_site={site: f"{sum(found)} of {len(found)}" for site, found in by_site.items()},
        by_kind={kind: _share(by_kind[kind]) for kind in KINDS if by_kind[kind]},
        twice=sorted(key for key, ids in by_key.items() if len(ids) > 1),
        others=dict(others),
        missing=sorted(key for key in due if key not in by_key),
    )


def _share(found: Sequence[bool]) -> float:
    return round(sum(found) / len(found), 4) if found else 0.0


@dataclass(frozen=True, slots=True)
class Edits:
    """Versions that a revisit should find and how many it found; documents that got a revision although the text was the same."""

    due: int
    found: int
    advert_changes: int  # versions that change only adverts and counters, of articles in the store
    false_revisions: int
    missed: tuple[str, ...] = ()  # the articles of edits that were not found, and since when these were due
    false: tuple[str, ...] = ()  # the articles with false revisions


def judge_edits(
    world: World, observations: Sequence[Observation], window: Window, fetched: Mapping[str, datetime], revisits: Sequence[timedelta]
) -> Edits:
    """Judge the edits of the window's articles. `revisits` are the times of the schedule (`list_visits`).

    Due is the newest text at each revisit, if it differs from the one at the visit before, and if the window's end leaves time for it.
    A revision is false if no version with another text appeared between its fetch and the fetch before.
    """
    seen: dict[str, list[Observation]] = defaultdict(list)
    for one in sorted(observations, key=lambda one: one.stored_at):
        if (key := world.article(one.urls)) is not None:
            seen[key].append(one)
    found = adverts = false = 0
    due, missed, revised = 0, list[str](), list[str]()
    for key, row in world.published_in(window).items():
        if key not in fetched or key not in seen:
            continue
        texts = text_versions(row)
        until = last_visit(world, row, window)
        if row["gone_at"]:  # from then on the article shows no text
            until = min(until, moment(row["gone_at"]))
        visits = list_visits(seen[key][0], fetched[key], revisits, until)
        for position, visit in due_versions([moment(one["at"]) for one in texts], fetched[key], visits).items():
            due += 1
            is_found = any(shows(one, texts[position], texts[position - 1]) for one in seen[key])
            found += is_found
            if not is_found:
                missed.append(f"{key} (due {visit:%d %H:%M})")
        adverts += sum(one["change"] == "noise" and moment(one["at"]) < window.end for one in row["versions"])
        changed = [moment(one["at"]) for one in texts]
        if layout := world.fault_at(row["site"], "layout"):  # another layout has other tags and pictures: one revision is right
            changed.append(layout)
        count = count_false_revisions(seen[key], changed)
        false += count
        revised += [key] * bool(count)
    return Edits(due, found, adverts, false, tuple(missed), tuple(revised))


@dataclass(frozen=True, slots=True)
class Absences:
    """Articles of the window that vanished in it."""

    vanished: int
    due: int  # a revisit of the schedule came after it, early enough before the window's end
    recorded: int  # of those that are due: documents with gone_at
    seen: int  # of all: they answered the follower with 404 or 410
    missed: tuple[str, ...] = ()


def judge_absences(
    world: World,
    observations: Sequence[Observation],
    log: Sequence[Row],
    window: Window,
    fetched: Mapping[str, datetime],
    revisits: Sequence[timedelta],
) -> Absences:
    """Judge whether vanished articles were recorded as gone. `log` and `fetched` are those of the follower."""
    answered = {world.truth.article_of({"url": row["url"]}) for row in log if row["status"] in (404, 410)}
    stored = first_stored(world, observations)
    recorded = {world.article(seen.urls) for seen in observations if seen.gone_at is not None}
    articles = world.due(window)
    gone = {key: moment(row["gone_at"]) for key, row in articles.items() if row["gone_at"] and moment(row["gone_at"]) in window}
    due = {
        key
        for key, at in gone.items()
        if key in stored
        and key in fetched
        and any(visit >= at for visit in list_visits(stored[key], fetched[key], revisits, last_visit(world, articles[key], window)))
    }
    missed = tuple(sorted(due - recorded))
    return Absences(len(gone), len(due), len(due & recorded), len(gone.keys() & answered), missed)


def text_versions(row: Row) -> list[Row]:
    """The versions of an article that differ in title or text, the first one included."""
    return [one for number, one in enumerate(row["versions"]) if number == 0 or one["change"] != "noise"]


def last_visit(world: World, row: Row, window: Window) -> datetime:
    """Until when a visit to an article can be judged: the window leaves time for its answer, and no 403 wall hides the article."""
    until = window.end - REVISIT_SLACK
    wall = world.fault_at(row["site"], "403")
    return until if wall is None else min(until, wall)


def list_visits(first: Observation, fetched: datetime, revisits: Sequence[timedelta], until: datetime) -> list[datetime]:
    """When the schedule revisits an article, up to `until`. It counts from the publication, if that is known, so the first may be early."""
    start = first.revisits_from or fetched
    return [start + span for span in revisits if fetched < start + span <= until]


def due_versions(changed: Sequence[datetime], fetched: datetime, visits: Sequence[datetime]) -> dict[int, datetime]:
    """The positions of the versions that the visits after the first one must find, with the visit: the newest, if it is another one."""
    due: dict[int, datetime] = {}
    last = max((k for k, at in enumerate(changed) if at <= fetched), default=0)
    for visit in visits:
        newest = max((k for k, at in enumerate(changed) if at <= visit), default=0)
        if newest != last:
            due[newest] = visit
            last = newest
    return due


def shows(seen: Observation, version: Row, before: Row) -> bool:
    """Whether the document has what the version changed: its title, or the paragraphs that the version before did not have."""
    if version["title"] != before["title"]:
        return squeeze(version["title"]) in squeeze(seen.title)
    added = [paragraph for paragraph in version["paragraphs"] if paragraph not in before["paragraphs"]]
    return all(squeeze(paragraph) in squeeze(seen.text) for paragraph in added)


def count_false_revisions(seen: Sequence[Observation], changed: Sequence[datetime]) -> int:
    """Revisions of one document for which another fetch, but no other text, is the reason."""
    return sum(
        then.revision > before.revision
        and then.fetched_at > before.fetched_at
        and not any(before.fetched_at < at <= then.fetched_at for at in changed)
        for before, then in pairwise(seen)
    )


def squeeze(text: str) -> str:
    """The text without white space, which markup changes."""
    return "".join(text.split())


def count_clairvoyant_polls(published: Iterable[float], lag: float) -> int:
    """The fewest polls of one site that find every article at most `lag` after its publication, if all publication times are known.

    Each article needs a poll in [published, published + lag]. The poll at the end of the first open interval serves the most others.

    >>> count_clairvoyant_polls([1.0, 1.1, 1.3, 5.0], 0.25)
    3
    """
    times, polls, position = sorted(published), 0, 0
    while position < len(times):
        polls += 1
        position = bisect_right(times, times[position] + lag)
    return polls


@dataclass(frozen=True, slots=True)
class Cell:
    """Hours of one site with one true rate (articles per hour)."""

    hours: float
    rate: float


def count_rate_polls(cells: Sequence[Cell], median: float, p95: float, pushed: float = 0.0) -> float:
    """The fewest expected polls that reach both lags, if the true rates are known but not the publication times.

    Articles come at random with the rate of their cell. With polls `interval` apart, a share of min(1, lag / interval) has at most `lag`.
    So the cells with the highest rates are polled every `median`, the next ones every `p95`, until 95 % of the articles have at most `p95`;
    the others are not polled. The first group is as small as half of the articles allow. `pushed` is the share of all articles that a hub
    delivers at once; the cells are those of the other articles.

    >>> cells = [Cell(24, 2.5)]
    >>> round(count_rate_polls(cells, 0.05, 0.25) / 60, 2), round(count_rate_polls(cells, 0.05, 0.25, pushed=0.25) / 60, 2)
    (4.0, 2.67)
    """
    total = sum(cell.hours * cell.rate for cell in cells)
    if not total:
        return 0.0
    p95 = max(p95, median)
    half, most = max(0.0, 0.5 - pushed) / (1 - pushed), max(0.0, 0.95 - pushed) / (1 - pushed)
    ratio = median / p95  # the share of the articles of the second group that has at most `median`
    fast = most if ratio == 1 else min(most, max(0.0, (half - most * ratio) / (1 - ratio)))
    polls, covered = 0.0, 0.0
    for cell in sorted(cells, key=lambda cell: -cell.rate):
        share = cell.hours * cell.rate / total
        for until, interval in ((fast, median), (most, p95)):
            part = min(share, max(0.0, until - covered))
            if part > 0:
                polls += part * total / cell.rate / interval
                covered, share = covered + part, share - part
    return polls


def estimate_cells(published: Mapping[str, Sequence[float]], start: float, end: float, window: tuple[float, float]) -> list[Cell]:
    """The true rates by site and hour of day, and how much of the window each covers.

    `published` are the publication times by site between `start` and `end` (hours; 0 is midnight). All sites have one daily rhythm, so its
    shape is estimated from all of them, and only the daily number of articles is the site's own.
    """
    by_hour = [0.0] * 24
    for times in published.values():
        for at in times:
            by_hour[int(at % 24)] += 1
    seen = [_overlap(hour, start, end) for hour in range(24)]
    weights = [count / hours if hours else 0.0 for count, hours in zip(by_hour, seen, strict=True)]
    expected = sum(weight * hours for weight, hours in zip(weights, seen, strict=True)) or 1.0
    return [
        Cell(hours, weights[hour] * len(times) / expected)
        for times in published.values()
        for hour in range(24)
        if (hours := _overlap(hour, *window)) > 0
    ]


def _overlap(hour: int, start: float, end: float) -> float:
    """How many hours of [start, end] are in this hour of a day."""
    days = range(int(start // 24), int(end // 24) + 1)
    return sum(max(0.0, min(end, day * 24 + hour + 1) - max(start, day * 24 + hour)) for day in days)
