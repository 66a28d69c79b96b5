"""The figures of one follower of a live world, and the table that shows them beside the goals."""

from __future__ import annotations

import argparse
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from statistics import median
from types import ModuleType
from typing import Any, Protocol

import follow_figures as figures
from follow_figures import Window, World, count_clairvoyant_polls, count_rate_polls, estimate_cells, moment
from simulated import SimulatedClock

from newsmill.sources.table_values import parse_duration

# What a state must contain to name a fault rightly, in lower case.
NAMES = {
    "403": ("block",),
    "layout": ("extraction", "layout"),
    "empty-feed": ("stale",),
    "move-feed": ("moved", "gone"),
    "redirect-feed": ("moved",),
}
CALM = ("ok", "quiet", "unread", "paused")  # states that raise no alarm
MAX_ALARM_HOURS = 6
GOAL_MEDIAN, GOAL_P95 = 3.0, 15.0  # simulated minutes from publication to searchable


@dataclass(frozen=True, slots=True)
class HealthChange:
    """What the health of a source was from this simulated time on."""

    at: datetime
    site: str
    state: str
    record: Mapping[str, Any]


class Followed(Protocol):
    """What is measured of a follower."""

    name: str
    agent: str
    health: list[HealthChange]
    cpu_seconds: dict[str, float]
    reader: Any


@dataclass
class Machine:
    """Samples of the load average over a run."""

    loads: list[float] = field(default_factory=list)

    def sample(self) -> None:
        self.loads.append(os.getloadavg()[0])

    def to_record(self) -> dict[str, float | int]:
        loads = self.loads or [0.0]
        return {"cores": os.cpu_count() or 1, "load, median": round(median(loads), 1), "load, max": round(max(loads), 1)}


def measure(
    follower: Followed,
    rows: list[dict[str, Any]],
    future: list[dict[str, Any]],
    log: list[dict[str, Any]],
    score: tuple[ModuleType, ModuleType],
    clock: SimulatedClock,
    machine: Machine,
    options: argparse.Namespace,
) -> dict[str, Any]:
    """All figures of one follower. `rows` is the truth so far, `future` also what would have happened."""
    world, own = World(rows, score[0]), [row for row in log if row["user_agent"] == follower.agent]
    start = clock.start + timedelta(hours=options.warm_up_hours)
    window = Window(start, start + timedelta(hours=options.hours))
    observations = follower.reader.observations
    classified = figures.classify(world, own, window)
    requests = figures.count_requests(classified)
    new, due = world.published_in(window), world.due(window)
    fetched, stored = figures.first_fetches(world, own), figures.first_stored(world, observations)
    live = score[1].score_live(rows, [], own)
    inside = [row for row, _ in classified]
    revisits = [parse_duration(text) for text in options.revisits.split(",")]
    hubs = {site for site in world.sites if world.kind(site) == "WebSub"}
    searchable = {key: figures.minutes(one.stored_at - moment(due[key]["published"])) for key, one in stored.items() if key in due}
    lags = figures.spread(list(searchable.values()))
    return {
        "follower": follower.name,
        "hours": options.hours,
        "speed": options.speed,
        "new articles": len(new),
        "due": len(due),
        "requests": requests,
        "requests per new article": round(figures.count_counted(requests) / max(1, len(due)), 2),
        "per class": {kind: round(count / max(1, len(due)), 2) for kind, count in requests.items()},
        "per site": requests_by_site(world, classified, due),
        "searchable, minutes": lags,
        "searchable, sites with a hub": figures.spread([lag for key, lag in searchable.items() if due[key]["site"] in hubs]),
        "searchable, other sites": figures.spread([lag for key, lag in searchable.items() if due[key]["site"] not in hubs]),
        "searchable, by site": {
            site: figures.spread([lag for key, lag in searchable.items() if due[key]["site"] == site]) for site in sorted(world.sites)
        },
        "first fetch, minutes": figures.spread(
            [figures.minutes(fetched[key] - moment(row["published"])) for key, row in due.items() if key in fetched]
        ),
        "pipeline, real s": figures.spread(
            [(one.stored_at - fetched[key]).total_seconds() / clock.speed for key, one in stored.items() if key in due and key in fetched]
        ),
        "stored": asdict(figures.compare_stored(world, observations, window)),
        "unchanged polls": score[1].score_live(rows, [], inside)["unchanged_polls"],
        "unchanged listings": score[1].score_live(rows, [], [row for row, kind in classified if kind in figures.LISTINGS])[
            "unchanged_polls"
        ],
        "politeness": {
            name: live[name] for name in ("disallowed_hits", "crawl_delay_violations", "requests_inside_retry_after", "answers_429")
        },
        "edits": asdict(figures.judge_edits(world, observations, window, fetched, revisits)),
        "gone": asdict(figures.judge_absences(world, observations, own, window, fetched, revisits)),
        "bounds": compute_bounds(world, future, window, lags),
        "faults": [judge_fault(row, follower.health) for row in world.faults()],
        "false alarms": find_false_alarms(world, follower.health),
        "machine": machine.to_record(),
        "cpu seconds": follower.cpu_seconds,
    }


