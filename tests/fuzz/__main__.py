"""`cd tests && python -m fuzz TARGET --seconds 60`: exit code 1 where something was found; every input is kept in --keep."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from fuzz.driver import run
from fuzz.targets import TARGETS

parser = argparse.ArgumentParser(prog="python -m fuzz", description="Fuzz one reader of bytes from outside.")
parser.add_argument("target", choices=sorted(TARGETS))
parser.add_argument("--seconds", type=float, default=60, help="wall time (default: 60)")
parser.add_argument("--engine", choices=("atheris", "mutate"), help="default: atheris where it is installed")
parser.add_argument("--seed", type=int, default=0, help="of the random numbers (default: 0)")
parser.add_argument("--keep", type=Path, default=Path("fuzz-findings"), help="folder for inputs that fail (default: fuzz-findings)")
given = parser.parse_args()
result = run(given.target, given.seconds, engine=given.engine, seed=given.seed)
for number, finding in enumerate(result.findings, start=1):
    given.keep.mkdir(parents=True, exist_ok=True)
    file = given.keep / f"{given.target}-{number}"
    file.write_bytes(finding.data)
    print(f"{file}: {finding.what}\n")
print(f"{given.target}: {result.tried:,} inputs, {len(result.findings)} findings")
sys.exit(1 if result.findings else 0)
