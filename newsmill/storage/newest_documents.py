"""The newest documents, shared fairly among the sources."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Engine, Select, func, select

from newsmill.search.positions import document_time
from newsmill.storage.database import reading
from newsmill.storage.document_heads import NEWEST, DocumentHead, load_heads
from newsmill.storage.publication_counts import By
from newsmill.storage.schema import documents, search_entries, sources

MIN_PER_SOURCE = 3  # documents of one source in the list, whatever the number of sources
MAX_CANDIDATES = 400  # newest documents among which the list is chosen
MAX_SOURCES = 500  # whose newest document is compared when one source fills the candidates


@dataclass(frozen=True, slots=True)
class NewestDocuments:
    """`heads` are in order, newest first. `max_per_source`: the limit that left out documents of a source; None if none is left out."""

    heads: tuple[DocumentHead, ...]
    max_per_source: int | None


def list_newest(engine: Engine, limit: int, by: By) -> NewestDocuments:
    """The newest documents, at most a fair share of each source: `limit` divided by the number of sources, or MIN_PER_SOURCE.

    Where a crawl of a few sources fills the MAX_CANDIDATES newest, the newest documents of other sources follow. Raises ServiceError.
    """
    with reading(engine) as conn:
        count: int = conn.execute(select(func.count()).select_from(sources)).scalar_one()
        candidates: list[tuple[str, str | None]] = [(id, source) for id, source in conn.execute(_candidates(by))]
        share = max(MIN_PER_SOURCE, -(-limit // max(1, count, len({source for _, source in candidates}))))
        chosen = take_shares(candidates, share)[:limit]
        if len(chosen) < limit and len(candidates) == MAX_CANDIDATES:
            complete = {source for source, n in Counter(source for _, source in candidates).items() if n >= share}
            chosen += [id for id in _list_others(conn, complete, limit, share) if id not in chosen]
        heads = load_heads(conn, chosen)
    ordered = sorted(heads.values(), key=lambda head: _order(head, by), reverse=True)[:limit]
    is_cut = not {id for id, _ in candidates[:limit]} <= {head.id for head in ordered}
    return NewestDocuments(tuple(ordered), share if is_cut else None)


def take_shares(candidates: Iterable[tuple[str, str | None]], share: int) -> list[str]:
    """The ids of (id, source), in order, without those of a source after its first `share`.

    >>> take_shares([("1", "a"), ("2", "a"), ("3", "b")], 1)
    ['1', '3']
    """
    seen: Counter[str | None] = Counter()
    chosen = []
    for id, source in candidates:
        seen[source] += 1
        if seen[source] <= share:
            chosen.append(id)
    return chosen


def _candidates(by: By) -> Select[Any]:
    if by == "seen":
        return select(documents.c.id, documents.c.source).order_by(*NEWEST).limit(MAX_CANDIDATES)
    order = (search_entries.c.moment.desc(), search_entries.c.document_id.desc())
    return select(search_entries.c.document_id, search_entries.c.source).order_by(*order).limit(MAX_CANDIDATES)


def _list_others(conn: Connection, complete: set[str | None], limit: int, share: int) -> Sequence[str]:
    """The newest documents of the sources that saw one last, except those of `complete`."""
    newest = select(func.max(documents.c.first_seen_at)).where(documents.c.source == sources.c.name).scalar_subquery()
    found = conn.execute(select(sources.c.name, newest).order_by(sources.c.name).limit(MAX_SOURCES)).all()
    names = [name for name, at in sorted(found, key=lambda row: str(row[1]), reverse=True) if at is not None and name not in complete]
    ids: list[str] = []
    for name in names[:limit]:
        ids += conn.execute(select(documents.c.id).where(documents.c.source == name).order_by(*NEWEST).limit(share)).scalars()
    return ids


def _order(head: DocumentHead, by: By) -> tuple[bool, datetime, str]:
    """Undated documents come last by publication, as in a search."""
    if by == "seen":
        return True, head.first_seen_at, head.id
    time = document_time(head.published_at, head.published_precision, head.first_seen_at)
    return head.published_at is not None, time, head.id
