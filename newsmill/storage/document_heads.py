"""The heads of documents, which lists show."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, select

from newsmill.model import is_doubtful
from newsmill.storage.schema import documents

_HEAD_FIELDS = (
    "id",
    "url",
    "title",
    "description",
    "source",
    "site_name",
    "language",
    "section",
    "published_at",
    "published_precision",
    "first_seen_at",
    "word_count",
)
HEAD_COLUMNS = [*(documents.c[name] for name in _HEAD_FIELDS), documents.c.confidence]
NEWEST = (documents.c.first_seen_at.desc(), documents.c.id.desc())


@dataclass(frozen=True, slots=True)
class DocumentHead:
    """A document without its text, for lists."""

    id: str
    url: str
    title: str | None
    description: str | None
    source: str | None
    site_name: str | None
    language: str | None
    section: str | None
    published_at: datetime | None
    published_precision: str | None  # "day" if the page gave no more
    first_seen_at: datetime
    word_count: int
    confidence: float | None

    @property
    def doubtful(self) -> bool:
        """As `Document.doubtful`."""
        return is_doubtful(self.confidence)


def load_heads(conn: Connection, ids: Sequence[str]) -> dict[str, DocumentHead]:
    """The documents with these ids, those that still exist."""
    found: dict[str, DocumentHead] = {}
    for at in range(0, len(ids), 500):  # SQLite takes a bounded number of values in one statement
        rows: Any = conn.execute(select(*HEAD_COLUMNS).where(documents.c.id.in_(ids[at : at + 500])))
        found.update((row.id, DocumentHead(*row)) for row in rows)
    return found
