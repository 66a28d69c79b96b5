"""Quality of texts and fields: `python benchmarks/quality.py [--folds DIR] [--learn] [--save RUN]`.

Runs `newsmill extract` over the gold pages and scores the result with `../shared/quality/score.py`, together with trafilatura in the same
call and with published figures. The shipped model has seen these pages. `--folds DIR` (made by train_blocks.py) extracts each page with a
model that has not seen its publisher; only these figures are unbiased. `--learn` learns each site from its own pages first.
Needs `pip install -e '.[train]'`.
"""

from __future__ import annotations

import argparse
import gzip
import importlib.util
import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from functools import cache
from hashlib import blake2b
from itertools import pairwise
from pathlib import Path
from statistics import mean, stdev
from types import ModuleType
from typing import Any

import trafilatura
from trafilatura.settings import Document
from trafilatura.utils import decode_file

from newsmill.extraction.body.block_model import BlockModel, parse_model
from newsmill.extraction.document_builder import join_text
from newsmill.extraction.live_updates import REASON as LIVE_UPDATE
from newsmill.extraction.normalise import count_words
from newsmill.extraction.page_type.classify import MIN_TEXT_WORDS
from newsmill.extraction.pipeline import read
from newsmill.extraction.site_profile.profile import learn_profile, make_page_blocks
from newsmill.model import ExtractionResult, Page, Profile
from newsmill.text.urls import get_site

# The published measure of each set, and the best published figure of any open system on all of its pages;
# trafilatura-eval, fundus-parser: the best known figure is trafilatura's own
MEASURES = {
    "aeb": ("shingle", 0.970),
    "fundus-eval": ("lsum", 0.977),
    "fundus-parser": ("shingle", 0.954),
    "wcxb-article": ("token", 0.940),
    "trafilatura-eval": ("segments", 0.926),
    "readability-js": ("shingle", 0.966),
    "newspaper4k": ("shingle", 0.951),
}
NOW = datetime(2026, 11, 25, tzinfo=UTC)  # assumed time of the fetch; a fixed day makes runs comparable
ROUNDS = 1000  # bootstrap samples over pages


@dataclass(frozen=True, slots=True)
class Answer:
    """The result of one system for one page."""

    dataset: str
    id: str
    text: str
    title: str | None = None
    authors: tuple[str, ...] = ()
    date: str | None = None
    language: str | None = None
    outcome: str | None = None
    cpu: float = 0.0  # seconds of the process that extracts the page
    feed: str = ""  # the entries of a live blog, which are not part of the text
    shown: str = ""  # the text with the entries that the page shows, in page order
    confidence: float | None = None  # the F1 that the block model expects


@cache
def fold_model(folder: Path, fold: int) -> BlockModel:
    return parse_model((folder / f"fold-{fold}.json").read_text("utf-8"))


def reading_of(page: GoldPage, folds: Path | None, profile: Profile | None = None) -> ExtractionResult:
    headers = (("Content-Type", "text/html"),)
    fetched = Page(requested_url=page.url, url=page.url, fetched_at=NOW, status=200, headers=headers, body=page.html)
    return read(fetched, model=fold_model(folds, page.fold) if folds else None, profile=profile)


def by_learning(site_pages: Sequence[GoldPage], folds: Path | None) -> list[Answer]:
    """Extract the pages of one site with a profile learned from all of them, like `newsmill extract --learn`."""
    known = [make_page_blocks(page.url or "", reading_of(page, folds)) for page in site_pages]
    profile = learn_profile(known, publisher(site_pages[0]))
    return [by_reader(page, folds, profile) for page in site_pages]


def by_reader(page: GoldPage, folds: Path | None, profile: Profile | None = None) -> Answer:
    """Extract the page in this process; with `folds`, by the model that has not seen its publisher."""
    begun = time.process_time()
    reading = reading_of(page, folds, profile)
    cpu = time.process_time() - begun
    document, outcome = reading.document, str(reading.ending.outcome)
    if document is None:
        return Answer(page.dataset, page.id, "", outcome=outcome, cpu=cpu)
    return Answer(
        dataset=page.dataset,
        id=page.id,
        text=document.text,
        title=document.title,
        authors=tuple(author.name for author in document.authors),
        date=document.published_day or (document.published_at.date().isoformat() if document.published_at else None),
        language=document.language,
        outcome=outcome,
        cpu=cpu,
        feed="\n\n".join(f"{update.title or ''}\n\n{update.text}".strip() for update in document.live_updates),
        shown=join_text([replace(block, kept=True) if block.reason == LIVE_UPDATE else block for block in reading.blocks]),
        confidence=document.confidence,
    )


