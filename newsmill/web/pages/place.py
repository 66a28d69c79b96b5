"""Where a document was opened from: a list of results, whose query and cursors travel in the URL."""

from __future__ import annotations

from typing import Literal

from newsmill.exceptions import CursorError
from newsmill.search import Neighbours, Search

MAX_QUERY_CHARACTERS = 2000


class Place:
    """The list of results that a document was opened from: its query, and the cursors of its page and the page before. It is in the URL."""

    def __init__(
        self, q: str = "", order: Literal["relevance", "newest"] | None = None, page: str | None = None, previous: str | None = None
    ) -> None:
        self.query, self.page, self.previous = q[:MAX_QUERY_CHARACTERS].replace("\0", " ").strip(), page, previous
        self.order: Literal["relevance", "newest"] | None = order or ("relevance" if self.query else None)  # None: not from a list

    @property
    def parameters(self) -> dict[str, str]:
        """The parameters of a URL, without empty ones."""
        order, cursors = ("newest" if self.order == "newest" else None), {"page": self.page, "previous": self.previous}
        values = {"q": self.query, "order": order, **(cursors if self.order else {})}
        return {name: value for name, value in values.items() if value}

    def find_neighbours(self, index: Search, document_id: str) -> Neighbours:
        """The documents beside this one in the list; none for one that was not opened from a list."""
        if self.order is None:
            return Neighbours()
        try:
            return index.neighbours(self.query, document_id, cursor=self.page, previous=self.previous, order=self.order)
        except CursorError:
            return Neighbours()
