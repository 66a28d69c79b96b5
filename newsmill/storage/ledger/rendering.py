"""Sources whose pages need a browser: how many of their last pages had their text only there.

A source with `render = "auto"` counts in `sources.script_pages` its pages in a row whose text only a browser showed. The crawler renders
all pages of a source with MIN_SCRIPT_PAGES such pages, and fetches a sample without the browser, which can set the number back to 0.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sqlalchemy import Connection, Engine, bindparam, func, select, update

from newsmill.storage.database import reading, writing
from newsmill.storage.ledger.sources import BY_NAME
from newsmill.storage.schema import ledger, sources

MIN_SCRIPT_PAGES = 5  # one page without text may be a video or a gallery

_SCRIPT_SOURCES = select(sources.c.name).where(sources.c.script_pages >= MIN_SCRIPT_PAGES)
_ADD = update(sources).where(BY_NAME).values(script_pages=sources.c.script_pages + bindparam("b_count"))
_SET = update(sources).where(BY_NAME).values(script_pages=bindparam("b_count"))
_IS_RENDERED = ledger.c.rendering == "done"
_COUNT = select(ledger.c.source, func.count().label("n")).where(_IS_RENDERED).group_by(ledger.c.source)


def count_script_pages(conn: Connection, pages: Mapping[str, Sequence[bool]]) -> None:
    for name in sorted(pages):
        needed = list(pages[name])
        last_plain = max((number for number, is_needed in enumerate(needed) if not is_needed), default=None)
        count = len(needed) if last_plain is None else len(needed) - 1 - last_plain
        conn.execute(_ADD if last_plain is None else _SET, {"b_name": name, "b_count": count})


class Rendering:
    """Which sources and pages need a browser. Every call may raise ServiceError."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def list_script_sources(self) -> set[str]:
        """The names of sources whose last pages all had their text only in a browser."""
        with reading(self._engine) as conn:
            return set(conn.execute(_SCRIPT_SOURCES).scalars())

    def count_script_pages(self, pages: Mapping[str, Sequence[bool]]) -> None:
        """Record by source, for each of its pages with a document in order, whether only a browser showed the text."""
        if pages:
            with writing(self._engine) as conn:
                count_script_pages(conn, pages)

    def count_rendered(self, source: str | None = None) -> dict[str, int]:
        """The number of archived pages with a rendered DOM, by source ("" for none)."""
        with reading(self._engine) as conn:
            statement = _COUNT if source is None else _COUNT.where(ledger.c.source == source)
            return {row.source or "": int(row.n) for row in conn.execute(statement)}
