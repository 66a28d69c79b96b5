"""Generated documents for growth.py. Each depends only on its number, so that the same documents can be generated again."""

from __future__ import annotations

import itertools
import random
from datetime import UTC, datetime, timedelta

from newsmill import urls
from newsmill.model import Author, Block, BlockType, Document
from newsmill.search.tokens import ENGLISH

START = datetime(2026, 1, 1, tzinfo=UTC)
YEAR = timedelta(days=365)
WORDS = 100_000
SOURCES = 200
POOL = 20_000  # paragraphs from which articles are composed


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
    spoken, join, count = (HAN, "", 240) if language == "zh" else (LATIN, " ", 400)
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
