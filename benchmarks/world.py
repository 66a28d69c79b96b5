"""The local worlds of news sites for the benchmarks, static and live, built and served by `site/serve.py` of the shared data."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import time
import urllib.request
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


START_SECONDS = 900.0  # that a live world may take to build its sites: seconds on a free machine, minutes on a busy one
NO_PROXY = urllib.request.build_opener(urllib.request.ProxyHandler({}))


@dataclass(frozen=True, slots=True)
class LiveWorld:
    """A live world that runs: its front pages by site, and the URL below which it answers questions about itself."""

    homepages: dict[str, str]
    control: str

    def ask(self, path: str) -> list[dict[str, object]]:
        """The JSON lines of `clock`, `log`, `hub` or `truth.jsonl` (`?all=1`: with the future)."""
        with NO_PROXY.open(f"{self.control}/{path}", timeout=60) as response:
            return [json.loads(line) for line in response.read().decode().splitlines()]


@contextmanager
def serve_live(root: Path, port: int, arguments: list[str]) -> Iterator[LiveWorld]:
    """Run `serve.py --live` with these further arguments until the block ends. Exit with a message if it does not start."""
    root.mkdir(parents=True, exist_ok=True)
    output = root / "serve.txt"
    command = [sys.executable, str(shared() / "site" / "serve.py"), "--live", "--root", str(root), "--port", str(port), *arguments]
    with output.open("w") as out:
        server = subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT)
    try:
        deadline = time.monotonic() + START_SECONDS
        while '"speed"' not in output.read_text():
            if server.poll() is not None or time.monotonic() > deadline:
                sys.exit(f"the live world did not start: {output.read_text().strip()[-600:]}")
            time.sleep(0.2)
        rows = [line.split() for line in output.read_text().splitlines() if line.startswith("site-")]
        yield LiveWorld({row[0]: row[1] for row in rows}, f"{rows[0][1]}_world")
        if "Traceback" in output.read_text():
            print(f"the live world had an error: {output.read_text()[-2000:]}", file=sys.stderr)
    finally:
        server.terminate()
        server.wait(20)
