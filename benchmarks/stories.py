"""What stories cost, and whether they depend on the order of arrival.

    python benchmarks/stories.py cost [--database URL] [--sizes 1000,20000,1000000] [--documents 1000]
    python benchmarks/stories.py orders [--database URL] [--texts FILE] [--orders 100]

`cost`: CPU per document, of this process and of a local Postgres, to decide the stories of new documents beside those of `sizes`. The
stored texts are generated, 2,500 a day: a million are a year of news. Half of them are about events that several texts tell. After 20,000
texts, more are copies of them in other weeks, which only have what stories need. The database must be empty.
`orders`: the texts of a file (`id`, `story`, `text`; by default the 770 of ECB+; or the `truth.jsonl` of local sites, where an article
without `story_id` is a story of its own) are stored in shuffled orders, and decided in batches of random size. Shows B-cubed F1, how many
look-alike events (N and Nplus) no story joins, and the number of documents whose story is another than in the first order. The tables are
emptied in between, so the database must not have other documents.
"""

from __future__ import annotations

import argparse
import itertools
import json
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from growth import LATIN, article, server_time
from sqlalchemy import Engine, delete, func, insert, select, text

from newsmill.storage import copy_groups, database, fingerprints, schema, schema_version, story_decisions
from newsmill.storage.database import writing
from newsmill.storage.documents import to_row
from newsmill.storage.stories import Stories

ECB = Path(__file__).parents[2] / "shared" / "cases" / "stories" / "ecb.jsonl"
START = datetime(2026, 1, 1, tzinfo=UTC)
PER_DAY = 2500  # documents
GENERATED = 20_000  # the documents of eight days, the time in which documents may tell the same news
WEEK = GENERATED // PER_DAY * 86_400  # seconds from one copy of them to the next
TOPICS = 60
STEP = 1000  # documents per commit while filling


@dataclass(frozen=True)
class Event:
    """What the texts about one event have in common."""

    words: Sequence[str]
    names: Sequence[str]
    topic: int


class World:
    """Generated texts: each is about an event, and events of one topic share words and names."""

    def __init__(self, seed: int) -> None:
        self._rng = random.Random(seed)
        self._topics = [self._choose(150) for _ in range(TOPICS)]
        self._places = [self._choose(12) for _ in range(TOPICS)]
        self._open: list[Event] = []

    def _choose(self, count: int) -> list[str]:
        return [LATIN.at(300 + int(self._rng.random() ** 2 * 60_000)) for _ in range(count)]

    def write(self) -> tuple[str, str]:
        """The title and the text of the next document, of 400 words."""
        rng = self._rng
        if not self._open or rng.random() < 0.5:
            topic = rng.randrange(TOPICS)
            names = [name.capitalize() for name in (*self._choose(5), *rng.sample(self._places[topic], 2))]
            self._open = [*self._open[-400:], Event(self._choose(30), names, topic)]
        event = rng.choice(self._open[-300:]) if rng.random() < 0.5 else self._open[-1]
        words = rng.choices(LATIN.words, cum_weights=LATIN.weights, k=260)
        words += rng.choices(self._topics[event.topic], k=50) + rng.choices(event.words, k=50) + rng.choices(event.names, k=40)
        rng.shuffle(words)
        sentences = (" ".join(words[start : start + 16]) + "." for start in range(0, len(words), 16))
        return " ".join(rng.sample(event.names, 2) + rng.sample(list(event.words), 4)), " ".join(sentences)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    for name in ("cost", "orders"):
        commands.add_parser(name).add_argument("--database")
    cost, orders = commands.choices["cost"], commands.choices["orders"]
    cost.add_argument("--sizes", default="1000,20000,1000000")
    cost.add_argument("--documents", type=int, default=1000, help="that are measured at each size")
    orders.add_argument("--texts", type=Path, default=ECB)
    orders.add_argument("--orders", type=int, default=100)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        engine = database.connect(options.database or f"sqlite:///{folder}/stories.sqlite")
        schema_version.upgrade(engine)
        if options.command == "cost":
            measure_cost(engine, [int(size) for size in options.sizes.split(",")], options.documents)
        else:
            compare_orders(engine, options.texts, options.orders)
        engine.dispose()
    return 0


