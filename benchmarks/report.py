"""Summary table of runs: medians, ranges, the ratio to the peer, and the comparison with the known articles."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from measure import Cost

PEERS = ("trafilatura-cli", "scrapy-inline")  # the first of these with runs is the reference for the others
COLUMNS = (
    "system",
    "runs",
    "articles",
    "CPU s per 1,000, start-up off (range)",
    "with start-up",
    "of the peer's (range)",
    "articles per wall s",
    "MB written per 1,000, start-up off",
    "peak MB",
    "CPU share",
)


@dataclass(frozen=True, slots=True)
class Run:
    """One run of one system on one world."""

    system: str
    size: str  # large or small
    cost: Cost
    documents: int
    truth: Mapping[str, object]

    @property
    def articles(self) -> int:
        """The number of distinct stored articles of the world: the unit of all systems, however many copies they keep."""
        return int(str(self.truth["stored_once"])) + int(str(self.truth["stored_more_than_once"]))


def summary(name: str, runs: Sequence[Run]) -> dict[str, object]:
    """Return medians and ranges of the runs of one system."""
    large = [r for r in runs if r.system == name and r.size == "large"]
    small = [r for r in runs if r.system == name and r.size == "small"]
    base = median(r.cost.cpu for r in small)
    base_articles = median(r.articles for r in small)
    written = median(r.cost.written_mb for r in small)
    by_turn = [(r.cost.cpu - base) / max(1, r.articles - base_articles) * 1000 for r in large]
    marginal = sorted(by_turn)
    with_start = sorted(r.cost.cpu / max(1, r.articles) * 1000 for r in large)
    last = large[-1]
    return {
        "system": name,
        "runs": len(large),
        "articles": last.articles,
        "cpu_per_1000": round(median(marginal), 1),
        "cpu_per_1000_range": [round(marginal[0], 1), round(marginal[-1], 1)],
        "cpu_per_1000_by_turn": by_turn,
        "cpu_per_1000_with_start": round(median(with_start), 1),
        "articles_per_wall_second": round(median(r.articles / r.cost.wall for r in large), 1),
        "written_mb_per_1000": round(median((r.cost.written_mb - written) / max(1, r.articles - base_articles) * 1000 for r in large), 1),
        "peak_mb": {kind: max(r.cost.kinds[kind].peak_mb for r in large if kind in r.cost.kinds) for kind in last.cost.kinds},
        "cpu_share": shares(last.cost),
        "left_behind": sum(r.cost.left_behind for r in runs if r.system == name),
        "truth": {key: value for key, value in last.truth.items() if key not in ("f1_by_site", "missing_urls")},
    }


def shares(cost: Cost) -> dict[str, float]:
    """Return the share of each kind of process in the sampled CPU."""
    total = sum(kind.cpu for kind in cost.kinds.values()) or 1.0
    return {name: round(kind.cpu / total, 3) for name, kind in sorted(cost.kinds.items(), key=lambda pair: -pair[1].cpu)}


def table(rows: Sequence[Mapping[str, object]]) -> str:
    """Return the summaries as a Markdown table, for a terminal and for README.md."""
    lines = [
        f"| {' | '.join(COLUMNS)} |",
        "|---" * len(COLUMNS) + "|",
    ]
    peer = next((row for name in PEERS for row in rows if row["system"] == name), None)
    for row in rows:
        low, high = row["cpu_per_1000_range"]  # type: ignore[misc]
        peak = ", ".join(f"{kind} {mb:.0f}" for kind, mb in row["peak_mb"].items())  # type: ignore[attr-defined]
        share = ", ".join(f"{kind} {part:.0%}" for kind, part in row["cpu_share"].items())  # type: ignore[attr-defined]
        cpu = f"{row['cpu_per_1000']} ({low} to {high}) | {row['cpu_per_1000_with_start']} | {ratio(row, peer) if peer else ''}"
        figures = f"{cpu} | {row['articles_per_wall_second']} | {row['written_mb_per_1000']}"
        lines.append(f"| {row['system']} | {row['runs']} | {row['articles']} | {figures} | {peak} | {share} |")
    return "\n".join(lines)


def ratio(row: Mapping[str, object], peer: Mapping[str, object]) -> str:
    """Return the median and the range of the ratio, computed per turn because the speed of a shared machine varies."""
    turns = zip(row["cpu_per_1000_by_turn"], peer["cpu_per_1000_by_turn"], strict=True)  # type: ignore[call-overload]
    quotients = sorted(ours / theirs for ours, theirs in turns)
    return f"{median(quotients):.2f} ({quotients[0]:.2f} to {quotients[-1]:.2f})"


def format_result(row: Mapping[str, object]) -> str:
    """Return one line that compares the stored articles with the known ones."""
    truth: Mapping[str, object] = row["truth"]  # type: ignore[assignment]
    fields = (
        "expected",
        "stored_once",
        "missing",
        "stored_more_than_once",
        "not_an_article",
        "f1",
        "title_exact",
        "authors_equal",
        "footers_surviving",
    )
    return f"{row['system']}: " + ", ".join(f"{name} {truth[name]}" for name in fields)