def requests_by_site(world: World, classified: Sequence[tuple[figures.Row, str]], due: Mapping[str, figures.Row]) -> dict[str, float]:
    """Counted requests per new article of each site, with what is special about the site."""
    return {
        f"{site} ({world.kind(site)})": round(
            figures.count_counted(figures.count_requests([pair for pair in classified if pair[0]["site"] == site]))
            / max(1, sum(row["site"] == site for row in due.values())),
            2,
        )
        for site in sorted(world.sites)
    }


def compute_bounds(world: World, future: list[dict[str, Any]], window: Window, lags: Mapping[str, float]) -> dict[str, Any]:
    """Polls of the two ideal schedulers, for the articles that are due: with the lags that were measured, and with those of the goals.

    At the goals a hub delivers the articles of its site at once and needs no poll.
    """
    due = {row["url"] for row in world.due(window).values()}
    if not lags["n"]:
        return {}
    published: dict[str, list[float]] = {}
    inside: dict[str, list[float]] = {}
    for row in future:
        if row["expected"] == "article" and moment(row["published"]) > moment(world.sites[row["site"]]["start"]):
            at = hours(moment(row["published"]))
            published.setdefault(row["site"], []).append(at)
            if row["url"] in due:
                inside.setdefault(row["site"], []).append(at)
    site = next(iter(world.sites.values()))
    start = hours(moment(site["start"]))
    end = max((max(times) for times in published.values()), default=start)
    cells = estimate_cells(published, start, end, (hours(window.start), hours(window.end)))
    articles = sum(map(len, inside.values()))
    clairvoyant = sum(count_clairvoyant_polls(times, lags["p95"] / 60) for times in inside.values())
    knows_rates = count_rate_polls(cells, lags["median"] / 60, lags["p95"] / 60)
    polled = {name: times for name, times in inside.items() if world.kind(name) != "WebSub"}
    pushed = 1 - sum(map(len, polled.values())) / max(1, articles)
    others = estimate_cells({name: published[name] for name in polled}, start, end, (hours(window.start), hours(window.end)))
    goals = count_rate_polls(others, GOAL_MEDIAN / 60, GOAL_P95 / 60, pushed) if pushed < 1 else 0.0
    return {
        "polls, knows the future": clairvoyant,
        "polls, knows the rates": round(knows_rates),
        "requests per new article, knows the future": round(1 + clairvoyant / max(1, articles), 2),
        "requests per new article, knows the rates": round(1 + knows_rates / max(1, articles), 2),
        "at the goals, knows the future": round(
            1 + sum(count_clairvoyant_polls(times, GOAL_P95 / 60) for times in polled.values()) / articles, 2
        ),
        "at the goals, knows the rates": round(1 + goals / max(1, articles), 2),
    }


def hours(at: datetime) -> float:
    return at.timestamp() / 3600


# ---- health ------------------------------------------------------------------------------------------------------------------


def judge_fault(fault: figures.Row, health: Sequence[HealthChange]) -> dict[str, Any]:
    """The states that a site had after a fault, and the hours until one of them named it."""
    at = moment(fault["at"])
    after = [change for change in health if change.site == fault["site"] and change.at >= at]
    named = next((change for change in after if any(word in change.state.lower() for word in NAMES[fault["fault"]])), None)
    alarm = next((change for change in after if not is_calm(change.state)), None)
    return {
        "site": fault["site"],
        "fault": fault["fault"],
        "at": at.astimezone(UTC).isoformat(),
        "hours to an alarm": None if alarm is None else round((alarm.at - at).total_seconds() / 3600, 2),
        "hours to the right name": None if named is None else round((named.at - at).total_seconds() / 3600, 2),
        "states": [f"{change.at.astimezone(UTC):%d %H:%M} {change.state} {change.record.get('outcome') or ''}".strip() for change in after],
    }


def find_false_alarms(world: World, health: Sequence[HealthChange]) -> list[str]:
    """States of alarm at sites that had no fault yet."""
    faults: dict[str, datetime] = {}
    for row in world.faults():
        faults[row["site"]] = min(moment(row["at"]), faults.get(row["site"], moment(row["at"])))
    return [
        f"{change.at.astimezone(UTC):%d %H:%M} {change.site} {change.state}: {change.record.get('outcome')}"
        for change in health
        if not is_calm(change.state) and not (change.site in faults and change.at >= faults[change.site])
    ]


