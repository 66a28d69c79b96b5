"""The stories that a query finds: those of its newest matches."""

from __future__ import annotations

from datetime import datetime

from newsmill.model import Story
from newsmill.search.search import Search
from newsmill.storage.database import Engine
from newsmill.storage.stories import Stories, StoryOrder

MAX_MATCHES = 1000  # documents whose stories are listed


def find_stories(
    engine: Engine,
    query: str = "",
    *,
    since: datetime | None = None,
    order: StoryOrder = "newest",
    cursor: str | None = None,
    pairs: bool = False,
    limit: int = 20,
) -> tuple[list[Story], str | None]:
    """One page of stories, and the cursor of the next page. `since`: with a document from that time on. `pairs`: also of two
    documents of one site. Raises CursorError."""
    ids = Search(engine).find_ids(query, limit=MAX_MATCHES, order="newest")[0] if query.strip() else None
    return Stories(engine).page(order=order, since=since, documents=ids, pairs=pairs, cursor=cursor, limit=limit)