def by_trafilatura(page: GoldPage) -> Answer:
    """Extract the page with trafilatura and its usual options, without comments."""
    begun = time.process_time()
    found = trafilatura.bare_extraction(decode_file(page.html), url=page.url or None, with_metadata=True, include_comments=False)
    cpu = time.process_time() - begun
    if not isinstance(found, Document):
        return Answer(page.dataset, page.id, "", cpu=cpu)
    names = tuple(name.strip() for name in (found.author or "").split(";") if name.strip())
    return Answer(page.dataset, page.id, found.text or "", found.title, names, found.date, found.language, cpu=cpu)


def both(page: GoldPage, folds: Path | None) -> tuple[Answer, Answer]:
    """Return the answers of Newsmill and trafilatura from one process, so that their CPU times are comparable.

    The order alternates, because the second system benefits from warm memory and caches.
    """
    if page.id.encode()[-1] % 2:
        theirs = by_trafilatura(page)
        return by_reader(page, folds), theirs
    return by_reader(page, folds), by_trafilatura(page)


def warm(page: GoldPage, folds: Path | None) -> None:
    """Load word lists, expressions and date formats that both systems load with their first page, so that no page includes this cost."""
    both(page, folds)


def by_command(chosen: Sequence[GoldPage], learn: bool, processes: int) -> list[Answer]:
    """Run `newsmill extract` over all pages. Raise CalledProcessError if it fails."""
    lines = "".join(
        json.dumps(
            {"id": [page.dataset, page.id], "url": page.url or None, "path": str(DATA / page.dataset / "pages" / f"{page.id}.html.gz")}
        )
        + "\n"
        for page in chosen
    )
    command = [sys.executable, "-m", "newsmill.cli.main", "extract", "--processes", str(processes), *(["--learn"] if learn else [])]
    done = subprocess.run(command, input=lines, capture_output=True, text=True, check=True)
    return [_answer(json.loads(line)) for line in done.stdout.splitlines()]


def _answer(record: dict[str, object]) -> Answer:
    dataset, page = record["id"]  # type: ignore[misc]
    names = tuple(author["name"] for author in record.get("authors") or ())  # type: ignore[attr-defined]
    day = record.get("published_day") or record.get("published_at")
    return Answer(
        dataset,
        page,
        str(record.get("text") or ""),
        record.get("title"),  # type: ignore[arg-type]
        names,
        str(day)[:10] if day else None,
        record.get("language"),  # type: ignore[arg-type]
        str(record.get("outcome")),
        float(record.get("seconds") or 0.0),  # type: ignore[arg-type]
        "\n\n".join(f"{update['title'] or ''}\n\n{update['text']}".strip() for update in record.get("live_updates") or ()),  # type: ignore[attr-defined]
        confidence=record.get("confidence"),  # type: ignore[arg-type]
    )


def value_of(
    score: ModuleType, dataset: str, gold: Sequence[dict[str, object]], answers: dict[str, Answer]
) -> list[float | tuple[float, ...]]:
    """Return the parts of the measure of a set, one for each page; `total` combines them."""
    measure = MEASURES[dataset][0]
    parts: list[float | tuple[float, ...]] = []
    for row in gold:
        text = answers[str(row["id"])].text if str(row["id"]) in answers else ""
        if measure == "segments":
            flat = score.squeeze(text)
            hits = sum(score.squeeze(w) in flat for w in row.get("with", ()))  # type: ignore[attr-defined]
            wrong = sum(score.squeeze(w) in flat for w in row.get("without", ()))  # type: ignore[attr-defined]
            parts.append((hits, wrong, len(row.get("with", ())) - hits))  # type: ignore[arg-type]
        elif measure == "token":
            parts.append(max(score.token_page(variant, text)[2] for variant in score.variants(row)))
        elif measure == "lsum":
            parts.append(max(score.rouge_lsum(variant, text)[2] for variant in score.variants(row)))
        else:
            found = (score.shingle_page(variant, text)[0] for variant in score.variants(row))
            parts.append(max(found, key=lambda page: score.prf(*page)[2]))
    return parts


