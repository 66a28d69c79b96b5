"""Text quality on unknown sites: `python benchmarks/world_quality.py [--sites 24] [--pages 40] [--folds DIR] [--save FILE]`.

Builds local sites with exactly known articles (`../shared/site`, no server needed), and extracts each article as the first page of an
unknown site. Then it learns the site from its first LEARN pages and extracts the others with its profile. Scores are those of
`score_world.py`. The pages of a site have the layout of a real publisher; `--folds DIR` (train_blocks.py) uses the model that has not
seen that publisher.
"""

from __future__ import annotations

import argparse
import gzip
import importlib.util
import json
import os
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import mean, stdev
from types import ModuleType
from typing import Any

from quality import NOW, GoldPage, fold_model, is_exact
from quality import scorer as quality_scorer
from world import shared

from newsmill.extraction.body.block_model import BlockModel
from newsmill.extraction.pipeline import read
from newsmill.extraction.site_profile.profile import PageBlocks, learn_profile
from newsmill.model import Document, ExtractionResult, Page, Profile

LEARN = 20  # pages of a site from which its profile is learned: "from page 21 on"


@dataclass(frozen=True, slots=True)
class Figure:
    """One article: F1 of its body as the first page of its site and, after LEARN pages, with the profile; the errors of the latter."""

    site: str
    url: str
    publisher: str
    first: float
    fed: float  # the same with the feed of a live blog in the text, because the known texts of these sites include it
    outcome: str
    footer: bool  # in the first extraction or the later one
    later: float | None
    later_fed: float | None
    teasers: int  # titles of other articles in the text with the profile
    first_exact: bool  # exact text, with or without the feed of a live blog
    later_exact: bool | None


def build(root: Path, sites: int, pages: int, seed: int) -> list[dict[str, Any]]:
    """Build the world without serving it; return the records of its known articles."""
    script = shared() / "site" / "serve.py"
    numbers = ["--sites", str(sites), "--pages", str(pages), "--seed", str(seed), "--root", str(root), "--now", "2026-11-25T12:00:00+00:00"]
    subprocess.run([sys.executable, str(script), "--build-only", *numbers], check=True, capture_output=True)
    rows = [json.loads(line) for line in (root / "truth.jsonl").read_text("utf-8").splitlines()]
    return [row for row in rows if row["expected"] == "article"]


def scorer() -> ModuleType:
    """Load `site/score_world.py` as a module."""
    path = shared() / "site" / "score_world.py"
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module
    spec.loader.exec_module(module)
    return module


def html_of(root: Path, row: Mapping[str, Any]) -> bytes:
    """Return the page of the article as the server would send it."""
    path = row["url"].split("/", 3)[3].split("?")[0]
    folder = root / "sites" / f"{int(row['site'].split('-')[1]):03}" / "www"
    found = next(
        p for p in (folder / f"{path}.gz", folder / path.strip("/") / "index.html.gz", folder / f"{path.strip('/')}.html.gz") if p.exists()
    )
    return gzip.decompress(found.read_bytes())


def reading_of(url: str, html: bytes, model: BlockModel | None, profile: Profile | None = None) -> ExtractionResult:
    headers = (("Content-Type", "text/html"),)
    fetched = Page(requested_url=url, url=url, fetched_at=NOW, status=200, headers=headers, body=html)
    return read(fetched, model=model, profile=profile)


def of_site(root: Path, rows: Sequence[Mapping[str, Any]], folds: Path | None) -> list[Figure]:
    """Return the figures of one site, with its articles in the order of the records."""
    score = scorer()
    fold = GoldPage("world", {"id": "", "host": rows[0]["publisher"]}, b"").fold
    model = fold_model(folds, fold) if folds else None
    pages = [(row["url"], html_of(root, row)) for row in rows]
    alone = [reading_of(*page, model) for page in pages]
    profile = learn_profile([PageBlocks(url, found.blocks) for (url, _), found in zip(pages[:LEARN], alone, strict=False)], rows[0]["site"])
    later = [None] * LEARN + [reading_of(*page, model, profile) for page in pages[LEARN:]]
    titles = [row["title"] for row in rows if len(row["title"].split()) >= score.TEASER_WORDS]
    return [_figure(score, row, one, other, titles) for row, one, other in zip(rows, alone, later, strict=False)]