def is_calm(state: str) -> bool:
    return state.lower() in CALM


# ---- the table ---------------------------------------------------------------------------------------------------------------


def describe(report: Mapping[str, Any]) -> str:
    """The report as a Markdown table with goals, and the details below it."""
    stored, edits, bounds, politeness = report["stored"], report["edits"], report["bounds"], report["politeness"]
    listings = sum(report["requests"].get(kind, 0) for kind in figures.LISTINGS)
    named = [fault for fault in report["faults"] if (fault["hours to the right name"] or 99) <= MAX_ALARM_HOURS]
    rows = [
        ("new articles that are due and stored", "≥ 99.5 %", f"{100 * stored['share']:.2f} %"),
        ("… of sites without feed and sitemap", "≥ 98 %", percent(stored["by_kind"].get(figures.KINDS[0]))),
        ("stored twice; other pages stored", "0; 0", f"{len(stored['twice'])}; {stored['others'] or 0}"),
        ("publication to searchable, minutes: median, p95", "≤ 3, ≤ 15", lag(report["searchable, minutes"])),
        ("… sites with a WebSub hub", "≤ 5 s", lag(report["searchable, sites with a hub"])),
        ("publication to first fetch, minutes: median, p95", "", lag(report["first fetch, minutes"])),
        ("requests per new article", "≤ 2.5", f"{report['requests per new article']}"),
        (
            "listing polls, times those of a scheduler that knows the future",
            "≤ 1.3",
            f"{listings / max(1, bounds.get('polls, knows the future', 0)):.2f}" if bounds else "",
        ),
        (
            "listing polls, times those of a scheduler that knows the rates",
            "",
            f"{listings / max(1, bounds.get('polls, knows the rates', 0)):.2f}" if bounds else "",
        ),
        ("unchanged answers that were 304", "≥ 90 %", percent(report["unchanged polls"]["share_304"])),
        ("edits found within the schedule", "100 %", f"{edits['found']} of {edits['due']}"),
        ("revisions without a change of the text", "0", f"{edits['false_revisions']} ({edits['advert_changes']} changes of adverts)"),
        ("vanished articles recorded as gone within the schedule", "100 %", f"{report['gone']['recorded']} of {report['gone']['due']}"),
        ("… seen at all, also those that are not due yet", "", f"{report['gone']['seen']} of {report['gone']['vanished']}"),
        (
            "disallowed; inside Crawl-delay; inside Retry-After",
            "0; 0; 0",
            "; ".join(str(politeness[name]) for name in list(politeness)[:3]),
        ),
        (f"faults named rightly within {MAX_ALARM_HOURS} h", "all", f"{len(named)} of {len(report['faults'])}"),
        ("false alarms", "0", str(len(report["false alarms"]))),
        ("fetch to searchable, real s: median, p95", "far below", lag(report["pipeline, real s"])),
    ]
    title = f"{report['follower']}: seed {report['seed']}, {report['hours']:g} simulated hours at speed {report['speed']:g}"
    details = [
        f"new articles: {report['new articles']}, due: {report['due']}",
        f"requests: {report['requests']}",
        f"requests per new article: {report['per class']}",
        f"… by site: {report['per site']}",
        f"minutes to searchable by site: {report['searchable, by site']}",
        f"stored by site: {stored['by_site']}; missing: {stored['missing'][:10]}",
        f"edits missed: {edits['missed']}; false revisions: {edits['false']}; absences missed: {report['gone']['missed']}",
        f"bounds: {bounds}",
        f"304: all {report['unchanged polls']}, listings {report['unchanged listings']}; 429: {politeness['answers_429']}",
        *(f"fault: {fault}" for fault in report["faults"]),
        *(f"false alarm: {alarm}" for alarm in report["false alarms"][:20]),
        f"machine: {report['machine']}; CPU s: {report['cpu seconds']}; clock drift: {report['clock drift, simulated s']} simulated s",
    ]
    table = "\n".join(f"| {name} | {goal} | {value} |" for name, goal, value in rows)
    return "\n".join((title, "", "| | goal | measured |\n|---|---|---|", table, "", *details, ""))


def percent(share: float | None) -> str:
    return "" if share is None else f"{100 * share:.1f} %"


def lag(values: Mapping[str, float]) -> str:
    return f"{values['median']}, {values['p95']} (n {values['n']})" if values["n"] else "none"
