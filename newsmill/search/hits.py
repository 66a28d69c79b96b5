"""From places in the index to hits."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, RowMapping, bindparam, func, select

from newsmill.model import is_doubtful
from newsmill.search.positions import Place
from newsmill.search.query import Words
from newsmill.search.records import Hit
from newsmill.search.snippet import LOOKED, snippet
from newsmill.storage.schema import documents

_FIELDS = ("id", "url", "title", "source", "site_name", "language", "section", "published_at", "first_seen_at", "word_count", "is_free")
_ROWS = select(
    *(documents.c[name] for name in (*_FIELDS, "confidence", "authors")), func.substr(documents.c.text, 1, LOOKED).label("text")
).where(documents.c.id.in_(bindparam("b_ids", expanding=True)))


def hits_of(conn: Connection, places: Sequence[Place], wanted: Sequence[Words]) -> tuple[Hit, ...]:
    """The documents of some places, in their order; one that has just vanished is left out."""
    rows = {row["id"]: row for row in conn.execute(_ROWS, {"b_ids": [place[1] for place in places]}).mappings()} if places else {}
    return tuple(_hit(rows[place[1]], wanted) for place in places if place[1] in rows)


def _hit(row: RowMapping, wanted: Sequence[Words]) -> Hit:
    fields: dict[str, Any] = {name: row[name] for name in _FIELDS}
    authors = tuple(author["name"] for author in row["authors"])
    return Hit(**fields, authors=authors, doubtful=is_doubtful(row["confidence"]), snippet=snippet(row["text"], wanted))