def _figure(
    score: ModuleType, row: Mapping[str, Any], alone: ExtractionResult, later: ExtractionResult | None, titles: Sequence[str]
) -> Figure:
    documents = [reading.document for reading in (alone, later) if reading is not None]
    texts = [document.text if document else "" for document in documents]
    fed = [_with_feed(document) if document else "" for document in documents]
    f1, fed_f1 = ([score.best_f1(row["paragraphs"], set(row.get("optional") or ()), text) for text in found] for found in (texts, fed))
    truth = {"text": "\n\n".join(row["paragraphs"]), "paragraphs": row["paragraphs"], "optional": row.get("optional")}
    quality = quality_scorer()
    exact = [is_exact(quality, truth, text) or is_exact(quality, truth, live) for text, live in zip(texts, fed, strict=True)]
    gold = "\n".join(row["paragraphs"])
    teasers = sum(title in texts[-1] and title not in gold for title in titles if title != row["title"])
    footer = any(score.FOOTER.search(text) for text in texts)
    return Figure(
        site=row["site"],
        url=row["url"],
        publisher=row["publisher"],
        first=f1[0],
        fed=fed_f1[0],
        outcome=str(alone.ending.outcome),
        footer=footer,
        later=f1[1] if later else None,
        later_fed=fed_f1[1] if later else None,
        teasers=teasers,
        first_exact=exact[0],
        later_exact=exact[1] if later else None,
    )


def _with_feed(document: Document) -> str:
    return "\n\n".join([document.text, *(f"{update.title or ''}\n\n{update.text}".strip() for update in document.live_updates)])


def report(figures: Sequence[Figure]) -> str:
    """Return the figures over all articles, over sites (the relevant ones for an unknown site), and of each site, worst first."""
    sites: dict[str, list[Figure]] = defaultdict(list)
    for figure in figures:
        sites[figure.site].append(figure)
    first = {name: mean(one.first for one in found) for name, found in sites.items()}
    later = {name: mean(one.later for one in found if one.later is not None) for name, found in sites.items()}
    missed = [one for one in figures if one.outcome != "stored"]
    after = mean(one.later for one in figures if one.later is not None)
    errors = [stdev(figure.values()) / len(figure) ** 0.5 for figure in (first, later)]
    fed = mean(one.fed for one in figures), mean(one.later_fed for one in figures if one.later_fed is not None)
    exact = mean(one.first_exact for one in figures), mean(one.later_exact for one in figures if one.later_exact is not None)
    lines = [
        f"{len(figures)} articles of {len(sites)} sites, {len(missed)} not stored at first (±: over sites; feeds: live blogs' in the text)",
        f"exact: first page of a site {exact[0]:.3f}, from page {LEARN + 1} on {exact[1]:.3f}",
        f"first page of a site: F1 {mean(one.first for one in figures):.4f} ±{errors[0]:.4f}, with feeds {fed[0]:.4f}",
        f"from page {LEARN + 1} on: F1 {after:.4f} ±{errors[1]:.4f}, with feeds {fed[1]:.4f}",
        f"footers left {sum(one.footer for one in figures)}, teasers left {sum(one.teasers for one in figures if one.later is not None)}",
    ]
    perfect = {name: mean(one.later_exact for one in found if one.later_exact is not None) for name, found in sites.items()}
    return "\n".join(
        lines
        + [
            f"   {first[name]:.3f} → {later[name]:.3f}, exact {perfect[name]:.2f}  {name}  {sites[name][0].publisher}"
            for name in sorted(first, key=later.__getitem__)
        ]
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sites", type=int, default=24)
    parser.add_argument("--pages", type=int, default=40)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--folds", type=Path, help="folder of fold-0.json to fold-4.json")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--save", type=Path, help="keep the figures of every article as JSON lines")
    parser.add_argument("--root", type=Path, help="keep the world in this folder (else it is removed)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch, ProcessPoolExecutor(options.processes) as pool:
        root = options.root or Path(scratch)
        sites: dict[str, list[dict[str, Any]]] = defaultdict(list)
        for row in build(root, options.sites, options.pages, options.seed):
            sites[row["site"]].append(row)
        count = len(sites)
        figures = [one for found in pool.map(of_site, [root] * count, sites.values(), [options.folds] * count) for one in found]
    print(report(figures))
    if options.save:
        options.save.write_text("".join(json.dumps(asdict(one)) + "\n" for one in figures), "utf-8")


if __name__ == "__main__":
    main()
