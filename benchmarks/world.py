"""The local world of news sites for the benchmarks, built and served by `site/serve.py` of the shared data."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class World:
    """A served world: its front pages, the number of its articles, and the file with the known articles."""

    homepages: tuple[str, ...]
    articles: int
    truth: Path
    megabytes: float


def shared() -> Path:
    """Return the folder of the shared data, beside the checkout or in NEWSMILL_SHARED. Exit with a message if it does not exist."""
    path = Path(os.environ.get("NEWSMILL_SHARED", Path(__file__).resolve().parents[2] / "shared"))
    if not (path / "site" / "serve.py").is_file():
        sys.exit(f"{path} holds no site/serve.py: lay the shared data beside the checkout, or name it in NEWSMILL_SHARED")
    return path


def check_nginx() -> None:
    """Exit with a message if nginx is not installed; the benchmark does not install it."""
    if not (shutil.which("nginx") or Path("/usr/sbin/nginx").exists()):
        sys.exit("nginx is missing: install it (Debian, Ubuntu: apt-get install nginx-light) and run this again")


@contextmanager
def serve(root: Path, port: int, sites: int, pages: int, seed: int = 1) -> Iterator[World]:
    """Build a static world in `root` and serve it on 127.0.0.2, 127.0.0.3 and so on, until the block ends."""
    script = str(shared() / "site" / "serve.py")
    numbers = ["--sites", str(sites), "--pages", str(pages), "--port", str(port), "--seed", str(seed)]
    done = subprocess.run([sys.executable, script, *numbers, "--root", str(root)], capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"the world could not be served: {done.stderr.strip()[-600:]}")
    try:
        *rows, last = done.stdout.strip().splitlines()
        facts = json.loads(last)
        homepages = tuple(match[0] for row in rows if (match := re.search(r"http://\S+", row)))
        yield World(homepages, facts["articles"], Path(facts["truth"]), facts["html_mb"])
    finally:
        subprocess.run([sys.executable, script, "--stop", "--root", str(root)], check=False, capture_output=True)


def score(world: World, documents: Path) -> dict[str, object]:
    """Compare documents (JSON lines) with the known articles: stored once, missing, not an article, shingle F1 and so on."""
    script = str(shared() / "site" / "score_world.py")
    command = [sys.executable, script, "--truth", str(world.truth), "--documents", str(documents), "--allow", "paywall-stub", "--json"]
    result: dict[str, object] = json.loads(subprocess.run(command, capture_output=True, text=True).stdout)
    return result