def total(score: ModuleType, dataset: str, parts: Sequence[float | tuple[float, ...]]) -> float:
    """Return one figure from the parts, pooled as in score.py."""
    measure = MEASURES[dataset][0]
    if measure == "segments":
        return float(score.prf(*(sum(part[place] for part in parts) for place in range(3)))[2])  # type: ignore[index]
    return float(score.shingle_total(parts)["f1"]) if measure == "shingle" else mean(parts)  # type: ignore[type-var]


def single(score: ModuleType, part: float | tuple[float, ...]) -> float:
    """Return the F1 of one page, for the list of the worst."""
    return float(score.prf(*part)[2]) if isinstance(part, tuple) else float(part)


def error(figure: Callable[[list[int]], float], pages_: int) -> float:
    """Return the bootstrap standard error, over pages, of a figure that takes page numbers."""
    chance = random.Random(0)
    return stdev(figure([chance.randrange(pages_) for _ in range(pages_)]) for _ in range(ROUNDS))


def report(dataset: str, ours: dict[str, Answer], theirs: dict[str, Answer], worst: int) -> dict[str, float]:
    """Print one set: figures with errors, fields, the worst pages. Return the F1 of each page."""
    score = scorer()
    gold = [dict(page.gold) for page in pages(dataset)]
    known = {}
    if dataset in MEASURES:
        mine, other = (value_of(score, dataset, gold, answers) for answers in (ours, theirs))

        def figure(parts: Sequence[float | tuple[float, ...]], at: Sequence[int]) -> float:
            return total(score, dataset, [parts[i] for i in at])

        every = range(len(gold))
        a, b = figure(mine, every), figure(other, every)
        own = error(lambda at: figure(mine, at), len(gold))
        gap = error(lambda at: figure(mine, at) - figure(other, at), len(gold))
        measure, published = MEASURES[dataset]
        print(f"\n## {dataset}, {len(gold)} pages: exact and {measure} F1")
        if "text" in gold[0]:
            print(_exact(score, gold, ours, theirs))
        print(f"{measure} F1 newsmill {a:.4f} ±{own:.4f}   trafilatura {b:.4f}   difference {a - b:+.4f} ±{gap:.4f}")
        print(f"   best published {published:.3f}")
        live = {key: replace(one, text=f"{one.text}\n\n{one.feed}") for key, one in ours.items() if one.feed}
        if live:
            print(
                f"   with the feeds of {len(live)} live blogs in the text: {figure(value_of(score, dataset, gold, ours | live), every):.4f}"
            )
        known = {str(row["id"]): single(score, part) for row, part in zip(gold, mine, strict=True)}
        for name in _catastrophes(score, gold, ours, theirs):
            print(f"   catastrophe: {name}, confidence {ours[name].confidence} ({ours[name].outcome})")
        for name in sorted(known, key=lambda page: known[page])[:worst]:
            print(f"   {known[name]:.3f}  {name}  ({ours[name].outcome})")
    else:
        print(f"\n## {dataset}, {len(gold)} pages")
    for name, answers in (("newsmill", ours), ("trafilatura", theirs)):
        found = score.score_dataset(dataset, gold, {key: asdict(one) for key, one in answers.items()})
        fields = {kind: {k: round(v, 3) for k, v in found[kind].items()} for kind in ("title", "date", "authors") if kind in found}
        print(f"   {name}: {json.dumps(fields)}")
    return known


