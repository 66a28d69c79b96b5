"""Quality of the order by relevance, on 66 news stories (ECB+), beside plain BM25 (bm25s). Needs `pip install -e '.[train]'`.

    python benchmarks/ranking.py [--database URL] [--stories FILE]

Each of the 770 texts is stored as one document. Each story is asked for with two to four words, which a fixed rule takes from its texts,
one after the other: the word with the highest tf-idf. That is the number of the story's texts that have it beside the words so far, times
the logarithm of its rarity in all texts. A third and a fourth word is taken if nine in ten texts of the story have all: a search finds only
documents with all words. Documents of the story are relevant, all others are not.

BM25 (bm25s, its defaults: k1 1.5, b 0.75; no stemmer, no stop words) ranks the same texts, once all that have any of the words, and once
only those that have all of them, as a search does.

The texts have no dates. `same day` gives all the same, `spread` an hour of their own within two years, by a hash of their name, so that age
says nothing about relevance: the figures show what the preference for recent documents costs.
Without --database, SQLite in a temporary folder; a Postgres database must be empty.
"""

from __future__ import annotations

import argparse
import json
import math
import tempfile
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import blake2b
from pathlib import Path

import bm25s
from sqlalchemy import Engine, delete, insert, update

from newsmill.model import Document
from newsmill.search.common_bigrams import COMMON_WORD_CHARACTERS
from newsmill.search.indexer import index_pending
from newsmill.search.search import Search
from newsmill.search.tokens import tokenize
from newsmill.storage import database, schema_version
from newsmill.storage.database import writing
from newsmill.storage.documents import to_row
from newsmill.storage.schema import documents, ledger

STORIES = Path(__file__).parents[2] / "shared" / "cases" / "stories" / "ecb.jsonl"
TOP = 10
MIN_WORDS, MAX_WORDS = 2, 4
MIN_SHARE = 0.9  # of the story's texts that have all words, for a third and a fourth one
MIN_CHARACTERS = 3
TITLE_WORDS = 9  # the texts begin with their headline, without a mark between the two
_EMPTY = ("blocks", "authors", "tags", "images", "live_updates", "warnings")
SPREAD = timedelta(days=730)

Ranking = Callable[[Sequence[str]], Sequence[str]]  # words → ids, best first


@dataclass(frozen=True, slots=True)
class StoryText:
    """One text of the file."""

    id: str
    story: str
    text: str


def read_texts(path: Path) -> list[StoryText]:
    """The texts in the order of the file."""
    return [StoryText(**json.loads(line)) for line in path.read_text(encoding="utf-8").splitlines()]


def choose_words(texts: Sequence[StoryText]) -> dict[str, list[str]]:
    """Two to four words for each story; ties in the order of the alphabet."""
    holders: Counter[str] = Counter()
    by_story: dict[str, list[set[str]]] = defaultdict(list)
    for one in texts:
        words = {
            word for word in tokenize(one.text) if len(word) >= MIN_CHARACTERS and word.isalpha() and word not in COMMON_WORD_CHARACTERS
        }
        holders.update(words)
        by_story[one.story].append(words)
    return {story: _choose_for_story(held, holders, len(texts)) for story, held in sorted(by_story.items())}


def _choose_for_story(held: Sequence[set[str]], holders: Mapping[str, int], size: int) -> list[str]:
    chosen: list[str] = []
    left = list(held)  # the texts that have all words so far
    while len(chosen) < MAX_WORDS:
        counts = Counter(word for words in left for word in words if word not in chosen)
        best = min(counts, key=lambda word: (-counts[word] * math.log(size / holders[word]), word), default=None)
        if best is None or (len(chosen) >= MIN_WORDS and counts[best] < MIN_SHARE * len(held)):
            break
        chosen.append(best)
        left = [words for words in left if best in words]
    return chosen


def precision(found: Sequence[str], relevant: set[str]) -> float:
    """The share of relevant ones among the first TOP, or among as many as there can be."""
    return sum(one in relevant for one in found[:TOP]) / min(TOP, len(relevant))


def ndcg(found: Sequence[str], relevant: set[str]) -> float:
    """The discounted cumulative gain of the first TOP, as a share of the best possible."""
    gain = sum(1 / math.log2(at + 2) for at, one in enumerate(found[:TOP]) if one in relevant)
    return gain / sum(1 / math.log2(at + 2) for at in range(min(TOP, len(relevant))))


