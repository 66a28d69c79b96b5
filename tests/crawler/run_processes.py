"""The processes of spiders' runs, found by their parents."""

from __future__ import annotations

from pathlib import Path


def find_runs(parent: int) -> list[int]:
    """The process ids of runs that a crawler has started."""
    runs = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
            command = (folder / "cmdline").read_bytes()
        except OSError:
            continue
        if int(fields[1]) == parent and fields[0] != "Z" and b"crawler.spider_runs.run_process" in command:
            runs.append(int(folder.name))
    return runs