def _exact(score: ModuleType, gold: Sequence[dict[str, object]], ours: dict[str, Answer], theirs: dict[str, Answer]) -> str:
    """Return the share of pages with an exact text, for both systems, with the error of their difference."""
    mine, other = ([float(is_exact(score, row, answers[str(row["id"])].text)) for row in gold] for answers in (ours, theirs))
    own = error(lambda at: mean(mine[i] for i in at), len(gold))
    gap = error(lambda at: mean(mine[i] - other[i] for i in at), len(gold))
    a, b = mean(mine), mean(other)
    return f"exact newsmill {a:.3f} ±{own:.3f}   trafilatura {b:.3f}   difference {a - b:+.3f} ±{gap:.3f}"


def _catastrophes(score: ModuleType, gold: Sequence[dict[str, object]], ours: dict[str, Answer], theirs: dict[str, Answer]) -> list[str]:
    """Return the ids of pages with a good text by trafilatura and a bad one by Newsmill, with and without the entries of a live blog."""
    found = []
    for row in gold:
        name = str(row["id"])
        mine = ours[name]
        texts = [mine.text, mine.shown, f"{mine.text}\n\n{mine.feed}"] if mine.feed else [mine.text]
        if is_catastrophe(score, row, texts, theirs[name].text):
            found.append(name)
    return found


def expectations(found: Sequence[GoldPage], ours: dict[str, Answer]) -> list[tuple[float, float]]:
    """Return (confidence, F1 over words) of every page with a whole gold text and a document with a confidence."""
    score = scorer()
    answers = [(page, ours[page.id]) for page in found if "text" in page.gold]
    return [(one.confidence, page_f1(score, page.gold, one.text)) for page, one in answers if one.confidence is not None]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sets", default=",".join(SETS))
    parser.add_argument("--folds", type=Path, help="folder of fold-0.json to fold-4.json: out of fold, without the command line")
    parser.add_argument("--learn", action="store_true", help="newsmill extract --learn")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--worst", type=int, default=10)
    parser.add_argument("--save", type=Path, help="keep this run as JSON lines")
    options = parser.parse_args()
    chosen = {name: list(pages(name)) for name in options.sets.split(",")}
    flat = [page for found in chosen.values() for page in found]
    with ProcessPoolExecutor(options.processes, initializer=warm, initargs=(flat[0], options.folds)) as pool:
        pairs = list(pool.map(both, flat, [options.folds] * len(flat), chunksize=4))
        if options.folds and options.learn:
            sites: dict[str, list[GoldPage]] = {}
            for page in flat:
                sites.setdefault(f"{page.dataset} {publisher(page)}", []).append(page)
            learned = pool.map(by_learning, sites.values(), [options.folds] * len(sites))
            ours = [answer for answers in learned for answer in answers]
        elif options.folds:
            ours = [mine for mine, _ in pairs]
        else:
            ours = by_command(flat, options.learn, options.processes)
    cost = [sum(pair[side].cpu for pair in pairs) / len(pairs) * 1000 for side in (0, 1)]
    print(f"CPU a page: newsmill {cost[0]:.1f} ms, trafilatura with metadata {cost[1]:.1f} ms, ratio {cost[0] / cost[1]:.2f}")
    known = {}
    expected: list[tuple[float, float]] = []
    for name, found in chosen.items():
        mine = {one.id: one for one in ours if one.dataset == name}
        theirs = {other.id: other for _, other in pairs if other.dataset == name}
        known |= {(name, page): f1 for page, f1 in report(name, mine, theirs, options.worst).items()}
        expected += expectations(found, mine)
    print(f"\n## Confidence, {len(expected)} pages with whole gold texts\n{calibration(expected)}")
    if options.save:
        options.save.write_text("".join(json.dumps(asdict(one) | {"f1": known.get((one.dataset, one.id))}) + "\n" for one in ours), "utf-8")


SHARED = Path(os.environ.get("NEWSMILL_SHARED", Path(__file__).resolve().parents[2] / "shared"))
QUALITY = SHARED / "quality"
DATA = QUALITY / "data"
FOLDS = 5
BODY_SETS = ("aeb", "fundus-eval", "fundus-parser", "wcxb-article", "readability-js", "newspaper4k")  # gold with whole texts
SETS = (*BODY_SETS[:4], "trafilatura-eval", *BODY_SETS[4:])


