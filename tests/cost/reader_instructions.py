"""The machine instructions of the page reader for a page of the sample newspaper: PYTHONPATH=tests python -m cost.reader_instructions

valgrind's cachegrind counts them, so the figure repeats to one per cent whatever else the machine does. It depends on the version
of Python and of the compiled libraries; the nightly CI run has always the same and refuses more than the limit.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from cost.limits import find_excess

PAGES = 12
SITE = Path(__file__).resolve().parents[1] / "newspaper" / "site"
READ = """
import gc, sys
from cost.reader_cost import make_page
from newsmill.extraction.pipeline import read
gc.disable()  # its moments depend on the memory addresses of a process
pages = [make_page("https://paper.example/" + name, open(name, "rb").read()) for name in sys.argv[2:]]
for _ in range(int(sys.argv[1])):
    for page in pages:
        read(page, brief=True)
"""
COUNT = re.compile(r"I\s+refs:\s+([\d,]+)")


def count_instructions(rounds: int, files: Sequence[str]) -> int:
    """The instructions of a process that reads the files so many times. Raises ValueError if valgrind did not count."""
    command = [
        "valgrind",
        "--tool=cachegrind",
        "--cache-sim=no",
        "--cachegrind-out-file=/dev/null",
        sys.executable,
        "-c",
        READ,
        str(rounds),
    ]
    env = os.environ | {"PYTHONHASHSEED": "0"}
    done = subprocess.run([*command, *files], env=env, capture_output=True, text=True, check=True)
    found = COUNT.search(done.stderr)
    if found is None:
        raise ValueError(f"valgrind printed no count: {done.stderr[-500:]}")
    return int(found[1].replace(",", ""))


def main() -> int:
    pages = sorted(path for path in SITE.rglob("*.html") if path.name != "index.html")
    files = [str(path) for path in pages[:: len(pages) // PAGES][:PAGES]]
    once, often = (count_instructions(rounds, files) for rounds in (1, 9))  # the first round fills caches
    return 1 if find_excess({"reader, million instructions": (often - once) / 8 / len(files) / 1e6}) else 0


if __name__ == "__main__":
    sys.exit(main())
