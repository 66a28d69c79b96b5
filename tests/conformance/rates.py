"""The case collections beside the checkout, read in place, and the share of their assertions that holds."""

from __future__ import annotations

import gzip
import json
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

Case = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Result:
    """One assertion of a suite: its group in the table, whether it holds, and its id."""

    group: str
    holds: bool
    case: str


def cases(shared: Path, collection: str, *kinds: str) -> Iterator[Case]:
    """The cases of a collection as their manifest describes them; all kinds unless some are named."""
    folder = shared / "cases" / collection
    with (folder / "cases.jsonl").open(encoding="utf-8") as lines:
        for line in lines:
            case = json.loads(line)
            if not kinds or case["kind"] in kinds:
                yield case | {"folder": folder}


def body(case: Case, name: str | None = None) -> bytes:
    """The bytes of one of a case's files, the first when none is named."""
    path = case["folder"] / (case["files"][name] if name else next(iter(case["files"].values())))
    return gzip.decompress(path.read_bytes()) if _is_packed(case["folder"]) else path.read_bytes()


def check(title: str, results: Iterable[Result], floor: float) -> None:
    """Prints the rate of each group and of all as a table, and fails if fewer than `floor` of all hold or there are none."""
    groups: dict[str, list[Result]] = defaultdict(list)
    for result in results:
        groups[result.group].append(result)
    total = [result for group in groups.values() for result in group]
    rows = [*sorted(groups.items()), ("all", total)]
    print(f"\n{title:<44}   holds    of     rate")
    for name, group in rows:
        print(f"{name:<44}{sum(v.holds for v in group):8}{len(group):6}{_rate(group):9.2%}")
    assert total, f"{title}: no assertion was found"
    assert _rate(total) >= floor, [result for result in total if not result.holds][:30]


def _rate(results: list[Result]) -> float:
    return sum(result.holds for result in results) / len(results)


@cache
def _is_packed(folder: Path) -> bool:
    return bool(json.loads((folder / "manifest.json").read_text("utf-8"))["files_gzipped"])