@dataclass(frozen=True, slots=True)
class GoldPage:
    """One page of the evaluation sets: its unchanged gold record, and its bytes."""

    dataset: str
    gold: Mapping[str, Any]
    html: bytes

    @property
    def id(self) -> str:
        return str(self.gold["id"])

    @property
    def url(self) -> str:
        return str(self.gold.get("url") or "")

    @property
    def fold(self) -> int:
        """The fold, 0 to 4, by registered domain, so that all pages of one publisher are in the same fold."""
        return int.from_bytes(blake2b(publisher(self).encode(), digest_size=4).digest(), "big") % FOLDS


def publisher(page: GoldPage) -> str:
    """Return the registered domain; for a page without a URL, its host, otherwise its id."""
    host = page.gold.get("host")
    url = page.url or (f"https://{host}/" if host else "")
    return get_site(url) if url else page.id


def pages(dataset: str, data: Path = DATA) -> Iterator[GoldPage]:
    """Yield the pages of one set, in the order of its gold file."""
    for line in (data / dataset / "gold.jsonl").read_text("utf-8").split("\n"):
        if line.strip():
            gold = json.loads(line)
            yield GoldPage(dataset, gold, gzip.decompress((data / dataset / "pages" / f"{gold['id']}.html.gz").read_bytes()))


def scorer() -> ModuleType:
    """Load `quality/score.py` as a module."""
    spec = importlib.util.spec_from_file_location("score", QUALITY / "score.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


GOOD, LOST = 0.8, 0.6  # F1: a page is a catastrophe if trafilatura has at least the first and Newsmill less than the second
BINS = (0.0, 0.6, 0.7, 0.8, 0.85, 0.9, 0.95, 0.98, 1.01)  # of confidence


def is_exact(score: ModuleType, row: Mapping[str, Any], text: str) -> bool:
    """True if the words of the text equal those of one variant of the gold, in order (`exact` of score.py)."""
    words = score.WORD.findall(score.plain(text))
    return any(score.WORD.findall(score.plain(variant)) == words for variant in score.variants(row))


def page_f1(score: ModuleType, row: Mapping[str, Any], text: str) -> float:
    """Return the F1 of one page: over words if the gold is a text, otherwise over its wanted and unwanted segments."""
    if "text" in row:
        return max(float(score.token_page(score.plain(variant), score.plain(text))[2]) for variant in score.variants(row))
    flat = score.squeeze(text)
    hits = sum(score.squeeze(segment) in flat for segment in row.get("with", ()))
    wrong = sum(score.squeeze(segment) in flat for segment in row.get("without", ()))
    return float(score.prf(hits, wrong, len(row.get("with", ())) - hits)[2])


def is_catastrophe(score: ModuleType, row: Mapping[str, Any], ours: Sequence[str], theirs: str) -> bool:
    """True if trafilatura's text is good and each of `ours` is bad. `ours` has the text without and with the entries of a live blog.

    A gold text of fewer than MIN_TEXT_WORDS words does not count, because Newsmill does not treat it as text.
    """
    if "text" in row and max(count_words(variant) for variant in score.variants(row)) < MIN_TEXT_WORDS:
        return False
    if max(page_f1(score, row, text) for text in ours) >= LOST:
        return False
    return page_f1(score, row, theirs) >= GOOD


def calibration(pairs: Sequence[tuple[float, float]]) -> str:
    """Return a table of (confidence, F1) pairs: for each range of confidence the pages, both means, and the pages with a low F1."""
    lines = [f"   {'confidence':<12} {'pages':>5} {'expected':>9} {'F1':>6} {'under 0.6':>10} {'under 0.8':>10}"]
    for low, high in pairwise(BINS):
        found = [pair for pair in pairs if low <= pair[0] < high]
        if found:
            f1 = [pair[1] for pair in found]
            means = f"{mean(pair[0] for pair in found):>9.3f} {mean(f1):>6.3f}"
            low_pages = f"{sum(x < LOST for x in f1):>10} {sum(x < GOOD for x in f1):>10}"
            lines.append(f"   {low:.2f} to {min(high, 1):.2f} {len(found):>5} {means} {low_pages}")
    if pairs:
        lines.append(f"   expected minus F1 over all: {mean(expected - f1 for expected, f1 in pairs):+.4f}")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
