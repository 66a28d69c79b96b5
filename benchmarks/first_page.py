"""The CPU of `newsmill crawl URL --limit 1`, from its start to its end, beside that of another checkout in the same minutes.

    python benchmarks/first_page.py [--beside CHECKOUT] [--turns 5]

Each turn crawls the newspaper of the demo into an empty data folder, once with each checkout. All checkouts run in the environment of this
interpreter, which must have what each of them needs.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
from pathlib import Path

import measure

from newsmill import demo as newspaper

HERE = Path(__file__).resolve().parents[1]


def crawl_first_page(checkout: Path, homepage: str) -> measure.Cost:
    """The cost of a crawl that ends after its first document. Raises RuntimeError if it fails."""
    with tempfile.TemporaryDirectory() as folder:
        environ = os.environ | {"NEWSMILL_DATA": f"{folder}/data", "NEWSMILL_ALLOW_NETS": "127.0.0.0/8", "PYTHONPATH": str(checkout)}
        command = [sys.executable, "-m", "newsmill.cli.main", "crawl", homepage, "--delay", "0", "--limit", "1"]
        return measure.run(command, Path(folder, "log"), environ, cwd=checkout, limit=120)


def main() -> None:
    """Print the CPU seconds of each turn, and the median ratio to the other checkout."""
    parser = argparse.ArgumentParser(description="The CPU of a crawl that ends after its first document.")
    parser.add_argument("--beside", type=Path, metavar="CHECKOUT", help="another checkout of Newsmill")
    parser.add_argument("--turns", type=int, default=5, help="crawls of each checkout; default: 5")
    arguments = parser.parse_args()
    if arguments.turns < 1:
        parser.error("--turns must be at least 1")
    checkouts = [HERE, *([arguments.beside.resolve()] if arguments.beside else [])]
    seconds: list[list[float]] = []
    with newspaper.serve() as paper:
        for _ in range(arguments.turns):
            seconds.append([crawl_first_page(checkout, f"{paper.url}/").cpu for checkout in checkouts])
            print("  ".join(f"{one:.1f} s" for one in seconds[-1]), flush=True)
    for checkout, column in zip(checkouts, zip(*seconds, strict=True), strict=True):
        print(f"{checkout.name}: median {statistics.median(column):.1f} s of CPU, {min(column):.1f} to {max(column):.1f}")
    if len(checkouts) > 1:
        print(f"ratio: median {statistics.median(mine / other for mine, other in seconds):.2f}")


if __name__ == "__main__":
    main()
