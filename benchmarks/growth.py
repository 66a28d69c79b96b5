"""Cost per page in a large corpus and in a small one. Fills a database with generated documents and measures at several sizes.

    python benchmarks/growth.py [--database URL] [--sizes 1000,100000,1000000] [--words 100] [--minutes 8] [--json FILE]

The documents are filled in as `newsmill import` does it, and the measured pages go through the ledger like any other page. The default
database is a SQLite file in a temporary folder. A filling that --minutes stops resumes if the same command runs again with the same
database and the same --json, which keeps the results; a database that has the documents already is only measured. An article has 400 of
100,000 generated words by Zipf's law, or --words. 60 % of the articles are English, 20 % German, 10 % Chinese, and 10 % have an unknown
language. They come from 200 sources and a year of news.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, func, select, text, update

from newsmill import context, settings
from newsmill.context import AppContext
from newsmill.exports.parquet import write_parquet
from newsmill.exports.parquet_reader import ParquetReader
from newsmill.intake.document_import import import_part, list_parts
from newsmill.model import Author, Block, BlockType, Document, ExtractionResult, LeasedUrl, Link, Outcome, OutcomeRecord, Segment
from newsmill.search import pending_list, word_forms
from newsmill.search.common_bigrams import ENGLISH
from newsmill.search.indexer import index_pending
from newsmill.search.search import Search
from newsmill.storage import database, schema_version
from newsmill.storage.database import reading, writing
from newsmill.storage.fingerprints import NearDuplicates
from newsmill.storage.ledger import Fetched, Ledger, Result
from newsmill.storage.schema import hosts, ledger
from newsmill.text import urls

STEP = 2000  # documents per commit while filling
ROUNDS = 5  # rounds of measured pages, with PAGES in each
LOOKUPS = 400
COPIES = 40  # of the documents looked up, with NOTE at the end, whose near duplicates are searched
NOTE = "This first appeared elsewhere."
TRIES = 3  # of each look-up and query; the fastest counts, so that other load on the machine has no effect
EACH = 12  # queries of each kind
EXPORTED = 500  # documents of the last day

Query = tuple[str, dict[str, Any]]


def fill(app: AppContext, size: int, whole: int, until: float) -> dict[str, float] | None:
    """Import documents up to `size`. Return the CPU per document, in ms, or None if the time (time.monotonic) runs out before."""
    with reading(app.engine) as conn:
        first = held = conn.execute(select(func.count()).select_from(ledger)).scalar_one()
    spent = {"import_cpu_ms": 0.0, "index_cpu_ms": 0.0}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "articles.parquet"
        while held < size:
            if time.monotonic() > until:
                return None
            count = min(STEP, size - held)
            with path.open("wb") as file:
                write_parquet(file, (article(number, whole) for number in range(held, held + count)))
            for name, run in (("import_cpu_ms", lambda: import_files(app, path)), ("index_cpu_ms", lambda: index_all(app.engine))):
                with server_time(app.engine) as server:
                    cpu = time.process_time()
                    run()
                    cpu = time.process_time() - cpu
                spent[name] += 1000 * (cpu + server[0])
            held += count
    if held > first and app.engine.dialect.name == "postgresql":
        with reading(app.engine) as conn:
            conn.execute(text("VACUUM ANALYZE"))
    return {name: total / max(1, held - first) for name, total in spent.items()}


def import_files(app: AppContext, path: Path) -> None:
    with ParquetReader() as reader:
        for part in list_parts([str(path)]):
            import_part(app, reader, part)


def index_all(engine: Engine) -> None:
    while index_pending(engine):
        pass


@contextmanager
def all_lemmas_cached() -> Iterator[None]:
    """Keep the lemma of every word while filling. With the cache of an index process three quarters of the time go into dictionaries."""
    find_form = word_forms.find_form
    word_forms.find_form = cache(find_form.__wrapped__)  # type: ignore[assignment]
    try:
        yield
    finally:
        word_forms.find_form = find_form


def measure(app: AppContext, size: int, whole: int) -> dict[str, Any]:
    """Return every figure at one size. Times are in milliseconds."""
    engine = app.engine
    with reading(engine) as conn:  # numbers that no earlier run on this database used
        last: int = conn.execute(select(func.max(ledger.c.id))).scalar_one()
    first = whole * 10 + last * 10
    stored = [store(engine, [article(first + turn * PAGES + number, whole) for number in range(PAGES)]) for turn in range(ROUNDS)]
    rng = random.Random(size)
    reader, book, near = app.documents, app.ledger, NearDuplicates(engine)
    # Some numbers are not filled in, and the pages measured at smaller sizes count as well.
    some = [document for _ in range(LOOKUPS) if reader.get((document := article(rng.randrange(size), whole)).id)]
    copied = [replace(article(first + ROUNDS * PAGES + number, whole), text=f"{some[number].text}\n\n{NOTE}") for number in range(COPIES)]
    store(engine, copied)
    by_id = timed(lambda document: reader.get(document.id), some)
    by_url = timed(lambda document: reader.get(document.url), some)
    traced = timed(lambda document: book.traces.get(document.url), some)
    alone = timed(lambda document: near.of(document.id), some[COPIES:])
    alike = timed(lambda document: near.of(document.id), copied)
    assert all(near.of(document.id) for document in copied)
    today = datetime.now(UTC) - timedelta(days=1)  # the pages that were just measured
    rest = {
        "status": timed(lambda _: (book.progress.count(), reader.count(), reader.count_doubtful()), [None]),
        "export_day": timed(lambda since: [*itertools.islice(reader.iterate(since=since), EXPORTED)], [today]),
        "revisits": timed(lambda now: book.due_revisits.make_due(now=now), [today]),
    }
    kinds = {name: timed(ask(Search(engine)), queries) for name, queries in make_queries(size).items()}
    every = sorted(itertools.chain.from_iterable(kinds.values()))
    ours = timed(ask(Search(engine)), [query for queries in make_queries(size).values() for query in queries], time.process_time)
    return {
        "documents": size,
        "store_cpu_ms": statistics.median(cpu for cpu, _ in stored),
        "store_wall_ms": statistics.median(wall for _, wall in stored),
        "store_cpu_rounds": [round(cpu, 3) for cpu, _ in stored],
        "lookup_id_p50": at(by_id, 50), "lookup_id_p95": at(by_id, 95), "lookup_url_p50": at(by_url, 50), "lookup_url_p95": at(by_url, 95),
        "trace_p50": at(traced, 50), "trace_p95": at(traced, 95),
        "near_p50": at(alone, 50), "near_p95": at(alone, 95), "near_one_p50": at(alike, 50), "near_one_p95": at(alike, 95),
        **{name: at(times, 50) for name, times in rest.items()},
        "search_cpu_p50": at(ours, 50), "search_cpu_p95": at(ours, 95),
        "search_p50": at(every, 50), "search_p95": at(every, 95), "search_max": every[-1],
        "kinds": {name: {"p50": at(times, 50), "p95": at(times, 95)} for name, times in kinds.items()},
        "bytes": sizes(engine),
        "held": reader.count(),
    }  # fmt: skip


def ask(search: Search) -> Callable[[Query], object]:
    return lambda query: search.search(query[0], **query[1])


def timed(call: Callable[[Any], object], inputs: list[Any], clock: Callable[[], float] = time.perf_counter) -> list[float]:
    call(inputs[0])  # opens connections, prepares statements and loads dictionaries before the first measured page
    times = []
    for value in inputs:
        tries = []
        for _ in range(TRIES):
            began = clock()
            call(value)
            tries.append(1000 * (clock() - began))
        times.append(min(tries))
    return sorted(times)


def at(times: list[float], percent: int) -> float:
    return round(times[min(len(times) - 1, len(times) * percent // 100)], 2)


def make_queries(size: int) -> dict[str, list[Query]]:
    """Return EACH different queries of each kind. A word of rank r occurs in about 1 - exp(-40 / (r + 2.7)) of the articles."""
    rng = random.Random(7)

    def word(lowest: int, highest: int, of: Language = LATIN) -> str:
        return of.at(rng.randrange(lowest, highest))

    two = [of for of in HAN.words[:2000] if len(of) == 2]
    some: dict[str, Callable[[], Query]] = {
        "one word in two articles": lambda: (word(20, 60), {}),
        "one in ten": lambda: (word(300, 500), {}),
        "one in a hundred": lambda: (word(3000, 5000), {}),
        "one in two thousand": lambda: (word(60_000, 90_000), {}),
        "three words": lambda: (f"{word(20, 200)} {word(200, 2000)} {word(500, 5000)}", {}),
        "two common words": lambda: (f"{word(20, 60)} {word(20, 60)}", {}),
        "phrase of common words": lambda: (f'"{word(0, 30)} {word(0, 30)}"', {}),
        "phrase that is nowhere": lambda: (f'"{word(50, 500)} {word(50, 500)} {word(50, 500)}"', {}),
        "or": lambda: (f"{word(100, 3000)} OR {word(100, 3000)} OR {word(3000, 9000)}", {}),
        "without": lambda: (f"{word(100, 1000)} -{word(20, 60)}", {}),
        "title": lambda: (f"title:{word(100, 3000)}", {}),
        "a small source and a common word": lambda: (f"source:paper-{rng.randrange(20, SOURCES)} {word(20, 100)}", {}),
        "a large source": lambda: (f"source:paper-{rng.randrange(0, 3)}", {}),
        "language and author": lambda: (f"lang:de author:{word(0, 2000)}", {}),
        "a month": lambda: (f"{word(20, 500)} after:2026-0{rng.randrange(1, 9)} before:2026-0{rng.randrange(2, 10)}", {}),
        "chinese, two characters": lambda: (rng.choice(two), {}),
        "chinese, one character": lambda: (HAN.at(rng.randrange(60)), {}),
        "newest of a common word": lambda: (word(20, 300), {"order": "newest"}),
        "everything, newest": lambda: ("", {}),
        "nothing": lambda: (f"{word(0, 9)} nosuchword{rng.randrange(999)}", {}),
    }
    return {name: [make() for _ in range(EACH)] for name, make in some.items()}


def sizes(engine: Engine) -> dict[str, int]:
    """Return the bytes of the database, and of its largest parts if it reports them."""
    with reading(engine) as conn:
        if engine.dialect.name == "postgresql":
            names = "'documents', 'ledger', 'search_entries', 'fingerprints'"
            wanted = f"SELECT relname, pg_total_relation_size(oid) FROM pg_class WHERE relname IN ({names})"
            parts = {row[0]: row[1] for row in conn.execute(text(wanted))}
            index = conn.execute(text("SELECT pg_relation_size('ix_search_entries_vector')")).scalar_one()
            return {"all": conn.execute(text("SELECT pg_database_size(current_database())")).scalar_one(), **parts, "gin": index}
        pages = conn.execute(text("PRAGMA page_count")).scalar_one() * conn.execute(text("PRAGMA page_size")).scalar_one()
        words = conn.execute(text("SELECT sum(length(block)) FROM search_words_data")).scalar_one() or 0
        return {"all": pages, "words": words}


ROWS = (
    ("documents", "documents", ",d"),
    ("CPU ms per imported document", "import_cpu_ms", ".2f"),
    ("CPU ms of its index entry", "index_cpu_ms", ".2f"),
    ("CPU ms per stored page", "store_cpu_ms", ".2f"),
    ("wall ms per stored page", "store_wall_ms", ".2f"),
    ("by id, p50 ms", "lookup_id_p50", ".2f"),
    ("by URL, p50 ms", "lookup_url_p50", ".2f"),
    ("by URL, p95 ms", "lookup_url_p95", ".2f"),
    ("trace, p50 ms", "trace_p50", ".2f"),
    ("near duplicates, none, p50 ms", "near_p50", ".2f"),
    ("near duplicates, none, p95 ms", "near_p95", ".2f"),
    ("near duplicates, one, p50 ms", "near_one_p50", ".2f"),
    ("near duplicates, one, p95 ms", "near_one_p95", ".2f"),
    ("status, ms", "status", ".1f"),
    (f"export of the day, {EXPORTED} documents, ms", "export_day", ".1f"),
    ("revisits that are due, ms", "revisits", ".1f"),
    ("search, p50 ms", "search_p50", ".1f"),
    ("search, p95 ms", "search_p95", ".1f"),
    ("search, slowest ms", "search_max", ".1f"),
    ("search, our CPU p50 ms", "search_cpu_p50", ".1f"),  # on SQLite this is the whole cost, independent of other load
    ("search, our CPU p95 ms", "search_cpu_p95", ".1f"),
)


def report(name: str, figures: list[dict[str, Any]]) -> str:
    lines = [f"{name:36}"]
    lines += [f"{label:36}" + "".join(f"{figure.get(key, 0):>16{shape}}" for figure in figures) for label, key, shape in ROWS]
    lines.append(f"{'bytes per document':36}" + "".join(f"{figure['bytes']['all'] // figure['held']:>16,d}" for figure in figures))
    for kind in figures[-1]["kinds"]:
        pairs = (f"{figure['kinds'][kind]['p50']:.1f} / {figure['kinds'][kind]['p95']:.1f}" for figure in figures)
        lines.append(f"  {kind:34}" + "".join(f"{pair:>16}" for pair in pairs))
    lines.append(f"cost per page, last to first: {figures[-1]['store_cpu_ms'] / figures[0]['store_cpu_ms']:.2f}")
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--database")
    parser.add_argument("--sizes", default="1000,100000,1000000")
    parser.add_argument("--words", type=int, default=400, help="of an article")
    parser.add_argument("--minutes", type=float, default=600)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    sizes_wanted = [int(size) for size in options.sizes.split(",")]
    until = time.monotonic() + 60 * options.minutes
    LENGTH["words"] = options.words
    with tempfile.TemporaryDirectory() as folder:
        url = options.database or f"sqlite:///{folder}/growth.sqlite"
        schema_version.upgrade(database.connect(url))
        figures = json.loads(options.json.read_text()) if options.json and options.json.exists() else []
        with context.open_context(settings.load({"DATABASE_URL": url, "NEWSMILL_DATA": folder})) as app:
            for size in sizes_wanted:
                if any(figure["documents"] == size for figure in figures):
                    continue
                with all_lemmas_cached():
                    filled = fill(app, size, sizes_wanted[-1], until)
                if filled is None:
                    print("the time is up; give the same command again to go on", file=sys.stderr)
                    break
                figures.append(filled | measure(app, size, sizes_wanted[-1]))
                if options.json:
                    options.json.write_text(json.dumps(figures, indent=1))
    if figures:
        print(report("SQLite" if url.startswith("sqlite") else "Postgres", figures))
    return 0


START = datetime(2025, 11, 1, tzinfo=UTC)  # an import refuses dates in the future
YEAR = timedelta(days=365)
WORDS = 100_000
SOURCES = 200
POOL = 20_000  # paragraphs from which articles are composed
LENGTH = {"words": 400}  # of an article: --words


class Language:
    """Generated words, with real words for the most common ones, in realistic frequencies."""

    def __init__(self, alphabet: str, shortest: int, count: int, seed: int, commonest: str = "") -> None:
        rng = random.Random(seed)
        seen: dict[str, None] = dict.fromkeys(commonest.split())
        while len(seen) < count:
            longest = shortest + 2 + min(6, len(seen) // 50)  # common words are short
            seen["".join(rng.choices(alphabet, k=rng.randint(shortest, longest)))] = None
        self.words = list(seen)
        self.weights = list(itertools.accumulate(1 / (rank + 2.7) ** 1.05 for rank in range(count)))

        rng = random.Random(seed)
        self.pool = [rng.choices(self.words, cum_weights=self.weights, k=50) for _ in range(POOL)]

    def text(self, rng: random.Random, count: int) -> list[str]:
        """Return words of the pool, because drawing each word anew would cost more than indexing it."""
        return self.pool[rng.randrange(POOL)][:count]

    def at(self, rank: int) -> str:
        return self.words[min(rank, len(self.words) - 1)]


LATIN = Language("abcdefghijklmnoprstuvwxyz", 3, WORDS, 1, ENGLISH)
HAN = Language("".join(map(chr, range(0x4E00, 0x4E00 + 3000))), 1, WORDS // 4, 2)


def article(number: int, size: int) -> Document:
    """Return the document of a number, which is always the same. The dates spread over a year for `size` documents."""
    rng = random.Random(number)
    kind = rng.random()
    language = "en" if kind < 0.6 else "de" if kind < 0.8 else "zh" if kind < 0.9 else None
    spoken, join, count = (HAN, "", LENGTH["words"] * 6 // 10) if language == "zh" else (LATIN, " ", LENGTH["words"])
    paragraphs = [join.join(spoken.text(rng, count // 8)) + "." for _ in range(8)]
    at = START + YEAR * (number / max(size, 1)) + timedelta(seconds=rng.randrange(3600))
    source = min(SOURCES - 1, int(rng.paretovariate(0.8)) - 1)
    url = f"https://paper{source}.example/news/{number}"
    title = join.join(spoken.text(rng, 8)).capitalize()
    body = "\n\n".join(paragraphs)
    return Document(
        id=urls.make_key(url), url=url, requested_url=url, canonical_url=url, source=f"paper-{source}", site_name=f"Paper {source}",
        title=title, description=join.join(spoken.text(rng, 20)), text=body,
        blocks=tuple(Block(BlockType.PARAGRAPH, paragraph) for paragraph in paragraphs),
        authors=(Author(f"Ann {LATIN.at(rng.randrange(2000))}"),), published_at=at, modified_at=None, first_seen_at=at, fetched_at=at,
        published_source="json-ld", published_precision="second", language=language, section="News", tags=("one", "two"),
        image=f"https://paper{source}.example/{number}.jpg", images=(), article_type="NewsArticle", live_updates=(),
        is_free=None if number % 3 else True, is_free_reason=None, license=None, rights={"robots": "index"}, word_count=count,
        extractor="synthetic", profile_version=None, confidence=0.9, warnings=(), content_hash=f"{number:032x}",
        provenance={"title": "json-ld", "published_at": "json-ld"}, archive_ref="bulk@0",
    )  # fmt: skip


# Pages of a round: a process merges GIN's pending list after this number, so each round includes one merge.
PAGES = pending_list.MAX_LISTED_DOCUMENTS
SEGMENT, COMMIT = 32, 16  # pages that a crawler saves together, and that a worker stores together


def store(engine: Engine, made: list[Document]) -> tuple[float, float]:
    """Return CPU of this process and the database server, and wall time, in ms per page, from the fetched page to the stored document."""
    book, now = Ledger(engine), datetime.now(UTC)
    found = [replace(document, published_at=now, first_seen_at=now, fetched_at=now) for document in made]
    by_url = {document.url: document for document in found}
    leased = lease(engine, book, [Link(document.url, source=document.source, found_by="feed") for document in found], now)
    claims = []
    for rows in (leased[first : first + SEGMENT] for first in range(0, len(leased), SEGMENT)):
        segment = Segment(f"{now:%Y%m%dT%H%M%SZ}-{rows[0].id:08x}", len(rows), 1000, now)
        book.url_leases.save_segment(segment, [Fetched(row.id, row.fence, n, row.url, 200) for n, row in enumerate(rows)], now=now)
        claims += book.claims.claim(segment.id, "benchmark", seconds=600, now=now)
    assert len(claims) == len(found), (len(leased), len(claims))
    results = [Result(claim, ExtractionResult(OutcomeRecord(Outcome.STORED), by_url[claim.url])) for claim in claims]
    with server_time(engine) as server:
        began, cpu = time.perf_counter(), time.process_time()
        for number in range(0, len(found), COMMIT):
            book.results.store(results[number : number + COMMIT], now=now, owner="benchmark", seconds=600)
        cpu, wall = time.process_time() - cpu, time.perf_counter() - began
    return 1000 * (cpu + server[0]) / len(found), 1000 * wall / len(found)


def lease(engine: Engine, book: Ledger, links: list[Link], now: datetime) -> list[LeasedUrl]:
    """Add new URLs to the ledger and lease them as a crawler does."""
    with writing(engine) as conn:  # release the hosts of the last turn
        conn.execute(update(hosts).values(owner=None, lease_until=None, next_fetch_at=None))
    book.links.add(links, now=now)
    leased = []
    for host in book.hosts.lease("benchmark", limit=10_000, seconds=60, now=now):
        leased += book.url_leases.lease(host.host, "benchmark", limit=len(links), seconds=60, now=now)
    assert {row.url for row in leased} == {link.url for link in links}, (len(leased), len(links))
    return leased


@contextmanager
def server_time(engine: Engine) -> Iterator[list[float]]:
    """Yield a list that gets the CPU seconds of all processes of a local Postgres; 0 for SQLite."""
    spent = [0.0]
    before = _server_cpu(engine)
    yield spent
    spent[0] = _server_cpu(engine) - before


def _server_cpu(engine: Engine) -> float:
    if engine.dialect.name != "postgresql":
        return 0.0
    with reading(engine) as conn:
        pids = conn.execute(text("SELECT pid FROM pg_stat_activity")).scalars().all()
    ticks = 0
    for pid in pids:
        try:
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        except OSError:  # the process is on another machine, or has ended
            continue
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


if __name__ == "__main__":
    sys.exit(main())
