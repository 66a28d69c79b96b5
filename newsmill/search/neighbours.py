"""The documents before and behind one in a list of results, found from the cursors of its page. Pure."""

from __future__ import annotations

from collections.abc import Callable

from newsmill.search.records import FIRST_PAGE, Neighbour, Neighbours

FindPage = Callable[[str | None, int], tuple[list[str], str | None]]  # (cursor, size) → the ids of a page, and the cursor of the next one


def find_neighbours(find: FindPage, document_id: str, cursor: str | None, previous: str | None, size: int) -> Neighbours:
    """The neighbours of a document on the page with this cursor, or on the page after it; see `Search.neighbours`."""
    ids, following = find(cursor, size)
    if document_id not in ids and following is not None:
        previous, cursor = cursor or FIRST_PAGE, following
        ids, following = find(cursor, size)
    if document_id not in ids:
        return Neighbours()
    at, before, behind = ids.index(document_id), None, None
    if at:
        before = Neighbour(ids[at - 1], cursor, previous)
    elif previous is not None:
        page = None if previous == FIRST_PAGE else previous
        before = next((Neighbour(last, page) for last in find(page, size)[0][-1:]), None)
    if at + 1 < len(ids):
        behind = Neighbour(ids[at + 1], cursor, previous)
    elif following is not None:
        behind = next((Neighbour(first, following, cursor or FIRST_PAGE) for first in find(following, 1)[0]), None)
    return Neighbours(before, behind, cursor, previous)
