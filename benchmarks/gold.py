"""The pages with gold records (`../shared/quality/data`), each with its fold, and their scorer."""

from __future__ import annotations

import gzip
import importlib.util
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from types import ModuleType
from typing import Any

from newsmill.urls import get_site

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
