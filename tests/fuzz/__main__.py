"""`cd tests && python -m fuzz TARGET --seconds 60`: exit code 1 where something was found. Each finding is a file in --keep at once."""

from __future__ import annotations

import argparse
import sys
from importlib import import_module
from pathlib import Path

from fuzz.driver import Progress, replay, run

parser = argparse.ArgumentParser(prog="python -m fuzz", description="Fuzz one reader of bytes from outside.")
parser.add_argument("target")
parser.add_argument("--seconds", type=float, default=60, help="wall time (default: 60)")
parser.add_argument("--engine", choices=("atheris", "mutate"), help="default: atheris where it is installed")
parser.add_argument("--seed", type=int, default=0, help="of the random numbers (default: 0)")
parser.add_argument("--keep", type=Path, default=Path("fuzz-findings"), help="folder for inputs that fail (default: fuzz-findings)")
parser.add_argument("--replay", type=Path, metavar="FILE", help="run this one input instead")
parser.add_argument("--module", default="fuzz.targets", help="module of the targets (default: fuzz.targets)")
given = parser.parse_args()
if given.target not in (targets := import_module(given.module).TARGETS):
    parser.error(f"unknown target {given.target!r}, choose from {', '.join(sorted(targets))}")
if given.replay is not None:
    replay(given.module, given.target, given.replay.read_bytes())
    sys.exit(0)


def show(progress: Progress) -> None:
    print(
        f"{given.target}: {progress.tried:,} executions, {progress.corpus:,} inputs in the corpus, {progress.findings} findings, "
        f"{progress.cpu:,.0f} s of CPU",
        flush=True,
    )


result = run(given.target, given.seconds, engine=given.engine, seed=given.seed, module=given.module, keep=given.keep, report=show)
for finding in result.findings:
    print(f"{finding.file}: {finding.what}")
show(result.progress)
sys.exit(1 if result.findings else 0)