def make_bm25(texts: Sequence[StoryText], *, all_words: bool) -> Ranking:
    """Plain BM25 of the texts that have any of the words, or all of them."""
    words = [tokenize(one.text) for one in texts]
    model = bm25s.BM25()
    model.index(words, show_progress=False)
    held = [set(one) for one in words]

    def rank(query: Sequence[str]) -> list[str]:
        scores = model.get_scores(list(query))
        wanted = [at for at in range(len(texts)) if (set(query) <= held[at] if all_words else scores[at] > 0)]
        return [texts[at].id for at in sorted(wanted, key=lambda at: (-scores[at], at))]

    return rank


def make_search(engine: Engine) -> Ranking:
    """The order by relevance of a search."""
    search = Search(engine)

    def rank(query: Sequence[str]) -> list[str]:
        found, _ = search.find_ids(" ".join(query), limit=TOP)
        return found

    return rank


def store(engine: Engine, texts: Sequence[StoryText], now: datetime) -> None:
    """Write the texts as documents, all of the same time, and index them."""
    row = {"url_key": "k", "url": "u", "host": "h", "kind": "page", "found_by": "feed", "state": "done"}
    with writing(engine) as conn:
        key = conn.execute(insert(ledger).values(**row, first_seen_at=now, next_at=now)).inserted_primary_key
        conn.execute(
            insert(documents),
            [
                {**to_row(_make_document(one, number, now)), "ledger_id": key[0] if key else None, "stored_at": now}
                for number, one in enumerate(texts)
            ],
        )
    index_pending(engine, len(texts))


def _make_document(one: StoryText, number: int, now: datetime) -> Document:
    url = f"https://stories.example/{number}"
    words = one.text.split()
    title, text = " ".join(words[:TITLE_WORDS]), " ".join(words[TITLE_WORDS:])
    nothing = dict.fromkeys(Document.__dataclass_fields__) | dict.fromkeys(_EMPTY, ())
    known = {
        **{"id": one.id, "url": url, "requested_url": url, "title": title, "text": text, "language": "en", "content_hash": one.id},
        **{"published_at": now, "published_precision": "second", "first_seen_at": now, "fetched_at": now, "word_count": len(words)},
        **{"extractor": "none", "rights": {}, "provenance": {}, "revision": 1},
    }
    return Document(**{**nothing, **known})  # type: ignore[arg-type]


def spread(engine: Engine, texts: Sequence[StoryText], now: datetime) -> None:
    """Give each document a time of its own, by a hash of its id."""
    with writing(engine) as conn:
        for one in texts:
            share = int.from_bytes(blake2b(one.id.encode(), digest_size=4).digest()) / (1 << 32)
            conn.execute(update(documents).where(documents.c.id == one.id).values(published_at=now - share * SPREAD))
    index_pending(engine, len(texts))


def report(name: str, rank: Ranking, words: Mapping[str, Sequence[str]], stories: Mapping[str, set[str]]) -> None:
    """Print one line of the table: the means over all stories."""
    found = {story: rank(query) for story, query in words.items()}
    figures = [sum(measure(found[story], stories[story]) for story in words) / len(words) for measure in (ndcg, precision)]
    print(f"{name:<46}{figures[0]:>9.3f}{figures[1]:>9.3f}", flush=True)


def measure(engine: Engine, texts: Sequence[StoryText]) -> None:
    """Print the table."""
    words, stories = choose_words(texts), _group(texts)
    schema_version.upgrade(engine)
    now = datetime.now(UTC).replace(microsecond=0)
    print(f"{len(texts)} texts, {len(stories)} stories, {sum(map(len, words.values())) / len(words):.1f} words a query")
    print(f"{'':<46}{'nDCG@10':>9}{'P@10':>9}")
    report("bm25s, any of the words", make_bm25(texts, all_words=False), words, stories)
    report("bm25s, all of the words", make_bm25(texts, all_words=True), words, stories)
    store(engine, texts, now)
    try:
        report(f"Newsmill, {engine.dialect.name}, same day", make_search(engine), words, stories)
        spread(engine, texts, now)
        report(f"Newsmill, {engine.dialect.name}, spread over two years", make_search(engine), words, stories)
    finally:
        with writing(engine) as conn:
            conn.execute(delete(documents))
            conn.execute(delete(ledger))


def _group(texts: Iterable[StoryText]) -> dict[str, set[str]]:
    stories: dict[str, set[str]] = defaultdict(set)
    for one in texts:
        stories[one.story].add(one.id)
    return stories


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--database")
    parser.add_argument("--stories", type=Path, default=STORIES)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        engine = database.connect(options.database or f"sqlite:///{folder}/ranking.db")
        measure(engine, read_texts(options.stories))
        engine.dispose()


if __name__ == "__main__":
    main()
