"""The place of a document in a list of matches."""

from __future__ import annotations

from typing import Literal

from newsmill.exceptions import CursorError
from newsmill.search.query_parser import MAX_QUERY_CHARACTERS
from newsmill.search.results import Neighbours
from newsmill.search.search import Search

MAX_HITS = 20


class Place:
    """The list of results that a document was opened from: its query, and the cursors of its page and the page before. It is in the URL."""

    def __init__(
        self,
        q: str = "",
        order: Literal["relevance", "newest"] | None = None,
        page: str | None = None,
        previous: str | None = None,
        fold: bool = True,
    ) -> None:
        self.fold = fold
        self.query, self.page, self.previous = q[:MAX_QUERY_CHARACTERS].replace("\0", " ").strip(), page, previous
        self.order: Literal["relevance", "newest"] | None = order or ("relevance" if self.query else None)  # None: not from a list

    @property
    def parameters(self) -> dict[str, str]:
        """The parameters of a URL, without empty ones."""
        order, cursors = ("newest" if self.order == "newest" else None), {"page": self.page, "previous": self.previous}
        values = {"q": self.query, "order": order, **(cursors if self.order else {}), "fold": None if self.fold else "0"}
        return {name: value for name, value in values.items() if value}

    def find_neighbours(self, index: Search, document_id: str) -> Neighbours:
        """The documents beside this one in the list; none for one that was not opened from a list."""
        if self.order is None:
            return Neighbours()
        try:
            cursors = {"cursor": self.page, "previous": self.previous}
            return index.neighbours(self.query, document_id, **cursors, order=self.order, limit=MAX_HITS, fold=self.fold)
        except CursorError:
            return Neighbours()