def measure_cost(engine: Engine, sizes: Sequence[int], measured: int) -> None:
    world, stored = World(1), 0
    for size in sizes:
        while stored < min(size, GENERATED):
            count = min(STEP, min(size, GENERATED) - stored)
            store(engine, (generate(world, number) for number in range(stored, stored + count)))
            settle(engine)
            stored += count
        if stored < size:
            stored = copy_texts(engine, stored, size)
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as conn:
            conn.execute(text("ANALYZE"))
        # The new documents are told in the days that the generated ones fill.
        store(engine, (generate(world, 10_000_000 + size + number, at=min(size, GENERATED) - 1) for number in range(measured)))
        fingerprints.catch_up(engine, measured)
        copy_groups.catch_up(engine, measured)
        with server_time(engine) as server:
            began, cpu = time.perf_counter(), time.process_time()
            decided = story_decisions.catch_up(engine, measured, now=START)
            cpu, wall = time.process_time() - cpu, time.perf_counter() - began
        told = Stories(engine).of_documents([f"{10_000_000 + size + number:032x}" for number in range(measured)])
        print(
            f"{engine.dialect.name}, {size:,} texts: {1000 * (cpu + server[0]) / decided:.2f} ms of CPU a document"
            f" ({1000 * server[0] / decided:.2f} of the server), {1000 * wall / decided:.2f} ms; {len(told) / measured:.0%} tell a story",
            flush=True,
        )


def generate(world: World, number: int, at: int | None = None) -> dict[str, Any]:
    title, body = world.write()
    second = (number if at is None else at) * 86_400 // PER_DAY
    return make_row(f"{number:032x}", title, body, START + timedelta(seconds=second), source=f"paper-{number % 200}")


def make_row(document: str, title: str | None, body: str, at: datetime, source: str, language: str = "en") -> dict[str, Any]:
    """A row of `documents`, with the columns that stories depend on."""
    url = f"https://{source}.example/{document}"
    known = {"id": document, "url": url, "requested_url": url, "title": title, "text": body, "source": source, "language": language}
    times = {"published_at": at, "published_precision": "second", "first_seen_at": at, "fetched_at": at, "content_hash": document}
    return {**to_row(replace(article(0, 1), **known, **times)), "stored_at": at}


def store(engine: Engine, rows: Iterable[dict[str, Any]]) -> None:
    """Store documents, each with a page of its own."""
    page = {"host": "h", "kind": "page", "found_by": "feed", "state": "done", "first_seen_at": START, "next_at": START}
    with writing(engine) as conn:
        first: int = (conn.execute(select(func.max(schema.ledger.c.id))).scalar() or 0) + 1
        made = [{**row, "ledger_id": first + number} for number, row in enumerate(rows)]
        pages = [{**page, "id": row["ledger_id"], "url_key": row["id"], "url": row["url"]} for row in made]
        conn.execute(insert(schema.ledger), pages)
        conn.execute(insert(schema.documents), made)


def settle(engine: Engine) -> None:
    """Decide what is due."""
    fingerprints.catch_up(engine, 10_000)
    copy_groups.catch_up(engine, 10_000)
    story_decisions.catch_up(engine, 10_000, now=START)


