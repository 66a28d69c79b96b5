"""`Search`: what the rest of the house asks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import datetime
from typing import Any as Anything

from sqlalchemy import ColumnElement, Engine, RowMapping, String, and_, cast, false, func, not_, or_, select, true, tuple_

from newsmill.keep.database import reading
from newsmill.keep.documents import from_row
from newsmill.keep.search.cursor import seal, time_of, unseal
from newsmill.keep.search.query import All, Any, Facet, Node, Not, Query, Words, parse
from newsmill.keep.search.records import MOST, Hit, Order, Results, Step, Stored
from newsmill.keep.tables import documents

PAGE = 200


class Search:
    """Reads only. Every call may raise ServiceError."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def search(self, query: str = "", *, limit: int = 20, cursor: str | None = None, order: Order = "relevance") -> Results:
        """One page of what matches. Raises CursorError."""
        wanted = _matching(parse(query))
        where = [wanted]
        if cursor is not None:
            at, last = unseal("hits", cursor, str, str)
            where.append(tuple_(_TIME, documents.c.id) < tuple_(time_of(at, cursor), str(last)))
        statement = select(documents).where(*where).order_by(_TIME.desc(), documents.c.id.desc()).limit(limit + 1)
        with reading(self._engine) as conn:
            rows = conn.execute(statement).mappings().all()
        hits = tuple(_hit(row) for row in rows[:limit])
        more = seal("hits", _time_of(rows[limit - 1]).isoformat(), hits[-1].id) if len(rows) > limit else None
        total = self.count(query)
        return Results(hits, more, total if total <= MOST else None)

    def count(self, query: str = "", *, most: int = MOST) -> int:
        """How many documents match; `most + 1` when they are more than `most`."""
        some = select(documents.c.id).where(_matching(parse(query))).limit(most + 1).subquery()
        with reading(self._engine) as conn:
            return conn.execute(select(func.count()).select_from(some)).scalar_one()

    def over_time(
        self, query: str = "", step: Step = "hour", *, since: datetime | None = None, until: datetime | None = None
    ) -> tuple[tuple[datetime, int], ...]:
        """How many documents match per hour or day (UTC; each given by its first moment), in order, those without any left out."""
        found: Counter[datetime] = Counter()
        with reading(self._engine) as conn:
            for row in conn.execute(_between(select(documents), query, since, until)).mappings():
                at = _time_of(row).replace(minute=0, second=0, microsecond=0)
                found[at if step == "hour" else at.replace(hour=0)] += 1
        return tuple(sorted(found.items()))

    def by_source(self, query: str = "", *, since: datetime | None = None, until: datetime | None = None) -> tuple[tuple[str, int], ...]:
        """How many documents match per source, the largest first; "" stands for documents without one."""
        with reading(self._engine) as conn:
            found = Counter(row["source"] or "" for row in conn.execute(_between(select(documents), query, since, until)).mappings())
        return tuple(sorted(found.items(), key=lambda pair: (-pair[1], pair[0])))

    def iterate(self, query: str = "", *, since: str | datetime | None = None, until: datetime | None = None) -> Iterator[Stored]:
        """Every match in the order of storing (changed documents come again, at their new place), streamed: memory stays flat.

        `since`: a `Stored.cursor`, or a time (stored then or later). `until`: stored before. Raises CursorError.
        """
        wanted, order = [_matching(parse(query))], (documents.c.stored_at, documents.c.id)
        if until is not None:
            wanted.append(documents.c.stored_at < until)
        if isinstance(since, datetime):
            wanted.append(documents.c.stored_at >= since)
        last = None
        if isinstance(since, str):
            at, last_id = unseal("stored", since, str, str)
            last = (time_of(at, since), str(last_id))
        while True:
            after = [] if last is None else [tuple_(*order) > tuple_(*last)]
            with reading(self._engine) as conn:
                rows = conn.execute(select(documents).where(*wanted, *after).order_by(*order).limit(PAGE)).mappings().all()
            for row in rows:
                yield Stored(from_row(row), row["stored_at"], seal("stored", row["stored_at"].isoformat(), row["id"]))
            if len(rows) < PAGE:
                return
            last = (rows[-1]["stored_at"], rows[-1]["id"])


_TIME = func.coalesce(documents.c.published_at, documents.c.first_seen_at, type_=documents.c.first_seen_at.type)


def _time_of(row: RowMapping) -> datetime:
    at: datetime = row["published_at"] or row["first_seen_at"]
    return at


def _between(statement: Anything, query: str, since: datetime | None, until: datetime | None) -> Anything:
    bounds = [] if since is None else [since <= _TIME]
    bounds += [] if until is None else [until > _TIME]
    return statement.where(_matching(parse(query)), *bounds)


def _hit(row: RowMapping) -> Hit:
    names = tuple(author["name"] for author in row["authors"])
    fields = ("id", "url", "title", "source", "site_name", "language", "section", "published_at", "first_seen_at")
    return Hit(
        **{name: row[name] for name in fields},
        authors=names,
        word_count=row["word_count"],
        is_free=row["is_free"],
        snippet=((row["text"][:200], False),),
    )


def _matching(query: Query) -> ColumnElement[bool]:
    bounds: list[ColumnElement[bool]] = [false() if query.nothing else true()]
    if query.since is not None:
        bounds.append(query.since <= _TIME)
    if query.until is not None:
        bounds.append(query.until > _TIME)
    return and_(*bounds, true() if query.node is None else _node(query.node))


def _node(node: Node) -> ColumnElement[bool]:
    match node:
        case Not():
            return not_(_node(node.node))
        case All():
            return and_(*(_node(child) for child in node.nodes))
        case Any():
            return or_(*(_node(child) for child in node.nodes))
        case Words():
            title = func.coalesce(documents.c.title, "")
            text = title if node.title else title + " " + documents.c.text
            return and_(*(text.icontains(word, autoescape=True) for word in node.words))
        case Facet():
            return _facet(node)


def _facet(facet: Facet) -> ColumnElement[bool]:
    held: ColumnElement[Anything] = {
        "source": documents.c.source,
        "lang": documents.c.language,
        "site": documents.c.site,
        "section": documents.c.section,
        "author": cast(documents.c.authors, String),
        "is_free": documents.c.is_free,
    }[facet.name]
    if facet.name == "is_free":
        return held.is_({"yes": True, "no": False, "unknown": None}[facet.value])
    held = func.lower(func.coalesce(held, ""))
    if facet.name in ("author", "section"):
        return held.contains(facet.value, autoescape=True)
    if facet.name == "lang":
        return or_(held == facet.value, held.startswith(facet.value + "-", autoescape=True))
    return held == facet.value
