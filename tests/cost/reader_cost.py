"""The CPU of the page reader relative to `trafilatura.bare_extraction`, as a program of its own: python tests/cost/reader_cost.py SHARED.

Reader and trafilatura take turns on each page, and the least of several rounds counts, so the load of the machine cancels out.
It prints the ratio and the number of function calls a page as a JSON object, for pages of sites without a profile and with one.
"""

from __future__ import annotations

import cProfile
import gzip
import json
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit

from trafilatura import bare_extraction

from newsmill.extraction.pipeline import read
from newsmill.extraction.site_profile.profile import learn_profile, make_page_blocks
from newsmill.model import Page, Profile

ROUNDS = 2
UNKNOWN_PAGES = 50
SETS = ("aeb", "fundus-eval", "fundus-parser", "trafilatura-eval", "wcxb-article")
KNOWN_SITES, SITE_PAGES, LEARNED_PAGES = 2, 32, 20
FETCHED_AT = datetime(2026, 11, 30, 12, tzinfo=UTC)
HEADERS = (("Content-Type", "text/html; charset=utf-8"),)
NO_SITE = "https://paper.example/2026/11/25/a-headline-of-some-length-12345"

Case = tuple[Page, Profile | None]


def find_unknown_pages(shared: Path) -> list[Case]:
    """Every Nth page of the gold sets, each as the page of a site without a profile."""
    files = [path for name in SETS for path in sorted((shared / "quality/data" / name / "pages").glob("*.gz"))]
    step = len(files) / UNKNOWN_PAGES
    chosen = [files[int(number * step)] for number in range(UNKNOWN_PAGES)]
    return [(make_page(NO_SITE, gzip.decompress(path.read_bytes())), None) for path in chosen]


def find_known_pages(shared: Path) -> list[Case]:
    """Pages of generated sites, with the profile of other pages of the same site."""
    with tempfile.TemporaryDirectory(prefix="newsmill-cost-") as folder:
        build = [sys.executable, str(shared / "site/serve.py"), "--build-only", "--root", folder, "--now", FETCHED_AT.isoformat()]
        build += ["--sites", str(KNOWN_SITES), "--pages", str(SITE_PAGES)]
        subprocess.run(build, check=True, stdout=subprocess.DEVNULL)
        sites = defaultdict[str, list[Page]](list)
        for site, url, body in read_articles(Path(folder)):
            sites[site].append(make_page(url, body))
    return [case for site, pages in sorted(sites.items()) for case in teach(site, pages)]


def read_articles(folder: Path) -> Iterator[tuple[str, str, bytes]]:
    """(site, URL, HTML) of the articles of a built world whose file is at the path of their URL."""
    for line in (folder / "truth.jsonl").read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        files = folder / "sites" / row["site"].removeprefix("site-").zfill(3) / "www"
        path = urlsplit(row["url"]).path.strip("/")
        found = [file for file in (files / f"{path}.gz", files / path / "index.html.gz") if file.is_file()]
        if row["kind"] == "article" and found:
            yield row["site"], row["url"], gzip.decompress(found[0].read_bytes())


def teach(site: str, pages: Sequence[Page]) -> Iterator[Case]:
    """The pages that the profile was not learned from, with the profile."""
    profile = learn_profile((make_page_blocks(page.url, read(page)) for page in pages[:LEARNED_PAGES]), site)
    yield from ((page, profile) for page in pages[LEARNED_PAGES:])


def make_page(url: str, body: bytes) -> Page:
    return Page(url, url, FETCHED_AT, 200, HEADERS, body)


def extract_with_trafilatura(case: Case) -> object:
    return bare_extraction(case[0].body, url=case[0].url, with_metadata=True)


def extract_with_reader(case: Case) -> object:
    return read(case[0], profile=case[1], brief=True)


def measure_ratio(cases: Sequence[Case]) -> float:
    """CPU of the reader divided by that of trafilatura, over the least time of each page."""
    systems: tuple[Callable[[Case], object], ...] = (extract_with_trafilatura, extract_with_reader)
    least = [[float("inf")] * len(cases) for _ in systems]
    for _ in range(ROUNDS):
        for number, case in enumerate(cases):
            for system, times in zip(systems, least, strict=True):
                started = time.process_time()
                system(case)
                times[number] = min(times[number], time.process_time() - started)
    theirs, ours = map(sum, least)
    return ours / theirs


def count_calls(cases: Sequence[Case]) -> int:
    """Function calls of the reader a page, those of compiled code included."""
    profiler = cProfile.Profile()
    profiler.enable()
    for case in cases:
        extract_with_reader(case)
    profiler.disable()
    return sum(entry.callcount for entry in profiler.getstats()) // len(cases)


def main() -> None:
    shared = Path(sys.argv[1])
    unknown, known = find_unknown_pages(shared), find_known_pages(shared)
    costs = {
        "reader, unknown sites": measure_ratio(unknown),
        "reader, known sites": measure_ratio(known),
        "reader calls, unknown sites": count_calls(unknown),  # the rounds before have filled the caches
        "reader calls, known sites": count_calls(known),
    }
    print(json.dumps(costs))


if __name__ == "__main__":
    main()