def copy_texts(engine: Engine, stored: int, size: int) -> int:
    """Copy the generated texts into earlier and earlier weeks until there are `size`, without their documents. Returns their number."""
    offset = 100_000_000
    while stored < size:
        values = {"shift": WEEK, "offset": offset, "begin": int(START.timestamp()), "week": WEEK * (stored // GENERATED)}
        with writing(engine) as conn:
            for table in (schema.copy_groups, schema.story_texts, schema.story_terms):
                conn.execute(text(_copy(table)), values)
        stored, offset = stored + GENERATED, offset + 100_000_000
    return stored


def _copy(table: Any) -> str:
    changed = {
        "second": "t.second - :week",
        "document_id": "t.document_id || '-' || CAST(:offset AS text)",
        "ledger_id": "t.ledger_id + :offset",
        "component": "t.component + :offset",
    }
    names = ", ".join(column.name for column in table.c)
    values = ", ".join(changed.get(column.name, f"t.{column.name}") for column in table.c)
    return f"INSERT INTO {table.name} ({names}) SELECT {values} FROM {table.name} AS t WHERE t.ledger_id < 100000000"


def compare_orders(engine: Engine, path: Path, orders: int) -> None:
    rows = list(read_texts(path))
    gold = {row["id"]: row["story"] for row in rows}
    first: dict[str, frozenset[str]] = {}
    for seed in range(orders):
        rng, cpu = random.Random(seed), time.process_time()
        empty(engine)
        for batch in _split(rng.sample(rows, len(rows)), rng):
            store(engine, [make_row(row["id"], row.get("title"), row["text"], row["at"], row["source"], row["language"]) for row in batch])
            settle(engine)
        told = Stories(engine).of_documents([*gold])
        groups: dict[str | int, set[str]] = {}
        for one in gold:
            groups.setdefault(told[one].id if one in told else one, set()).add(one)
        found = {one: frozenset(group) for group in groups.values() for one in group}
        first = first or found
        other = sum(found[one] != first[one] for one in gold)
        print(
            f"order {seed}: B-cubed F1 {score(gold, found):.4f}, look-alike events apart {count_apart(gold, found)},"
            f" documents with another story than in order 0: {other} of {len(gold)}; {time.process_time() - cpu:.1f} s of CPU",
            flush=True,
        )


def read_texts(path: Path) -> Iterator[dict[str, Any]]:
    for row in map(json.loads, path.read_text(encoding="utf-8").splitlines()):
        if "text" in row:
            yield {"at": START, "source": row["id"], "language": "en"} | row
        elif row.get("expected") == "article":
            made = {"id": row["url"], "story": row["story_id"] or row["url"], "text": "\n\n".join(row["paragraphs"])}
            yield row | made | {"at": datetime.fromisoformat(row["published"]).astimezone(UTC), "source": row["site"]}


def empty(engine: Engine) -> None:
    with writing(engine) as conn:
        for name in ("documents", "copy_groups", "copies_due", "fingerprints", "fingerprints_due", "story_texts", "story_terms", "stories"):
            conn.execute(delete(schema.metadata.tables[name]))
        for table in (schema.stories_due, schema.story_events, schema.search_pending, schema.ledger):
            conn.execute(delete(table))


def _split(rows: Sequence[Any], rng: random.Random) -> Iterator[Sequence[Any]]:
    start = 0
    while start < len(rows):
        count = rng.choice((1, 3, 10, 30, 100))
        yield rows[start : start + count]
        start += count


def score(gold: Mapping[str, str], found: Mapping[str, frozenset[str]]) -> float:
    """B-cubed F1."""
    sizes = Counter(gold.values())
    shared = {one: sum(gold[other] == gold[one] for other in found[one]) for one in gold}
    precision = sum(shared[one] / len(found[one]) for one in gold) / len(gold)
    recall = sum(shared[one] / sizes[gold[one]] for one in gold) / len(gold)
    return 2 * precision * recall / (precision + recall)


def count_apart(gold: Mapping[str, str], found: Mapping[str, frozenset[str]]) -> str:
    """How many of all pairs of stories N and Nplus have no found story in common."""
    of_story: dict[str, set[frozenset[str]]] = {}
    for one, story in gold.items():
        of_story.setdefault(story, set()).add(found[one])
    pairs = [(one, other) for one, other in itertools.combinations(sorted(of_story), 2) if other == f"{one}plus"]
    return f"{sum(of_story[one].isdisjoint(of_story[other]) for one, other in pairs)} of {len(pairs)}"


if __name__ == "__main__":
    sys.exit(main())
